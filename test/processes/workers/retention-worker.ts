// One of several workers on one PostgreSQL whose runs become old fast. Reports what went wrong, a line each, and stops at a
// SIGTERM.
import { writeSync } from "node:fs";
import pg from "pg";
import { type Export, FlowRegistry, type Import, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { messageOf } from "../../../src/model/message.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { type RetentionReport, type RetentionSetting, fastClock, leaseMs } from "./retention-settings.ts";

function report(line: RetentionReport): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function fail(error: unknown): never {
  report({ what: "unhandled", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  process.exit(1);
}
process.on("unhandledRejection", fail);
process.on("uncaughtException", fail);

const recordsPerPage = 10;

/** One to three pages, by the number of the flow, from the last record on that a run has committed. */
const orders: Export<number, number> = {
  key: String,
  async *pages({ checkpoint = 0, flow }) {
    const pages = (Number(flow._id.replace(/\D/g, "")) % 3) + 1;
    for (let page = 1; page <= pages; page++) {
      const after = checkpoint + (page - 1) * recordsPerPage;
      const records = Array.from({ length: recordsPerPage }, (_, index) => after + index + 1);
      yield { records, checkpoint: after + recordsPerPage };
    }
  },
};

/** Takes one record of a thousand only when it is retried. */
const ledger: Import<number> = {
  idempotent: true,
  write: async (records, { run }) =>
    run.trigger === "retry"
      ? undefined
      : records.map((record) =>
          record % 997 === 0
            ? { ok: false, fault: "retry", error: { code: "busy", message: "not now" } }
            : { ok: true },
        ),
};

async function work({ name, connection, retentionDays, time }: RetentionSetting): Promise<void> {
  const pool = new pg.Pool({ ...connection, application_name: name, max: 5 });
  const storage = await PostgresStorage.open(pool, { partition: "day" });
  const clock = fastClock(storage.clock, time);
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger }, storage, clock });
  const retention = { days: retentionDays, runsPerFlow: 1_000_000 };
  const scheduler = new Scheduler(registry, {
    ...{ concurrency: 20, leaseMs, maxAttempts: 1, name, retention },
    logger: silentLogger,
  });
  scheduler.on("run:failed", ({ run }) => report({ what: "failed", message: run.error?.message ?? "" }));
  scheduler.on("background:error", ({ error, during }) =>
    report({ what: "background:error", message: `${during}: ${messageOf(error)}` }),
  );
  await scheduler.start();
  report({ what: "ready" });
  // Whoever started it is gone.
  process.stdin.resume().once("close", () => process.exit(1));
  await new Promise((resolve) => process.once("SIGTERM", resolve));
  await scheduler.stop();
  await storage.close();
  await pool.end();
  report({ what: "closed" });
  process.exit();
}

work(JSON.parse(process.argv[2] ?? "") as RetentionSetting).catch(fail);
