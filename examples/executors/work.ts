// What the examples here share: a PostgreSQL that all processes use, and flows that move numbers slowly enough to watch.

import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { type Executor, type Export, FlowRegistry, type Import, Scheduler } from "poundlock";
import { PostgresStorage } from "poundlock/storage/postgres";

const numbers: Export<number> = {
  async *pages({ signal }) {
    for (let page = 1; page <= 3; page++) {
      await pause(200, undefined, { signal }); // another application takes its time
      yield [page];
    }
  },
};

const nowhere: Import<number> = { idempotent: true, write: async () => undefined };

const flowIds = Array.from({ length: 12 }, (_, index) => `flow-${index + 1}`);

/** The database of `DATABASE_URL`: runs are in it, whatever carries the wake-ups. */
export const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL ?? "postgres://postgres:postgres@127.0.0.1:5432/postgres",
});

/** Runs every flow once, with at most three at a time in this process, until Ctrl+C. Start it twice and watch them share. */
export async function work(executor: Executor): Promise<void> {
  const storage = await PostgresStorage.open(pool);
  const registry = new FlowRegistry({ exports: { numbers }, imports: { nowhere }, storage });
  for (const _id of flowIds) await registry.define(_id, { name: _id, _exportId: "numbers", _importId: "nowhere" });
  const scheduler = new Scheduler(registry, { concurrency: 3, executor, name: `worker ${process.pid}` });
  scheduler.on("run:started", ({ run }) => console.log(`${process.pid} runs ${run._flowId}`));
  await scheduler.start();
  for (const _id of flowIds) await scheduler.run(_id);
  await new Promise((resolve) => process.once("SIGINT", resolve));
  await scheduler.stop();
  await storage.close();
  await pool.end();
}
