// One of several workers on one PostgreSQL: the same flows in each, which deliver numbers in their order to a file of
// each flow. Reports what went wrong, a line each, and stops at a SIGTERM.
import { writeSync } from "node:fs";
import pg from "pg";
import { FlowRegistry, type Import, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { messageOf } from "../../../src/model/message.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { FlowFile } from "../flow-file.ts";
import { numbers } from "../numbers.ts";
import type { WorkerReport, WorkerSetting } from "./settings.ts";

// Written before anything else happens: a report must not die with its process.
function report(line: WorkerReport): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

for (const event of ["unhandledRejection", "uncaughtException"] as const)
  process.on(event, (error: unknown) => {
    report({ what: "unhandled", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    process.exit(1);
  });

async function work(setting: WorkerSetting): Promise<void> {
  const { aheadMs, connection, direct, exportIds, folder, leaseMs, name, prepare } = setting;
  const now = Date.now;
  Date.now = () => now() + aheadMs;

  const ledger: Import<number> = {
    idempotent: true,
    async write(_, { keys, flow, run }) {
      await new FlowFile(folder, flow._id).add(keys, run._id, name);
    },
  };
  const application = { application_name: name };
  const pool = new pg.Pool({ ...connection, ...application, max: 5 });
  const listen = direct === undefined ? pool : new pg.Pool({ ...direct, ...application, max: 1 });
  const storage = await PostgresStorage.open(pool, { prepare, listen });
  const exports = Object.fromEntries(exportIds.map((_id) => [_id, numbers]));
  const registry = new FlowRegistry({ exports, imports: { ledger }, storage });
  const scheduler = new Scheduler(registry, { concurrency: 20, leaseMs, name, logger: silentLogger });
  scheduler.on("run:completed", () => report({ what: "completed" }));
  scheduler.on("run:failed", ({ run }) => report({ what: "failed", message: run.error?.message ?? "" }));
  scheduler.on("lease:lost", () => report({ what: "lost" }));
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
  if (listen !== pool) await listen.end();
  report({ what: "closed" });
  process.exit();
}

work(JSON.parse(process.argv[2] ?? "") as WorkerSetting).catch((error: unknown) => {
  report({ what: "unhandled", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  process.exit(1);
});
