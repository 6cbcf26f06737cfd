import assert from "node:assert/strict";
import {
  endingOf,
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  defined,
  everything,
  failureOf,
  idsOf,
  inboxRecords,
  iso,
  keepFailures,
  on,
  pageOf,
  queue,
  realtimeStart,
  running,
  take,
  moving,
  checkpointOf,
} from "./harness.ts";

const checkpoint = { value: { after: 7 }, version: 1 };

/** What {@link LeaseStorage} promises of commits, and {@link PlaceStorage} of what they move. */
export const commitStorageCases: readonly StorageCase[] = [
  on("a lease holds its run by its token, whether it says the run's flow, another one or none", async (storage) => {
    await addFlow(storage, "other");
    const { runLease } = await running(storage);
    const { _flowId: _, ...bare } = runLease;

    const committed = [
      await storage.commitPage(bare, pageOf(1)),
      await storage.commitPage({ ...bare, _flowId: "other" }, pageOf(2)),
      await storage.commitPage({ ...bare, _flowId: "nobody" }, pageOf(3)),
    ];
    const ended = await storage.endRun({ ...bare, _flowId: "other" }, endingOf("completed", 9));

    assert.equal(committed.filter((one) => one !== undefined).length, 3);
    assert.deepEqual([ended?.run._flowId, ended?.run.status], ["flow", "completed"]);
  }),

  on("commitPage adds the page's counts to those of each import and of the run", async (storage) => {
    const { run, runLease } = await running(storage);
    const ledger = { numSuccess: 2, numError: 1, numIgnore: 0 };
    const mailer = { numSuccess: 0, numError: 0, numIgnore: 3 };

    await storage.commitPage(runLease, pageOf(1, { counts: { ledger, mailer }, generated: 2 }));
    const committed = await storage.commitPage(runLease, pageOf(2, { counts: { ledger }, generated: 4 }));

    assert.deepEqual(committed?.run, {
      ...run,
      ...{ numSuccess: 4, numError: 2, numIgnore: 3, numPagesProcessed: 2, numPagesGenerated: 4 },
      imports: { ledger: { numSuccess: 4, numError: 2, numIgnore: 0 }, mailer },
    });
    assert.deepEqual(await storage.findRun("run"), committed.run);
  }),

  on("commitPage moves the flow's checkpoint and the run's position, each only if it is given", async (storage) => {
    const { runLease } = await running(storage);
    const position = { pages: 1, checkpoint: { value: 1, version: 1 } };

    await storage.commitPage(runLease, pageOf(1, { position, ...moving({ checkpoint }) }));
    await storage.commitPage(runLease, pageOf(2));
    await storage.releaseRun(runLease);
    const kept = await take(storage, "flow", "second");
    await storage.commitPage(kept.runLease, pageOf(3, { position: { pages: 3 } }));
    await storage.releaseRun(kept.runLease);
    const moved = await take(storage, "flow", "third");

    assert.deepEqual([kept.position, kept.checkpoint], [position, checkpoint]);
    assert.deepEqual([moved.position, moved.checkpoint], [{ pages: 3 }, checkpoint]);
  }),

  on("commitPage stores new failures, and replaces a stored one in its place", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1"), failureOf("2"), failureOf("3")]);
    const again = failureOf("2", { fault: "reject", attempts: 6, lastFailedAt: iso(8), _runId: "later" });

    const committed = await storage.commitPage(runLease, pageOf(2, { failures: [again, failureOf("4")] }));

    const twice = { ...again, occurrences: 2 };
    assert.deepEqual(committed?.failures, [twice, failureOf("4")]);

    assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [
      ...[failureOf("1"), twice, failureOf("3"), failureOf("4")],
    ]);
    assert.deepEqual(await storage.findFailure("2"), twice);
    assert.deepEqual((await storage.listFailures({ _runId: "later", limit: 10 })).items, [twice]);
  }),

  on("commitPage removes the failures that were delivered", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1"), failureOf("2"), failureOf("3")]);

    await storage.commitPage(runLease, pageOf(2, { delivered: ["1", "3", "nobody"] }));

    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10 })).items), ["2"]);
    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10, _flowId: "flow" })).items), ["2"]);
    assert.equal(await storage.findFailure("1"), undefined);
  }),

  on("commitPage removes what the flow's inbox holds up to and including the cursor", async (storage) => {
    await addFlow(storage);
    await addFlow(storage, "other");
    for (const _id of ["1", "2", "3"]) {
      const starts = [realtimeStart(`run ${_id}`), realtimeStart(`other's ${_id}`, "other")];
      await append(storage, arrivalOf(_id, { records: [_id], starts }));
    }
    const [, second] = await storage.readInbox("flow", { maxRecords: 10 });
    const { runLease } = await take(storage);

    await storage.commitPage(runLease, pageOf(1, { ...moving({ inbox: defined(second).cursor }) }));

    assert.deepEqual(await inboxRecords(storage), ["3"]);
    assert.deepEqual(await inboxRecords(storage, "other"), ["1", "2", "3"]);
  }),

  on("commitPage of the page last committed returns the run again, and changes nothing", async (storage) => {
    const { runLease } = await running(storage);
    const page = pageOf(1, {
      failures: [failureOf("1")],
      ...moving({ checkpoint }),
      position: { pages: 1, ...moving({ checkpoint }) },
    });
    const committed = await storage.commitPage(runLease, page);
    const before = await everything(storage);

    const again = await storage.commitPage(runLease, page);

    assert.deepEqual(again?.run, committed?.run);
    assert.deepEqual(await everything(storage), before);
  }),

  on("commitPage returns undefined, and changes nothing, for any other page than the next", async (storage) => {
    const { runLease } = await running(storage);
    for (const ordinal of [1, 2]) await storage.commitPage(runLease, pageOf(ordinal));
    const before = await everything(storage);

    const skipping = await storage.commitPage(
      runLease,
      pageOf(4, { ...moving({ checkpoint }), failures: [failureOf("1")] }),
    );
    const returning = await storage.commitPage(
      runLease,
      pageOf(1, { ...moving({ checkpoint }), failures: [failureOf("1")] }),
    );

    assert.deepEqual([skipping, returning], [undefined, undefined]);
    assert.deepEqual(await everything(storage), before);
  }),

  on("commitPage with a token that is not the run's returns undefined, and changes nothing", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1")]);
    await append(storage, arrivalOf("arrival"));
    const before = await everything(storage);
    const inboxThrough = defined((await storage.readInbox("flow", { maxRecords: 10 }))[0]).cursor;
    const page = pageOf(2, {
      ...moving({ checkpoint }),
      failures: [failureOf("2")],
      delivered: ["1"],
      ...moving({ inbox: inboxThrough }),
    });

    assert.equal(await storage.commitPage({ ...runLease, token: "wrong" }, page), undefined);
    assert.equal(await storage.commitPage({ ...runLease, _runId: "nobody" }, page), undefined);

    assert.deepEqual(await everything(storage), before);
  }),

  on("commitPage after another process took the run over changes nothing", async (storage) => {
    const { runLease } = await running(storage);
    await storage.reclaimExpiredRuns({
      now: at(32),
      maxCrashes: 3,
      error: { code: "lease_lost", message: "" },
      limit: 10,
    });
    await take(storage, "flow", "another's");
    const before = await everything(storage);

    const stale = await storage.commitPage(
      runLease,
      pageOf(1, { ...moving({ checkpoint }), failures: [failureOf("1")] }),
    );

    assert.equal(stale, undefined);
    assert.deepEqual(await everything(storage), before);
  }),

  {
    title: "commitPage and reclaimExpiredRuns at once leave either a page and then a crash, or a crash and no page",
    async run({ storage, other }) {
      const { runLease } = await running(storage);
      const rule = { now: at(32), maxCrashes: 3, error: { code: "lease_lost", message: "" }, limit: 10 };

      const [committed] = await Promise.all([
        storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint }) })),
        other.reclaimExpiredRuns(rule),
      ]);

      const run = await storage.findRun("run");
      const moved = committed === undefined ? undefined : checkpoint;
      assert.deepEqual([run?.status, run?.crashes], ["queued", 1]);
      assert.deepEqual([run?.numPagesProcessed, await checkpointOf(storage)], [moved ? 1 : 0, moved]);
    },
  },

  on("commitPage still settles a page of a run that is canceling", async (storage) => {
    const { runLease } = await running(storage);
    await storage.cancelRun("run", { at: at(9) });

    const committed = await storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint }) }));

    assert.deepEqual([committed?.run.status, committed?.run.numSuccess], ["canceling", 3]);
    assert.deepEqual(await checkpointOf(storage), checkpoint);
  }),

  on("commitPage of a run whose flow is gone keeps only the counts", async (storage) => {
    const { runLease } = await running(storage);
    await storage.deleteFlow("flow", { at: at(9) });

    const committed = await storage.commitPage(
      runLease,
      pageOf(1, { ...moving({ checkpoint }), failures: [failureOf("1")] }),
    );

    assert.equal(committed?.run.numSuccess, 3);
    assert.equal((await storage.findRun("run"))?.numSuccess, 3);
    assert.equal(await checkpointOf(storage), undefined);
    assert.equal(await storage.findFailure("1"), undefined);
  }),

  on("commitPage that cannot store one of its failures rejects, and changes nothing", async (storage) => {
    const { runLease } = await running(storage);
    const before = await everything(storage);
    const failures = [failureOf("1"), failureOf("2", { record: { unstorable: () => undefined } })];

    await assert.rejects(storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint }), failures })));

    assert.deepEqual(await everything(storage), before);
    assert.equal((await storage.commitPage(runLease, pageOf(1)))?.run.numSuccess, 3);
  }),

  on("findCheckpoint returns undefined for a flow that has none, or that is none", async (storage) => {
    await addFlow(storage);

    assert.deepEqual([await checkpointOf(storage), await checkpointOf(storage, "nobody")], [undefined, undefined]);
  }),

  on("setCheckpoint makes the flow resume there, or from the start", async (storage) => {
    await addFlow(storage);
    await queue(storage, "run");

    const set = await storage.setCheckpoint(
      "flow",
      { value: null, version: 3 },
      { _importIds: ["ledger"], at: at(50) },
    );
    const found = await checkpointOf(storage);
    const taken = await take(storage);
    await storage.endRun(taken.runLease, endingOf("completed", 9));
    const unset = await storage.setCheckpoint("flow", undefined, { _importIds: ["ledger"], at: at(50) });

    assert.deepEqual([set, unset], [true, true]);
    assert.deepEqual(
      [found, taken.checkpoint],
      [
        { value: null, version: 3 },
        { value: null, version: 3 },
      ],
    );
    assert.equal(await checkpointOf(storage), undefined);
  }),

  on(
    "setCheckpoint returns false, and changes nothing, without such a flow or while a run of it is active",
    async (storage) => {
      const { runLease } = await running(storage);
      await storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint }) }));

      const whileRunning = await storage.setCheckpoint(
        "flow",
        { value: 1, version: 1 },
        { _importIds: ["ledger"], at: at(50) },
      );
      await storage.cancelRun("run", { at: at(9) });
      const whileCanceling = await storage.setCheckpoint("flow", undefined, { _importIds: ["ledger"], at: at(50) });
      const missing = await storage.setCheckpoint(
        "nobody",
        { value: 1, version: 1 },
        { _importIds: ["ledger"], at: at(50) },
      );

      assert.deepEqual([whileRunning, whileCanceling, missing], [false, false, false]);
      assert.deepEqual(await checkpointOf(storage), checkpoint);
      assert.equal(await checkpointOf(storage, "nobody"), undefined);
    },
  ),
];
