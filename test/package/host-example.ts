// A host as the design's example writes it, in the same words: tested as TypeScript by test/api.test.ts; and compiled
// strictly as .mts and .cts, and run, from the packed tarball by check-package.mjs.
import { createServer } from "node:http";
import {
  FlowRegistry,
  LocalExecutor,
  MemoryStorage,
  Scheduler,
  type Export,
  type Import,
  type RegistryOptions,
} from "poundlock";
import { bearerToken, createHandler } from "poundlock/http";
import { toNodeListener } from "poundlock/http/node";
import { SqliteStorage } from "poundlock/storage/sqlite";
import {
  ManualClock,
  arrayExport,
  collectingImport,
  executorCases,
  exportCases,
  importCases,
  storageCases,
} from "poundlock/testing";

export interface Order {
  readonly id: string;
  readonly number: number;
  readonly email: string;
}

export function orderOf(number: number): Order {
  return { id: `o${number}`, number, email: `${number}@shop.example` };
}

/** What the example leaves to its host: a shop that has sold so many orders, the ledger's program, and mail. */
function surroundings(count: number) {
  const sold = Array.from({ length: count }, (_, index) => orderOf(index + 1));
  const written = new Map<string, Order>();
  const sent: string[] = [];
  return {
    sold,
    written,
    sent,
    shop: {
      async ordersAfter(after: number, limit: number, { signal }: { signal: AbortSignal }): Promise<Order[]> {
        signal.throwIfAborted();
        return sold.filter(({ number }) => number > after).slice(0, limit);
      },
    },
    erp: {
      async upsert(
        records: readonly Order[],
        { keys, signal }: { keys: readonly string[]; signal: AbortSignal },
      ): Promise<void> {
        signal.throwIfAborted();
        for (const [index, record] of records.entries()) written.set(keys[index] ?? "", record);
      },
    },
    mail: {
      async send(email: string, subject: string): Promise<void> {
        sent.push(`${subject} to ${email}`);
      },
    },
  };
}

/** The example up to its flow; `console` is where it reports, `count` how many orders there are. */
export async function openHost(
  count: number,
  console: Pick<Console, "log">,
  options: Pick<RegistryOptions, "clock" | "storage">,
) {
  const { shop, erp, mail, ...kept } = surroundings(count);

  const orders: Export<Order, { after: number }> = {
    order: "ordered",
    key: (order) => order.id,
    async *pages({ checkpoint, pageSize, signal }) {
      let after = checkpoint?.after ?? 0;
      for (;;) {
        const records = await shop.ordersAfter(after, pageSize, { signal });
        if (records.length === 0) return;
        // eslint-disable-next-line @typescript-eslint/no-non-null-assertion -- as the design writes it
        after = records.at(-1)!.number;
        yield { records, checkpoint: { after } };
      }
    },
  };

  const ledger: Import<Order> = {
    idempotent: true, // a second write of the same order changes nothing
    batchSize: 500,
    async write(records, { keys, signal }) {
      await erp.upsert(records, { keys, signal });
    },
  };

  const mailer: Import<Pick<Order, "email" | "id">> = {
    idempotent: false,
    async write(records) {
      for (const { email, id } of records) await mail.send(email, `Order ${id}`);
    },
  };

  const registry = new FlowRegistry({
    exports: { orders }, // the keys are the _exportIds; typed and completed by the editor
    imports: { ledger, mailer },
    timezone: "Europe/Oslo", // default "UTC"
    ...options, // the storage; default: new MemoryStorage()
  });
  const scheduler = new Scheduler(registry, { concurrency: 20 });

  scheduler.on("run:completed", ({ run }) => console.log(run.numSuccess, "written,", run.numError, "refused"));
  await scheduler.start();

  const flow = await registry.create({
    name: "Orders to ledger and mail",
    schedule: "*/5 * * * *",
    _exportId: "orders",
    _importIds: ["ledger", "mailer"], // or _importId: "ledger"
  });
  return { ...kept, registry, scheduler, flow };
}

