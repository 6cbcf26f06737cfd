import assert from "node:assert/strict";
import type { Overview } from "../../../model/flow/overview.ts";
import type { RunStart } from "../../../model/run.ts";
import type { RunEnding, Storage } from "../../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  bufferOne,
  endingOf,
  failureOf,
  flowOf,
  iso,
  keepFailures,
  moving,
  on,
  pageOf,
  pauseOf,
  queue,
  running,
  take,
  tickOf,
} from "../harness.ts";

const nothing: Overview = {
  flows: { enabled: 0, disabled: 0 },
  runs: { running: 0, queued: 0 },
  ...{ failing: 0, overdue: 0, paused: 0, openFailures: 0, inboxPages: 0 },
};

const seen = (storage: Storage, seconds = 5, _integrationId?: string) =>
  storage.overview({ now: at(seconds), ...(_integrationId === undefined ? {} : { _integrationId }) });

/** Queues a run of `flow` and takes it. */
async function taken(storage: Storage, _id: string, changes: Partial<RunStart> = {}) {
  await queue(storage, _id, "flow", changes);
  return take(storage, "flow", `token of ${_id}`);
}

/** The same, and ends it. */
async function end(
  storage: Storage,
  _id: string,
  status: RunEnding["status"],
  changes: Partial<RunStart> = {},
): Promise<void> {
  const { runLease } = await taken(storage, _id, changes);
  await storage.endRun(runLease, endingOf(status, 4));
}

const failing = async (storage: Storage) => (await seen(storage)).failing;
const overdueAt = async (storage: Storage, seconds: number) => (await seen(storage, seconds)).overdue;

