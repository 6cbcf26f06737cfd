import assert from "node:assert/strict";
import type { FlowQuery, Storage } from "../../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  at,
  endingOf,
  failureOf,
  flowOf,
  iso,
  moving,
  on,
  pageOf,
  pauseOf,
  queue,
  readAll,
  take,
} from "../harness.ts";

/** The ids of all flows that match, read two at a time. */
async function found(storage: Storage, query: Omit<FlowQuery, "limit">): Promise<readonly string[]> {
  const flows = await readAll((after) => storage.listFlows({ ...query, limit: 2, ...after }));
  return flows.map(({ _id }) => _id);
}

/** Flows in each state, some of them of `acme`. */
async function inStates(storage: Storage): Promise<void> {
  await addFlow(storage, "calm");
  await storage.insertFlow(flowOf("late", { nextRunAt: iso(1), _integrationId: "acme" }), { followingDueAt: at(5) });
  for (const [_id, status] of [
    ["broken", "failed"],
    ["off", "failed"],
    ["well", "completed"],
  ] as const) {
    await addFlow(storage, _id, { _integrationId: "acme" });
    await queue(storage, `run of ${_id}`, _id);
    const { runLease } = await take(storage, _id, `token of ${_id}`);
    await storage.endRun(runLease, endingOf(status, 3));
  }
  await storage.replaceFlow(flowOf("off", { disabled: true, lastModified: iso(4), _integrationId: "acme" }), {
    ...{ expected: iso(0), reschedule: false, at: at(4) },
  });
  await addFlow(storage, "busy");
  await queue(storage, "first", "busy");
  const { runLease } = await take(storage, "busy", "token of busy");
  await queue(storage, "second", "busy");
  const failures = [failureOf("1", { _flowId: "busy" }), failureOf("2", { _flowId: "well", _integrationId: "acme" })];
  await storage.commitPage(runLease, pageOf(1, { failures, ...moving({ pause: pauseOf(9) }) }));
}

/** What lists of flows promise of names and states, and what {@link OverviewStorage} says of each flow. */
export const searchStorageCases: readonly StorageCase[] = [
  on("listFlows finds a part of a name, in any case, as it is now", async (storage) => {
    const named = (_id: string, name: string, _integrationId = "acme") =>
      addFlow(storage, _id, { name, _integrationId });
    await named("1", "Orders to ledger");
    await named("2", "100% of ÜBER_orders", "zeta");
    await named("3", "Prices");
    await named("4", "Old orders");

    assert.deepEqual(await found(storage, { q: "ORDERS" }), ["1", "2", "4"]);
    assert.deepEqual(await found(storage, { q: "über_" }), ["2"]);
    assert.deepEqual(await found(storage, { q: "0%" }), ["2"]);
    assert.deepEqual(await found(storage, { q: "%" }), ["2"]);
    assert.deepEqual(await found(storage, { q: "orders", _integrationId: "acme" }), ["1", "4"]);
    assert.deepEqual(await found(storage, { q: "nothing" }), []);
    const renamed = flowOf("1", { name: "Invoices", lastModified: iso(1), _integrationId: "acme" });
    await storage.replaceFlow(renamed, { expected: iso(0), reschedule: false, at: at(1) });
    assert.deepEqual(await found(storage, { q: "order" }), ["2", "4"]);
    assert.deepEqual(await found(storage, { q: "voice" }), ["1"]);
  }),

  on("listFlows finds flows by each state", async (storage) => {
    await inStates(storage);
    const now = at(5);

    assert.deepEqual(await found(storage, { state: "failing" }), ["broken"]);
    assert.deepEqual(await found(storage, { state: "overdue", now }), ["late"]);
    assert.deepEqual(await found(storage, { state: "overdue", now: at(4) }), []);
    assert.deepEqual(await found(storage, { state: "paused" }), ["busy"]);
    assert.deepEqual(await found(storage, { state: "failures" }), ["busy", "well"]);
    assert.deepEqual(await found(storage, { state: "running" }), ["busy"]);
    assert.deepEqual(await found(storage, { state: "queued" }), ["busy"]);
    assert.deepEqual(await found(storage, { state: "failures", _integrationId: "acme" }), ["well"]);
    assert.deepEqual(await found(storage, { state: "overdue", now, _integrationId: "acme" }), ["late"]);
    assert.deepEqual(await found(storage, { state: "failing", _integrationId: "zeta" }), []);
    assert.deepEqual(await found(storage, { state: "failing", q: "ROKE" }), ["broken"]);
    assert.deepEqual(await found(storage, { state: "failing", q: "well" }), []);
    assert.deepEqual(await found(storage, { state: "failures", _importId: "mailer" }), []);
  }),

  on("flowActivities says how each flow does", async (storage) => {
    await inStates(storage);
    const query = { _flowIds: ["busy", "none", "broken", "late", "off", "calm"], now: at(5) };
    const lastRun = { _id: "run of broken", status: "failed", endedAt: iso(3), numError: 0 };

    assert.deepEqual(await storage.flowActivities(query), [
      { openFailures: 1, paused: [{ _importId: "ledger", since: iso(3), resumeAt: iso(9) }] },
      undefined,
      { lastRun, failingSince: iso(3), openFailures: 0, paused: [] },
      { overdueSince: iso(5), openFailures: 0, paused: [] },
      { lastRun: { ...lastRun, _id: "run of off" }, openFailures: 0, paused: [] },
      { openFailures: 0, paused: [] },
    ]);
    const [well] = await storage.flowActivities({ _flowIds: ["well"], now: at(5), _integrationId: "zeta" });
    assert.deepEqual(well, { openFailures: 0, paused: [] });
  }),

  on("a search for flows looks at a portion, and goes on where it stopped", async (storage) => {
    const mostInState = 1_000;
    const ids = Array.from({ length: mostInState + 1 }, (_, index) => String(index).padStart(5, "0"));
    for (const _id of ids) await storage.insertFlow(flowOf(_id, { nextRunAt: iso(1) }), { followingDueAt: at(2) });
    const last = flowOf(ids.at(-1) ?? "", { name: "needle", lastModified: iso(1), nextRunAt: iso(1) });
    await storage.replaceFlow(last, { expected: iso(0), reschedule: false, at: at(1) });
    const query = { state: "overdue", now: at(2), q: "needle", limit: 10 } as const;

    const first = await storage.listFlows(query);
    const second = await storage.listFlows({ ...query, after: first.next ?? "" });

    assert.deepEqual([first.items, first.next], [[], ids[mostInState - 1]]);
    assert.deepEqual([second.items.map(({ _id }) => _id), second.next], [[last._id], undefined]);
  }),
];
