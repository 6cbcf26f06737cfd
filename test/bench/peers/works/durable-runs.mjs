// 20,000 empty runs: from the first that is asked for until the last has ended.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { engines, roundTrips } from "../engines.mjs";
import { cpuMsOf, postgresServer, redisServer } from "../servers.mjs";

const runs = 20_000;

/** Another process that executes the same jobs; `executed` is called with how many it has, now and then. */
async function otherProcess(job, executed) {
  const child = fork(fileURLToPath(new URL("../engine-worker.mjs", import.meta.url)), [JSON.stringify(job)]);
  const first = (name) =>
    new Promise((resolve, reject) => {
      child.on("message", (message) => name in message && resolve(message[name]));
      child.once("exit", (code) => reject(new Error(`the other process ended with ${code}`)));
    });
  child.on("message", (message) => "executed" in message && executed(message.executed));
  const figures = first("figures");
  figures.catch(() => undefined);
  await first("isReady");
  return { figures: () => (child.send("end"), figures) };
}

/** What so many processes need for the runs, and the server with them. */
async function measured(name, value, { processes, ...options }) {
  const server = value[serverOf(name)]?.pid;
  const place = `bench_${process.pid}`;
  const all = { ...value, place };
  const engine = await engines[name].open(all, { ...options, isFirst: true });
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const executed = Array.from({ length: processes }, () => 0);
  const seen = (at, count) => {
    executed[at] = count;
    if (executed.reduce((sum, one) => sum + one) >= runs) finish();
  };
  const others = [];
  for (let at = 1; at < processes; at++)
    others.push(await otherProcess({ engine: name, value: all, options }, (count) => seen(at, count)));
  await engine.work(() => seen(0, executed[0] + 1));
  const serverBefore = server === undefined ? 0 : cpuMsOf(server);
  const [started, cpu, tripsBefore] = [performance.now(), process.cpuUsage(), roundTrips()];
  for (let first = 0; first < runs; first += 1_000) await engine.add(first, 1_000);
  await finished;
  const wallMs = performance.now() - started;
  const serverMs = server === undefined ? undefined : cpuMsOf(server) - serverBefore;
  const { user, system } = process.cpuUsage(cpu);
  let [cpuMs, trips] = [(user + system) / 1_000, roundTrips() - tripsBefore];
  for (const other of others) {
    const figures = await other.figures();
    cpuMs += figures.cpuMs;
    trips += figures.trips;
  }
  await engine.close();
  const total = executed.reduce((sum, one) => sum + one);
  if (total !== runs) throw new Error(`${name}: ${total} runs were executed, expected ${runs}`);
  const own = { wallMs, cpuMs, ...(trips > 0 ? { trips } : {}) };
  return serverMs === undefined ? own : { ...own, serverMs };
}

const serverOf = (name) =>
  ({ "BullMQ, every second": "everySecond", "BullMQ, always": "always" })[name] ??
  (/memory|SQLite/.test(name) ? undefined : "server");

const needsRedis = (which) => (value) => (value[which] === undefined ? "no redis-server on this machine" : undefined);
const flowInOrder = "a flow's runs one at a time, in order; history";

const contestants = [
  { engine: "poundlock, memory", title: "**poundlock**, memory", guarantee: `${flowInOrder}; gone with the process` },
  { engine: "poundlock, SQLite", title: "**poundlock**, SQLite (FULL)", guarantee: `${flowInOrder}; synced` },
  { engine: "poundlock, PostgreSQL", title: "**poundlock**, PostgreSQL", guarantee: `${flowInOrder}; synced` },
  {
    engine: "BullMQ, every second",
    title: "BullMQ, Redis synced every second",
    guarantee: "no order within a flow; up to a second is lost",
    missing: needsRedis("everySecond"),
  },
  {
    engine: "BullMQ, always",
    title: "BullMQ, Redis synced by every command",
    guarantee: "no order within a flow",
    missing: needsRedis("always"),
  },
  { engine: "graphile-worker", title: "graphile-worker, local queue", guarantee: "no order within a flow; synced" },
  {
    engine: "graphile-worker, named queues",
    title: "graphile-worker, a queue for each flow",
    guarantee: "a flow's jobs in order; synced",
  },
  { engine: "pg-boss", title: "pg-boss", guarantee: "no order within a flow; synced" },
  {
    engine: "pg-boss, key_strict_fifo",
    title: "pg-boss, `key_strict_fifo`",
    guarantee: "a flow's jobs in order; synced",
  },
];

/** Each of them with one process and 50 at once, with 200, and where processes can share the work with two of 50. */
const settings = [
  { words: "50 at once", processes: 1, concurrency: 50 },
  { words: "200 at once", processes: 1, concurrency: 200 },
  { words: "two processes, 50 at once each", processes: 2, concurrency: 50 },
];

