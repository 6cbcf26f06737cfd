import { monitorEventLoopDelay } from "node:perf_hooks";
import { type Clock, FlowRegistry, type Import, Scheduler, systemClock } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { withStorage } from "./disk.ts";
import { emptyPages, noOp } from "./hosts.ts";
import { largeCatalog, largeFile, noonClock } from "./large-file.ts";
import { type BenchCase, type Figures, timed } from "./measure.ts";
import { makeOrder } from "./ndjson.ts";
import { rawInsertsPerSecond } from "./raw-sqlite.ts";

const callers = 50;
const catalog = { exports: { from: emptyPages }, imports: { sink: noOp() } };

/** Calls `work` for 1 to `count`, so many at once as there are callers, each one call after the other. */
async function byCallers(count: number, work: (number: number, caller: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const call = async (caller: number) => {
    while (next < count) await work(next++, caller);
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
}

async function makeFlows(registry: FlowRegistry, count: number, schedule?: string): Promise<readonly string[]> {
  const _ids: string[] = [];
  await byCallers(count, async (number) => {
    const flow = { name: `Flow ${number}`, _exportId: "from", _importId: "sink" };
    const made = await registry.create({ ...flow, ...(schedule === undefined ? {} : { schedule }) });
    _ids.push(made._id);
  });
  return _ids;
}

/** Resolves once `count` runs have completed from now on; rejects if one fails. */
function completed(scheduler: Scheduler, count: number): Promise<void> {
  const _ids = new Set<string>();
  return new Promise((resolve, reject) => {
    scheduler.on("run:failed", ({ run }) => reject(new Error(run.error?.message)));
    scheduler.on("background:error", ({ error }) => reject(error as Error));
    scheduler.on("run:completed", ({ run }) => {
      if (_ids.add(run._id).size === count) resolve();
    });
  });
}

async function emptyRuns(): Promise<Figures> {
  return withStorage("sqlite", async (storage) => {
    const registry = new FlowRegistry({ ...catalog, storage });
    const scheduler = new Scheduler(registry as FlowRegistry, { concurrency: 50 });
    const _flowIds = await makeFlows(registry as FlowRegistry, callers);
    await scheduler.start();
    const rate = async (count: number) => {
      const all = completed(scheduler, count);
      const ms = await timed(async () => {
        await byCallers(count, (_, caller) => scheduler.run(_flowIds[caller] ?? ""));
        await all;
      });
      return (count / ms) * 1_000;
    };
    await rate(2_000);
    const perSecond = await rate(20_000);
    await scheduler.stop();
    return { perSecond };
  });
}

const dueCount = 10_000;
const noon = Date.UTC(2030, 0, 1, 12);

async function allDueAtOnce(concurrency: number): Promise<Figures> {
  return withStorage("sqlite", async (storage) => {
    const atNoon: Clock = { ...systemClock, now: () => noon };
    // Due at a minute past noon, and not again before the next day.
    await makeFlows(new FlowRegistry({ ...catalog, storage, clock: atNoon }) as FlowRegistry, dueCount, "1 12 * * *");
    const dueAt = performance.now() + 2_000;
    const clock: Clock = { ...systemClock, now: () => noon + 60_000 + Math.floor(performance.now() - dueAt) };
    const scheduler = new Scheduler(new FlowRegistry({ ...catalog, storage, clock }) as FlowRegistry, { concurrency });
    let queued = 0;
    let queuedMs = 0;
    scheduler.on("run:queued", () => {
      if (++queued === dueCount) queuedMs = performance.now() - dueAt;
    });
    const all = completed(scheduler, dueCount);
    const delays = monitorEventLoopDelay({ resolution: 1 });
    await scheduler.start();
    if (queued > 0) throw new Error("the flows were due before the scheduler had started");
    delays.enable();
    await all;
    const endedMs = performance.now() - dueAt;
    delays.disable();
    await scheduler.stop();
    return { queuedMs, endedMs, longestBlockMs: delays.max / 1e6 };
  });
}

function dueCase(concurrency: number): BenchCase {
  return {
    title: `durable: 10,000 flows due in the same minute, ${concurrency} at once`,
    units: {
      queuedMs: "ms from the due time until all were queued",
      endedMs: "ms from the due time until all had completed",
      longestBlockMs: "ms the event loop was blocked at most",
    },
    measure: () => allDueAtOnce(concurrency),
  };
}

const events = 20_000;

/** Counts what arrives, and resolves once so many different orders have. */
function collecting(count: number): { readonly sink: Import<unknown>; readonly all: Promise<void> } {
  const seen = new Set<string>();
  let done: () => void;
  const all = new Promise<void>((resolve) => (done = resolve));
  const sink: Import<unknown> = {
    idempotent: true,
    async write(records) {
      for (const { id } of records as readonly { readonly id: string }[]) seen.add(id);
      if (seen.size >= count) done();
    },
  };
  return { sink, all };
}

async function accepting(storage: Storage, withIds: boolean): Promise<Figures> {
  const warmUp = 2_000;
  const { sink, all } = collecting(warmUp + events);
  const registry = new FlowRegistry({
    exports: { from: { listen: () => () => undefined, pageSize: 1_000 } },
    imports: { sink },
    storage,
  });
  // No event is to be refused, however far the run that drains the inbox stays behind.
  const scheduler = new Scheduler(registry as FlowRegistry, { maxInboxPages: warmUp + events });
  await registry.create({ name: "events", _exportId: "from", _importId: "sink" });
  await scheduler.start();
  const accept = (number: number) =>
    scheduler.accept("from", [makeOrder(number)], withIds ? { ids: [`event-${number}`] } : {});
  await byCallers(warmUp, accept);
  const start = performance.now();
  await byCallers(events, (number) => accept(warmUp + number));
  const ms = performance.now() - start;
  await all;
  const deliveredMs = performance.now() - start;
  // What is sent once more is known.
  const { duplicates } = await accept(0);
  if (duplicates !== (withIds ? 1 : 0)) throw new Error(`${duplicates} duplicates of one event that was there before`);
  await scheduler.stop();
  return { perSecond: (events / ms) * 1_000, deliveredPerSecond: (events / deliveredMs) * 1_000 };
}

function acceptCase(name: string, withIds: boolean): BenchCase {
  return {
    title: `durable: accept${name}, one event a call, 50 callers`,
    units: {
      perSecond: "events accepted/s, while a run drains the inbox",
      deliveredPerSecond: "events accepted and delivered/s",
      rawPerSecond: "raw SQLite inserts/s, a transaction each",
    },
    measure: async () => {
      const figures = await withStorage("sqlite", (storage) => accepting(storage, withIds));
      return { ...figures, rawPerSecond: await rawInsertsPerSecond() };
    },
  };
}

async function opening(): Promise<Figures> {
  const { file, builtMs } = await largeFile();
  if (builtMs > 0) console.warn(`made ${file} in ${Math.round(builtMs)} ms`);
  const start = performance.now();
  const storage = await SqliteStorage.open(file);
  const openMs = performance.now() - start;
  const registry = new FlowRegistry({ ...largeCatalog, storage, clock: noonClock });
  const scheduler = new Scheduler(registry);
  await scheduler.start();
  const startedMs = performance.now() - start;
  await scheduler.stop();
  await storage.close();
  return { startedMs, openMs };
}

/** What it costs to keep runs and events on disk. */
export const runCases: readonly BenchCase[] = [
  {
    title: "durable: runs with one empty page, 50 flows, 50 at once",
    units: { perSecond: "runs/s, from the first call of run until the last had completed, 50 callers" },
    measure: emptyRuns,
  },
  dueCase(50),
  dueCase(10),
  acceptCase("", false),
  acceptCase(" with event ids", true),
  {
    title: "durable: start on a file of 100,000 flows and 1 million ended runs",
    units: {
      startedMs: "ms from SqliteStorage.open until Scheduler.start had resolved, the file in the system's cache",
      openMs: "ms of that until it was open",
    },
    measure: opening,
  },
];
