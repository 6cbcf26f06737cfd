// npm run bench:executors [-- --rounds 3] [-- part of a title]: what a wake-up costs, and how long it takes, with each of
// the executors of processes that share work. One executor wakes, another one in the same process calls; the engine is a server
// of its own. It takes some minutes, and ends within eight. Prints each round, and then a table in Markdown.
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { BullExecutor } from "../../src/executor/bull-executor.ts";
import type { Executor } from "../../src/executor/executor.ts";
import { GraphileExecutor } from "../../src/executor/graphile-executor.ts";
import { LocalExecutor } from "../../src/executor/local-executor.ts";
import { SharedExecutor } from "../../src/executor/shared-executor.ts";
import { PostgresStorage } from "../../src/storage/postgres/postgres-storage.ts";
import { connectionTo, startPostgres } from "../support/postgres-server.ts";
import { startRedis } from "../support/redis-server.ts";
import { summary } from "./measure.ts";

/** Wake-ups of the burst, each of a flow of its own, and those that come one by one. */
const [burst, single] = [20_000, 300];
const concurrency = 50;

/** How long wake-ups may take, in milliseconds. */
const limitMs = 60_000;

/** How long all of it may take, in milliseconds. */
const endMs = 8 * 60_000;

/** Two executors that share an engine, and the processes of the engine. */
interface Pair {
  readonly wakes: Executor;
  readonly calls: Executor;
  /** Where the engine's processes work, which is how they are known; none for an executor of one process. */
  readonly folder?: string;
  readonly end: () => Promise<void>;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "3" } },
});
const rounds = Number(values.rounds);

const postgres = await startPostgres(["fsync=on"]);
const redis = await startRedis();
const connection = { ...connectionTo(postgres.port), max: 10 };

async function onPool(open: (pool: pg.Pool) => Promise<Pick<Pair, "wakes" | "calls">>): Promise<Pair> {
  const pools = [new pg.Pool(connection)] as const;
  const pair = await open(pools[0]);
  return { ...pair, folder: postgres.folder, end: () => pools[0].end() };
}

let places = 0;
const newPlace = () => `place_${process.pid}_${++places}`;

const cases: Readonly<Record<string, (() => Promise<Pair>) | undefined>> = {
  async "LocalExecutor, one process"() {
    const executor = new LocalExecutor();
    return { wakes: executor, calls: executor, end: async () => undefined };
  },
  "SharedExecutor, PostgresStorage": () =>
    onPool(async (pool) => {
      const schema = newPlace();
      const [one, other] = [await PostgresStorage.open(pool, { schema }), await PostgresStorage.open(pool, { schema })];
      return { wakes: new SharedExecutor(one.wakes), calls: new SharedExecutor(other.wakes) };
    }),
  "BullExecutor, Redis":
    "missing" in redis
      ? undefined
      : async () => {
          const options = { connection: { host: "127.0.0.1", port: redis.port }, queue: newPlace() };
          const end = async () => undefined;
          return { wakes: new BullExecutor(options), calls: new BullExecutor(options), folder: redis.folder, end };
        },
  async "BullExecutor, PostgreSQL"() {
    const options = { backend: "postgres", connection: { ...connection, migrate: true }, queue: newPlace() } as const;
    const end = async () => undefined;
    return { wakes: new BullExecutor(options), calls: new BullExecutor(options), folder: postgres.folder, end };
  },
  GraphileExecutor: () =>
    onPool(async (pool) => {
      const options = { connection: pool, name: newPlace() };
      return { wakes: new GraphileExecutor(options), calls: new GraphileExecutor(options) };
    }),
};

/** CPU time of all processes that work in the folder, in microseconds; the kernel counts hundredths of seconds. */
function serverCpu(folder: string | undefined): number {
  if (folder === undefined) return 0;
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      if (readlinkSync(`/proc/${pid}/cwd`) !== folder) continue;
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It has ended.
    }
  return ticks * 10_000;
}

