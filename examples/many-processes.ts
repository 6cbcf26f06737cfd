// One idea: to run flows in several processes, on one computer or many, point all of them at one PostgreSQL. Three workers
// share the runs of twenty flows here; one of them is killed in the middle of its runs, and the others take these over
// from the last page that was committed. many-processes/worker.ts is the code of a worker.

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { FlowRegistry, type Run, Scheduler } from "poundlock";
import { PostgresStorage } from "poundlock/storage/postgres";
import { startPostgres } from "../test/support/postgres-server.ts";
import { Table } from "./many-processes/table.ts";
import { type WorkerNews, recordsPerRun, work } from "./many-processes/worker.ts";

const flowIds = Array.from({ length: 20 }, (_, index) => `flow-${index + 1}`);
const runsEach = 3;
const runs = flowIds.length * runsEach;
const records = runs * recordsPerRun;

/** Starts a worker, and shows what it does. */
async function startWorker(connectionString: string, table: Table, name: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(import.meta.url), [connectionString, name]);
  table.add(name);
  const isReady = once(child, "message");
  child.on("message", (news: WorkerNews) => table.take(name, news));
  await isReady;
  return child;
}

/** Kills a worker that is in the middle of several runs. */
async function killOne(worker: ChildProcess, name: string, table: Table): Promise<void> {
  await table.until(() => table.completed >= runs / 4 && table.runningIn(name).length >= 2);
  await pause(250); // each has delivered some pages
  const gone = once(worker, "exit");
  worker.kill("SIGKILL");
  await gone;
  table.kill(name);
}

/** What the workers delivered. */
async function check(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ all: string; apart: string; most: number }>(
    `select count(*) as all, count(distinct (flow_id, n)) as apart, max(n) as most from ledger`,
  );
  const [all, apart] = [Number(rows[0]?.all), Number(rows[0]?.apart)];
  console.log(`${apart} of ${records} records delivered; ${all - apart} came twice, of pages that were not committed`);
  assert.deepEqual([apart, rows[0]?.most], [records, runsEach * recordsPerRun]);
}

async function show(connectionString: string): Promise<void> {
  const pool = new pg.Pool({ connectionString, max: 4 });
  await pool.query("create table ledger (place bigint generated always as identity, flow_id text, n int)");
  const storage = await PostgresStorage.open(pool);
  // It queues and looks on; the runs are left to the workers.
  const registry = new FlowRegistry({ storage });
  registry.addExport("numbers", { pages: () => assert.fail("a worker reads them") });
  registry.addImport("ledger", { idempotent: true, write: () => assert.fail("a worker writes them") });
  for (const _id of flowIds) await registry.define(_id, { name: _id, _exportId: "numbers", _importId: "ledger" });
  const scheduler = new Scheduler(registry, { roles: [], name: "queue" });
  await scheduler.start();

  const table = new Table(runs);
  const names = ["worker 1", "worker 2", "worker 3"];
  const workers = await Promise.all(names.map((name) => startWorker(connectionString, table, name)));
  try {
    const queued: Run[] = [];
    for (let round = 0; round < runsEach; round++) for (const _id of flowIds) queued.push(await scheduler.run(_id));
    const [, second] = workers;
    assert(second !== undefined);
    await killOne(second, "worker 2", table);
    const ended = await Promise.all(queued.map(({ _id }) => scheduler.waitFor(_id)));
    table.close(ended.filter(({ status }) => status === "completed").length);
    await check(pool);
    for (const worker of workers) if (worker.connected) worker.send("stop");
    await Promise.all(workers.map(async (worker) => worker.exitCode ?? worker.signalCode ?? once(worker, "exit")));
  } finally {
    for (const worker of workers) worker.kill("SIGKILL");
  }
  await scheduler.stop();
  await storage.close();
  await pool.end();
}

const [connectionString, name = ""] = process.argv.slice(2);
if (connectionString !== undefined) await work(connectionString, name);
else {
  const server = await startPostgres();
  try {
    await show(`postgres://postgres:postgres@127.0.0.1:${server.port}/postgres`);
  } finally {
    await server.stop();
  }
}
