// A host whose API the generated clients call: prints the address, and serves until it is ended.
import { createServer } from "node:http";
import { FlowRegistry, reject, Scheduler } from "poundlock";
import { bearerToken, createHandler } from "poundlock/http";
import { toNodeListener } from "poundlock/http/node";
import { arrayExport } from "poundlock/testing";

const orders = arrayExport([1, 2, 3, 4].map((number) => ({ id: `o-${number}`, total: number })));
const ledger = {
  idempotent: true,
  batchSize: 1,
  async write([order]) {
    if (order.total === 2) throw reject("an order of 2 is refused");
  },
};
const registry = new FlowRegistry({
  exports: { orders: { ...orders, key: (order) => order.id } },
  imports: { ledger },
});
const silent = () => undefined;
const scheduler = new Scheduler(registry, {
  logger: { debug: silent, info: silent, warn: silent, error: console.error },
});
await scheduler.start();

const handler = createHandler({ scheduler, authorize: bearerToken("let-me-in"), basePath: "/api" });
const server = createServer(toNodeListener(handler)).listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/api`);
});
