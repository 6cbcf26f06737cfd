import assert from "node:assert/strict";
import type { Storage } from "../../storage/storage.ts";
import {
  claimedRunId,
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  bufferOne,
  defined,
  everything,
  failureOf,
  flowOf,
  idsOf,
  inboxRecords,
  iso,
  on,
  pageOf,
  queue,
  readAll,
  realtimeStart,
  richRecord,
  roomy,
  running,
  startOf,
  take,
  tickOf,
  moving,
  endingOf,
  checkpointOf,
} from "./harness.ts";

const reclaimRule = { now: at(100), maxCrashes: 0, error: { code: "lease_lost", message: "it died" }, limit: 10 };

/** What {@link Storage} promises of every method. */
export const wholeStorageCases: readonly StorageCase[] = [
  on("what it returns is frozen, all the way down", async (storage) => {
    for (const [what, document] of await documentsOf(storage)) assertFrozen(document, what);
  }),

  on("what it was given is copied: changing it afterwards changes nothing that is stored", async (storage) => {
    const flow = { ...flowOf("flow"), _importIds: ["ledger", "mailer"] };
    const start = { ...startOf("run"), retry: { _ids: ["1"] } };
    const value = { after: 1 };
    const record = { amount: 1, lines: [1] };
    const key = { ids: ["x"], records: [{ event: "x" }] };
    await storage.insertFlow(flow);
    await storage.queueRun(start, roomy);
    await storage.setCheckpoint("flow", { value, version: 1 }, { _importIds: ["ledger"], at: at(50) });
    await storage.appendInbox(arrivalOf("arrival", key), roomy);
    const { runLease } = await take(storage);
    const position = { pages: 1, checkpoint: { value: { after: 1 }, version: 1 } };
    const counts = { ledger: { numSuccess: 1, numError: 1, numIgnore: 0 } };
    await storage.commitPage(runLease, pageOf(1, { position, counts, failures: [failureOf("1", { record })] }));
    const before = await everything(storage);

    flow._importIds.push("intruder");
    start.retry._ids.push("intruder");
    value.after = position.pages = position.checkpoint.value.after = counts.ledger.numSuccess = 999;
    record.lines.push(999);
    key.ids[0] = "intruder";
    defined(key.records[0]).event = "intruder";

    assert.deepEqual(await everything(storage), before);
    await storage.releaseRun(runLease);
    assert.deepEqual((await take(storage, "flow", "next")).position, {
      ...{ pages: 1, checkpoint: { value: { after: 1 }, version: 1 } },
    });
  }),

  on("the checkpoint of a page, and the checkpoint and error of an ending, are copied", async (storage) => {
    const { runLease } = await running(storage);
    const ofPage = { value: { after: 1 }, version: 1 };
    await storage.commitPage(runLease, pageOf(1, moving({ checkpoint: ofPage })));
    ofPage.value.after = 999;
    const committed = await checkpointOf(storage);
    const ofRun = { value: { after: 2 }, version: 1 };
    await storage.endRun(runLease, endingOf("completed", 9, moving({ checkpoint: ofRun })));
    ofRun.value.after = 999;
    const ended = await checkpointOf(storage);
    await queue(storage, "second");
    const second = await take(storage, "flow", "next");
    const error = { code: "export_failed", message: "the shop was closed" };
    await storage.endRun(second.runLease, endingOf("failed", 9, { error }));

    error.message = "changed";

    assert.deepEqual([committed?.value, ended?.value], [{ after: 1 }, { after: 2 }]);
    assert.equal((await storage.findRun("second"))?.error?.message, "the shop was closed");
  }),

  on("a new storage is empty", async (storage) => {
    const nothing = {
      ...{ flows: { items: [] }, due: undefined, runs: { items: [] }, waiting: [], places: {} },
      ...{ failures: { items: [] }, inbox: [], unread: [] },
    };
    // Copied as well: Jest runs tests in a realm of their own, and copies are of another.
    assert.deepEqual(await everything(storage), structuredClone(nothing));
  }),

  on("close may be called twice", async (storage) => {
    await storage.close();
    await storage.close();
  }),
];

