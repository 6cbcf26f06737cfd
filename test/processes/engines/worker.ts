// One of several processes that share flows in a PostgreSQL, with an engine that carries the wake-ups. Its flows deliver
// numbers in their order to a file of each flow. Stops at SIGTERM.
import pg from "pg";
import { BullExecutor } from "../../../src/executor/bull-executor.ts";
import type { Executor } from "../../../src/executor/executor.ts";
import { GraphileExecutor } from "../../../src/executor/graphile-executor.ts";
import { FlowRegistry, type Import, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { messageOf } from "../../../src/model/message.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { FlowFile } from "../flow-file.ts";
import { numbers } from "../numbers.ts";
import type { WorkerReport, WorkerSetting } from "./settings.ts";

const report = (line: WorkerReport) => void process.send?.(line);

/** How each engine is reached. */
export function executorOf({ engine, postgres, redisPort }: WorkerSetting, pool: pg.Pool): Executor {
  if (engine === "graphile-worker") return new GraphileExecutor({ connection: pool });
  if (engine === "BullMQ on Redis") return new BullExecutor({ connection: { host: "127.0.0.1", port: redisPort } });
  return new BullExecutor({ backend: "postgres", connection: { ...postgres, migrate: true, max: 4 } });
}

function reportUnhandled(): void {
  for (const event of ["unhandledRejection", "uncaughtException"] as const)
    process.on(event, (error: unknown) => {
      const message = `${event}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
      process.send?.({ what: "unhandled", message } satisfies WorkerReport, () => process.exit(1));
    });
}

async function work(setting: WorkerSetting): Promise<void> {
  reportUnhandled();
  const end = () => process.exit(1);
  process.once("disconnect", end); // whoever started it is gone
  const { folder, leaseMs, name } = setting;
  const pool = new pg.Pool({ ...setting.postgres, application_name: name, max: 12 });
  const ledger: Import<number> = {
    idempotent: true,
    write: (_, { flow, keys, run }) => new FlowFile(folder, flow._id).add(keys, run._id, name),
  };
  const storage = await PostgresStorage.open(pool);
  const registry = new FlowRegistry({ exports: { numbers }, imports: { ledger }, storage });
  const executor = executorOf(setting, pool);
  const scheduler = new Scheduler(registry, { concurrency: 20, executor, leaseMs, name, logger: silentLogger });
  scheduler.on("run:completed", () => report({ what: "completed" }));
  scheduler.on("run:failed", ({ run }) => report({ what: "failed", message: run.error?.message ?? "" }));
  scheduler.on("lease:lost", () => report({ what: "lost" }));
  scheduler.on("background:error", ({ error, during }) =>
    report({ what: "background:error", message: `${during}: ${messageOf(error)}` }),
  );
  await scheduler.start();
  report({ what: "ready" });
  await new Promise((resolve) => process.once("SIGTERM", resolve));
  await scheduler.stop();
  await storage.close();
  await pool.end();
  process.off("disconnect", end).disconnect();
}

// The trial loads this file, too, for `executorOf`, and has arguments of its own.
const [, , setting] = process.argv;
if (process.send !== undefined && setting?.startsWith("{") === true) await work(JSON.parse(setting) as WorkerSetting);
