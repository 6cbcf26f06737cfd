import assert from "node:assert/strict";
import { noCounts } from "../../model/run.ts";
import type { OverlapRule, QueueDueResult, Storage } from "../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  at,
  bufferOne,
  defined,
  everything,
  flowOf,
  idsOf,
  iso,
  on,
  queue,
  roomy,
  runThrough,
  running,
  startOf,
  take,
  tickOf,
  endingOf,
} from "./harness.ts";

const bufferAll: OverlapRule = { overlap: "bufferAll", maxQueued: 2 };
const skip: OverlapRule = { overlap: "skip", maxQueued: 1_000 };

/** What {@link RunStorage} promises of what is queued: `queueRun` and `queueDue`. */
export const queueStorageCases: readonly StorageCase[] = [
  on("queueRun adds a waiting run with the flow's ids and with nothing counted", async (storage) => {
    await addFlow(storage, "flow", { _integrationId: "acme", _connectorId: "shop" });
    const start = startOf("run", "flow", { trigger: "retry", retry: { _importId: "ledger", _ids: ["1"] }, limit: 5 });

    const queued = await storage.queueRun(start, roomy);

    const run = {
      ...start,
      ...{ _exportId: "orders", _integrationId: "acme", _connectorId: "shop", status: "queued" },
      ...{ coalesced: 0, skipped: 0, crashes: 0, numPagesGenerated: 0, numPagesProcessed: 0 },
      ...{ numSuccess: 0, numError: 0, numIgnore: 0 },
      imports: { ledger: noCounts },
    };
    assert.deepEqual(queued, { outcome: "queued", run });
    assert.deepEqual(await storage.findRun("run"), run);
  }),

  on("queueRun queues nothing if there is no such flow, or if it is disabled", async (storage) => {
    await addFlow(storage, "disabled", { disabled: true });

    const missing = await storage.queueRun(startOf("run", "nobody"), roomy);
    const disabled = await storage.queueRun(startOf("run", "disabled"), roomy);

    assert.deepEqual([missing, disabled], [{ outcome: "missing" }, { outcome: "disabled" }]);
    assert.equal(await storage.findRun("run"), undefined);
  }),

  on("queueRun returns full, and queues nothing, if maxQueued runs of the flow wait already", async (storage) => {
    await running(storage);
    await queue(storage, "second");
    await queue(storage, "third");

    const full = await storage.queueRun(startOf("fourth"), { maxQueued: 2 });
    const before = await storage.findRun("fourth");
    const fits = await storage.queueRun(startOf("fourth"), { maxQueued: 3 });

    assert.deepEqual([full, before, fits.outcome], [{ outcome: "full" }, undefined, "queued"]);
  }),

  on("queueRun counts neither the active run nor other flows' runs against maxQueued", async (storage) => {
    await running(storage);
    await addFlow(storage, "other");
    await queue(storage, "other's", "other");

    assert.equal((await storage.queueRun(startOf("second"), { maxQueued: 1 })).outcome, "queued");
  }),

  on(
    "queueRun with the id of a stored run adds nothing and returns that run, whatever became of it",
    async (storage) => {
      await addFlow(storage);
      const waiting = await queue(storage, "run");
      const again = await storage.queueRun(startOf("run"), { maxQueued: 1 });
      await take(storage);
      const active = await storage.queueRun(startOf("run"), { maxQueued: 1 });
      await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(9) }), {
        ...{ expected: iso(0), reschedule: true, at: at(9) },
      });

      const disabled = await storage.queueRun(startOf("run"), { maxQueued: 1 });

      assert.deepEqual(again, { outcome: "queued", run: waiting });
      assert.deepEqual(active, disabled);
      assert.equal("run" in active && active.run.status, "running");
      assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["run"]);
      assert.deepEqual(await storage.waitingFlows(10), []);
    },
  ),

  {
    title: "queueRun by many at once adds all, and no more than maxQueued",
    async run({ storage, other }) {
      await addFlow(storage);

      const queued = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          (index % 2 === 0 ? storage : other).queueRun(startOf(`run ${index}`), { maxQueued: 6 }),
        ),
      );

      assert.equal(queued.filter(({ outcome }) => outcome === "queued").length, 6);
      assert.equal((await storage.listRuns({ limit: 100 })).items.length, 6);
    },
  },

  on("queueDue moves the flow's due time on and queues the run of the tick", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    const tick = tickOf("flow", "run", { dueAt: 10, nextDueAt: 70 });

    const [outcome] = await storage.queueDue([tick], bufferOne);

    const run = await storage.findRun("run");
    assert.deepEqual(outcome, { outcome: "queued", run });
    assert.deepEqual([run?.trigger, run?.dueAt, run?.status], ["schedule", iso(10), "queued"]);
    assert.equal((await storage.findFlow("flow"))?.nextRunAt, iso(70));
    assert.deepEqual(await storage.dueFlows(at(69), 10), []);
    assert.equal(await storage.nextDueAt(), at(70));
  }),

  on("queueDue takes the due time away if there is no next one", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });

    await storage.queueDue([tickOf("flow", "run", { dueAt: 10 })], bufferOne);

    assert.equal("nextRunAt" in defined(await storage.findFlow("flow")), false);
    assert.equal(await storage.nextDueAt(), undefined);
  }),

  on(
    "queueDue returns taken, and changes nothing, for a flow that is not due then, disabled or gone",
    async (storage) => {
      await addFlow(storage, "moved", { nextRunAt: iso(10) });
      await addFlow(storage, "off", { nextRunAt: iso(10), disabled: true });
      await addFlow(storage, "unscheduled");
      const before = await everything(storage);

      const outcomes = await storage.queueDue(
        [
          tickOf("moved", "1", { dueAt: 9, nextDueAt: 70 }),
          tickOf("off", "2", { dueAt: 10, nextDueAt: 70 }),
          tickOf("unscheduled", "3", { dueAt: 10, nextDueAt: 70 }),
          tickOf("nobody", "4", { dueAt: 10, nextDueAt: 70 }),
        ],
        bufferOne,
      );

      assert.deepEqual(outcomes, Array(4).fill({ outcome: "taken" }));
      assert.deepEqual(await everything(storage), before);
    },
  ),

  on("queueDue again with the same ticks returns taken, and queues nothing more", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    const ticks = [tickOf("flow", "run", { dueAt: 10, nextDueAt: 70 })];
    await storage.queueDue(ticks, bufferOne);
    const before = await everything(storage);

    assert.deepEqual(await storage.queueDue(ticks, bufferOne), [{ outcome: "taken" }]);

    assert.deepEqual(await everything(storage), before);
  }),

  {
    title: "queueDue by two at once makes one run of a due time",
    async run({ storage, other }) {
      for (const _id of ["a", "b", "c"]) await addFlow(storage, _id, { nextRunAt: iso(10) });
      const ticks = (name: string) =>
        ["a", "b", "c"].map((_id) => tickOf(_id, `${name} ${_id}`, { dueAt: 10, nextDueAt: 70 }));

      const [one, two] = await Promise.all([
        storage.queueDue(ticks("one"), bufferOne),
        other.queueDue(ticks("two"), bufferOne),
      ]);

      for (const [index, outcome] of one.entries())
        assert.deepEqual([outcome.outcome, two[index]?.outcome].sort(), ["queued", "taken"]);
      assert.equal((await storage.listRuns({ limit: 10 })).items.length, 3);
    },
  },

  on("queueDue returns passed, and moves only the due time, for a tick without a run to queue", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    const { start, ...tick } = tickOf("flow", "run", { dueAt: 10, nextDueAt: 70 });

    assert.deepEqual(await storage.queueDue([tick], bufferOne), [{ outcome: "passed" }]);

    assert.equal(await storage.nextDueAt(), at(70));
    assert.equal(await storage.findRun(defined(start)._id), undefined);
  }),

  on("queueDue makes no second run of a due time that comes again, and one for a new flow's", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(60) });
    await storage.queueDue([tickOf("flow", "first", { dueAt: 60, nextDueAt: 120 })], bufferOne);
    const { runLease } = await take(storage);
    await storage.endRun(runLease, endingOf("completed", 61));
    const back = { expected: iso(0), reschedule: true, at: at(30) };
    await storage.replaceFlow(flowOf("flow", { nextRunAt: iso(60), lastModified: iso(1) }), back);

    const again = await storage.queueDue([tickOf("flow", "second", { dueAt: 60, nextDueAt: 120 })], bufferOne);

    assert.deepEqual(again, [{ outcome: "passed" }]);
    assert.equal((await storage.findFlow("flow"))?.nextRunAt, iso(120));
    assert.equal(await storage.findRun("second"), undefined);

    await storage.deleteFlow("flow", { at: at(62) });
    await addFlow(storage, "flow", { nextRunAt: iso(60) });
    const anew = await storage.queueDue([tickOf("flow", "third", { dueAt: 60 })], bufferOne);

    assert.deepEqual(
      anew.map(({ outcome }) => outcome),
      ["queued"],
    );
  }),

  on("queueDue returns each tick in its place", async (storage) => {
    for (const _id of ["a", "c"]) await addFlow(storage, _id, { nextRunAt: iso(10) });

    const outcomes = await storage.queueDue(
      ["c", "b", "a"].map((_id) => tickOf(_id, `run of ${_id}`, { dueAt: 10, nextDueAt: 70 })),
      bufferOne,
    );

    assert.deepEqual(outcomes.map(runIdOf), ["run of c", "taken", "run of a"]);
  }),

  on("queueDue takes several due times of one flow one after the other", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    await addFlow(storage, "other", { nextRunAt: iso(10) });
    const ticks = [
      tickOf("flow", "first", { dueAt: 10, nextDueAt: 20 }),
      tickOf("other", "its own", { dueAt: 10, nextDueAt: 20 }),
      tickOf("flow", "second", { dueAt: 20, nextDueAt: 30 }),
    ];

    const outcomes = await storage.queueDue(ticks, bufferOne);

    assert.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      ["queued", "queued", "coalesced"],
    );
    assert.deepEqual(outcomes.map(runIdOf), ["first", "its own", "first"]);
    assert.equal(await storage.nextDueAt(), at(20));
    assert.equal((await storage.findFlow("flow"))?.nextRunAt, iso(30));
  }),

  on("queueDue with bufferOne folds a due time into a scheduled run that waits, and counts it", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    await queue(storage, "caught up", "flow", { trigger: "catch-up", dueAt: iso(5) });

    const first = await due(storage, bufferOne, "first", 10);
    const second = await due(storage, bufferOne, "second", 20);

    const run = defined(await storage.findRun("caught up"));
    assert.deepEqual([run.coalesced, run.dueAt, run.status], [2, iso(5), "queued"]);
    assert.deepEqual(second, { outcome: "coalesced", run });
    assert.equal(first.outcome, "coalesced");
    assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["caught up"]);
    assert.equal(await storage.nextDueAt(), at(30));
  }),

  on(
    "queueDue with bufferOne queues a run while another one runs, or only other triggers' runs wait",
    async (storage) => {
      await addFlow(storage, "flow", { nextRunAt: iso(10) });
      await queue(storage, "manual");
      await due(storage, bufferOne, "first", 10);
      await storage.cancelRun("manual", { at: at(11) });
      await take(storage);

      const outcome = await due(storage, bufferOne, "second", 20);

      assert.equal(runIdOf(outcome), "second");
      assert.deepEqual(
        [(await storage.findRun("first"))?.status, (await storage.findRun("first"))?.coalesced],
        ["running", 0],
      );
    },
  ),

  on("queueDue with bufferAll queues each, up to maxQueued, and folds the others into the newest", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });

    const outcomes = [
      await due(storage, bufferAll, "first", 10),
      await due(storage, bufferAll, "second", 20),
      await due(storage, bufferAll, "third", 30),
    ];

    assert.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      ["queued", "queued", "coalesced"],
    );
    assert.deepEqual(outcomes.map(runIdOf), ["first", "second", "second"]);
    assert.deepEqual(
      [(await storage.findRun("first"))?.coalesced, (await storage.findRun("second"))?.coalesced],
      [0, 1],
    );
  }),

  on(
    "queueDue with skip queues nothing while a run waits or runs, and counts the due time on that run",
    async (storage) => {
      await addFlow(storage, "flow", { nextRunAt: iso(10) });
      await queue(storage, "manual");

      const whileWaiting = await due(storage, skip, "first", 10);
      await take(storage);
      const whileRunning = await due(storage, skip, "second", 20);

      const run = defined(await storage.findRun("manual"));
      assert.deepEqual([runIdOf(whileWaiting), whileWaiting.outcome], ["manual", "skipped"]);
      assert.deepEqual(whileRunning, { outcome: "skipped", run });
      assert.deepEqual([run.skipped, run.coalesced, run.status], [2, 0, "running"]);
      assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["manual"]);
      assert.equal(await storage.nextDueAt(), at(30));
    },
  ),

  on("queueDue with skip queues a run when none waits or runs", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });
    await runThrough(storage, "ended");

    assert.equal(runIdOf(await due(storage, skip, "first", 10)), "first");
  }),
];

// The flow `flow` is due at `dueAt` seconds, and then ten seconds later.
async function due(storage: Storage, rule: OverlapRule, runId: string, dueAt: number): Promise<QueueDueResult> {
  const [outcome] = await storage.queueDue([tickOf("flow", runId, { dueAt, nextDueAt: dueAt + 10 })], rule);
  return defined(outcome);
}

function runIdOf(outcome: QueueDueResult): string {
  return "run" in outcome ? outcome.run._id : outcome.outcome;
}
