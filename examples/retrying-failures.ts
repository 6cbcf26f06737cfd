// One idea: a record that cannot be delivered is kept, with the cause. Mend the cause, retry: only what failed is sent
// again, only to the import that did not take it, under the same key.

import { type Export, FlowRegistry, type Import, type Result, Scheduler } from "poundlock";

interface Order {
  readonly id: string;
  readonly product: string;
}

const orders: Export<Order> = {
  key: (order) => order.id,
  async *pages() {
    yield [
      { id: "A-1", product: "lamp" },
      { id: "A-2", product: "sofa" },
      { id: "A-3", product: "lmap" },
      { id: "A-4", product: "desk" },
    ];
  },
};

const products = new Set(["lamp", "desk"]);
let deskIsCounted = true;

const warehouse: Import<Order> = {
  idempotent: true,
  // An answer for each record: the others are delivered, whatever happens to one.
  async write(orders, { keys }): Promise<readonly Result[]> {
    return orders.map((order, index) => {
      if (!products.has(order.product))
        return { ok: false, fault: "reject", error: new Error(`there is no product "${order.product}"`) };
      if (order.product === "desk" && deskIsCounted)
        return { ok: false, fault: "retry", error: new Error("the shelf is being counted") };
      console.log(`  warehouse: ${keys[index] ?? ""}, ${order.product}`);
      return { ok: true };
    });
  },
};
const audit: Import<Order> = { idempotent: true, write: async () => undefined };

const registry = new FlowRegistry({ exports: { orders }, imports: { warehouse, audit } });
const scheduler = new Scheduler(registry, { maxAttempts: 3, retryDelayMs: 50 });
const flow = await registry.create({
  name: "Orders to warehouse and audit",
  _exportId: "orders",
  _importIds: ["warehouse", "audit"],
});
scheduler.on("run:retrying", ({ attempt, message }) => console.log(`  attempt ${attempt} failed: ${message}`));
await scheduler.start();

console.log("the run:");
await report((await scheduler.run(flow._id))._id);

console.log('the cause is mended: sofas are sold now, the shelf is counted. "lmap" is nobody\'s product.');
products.add("sofa");
deskIsCounted = false;

console.log("the retry:");
await report((await scheduler.retryFailures(flow._id))._id);

// What no retry will ever deliver is resolved by hand: it stays on record, but is not open any more.
const { items: left } = await scheduler.listFailures({ _flowId: flow._id, status: "open" });
await scheduler.resolveFailures(left.map(({ _id }) => _id));
const { items: open } = await scheduler.listFailures({ _flowId: flow._id, status: "open" });
console.log(`resolved by hand: ${left.map(({ key }) => key).join(", ")}; open now: ${open.length}`);
await scheduler.stop();

async function report(_runId: string): Promise<void> {
  const run = await scheduler.waitFor(_runId);
  for (const [_importId, { numSuccess, numError }] of Object.entries(run.imports))
    console.log(`  ${_importId.padEnd(9)}  ${numSuccess} delivered, ${numError} failed`);
  const { items } = await scheduler.listFailures({ _flowId: flow._id, status: "open" });
  for (const { key, fault, attempts, message } of items)
    console.log(`    ${key}  ${fault.padEnd(6)}  sent ${attempts} ${attempts === 1 ? "time" : "times"}: ${message}`);
}
