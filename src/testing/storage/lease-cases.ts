import assert from "node:assert/strict";
import type { ReclaimRule } from "../../storage/storage.ts";
import {
  claimedRunId,
  type StorageCase,
  addFlow,
  at,
  defined,
  everything,
  flowOf,
  idsOf,
  iso,
  on,
  pageOf,
  queue,
  running,
  take,
  moving,
  endingOf,
  checkpointOf,
} from "./harness.ts";

const rule: ReclaimRule = {
  now: at(32),
  maxCrashes: 3,
  error: { code: "lease_lost", message: "it died too often" },
  limit: 100,
};

/** What {@link LeaseStorage} promises of taking, holding and giving up runs. */
export const leaseStorageCases: readonly StorageCase[] = [
  on(
    "claimRun starts the flow's oldest waiting run, at the lease's `at`, and returns it and its flow",
    async (storage) => {
      const before = await addFlow(storage);
      const first = await queue(storage, "first");
      await queue(storage, "second");

      const taken = await storage.claimRun("flow", { token: "token", at: at(2), until: at(32) });

      const run = { ...first, status: "running", startedAt: iso(2) };
      const flow = { ...before, lastExecutedAt: iso(2) };
      assert.deepEqual(taken, { run, flow, commits: 0, places: {} });
      assert.deepEqual(await storage.findRun("first"), run);
      assert.deepEqual(await storage.findFlow("flow"), flow);
    },
  ),

  on("claimRun takes a flow's runs first in, first out, whatever their ids, times and triggers", async (storage) => {
    await addFlow(storage);
    await queue(storage, "c", "flow", { queuedAt: iso(9) });
    await queue(storage, "a", "flow", { trigger: "retry", queuedAt: iso(1) });
    await queue(storage, "b", "flow", { trigger: "schedule", queuedAt: iso(5) });

    const order = [];
    for (const token of ["1", "2", "3"]) {
      const { run, runLease } = await take(storage, "flow", token);
      order.push(run._id);
      await storage.endRun(runLease, endingOf("completed", 9));
    }

    assert.deepEqual(order, ["c", "a", "b"]);
  }),

  on("claimRun returns undefined if none waits, if the flow is disabled, and if there is none", async (storage) => {
    await addFlow(storage);
    const none = await storage.claimRun("flow", { token: "1", at: at(2), until: at(32) });
    await queue(storage, "run");
    const { runLease } = await take(storage);
    await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(9) }), {
      ...{ expected: iso(0), reschedule: true, at: at(9) },
    });
    await storage.releaseRun(runLease);
    const disabled = await storage.claimRun("flow", { token: "2", at: at(2), until: at(32) });
    const missing = await storage.claimRun("nobody", { token: "3", at: at(2), until: at(32) });

    assert.deepEqual([none, disabled, missing], [undefined, undefined, undefined]);
  }),

  on("claimRun returns undefined while a run of the flow is active, running or canceling", async (storage) => {
    const { runLease } = await running(storage);
    await queue(storage, "second");

    const whileRunning = await storage.claimRun("flow", { token: "1", at: at(3), until: at(33) });
    await storage.cancelRun("run", { at: at(4) });
    const whileCanceling = await storage.claimRun("flow", { token: "2", at: at(5), until: at(35) });
    await storage.endRun(runLease, endingOf("canceled", 6));
    const then = await storage.claimRun("flow", { token: "3", at: at(7), until: at(37) });

    assert.deepEqual([whileRunning, whileCanceling, claimedRunId(then)], [undefined, undefined, "second"]);
  }),

  on("claimRun is not held up by other flows' runs", async (storage) => {
    await running(storage);
    await addFlow(storage, "other");
    await queue(storage, "other's", "other");

    assert.equal((await take(storage, "other", "another")).run._id, "other's");
  }),

  on("claimRun asked again with the same token returns the same run, and starts no second one", async (storage) => {
    const { run, flow } = await running(storage);
    await queue(storage, "second");

    const again = await storage.claimRun("flow", { token: "token", at: at(2), until: at(32) });

    assert.deepEqual(again, { run, flow, commits: 0, places: {} });
    assert.equal((await storage.findRun("second"))?.status, "queued");
  }),

  {
    title: "claimRun by many at once starts one run of the flow",
    async run({ storage, other }) {
      await addFlow(storage);
      for (const _id of ["1", "2", "3"]) await queue(storage, _id);

      const taken = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          (index % 2 === 0 ? storage : other).claimRun("flow", { token: `token ${index}`, at: at(2), until: at(32) }),
        ),
      );

      assert.deepEqual(
        taken.flatMap((each) => claimedRunId(each) ?? []),
        ["1"],
      );
      assert.deepEqual(idsOf((await storage.listRuns({ limit: 10, status: "running" })).items), ["1"]);
    },
  },

  on("claimRun returns how far the run got, and where its flow resumes", async (storage) => {
    const { runLease } = await running(storage);
    await storage.commitPage(
      runLease,
      pageOf(1, {
        position: { pages: 1, checkpoint: { value: { after: 3 }, version: 2 } },
        ...moving({ checkpoint: { value: { after: 1 }, version: 1 } }),
      }),
    );
    await storage.releaseRun(runLease);

    const resumed = await take(storage, "flow", "second token");
    await storage.endRun(resumed.runLease, endingOf("completed", 9));
    await queue(storage, "next");
    const next = await take(storage, "flow", "third token");

    assert.deepEqual(resumed.position, { pages: 1, checkpoint: { value: { after: 3 }, version: 2 } });
    assert.deepEqual(resumed.checkpoint, { value: { after: 1 }, version: 1 });
    assert.deepEqual([next.position, next.checkpoint], [undefined, { value: { after: 1 }, version: 1 }]);
  }),

  on("renewLeases prolongs leases, so that a run is not reclaimed before the new time", async (storage) => {
    const { runLease } = await running(storage);

    assert.deepEqual(await storage.renewLeases([runLease], at(62)), ["held"]);

    assert.deepEqual(await storage.reclaimExpiredRuns({ ...rule, now: at(61) }), []);
    assert.deepEqual(idsOf(await storage.reclaimExpiredRuns({ ...rule, now: at(62) })), ["run"]);
  }),

  on("renewLeases prolongs the lease of a canceling run, too, and tells that it is one", async (storage) => {
    const { runLease } = await running(storage);
    await storage.cancelRun("run", { at: at(9) });

    assert.deepEqual(await storage.renewLeases([runLease], at(62)), ["canceling"]);

    assert.deepEqual(await storage.reclaimExpiredRuns({ ...rule, now: at(61) }), []);
  }),

  on(
    "renewLeases returns lost, each in its place, for a wrong token and for runs that are over or unknown",
    async (storage) => {
      const { runLease } = await running(storage);
      await addFlow(storage, "other");
      await queue(storage, "ended", "other");
      const ended = await take(storage, "other", "another");
      await storage.endRun(ended.runLease, endingOf("completed", 9));
      const leases = [ended.runLease, { ...runLease, token: "wrong" }, runLease, { _runId: "nobody", token: "token" }];

      assert.deepEqual(await storage.renewLeases(leases, at(62)), ["lost", "lost", "held", "lost"]);
      assert.deepEqual(await storage.renewLeases([], at(62)), []);
    },
  ),

  on("renewLeases with a wrong token prolongs nothing", async (storage) => {
    const { runLease } = await running(storage);

    await storage.renewLeases([{ ...runLease, token: "wrong" }], at(62));

    assert.deepEqual(idsOf(await storage.reclaimExpiredRuns(rule)), ["run"]);
  }),

  on("endRun ends the run, gives the lease up, and returns whether more runs wait", async (storage) => {
    const { run, runLease } = await running(storage);
    await queue(storage, "second");

    const ended = await storage.endRun(runLease, endingOf("completed", 9));

    assert.deepEqual(ended, { run: { ...run, status: "completed", endedAt: iso(9) }, more: true, next: [] });
    assert.deepEqual(await storage.findRun("run"), ended.run);
    assert.deepEqual(await storage.renewLeases([runLease], at(62)), ["lost"]);
    const second = await take(storage, "flow", "next");
    assert.equal((await storage.endRun(second.runLease, endingOf("completed", 10)))?.more, false);
  }),

  on("endRun keeps the error of a run that failed, and what it committed", async (storage) => {
    const { runLease } = await running(storage);
    const committed = defined(await storage.commitPage(runLease, pageOf(1)));
    const error = { code: "export_failed", message: "the shop was closed" };

    const ended = await storage.endRun(runLease, endingOf("failed", 9, { error }));

    assert.deepEqual(ended?.run, { ...committed.run, status: "failed", endedAt: iso(9), error });
  }),

  on("endRun as completed moves the flow's checkpoint, if it is given one", async (storage) => {
    const { runLease } = await running(storage);
    await storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint: { value: 1, version: 1 } }) }));
    await storage.endRun(runLease, endingOf("completed", 9));
    const kept = await checkpointOf(storage);
    await queue(storage, "second");
    const second = await take(storage, "flow", "next");

    await storage.endRun(second.runLease, endingOf("completed", 9, moving({ checkpoint: { value: 7, version: 2 } })));

    assert.deepEqual(
      [kept, await checkpointOf(storage)],
      [
        { value: 1, version: 1 },
        { value: 7, version: 2 },
      ],
    );
  }),

  on(
    "endRun ends a canceling run as canceled, whatever else it says, and moves places all the same",
    async (storage) => {
      const { runLease } = await running(storage);
      await storage.cancelRun("run", { at: at(8) });

      const ending = endingOf("completed", 9, moving({ checkpoint: { value: 7, version: 1 } }));
      const ended = await storage.endRun(runLease, ending);

      assert.deepEqual([ended?.run.status, ended?.run.endedAt], ["canceled", iso(9)]);
      assert.deepEqual(await checkpointOf(storage), { value: 7, version: 1 });
    },
  ),

  on("endRun again with the same token returns the same run, and changes nothing", async (storage) => {
    const { runLease } = await running(storage);
    const ended = await storage.endRun(runLease, endingOf("completed", 9));
    const before = await everything(storage);

    const again = await storage.endRun(runLease, endingOf("completed", 9));

    assert.deepEqual(again, ended);
    assert.deepEqual(await everything(storage), before);
  }),

  on("endRun with a token that is not the run's returns undefined, and changes nothing", async (storage) => {
    const { runLease } = await running(storage);
    const before = await everything(storage);
    const ending = endingOf("completed", 9, moving({ checkpoint: { value: 7, version: 1 } }));

    assert.equal(await storage.endRun({ ...runLease, token: "wrong" }, ending), undefined);
    assert.equal(await storage.endRun({ ...runLease, _runId: "nobody" }, ending), undefined);

    assert.deepEqual(await everything(storage), before);
  }),

  on("releaseRun gives the run back to the front of its queue", async (storage) => {
    const { run, runLease } = await running(storage);
    await queue(storage, "second");

    const released = await storage.releaseRun(runLease);

    assert.deepEqual([released?.status, released?.crashes], ["queued", run.crashes]);
    assert.deepEqual(await storage.findRun("run"), released);
    assert.deepEqual(await storage.waitingFlows(10), [{ _flowId: "flow", _exportId: "orders" }]);
    assert.equal((await take(storage, "flow", "next")).run._id, "run");
  }),

  on(
    "releaseRun returns undefined, and changes nothing, if the lease is lost or the run is canceling",
    async (storage) => {
      const { runLease } = await running(storage);
      const wrong = await storage.releaseRun({ ...runLease, token: "wrong" });
      const stillRunning = (await storage.findRun("run"))?.status;
      await storage.cancelRun("run", { at: at(9) });
      const before = await everything(storage);

      const canceling = await storage.releaseRun(runLease);

      assert.deepEqual([wrong, stillRunning, canceling], [undefined, "running", undefined]);
      assert.deepEqual(await everything(storage), before);
    },
  ),

  on("a token that gave its run back holds it no more", async (storage) => {
    const { runLease } = await running(storage);
    await storage.releaseRun(runLease);
    await take(storage, "flow", "next");
    const before = await everything(storage);

    assert.equal(await storage.commitPage(runLease, pageOf(1)), undefined);
    assert.equal(await storage.endRun(runLease, endingOf("completed", 9)), undefined);
    assert.equal(await storage.releaseRun(runLease), undefined);
    assert.deepEqual(await storage.renewLeases([runLease], at(62)), ["lost"]);
    assert.deepEqual(await everything(storage), before);
  }),

  on(
    "reclaimExpiredRuns puts a run whose lease ran out at the front of its queue, resumable, and counts the crash",
    async (storage) => {
      const { runLease } = await running(storage);
      const position = { pages: 1, checkpoint: { value: 3, version: 1 } };
      await storage.commitPage(runLease, pageOf(1, { position }));
      await queue(storage, "second");

      const [run, ...others] = await storage.reclaimExpiredRuns(rule);

      assert.deepEqual([run?._id, run?.status, run?.crashes, run?.numSuccess], ["run", "queued", 1, 3]);
      assert.deepEqual(others, []);
      assert.deepEqual(await storage.findRun("run"), run);
      const taken = await take(storage, "flow", "next");
      assert.deepEqual([taken.run._id, taken.position], ["run", position]);
    },
  ),

  on("reclaimExpiredRuns leaves runs alone whose lease has not run out at `now`", async (storage) => {
    await running(storage);

    assert.deepEqual(await storage.reclaimExpiredRuns({ ...rule, now: at(31.999) }), []);

    assert.equal((await storage.findRun("run"))?.status, "running");
  }),

  on("a token whose run was reclaimed has no effect, even before another process claims the run", async (storage) => {
    const { runLease } = await running(storage);
    await storage.reclaimExpiredRuns(rule);
    const before = await everything(storage);

    assert.equal(
      await storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint: { value: 7, version: 1 } }) })),
      undefined,
    );
    assert.equal(await storage.endRun(runLease, endingOf("completed", 33)), undefined);
    assert.deepEqual(await storage.renewLeases([runLease], at(62)), ["lost"]);
    assert.deepEqual(await everything(storage), before);
  }),

  on("reclaimExpiredRuns fails a run that has crashed more than maxCrashes times", async (storage) => {
    await running(storage);
    const statuses = [];
    for (const token of ["second", "third"]) {
      statuses.push((await storage.reclaimExpiredRuns({ ...rule, maxCrashes: 1 }))[0]?.status);
      await storage.claimRun("flow", { token, at: at(2), until: at(32) });
    }

    const run = defined(await storage.findRun("run"));
    assert.deepEqual(statuses, ["queued", "failed"]);
    assert.deepEqual([run.status, run.crashes, run.endedAt, run.error], ["failed", 2, iso(32), rule.error]);
    assert.deepEqual(await storage.waitingFlows(10), []);
    const runLease = { _runId: "run", token: "second" };
    assert.equal(await storage.endRun(runLease, endingOf("completed", 40)), undefined);
  }),

  on("reclaimExpiredRuns cancels a run that was canceling", async (storage) => {
    await running(storage);
    await storage.cancelRun("run", { at: at(9) });
    await queue(storage, "second");

    const [run] = await storage.reclaimExpiredRuns(rule);

    assert.deepEqual([run?.status, run?.endedAt], ["canceled", iso(32)]);
    assert.equal((await take(storage, "flow", "next")).run._id, "second");
  }),

  on("reclaimExpiredRuns reclaims at most so many at once, and the others when asked again", async (storage) => {
    for (const _id of ["a", "b", "c"]) {
      await addFlow(storage, _id);
      await queue(storage, `run of ${_id}`, _id);
      await take(storage, _id, `token of ${_id}`);
    }

    const first = await storage.reclaimExpiredRuns({ ...rule, limit: 2 });
    const second = await storage.reclaimExpiredRuns({ ...rule, limit: 2 });

    assert.deepEqual([first.length, second.length], [2, 1]);
    assert.deepEqual([...idsOf(first), ...idsOf(second)].sort(), ["run of a", "run of b", "run of c"]);
  }),

  {
    title: "reclaimExpiredRuns by two at once takes a run back once",
    async run({ storage, other }) {
      await running(storage);

      const [one, two] = await Promise.all([storage.reclaimExpiredRuns(rule), other.reclaimExpiredRuns(rule)]);

      assert.deepEqual(idsOf([...one, ...two]), ["run"]);
      assert.equal((await storage.findRun("run"))?.crashes, 1);
    },
  },

  on("waitingFlows returns, ascending, enabled flows that have waiting runs and no active one", async (storage) => {
    for (const _id of ["c", "active", "disabled", "b", "idle"]) await addFlow(storage, _id);
    for (const _id of ["c", "active", "disabled", "b"]) await queue(storage, `run of ${_id}`, _id);
    await queue(storage, "second", "active");
    await take(storage, "active");
    const { runLease } = await take(storage, "disabled");
    await storage.replaceFlow(flowOf("disabled", { disabled: true, lastModified: iso(9) }), {
      ...{ expected: iso(0), reschedule: true, at: at(9) },
    });
    await storage.releaseRun(runLease);

    assert.deepEqual(await storage.waitingFlows(10), [
      { _flowId: "b", _exportId: "orders" },
      { _flowId: "c", _exportId: "orders" },
    ]);
  }),

  on("waitingFlows goes on after an id, with at most so many", async (storage) => {
    for (const _id of ["d", "a", "c", "b"]) {
      await addFlow(storage, _id);
      await queue(storage, `run of ${_id}`, _id);
    }

    assert.deepEqual(await storage.waitingFlows(2), [
      { _flowId: "a", _exportId: "orders" },
      { _flowId: "b", _exportId: "orders" },
    ]);
    assert.deepEqual(await storage.waitingFlows(2, "b"), [
      { _flowId: "c", _exportId: "orders" },
      { _flowId: "d", _exportId: "orders" },
    ]);
    assert.deepEqual(await storage.waitingFlows(2, "bb"), [
      { _flowId: "c", _exportId: "orders" },
      { _flowId: "d", _exportId: "orders" },
    ]);
    assert.deepEqual(await storage.waitingFlows(2, "d"), []);
  }),
];
