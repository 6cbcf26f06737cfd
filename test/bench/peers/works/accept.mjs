// 5,000 events by 50 callers, each of whom waits until his event is kept; one flow, or queue, that delivers them meanwhile.
import { modulesOf, openStorage } from "../hosts.mjs";
import { cpuMsOf, postgresServer, redisServer } from "../servers.mjs";

const total = 5_000;
const callers = 50;
const event = (number) => ({ id: `e-${number}`, order: number, status: "paid" });

/** Calls `send` for each event, so many at once; then waits until `delivered` resolves. */
async function measured({ send, delivered, serverPid }) {
  const serverBefore = serverPid === undefined ? 0 : cpuMsOf(serverPid);
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  const late = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (next < total) {
        const sentAt = performance.now();
        await send(event(next++));
        late.push(performance.now() - sentAt);
      }
    }),
  );
  const acceptedMs = performance.now() - started;
  await delivered;
  const { user, system } = process.cpuUsage(cpu);
  late.sort((one, other) => one - other);
  const [p50, p99] = [0.5, 0.99].map((share) => late[Math.floor(total * share)]);
  const figures = { acceptedMs, wallMs: performance.now() - started, cpuMs: (user + system) / 1_000, p50, p99 };
  return serverPid === undefined ? figures : { ...figures, serverMs: cpuMsOf(serverPid) - serverBefore };
}

/** Resolves once so many different events have arrived. */
function arrivals() {
  const seen = new Set();
  let all;
  const delivered = new Promise((resolve) => (all = resolve));
  return { delivered, arrive: ({ id }) => void (seen.add(id).size === total && all()) };
}

const poundlock = (kind, withIds) => async (value) => {
  const { FlowRegistry, Scheduler } = await import("poundlock");
  const { storage, close } = await openStorage(kind, value);
  const { delivered, arrive } = arrivals();
  const sink = { idempotent: true, write: async (records) => records.forEach(arrive) };
  const exports = { from: { listen: () => () => undefined, key: ({ id }) => id } };
  const registry = new FlowRegistry({ exports, imports: { sink }, storage });
  const scheduler = new Scheduler(registry, { maxInboxPages: 2 * total });
  await registry.create({ name: "events", _exportId: "from", _importId: "sink" });
  await scheduler.start();
  const figures = await measured({
    send: (one) => scheduler.accept("from", [one], withIds ? { ids: [one.id] } : {}),
    delivered,
    serverPid: kind === "postgres" ? value.postgresPid : undefined,
  });
  await scheduler.stop();
  await close();
  return figures;
};

const bullmq =
  (which, withIds = false) =>
  async (value) => {
    const { Queue, Worker } = await import("bullmq");
    const connection = { host: "127.0.0.1", port: value[which].port, maxRetriesPerRequest: null };
    const name = `events-${process.pid}`;
    const { delivered, arrive } = arrivals();
    const queue = new Queue(name, { connection });
    const worker = new Worker(name, async ({ data }) => arrive(data), { connection, concurrency: callers });
    await worker.waitUntilReady();
    const send = (one) => queue.add("event", one, withIds ? { jobId: one.id } : {});
    const figures = await measured({ send, delivered, serverPid: value[which].pid });
    await worker.close();
    await queue.close();
    return figures;
  };

