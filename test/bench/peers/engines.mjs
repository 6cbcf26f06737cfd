// Engines that execute jobs of 500 flows, one after the other for each flow where they can: `{ open(value, options) }`, whose
// result `add(first, count)` adds jobs and `work(done)` executes them, calling `done` after each; both may be in any process.
import pg from "pg";
import { FlowRegistry, Scheduler } from "poundlock";
import { openStorage } from "./hosts.mjs";

/** How many flows the jobs are of, in turns. */
const flowCount = 500;

let trips = 0;

/** Messages that this process has sent to PostgreSQL and awaited, by any client of the package `pg`. */
export const roundTrips = () => trips;

const { query } = pg.Client.prototype;
pg.Client.prototype.query = function (...words) {
  trips++;
  return query.apply(this, words);
};

/** An export whose runs have so many pages of ten records, each with a checkpoint. */
function exportOf(pages) {
  const page = Array.from({ length: 10 }, (_, n) => ({ n }));
  return {
    async *pages() {
      if (pages === 0) yield [];
      for (let n = 1; n <= pages; n++) yield { records: page, checkpoint: { n } };
    },
  };
}

const poundlock = (kind) => ({
  async open(value, { concurrency, isFirst, flows = flowCount, pages = 0 }) {
    const { storage, close } = await openStorage(kind, value);
    const imports = { sink: { idempotent: true, write: async () => undefined } };
    const registry = new FlowRegistry({ exports: { from: exportOf(pages) }, imports, storage });
    const scheduler = new Scheduler(registry, { concurrency });
    const _ids = Array.from({ length: flows }, (_, index) => `flow-${index}`);
    const flow = { name: "empty", _exportId: "from", _importId: "sink" };
    if (isFirst) await Promise.all(_ids.map((_id) => registry.define(_id, flow)));
    return {
      add: (first, count) =>
        Promise.all(Array.from({ length: count }, (_, index) => scheduler.run(_ids[(first + index) % flows]))),
      async work(done) {
        scheduler.on("run:completed", done);
        scheduler.on("run:failed", ({ run }) => console.error(run.error));
        await scheduler.start();
      },
      async close() {
        await scheduler.stop();
        await close();
      },
    };
  },
});

const bullmq = (which) => ({
  async open(value, { concurrency }) {
    const { Queue, Worker } = await import("bullmq");
    const connection = { host: "127.0.0.1", port: value[which].port, maxRetriesPerRequest: null };
    const queue = new Queue(value.place, { connection });
    let worker;
    return {
      add: (first, count) =>
        queue.addBulk(
          Array.from({ length: count }, (_, index) => ({ name: "run", data: { flow: (first + index) % flowCount } })),
        ),
      async work(done) {
        worker = new Worker(value.place, async () => undefined, { connection, concurrency });
        worker.on("completed", done);
        await worker.waitUntilReady();
      },
      async close() {
        await worker?.close();
        await queue.close();
      },
    };
  },
});

const graphile = (isInOrder) => ({
  async open(value, { concurrency }) {
    const { Logger, makeWorkerUtils, run } = await import("graphile-worker");
    // A line for each job would be most of what is measured.
    const logger = new Logger(() => () => undefined);
    const [connectionString, schema] = [value.postgres, value.place];
    const utils = await makeWorkerUtils({ connectionString, schema, logger });
    await utils.migrate();
    const localQueue = isInOrder ? {} : { localQueue: { size: 500 } };
    const worker = {
      ...{ connectionString, schema, logger, concurrentJobs: concurrency, maxPoolSize: Math.min(concurrency, 50) },
      ...localQueue,
    };
    const job = (flow) => ({
      identifier: "run",
      payload: { flow },
      ...(isInOrder ? { queueName: `flow-${flow}` } : {}),
    });
    let runner;
    return {
      add: (first, count) =>
        utils.addJobs(Array.from({ length: count }, (_, index) => job((first + index) % flowCount))),
      async work(done) {
        runner = await run({ preset: { worker }, taskList: { run: async () => done() }, noHandleSignals: true });
      },
      async close() {
        await runner?.stop();
        await utils.release();
      },
    };
  },
});

const pgBoss = (policy) => ({
  async open(value, { concurrency }) {
    const { PgBoss } = await import("pg-boss");
    const boss = new PgBoss({ connectionString: value.postgres, schema: value.place });
    boss.on("error", (error) => console.error(error));
    await boss.start();
    await boss.createQueue("runs", policy === undefined ? {} : { policy });
    const polling = { pollingIntervalSeconds: 0.5, burstWhenBatchFull: true, burstWhenReadyExceeds: 1 };
    return {
      add(first, count) {
        const jobs = Array.from({ length: count }, (_, index) => {
          const flow = (first + index) % flowCount;
          return { data: { flow }, ...(policy === undefined ? {} : { singletonKey: `flow-${flow}` }) };
        });
        return boss.insert("runs", jobs);
      },
      async work(done) {
        await boss.work("runs", { batchSize: concurrency, ...polling }, async (jobs) => jobs.forEach(done));
      },
      close: () => boss.stop({ graceful: true }),
    };
  },
});

export const engines = {
  "poundlock, memory": poundlock("memory"),
  "poundlock, SQLite": poundlock("sqlite"),
  "poundlock, PostgreSQL": poundlock("postgres"),
  "BullMQ, every second": bullmq("everySecond"),
  "BullMQ, always": bullmq("always"),
  "graphile-worker": graphile(false),
  "graphile-worker, named queues": graphile(true),
  "pg-boss": pgBoss(),
  "pg-boss, key_strict_fifo": pgBoss("key_strict_fifo"),
};