/** What is there after closing and opening again, if a storage is durable. */
export const durableStorageCases: readonly StorageCase[] = [
  reopened("flows and when they are due outlive the process", async (storage) => {
    await addFlow(storage, "flow", { schedule: "* * * * *", nextRunAt: iso(60), _importIds: ["ledger", "mailer"] });
    await addFlow(storage, "due", { nextRunAt: iso(10) });
    await storage.queueDue([tickOf("due", "run", { dueAt: 10, nextDueAt: 30 })], bufferOne);
    return async (again) => {
      assert.equal(await again.nextDueAt(), at(30));
      assert.deepEqual(idsOf(await again.dueFlows(at(60), 10)), ["due", "flow"]);
    };
  }),

  reopened("waiting runs outlive the process, in their order and with what was folded into them", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    await queue(storage, "b", "flow", { trigger: "schedule" });
    await queue(storage, "a");
    await storage.queueDue([tickOf("flow", "folded", { dueAt: 10 })], bufferOne);
    return async (again) => {
      assert.equal((await again.findRun("b"))?.coalesced, 1);
      await queue(again, "c");
      const { run, runLease } = await take(again);
      await again.endRun(runLease, endingOf("completed", 9));
      assert.deepEqual([run._id, (await take(again, "flow", "next")).run._id], ["b", "a"]);
      assert.deepEqual(idsOf((await again.listRuns({ limit: 10 })).items), ["c", "a", "b"]);
    };
  }),

  reopened("a lease outlives the process, with its token, its end and the run's position", async (storage) => {
    const { runLease } = await running(storage);
    const position = { pages: 1, checkpoint: { value: { after: [1, null] }, version: 2 } };
    await storage.commitPage(runLease, pageOf(1, { position }));
    return async (again) => {
      assert.equal(await again.claimRun("flow", { token: "another", at: at(3), until: at(33) }), undefined);
      assert.deepEqual(await again.reclaimExpiredRuns({ ...reclaimRule, now: at(31) }), []);
      assert.equal((await again.commitPage(runLease, pageOf(2)))?.run.numSuccess, 6);
      assert.deepEqual((await take(again)).position, position);
      assert.deepEqual(idsOf(await again.reclaimExpiredRuns(reclaimRule)), ["run"]);
    };
  }),

  reopened("checkpoints outlive the process", async (storage) => {
    const { runLease } = await running(storage);
    await storage.commitPage(
      runLease,
      pageOf(1, moving({ checkpoint: { value: { after: "Æ", list: [1] }, version: 3 } })),
    );
    return async (again) => {
      assert.deepEqual(await checkpointOf(again), { value: { after: "Æ", list: [1] }, version: 3 });
    };
  }),

  reopened("failures outlive the process, with records as they were", async (storage) => {
    const { runLease } = await running(storage);
    await storage.commitPage(
      runLease,
      pageOf(1, { failures: [failureOf("b", { record: richRecord() }), failureOf("a")] }),
    );
    await storage.resolveFailures(["a"], at(9));
    return async (again) => {
      await again.commitPage(runLease, pageOf(2, { failures: [failureOf("0")] }));
      const { items } = await again.listFailures({ limit: 10 });
      assert.deepEqual(idsOf(items), ["b", "a", "0"]);
      assert.deepEqual([items[0]?.record, items[1]?.resolvedAt], [richRecord(), iso(9)]);
    };
  }),

  reopened("what arrived outlives the process, with the event ids that were seen", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1", { records: [richRecord(), 2], ids: ["x", "y"] }));
    return async (again) => {
      const [appended] = await append(again, arrivalOf("2", { records: ["old", "new"], ids: ["x", "z"] }));
      await append(again, arrivalOf("1", { records: [richRecord(), 2], ids: ["x", "y"] }));
      assert.equal(appended?.duplicates, 1);
      assert.deepEqual(await inboxRecords(again), [richRecord(), 2, "new"]);
      assert.equal((await take(again)).run._id, "start of 1");
    };
  }),

  {
    title: "a list goes on where `next` says, in a process that came later, too",
    needs: "durable",
    async run({ storage, reopen }) {
      const { runLease } = await running(storage);
      await storage.commitPage(runLease, pageOf(1, { failures: ["3", "2", "1"].map((_id) => failureOf(_id)) }));
      for (const _id of ["second", "third"]) await queue(storage, _id);
      let open = storage;
      const openAgain = async () => {
        open = await reopen();
      };

      const failures = await readAll((after) => open.listFailures({ limit: 1, ...after }), openAgain);
      const runs = await readAll((after) => open.listRuns({ limit: 1, ...after }), openAgain);

      assert.deepEqual(idsOf(failures), ["3", "2", "1"]);
      assert.deepEqual(idsOf(runs), ["third", "second", "run"]);
    },
  },
];

