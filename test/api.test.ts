import ts from "typescript";
import { fileURLToPath } from "node:url";
import { MemoryStorage } from "poundlock";
import { ManualClock } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { openHost, orderOf } from "./package/host-example.ts";

async function host() {
  const printed: unknown[][] = [];
  const clock = new ManualClock("2026-11-23T17:01:00Z");
  const console = { log: (...words: unknown[]) => void printed.push(words) };
  return { printed, clock, ...(await openHost(5, console, { clock, storage: new MemoryStorage() })) };
}

describe("the host's program", () => {
  test("is due next when its schedule says", async () => {
    const { flow, scheduler } = await host();

    expect(flow.nextRunAt).toBe("2026-11-23T17:05:00.000Z");
    await scheduler.stop({ graceMs: 10_000 });
  });

  test("moves every order to both imports when it is run", async () => {
    const { scheduler, flow, written, sent, printed, sold } = await host();

    const run = await scheduler.run(flow._id); // durable once it resolves; status "queued"
    const ended = await scheduler.waitFor(run._id); // completed, failed or canceled
    await scheduler.stop({ graceMs: 10_000 });

    expect([run.status, ended.status]).toEqual(["queued", "completed"]);
    expect([...written.values()]).toEqual(sold);
    expect([...written.keys()]).toEqual(["o1", "o2", "o3", "o4", "o5"]);
    expect(sent).toEqual(sold.map(({ id, email }) => `Order ${id} to ${email}`));
    expect(printed).toEqual([[10, "written,", 0, "refused"]]);
  });

  test("moves only what is new when its time comes", async () => {
    const { scheduler, flow, sold, sent, clock } = await host();
    await scheduler.waitFor((await scheduler.run(flow._id))._id);
    sold.push(orderOf(6));

    await clock.moveTo("2026-11-23T17:05:00Z");
    await scheduler.stop({ graceMs: 10_000 });

    expect(sent.slice(5)).toEqual(["Order o6 to 6@shop.example"]);
  });

  test("takes an order as it happens, once", async () => {
    const { scheduler, registry, sent, clock } = await host();
    const order = orderOf(7);
    const event = { id: "e1" };

    const first = await scheduler.accept("orders", [order], { ids: [event.id] }); // real time: resolves when durable
    const again = await scheduler.accept("orders", [order], { ids: [event.id] });
    await clock.settle();
    await scheduler.stop({ graceMs: 10_000 });

    expect([first, again]).toEqual([
      { accepted: 1, duplicates: 0 },
      { accepted: 0, duplicates: 1 },
    ]);
    expect(sent).toEqual(["Order o7 to 7@shop.example"]);
    expect((await registry.list()).items).toHaveLength(1);
  });

  test("lists, retries and cancels", async () => {
    const { scheduler, flow } = await host();
    const run = await scheduler.run(flow._id);
    await scheduler.waitFor(run._id);

    const runs = await scheduler.listRuns({ _flowId: flow._id, limit: 20 });
    const failures = await scheduler.listFailures({ _flowId: flow._id, status: "open" });
    const retry = await scheduler.retryFailures(flow._id);
    const canceled = await scheduler.cancel(run._id);
    await scheduler.stop({ graceMs: 10_000 });

    expect(runs.items.map(({ _id }) => _id)).toEqual([run._id]);
    expect(failures.items).toEqual([]);
    expect(retry.trigger).toBe("retry");
    expect(canceled.status).toBe("completed");
  });

  test("finds, changes and deletes its flows", async () => {
    const { registry, scheduler, flow } = await host();
    const { _id, lastModified } = flow;
    const input = { name: "Orders", _exportId: "orders", _importId: "ledger", _integrationId: "acme" } as const;

    const updated = await registry.update(_id, input, { lastModified });
    const patched = await registry.patch(_id, { disabled: true });
    const defined = await registry.define("nightly-orders", { ...input, schedule: "0 2 * * *" });
    const first = await registry.list({ _integrationId: "acme", limit: 1 });
    const cursor = first.next ?? "";
    const rest = await registry.list({ _integrationId: "acme", disabled: false, limit: 100, after: cursor });
    await registry.delete(_id);
    await registry.defineAll({ "nightly-orders": { ...input } }, { group: "shop", removed: "disable" });
    await scheduler.stop({ graceMs: 10_000 });

    expect([updated.name, patched.disabled]).toEqual(["Orders", true]);
    expect(defined.nextRunAt).toBe("2026-11-24T01:00:00.000Z");
    expect([...first.items, ...rest.items].map((one) => one._id)).toEqual([_id, "nightly-orders"]);
    await expect(registry.get(_id)).rejects.toMatchObject({ code: "not_found" });
    expect(await registry.find(_id)).toBeUndefined();
  });
});

