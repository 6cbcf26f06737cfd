// 20,000 empty runs: from the first that is asked for until the last has ended, by one process with 50 at once.
import { setTimeout as sleep } from "node:timers/promises";
import { FlowRegistry, Scheduler } from "poundlock";
import { openStorage } from "../hosts.mjs";
import { cpuMsOf, postgresServer, redisServer } from "../servers.mjs";

const runs = 20_000;
const concurrency = 50;

/** Resolves once `done` was called so many times. */
function counter(count) {
  let done;
  const all = new Promise((resolve) => (done = resolve));
  let seen = 0;
  return { all, done: () => void (++seen === count && done()) };
}

/** CPU of the server beside the process's own. A backend's time counts once it has ended. */
async function withServer(pid, work) {
  const before = cpuMsOf(pid);
  const figures = await work();
  await sleep(300);
  return { ...figures, serverMs: cpuMsOf(pid) - before };
}

async function timed(work) {
  const started = performance.now();
  const cpu = process.cpuUsage();
  await work();
  const used = process.cpuUsage(cpu);
  return { wallMs: performance.now() - started, cpuMs: (used.user + used.system) / 1_000 };
}

const poundlock = (kind, flows) => (value) => {
  const work = async () => {
    const { storage, close } = await openStorage(kind, value);
    const from = {
      async *pages() {
        yield [];
      },
    };
    const imports = { sink: { idempotent: true, write: async () => undefined } };
    const registry = new FlowRegistry({ exports: { from }, imports, storage });
    const scheduler = new Scheduler(registry, { concurrency });
    const flow = { name: "empty", _exportId: "from", _importId: "sink" };
    const _ids = (await Promise.all(Array.from({ length: flows }, () => registry.create(flow)))).map(({ _id }) => _id);
    const { all, done } = counter(runs);
    scheduler.on("run:completed", done);
    await scheduler.start();
    const figures = await timed(async () => {
      await Promise.all(Array.from({ length: runs }, (_, index) => scheduler.run(_ids[index % flows])));
      await all;
    });
    await scheduler.stop();
    await close();
    return figures;
  };
  return kind === "postgres" ? withServer(value.postgresPid, work) : work();
};

const bullmq = (which) => (value) =>
  withServer(value[which].pid, async () => {
    const { Queue, Worker } = await import("bullmq");
    const connection = { host: "127.0.0.1", port: value[which].port, maxRetriesPerRequest: null };
    const name = `runs-${process.pid}`;
    const queue = new Queue(name, { connection });
    const { all, done } = counter(runs);
    const worker = new Worker(name, async () => undefined, { connection, concurrency });
    worker.on("completed", done);
    await worker.waitUntilReady();
    const figures = await timed(async () => {
      for (let first = 0; first < runs; first += 1_000)
        await queue.addBulk(
          Array.from({ length: 1_000 }, (_, index) => ({ name: "run", data: { flow: (first + index) % 500 } })),
        );
      await all;
    });
    await worker.close();
    await queue.close();
    return figures;
  });

const graphile = (inOrder) => (value) =>
  withServer(value.postgresPid, async () => {
    const { Logger, makeWorkerUtils, run } = await import("graphile-worker");
    // A line for each job would be most of what is measured.
    const logger = new Logger(() => () => undefined);
    const connectionString = value.postgres;
    const schema = `graphile_${process.pid}`;
    const utils = await makeWorkerUtils({ connectionString, schema, logger });
    await utils.migrate();
    const { all, done } = counter(runs);
    const preset = {
      worker: {
        connectionString,
        schema,
        concurrentJobs: concurrency,
        maxPoolSize: concurrency,
        logger,
        ...(inOrder ? {} : { localQueue: { size: 500 } }),
      },
    };
    const runner = await run({ preset, taskList: { run: async () => done() }, noHandleSignals: true });
    const job = (flow) => ({ identifier: "run", payload: { flow }, ...(inOrder ? { queueName: `flow-${flow}` } : {}) });
    const figures = await timed(async () => {
      for (let first = 0; first < runs; first += 1_000)
        await utils.addJobs(Array.from({ length: 1_000 }, (_, index) => job((first + index) % 500)));
      await all;
    });
    await runner.stop();
    await utils.release();
    return figures;
  });