/** What two processes see of each other, if a storage is shared. */
export const sharedStorageCases: readonly StorageCase[] = [
  {
    title: "what one process was answered, another one sees at once",
    needs: "shared",
    async run({ storage, other }) {
      const { runLease } = await running(storage);
      await storage.commitPage(
        runLease,
        pageOf(1, { failures: [failureOf("1")], ...moving({ checkpoint: { value: 7, version: 1 } }) }),
      );
      await append(storage, arrivalOf("arrival"));

      assert.notEqual(other, storage, "open answered the same storage twice");
      assert.deepEqual(await everything(other), await everything(storage));
      assert.equal((await other.commitPage(runLease, pageOf(2)))?.run.numSuccess, 6);
      assert.equal((await storage.findRun("run"))?.numSuccess, 6);
    },
  },

  {
    title: "one process that closes its storage leaves another one's open",
    needs: "shared",
    async run({ storage, other }) {
      await addFlow(storage);

      await storage.close();

      assert.equal((await other.findFlow("flow"))?._id, "flow");
    },
  },

  {
    title: "many claims, commits and endings of two processes at once run every run exactly once, in order",
    needs: "shared",
    async run({ storage, other }) {
      const _flowIds = ["a", "b", "c", "d"];
      for (const _id of _flowIds) {
        await addFlow(storage, _id);
        for (let nth = 0; nth < 5; nth++) await queue(nth % 2 === 0 ? storage : other, `${_id}${nth}`, _id);
      }
      const ran: string[] = [];

      await Promise.all(
        [storage, other].flatMap((each, process) =>
          _flowIds.map(async (_flowId) => {
            for (let claim = 0; (await each.findRun(`${_flowId}4`))?.endedAt === undefined; claim++) {
              const token = `${process} ${_flowId} ${claim}`;
              const taken = await each.claimRun(_flowId, { token, at: at(2), until: at(32) });
              const _runId = claimedRunId(taken);
              if (_runId === undefined) continue;
              const runLease = { _runId, token };
              ran.push(_runId);
              assert.equal((await each.commitPage(runLease, pageOf(1)))?.run.numPagesProcessed, 1);
              assert.equal((await each.endRun(runLease, endingOf("completed", 3)))?.run.status, "completed");
            }
          }),
        ),
      );

      const ofFlow = (_flowId: string) => ran.filter((_id) => _id.startsWith(_flowId)).join(" ");
      assert.deepEqual(
        _flowIds.map(ofFlow),
        _flowIds.map((_id) => [0, 1, 2, 3, 4].map((nth) => `${_id}${nth}`).join(" ")),
      );
    },
  },
];

// `prepare` returns a check for when the storage has been closed and opened again.
function reopened(
  title: string,
  prepare: (storage: Storage) => Promise<(again: Storage) => Promise<void>>,
): StorageCase {
  return {
    title,
    needs: "durable",
    async run({ storage, reopen }) {
      const check = await prepare(storage);
      const before = await everything(storage);
      const again = await reopen();
      assert.deepEqual(await everything(again), before);
      await check(again);
    },
  };
}

/** A method, and a document that it returned. */
type ReturnedDocument = readonly [method: string, document: unknown];

// Documents out of every method that returns any.
async function documentsOf(storage: Storage): Promise<readonly ReturnedDocument[]> {
  return [
    ...(await documentsOfFlows(storage)),
    ...(await documentsOfRuns(storage)),
    ...(await documentsOfInbox(storage)),
    ...(await documentsOfLists(storage)),
  ];
}

