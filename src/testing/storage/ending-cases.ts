import assert from "node:assert/strict";
import type { Storage } from "../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  at,
  bufferOne,
  claimedRunId,
  defined,
  endingOf,
  everything,
  flowOf,
  idsOf,
  iso,
  on,
  pageOf,
  queue,
  roomy,
  running,
  runningForTwo,
  startOf,
  take,
  tickOf,
} from "./harness.ts";

const error = { code: "import_unavailable", message: "the mailer was closed" };
const resumeStart = startOf("resume", "flow", { trigger: "resume" });
const chained = (_id: string, _flowId: string) => startOf(_id, _flowId, { trigger: "chained", chain: ["flow"] });

/** What {@link LeaseStorage} and {@link RunStorage} promise of how runs end, follow from each other, and wait. */
export const endingStorageCases: readonly StorageCase[] = [
  on("endRun keeps how each import came out of the run, beside its counts", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    await storage.commitPage(runLease, pageOf(1));

    const imports = { ledger: { status: "completed" }, mailer: { status: "paused", error } } as const;
    const ended = await storage.endRun(runLease, endingOf("completed", 9, { imports }));

    assert.deepEqual(ended?.run.imports, {
      ledger: { numSuccess: 3, numError: 0, numIgnore: 0, status: "completed" },
      mailer: { numSuccess: 0, numError: 0, numIgnore: 0, status: "paused", error },
    });
    assert.deepEqual(await storage.findRun("run of flow"), ended.run);
  }),

  on(
    "endRun commits its last page before, and again with the same token only returns what came of it",
    async (storage) => {
      const { runLease } = await runningForTwo(storage);
      await storage.commitPage(runLease, pageOf(1));
      const counts = { mailer: { numSuccess: 0, numError: 0, numIgnore: 2 } };
      const page = { ordinal: 2, generated: 5, processed: 1, counts, total: 9 };
      const ending = endingOf("completed", 9, { page, imports: { ledger: { status: "completed" } } });

      const ended = await storage.endRun(runLease, ending);

      assert.deepEqual(
        [ended?.run.numPagesGenerated, ended?.run.numPagesProcessed, ended?.run.total, ended?.run.numIgnore],
        [5, 2, 9, 2],
      );
      assert.deepEqual(ended?.run.imports, {
        ledger: { numSuccess: 3, numError: 0, numIgnore: 0, status: "completed" },
        mailer: counts.mailer,
      });
      assert.deepEqual(await storage.endRun(runLease, ending), ended);
      assert.deepEqual(await storage.findRun("run of flow"), ended.run);
      assert.deepEqual(idsOf((await storage.listRuns({ _importId: "mailer", limit: 9 })).items), ["run of flow"]);
    },
  ),

  on(
    "endRun with a page that is not the one after the last commit returns undefined, and changes nothing",
    async (storage) => {
      const { runLease } = await running(storage);
      await storage.commitPage(runLease, pageOf(1));
      const before = await everything(storage);

      for (const ordinal of [1, 3]) {
        const page = { ordinal, generated: 2, processed: 1, counts: {} };
        assert.equal(await storage.endRun(runLease, endingOf("completed", 9, { page })), undefined);
      }

      assert.deepEqual(await everything(storage), before);
      assert.equal((await storage.endRun(runLease, endingOf("completed", 9)))?.run.status, "completed");
    },
  ),

  on("endRun queues the resume run behind the others, and returns it", async (storage) => {
    const { runLease } = await running(storage);
    await queue(storage, "retry", "flow", { trigger: "retry", retry: {} });

    const ended = await storage.endRun(runLease, endingOf("failed", 9, { error, resume: resumeStart }));

    assert.deepEqual(ended?.resume, await storage.findRun("resume"));
    assert.equal(ended?.resume?.trigger, "resume");
    assert.deepEqual(idsOf((await storage.listRuns({ status: "queued", limit: 10 })).items), ["resume", "retry"]);
  }),

  on(
    "endRun queues no resume run if one waits that will read for every import, or the run is canceled",
    async (storage) => {
      const { runLease } = await running(storage);
      await queue(storage, "next");
      const covered = await storage.endRun(runLease, endingOf("completed", 9, { resume: resumeStart }));
      const next = await take(storage, "flow", "second");
      await storage.cancelRun("next", { at: at(10) });
      const canceled = await storage.endRun(next.runLease, endingOf("completed", 11, { resume: resumeStart }));

      assert.deepEqual([covered?.resume, canceled?.resume, canceled?.run.status], [undefined, undefined, "canceled"]);
      assert.equal(await storage.findRun("resume"), undefined);
    },
  ),

  on("endRun says that more wait if only its resume run does, or a chained one of its own flow", async (storage) => {
    const { runLease } = await running(storage);
    const resumed = await storage.endRun(runLease, endingOf("completed", 9, { resume: resumeStart }));
    const second = await take(storage, "flow", "second");
    const next = { starts: [chained("chained", "flow")], maxQueued: 10 };
    const followed = await storage.endRun(second.runLease, endingOf("completed", 11, { next }));
    const third = await take(storage, "flow", "third");
    const last = await storage.endRun(third.runLease, endingOf("completed", 13));

    assert.deepEqual([resumed?.more, followed?.more, last?.more], [true, true, false]);
  }),

  on("endRun queues chained runs, folds them into one that waits, or skips them", async (storage) => {
    for (const _id of ["a", "b", "c", "full"]) await addFlow(storage, _id);
    await addFlow(storage, "off", { disabled: true });
    await addFlow(storage, "due", { nextRunAt: iso(5) });
    await storage.queueDue([tickOf("due", "scheduled", { dueAt: 5 })], bufferOne);
    for (const [index, _flowId] of ["b", "full", "full"].entries())
      await queue(storage, `waits ${_flowId} ${index}`, _flowId);
    const { runLease } = await running(storage);

    const _flowIds = ["a", "due", "off", "full", "nobody", "b", "a"];
    const starts = _flowIds.map((_flowId, index) => chained(`chained ${index}`, _flowId));
    const ended = await storage.endRun(runLease, endingOf("completed", 9, { next: { starts, maxQueued: 2 } }));

    const results = defined(ended).next.map((result) =>
      "run" in result ? [result.outcome, result.run._id, result.run.coalesced] : [result.outcome, result._flowId],
    );
    assert.deepEqual(results, [
      ["queued", "chained 0", 0],
      ["coalesced", "scheduled", 1],
      ["skipped", "off"],
      ["skipped", "full"],
      ["skipped", "nobody"],
      ["queued", "chained 5", 0],
      ["coalesced", "chained 0", 1],
    ]);
    assert.deepEqual((await storage.findRun("chained 5"))?.chain, ["flow"]);
    assert.equal((await storage.findRun("scheduled"))?.coalesced, 1);
  }),

  on("endRun of a run that does not complete chains nothing", async (storage) => {
    await addFlow(storage, "a");
    const { runLease } = await running(storage);

    const next = { starts: [chained("chained", "a")], maxQueued: 10 };
    const ended = await storage.endRun(runLease, endingOf("failed", 9, { error, next }));

    assert.deepEqual([ended?.next, await storage.findRun("chained")], [[], undefined]);
  }),

  on("endRun again returns the run and its resume run, and queues nothing more", async (storage) => {
    await addFlow(storage, "a");
    const { runLease } = await running(storage);
    const next = { starts: [chained("chained", "a")], maxQueued: 10 };
    const ending = endingOf("completed", 9, { resume: resumeStart, next });
    const ended = await storage.endRun(runLease, ending);
    const before = await everything(storage);

    const again = await storage.endRun(runLease, ending);

    assert.deepEqual([again?.run, again?.resume, again?.next], [ended?.run, ended?.resume, []]);
    assert.deepEqual(await everything(storage), before);
  }),

  on("a run released to wait, and its flow with it, is claimed at its `notBefore` and no sooner", async (storage) => {
    const { runLease } = await running(storage);
    await queue(storage, "next");

    const released = await storage.releaseRun(runLease, { notBefore: at(60), waits: 2 });
    const waiting = await storage.waitingFlows(10);
    const early = await storage.claimRun("flow", { token: "early", at: at(59), until: at(90) });
    const claimed = await storage.claimRun("flow", { token: "late", at: at(60), until: at(90) });

    assert.deepEqual([released?.notBefore, released?.waits], [iso(60), 2]);
    assert.deepEqual(waiting, [{ _flowId: "flow", _exportId: "orders", notBefore: at(60) }]);
    assert.deepEqual(early, { notBefore: at(60) });
    assert.equal(claimedRunId(claimed), "run");
    assert.equal((await storage.findRun("run"))?.notBefore, undefined);
  }),

  on("listLeases returns the leases of active runs, by ascending run id, with at most so many", async (storage) => {
    for (const [index, _id] of ["b", "a", "c", "waits"].entries()) {
      await addFlow(storage, _id);
      await queue(storage, _id, _id);
      if (_id !== "waits") await take(storage, _id, _id, 30 + index);
    }
    await storage.cancelRun("c", { at: at(9) });

    const leases = [
      { _runId: "a", until: at(31) },
      { _runId: "b", until: at(30) },
      { _runId: "c", until: at(32) },
    ];
    assert.deepEqual(await storage.listLeases(10), leases);
    assert.deepEqual(await storage.listLeases(2), leases.slice(0, 2));
    assert.deepEqual(await storage.listLeases(10, "a"), leases.slice(1));
  }),

  on(
    "reclaimExpiredRuns also reclaims runs whose lease is still the one observed, whatever it says",
    async (storage) => {
      for (const _id of ["still", "renewed", "other"]) {
        await addFlow(storage, _id);
        await queue(storage, _id, _id);
        await take(storage, _id, _id, 1_000);
      }
      const observed = (await storage.listLeases(10)).filter(({ _runId }) => _runId !== "other");
      await storage.renewLeases([{ _runId: "renewed", token: "renewed" }], at(1_001));

      const rule = { now: at(50), maxCrashes: 3, error, limit: 10 };
      const reclaimed = await storage.reclaimExpiredRuns({ ...rule, unchanged: observed });

      assert.deepEqual(idsOf(reclaimed), ["still"]);
      assert.deepEqual(idsOf((await storage.listRuns({ status: "running", limit: 10 })).items), ["other", "renewed"]);
    },
  ),

  on(
    "scheduledFlows returns, ascending, enabled flows with a schedule, and what their due time is made of",
    async (storage) => {
      const schedule = "0 2 * * *";
      for (const _id of ["d", "b", "c"])
        await storage.insertFlow(flowOf(_id, { schedule }), { basis: `basis of ${_id}` });
      await addFlow(storage, "a", { schedule });
      await addFlow(storage, "manual");
      await addFlow(storage, "off", { schedule, disabled: true });
      const change = { expected: iso(0), reschedule: false, at: at(5) };
      await storage.replaceFlow(flowOf("b", { schedule }), change);
      await storage.replaceFlow(flowOf("d", { schedule }), { ...change, basis: "new" });

      const found = (await storage.scheduledFlows(10)).map(({ flow, basis }) => [flow._id, basis]);

      assert.deepEqual(found, [
        ["a", undefined],
        ["b", "basis of b"],
        ["c", "basis of c"],
        ["d", "new"],
      ]);
      const later = await storage.scheduledFlows(2, "a");
      assert.deepEqual(idsOf(later.map(({ flow }) => flow)), ["b", "c"]);
    },
  ),

  on("endWait lets the run that waits for the instant be claimed, and no other", async (storage) => {
    const { runLease } = await running(storage);
    await storage.releaseRun(runLease, { notBefore: at(60), waits: 2 });
    await queue(storage, "second");

    assert.equal(await storage.endWait("flow", at(59)), false);
    assert.equal(await storage.endWait("nobody", at(60)), false);
    assert.deepEqual(await storage.claimRun("flow", { token: "early", at: at(5), until: at(35) }), {
      notBefore: at(60),
    });
    assert.equal(await storage.endWait("flow", at(60)), true);
    assert.equal(await storage.endWait("flow", at(60)), false);

    const run = defined(await storage.findRun("run"));
    assert.deepEqual([run.status, run.notBefore, run.waits], ["queued", undefined, 2]);
    assert.deepEqual(await storage.waitingFlows(10), [{ _flowId: "flow", _exportId: "orders" }]);
    assert.equal(claimedRunId(await storage.claimRun("flow", { token: "next", at: at(5), until: at(35) })), "run");
  }),

  on("rescheduleFlows moves due times that are still as expected, of flows that are still enabled", async (storage) => {
    const schedule = "0 2 * * *";
    for (const _id of ["a", "moved", "never", "lost"]) await addFlow(storage, _id, { schedule, nextRunAt: iso(50) });
    await addFlow(storage, "off", { schedule, nextRunAt: iso(50), disabled: true });
    await addFlow(storage, "stopped", { schedule });

    const change = { expected: at(50), dueAt: at(70), basis: "new" };
    await storage.rescheduleFlows([
      { ...change, _flowId: "a" },
      { ...change, _flowId: "moved", expected: at(49) },
      { ...change, _flowId: "never", dueAt: undefined },
      { ...change, _flowId: "lost", expected: undefined },
      { ...change, _flowId: "off" },
      { ...change, _flowId: "stopped", expected: undefined, dueAt: at(60) },
      { ...change, _flowId: "nobody" },
    ]);

    const dueTimes = (await storage.listFlows({ limit: 10 })).items.map(({ _id, nextRunAt }) => [_id, nextRunAt]);
    assert.deepEqual(Object.fromEntries(dueTimes), {
      ...{ a: iso(70), lost: iso(50), moved: iso(50), never: undefined, off: iso(50), stopped: iso(60) },
    });
    const renewed = (await storage.scheduledFlows(10)).filter(({ basis }) => basis === "new");
    assert.deepEqual(idsOf(renewed.map(({ flow }) => flow)), ["a", "never", "stopped"]);
    assert.deepEqual(idsOf(await storage.dueFlows(at(70), 10)).slice(2), ["stopped", "a"]);
  }),

  on("rescheduleFlows forgets which due times after an instant had their runs, if asked to", async (storage) => {
    for (const _id of ["a", "b", "off"]) {
      await addFlow(storage, _id, { nextRunAt: iso(10) });
      assert.deepEqual(await outcomesOf(storage, _id, "run", [10, 20, 30]), ["queued", "queued", "queued"]);
    }
    const off = flowOf("off", { disabled: true, lastModified: iso(1) });
    await storage.replaceFlow(off, { expected: iso(0), reschedule: false, at: at(1) });
    const runs = (await storage.listRuns({ _flowId: "a", limit: 10 })).items;

    const change = { expected: at(7), dueAt: at(8), basis: "new" };
    await storage.rescheduleFlows([
      ...["a", "off", "nobody"].map((_flowId) => ({ ...change, _flowId, forgetAfter: at(10) })),
      { ...change, _flowId: "b", expected: at(30) },
    ]);

    assert.deepEqual((await storage.listRuns({ _flowId: "a", limit: 10 })).items, runs);
    const on = flowOf("off", { lastModified: iso(2) });
    await storage.replaceFlow(on, { expected: iso(1), reschedule: false, at: at(2) });
    const again = ["passed", "queued", "queued", "passed"];
    for (const _id of ["a", "off"]) assert.deepEqual(await outcomesOf(storage, _id, "again", [10, 20, 30, 20]), again);
    assert.deepEqual(await outcomesOf(storage, "b", "again", [20, 30]), ["passed", "passed"]);
  }),

  on("replaceFlow forgets which due times after an instant had their runs, if asked to", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    await outcomesOf(storage, "flow", "run", [10, 20]);

    const change = { expected: iso(0), reschedule: true, at: at(1), forgetAfter: at(10) };
    await storage.replaceFlow(flowOf("flow", { lastModified: iso(1), nextRunAt: iso(20) }), change);

    assert.deepEqual(await outcomesOf(storage, "flow", "again", [10, 20]), ["passed", "queued"]);
  }),

  on("queueRun of a resume run returns `waiting` if a run waits that will read for every import", async (storage) => {
    await addFlow(storage);
    await queue(storage, "retry", "flow", { trigger: "retry", retry: {} });
    await queue(storage, "sample", "flow", { limit: 3 });
    await queue(storage, "realtime", "flow", { trigger: "realtime" });

    const queued = await storage.queueRun(resumeStart, roomy);
    const second = await storage.queueRun({ ...resumeStart, _id: "second" }, roomy);

    assert.equal(queued.outcome, "queued");
    assert.deepEqual(second, { outcome: "waiting", run: defined(await storage.findRun("resume")) });
    assert.equal(await storage.findRun("second"), undefined);
  }),

  on("queueRun of an automatic retry returns `waiting` if one of the same import waits", async (storage) => {
    await addFlow(storage, "flow", { _importIds: ["ledger", "mailer"] });
    const retry = (_id: string, _importId: string) =>
      startOf(_id, "flow", { trigger: "retry", retry: { _importId, dueBy: iso(60) } });
    await storage.queueRun(retry("ledger's", "ledger"), roomy);

    const other = await storage.queueRun(retry("mailer's", "mailer"), roomy);
    const second = await storage.queueRun(retry("second", "ledger"), roomy);
    const byHand = await storage.queueRun(startOf("by hand", "flow", { trigger: "retry", retry: {} }), roomy);

    assert.deepEqual([other.outcome, byHand.outcome], ["queued", "queued"]);
    assert.deepEqual(second, { outcome: "waiting", run: defined(await storage.findRun("ledger's")) });
    assert.equal(await storage.findRun("second"), undefined);
  }),

  on("queueDue with bufferOne folds nothing into a scheduled run that has begun and waits", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(5) });
    await storage.queueDue([tickOf("flow", "first", { dueAt: 5, nextDueAt: 10 })], bufferOne);
    const { runLease } = await take(storage);
    await storage.releaseRun(runLease);

    const [result] = await storage.queueDue([tickOf("flow", "second", { dueAt: 10 })], bufferOne);

    assert.equal(result?.outcome, "queued");
    assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["second", "first"]);
  }),
];

// What becomes of the flow's due times, one after the other. The last run waits, the others have ended.
async function outcomesOf(storage: Storage, _flowId: string, name: string, dueTimes: readonly number[]) {
  const outcomes: string[] = [];
  for (const dueAt of dueTimes) {
    const { nextRunAt = "" } = defined(await storage.findFlow(_flowId));
    await storage.rescheduleFlows([{ _flowId, expected: Date.parse(nextRunAt), dueAt: at(dueAt), basis: "any" }]);
    const tick = tickOf(_flowId, `${name} ${dueAt} of ${_flowId}`, { dueAt, nextDueAt: dueAt });
    const [result] = await storage.queueDue([tick], { overlap: "bufferAll", maxQueued: 1_000 });
    outcomes.push(defined(result).outcome);
    if (dueAt === dueTimes.at(-1) || result?.outcome !== "queued") continue;
    await storage.endRun((await take(storage, _flowId, result.run._id)).runLease, endingOf("completed", dueAt));
  }
  return outcomes;
}
