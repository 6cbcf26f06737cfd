import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { type Export, FlowRegistry, type Import, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { HostProcess, bundle } from "../child-process.ts";
import { type PostgresServer, connectionTo, startPostgres } from "../../support/postgres-server.ts";
import { type Measure, RetentionMeasures, tables } from "./retention-measures.ts";
import {
  type FastTime,
  type RetentionReport,
  type RetentionSetting,
  fastClock,
  leaseMs,
} from "./retention-settings.ts";

// `npm run test:soak:retention -- --minutes 120 --rate 50 [--speed 100] [--days 2] [--flows 500] [--report 5]`: three
// workers on one PostgreSQL execute so many runs a second, of one to three pages. Their time passes `speed` times as fast,
// so that a day's partition is full after a quarter of an hour, and removed two of their days later. Prints how things are
// every `report` minutes, and at the end whether the second half was as the first one.
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "120" },
    rate: { type: "string", default: "50" },
    speed: { type: "string", default: "100" },
    days: { type: "string", default: "2" },
    flows: { type: "string", default: "500" },
    report: { type: "string", default: "5" },
  },
});
const option = (name: keyof typeof values) => {
  const value = Number(values[name]);
  if (!(value > 0)) throw new Error(`--${name} is to be a number above 0`);
  return value;
};
const [minutes, rate, speed] = [option("minutes"), option("rate"), option("speed")];
const [days, flows, reportEvery] = [option("days"), option("flows"), option("report")];
// A clock that gains an hour in half a minute has jumped, and then nothing is removed.
if (speed >= 120) throw new Error("--speed is to be less than 120");

const dayMs = 86_400_000;
const workersAtOnce = 3;
const samplesMs = 5_000;

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort());

const text = (value: number, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });
const megabytes = (bytes: number) => text(bytes / 1e6, 1);

/** Partitions that came and went. */
class Partitions {
  readonly #seen = new Set<string>();
  #made = 0;
  #dropped = 0;