async function documentsOfFlows(storage: Storage): Promise<readonly ReturnedDocument[]> {
  const lists = { _importIds: ["ledger", "mailer"] };
  await storage.insertFlow(flowOf("flow", { ...lists, nextRunAt: iso(10) }));
  const replaced = await storage.replaceFlow(flowOf("flow", { ...lists, lastModified: iso(1) }), {
    ...{ expected: iso(0), reschedule: false, at: at(1) },
  });
  const queued = await storage.queueRun(startOf("run", "flow", { retry: { _ids: ["1"] } }), roomy);
  const dueFlows = await storage.dueFlows(at(60), 10);
  const due = await storage.queueDue([tickOf("flow", "due", { dueAt: 10, nextDueAt: 20 })], bufferOne);
  const folded = await storage.queueDue([tickOf("flow", "folded", { dueAt: 20 })], bufferOne);
  const checkpoint = { value: { after: [{ deep: 1 }] }, version: 1 };
  await storage.setCheckpoint("flow", checkpoint, { _importIds: ["ledger"], at: at(50) });
  return [
    ["replaceFlow", "flow" in replaced && replaced.flow],
    ["queueRun", "run" in queued && queued.run],
    ...dueFlows.map((flow) => ["dueFlows", flow] as const),
    ...[...due, ...folded].map((outcome) => ["queueDue", "run" in outcome && outcome.run] as const),
  ];
}

// Claims the runs that documentsOfFlows queued.
async function documentsOfRuns(storage: Storage): Promise<readonly ReturnedDocument[]> {
  const taken = await take(storage);
  const { runLease } = taken;
  const failures = [failureOf("1", { record: { lines: [{ amount: 1 }] } })];
  const position = { pages: 1, checkpoint: { value: { after: [{ deep: 1 }] }, version: 1 } };
  const committed = await storage.commitPage(runLease, pageOf(1, { failures, position }));
  const released = await storage.releaseRun(runLease);
  const retaken = await take(storage, "flow", "second");
  const reclaimed = await storage.reclaimExpiredRuns({ ...reclaimRule, maxCrashes: 1 });
  const third = await take(storage, "flow", "third");
  const error = { code: "export_failed", message: "the shop was closed" };
  const ended = await storage.endRun(third.runLease, endingOf("failed", 9, { error }));
  await take(storage, "flow", "fourth");
  const failed = await storage.reclaimExpiredRuns(reclaimRule);
  return [
    ...[taken, retaken].flatMap(({ run, flow, position: reached, checkpoint }) =>
      [run, flow, reached, checkpoint].map((document) => ["claimRun", document] as const),
    ),
    ["commitPage", committed?.run],
    ["releaseRun", released],
    ...[...reclaimed, ...failed].map((run) => ["reclaimExpiredRuns", run] as const),
    ["endRun", defined(ended).run],
  ];
}

async function documentsOfInbox(storage: Storage): Promise<readonly ReturnedDocument[]> {
  const appended = await append(storage, arrivalOf("arrival", { records: [{ lines: [{ amount: 1 }] }] }));
  const inbox = await storage.readInbox("flow", { maxRecords: 10 });
  return [["appendInbox", appended[0]?.run], ...inbox.map((page) => ["readInbox", page] as const)];
}

// Of all that those before have made.
async function documentsOfLists(storage: Storage): Promise<readonly ReturnedDocument[]> {
  const found = [await storage.findFailure("1"), await checkpointOf(storage), await storage.findRun("run")];
  const listed = [await storage.listFlows({ limit: 10 }), await storage.listRuns({ limit: 10 })];
  const resolved = await storage.resolveFailures(["1"], at(9));
  const canceled = await storage.cancelRun("start of arrival", { at: at(9) });
  await addFlow(storage, "gone");
  await append(storage, arrivalOf("gone's", { starts: [realtimeStart("gone's run", "gone")] }));
  const deleted = await storage.deleteFlow("gone", { at: at(9) });
  return [
    ...found.map((document) => ["a find method", document] as const),
    ...listed.flatMap(({ items }) => items.map((document) => ["a list method", document] as const)),
    ...resolved.map((failure) => ["resolveFailures", failure] as const),
    ["cancelRun", canceled],
    ["deleteFlow", "canceled" in deleted && deleted.canceled[0]],
    ["deleteFlow", "flow" in deleted && deleted.flow],
  ];
}

function assertFrozen(value: unknown, path: string): void {
  if (typeof value !== "object" || value === null) return;
  assert.ok(Object.isFrozen(value), `${path} is not frozen`);
  for (const [key, item] of Object.entries(value)) assertFrozen(item, `${path}.${key}`);
}