const pgBoss = async (value) => {
  const { PgBoss } = await import("pg-boss");
  const boss = new PgBoss({ connectionString: value.postgres, schema: `boss_${process.pid}` });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue("events");
  const { delivered, arrive } = arrivals();
  const polling = { batchSize: 1_000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
  await boss.work("events", polling, async (jobs) => jobs.forEach(({ data }) => arrive(data)));
  const send = (one) => boss.send("events", one);
  const figures = await measured({ send, delivered, serverPid: value.postgresPid });
  await boss.stop({ graceful: true });
  return figures;
};

async function graphile(value) {
  const { Logger, makeWorkerUtils, run } = await import("graphile-worker");
  const logger = new Logger(() => () => undefined);
  const [connectionString, schema] = [value.postgres, `graphile_${process.pid}`];
  const utils = await makeWorkerUtils({ connectionString, schema, logger, maxPoolSize: 8 });
  await utils.migrate();
  const { delivered, arrive } = arrivals();
  const worker = { connectionString, schema, logger, concurrentJobs: callers, localQueue: { size: 500 } };
  const taskList = { event: async (one) => arrive(one) };
  const runner = await run({ preset: { worker }, taskList, noHandleSignals: true });
  const send = (one) => utils.addJob("event", one);
  const figures = await measured({ send, delivered, serverPid: value.postgresPid });
  await runner.stop();
  await utils.release();
  return figures;
}

const needsRedis = (which) => (value) => (value[which] === undefined ? "no redis-server on this machine" : undefined);
const inOrder = "in order of arrival";
const ours = (name, kind, withIds, guarantee) => ({
  ...{ name: `**poundlock** \`accept\`, ${name}`, guarantee, modules: modulesOf(kind) },
  run: poundlock(kind, withIds),
});

export default {
  title: "Events: 5,000 by 50 callers",
  packages: ["bullmq", "graphile-worker", "ioredis", "pg", "pg-boss"],
  async prepare(folder) {
    const postgres = await postgresServer();
    const everySecond = await redisServer(folder, "everysec");
    const always = await redisServer(folder, "always");
    return {
      value: { ...postgres.value, everySecond: everySecond?.value, always: always?.value },
      async close() {
        await postgres.close();
        await everySecond?.close();
        await always?.close();
      },
    };
  },
  contenders: [
    ours("memory", "memory", false, `${inOrder}; gone with the process`),
    ours("SQLite (FULL)", "sqlite", false, `${inOrder}; synced`),
    ours("SQLite (FULL), event ids", "sqlite", true, `${inOrder}; synced; none twice`),
    ours("PostgreSQL", "postgres", false, `${inOrder}; synced`),
    ours("PostgreSQL, event ids", "postgres", true, `${inOrder}; synced; none twice`),
    {
      ...{ name: "BullMQ `add`, Redis synced every second", role: "peer", modules: ["bullmq"] },
      guarantee: "50 at once, in no order; up to a second is lost",
      run: bullmq("everySecond"),
      missing: needsRedis("everySecond"),
    },
    {
      ...{ name: "BullMQ `add`, Redis synced by every command", role: "peer", modules: ["bullmq"] },
      guarantee: "50 at once, in no order; synced",
      run: bullmq("always"),
      missing: needsRedis("always"),
    },
    {
      ...{ name: "BullMQ `add`, `jobId`, synced by every command", role: "peer", modules: ["bullmq"] },
      guarantee: "50 at once, in no order; synced; none twice",
      run: bullmq("always", true),
      missing: needsRedis("always"),
    },
    {
      ...{ name: "pg-boss `send`", role: "peer", guarantee: "in batches, as they come; synced", modules: ["pg-boss"] },
      run: pgBoss,
    },
    {
      ...{ name: "graphile-worker `addJob`", role: "peer", modules: ["graphile-worker"] },
      guarantee: "50 at once, in no order; synced",
      run: graphile,
    },
  ],
  cost: ({ cpuMs, serverMs = 0 }) => cpuMs + serverMs,
  columns: [
    { title: "accepted/s", value: ({ acceptedMs }) => (total / acceptedMs) * 1_000, spread: true },
    { title: "delivered/s", value: ({ wallMs }) => (total / wallMs) * 1_000 },
    { title: "ms to be accepted, p50", value: ({ p50 }) => p50 },
    { title: "p99", value: ({ p99 }) => p99 },
    { title: "µs of CPU an event, process", value: ({ cpuMs }) => (cpuMs / total) * 1_000 },
    { title: "server", value: ({ serverMs }) => (serverMs === undefined ? NaN : (serverMs / total) * 1_000) },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
};
