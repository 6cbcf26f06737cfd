import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { allowAll, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { type Export, FlowRegistry, type Import, Scheduler } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { withStorage } from "./disk.ts";
import { expectCompleted } from "./hosts.ts";
import { type BenchCase, type Figures, summary, timed } from "./measure.ts";
import { type Order, makeOrder } from "./ndjson.ts";

const nothing = () => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** What ten people look at. */
const windows = [...Array<string>(5).fill("overview"), ...Array<string>(5).fill("run")];

/** Pages as an API sends them: each is parsed anew. */
function parsedPages(
  gate: { readonly opened: Promise<void> },
  pages: number,
  size: number,
): Export<Order, { readonly page: number }> {
  const body = JSON.stringify(Array.from({ length: size }, (_, index) => makeOrder(index)));
  return {
    order: "ordered",
    pageSize: size,
    async *pages({ checkpoint }) {
      await gate.opened;
      // Each run goes on where the last one ended, with as many pages.
      const first = checkpoint?.page ?? 0;
      for (let page = first; page < first + pages; page++)
        yield {
          records: JSON.parse(body) as Order[],
          checkpoint: { page: page + 1 },
          ...(page === first ? { total: pages * size } : {}),
        };
    },
  };
}

const ok = { ok: true } as const;
const rejected = { ok: false, fault: "reject", error: "customer 507 has no VAT number" } as const;

/** Makes the body that would be sent. One order of 150 batches is rejected, so that there are failures to look at. */
function serialized(): Import<Order> {
  let batches = 0;
  return {
    idempotent: true,
    async write(records) {
      Buffer.from(JSON.stringify(records));
      return batches++ % 150 === 0 ? records.map((_, index) => (index === 0 ? rejected : ok)) : undefined;
    },
  };
}

interface Seen {
  readonly events: number;
  readonly requests: number;
  readonly unchanged: number;
  readonly bad: number;
}

/** Opens the windows, calls `work` once all show something, and returns what they saw until it was done. */
async function besideWindows(job: object, work: () => Promise<void>): Promise<Seen> {
  const file = join(process.cwd(), "test/bench/dashboard-client.mjs");
  const child = fork(file, [JSON.stringify({ ...job, windows })], { execArgv: [] });
  const ended = new Promise<never>((_, reject) => {
    child.once("exit", (code) => reject(new Error(`the windows ended with ${String(code)}`)));
  });
  const message = () => Promise.race([ended, once(child, "message").then(([value]: unknown[]) => value)]);
  try {
    await message();
    await Promise.race([ended, work()]);
    const seen = message();
    child.send("enough");
    return (await seen) as Seen;
  } finally {
    child.kill();
    await ended.catch(() => undefined);
  }
}

/** So many runs, each of so many pages of so many records. */
interface Work {
  readonly runs: number;
  readonly pages: number;
  readonly size: number;
}

interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}

/** So many runs of so many pages, alone and watched, in turns: the median of five pairs, after one that only warms up. */
async function watched({ runs, pages, size }: Work): Promise<Figures> {
  return withStorage("sqlite", async (storage) => {
    const gate = { opened: Promise.resolve() };
    const exports = { from: parsedPages(gate, pages, size) };
    const registry = new FlowRegistry({ exports, imports: { into: serialized() }, storage });
    const scheduler = new Scheduler(registry, { logger: silent });
    const flow = await registry.create({ name: "Orders to ledger", _exportId: "from", _importId: "into" });
    const handler = createHandler({ scheduler, authorize: allowAll() });
    const server = createServer(toNodeListener(handler)).listen(0, "127.0.0.1");
    await Promise.all([once(server, "listening"), scheduler.start()]);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    /** The run has started, and reads once everything is ready. */
    const run = async (between: (_id: string, move: () => Promise<void>) => Promise<unknown>): Promise<Cost> => {
      let open = () => undefined as void;
      gate.opened = new Promise((resolve) => (open = resolve));
      const { _id } = await scheduler.run(flow._id);
      let cost: Cost = { ms: NaN, cpuMs: NaN };
      await between(_id, async () => {
        const before = process.cpuUsage();
        const ms = await timed(async () => {
          open();
          expectCompleted(await scheduler.waitFor(_id));
          for (let run = 1; run < runs; run++)
            expectCompleted(await scheduler.waitFor((await scheduler.run(flow._id))._id));
        });
        const { system, user } = process.cpuUsage(before);
        cost = { ms, cpuMs: (system + user) / 1_000 };
      });
      return cost;
    };
    const alone = () => run((_, move) => move());
    const seen: Seen[] = [];
    const beside = () => run(async (_id, move) => seen.push(await besideWindows({ url, _id }, move)));
    try {
      const pairs: (readonly [alone: Cost, beside: Cost])[] = [];
      for (let round = 0; round < 6; round++) {
        const [first, second] = round % 2 === 0 ? [alone, beside] : [beside, alone];
        const [one, other] = [await first(), await second()];
        pairs.push(first === alone ? [one, other] : [other, one]);
      }
      return figuresOf(pairs.slice(1), seen.slice(1));
    } finally {
      await scheduler.stop();
      server.closeAllConnections();
      server.close();
    }
  });
}

