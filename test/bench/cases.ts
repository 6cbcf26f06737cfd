import { monitorEventLoopDelay } from "node:perf_hooks";
import {
  type Clock,
  type Export,
  FlowRegistry,
  type Import,
  MemoryStorage,
  Scheduler,
  reject,
  systemClock,
} from "../../src/index.ts";
import { type BenchCase, type Figures, liveHeap, summary, timed } from "./measure.ts";

interface Row {
  readonly id: number;
  readonly name: string;
  readonly amount: number;
  readonly at: string;
}

/** Makes `total` records anew, page by page, as a source that reads them from somewhere does. */
function rows(total: number, pageSize: number): Export<Row, { readonly page: number }> {
  return {
    order: "ordered",
    pageSize,
    async *pages({ checkpoint }) {
      for (let page = checkpoint?.page ?? 0; page * pageSize < total; page++)
        yield { records: makePage(page, pageSize), checkpoint: { page: page + 1 } };
    },
  };
}

/** Pages out of records that are there already. */
function kept(records: readonly Row[], pageSize: number): Export<Row, { readonly read: number }> {
  return {
    order: "ordered",
    pageSize,
    async *pages({ checkpoint }) {
      for (let read = checkpoint?.read ?? 0; read < records.length; read += pageSize)
        yield { records: records.slice(read, read + pageSize), checkpoint: { read: read + pageSize } };
    },
  };
}

function makePage(page: number, pageSize: number): Row[] {
  const records: Row[] = [];
  for (let index = 0; index < pageSize; index++) {
    const id = page * pageSize + index;
    records.push({ id, name: "row", amount: id * 2, at: "2026-11-23" });
  }
  return records;
}

function noOp(): Import<unknown> {
  return { idempotent: true, write: async () => undefined };
}

async function runOnce(from: Export<Row>, imports: Readonly<Record<string, Import<unknown>>>): Promise<number> {
  const registry = new FlowRegistry({ exports: { from }, imports });
  const scheduler = new Scheduler(registry, { maxFailures: 1_000_000 });
  const flow = await registry.create({ name: "bench", _exportId: "from", _importIds: Object.keys(imports) });
  await scheduler.start();
  const ms = await timed(async () => {
    const ended = await scheduler.waitFor((await scheduler.run(flow._id))._id);
    if (ended.status !== "completed") throw new Error(`the run ${ended.status}: ${ended.error?.message ?? ""}`);
  });
  await scheduler.stop();
  return ms;
}

// What a host would write by hand for the same job, without keeping anything: the yardstick.
async function byHand(from: Export<Row>, into: Import<unknown>): Promise<number> {
  return timed(async () => {
    const context = { checkpoint: undefined, pageSize: from.pageSize } as never;
    for await (const page of from.pages?.(context) ?? [])
      await into.write("records" in page ? page.records : page, context);
  });
}

/** The median of three, after two that let the compiler get to know the code: a host that moves records moves many. */
async function warmMedian(work: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) times.push(await work());
  return summary(times.slice(2)).median;
}

async function throughput(total: number, pageSize: number, from: () => Export<Row>): Promise<Figures> {
  const loop = await warmMedian(() => byHand(from(), noOp()));
  const ms = await warmMedian(() => runOnce(from(), { sink: noOp() }));
  const pages = total / pageSize;
  return { perSecond: (total / ms) * 1_000, perPageUs: (ms / pages) * 1_000, byHandPerSecond: (total / loop) * 1_000 };
}

const throughputUnits = {
  perSecond: "records/s",
  perPageUs: "µs a page",
  byHandPerSecond: "records/s of the same job as a loop that keeps nothing",
};

async function emptyRuns(): Promise<Figures> {
  const empty: Export<Row> = {
    async *pages() {
      yield [];
    },
  };
  const registry = new FlowRegistry({ exports: { empty }, imports: { sink: noOp() } });
  const scheduler = new Scheduler(registry);
  const flow = await registry.create({ name: "empty", _exportId: "empty", _importId: "sink" });
  await scheduler.start();
  const rounds: number[] = [];
  for (let round = 0; round < 20; round++)
    rounds.push(
      await timed(async () => {
        for (let run = 1; run < 500; run++) await scheduler.run(flow._id);
        await scheduler.waitFor((await scheduler.run(flow._id))._id);
      }),
    );
  await scheduler.stop();
  const warm = rounds.slice(10).sort((one, other) => one - other);
  return { perRunUs: ((warm[5] ?? NaN) / 500) * 1_000 };
}

async function flowsInMemory(): Promise<Figures> {
  const count = 100_000;
  const before = liveHeap();
  const registry = new FlowRegistry({ exports: { from: rows(1, 1) }, imports: { sink: noOp() } });
  const scheduler = new Scheduler(registry);
  await scheduler.start();
  for (let index = 0; index < count; index++)
    await registry.create({ name: `Flow ${index}`, schedule: "* * * * *", _exportId: "from", _importId: "sink" });
  const bytes = (liveHeap() - before) / count;
  await scheduler.stop();
  return { bytesPerFlow: bytes };
}

const hour = Date.UTC(2030, 0, 1, 12);

/** The system's clock, set to half a second before the minute in which everything is due. */
function nearlyDue(): Clock {
  const offset = hour + 59_500 - Date.now();
  return { ...systemClock, now: () => Date.now() + offset };
}