/** What {@link OverviewStorage} promises. */
export const overviewStorageCases: readonly StorageCase[] = [
  on("overview of an empty storage is nothing", async (storage) => {
    assert.deepEqual(await seen(storage), nothing);
    assert.deepEqual(await seen(storage, 5, "acme"), nothing);
  }),

  on(
    "overview counts flows, runs, open failures and pages that wait, of all and of one integration",
    async (storage) => {
      await addFlow(storage, "other", { _integrationId: "acme" });
      await addFlow(storage, "off", { disabled: true, _integrationId: "acme" });
      await keepFailures(storage, [failureOf("1"), failureOf("2", { _integrationId: "acme" })]);
      await queue(storage, "one", "other", { queuedAt: iso(3) });
      await queue(storage, "two", "flow", { queuedAt: iso(2) });
      await append(storage, arrivalOf("arrival", { starts: [] }));

      assert.deepEqual(await seen(storage), {
        ...nothing,
        ...{ flows: { enabled: 2, disabled: 1 }, runs: { running: 1, queued: 2 }, openFailures: 2 },
        ...{ inboxPages: (await storage.readInbox("flow", { maxRecords: 10 })).length, oldestQueuedAt: iso(3) },
      });
      assert.deepEqual(await seen(storage, 5, "acme"), {
        ...nothing,
        ...{ flows: { enabled: 1, disabled: 1 }, runs: { running: 0, queued: 1 }, openFailures: 1 },
        oldestQueuedAt: iso(3),
      });
      assert.deepEqual(await seen(storage, 5, "nobody"), nothing);
    },
  ),

  on("overview counts pages of an inbox until they are settled", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("arrival"));
    assert.equal((await seen(storage)).inboxPages, 1);

    await storage.dropInbox("flow", { _ids: ["arrival"] });

    assert.equal((await seen(storage)).inboxPages, 0);
  }),

  on("a flow is failing from a run that failed to one that completed", async (storage) => {
    await addFlow(storage, "flow", { _integrationId: "acme" });
    await end(storage, "1", "completed");
    assert.equal(await failing(storage), 0);
    await end(storage, "2", "failed");
    await end(storage, "3", "failed");
    await end(storage, "4", "canceled");
    assert.equal(await failing(storage), 1);
    assert.equal((await seen(storage, 5, "acme")).failing, 1);
    assert.equal((await seen(storage, 5, "another")).failing, 0);
    await end(storage, "5", "completed");
    assert.equal(await failing(storage), 0);
  }),

  on("neither a sample nor a retry run says whether a flow is failing", async (storage) => {
    await addFlow(storage);
    const retry = { trigger: "retry", retry: {} } as const;
    await end(storage, "1", "failed", { limit: 1 });
    await end(storage, "2", "failed", retry);
    assert.equal(await failing(storage), 0);
    await end(storage, "3", "failed");
    await end(storage, "4", "completed", { limit: 1 });
    await end(storage, "5", "completed", retry);
    assert.equal(await failing(storage), 1);
  }),

  on("a run that completed without an import that is paused does not say that its flow is well", async (storage) => {
    await addFlow(storage);
    await end(storage, "1", "failed");
    const { runLease } = await taken(storage, "2");
    await storage.endRun(runLease, endingOf("completed", 4, { imports: { ledger: { status: "skipped" } } }));
    assert.equal(await failing(storage), 1);
    await end(storage, "3", "completed");
    assert.equal(await failing(storage), 0);
  }),

  on(
    "a flow is failing when its run crashed too often, and not while it is disabled or once it is gone",
    async (storage) => {
      const { flow } = await running(storage);
      const error = { code: "lease_lost", message: "it died" };
      await storage.reclaimExpiredRuns({ now: at(99), maxCrashes: 0, error, limit: 10 });
      assert.equal(await failing(storage), 1);

      const change = { expected: flow.lastModified, reschedule: false, at: at(100) };
      await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(100) }), change);
      assert.equal(await failing(storage), 0);
      await storage.replaceFlow(flowOf("flow", { lastModified: iso(101) }), { ...change, expected: iso(100) });
      assert.equal(await failing(storage), 1);
      await storage.deleteFlow("flow", { at: at(102) });
      await addFlow(storage);
      assert.equal(await failing(storage), 0);
    },
  ),

  on("the end of a run whose flow was deleted says nothing about a new flow with its id", async (storage) => {
    const { runLease } = await running(storage);
    await storage.deleteFlow("flow", { at: at(3) });
    await addFlow(storage);

    await storage.endRun(runLease, endingOf("failed", 4));

    assert.equal(await failing(storage), 0);
  }),

  on(
    "a flow is overdue from the due time that was to follow the next one when its last run started",
    async (storage) => {
      const schedule = "*/10 * * * *";
      await storage.insertFlow(flowOf("flow", { schedule, nextRunAt: iso(10), _integrationId: "acme" }), {
        followingDueAt: at(20),
      });
      assert.deepEqual([await overdueAt(storage, 19), await overdueAt(storage, 20)], [0, 1]);
      assert.equal((await seen(storage, 20, "acme")).overdue, 1);
      assert.equal((await seen(storage, 20, "another")).overdue, 0);

      const tick = { ...tickOf("flow", "run", { dueAt: 10, nextDueAt: 20 }), followingDueAt: at(30) };
      await storage.queueDue([tick], bufferOne);
      assert.equal(await overdueAt(storage, 20), 1, "what waits has not started");
      const { runLease } = await take(storage);
      assert.deepEqual([await overdueAt(storage, 29), await overdueAt(storage, 30)], [0, 1]);
      await storage.endRun(runLease, endingOf("completed", 11));

      await storage.queueDue([tickOf("flow", "last", { dueAt: 20, nextDueAt: 30 })], bufferOne);
      assert.equal(await overdueAt(storage, 30), 1);
      await take(storage, "flow", "another token");
      assert.equal(await overdueAt(storage, 9_999), 0, "nothing follows");
    },
  ),

  on("the wait begins anew when a flow is rescheduled, and is over when it is disabled", async (storage) => {
    await storage.insertFlow(flowOf("flow", { nextRunAt: iso(10) }), { followingDueAt: at(20) });
    const change = { expected: iso(0), reschedule: true, at: at(5), followingDueAt: at(40) };
    await storage.replaceFlow(flowOf("flow", { lastModified: iso(5), nextRunAt: iso(30) }), change);
    assert.deepEqual([await overdueAt(storage, 39), await overdueAt(storage, 40)], [0, 1]);

    await storage.rescheduleFlows([
      { _flowId: "flow", expected: at(30), dueAt: at(50), followingDueAt: at(60), basis: "new" },
    ]);
    assert.deepEqual([await overdueAt(storage, 59), await overdueAt(storage, 60)], [0, 1]);

    const same = flowOf("flow", { name: "another", lastModified: iso(6), nextRunAt: iso(50) });
    await storage.replaceFlow(same, { expected: iso(5), reschedule: false, at: at(6) });
    assert.equal(await overdueAt(storage, 60), 1);
    await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(7) }), {
      ...{ expected: iso(6), reschedule: true, at: at(7) },
    });
    assert.equal(await overdueAt(storage, 9_999), 0);
  }),

  on(
    "overview counts imports that are paused, whatever ends their pause, unless their flow is disabled",
    async (storage) => {
      const { flow, runLease } = await running(storage);
      await storage.commitPage(runLease, pageOf(1, moving({ pause: pauseOf() })));
      assert.equal((await seen(storage)).paused, 1);
      await storage.commitPage(runLease, pageOf(2, moving({ pause: pauseOf(9) })));
      assert.equal((await seen(storage)).paused, 1);
      assert.equal((await seen(storage, 5, "another")).paused, 0);

      const change = { expected: flow.lastModified, reschedule: false, at: at(5) };
      await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(5) }), change);
      assert.equal((await seen(storage)).paused, 0);
      await storage.replaceFlow(flowOf("flow", { lastModified: iso(6) }), { ...change, expected: iso(5) });
      await storage.endPauses("flow", ["ledger"]);
      assert.equal((await seen(storage)).paused, 0);
    },
  ),

  on("the oldest run that waits is one that has not begun and need not wait", async (storage) => {
    await addFlow(storage, "other");
    const { runLease } = await running(storage);
    await storage.releaseRun(runLease, {});
    await queue(storage, "waits", "other", { queuedAt: iso(3) });
    assert.equal((await seen(storage)).oldestQueuedAt, iso(3));

    const { runLease: other } = await take(storage, "other", "token of other");
    await storage.releaseRun(other, { notBefore: at(50) });
    await queue(storage, "new", "other", { queuedAt: iso(8) });

    assert.equal((await seen(storage)).oldestQueuedAt, iso(8));
    assert.deepEqual((await seen(storage)).runs, { running: 0, queued: 3 });
  }),
];