/** What an engine is made of. */
const packages = {
  "poundlock, memory": [],
  "poundlock, SQLite": ["poundlock/storage/sqlite", "libsql"],
  "poundlock, PostgreSQL": ["poundlock/storage/postgres", "pg"],
  "BullMQ, every second": ["bullmq"],
  "BullMQ, always": ["bullmq"],
  "graphile-worker": ["graphile-worker"],
  "graphile-worker, named queues": ["graphile-worker"],
  "pg-boss": ["pg-boss"],
  "pg-boss, key_strict_fifo": ["pg-boss"],
};

const isShared = (engine) => !/memory|SQLite/.test(engine);

function contendersOf({ words, ...setting }) {
  return contestants
    .filter(({ engine }) => setting.processes === 1 || isShared(engine))
    .map(({ engine, title, guarantee, missing }) => ({
      name: `${title}, ${words}`,
      ...(engine.startsWith("poundlock") ? {} : { role: "peer" }),
      ...{ guarantee, missing, modules: packages[engine] },
      run: (value) => measured(engine, value, setting),
    }));
}

/** A flow for each run: nothing waits for another run of its flow. */
const manyFlows = ["SQLite", "PostgreSQL"].map((kind) => ({
  name: `**poundlock**, ${kind}, 20,000 flows, 50 at once`,
  guarantee: `${flowInOrder}; synced`,
  modules: packages[`poundlock, ${kind}`],
  run: (value) => measured(`poundlock, ${kind}`, value, { processes: 1, concurrency: 50, flows: runs }),
}));

const shared = (words) => `**poundlock**, PostgreSQL, ${words}`;
const [once, often, twice] = settings.map(({ words }) => words);
const strict = "pg-boss, `key_strict_fifo`";

/** How many times as fast one is as another one. */
const faster = (text, one, other, atLeast) => ({
  ...{ text, atLeast },
  value: (by) => by(other).wallMs / by(one).wallMs,
});

const cpuOf = ({ cpuMs, serverMs = 0 }) => cpuMs + serverMs;

const goals = [
  faster(`50 at once, × graphile-worker`, shared(once), `graphile-worker, local queue, ${once}`, 1.2),
  faster(`50 at once, × its queues`, shared(once), `graphile-worker, a queue for each flow, ${once}`, 4.5),
  faster(`200 at once, × graphile-worker`, shared(often), `graphile-worker, local queue, ${often}`, 1.7),
  faster(`200 at once, × its queues`, shared(often), `graphile-worker, a queue for each flow, ${often}`, 6),
  faster(`200 at once, × pg-boss in order`, shared(often), `${strict}, ${often}`, 0.7),
  faster(`two processes, × pg-boss in order`, shared(twice), `${strict}, ${twice}`, 0.95),
  {
    text: "CPU of processes and server, × pg-boss in order",
    atMost: 1.25,
    value: (by) => cpuOf(by(shared(once))) / cpuOf(by(`${strict}, ${once}`)),
  },
  { text: "round trips a run, 50 at once", atMost: 0.1, value: (by) => by(shared(once)).trips / runs },
  {
    text: "SQLite, runs/s",
    atLeast: 5_000,
    value: (by) => (runs / by(`**poundlock**, SQLite (FULL), ${once}`).wallMs) * 1_000,
  },
];

export default {
  goals,
  title: "Durable runs: 20,000 empty runs of 500 flows",
  async prepare(folder) {
    const postgres = await postgresServer();
    const everySecond = await redisServer(folder, "everysec");
    const always = await redisServer(folder, "always");
    const { postgresPid, ...urls } = postgres.value;
    const value = {
      ...{ folder, ...urls, server: { pid: postgresPid } },
      ...{ everySecond: everySecond?.value, always: always?.value },
    };
    return {
      value,
      async close() {
        await postgres.close();
        await everySecond?.close();
        await always?.close();
      },
    };
  },
  contenders: [...settings.flatMap(contendersOf), ...manyFlows],
  cost: cpuOf,
  columns: [
    { title: "runs/s", value: ({ wallMs }) => (runs / wallMs) * 1_000 },
    { title: "µs of CPU a run, processes", value: ({ cpuMs }) => (cpuMs / runs) * 1_000 },
    {
      title: "µs of CPU a run, server",
      value: ({ serverMs }) => (serverMs === undefined ? NaN : (serverMs / runs) * 1_000),
    },
    { title: "round trips a run", value: ({ trips }) => (trips === undefined ? NaN : trips / runs) },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
};