async function allDueAtOnce(): Promise<Figures> {
  const count = 100_000;
  const storage = new MemoryStorage();
  const empty: Export<Row> = {
    async *pages() {
      yield [];
    },
  };
  const earlier: Clock = { ...systemClock, now: () => hour };
  const early = new FlowRegistry({ exports: { empty }, imports: { sink: noOp() }, storage, clock: earlier });
  for (let index = 0; index < count; index++)
    await early.create({ name: `Flow ${index}`, schedule: "* * * * *", _exportId: "empty", _importId: "sink" });
  const clock = nearlyDue();
  const registry = new FlowRegistry({ exports: { empty }, imports: { sink: noOp() }, storage, clock });
  const scheduler = new Scheduler(registry);
  let queued = 0;
  let completed = 0;
  const start = performance.now();
  let queuedMs = 0;
  scheduler.on("run:queued", () => {
    if (++queued === count) queuedMs = performance.now() - start;
  });
  const delays = monitorEventLoopDelay({ resolution: 1 });
  const ended = new Promise<void>((resolve) => {
    scheduler.on("run:completed", () => {
      if (++completed === count) resolve();
    });
  });
  delays.enable();
  await scheduler.start();
  await ended;
  delays.disable();
  const endedMs = performance.now() - start;
  await scheduler.stop();
  return { queuedMs, endedMs, longestBlockMs: delays.max / 1e6 };
}

async function peakMemory(total: number): Promise<Figures> {
  await runOnce(rows(total, 1_000), { sink: noOp() });
  return { peakMb: process.resourceUsage().maxRSS / 1_024 };
}

async function rejecting(): Promise<Figures> {
  const total = 1_000_000;
  const dirty: Import<unknown> = {
    idempotent: true,
    async write(records) {
      return (records as readonly Row[]).map(({ id }) =>
        id % 100 === 7 ? { ok: false as const, fault: "reject" as const, error: "id ends in 07" } : ok,
      );
    },
  };
  const clean: Import<unknown> = { idempotent: true, write: async (records) => records.map(() => ok) };
  const cleanMs = await warmMedian(() => runOnce(rows(total, 1_000), { clean }));
  const dirtyMs = await warmMedian(() => runOnce(rows(total, 1_000), { dirty }));
  return { ratio: cleanMs / dirtyMs, failuresPerSecond: (total / 100 / dirtyMs) * 1_000 };
}

const ok = { ok: true } as const;

async function fanOut(): Promise<Figures> {
  const total = 1_000_000;
  const one = await warmMedian(() => runOnce(rows(total, 1_000), { one: noOp() }));
  const two = await warmMedian(() => runOnce(rows(total, 1_000), { one: noOp(), two: noOp() }));
  return { ratio: one / two };
}

async function poisoned(): Promise<Figures> {
  const total = 100_000;
  const whole: Import<unknown> = {
    idempotent: true,
    batchSize: 100,
    async write(records) {
      if ((records as readonly Row[]).some(({ id }) => id % 1_000 === 7)) throw reject("one of these ends in 007");
    },
  };
  const ms = await warmMedian(() => runOnce(rows(total, 1_000), { whole }));
  return { perSecond: (total / ms) * 1_000 };
}

function keptCase(pageSize: number): BenchCase {
  const measure = () => {
    const records = makePage(0, 1_000_000);
    return throughput(records.length, pageSize, () => kept(records, pageSize));
  };
  return { title: `in memory to no-op, pages of ${pageSize.toLocaleString("en")}`, units: throughputUnits, measure };
}

// Left alone, V8 lets garbage pile up as long as there is room, and the peak says more about its mood than about what
// is kept. So its heap is small here: what grew with the records would not fit.
function peakMemoryCase(count: string, total: number): BenchCase {
  return {
    title: `peak memory, ${count} records`,
    units: { peakMb: "MB at the most, with V8's heap limited to 64 MB" },
    flags: ["--max-old-space-size=64", "--max-semi-space-size=2"],
    measure: () => peakMemory(total),
  };
}

export const cases: readonly BenchCase[] = [
  keptCase(20),
  keptCase(100),
  keptCase(1_000),
  {
    title: "records made anew to no-op, pages of 100",
    units: throughputUnits,
    measure: () => throughput(2_000_000, 100, () => rows(2_000_000, 100)),
  },
  { title: "two imports instead of one, pages of 1,000", units: { ratio: "× the rate of one" }, measure: fanOut },
  {
    title: "1 % rejected, pages of 1,000",
    units: { ratio: "× the clean rate", failuresPerSecond: "failures stored/s" },
    measure: rejecting,
  },
  { title: "one poison record in every tenth batch of 100", units: { perSecond: "records/s" }, measure: poisoned },
  { title: "a run with one empty page", units: { perRunUs: "µs a run" }, measure: emptyRuns },
  {
    title: "100,000 scheduled flows registered",
    units: { bytesPerFlow: "bytes of heap a flow" },
    measure: flowsInMemory,
  },
  {
    title: "100,000 flows due in the same minute",
    units: {
      queuedMs: "ms until all were queued, of which about 500 were waiting",
      endedMs: "ms until all had run",
      longestBlockMs: "ms the event loop was blocked at most",
    },
    measure: allDueAtOnce,
  },
  peakMemoryCase("1 million", 1_000_000),
  peakMemoryCase("10 million", 10_000_000),
];
