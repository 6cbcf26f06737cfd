"use strict";

const assert = require("node:assert/strict");

const testingNames = [
  "ManualClock",
  "arrayExport",
  "collectingImport",
  "executorCases",
  "exportCases",
  "importCases",
  "storageCases",
];

/** A whole host application: moves 250 orders with the copy of poundlock it is given, prints the numbers, returns the run. */
module.exports = async function moveOrders({ FlowRegistry, MemoryStorage, Scheduler }, testing, storage) {
  const source = Array.from({ length: 250 }, (_, index) => ({ id: `o${index}`, total: index }));
  const delivered = [];
  const orders = {
    async *pages({ checkpoint, pageSize }) {
      for (let after = checkpoint?.after ?? 0; after < source.length; after += pageSize)
        yield { records: source.slice(after, after + pageSize), checkpoint: { after: after + pageSize } };
    },
  };
  const ledger = { idempotent: true, write: async (records) => void delivered.push(...records) };

  const registry = new FlowRegistry({
    exports: { orders },
    imports: { ledger },
    storage: storage ?? new MemoryStorage(),
  });
  const scheduler = new Scheduler(registry, { concurrency: 2 });
  await scheduler.start();
  const flow = await registry.create({
    name: "Orders",
    schedule: "0 3 * * *",
    _exportId: "orders",
    _importId: "ledger",
  });
  const queued = await scheduler.run(flow._id);
  const ended = await scheduler.waitFor(queued._id);
  await scheduler.stop({ graceMs: 1_000 });

  const numbers = [ended.status, ended.numSuccess, ended.numError, ended.numIgnore, delivered.length];
  console.log(...numbers);
  assert.deepEqual(numbers, ["completed", 250, 0, 0, 250]);
  const missing = testingNames.filter((name) => typeof testing[name] !== "function");
  assert.deepEqual(missing, [], "missing from poundlock/testing");
  return ended;
};