function figuresOf(pairs: readonly (readonly [alone: Cost, beside: Cost])[], seen: readonly Seen[]): Figures {
  const bad = seen.find((one) => one.bad > 0 || one.events === 0 || one.requests === 0);
  if (bad !== undefined) throw new Error(`the windows saw ${JSON.stringify(bad)}`);
  const cpu = summary(pairs.map(([alone, beside]) => beside.cpuMs / alone.cpuMs));
  const medianOf = (values: readonly number[]) => summary(values).median;
  return {
    cpu: cpu.median,
    cpuLeast: cpu.min,
    cpuMost: cpu.max,
    time: medianOf(pairs.map(([alone, beside]) => beside.ms / alone.ms)),
    seconds: medianOf(pairs.map(([alone]) => alone.ms)) / 1_000,
    requests: medianOf(seen.map(({ requests }) => requests)),
    unchanged: medianOf(seen.map(({ unchanged }) => unchanged)),
    events: medianOf(seen.map(({ events }) => events)),
  };
}

/** A host that runs one flow. With a page it serves what the page asks for, and nobody asks. */
async function hostOf(storage: Storage, { pages, size }: Work, page: "page" | "none") {
  const exports = { from: parsedPages({ opened: Promise.resolve() }, pages, size) };
  const registry = new FlowRegistry({ exports, imports: { into: serialized() }, storage });
  const scheduler = new Scheduler(registry, { logger: silent });
  const flow = await registry.create({ name: "Orders to ledger", _exportId: "from", _importId: "into" });
  const server = createServer();
  if (page === "page") {
    server.on("request", toNodeListener(createHandler({ scheduler, authorize: allowAll() })));
    await once(server.listen(0, "127.0.0.1"), "listening");
  }
  await scheduler.start();
  return {
    run: async () => expectCompleted(await scheduler.waitFor((await scheduler.run(flow._id))._id)),
    async close() {
      await scheduler.stop();
      server.close();
    },
  };
}

/** So many runs in a host with a page that nobody looks at, and in one without: ratios of ten pairs, in turns. */
async function unwatched(work: Work): Promise<Figures> {
  const costOf = (page: "page" | "none") =>
    withStorage("sqlite", async (storage): Promise<Cost> => {
      const host = await hostOf(storage, work, page);
      try {
        await host.run();
        const before = process.cpuUsage();
        const ms = await timed(async () => {
          for (let run = 0; run < work.runs; run++) await host.run();
        });
        const { system, user } = process.cpuUsage(before);
        return { ms, cpuMs: (system + user) / 1_000 };
      } finally {
        await host.close();
      }
    });
  const pairs: (readonly [none: Cost, page: Cost])[] = [];
  for (let round = 0; round < 11; round++) {
    const first = await costOf(round % 2 === 0 ? "none" : "page");
    const other = await costOf(round % 2 === 0 ? "page" : "none");
    // The first pair only warms up.
    if (round > 0) pairs.push(round % 2 === 0 ? [first, other] : [other, first]);
  }
  const cpu = summary(pairs.map(([none, page]) => page.cpuMs / none.cpuMs));
  const time = summary(pairs.map(([none, page]) => page.ms / none.ms));
  return { cpu: cpu.median, cpuLeast: cpu.min, cpuMost: cpu.max, time: time.median };
}

const unwatchedUnits = {
  cpu: "× the CPU of a host without a page, median of ten pairs",
  cpuLeast: "× in the least of them",
  cpuMost: "× in the most of them",
  time: "× the time of a host without a page, median of ten pairs",
};

const units = {
  cpu: "× the CPU of the host's process without windows, median of five pairs",
  cpuLeast: "× in the least of them",
  cpuMost: "× in the most of them",
  time: "× the time without windows, median of five pairs",
  seconds: "s without windows",
  requests: "requests of all windows",
  unchanged: "of them answered with 304",
  events: "events received by all windows",
};

/** Runs while nobody and while ten people look at the dashboard. */
export const dashboardCases: readonly BenchCase[] = [
  {
    title: "dashboard: a run with ten windows open, SQLite FULL, pages of 1,000",
    units,
    measure: () => watched({ runs: 1, pages: 3_000, size: 1_000 }),
  },
  {
    title: "dashboard: a run with ten windows open, SQLite FULL, pages of 100",
    units,
    measure: () => watched({ runs: 1, pages: 6_000, size: 100 }),
  },
  {
    title: "dashboard: 150 runs with ten windows open, SQLite FULL, 10 pages of 1,000 each",
    units,
    measure: () => watched({ runs: 150, pages: 10, size: 1_000 }),
  },
  {
    title: "dashboard: 300 runs beside a page that nobody looks at, SQLite FULL, 3 pages of 100 each",
    units: unwatchedUnits,
    measure: () => unwatched({ runs: 300, pages: 3, size: 100 }),
  },
];
