import * as poundlock from "poundlock";
import { allowAll, createHandler } from "poundlock/http";
import { SqliteStorage } from "poundlock/storage/sqlite";

export const dynamic = "force-dynamic";

/** Creates and runs a flow, and asks the HTTP API for it. */
export async function GET() {
  const storage = await SqliteStorage.open(":memory:");
  const written = [];
  const registry = new poundlock.FlowRegistry({
    exports: {
      orders: {
        async *pages() {
          yield { records: [1, 2, 3] };
        },
      },
    },
    imports: { ledger: { idempotent: true, write: async (records) => void written.push(...records) } },
    storage,
  });
  const scheduler = new poundlock.Scheduler(registry);
  await scheduler.start();
  const flow = await registry.create({
    name: "Orders",
    schedule: "0 3 * * *",
    _exportId: "orders",
    _importId: "ledger",
  });
  const run = await scheduler.waitFor((await scheduler.run(flow._id))._id);
  const handler = createHandler({ scheduler, authorize: allowAll() });
  const { status } = await handler(new Request(`http://localhost/flows/${flow._id}`));
  await scheduler.stop();
  await storage.close();
  return Response.json([run.status, written.length, status]);
}