describe("in an editor", () => {
  const path = fileURLToPath(new URL("typed-by-a-host.ts", import.meta.url));
  const root = fileURLToPath(new URL("..", import.meta.url));
  const preamble = `
    import { FlowRegistry, Scheduler, type Export, type Import } from "poundlock";
    declare const orders: Export<{ id: string }>, people: Export<{ name: string }>;
    declare const ledger: Import<{ id: string }>, mailer: Import<{ id: string }>, greeter: Import<{ name: string }>;
    const registry = new FlowRegistry({ exports: { orders, people }, imports: { ledger, mailer, greeter } });
    const scheduler = new Scheduler(registry);
  `;
  let text = "";
  const service = languageService(() => text);

  /** What the editor offers where the cursor, `|`, stands. */
  function completions(line: string): string[] {
    text = preamble + line.replace("|", "");
    const found = service.getCompletionsAtPosition(path, preamble.length + line.indexOf("|"), {});
    return (found?.entries ?? []).map(({ name }) => name).sort();
  }

  /** What the compiler says. */
  function messages(line: string): string[] {
    text = preamble + line;
    return service
      .getSemanticDiagnostics(path)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  }

  function languageService(current: () => string): ts.LanguageService {
    const { config } = ts.readConfigFile(`${root}tsconfig.json`, (file) => ts.sys.readFile(file)) as {
      config: unknown;
    };
    const { options } = ts.parseJsonConfigFileContent(config, { ...ts.sys, readDirectory: () => [] }, root);
    const read = (file: string) => (file === path ? current() : ts.sys.readFile(file));
    let version = 0;
    return ts.createLanguageService({
      getCompilationSettings: () => ({ ...options, noUnusedLocals: false }),
      getCurrentDirectory: () => root,
      getDefaultLibFileName: (chosen) => ts.getDefaultLibFilePath(chosen),
      getScriptFileNames: () => [path],
      getScriptVersion: (file) => (file === path ? String(++version) : "0"),
      getScriptSnapshot: (file) => {
        const found = read(file);
        return found === undefined ? undefined : ts.ScriptSnapshot.fromString(found);
      },
      fileExists: (file) => file === path || ts.sys.fileExists(file),
      readFile: read,
      readDirectory: (...folder) => ts.sys.readDirectory(...folder),
    });
  }

  test.each([
    [`registry.create({ name: "x", _exportId: "|" });`, ["orders", "people"]],
    [`registry.create({ name: "x", _exportId: "orders", _importId: "|" });`, ["ledger", "mailer"]],
    [`registry.create({ name: "x", _exportId: "orders", _importIds: ["ledger", "|"] });`, ["ledger", "mailer"]],
    [`registry.define("x", { name: "x", _exportId: "people", _importId: "|" });`, ["greeter"]],
    [`registry.update("x", { name: "x", _exportId: "people", _importId: "|" });`, ["greeter"]],
    [`registry.defineAll({ a: { name: "x", _exportId: "orders", _importId: "|" } });`, ["ledger", "mailer"]],
    [`registry.patch("x", { _importId: "|" });`, ["greeter", "ledger", "mailer"]],
    [`scheduler.accept("|", []);`, ["orders", "people"]],
  ])("%s offers the ids that fit", (line, ids) => {
    expect(completions(line)).toEqual(ids);
  });

  test.each([
    [
      `registry.create({ name: "x", _exportId: "orders", _importId: "greeter" });`,
      String.raw`Type '"greeter"' is not assignable to type '"the records of export \"orders\" lack \"name\", which import \"greeter\" takes"'.`,
    ],
    [
      `registry.defineAll({ a: { name: "x", _exportId: "orders", _importId: "greeter" } });`,
      String.raw`Type '"greeter"' is not assignable to type '"the records of export \"orders\" lack \"name\", which import \"greeter\" takes"'.`,
    ],
    [
      `registry.defineAll({ a: { name: "x", _exportId: "orders", _importId: "ledger", shedule: "* * * * *" } });`,
      [
        `Object literal may only specify known properties, but 'shedule' does not exist in type 'FlowInput<"orders" | "people", string> & FlowInput<string, "ledger" | "mailer">'. Did you mean to write 'schedule'?`,
      ].join("\n"),
    ],
    [
      `registry.create({ name: "x", _exportId: "order", _importId: "ledger" });`,
      `Type '"order"' is not assignable to type '"orders" | "people"'. Did you mean '"orders"'?`,
    ],
    [
      `registry.create({ name: "x", _exportId: "orders", _importIds: ["ledger", "malier"] });`,
      `Type '"malier"' is not assignable to type '"ledger" | "mailer"'. Did you mean '"mailer"'?`,
    ],
    [
      `const rows: Import<{ id: string }, { row: string }> = { idempotent: true, write: async () => undefined };`,
      [
        "Type '{ idempotent: true; write: () => Promise<undefined>; }' is not assignable to type 'Import<{ id: string; }, { row: string; }>'.",
        "  Type '{ idempotent: true; write: () => Promise<undefined>; }' is not assignable to type 'ImportMembers<{ id: string; }, { row: string; }, unknown> & { map(record: { id: string; }): { row: string; }; }'.",
        "    Property 'map' is missing in type '{ idempotent: true; write: () => Promise<undefined>; }' but required in type '{ map(record: { id: string; }): { row: string; }; }'.",
      ].join("\n"),
    ],
    [
      `scheduler.accept("order", []);`,
      `Argument of type '"order"' is not assignable to parameter of type '"orders" | "people"'.`,
    ],
  ])("%s says what would be right", (line, message) => {
    expect(messages(line)).toEqual([message]);
  });
});
