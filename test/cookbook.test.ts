import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type Export, type Scheduler, reject } from "../src/index.ts";
import { exportCases } from "../src/testing/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const cookbook = readFileSync(`${root}docs/guides/cookbook.md`, "utf8");
const folder = `${root}.work/cookbook`;

/** The code below a heading of the cookbook, as a module that exports what is named. What it declares is a global. */
async function recipe<T>(heading: string, ...names: readonly (keyof T & string)[]): Promise<T> {
  const section = cookbook.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? expect.fail(heading);
  const code = /^```ts\n([^]*?)^```$/m.exec(section)?.[1] ?? expect.fail(`${heading} has no code`);
  mkdirSync(folder, { recursive: true });
  const path = `${folder}/${heading.replace(/\W+/g, "-")}.ts`;
  writeFileSync(path, `${code}\nexport { ${names.join(", ")} };\n`);
  return (await import(path)) as T;
}

/** Microseconds as PostgreSQL writes them. */
function timeAt(us: number): string {
  return new Date(Math.floor(us / 1_000)).toISOString().replace("Z", `${String(us % 1_000).padStart(3, "0")}Z`);
}

const second = 1_000_000;
const noon = Date.parse("2030-01-01T12:00:00Z") * 1_000;

describe("the recipe for changes by updated_at", async () => {
  type Customer = Readonly<{ id: string; updatedAt: string }>;
  /** Forty rows for each time, ten seconds apart, so that each page ends amid equal ones. */
  const manyRows = () =>
    Array.from({ length: 250 }, (_, n) => ({
      id: `c${String(n).padStart(3, "0")}`,
      updatedAt: timeAt(noon + Math.floor(n / 40) * 20 * second + 123_456),
    }));
  let table: Customer[] = [];
  const query = async (_: string, [updatedAt, id, limit]: [string, string, number]) => {
    const from = updatedAt.replace(/\.(\d{3})Z$/, ".$1000Z");
    return table
      .filter((row) => row.updatedAt > from || (row.updatedAt === from && row.id > id))
      .sort((one, other) => compare([one.updatedAt, one.id], [other.updatedAt, other.id]))
      .slice(0, limit);
  };
  vi.stubGlobal("query", query);
  const { customers } = await recipe<{ customers: Export<Customer> }>("Read changes by updated_at", "customers");

  beforeEach(() => void (table = manyRows()));
  const cases = exportCases(() => customers, {
    pageSize: 100,
    records: () => table,
    addLate() {
      const row = { id: "a row that was committed late", updatedAt: timeAt(noon + 70 * second) };
      table.push(row);
      return row;
    },
  });
  for (const { title, run } of cases) test(title, run);
});

describe("the recipe for a REST API", async () => {
  type Invoice = Readonly<{ id: string; revision: number; at: string }>;
  let invoices: Invoice[] = [];
  const fetch = async (url: string) => {
    const query = new URL(url).searchParams;
    const [start, limit] = [Number(query.get("cursor")), Number(query.get("limit"))];
    const found = invoices.filter(({ at }) => at >= (query.get("updated_since") ?? ""));
    const next = start + limit < found.length ? { nextCursor: String(start + limit) } : {};
    return Response.json({ items: found.slice(start, start + limit), ...next });
  };
  vi.stubGlobal("fetch", fetch);
  const { invoices: from } = await recipe<{ invoices: Export<Invoice> }>("Read from a REST API", "invoices");

  beforeEach(() => {
    invoices = Array.from({ length: 25 }, (_, n) => ({ id: `i${n}`, revision: 1, at: timeAt(second * (n + 1)) }));
  });
  const cases = exportCases(() => from, {
    pageSize: 10,
    records: () => invoices,
    addLate() {
      const late = { id: "changed while it was listed", revision: 2, at: new Date(Date.now() - 59_000).toISOString() };
      invoices.push(late);
      return late;
    },
  });
  for (const { title, run } of cases) test(title, run);
});

test("the recipe for a full refresh deletes what is gone, unless something was not delivered", async () => {
  const table = new FakeTable();
  let source = [1, 2, 3].map((number) => ({ id: `o${number}`, number }));
  vi.stubGlobal("table", table);
  vi.stubGlobal("shop", { ordersAfter: async (after: number) => source.filter(({ number }) => number > after) });
  const { scheduler } = await recipe<{ scheduler: Scheduler }>("Deletes and a full refresh", "scheduler");
  const { registry } = scheduler;
  const flow = await registry.create({ name: "Mirror", _exportId: "everything", _importId: "mirror" });
  await scheduler.start();
  const run = async () => scheduler.waitFor((await scheduler.run(flow._id))._id);

  await run();
  source = source.slice(1);
  await run();
  await vi.waitFor(() => expect([...table.rows.keys()]).toEqual(["o2", "o3"]));
  source = source.slice(1);
  table.refuses = true;
  await run();
  await scheduler.stop();

  expect([...table.rows.keys()]).toEqual(["o2", "o3"]);
  expect(table.deletions).toBe(2);
});

test("the recipe for alerts sends one when a run fails, and one when the next completes", async () => {
  const [messages, refusals] = [[] as unknown[], [429]];
  let isBroken = true;
  vi.stubGlobal("fetch", async (_: string, { body }: { readonly body: string }) => {
    const status = refusals.pop() ?? 200;
    if (status === 200) messages.push(JSON.parse(body));
    return new Response(null, { status, headers: { "retry-after": "0" } });
  });
  const { scheduler } = await recipe<{ scheduler: Scheduler }>("Alerts", "scheduler");
  const { registry } = scheduler;
  registry.addExport("orders", {
    async *pages() {
      if (isBroken) throw new Error("away");
      yield [];
    },
  });
  const flow = await registry.create({ name: "Orders", _exportId: "orders", _importId: "webhook" });
  await scheduler.start();
  const run = async (_flowId: string) => scheduler.waitFor((await scheduler.run(_flowId))._id);

  await run(flow._id);
  await run("alerts");
  isBroken = false;
  await run(flow._id);
  await run("alerts");
  await scheduler.stop();

  expect(messages).toMatchObject([{ title: "Orders is failing" }, { title: "Orders is no longer failing" }]);
});

/** Rows by id, with when they were seen last. */
class FakeTable {
  readonly rows = new Map<string, string>();
  refuses = false;
  deletions = 0;

  async upsert(orders: readonly { readonly id: string }[], seenAt: string): Promise<void> {
    if (this.refuses) throw reject("a rule of the table");
    for (const { id } of orders) this.rows.set(id, seenAt);
  }

  async deleteSeenBefore(time: string): Promise<void> {
    this.deletions++;
    for (const [id, seenAt] of this.rows) if (seenAt < time) this.rows.delete(id);
  }
}

afterAll(() => vi.unstubAllGlobals());

function compare(one: readonly string[], other: readonly string[]): number {
  const [a, b] = [one.join(" "), other.join(" ")];
  return a < b ? -1 : a > b ? 1 : 0;
}
