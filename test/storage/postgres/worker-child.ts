// One of several processes that run the flows of one database: the same code in each. Its parent sends how many runs of
// each flow to queue, and is sent what ended.
import { once } from "node:events";
import pg from "pg";
import { type Export, FlowRegistry, type Import, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const [port, schema = "", flows, most] = process.argv.slice(2);
const flowIds = Array.from({ length: Number(flows) }, (_, index) => `flow ${index}`);
const pool = new pg.Pool({ ...connectionTo(Number(port)), max: 8 });
/** Each run reads three numbers, also if it goes on where another process died, and there are so many for all of a flow. */
const numbers: Export<number, { readonly after: number }> = {
  order: "ordered",
  key: String,
  async *pages({ checkpoint }) {
    const after = checkpoint?.after ?? 0;
    const last = Math.min((Math.floor(after / 3) + 1) * 3, Number(most));
    for (let n = after + 1; n <= last; n++) yield { records: [n], checkpoint: { after: n } };
  },
};

/** Fails if another run of the flow is writing anywhere. A lock is released when its process dies. */
const ledger: Import<number> = {
  idempotent: true,
  async write(records, { flow, run }) {
    const client = await pool.connect();
    try {
      const lock = await client.query<{ free: boolean }>("select pg_try_advisory_lock(hashtext($1)) as free", [
        flow._id,
      ]);
      if (lock.rows[0]?.free !== true) throw new Error(`another run of ${flow._id} is writing`);
      for (const n of records)
        await client.query(`insert into ${schema}_ledger (flow_id, run_id, n, pid) values ($1, $2, $3, $4)`, [
          ...[flow._id, run._id, n, process.pid],
        ]);
      await client.query("select pg_advisory_unlock(hashtext($1))", [flow._id]);
    } finally {
      client.release();
    }
  },
};

const storage = await PostgresStorage.open(pool, { schema });
const registry = new FlowRegistry({ exports: { numbers }, imports: { ledger }, storage });
for (const _id of flowIds) await registry.define(_id, { name: _id, _exportId: "numbers", _importId: "ledger" });
const scheduler = new Scheduler(registry, { concurrency: 4, leaseMs: 1_000, logger: silentLogger });
for (const event of ["run:completed", "run:failed"] as const)
  scheduler.on(event, ({ run }) => process.send?.({ what: "ended", run }));
await scheduler.start();

process.send?.({ what: "ready" });
const [runsEach] = (await once(process, "message")) as [number];
for (let round = 0; round < runsEach; round++) for (const _id of flowIds) await scheduler.run(_id);
process.send?.({ what: "queued" });
await once(process, "message");
await scheduler.stop();
await storage.close();
await pool.end();
process.disconnect();