  note(names: readonly string[]): void {
    for (const name of names) if (!this.#seen.has(name)) this.#made++;
    for (const name of this.#seen) if (!names.includes(name)) this.#dropped++;
    this.#seen.clear();
    for (const name of names) this.#seen.add(name);
  }

  get line(): string {
    return `partitions ${this.#seen.size}, ${this.#made} made, ${this.#dropped} dropped`;
  }

  get dropped(): number {
    return this.#dropped;
  }
}

/** What became of it between two measures, for each run. */
function between(from: Measure, to: Measure) {
  const runs = to.ended - from.ended;
  const seconds = to.seconds - from.seconds;
  return {
    perSecond: runs / seconds,
    walPerRun: (to.walBytes - from.walBytes) / runs,
    serverUs: ((to.serverMs - from.serverMs) * 1_000) / runs,
    workerUs: ((to.workerMs - from.workerMs) * 1_000) / runs,
    serverShare: (to.serverMs - from.serverMs) / 1_000 / seconds,
    workerShare: (to.workerMs - from.workerMs) / 1_000 / seconds,
  };
}

function print(before: Measure, now: Measure, partitions: Partitions): void {
  const { perSecond, serverShare, serverUs, walPerRun, workerShare, workerUs } = between(before, now);
  console.log(
    [
      `minute ${text(now.seconds / 60)}: ${text(now.ended)} runs ended, ${text(now.kept)} kept, ${text(perSecond, 1)}/s,`,
      `${text(walPerRun)} B of WAL a run, ${partitions.line};`,
      `a run: server ${text(serverUs)} µs, workers ${text(workerUs)} µs; cores: ${text(serverShare, 3)} and ${text(workerShare, 3)}`,
    ].join(" "),
  );
  const sizes = tables.map((name) => {
    const { deadRows = 0, heapBytes = 0, indexBytes = 0, vacuums = 0 } = now.sizes.get(name) ?? {};
    return `${name} ${megabytes(heapBytes)} + ${megabytes(indexBytes)} MB, ${text(deadRows)} dead, ${vacuums} vacuums`;
  });
  console.log(`  ${sizes.join("; ")}`);
}

// Without changes, which are emptied by the hour.
function totalBytes({ sizes }: Measure): number {
  const some = [...sizes].flatMap(([name, size]) => (name === "changes" ? [] : size));
  return some.reduce((sum, { heapBytes, indexBytes }) => sum + heapBytes + indexBytes, 0);
}

/** Whether the second half was as the first; sizes from when the first partition may go, which is after `days`. */
function verdict(all: readonly Measure[]): boolean {
  const [first, last] = [all[0], all.at(-1)];
  const half = all[Math.floor(all.length / 2)];
  if (first === undefined || half === undefined || last === undefined || all.length < 4) {
    console.log("too short for halves");
    return true;
  }
  const [one, two] = [between(first, half), between(half, last)];
  const quarter = (nth: number) =>
    all.slice(Math.floor((all.length * nth) / 4), Math.floor((all.length * (nth + 1)) / 4));
  const largest = (some: readonly Measure[]) => Math.max(...some.map(totalBytes));
  const rows: readonly (readonly [string, number, number])[] = [
    ["bytes of WAL a run", one.walPerRun, two.walPerRun],
    ["µs of the server a run", one.serverUs, two.serverUs],
    ["µs of the workers a run", one.workerUs, two.workerUs],
    [
      "largest size without changes in the third and the fourth quarter, in bytes",
      largest(quarter(2)),
      largest(quarter(3)),
    ],
  ];
  for (const [name, before, after] of rows)
    console.log(`${name}: ${text(before)}, then ${text(after)} (${text(after / before, 2)} times)`);
  const isSteady = Math.abs(two.perSecond / one.perSecond - 1) < 0.05;
  console.log(`runs a second: ${text(one.perSecond, 1)}, then ${text(two.perSecond, 1)}`);
  return isSteady && rows.every(([, before, after]) => after <= before * 1.15);
}

/** Queues runs of all flows in turn, as many a second as asked for, until it is over. */
async function queue(scheduler: Scheduler, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  for (let queued = 0; !signal.aborted;) {
    const due = Math.floor(((performance.now() - began) / 1_000) * rate);
    const some = Array.from({ length: Math.min(due - queued, 200) }, (_, index) => `flow-${(queued + index) % flows}`);
    await Promise.all(some.map((_id) => scheduler.run(_id)));
    queued += some.length;
    await pause(100);
  }
}

async function startQueue(storage: PostgresStorage, time: FastTime): Promise<Scheduler> {
  const never: Export<number> = {
    pages: () => {
      throw new Error("runs are executed by the workers");
    },
  };
  const nowhere: Import<number> = { idempotent: true, write: async () => undefined };
  const clock = fastClock(storage.clock, time);
  const registry = new FlowRegistry({ exports: { orders: never }, imports: { ledger: nowhere }, storage, clock });
  for (let nth = 0; nth < flows; nth++)
    await registry.define(`flow-${nth}`, { name: `flow ${nth}`, _exportId: "orders", _importId: "ledger" });
  const scheduler = new Scheduler(registry, { roles: [], leaseMs, name: "queue", logger: silentLogger });
  await scheduler.start();
  return scheduler;
}

async function measureAll(measures: RetentionMeasures, signal: AbortSignal): Promise<boolean> {
  const partitions = new Partitions();
  const all: Measure[] = [];
  const end = performance.now() + minutes * 60_000;
  let nextReport = performance.now() + reportEvery * 60_000;
  let reported: Measure | undefined;
  while (!signal.aborted && performance.now() < end) {
    await pause(samplesMs, undefined, { signal }).catch(() => undefined);
    partitions.note(await measures.partitions());
    if (all.length > 0 && performance.now() < nextReport && performance.now() < end) continue;
    const now = await measures.take();
    all.push(now);
    if (reported !== undefined) {
      print(reported, now, partitions);
      nextReport += reportEvery * 60_000;
    }
    reported = now;
  }
  if (signal.aborted) return false;
  return verdict(all) && partitions.dropped > 0;
}

async function soak(server: PostgresServer): Promise<void> {
  const connection = connectionTo(server.port);
  const pool = new pg.Pool({ ...connection, max: 4 });
  const program = await bundle("workers/retention-worker");
  const workers: HostProcess<RetentionReport>[] = [];
  const over = new AbortController();
  let measures: RetentionMeasures | undefined;
  try {
    const storage = await PostgresStorage.open(pool, { partition: "day" });
    const beginsAt = storage.clock.now();
    // Two hours before a day ends: so its partition is the first that may be removed.
    const time = { beginsAt, showsAt: Math.ceil(beginsAt / dayMs) * dayMs - 7_200_000, speed };
    const scheduler = await startQueue(storage, time);
    for (let nth = 1; nth <= workersAtOnce; nth++) {
      const setting: RetentionSetting = { name: `worker ${nth}`, connection, time, retentionDays: days };
      workers.push(new HostProcess<RetentionReport>(program, setting));
    }
    for (const worker of workers) await worker.until(() => worker.all("ready").length > 0);
    measures = new RetentionMeasures(connection, () => workers.map(({ pid }) => pid));
    const queueing = queue(scheduler, over.signal);
    queueing.catch(() => interrupted.abort());
    const isFlat = await measureAll(measures, interrupted.signal);
    over.abort();
    await queueing;
    await scheduler.stop();
    await storage.close();
    for (const worker of workers) worker.send("SIGTERM");
    await Promise.all(workers.map(({ ended }) => ended));
    sayErrors(workers);
    console.log(isFlat ? "the second half was flat" : "the second half was not flat, or it was interrupted");
    if (!isFlat) process.exitCode = 1;
  } finally {
    over.abort();
    for (const worker of workers) await worker.kill();
    await measures?.close();
    await pool.end();
    await program.remove();
  }
}

function sayErrors(workers: readonly HostProcess<RetentionReport>[]): void {
  const said = workers.flatMap(({ reports }) => reports.flatMap((line) => ("message" in line ? line : [])));
  console.log(`${said.length} runs failed, or errors`);
  for (const { what, message } of said.slice(0, 10)) console.log(`  ${what}: ${message}`);
  if (said.length > 0) process.exitCode = 1;
}

console.log(
  `${text(minutes)} minutes, ${rate} runs/s, ${flows} flows, ${days} days at ${speed} times, Node ${process.version}`,
);
const server = await startPostgres([]);
try {
  await soak(server);
} finally {
  await server.stop();
}
process.exit();
