import assert from "node:assert/strict";
import { noCounts } from "../../model/run.ts";
import type { PruneRule, RunQuery } from "../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  defined,
  failureOf,
  idsOf,
  iso,
  keepFailures,
  on,
  pageOf,
  queue,
  readAll,
  runThrough,
  running,
  take,
  moving,
  endingOf,
  checkpointOf,
} from "./harness.ts";

const everythingOld: PruneRule = { endedBefore: at(100), runsPerFlow: 1_000, limit: 1_000 };

/** What {@link RunStorage} promises of runs that are stored: `findRun`, `listRuns`, `cancelRun` and `prune`. */
export const runStorageCases: readonly StorageCase[] = [
  on("findRun returns undefined if there is none", async (storage) => {
    assert.equal(await storage.findRun("nobody"), undefined);
  }),

  on(
    "listRuns returns the newest first, by the order in which they were queued, whatever became of them",
    async (storage) => {
      await addFlow(storage);
      await addFlow(storage, "other");
      for (const _id of ["z", "y", "x"]) await queue(storage, _id);
      await queue(storage, "w", "other");
      const { runLease } = await take(storage);

      await storage.releaseRun(runLease);
      await storage.cancelRun("y", { at: at(9) });

      assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["w", "x", "y", "z"]);
      assert.deepEqual(idsOf((await storage.listRuns({ limit: 10, _flowId: "flow" })).items), ["x", "y", "z"]);
    },
  ),

  on("listRuns returns the runs that match every filter given", async (storage) => {
    await addFlow(storage, "a", { _integrationId: "acme" });
    await addFlow(storage, "b", { _connectorId: "shop", _exportId: "parcels", _importId: "archive" });
    await queue(storage, "1", "a");
    await queue(storage, "2", "a", { trigger: "retry" });
    await queue(storage, "3", "b");
    await take(storage, "a");
    const found = async (query: Omit<RunQuery, "limit">) =>
      idsOf((await storage.listRuns({ ...query, limit: 10 })).items);

    assert.deepEqual(await found({ _flowId: "a" }), ["2", "1"]);
    assert.deepEqual(await found({ _exportId: "parcels" }), ["3"]);
    assert.deepEqual(await found({ _importId: "ledger" }), ["2", "1"]);
    assert.deepEqual(await found({ _importId: "archive", status: "queued" }), ["3"]);
    assert.deepEqual(await found({ _importId: "archive", _flowId: "a" }), []);
    assert.deepEqual(await found({ _integrationId: "acme" }), ["2", "1"]);
    assert.deepEqual(await found({ _connectorId: "shop" }), ["3"]);
    assert.deepEqual(await found({ status: "queued" }), ["3", "2"]);
    assert.deepEqual(await found({ trigger: "retry" }), ["2"]);
    assert.deepEqual(await found({ _flowId: "a", status: "running" }), ["1"]);
    assert.deepEqual(await found({ _flowId: "nobody" }), []);
  }),

  on(
    "listRuns finds a run by each import that it counts for, also by one its flow had later, until it is pruned",
    async (storage) => {
      const two = { _importId: "ledger", _importIds: ["ledger", "mailer"] };
      await addFlow(storage, "flow", two);
      await addFlow(storage, "other", two);
      await queue(storage, "run");
      await queue(storage, "retry of one", "other", { trigger: "retry", retry: { _importId: "mailer" } });
      const counts = { ledger: noCounts, archive: noCounts };
      const { runLease } = await take(storage);
      await storage.commitPage(runLease, pageOf(1, { counts }));
      await storage.commitPage(runLease, pageOf(2, { counts }));
      const found = async (_importId: string) => idsOf((await storage.listRuns({ _importId, limit: 10 })).items);

      assert.deepEqual(await found("ledger"), ["run"]);
      assert.deepEqual(await found("mailer"), ["retry of one", "run"]);
      assert.deepEqual(await found("archive"), ["run"]);
      await storage.endRun(runLease, endingOf("completed", 3));
      await storage.prune(everythingOld);
      assert.deepEqual(await Promise.all(["ledger", "mailer", "archive"].map(found)), [[], ["retry of one"], []]);
    },
  ),

  on("listRuns goes on where `next` says, and says nothing at the end", async (storage) => {
    await addFlow(storage);
    for (const _id of ["1", "2", "3", "4"]) await queue(storage, _id, "flow", _id === "3" ? { trigger: "retry" } : {});

    const first = await storage.listRuns({ limit: 2, trigger: "manual" });
    const rest = await storage.listRuns({ limit: 2, trigger: "manual", after: defined(first.next) });
    const exactly = await storage.listRuns({ limit: 4, _flowId: "flow" });
    const one = await storage.listRuns({ limit: 3, _importId: "ledger" });
    const other = await storage.listRuns({ limit: 3, _importId: "ledger", after: defined(one.next) });

    assert.deepEqual([idsOf(first.items), idsOf(rest.items)], [["4", "2"], ["1"]]);
    assert.deepEqual([idsOf(one.items), idsOf(other.items)], [["4", "3", "2"], ["1"]]);
    assert.deepEqual([rest.next, exactly.next], [undefined, undefined]);
  }),

  on(
    "listRuns lists a run that is there all the while exactly once, while others are queued and pruned",
    async (storage) => {
      await addFlow(storage);
      await runThrough(storage, "1");
      for (const _id of ["2", "3"]) await queue(storage, _id);
      await addFlow(storage, "other");
      await runThrough(storage, "pruned", "other");
      await queue(storage, "5");

      const listed = await readAll(
        (after) => storage.listRuns({ limit: 2, ...after }),
        async () => {
          await queue(storage, `new ${(await storage.listRuns({ limit: 100 })).items.length}`);
          await storage.prune({ ...everythingOld, limit: 1 });
          await storage.prune(everythingOld);
        },
      );

      assert.deepEqual(idsOf(listed), ["5", "pruned", "3", "2"]);
    },
  ),

  on("cancelRun makes a waiting run canceled, and takes it out of the line", async (storage) => {
    await addFlow(storage);
    await queue(storage, "first");
    await queue(storage, "second");

    const run = await storage.cancelRun("first", { at: at(9) });

    assert.deepEqual([run?.status, run?.endedAt], ["canceled", iso(9)]);
    assert.deepEqual(await storage.findRun("first"), run);
    assert.equal((await take(storage)).run._id, "second");
  }),

  on(
    "cancelRun makes a running run canceling, which the process with its lease learns when it renews that",
    async (storage) => {
      const { runLease } = await running(storage);

      const run = await storage.cancelRun("run", { at: at(9) });

      assert.deepEqual([run?.status, run?.endedAt], ["canceling", undefined]);
      assert.deepEqual(await storage.findRun("run"), run);
      assert.deepEqual(await storage.renewLeases([runLease], at(60)), ["canceling"]);
    },
  ),

  on("cancelRun leaves a run that has ended, or is canceling, as it is", async (storage) => {
    await addFlow(storage);
    const ended = await runThrough(storage, "ended");
    await queue(storage, "canceling");
    await take(storage);
    const canceling = await storage.cancelRun("canceling", { at: at(9) });

    assert.deepEqual(await storage.cancelRun("ended", { at: at(10) }), ended);
    assert.deepEqual(await storage.cancelRun("canceling", { at: at(10) }), canceling);
  }),

  on("cancelRun returns undefined if there is none", async (storage) => {
    assert.equal(await storage.cancelRun("nobody", { at: at(9) }), undefined);
  }),

  {
    title: "cancelRun and claimRun at once leave the run either canceled or canceling, and never both run and waiting",
    async run({ storage, other }) {
      await addFlow(storage);
      await queue(storage, "run");

      const [canceled, taken] = await Promise.all([
        storage.cancelRun("run", { at: at(9) }),
        other.claimRun("flow", { token: "token", at: at(2), until: at(32) }),
      ]);

      const status = (await storage.findRun("run"))?.status;
      assert.equal(canceled?.status, status);
      assert.equal(status, taken === undefined ? "canceled" : "canceling");
    },
  },

  on("prune removes runs that ended before the instant, and none that ended at it or later", async (storage) => {
    await addFlow(storage);
    for (const endedAt of [20, 30, 40]) await runThrough(storage, `ended at ${endedAt}`, "flow", endedAt);

    const removed = await storage.prune({ ...everythingOld, endedBefore: at(30) });

    assert.equal(removed, 1);
    assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["ended at 40", "ended at 30"]);
    assert.equal(await storage.findRun("ended at 20"), undefined);
  }),

  on("prune removes ended runs that are not among the newest of their flow", async (storage) => {
    for (const _flowId of ["flow", "other"]) {
      await addFlow(storage, _flowId);
      for (const _id of [1, 2, 3]) await runThrough(storage, `${_flowId} ${_id}`, _flowId);
    }
    await queue(storage, "flow 4");

    const removed = await storage.prune({ endedBefore: at(0), runsPerFlow: 2, limit: 100 });

    assert.equal(removed, 3);
    assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["flow 4", "other 3", "other 2", "flow 3"]);
  }),

  on("prune never removes a run that waits or is active, and finds those that ended behind it", async (storage) => {
    await running(storage);
    await queue(storage, "waiting");
    await queue(storage, "canceled");
    await queue(storage, "ended later");
    await storage.cancelRun("canceled", { at: at(20) });
    await storage.cancelRun("ended later", { at: at(200) });

    const removed = [await storage.prune(everythingOld), await storage.prune({ ...everythingOld, runsPerFlow: 1 })];

    assert.deepEqual(removed, [1, 0]);
    assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), ["ended later", "waiting", "run"]);
  }),

  on("prune removes failures that were resolved before the instant, and no others", async (storage) => {
    await keepFailures(storage, [failureOf("old"), failureOf("recent"), failureOf("open")]);
    await storage.resolveFailures(["old"], at(20));
    await storage.resolveFailures(["recent"], at(30));

    const removed = await storage.prune({ ...everythingOld, endedBefore: at(30) });

    assert.equal(removed, 1);
    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10 })).items), ["recent", "open"]);
  }),

  on("prune removes at most so many documents, and returns 0 when none is left to remove", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1"), failureOf("2")]);
    await storage.endRun(runLease, endingOf("completed", 8));
    await storage.resolveFailures(["1", "2"], at(20));
    for (const _id of ["second", "third"]) await runThrough(storage, _id);

    const removed = [];
    for (let round = 0; round < 4; round++) removed.push(await storage.prune({ ...everythingOld, limit: 2 }));

    assert.deepEqual(removed, [2, 2, 1, 0]);
    assert.deepEqual((await storage.listRuns({ limit: 10 })).items, []);
    assert.deepEqual((await storage.listFailures({ limit: 10 })).items, []);
  }),

  on("prune leaves checkpoints, inboxes and the flows themselves alone", async (storage) => {
    const { runLease } = await running(storage);
    await storage.commitPage(runLease, pageOf(1, { ...moving({ checkpoint: { value: 7, version: 1 } }) }));
    await append(storage, arrivalOf("arrival"));
    await storage.endRun(runLease, endingOf("completed", 8));

    await storage.prune(everythingOld);

    assert.deepEqual(await checkpointOf(storage), { value: 7, version: 1 });
    assert.equal((await storage.readInbox("flow", { maxRecords: 10 })).length, 1);
    assert.equal((await take(storage)).run.trigger, "realtime");
  }),
];
