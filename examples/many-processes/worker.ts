// The code of each worker: what a host has in the process that it starts several times.

import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { type Export, FlowRegistry, type Import, Scheduler } from "poundlock";
import { PostgresStorage } from "poundlock/storage/postgres";

/** What a worker sends to the process that shows the table. */
export interface WorkerNews {
  readonly what: "ready" | "began" | "ended";
  readonly flowId?: string;
  readonly runId?: string;
  /** Records of the run that were delivered before this process got it. */
  readonly already?: number;
}

export const recordsPerRun = 40;
const recordsPerPage = 5;

/** Numbers that go on where the flow's last committed page ended, as many as its run still lacks. */
const numbers: Export<number, { readonly after: number }> = {
  order: "ordered",
  key: String,
  async *pages({ checkpoint, run, signal }) {
    let after = checkpoint?.after ?? 0;
    for (const end = after + recordsPerRun - run.numSuccess; after < end;) {
      await pause(60, undefined, { signal }); // another application takes its time
      const records = Array.from({ length: recordsPerPage }, (_, index) => after + index + 1);
      after += recordsPerPage;
      yield { records, checkpoint: { after } };
    }
  },
};

/** Adds a row for every record that comes, so that one that comes twice can be seen. */
function ledgerIn(pool: pg.Pool): Import<number> {
  return {
    idempotent: true,
    async write(records, { flow }) {
      await pool.query("insert into ledger (flow_id, n) select $1, n from unnest($2::int[]) n", [flow._id, records]);
    },
  };
}

const ignore = () => undefined;
/** The table shows what is taken over. */
const logger = { debug: ignore, info: ignore, warn: ignore, error: console.error };

/** Runs flows until its parent asks it to stop, and ends at once when its parent is gone. */
export async function work(connectionString: string, name: string): Promise<void> {
  const end = () => process.exit(1);
  process.once("disconnect", end);
  const pool = new pg.Pool({ connectionString, max: 6 });
  const storage = await PostgresStorage.open(pool);
  const registry = new FlowRegistry({ exports: { numbers }, imports: { ledger: ledgerIn(pool) }, storage });
  const scheduler = new Scheduler(registry, { name, concurrency: 3, leaseMs: 1_000, logger });
  const send = (news: WorkerNews) => process.send?.(news);
  scheduler.on("run:started", ({ run }) =>
    send({ what: "began", flowId: run._flowId, runId: run._id, already: run.numSuccess }),
  );
  scheduler.on("run:completed", ({ run }) => send({ what: "ended", flowId: run._flowId, runId: run._id }));
  await scheduler.start();
  send({ what: "ready" });
  await new Promise((resolve) => process.once("message", resolve));
  await scheduler.stop();
  await storage.close();
  await pool.end();
  process.off("disconnect", end).disconnect();
}