async function host(): Promise<void> {
  const storage = await SqliteStorage.open(":memory:");
  const { registry, scheduler, flow, written, sent } = await openHost(3, console, { storage });
  // eslint-disable-next-line @typescript-eslint/no-unused-expressions -- as the design writes it
  flow.nextRunAt; // "2026-11-23T17:05:00.000Z"

  const run = await scheduler.run(flow._id); // durable once it resolves; status "queued"
  const ended = await scheduler.waitFor(run._id); // completed, failed or canceled

  const [order, event] = [orderOf(4), { id: "e1" }];
  await scheduler.accept("orders", [order], { ids: [event.id] }); // real time: resolves when durable
  const { items } = await scheduler.listRuns({ _flowId: flow._id, limit: 20 });
  for (const { _id } of items) await scheduler.waitFor(_id);
  await scheduler.listFailures({ _flowId: flow._id, status: "open" });
  await scheduler.waitFor((await scheduler.retryFailures(flow._id))._id);
  await scheduler.cancel(run._id);
  const backfill = await scheduler.run(flow._id, {
    parameters: { from: "2026-01-01", to: "2026-02-01" },
    moveCheckpoint: false,
  });
  await scheduler.waitFor(backfill._id);
  await scheduler.deliveries(flow._id); // per import: checkpoint, open failures, paused since/until and why
  await scheduler.resume(flow._id, "mailer");
  await scheduler.setCheckpoint(flow._id, undefined, { _importId: "mailer" });
  const [page] = (await scheduler.listInbox(flow._id)).items;
  if (page !== undefined) await scheduler.dropInbox(flow._id, [page._id]);
  await scheduler.stop({ graceMs: 10_000 });
  console.log(ended.status, [...written.keys()].join(), sent.length);

  await flows(registry, flow._id);
  await serve(scheduler);
  await registry.storage.close();
}

/** The flows of the example, managed in code. */
async function flows(registry: FlowRegistry, _id: string): Promise<void> {
  const input = { name: "Orders", _exportId: "orders", _importId: "ledger", _integrationId: "acme" };
  const { lastModified } = await registry.get(_id); // throws not_found
  await registry.find(_id); // undefined
  await registry.update(_id, input, { lastModified });
  await registry.patch(_id, { disabled: true });
  await registry.define("nightly-orders", { ...input, schedule: "0 2 * * *" }); // flows written in code: same call at every start
  await registry.defineAll({ "nightly-orders": input }, { group: "shop", removed: "disable" });
  const first = await registry.list({ _integrationId: "acme", limit: 1 });
  const cursor = first.next ?? "";
  const rest = await registry.list({ _integrationId: "acme", disabled: false, limit: 100, after: cursor });
  await registry.delete(_id);
  console.log(first.items.length, rest.items.length);
}

async function serve(scheduler: Scheduler): Promise<void> {
  process.env.FLOWS_TOKEN = "let-me-in";
  const handler = createHandler({ scheduler, authorize: bearerToken(process.env.FLOWS_TOKEN) });
  const headers = { authorization: "Bearer let-me-in" };
  const response: Response = await handler(new Request("http://localhost/flows", { headers }));
  const server = createServer(toNodeListener(handler));
  console.log(response.status, ((await response.json()) as unknown[]).length, server.listening);
}

/** Test runners differ; all of them have a function of a title and a function. */
async function cases(): Promise<void> {
  let ran = 0;
  const test = async (_title: string, run: () => unknown) => {
    await run();
    ran++;
  };
  const openMyStorage = () => new MemoryStorage();
  for (const { title, run } of storageCases(openMyStorage, { durable: false, changes: true })) await test(title, run); // any test runner
  for (const { title, run } of executorCases(() => new LocalExecutor())) await test(title, run);
  const kinds = [
    typeof ManualClock,
    typeof arrayExport,
    typeof collectingImport,
    typeof exportCases,
    typeof importCases,
  ];
  console.log(ran > 50, [...new Set(kinds)].join());
}

// Not where a test imports it.
if (/host-example\.[cm]js$/.test(process.argv[1] ?? ""))
  void host()
    .then(cases)
    .catch((error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    });
