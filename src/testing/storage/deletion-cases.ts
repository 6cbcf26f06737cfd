import assert from "node:assert/strict";
import type { Storage } from "../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  bufferOne,
  everything,
  failureOf,
  flowOf,
  idsOf,
  inboxRecords,
  iso,
  on,
  pageOf,
  realtimeStart,
  roomy,
  startOf,
  take,
  tickOf,
} from "./harness.ts";

const retryAt = iso(20);
const openFailures = Array.from({ length: 5 }, (_, nth) => failureOf(`open ${nth}`, { retryAt, key: `key ${nth}` }));
const lists = { limit: 100, _flowId: "flow" };

/** What {@link FlowStorage} promises of flows that were deleted and of which rows are left. */
export const deletionStorageCases: readonly StorageCase[] = [
  on("deleteFlow leaves nothing to be found of what it has not removed yet, in any way", async (storage) => {
    await addFull(storage);

    await storage.deleteFlow("flow", { at: at(9), limit: 0 });

    await expectGone(storage);
    await expectNoChanges(storage);
  }),

  {
    title: "what a deleted flow has left is not found either by another process, or after the storage was opened again",
    needs: "durable",
    run: async ({ storage, reopen }) => {
      await addFull(storage);
      await storage.deleteFlow("flow", { at: at(9), limit: 2 });

      const reopened = await reopen();

      await expectGone(reopened);
      while (await reopened.purgeFlows({ limit: 2 }));
      await expectGone(reopened);
      await addFlow(reopened);
    },
  },

  on("insertFlow returns false until purgeFlows has removed all that a deleted flow has left", async (storage) => {
    await addFull(storage);
    await storage.deleteFlow("flow", { at: at(9), limit: 0 });
    assert.equal(await storage.insertFlow(flowOf("flow")), false);

    let portions = 0;
    while (await storage.purgeFlows({ limit: 2, _flowId: "flow" })) portions++;

    assert.ok(portions >= 2, `5 failures were removed in ${portions + 1} portions of 2`);
    assert.equal(await storage.insertFlow(flowOf("flow")), true);
  }),

  on("a flow with the id of one that was deleted has nothing of it, however much there was", async (storage) => {
    await addFull(storage);
    await storage.deleteFlow("flow", { at: at(9), limit: 2 });
    while (await storage.purgeFlows({ limit: 2, _flowId: "flow" }));
    await addFlow(storage, "flow", { schedule: "* * * * *", nextRunAt: iso(5) });

    assert.deepEqual([await storage.findPlaces("flow"), await inboxRecords(storage)], [{}, []]);
    assert.deepEqual(await storage.countOpenFailures("flow", 10), {});
    assert.deepEqual((await storage.listCauses({ limit: 10 })).items, []);
    const [appended] = await append(storage, arrivalOf("arrival", { starts: [realtimeStart("new")], ids: ["1", "2"] }));
    assert.equal(appended?.duplicates, 0, "event ids of the deleted flow are known to the new one");
    const [due] = await storage.queueDue([tickOf("flow", "due again", { dueAt: 5 })], bufferOne);
    assert.equal(due?.outcome, "queued", "a due time of the deleted flow was that of the new one");
    const { runLease } = await take(storage, "flow", "new token");
    const committed = await storage.commitPage(runLease, pageOf(1, { failures: [failureOf("new", { key: "key 1" })] }));
    assert.deepEqual(committed?.failures[0], failureOf("new", { key: "key 1" }));
  }),

  on("purgeFlows leaves flows that are there, ended runs and resolved failures as they are", async (storage) => {
    await addFull(storage);
    const before = await everything(storage);
    assert.equal(await storage.purgeFlows({ limit: 100 }), false);
    assert.equal(await storage.purgeFlows({ limit: 100, _flowId: "flow" }), false);
    assert.deepEqual(await everything(storage), before);

    await addFlow(storage, "other");
    await append(storage, arrivalOf("other's", { starts: [realtimeStart("start", "other")] }));
    await storage.deleteFlow("flow", { at: at(9), limit: 0 });
    while (await storage.purgeFlows({ limit: 1 }));

    assert.deepEqual(idsOf((await storage.listFailures({ limit: 100 })).items), ["resolved"]);
    assert.deepEqual(idsOf((await storage.listRuns({ ...lists, status: "completed" })).items), ["run"]);
    assert.equal((await inboxRecords(storage, "other")).length, 2);
    assert.deepEqual(idsOf((await storage.listFlows({ limit: 10 })).items), ["other"]);
  }),

  on("deleteFlow removes several flows with much in them, each for itself", async (storage) => {
    await addFull(storage);
    await addFlow(storage, "other");
    await append(storage, arrivalOf("other's", { starts: [realtimeStart("start", "other")], ids: ["1", "2"] }));
    const { runLease } = await take(storage, "other", "other token");
    const failures = openFailures.map((failure) => ({ ...failure, _id: `other ${failure._id}`, _flowId: "other" }));
    await storage.commitPage(runLease, pageOf(1, { failures }));
    for (const _id of ["flow", "other"]) await storage.deleteFlow(_id, { at: at(9), limit: 0 });

    while (await storage.purgeFlows({ limit: 3 }));

    for (const _id of ["flow", "other"]) assert.equal(await storage.insertFlow(flowOf(_id)), true, _id);
  }),
];