const pgBoss = (policy) => (value) =>
  withServer(value.postgresPid, async () => {
    const { PgBoss } = await import("pg-boss");
    const boss = new PgBoss({ connectionString: value.postgres, schema: `boss_${process.pid}` });
    boss.on("error", (error) => console.error(error));
    await boss.start();
    await boss.createQueue("runs", policy === undefined ? {} : { policy });
    const { all, done } = counter(runs);
    const figures = await timed(async () => {
      for (let first = 0; first < runs; first += 1_000) {
        const jobs = Array.from({ length: 1_000 }, (_, index) => {
          const flow = (first + index) % 500;
          return { data: { flow }, ...(policy === undefined ? {} : { singletonKey: `flow-${flow}` }) };
        });
        await boss.insert("runs", jobs);
      }
      await boss.work(
        "runs",
        { batchSize: concurrency, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true, burstWhenReadyExceeds: 1 },
        async (jobs) => jobs.forEach(done),
      );
      await all;
    });
    await boss.stop({ graceful: true });
    return figures;
  });

const needsRedis = (which) => (value) => (value[which] === undefined ? "no redis-server on this machine" : undefined);
const inOrder = "a flow's runs one at a time, in order; history";

export default {
  title: "Durable runs: 20,000 empty runs, 50 at once",
  async prepare(folder) {
    const postgres = await postgresServer();
    const everySecond = await redisServer(folder, "everysec");
    const always = await redisServer(folder, "always");
    const value = { folder, ...postgres.value, everySecond: everySecond?.value, always: always?.value };
    return {
      value,
      async close() {
        await postgres.close();
        await everySecond?.close();
        await always?.close();
      },
    };
  },
  contenders: [
    {
      name: "**poundlock**, memory, 500 flows",
      guarantee: `${inOrder}; gone with the process`,
      run: poundlock("memory", 500),
    },
    { name: "**poundlock**, SQLite (FULL), 500 flows", guarantee: `${inOrder}; synced`, run: poundlock("sqlite", 500) },
    {
      name: "**poundlock**, SQLite (FULL), 20,000 flows",
      guarantee: `${inOrder}; synced`,
      run: poundlock("sqlite", 20_000),
    },
    { name: "**poundlock**, PostgreSQL, 500 flows", guarantee: `${inOrder}; synced`, run: poundlock("postgres", 500) },
    {
      name: "**poundlock**, PostgreSQL, 20,000 flows",
      guarantee: `${inOrder}; synced`,
      run: poundlock("postgres", 20_000),
    },
    {
      name: "BullMQ, Redis synced every second",
      role: "peer",
      guarantee: "no order within a flow; up to a second is lost",
      run: bullmq("everySecond"),
      missing: needsRedis("everySecond"),
    },
    {
      name: "BullMQ, Redis synced by every command",
      role: "peer",
      guarantee: "no order within a flow",
      run: bullmq("always"),
      missing: needsRedis("always"),
    },
    {
      name: "graphile-worker, local queue",
      role: "peer",
      guarantee: "no order within a flow; synced",
      run: graphile(false),
    },
    {
      name: "graphile-worker, a queue for each flow",
      role: "peer",
      guarantee: "a flow's jobs in order; synced",
      run: graphile(true),
    },
    { name: "pg-boss, batches of 50", role: "peer", guarantee: "no order within a flow; synced", run: pgBoss() },
    {
      name: "pg-boss, `key_strict_fifo`, batches of 50",
      role: "peer",
      guarantee: "a flow's jobs in order; synced",
      run: pgBoss("key_strict_fifo"),
    },
  ],
  cost: ({ cpuMs, serverMs = 0 }) => cpuMs + serverMs,
  columns: [
    { title: "runs/s", value: ({ wallMs }) => (runs / wallMs) * 1_000 },
    { title: "µs of CPU a run, process", value: ({ cpuMs }) => (cpuMs / runs) * 1_000 },
    {
      title: "µs of CPU a run, server",
      value: ({ serverMs }) => (serverMs === undefined ? NaN : (serverMs / runs) * 1_000),
    },
    {
      title: "CPU × the best peer",
      value: ({ cpuMs, serverMs = 0 }, { peer }) => peer && (peer.cpuMs + (peer.serverMs ?? 0)) / (cpuMs + serverMs),
    },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
};
