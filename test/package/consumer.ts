// A host application in TypeScript. Compiled as .ts, .mts and .cts against the packed tarball, then run.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FlowRegistry, MemoryStorage, Scheduler } from "poundlock";
import type { Export, Flow, Import, Run, SchedulerOptions } from "poundlock";
import type { Storage } from "poundlock/storage";
import { allowAll, createHandler } from "poundlock/http";
import type { Authorize, Handler, HandlerOptions } from "poundlock/http";
import { toNodeListener } from "poundlock/http/node";
import { SqliteStorage } from "poundlock/storage/sqlite";
import type { SqliteDatabase, SqliteOptions } from "poundlock/storage/sqlite";
import { ManualClock, storageCases } from "poundlock/testing";

interface Order {
  readonly id: string;
  readonly total: number;
}

const source: readonly Order[] = Array.from({ length: 250 }, (_, index) => ({ id: `o${index}`, total: index }));
const delivered: Order[] = [];

const orders: Export<Order, { after: number }> = {
  async *pages({ checkpoint, pageSize, signal }) {
    for (let after = checkpoint?.after ?? 0; after < source.length && !signal.aborted; after += pageSize)
      yield { records: source.slice(after, after + pageSize), checkpoint: { after: after + pageSize } };
  },
};

const ledger: Import<Pick<Order, "id" | "total">> = {
  idempotent: true,
  batchSize: 100,
  async write(records) {
    delivered.push(...records);
  },
};

async function main(): Promise<void> {
  await move(new MemoryStorage());
  const folder = await mkdtemp(join(tmpdir(), "poundlock-orders-"));
  const options: SqliteOptions = { synchronous: "normal" };
  const storage = await SqliteStorage.open(join(folder, "orders.db"), options);
  const { _id } = await move(storage);
  await storage.close();
  const again: Storage = await SqliteStorage.open(join(folder, "orders.db"));
  const kept = await again.findRun(_id);
  await again.close();
  await rm(folder, { recursive: true });
  console.log("kept", kept?.status, kept?.numSuccess);
}

/** A host may hand over a connection of its own. */
export const over = (database: SqliteDatabase): Storage => new SqliteStorage(database);

async function move(storage: Storage): Promise<Run> {
  delivered.length = 0;
  const options: SchedulerOptions = { concurrency: 2 };
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger }, storage });
  const scheduler = new Scheduler(registry, options);
  scheduler.on("run:completed", ({ run }) => console.log("run", run._id, "is completed"));
  await scheduler.start();
  const flow: Flow = await registry.create({
    name: "Orders",
    schedule: "0 3 * * *",
    _exportId: "orders",
    _importId: "ledger",
  });
  const queued: Run = await scheduler.run(flow._id);
  const ended: Run = await scheduler.waitFor(queued._id);
  const authorize: Authorize = allowAll();
  const handlerOptions: HandlerOptions<{ orders: typeof orders }, { ledger: typeof ledger }> = { scheduler, authorize };
  const handler: Handler = createHandler(handlerOptions);
  const response = await handler(new Request(`http://localhost/flows/${flow._id}`));
  if (response.status !== 200 || typeof toNodeListener(handler) !== "function")
    throw new Error("the flow is not served");
  await scheduler.stop({ graceMs: 1_000 });
  console.log(ended.status, ended.numSuccess, ended.numError, ended.numIgnore, delivered.length);
  console.log(typeof ManualClock, typeof storageCases);
  return ended;
}

void main();