// The flow `flow`, with all that a flow may have: a due time that had its run, places, pages, event ids, failures.
async function addFull(storage: Storage): Promise<void> {
  await addFlow(storage, "flow", { schedule: "* * * * *", nextRunAt: iso(5), _integrationId: "acme" });
  await storage.queueDue([tickOf("flow", "run", { dueAt: 5, nextDueAt: 65 })], bufferOne);
  const { runLease } = await take(storage);
  const places = [{ _importIds: ["ledger"], checkpoint: { value: 7, version: 1 } }];
  const failures = [failureOf("resolved"), ...openFailures];
  await storage.commitPage(runLease, pageOf(1, { failures, places }));
  await storage.resolveFailures(["resolved"], at(8));
  await storage.endRun(runLease, { status: "completed", at: at(8), imports: {}, places: [] });
  await append(storage, arrivalOf("arrival", { ids: ["1", "2"] }));
  await append(storage, arrivalOf("second", { ids: ["3", "4"] }));
  await storage.dropInbox("flow", { _ids: ["second"], _importId: "mailer" });
}

// Nothing that can be read shows any of it.
async function expectGone(storage: Storage): Promise<void> {
  const limit = 100;
  assert.equal(await storage.findFlow("flow"), undefined);
  assert.deepEqual((await storage.listFlows({ limit })).items, []);
  assert.deepEqual((await storage.listFlows({ limit, _exportId: "orders", disabled: true })).items, []);
  assert.deepEqual(await storage.dueFlows(at(1_000), limit), []);
  assert.deepEqual([await storage.nextDueAt(), await storage.scheduledFlows(limit)], [undefined, []]);
  assert.deepEqual([await storage.findPlaces("flow"), await inboxRecords(storage)], [{}, []]);
  assert.deepEqual([await storage.unreadInboxes(limit), await storage.waitingFlows(limit)], [[], []]);
  await expectNoFailures(storage);
}

async function expectNoFailures(storage: Storage): Promise<void> {
  const limit = 100;
  const _ids = ["open 1", "resolved"];
  for (const query of [{ limit }, lists, { limit, _importId: "ledger" }, { limit, _runId: "run" }, { limit, _ids }])
    assert.deepEqual(idsOf((await storage.listFailures(query)).items), ["resolved"], JSON.stringify(query));
  for (const query of [{ key: "key 1" }, { keyPrefix: "key " }, { status: "open" }, { text: "open" }] as const)
    for (const newestFirst of [false, true])
      assert.deepEqual(
        idsOf((await storage.listFailures({ ...query, newestFirst, limit })).items),
        "keyPrefix" in query ? ["resolved"] : [],
        JSON.stringify(query),
      );
  assert.deepEqual((await storage.listFailureIds({ limit, status: "open" })).items, []);
  assert.equal(await storage.findFailure("open 1"), undefined);
  assert.deepEqual((await storage.listCauses({ limit })).items, []);
  assert.deepEqual((await storage.listCauses({ limit, _flowId: "flow" })).items, []);
  assert.deepEqual((await storage.flowsOfFailures({ limit })).items, []);
  const keys = { _flowId: "flow", _importId: "ledger", _exportId: "orders", limit };
  assert.deepEqual((await storage.openKeys(keys)).items, []);
  assert.deepEqual(await storage.countOpenFailures("flow", limit), {});
  assert.deepEqual([await storage.dueRetries(at(1_000), limit), await storage.nextRetryAt(at(0))], [[], undefined]);
}

// Nothing that is written reaches it.
async function expectNoChanges(storage: Storage): Promise<void> {
  const change = { expected: iso(0), reschedule: true, at: at(10) };
  assert.deepEqual(await storage.replaceFlow(flowOf("flow"), change), { outcome: "missing" });
  assert.deepEqual(await storage.deleteFlow("flow", { at: at(10) }), { outcome: "missing" });
  assert.deepEqual(await storage.queueRun(startOf("late"), roomy), { outcome: "missing" });
  assert.equal(await storage.claimRun("flow", { token: "late", at: at(10), until: at(40) }), undefined);
  assert.deepEqual(await append(storage, arrivalOf("late")), []);
  assert.deepEqual(await storage.dropInbox("flow", { _ids: ["arrival"] }), []);
  const [due] = await storage.queueDue([tickOf("flow", "late", { dueAt: 65 })], bufferOne);
  assert.equal(due?.outcome, "taken");
  const checkpoint = { value: 1, version: 1 };
  assert.equal(await storage.setCheckpoint("flow", checkpoint, { _importIds: ["ledger"], at: at(10) }), false);
  assert.deepEqual(await storage.endPauses("flow", ["ledger"]), []);
  assert.deepEqual(await storage.resolveFailures(["open 1"], at(10)), []);
  assert.equal(await storage.editFailure("open 1", { record: 1, at: at(10) }), undefined);
}
