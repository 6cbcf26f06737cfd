// One idea: a flow of your own is tested without mocks, network or waiting. The clock stands still until the test moves
// it, the storage is in memory, and `poundlock/testing` has exports and imports that do what a test tells them.
// `node:test` is used here; any test runner does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Export, FlowRegistry, type Import, Scheduler, retryLater } from "poundlock";
import { EventRecorder, ManualClock, arrayExport, collectingImport, scriptedImport } from "poundlock/testing";

// ── What the host has written, and wants to be sure of. ─────────────────────────────────────────────────────────────

interface Order {
  readonly id: string;
  readonly paid: boolean;
}

/** The host's rule: the ledger is for what was paid. How it writes is its own affair, and is not tested here. */
const filter = (order: Order) => order.paid;

/** The host's flow, with the parts that a test replaces. */
async function nightly(orders: Export<Order>, ledger: Import<Order>, clock: ManualClock) {
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger }, timezone: "Europe/Oslo", clock });
  const flow = await registry.define("nightly", {
    name: "Paid orders to ledger",
    schedule: "0 2 * * *",
    _exportId: "orders",
    _importId: "ledger",
  });
  return { flow, scheduler: new Scheduler(registry) };
}

// ── The tests. ──────────────────────────────────────────────────────────────────────────────────────────────────────

const key = (order: Order) => order.id;
const paid = { id: "A-1", paid: true };
const unpaid = { id: "A-2", paid: false };

await test("only paid orders reach the ledger", async () => {
  const ledger = collectingImport<Order>({ filter });
  const { scheduler, flow } = await nightly(arrayExport([paid, unpaid], { key }), ledger, new ManualClock());
  await scheduler.start();

  const run = await scheduler.run(flow._id);
  const { numSuccess, numIgnore } = await scheduler.waitFor(run._id);
  await scheduler.stop();

  assert.deepEqual(ledger.written, [paid]);
  assert.deepEqual({ numSuccess, numIgnore }, { numSuccess: 1, numIgnore: 1 });
});

await test("orders are moved at two at night in Oslo, and each of them once", async () => {
  const clock = new ManualClock("2030-01-01T12:00:00Z");
  const ledger = collectingImport<Order>({ filter });
  const { scheduler } = await nightly(arrayExport([paid, unpaid], { key }), ledger, clock);
  const recorder = new EventRecorder(scheduler, ["run:completed"]);
  await scheduler.start();

  await clock.moveTo("2030-01-02T00:59:59Z");
  assert.deepEqual(ledger.written, []);
  await clock.moveTo("2030-01-03T12:00:00Z");
  await scheduler.stop();

  const dueAt = recorder.of("run:completed").map(({ run }) => run.dueAt);
  assert.deepEqual(dueAt, ["2030-01-02T01:00:00.000Z", "2030-01-03T01:00:00.000Z"]);
  assert.deepEqual(ledger.written, [paid]);
});

await test("an order that the ledger has no time for is sent again, under the same key", async () => {
  const clock = new ManualClock();
  const ledger = scriptedImport<Order>(
    ({ attempt }) => {
      if (attempt === 1) throw retryLater("the ledger is being backed up", { afterMs: 20_000 });
      return undefined;
    },
    { filter },
  );
  const { scheduler, flow } = await nightly(arrayExport([paid], { key }), ledger, clock);
  await scheduler.start();

  const run = await scheduler.run(flow._id);
  await clock.advance(20_000); // no test waits for 20 seconds
  const { status } = await scheduler.waitFor(run._id);
  await scheduler.stop();

  assert.equal(status, "completed");
  assert.deepEqual(
    ledger.calls.map(({ attempt, keys }) => ({ attempt, keys })),
    [
      { attempt: 1, keys: ["A-1"] },
      { attempt: 2, keys: ["A-1"] },
    ],
  );
});
