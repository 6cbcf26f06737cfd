import assert from "node:assert/strict";
import type { FlowChange, FlowQuery } from "../../storage/storage.ts";
import {
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
  running,
  take,
  tickOf,
  moving,
  endingOf,
  checkpointOf,
} from "./harness.ts";

const change: FlowChange = { expected: iso(0), reschedule: false, at: at(9) };

/** What {@link FlowStorage} promises. */
export const flowStorageCases: readonly StorageCase[] = [
  on("insertFlow adds a flow, and findFlow returns every field of it", async (storage) => {
    const flow = flowOf("flow", {
      schedule: "0 3 * * *",
      timezone: "Europe/Oslo",
      _importIds: ["ledger", "mailer"],
      _integrationId: "acme",
      _connectorId: "shop",
      nextRunAt: iso(60),
    });

    assert.equal(await storage.insertFlow(flow), true);

    assert.deepEqual(await storage.findFlow("flow"), flow);
  }),

  on("insertFlow returns false, and changes nothing, if the id is taken", async (storage) => {
    const flow = await addFlow(storage, "flow", { nextRunAt: iso(60) });

    assert.equal(await storage.insertFlow(flowOf("flow", { name: "Another", nextRunAt: iso(30) })), false);

    assert.deepEqual(await storage.findFlow("flow"), flow);
    assert.equal(await storage.nextDueAt(), at(60));
  }),

  {
    title: "insertFlow of one id by two at once returns true to one of them",
    async run({ storage, other }) {
      const results = await Promise.all([
        storage.insertFlow(flowOf("flow", { name: "One" })),
        other.insertFlow(flowOf("flow", { name: "Other" })),
      ]);

      assert.deepEqual([...results].sort(), [false, true]);
      assert.equal((await storage.findFlow("flow"))?.name, ["One", "Other"][results.indexOf(true)]);
    },
  },

  on("findFlow returns undefined if there is none", async (storage) => {
    assert.equal(await storage.findFlow("nobody"), undefined);
  }),

  on("listFlows returns by ascending _id, whatever the order they came in", async (storage) => {
    for (const _id of ["b", "d", "a", "c", "B", "é"]) await addFlow(storage, _id);

    assert.deepEqual(idsOf((await storage.listFlows({ limit: 10 })).items), ["B", "a", "b", "c", "d", "é"]);
  }),

  on("listFlows returns the flows that match every filter given", async (storage) => {
    await addFlow(storage, "a", { _integrationId: "acme", _connectorId: "shop" });
    await addFlow(storage, "b", { _integrationId: "acme", _exportId: "parcels" });
    await addFlow(storage, "c", { _connectorId: "shop", disabled: true });
    await addFlow(storage, "d", { _integrationId: "acme", _connectorId: "shop", _importId: "mailer" });
    const found = async (query: Omit<FlowQuery, "limit">) =>
      idsOf((await storage.listFlows({ ...query, limit: 10 })).items);

    assert.deepEqual(await found({ _integrationId: "acme" }), ["a", "b", "d"]);
    assert.deepEqual(await found({ _connectorId: "shop" }), ["a", "c", "d"]);
    assert.deepEqual(await found({ _exportId: "orders" }), ["a", "c", "d"]);
    assert.deepEqual(await found({ _exportId: "parcels" }), ["b"]);
    assert.deepEqual(await found({ _importId: "mailer" }), ["d"]);
    assert.deepEqual(await found({ disabled: true }), ["c"]);
    assert.deepEqual(await found({ disabled: false, _connectorId: "shop" }), ["a", "d"]);
    assert.deepEqual(await found({ _integrationId: "nobody" }), []);
  }),

  on("listFlows finds a flow by any of its imports", async (storage) => {
    await addFlow(storage, "both", { _importIds: ["ledger", "mailer"] });
    await addFlow(storage, "first");

    assert.deepEqual(idsOf((await storage.listFlows({ _importId: "mailer", limit: 10 })).items), ["both"]);
    assert.deepEqual(idsOf((await storage.listFlows({ _importId: "ledger", limit: 10 })).items), ["both", "first"]);
  }),

  on("listFlows goes on where `next` says, and says nothing at the end", async (storage) => {
    for (const _id of ["a", "b", "c", "d"]) await addFlow(storage, _id, _id === "b" ? { _exportId: "parcels" } : {});

    const first = await storage.listFlows({ limit: 2, _exportId: "orders" });
    const rest = await storage.listFlows({ limit: 2, _exportId: "orders", after: defined(first.next) });
    const exactly = await storage.listFlows({ limit: 4 });

    assert.deepEqual([idsOf(first.items), idsOf(rest.items)], [["a", "c"], ["d"]]);
    assert.deepEqual([rest.next, exactly.next], [undefined, undefined]);
  }),

  on("listFlows lists a flow that is there all the while exactly once, while others come and go", async (storage) => {
    for (const _id of ["b", "d", "f", "h", "j"]) await addFlow(storage, _id);
    const changes = [
      () => storage.deleteFlow("d", { at: at(9) }), // the one the cursor stands on
      () => storage.insertFlow(flowOf("a")), // before what was listed
      () => storage.insertFlow(flowOf("i")), // among what is still to come
    ];

    const listed = await readAll(
      (after) => storage.listFlows({ limit: 2, ...after }),
      async () => {
        await changes.shift()?.();
      },
    );

    const ids = idsOf(listed);
    assert.deepEqual(
      ["b", "f", "h", "j"].map((_id) => ids.filter((other) => other === _id).length),
      [1, 1, 1, 1],
      `listed ${ids.join(" ")}`,
    );
  }),

  on(
    "replaceFlow replaces the flow if its lastModified is as expected, and returns what is stored now",
    async (storage) => {
      await addFlow(storage, "flow", { schedule: "0 3 * * *", _integrationId: "acme" });
      const changed = flowOf("flow", { name: "Changed", _exportId: "parcels", lastModified: iso(9) });

      const replaced = await storage.replaceFlow(changed, change);

      assert.deepEqual(replaced, { outcome: "replaced", flow: changed, canceled: [] });
      assert.deepEqual(await storage.findFlow("flow"), changed);
      assert.deepEqual((await storage.listFlows({ limit: 10, _exportId: "orders" })).items, []);
      assert.deepEqual((await storage.listFlows({ limit: 10, _exportId: "parcels" })).items, [changed]);
    },
  ),

  on("replaceFlow changes nothing if lastModified has moved, or if there is no such flow", async (storage) => {
    await addFlow(storage);
    await queue(storage, "run");
    const before = await everything(storage);
    const changed = flowOf("flow", { disabled: true, lastModified: iso(9) });

    const stale = await storage.replaceFlow(changed, { ...change, expected: iso(-1) });
    const ahead = await storage.replaceFlow(changed, { ...change, expected: iso(1) });
    const missing = await storage.replaceFlow({ ...changed, _id: "nobody" }, change);

    assert.deepEqual([stale, ahead, missing], [{ outcome: "stale" }, { outcome: "stale" }, { outcome: "missing" }]);
    assert.deepEqual(await everything(storage), before);
  }),

  on("replaceFlow again with the same arguments is stale, and changes nothing more", async (storage) => {
    await addFlow(storage);
    await storage.replaceFlow(flowOf("flow", { name: "Changed", lastModified: iso(9) }), change);
    const before = await everything(storage);

    const again = await storage.replaceFlow(flowOf("flow", { name: "Changed", lastModified: iso(9) }), change);

    assert.deepEqual(again, { outcome: "stale" });
    assert.deepEqual(await everything(storage), before);
  }),

  {
    title: "replaceFlow by two at once, expecting the same lastModified, lets one of them through",
    async run({ storage, other }) {
      await addFlow(storage);

      const results = await Promise.all(
        [storage, other].map((each, index) =>
          each.replaceFlow(flowOf("flow", { name: `Name ${index}`, lastModified: iso(9 + index) }), change),
        ),
      );

      assert.deepEqual(results.map(({ outcome }) => outcome).sort(), ["replaced", "stale"]);
    },
  },

  on("replaceFlow leaves the next due time as it is stored, unless asked to reschedule", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(60) });

    await storage.replaceFlow(flowOf("flow", { lastModified: iso(9), nextRunAt: iso(30) }), change);
    const kept = [(await storage.findFlow("flow"))?.nextRunAt, await storage.nextDueAt()];
    const reschedule = { ...change, expected: iso(9), reschedule: true };
    await storage.replaceFlow(flowOf("flow", { lastModified: iso(10), nextRunAt: iso(30) }), reschedule);
    const moved = [(await storage.findFlow("flow"))?.nextRunAt, await storage.nextDueAt()];
    await storage.replaceFlow(flowOf("flow", { lastModified: iso(11) }), { ...reschedule, expected: iso(10) });
    const gone = [(await storage.findFlow("flow"))?.nextRunAt, await storage.nextDueAt()];

    assert.deepEqual(
      [kept, moved, gone],
      [
        [iso(60), at(60)],
        [iso(30), at(30)],
        [undefined, undefined],
      ],
    );
  }),

  on("replaceFlow always leaves lastExecutedAt as it is stored", async (storage) => {
    await addFlow(storage);
    await storage.replaceFlow(flowOf("flow", { lastModified: iso(9), lastExecutedAt: iso(8) }), change);
    const never = (await storage.findFlow("flow"))?.lastExecutedAt;
    await queue(storage, "run");
    await take(storage);

    await storage.replaceFlow(flowOf("flow", { lastModified: iso(10), lastExecutedAt: iso(8) }), {
      ...change,
      expected: iso(9),
    });

    assert.deepEqual([never, (await storage.findFlow("flow"))?.lastExecutedAt], [undefined, iso(2)]);
  }),

  on("replaceFlow that disables the flow cancels its waiting runs, and lets the active one go on", async (storage) => {
    const { runLease } = await running(storage);
    await queue(storage, "second");
    await queue(storage, "third");
    await addFlow(storage, "bystander");
    await queue(storage, "another's", "bystander");

    const replaced = await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(9) }), change);

    assert.ok(replaced.outcome === "replaced");
    assert.deepEqual(idsOf(replaced.canceled), ["second", "third"]);
    for (const run of replaced.canceled) {
      assert.deepEqual([run.status, run.endedAt], ["canceled", iso(9)]);
      assert.deepEqual(await storage.findRun(run._id), run);
    }
    assert.equal((await storage.findRun("another's"))?.status, "queued");
    assert.deepEqual(await storage.renewLeases([runLease], at(60)), ["held"]);
    assert.deepEqual((await storage.endRun(runLease, endingOf("completed", 10)))?.more, false);
  }),

  on("replaceFlow that leaves the flow enabled leaves its waiting runs alone", async (storage) => {
    await addFlow(storage);
    await queue(storage, "run");

    await storage.replaceFlow(flowOf("flow", { name: "Changed", lastModified: iso(9) }), change);

    assert.equal((await take(storage)).run._id, "run");
  }),

  on(
    "deleteFlow removes the flow with its checkpoint, its inbox and its open failures, however many",
    async (storage) => {
      const failures = Array.from({ length: 100 }, (_, index) => failureOf(`failure ${index}`));
      const { runLease } = await running(storage);
      await storage.commitPage(runLease, pageOf(1, { failures, ...moving({ checkpoint: { value: 7, version: 1 } }) }));
      await append(storage, arrivalOf("arrival"));
      await storage.endRun(runLease, endingOf("completed", 8));

      const deleted = await storage.deleteFlow("flow", { at: at(9), expected: iso(0) });

      assert.equal(deleted.outcome, "deleted");
      assert.equal(await storage.findFlow("flow"), undefined);
      assert.deepEqual((await storage.listFlows({ limit: 10 })).items, []);
      assert.equal(await checkpointOf(storage), undefined);
      assert.deepEqual(await inboxRecords(storage), []);
      assert.deepEqual((await storage.listFailures({ limit: 1_000 })).items, []);
      assert.equal(await storage.findFailure("failure 99"), undefined);
    },
  ),

  on(
    "deleteFlow cancels the waiting runs, makes the active one canceling, and returns them and the flow",
    async (storage) => {
      const { flow } = await running(storage);
      await queue(storage, "second");

      const deleted = await storage.deleteFlow("flow", { at: at(9) });

      assert.ok(deleted.outcome === "deleted");
      assert.deepEqual(deleted.flow, flow);
      assert.deepEqual(idsOf(deleted.canceled), ["second"]);
      assert.deepEqual([deleted.canceled[0]?.status, deleted.canceled[0]?.endedAt], ["canceled", iso(9)]);
      assert.deepEqual([deleted.active?._id, deleted.active?.status], ["run", "canceling"]);
      assert.deepEqual(await storage.findRun("run"), deleted.active);
      assert.deepEqual(await storage.findRun("second"), deleted.canceled[0]);
    },
  ),

  on("deleteFlow leaves ended runs and resolved failures, and other flows with all they have", async (storage) => {
    const { runLease } = await running(storage);
    await storage.commitPage(runLease, pageOf(1, { failures: [failureOf("resolved"), failureOf("open")] }));
    await storage.endRun(runLease, endingOf("completed", 8));
    await storage.resolveFailures(["resolved"], at(8));
    await addFlow(storage, "other");
    await storage.setCheckpoint("other", { value: 7, version: 1 }, { _importIds: ["ledger"], at: at(50) });
    await append(storage, arrivalOf("arrival", { starts: [realtimeStart("other's", "other")] }));

    const deleted = await storage.deleteFlow("flow", { at: at(9) });

    assert.ok(deleted.outcome === "deleted");
    assert.equal("active" in deleted, false);
    assert.deepEqual(idsOf((await storage.listRuns({ _flowId: "flow", limit: 10 })).items), ["run"]);
    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10 })).items), ["resolved"]);
    assert.deepEqual(idsOf((await storage.listFlows({ limit: 10 })).items), ["other"]);
    assert.deepEqual(await checkpointOf(storage, "other"), { value: 7, version: 1 });
    assert.equal((await inboxRecords(storage, "other")).length, 2);
    assert.equal((await take(storage, "other")).run._id, "other's");
  }),

  on("deleteFlow changes nothing if lastModified has moved, or if there is no such flow", async (storage) => {
    await running(storage);
    const before = await everything(storage);

    const stale = await storage.deleteFlow("flow", { at: at(9), expected: iso(-1) });
    const missing = await storage.deleteFlow("nobody", { at: at(9) });

    assert.deepEqual([stale, missing], [{ outcome: "stale" }, { outcome: "missing" }]);
    assert.deepEqual(await everything(storage), before);
  }),

  on("deleteFlow leaves nothing behind for a new flow with the same id", async (storage) => {
    const { runLease } = await running(storage);
    await append(storage, arrivalOf("arrival", { ids: ["1", "2"] }));
    await storage.deleteFlow("flow", { at: at(9) });
    await addFlow(storage);

    // The run of the deleted flow is still being aborted, and commits its last page.
    const committed = await storage.commitPage(
      runLease,
      pageOf(1, { ...moving({ checkpoint: { value: 7, version: 1 } }), failures: [failureOf("late")] }),
    );
    const [appended] = await append(storage, arrivalOf("arrival", { ids: ["1", "2"] }));

    assert.equal(committed?.run.numSuccess, 3);
    assert.deepEqual(idsOf((await storage.listFlows({ limit: 10 })).items), ["flow"]);
    assert.equal(await checkpointOf(storage), undefined);
    assert.equal(await storage.findFailure("late"), undefined);
    assert.equal(appended?.duplicates, 0);
    assert.equal((await inboxRecords(storage)).length, 2);
  }),

  on(
    "dueFlows returns enabled flows due at or before the instant, the earliest first, at most so many",
    async (storage) => {
      await addFlow(storage, "late", { nextRunAt: iso(30) });
      await addFlow(storage, "early", { nextRunAt: iso(10) });
      await addFlow(storage, "later still", { nextRunAt: iso(31) });
      await addFlow(storage, "disabled", { nextRunAt: iso(5), disabled: true });
      await addFlow(storage, "unscheduled");

      assert.deepEqual(idsOf(await storage.dueFlows(at(30), 10)), ["early", "late"]);
      assert.deepEqual(idsOf(await storage.dueFlows(at(60), 2)), ["early", "late"]);
      assert.deepEqual(await storage.dueFlows(at(9), 10), []);
      assert.deepEqual(await storage.dueFlows(at(10), 10), [await storage.findFlow("early")]);
    },
  ),

  on("nextDueAt follows the enabled flow that is due first", async (storage) => {
    const none = await storage.nextDueAt();
    await addFlow(storage, "disabled", { nextRunAt: iso(5), disabled: true });
    await addFlow(storage, "a", { nextRunAt: iso(10) });
    await addFlow(storage, "b", { nextRunAt: iso(20) });
    await addFlow(storage, "c", { nextRunAt: iso(30) });

    const first = await storage.nextDueAt();
    await storage.queueDue([tickOf("a", "run", { dueAt: 10, nextDueAt: 40 })], bufferOne);
    const second = await storage.nextDueAt();
    await storage.deleteFlow("b", { at: at(9) });
    const third = await storage.nextDueAt();
    await storage.replaceFlow(flowOf("c", { disabled: true, lastModified: iso(9) }), { ...change, reschedule: true });
    const fourth = await storage.nextDueAt();

    assert.deepEqual([none, first, second, third, fourth], [undefined, at(10), at(20), at(30), at(40)]);
  }),

  on("a flow that is disabled and enabled again is due when the call says so", async (storage) => {
    await addFlow(storage, "flow", { nextRunAt: iso(10) });

    await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(9) }), {
      ...change,
      reschedule: true,
    });
    const off = await storage.dueFlows(at(60), 10);
    const again = flowOf("flow", { nextRunAt: iso(50), lastModified: iso(10) });
    await storage.replaceFlow(again, { ...change, expected: iso(9), reschedule: true });

    assert.deepEqual(
      [off, idsOf(await storage.dueFlows(at(50), 10)), await storage.nextDueAt()],
      [[], ["flow"], at(50)],
    );
  }),
];