/** Rejects with what there is if it takes longer than a round may. */
async function inTime(work: Promise<void>, found: () => string): Promise<void> {
  const timeout = new AbortController();
  const late = pause(limitMs, undefined, { signal: timeout.signal }).then(() => {
    throw new Error(`${found()} within ${limitMs / 1_000} seconds`);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    timeout.abort();
    late.catch(() => undefined);
  }
}

async function measure(open: () => Promise<Pair>): Promise<Record<string, number>> {
  const { calls, end, folder, wakes } = await open();
  let onCall: (flowId: string) => void = () => undefined;
  await calls.start({ concurrency, exportIds: ["orders"], runNext: async (flowId) => (onCall(flowId), false) });
  const called = (count: number) => {
    const seen = new Set<string>();
    const all = new Promise<void>((resolve) => {
      onCall = (flowId) => {
        if (seen.add(flowId).size === count) resolve();
      };
    });
    return inTime(all, () => `${seen.size} of ${count} wake-ups led to a call`);
  };
  const warm = called(100);
  await Promise.all(Array.from({ length: 100 }, (_, index) => wakes.wake(`warm ${index}`, "orders")));
  await warm;
  await pause(1_500);

  const latencies: number[] = [];
  for (let index = 0; index < single; index++) {
    const done = called(1);
    const start = performance.now();
    await wakes.wake(`single ${index}`, "orders");
    await done;
    latencies.push(performance.now() - start);
    await pause(3);
  }
  latencies.sort((a, b) => a - b);

  const all = called(burst);
  const [client, server, start] = [process.cpuUsage(), serverCpu(folder), performance.now()];
  await Promise.all(Array.from({ length: burst }, (_, index) => wakes.wake(`burst ${index}`, "orders")));
  await all;
  const seconds = (performance.now() - start) / 1_000;
  const used = process.cpuUsage(client);
  const figures = {
    "latency p50, ms": latencies[Math.floor(single / 2)] ?? NaN,
    "latency p99, ms": latencies[Math.floor(single * 0.99)] ?? NaN,
    [`${burst.toLocaleString("en")} at once, s`]: seconds,
    "process, µs a wake-up": (used.user + used.system) / burst,
    "engine, µs a wake-up": (serverCpu(folder) - server) / burst,
  };
  await Promise.all([wakes.stop(), calls.stop()]);
  await end();
  return figures;
}

const text = (value: number) => value.toLocaleString("en", { maximumSignificantDigits: 3 });

async function measureAll(): Promise<ReadonlyMap<string, readonly Record<string, number>[]>> {
  const chosen = Object.entries(cases).filter(([title]) => title.includes(positionals.join(" ")));
  const measured = new Map<string, Record<string, number>[]>();
  for (let round = 0; round < rounds; round++)
    for (const [title, open] of chosen) {
      if (open === undefined) continue;
      const figures = await measure(open);
      measured.set(title, [...(measured.get(title) ?? []), figures]);
      // Each as it comes: the whole takes minutes.
      const parts = Object.entries(figures).map(([name, value]) => `${name} ${text(value)}`);
      console.log(`${title}: ${parts.join("; ")}`);
    }
  return measured;
}

function tableOf(measured: ReadonlyMap<string, readonly Record<string, number>[]>): string {
  const [first = []] = [...measured.values()].map(([figures = {}]) => Object.keys(figures));
  const rows = [...measured].map(([title, all]) => [
    title,
    ...first.map((name) => {
      const { max, median, min } = summary(all.map((figures) => figures[name] ?? NaN));
      return `${text(median)} [${text(min)} – ${text(max)}]`;
    }),
  ]);
  const lines = [["", ...first], ["---", ...first.map(() => "---")], ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

console.log(
  `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "?"}, load ${loadavg()[0]?.toFixed(1) ?? "?"}`,
);
if ("missing" in redis) console.log(`skipped on Redis: ${redis.missing}`);
// Whatever hangs, the servers end.
const end = async (code: number) => {
  await postgres.stop();
  if ("port" in redis) await redis.stop();
  process.exit(code);
};
setTimeout(() => {
  console.error(`not done within ${endMs / 60_000} minutes`);
  void end(1);
}, endMs);
try {
  console.log(`\nmedian of ${rounds} [lowest – highest]\n\n${tableOf(await measureAll())}`);
  await end(0);
} catch (error) {
  console.error(error);
  await end(1);
}
