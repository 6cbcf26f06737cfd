import assert from "node:assert/strict";
import type { ImportPosition } from "../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  defined,
  endingOf,
  everything,
  failureOf,
  flowOf,
  idsOf,
  iso,
  on,
  pageOf,
  pauseOf,
  queue,
  runningForTwo,
  take,
} from "./harness.ts";

const first = { value: { after: 7 }, version: 1 };
const second = { value: { after: 14 }, version: 1 };
const position: ImportPosition = { _runId: "run of flow", pages: 1, checkpoint: first, at: at(3) };
const both = ["ledger", "mailer"];

/** What {@link PlaceStorage} promises, and what commits and changes of a flow make of places. */
export const placeStorageCases: readonly StorageCase[] = [
  on("commitPage moves the places of several imports together, and each by itself", async (storage) => {
    const { runLease } = await runningForTwo(storage);

    await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: both, checkpoint: first, position }] }));
    const together = await storage.findPlaces("flow");
    const pause = pauseOf(60);
    const apart = [
      { _importIds: ["ledger"], checkpoint: second },
      { _importIds: ["mailer"], behind: true, pause },
    ];
    await storage.commitPage(runLease, pageOf(2, { places: apart }));

    const place = { checkpoint: first, position, movedAt: at(1) };
    assert.deepEqual(together, { ledger: place, mailer: place });
    assert.deepEqual(await storage.findPlaces("flow"), {
      ledger: { ...place, checkpoint: second, movedAt: at(2) },
      mailer: { ...place, behind: true, pause, movedAt: at(2) },
    });
  }),

  on(
    "commitPage leaves what a change of a place does not name, and takes away what it says is null",
    async (storage) => {
      const { runLease } = await runningForTwo(storage);
      const full = { checkpoint: first, position, behind: true, pause: pauseOf(60) };
      await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: ["ledger"], ...full }] }));

      await storage.commitPage(runLease, pageOf(2, { places: [{ _importIds: ["ledger"] }] }));
      const kept = await storage.findPlaces("flow");
      const less = { _importIds: ["ledger"], position: null, behind: false, pause: null };
      await storage.commitPage(runLease, pageOf(3, { places: [less] }));

      assert.deepEqual(kept, { ledger: { ...full, movedAt: at(2) } });
      assert.deepEqual(await storage.findPlaces("flow"), { ledger: { checkpoint: first, movedAt: at(3) } });
    },
  ),

  on(
    "commits are numbered, not pages: the last one again changes nothing, and none can be left out",
    async (storage) => {
      const { runLease } = await runningForTwo(storage);
      const part = pageOf(1, { processed: 0, places: [{ _importIds: ["ledger"], checkpoint: first }] });
      await storage.commitPage(runLease, part);
      const committed = await storage.commitPage(runLease, pageOf(2, { processed: 1 }));
      const before = await everything(storage);

      const changes = { failures: [failureOf("1")], places: [{ _importIds: both, checkpoint: second }] };
      const again = await storage.commitPage(runLease, pageOf(2, changes));
      const ahead = await storage.commitPage(runLease, pageOf(4, changes));

      assert.deepEqual([again?.run, ahead], [committed?.run, undefined]);
      assert.equal(again?.run.numPagesProcessed, 1);
      assert.deepEqual(await everything(storage), before);
      await storage.releaseRun(runLease);
      assert.equal((await take(storage, "flow", "second")).commits, 2);
    },
  ),

  on("commitPage of a run whose flow reads another export by now moves no place", async (storage) => {
    const { runLease, flow } = await runningForTwo(storage);
    await storage.replaceFlow({ ...flow, _exportId: "parcels" }, { expected: iso(0), reschedule: false, at: at(5) });

    const page = pageOf(1, { places: [{ _importIds: both, checkpoint: first }], failures: [failureOf("1")] });
    const committed = await storage.commitPage(runLease, page);
    await storage.endRun(runLease, endingOf("completed", 6, { places: [{ _importIds: both, checkpoint: first }] }));

    assert.equal(committed?.run.numSuccess, 3);
    assert.deepEqual(await storage.findPlaces("flow"), {});
    assert.deepEqual(await storage.findFailure("1"), failureOf("1"));
  }),

  on(
    "setCheckpoint moves the imports that it names, gives up their positions, and leaves the others",
    async (storage) => {
      const { runLease } = await runningForTwo(storage);
      const places = [{ _importIds: both, checkpoint: first, position, behind: true, pause: pauseOf() }];
      await storage.commitPage(runLease, pageOf(1, { places }));
      await storage.endRun(runLease, endingOf("failed", 4));
      const { ledger, mailer } = await storage.findPlaces("flow");

      assert.equal(await storage.setCheckpoint("flow", second, { _importIds: ["mailer"], at: at(50) }), true);

      const { position: _, behind: __, ...rest } = defined(mailer);
      assert.deepEqual(await storage.findPlaces("flow"), {
        ledger,
        mailer: { ...rest, checkpoint: second, movedAt: at(50) },
      });
    },
  ),

  on("setCheckpoint returns false, and changes nothing, while a begun run waits to be resumed", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    await storage.releaseRun(runLease);

    assert.equal(await storage.setCheckpoint("flow", second, { _importIds: both, at: at(50) }), false);

    assert.deepEqual(await storage.findPlaces("flow"), {});
  }),

  on("cancelRun with `discard` leaves the positions to another run of the flow that has begun", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    for (const _id of ["waits", "waits, too"]) await queue(storage, _id);
    await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: both, checkpoint: first, position }] }));
    const positionNow = async () => (await storage.findPlaces("flow")).ledger?.position;

    await storage.cancelRun("waits", { at: at(9), discard: true });
    const whileActive = await positionNow();
    await storage.releaseRun(runLease);
    await storage.cancelRun("waits, too", { at: at(10), discard: true });
    const whileBegun = await positionNow();
    await storage.cancelRun("run of flow", { at: at(11), discard: true });

    assert.deepEqual([whileActive, whileBegun, await positionNow()], [position, position, undefined]);
  }),

  on(
    "cancelRun with `discard` gives up the flow's positions when the run is canceled, and no checkpoint",
    async (storage) => {
      const places = [{ _importIds: both, checkpoint: first, position, behind: true }];
      for (const [_id, status] of Object.entries({ waits: "queued", runs: "running" })) {
        const { runLease } = await runningForTwo(storage, _id);
        await storage.commitPage(runLease, pageOf(1, { places }));
        if (status === "queued") await storage.releaseRun(runLease);

        const canceled = await storage.cancelRun(`run of ${_id}`, { at: at(9), discard: true });
        if (status === "running") await storage.endRun(runLease, endingOf("completed", 10));

        const place = { checkpoint: first, movedAt: at(1) };
        assert.equal(canceled?.discard, true);
        assert.deepEqual(await storage.findPlaces(_id), { ledger: place, mailer: place });
      }
    },
  ),

  on("endPauses ends the pauses of the imports it names, and returns those that were paused", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    const pause = pauseOf(60);
    await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: both, checkpoint: first, pause }] }));

    const ended = await storage.endPauses("flow", ["mailer", "nobody", "mailer"]);

    const place = { checkpoint: first, movedAt: at(1) };
    assert.deepEqual(ended, ["mailer"]);
    assert.deepEqual(await storage.findPlaces("flow"), { ledger: { ...place, pause }, mailer: place });
    assert.deepEqual(await storage.endPauses("flow", ["mailer"]), []);
    assert.deepEqual(await storage.endPauses("nobody", ["mailer"]), []);
  }),

  on("resumableFlows returns, ascending, enabled flows with a pause that ends by itself by then", async (storage) => {
    const pauses = { d: [60, 60], b: [undefined, 50], a: [61], c: [undefined], off: [10] };
    for (const [_id, resumes] of Object.entries(pauses)) {
      const { runLease } = await runningForTwo(storage, _id);
      const places = resumes.map((resumeAt, index) => ({
        _importIds: both.slice(index, index + 1),
        pause: pauseOf(resumeAt),
      }));
      await storage.commitPage(runLease, pageOf(1, { places }));
    }
    const off = flowOf("off", { _importIds: both, disabled: true });
    await storage.replaceFlow(off, { expected: iso(0), reschedule: false, at: at(5) });

    assert.deepEqual(await storage.resumableFlows(at(60), 10), ["b", "d"]);
    assert.deepEqual(await storage.resumableFlows(at(61), 2), ["a", "b"]);
    assert.deepEqual(await storage.resumableFlows(at(61), 10, "b"), ["d"]);
  }),

  on(
    "nextResumeAt returns when the first pause after the instant ends by itself, of enabled flows",
    async (storage) => {
      assert.equal(await storage.nextResumeAt(0), undefined);
      for (const [_id, resumeAt] of Object.entries({ a: 60, b: 50, c: undefined, off: 40 })) {
        const { runLease } = await runningForTwo(storage, _id);
        await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: both, pause: pauseOf(resumeAt) }] }));
      }
      const off = flowOf("off", { _importIds: both, disabled: true });
      await storage.replaceFlow(off, { expected: iso(0), reschedule: false, at: at(5) });

      assert.equal(await storage.nextResumeAt(0), at(50));
      assert.equal(await storage.nextResumeAt(at(50)), at(60));
      assert.equal(await storage.nextResumeAt(at(60)), undefined);
    },
  ),

  on(
    "replaceFlow with another export is `unread`, and changes nothing, while the inbox holds pages",
    async (storage) => {
      const flow = await addFlow(storage);
      for (const _id of ["1", "2"]) await append(storage, arrivalOf(_id));
      const before = await everything(storage);

      const change = { expected: iso(0), reschedule: true, at: at(5) };
      const replaced = await storage.replaceFlow({ ...flow, _exportId: "parcels", lastModified: iso(5) }, change);

      assert.deepEqual(replaced, { outcome: "unread", pages: 2 });
      assert.deepEqual(await everything(storage), before);
    },
  ),

  on("replaceFlow with another export takes the places away, and cancels a begun run that waits", async (storage) => {
    const { flow, runLease } = await runningForTwo(storage);
    const places = [{ _importIds: both, checkpoint: first, position, pause: pauseOf(60) }];
    await storage.commitPage(runLease, pageOf(1, { places, failures: [failureOf("1")] }));
    await queue(storage, "next");
    await storage.releaseRun(runLease);

    const change = { expected: iso(0), reschedule: false, at: at(5) };
    const replaced = await storage.replaceFlow({ ...flow, _exportId: "parcels" }, change);

    assert.ok(replaced.outcome === "replaced");
    assert.deepEqual(idsOf(replaced.canceled), ["run of flow"]);
    assert.deepEqual(await storage.findRun("run of flow"), replaced.canceled[0]);
    assert.deepEqual(await storage.findPlaces("flow"), {});
    assert.deepEqual(await storage.findFailure("1"), failureOf("1"));
    assert.equal((await take(storage, "flow", "second")).run._id, "next");
  }),

  on("replaceFlow lets an added import join at the place moved last, and in the inbox from now on", async (storage) => {
    const { flow, runLease } = await runningForTwo(storage);
    const apart = [{ _importIds: ["ledger"], checkpoint: first }];
    await storage.commitPage(runLease, pageOf(1, { places: apart }));
    const later = [{ _importIds: ["mailer"], checkpoint: second, position, behind: true, pause: pauseOf(60) }];
    await storage.commitPage(runLease, pageOf(2, { places: later }));
    for (const _id of ["1", "2"]) await append(storage, arrivalOf(_id));
    const { ledger, mailer } = await storage.findPlaces("flow");
    const [, newest] = await storage.readInbox("flow", { maxRecords: 10 });

    const added = { ...flow, _importIds: [...both, "archive"] };
    await storage.replaceFlow(added, { expected: iso(0), reschedule: false, at: at(5) });

    const archive = { checkpoint: second, inbox: defined(newest).cursor };
    assert.deepEqual(await storage.findPlaces("flow"), { archive, ledger, mailer });
  }),

  on(
    "replaceFlow takes the place of a removed import away, and resolves its failures as `removed`",
    async (storage) => {
      const { flow, runLease } = await runningForTwo(storage);
      await append(storage, arrivalOf("1"));
      const [page] = await storage.readInbox("flow", { maxRecords: 10 });
      const failures = [failureOf("1"), failureOf("2", { _importId: "mailer", retryAt: iso(60) })];
      const places = [
        { _importIds: both, checkpoint: first },
        { _importIds: ["ledger"], inbox: defined(page).cursor },
      ];
      await storage.commitPage(runLease, pageOf(1, { places: places.slice(0, 1), failures }));
      await storage.commitPage(runLease, pageOf(2, { places: places.slice(1) }));

      const { _importIds: _, ...alone } = flow;
      await storage.replaceFlow(alone, { expected: iso(0), reschedule: false, at: at(5) });

      const { retryAt: __, ...removed } = defined(failures[1]);
      assert.deepEqual(Object.keys(await storage.findPlaces("flow")), ["ledger"]);
      assert.deepEqual(await storage.findFailure("2"), {
        ...removed,
        ...{ status: "resolved", resolvedAt: iso(5), resolvedBy: "removed" },
      });
      assert.equal((await storage.findFailure("1"))?.status, "open");
      assert.deepEqual(await storage.readInbox("flow", { maxRecords: 10 }), []);
    },
  ),

  on("commitPage resolves what failed at an import that the flow has lost meanwhile as `removed`", async (storage) => {
    const { flow, runLease } = await runningForTwo(storage);
    const { _importIds: _, ...alone } = flow;
    await storage.replaceFlow(alone, { expected: iso(0), reschedule: false, at: at(5) });
    const lost = failureOf("2", { _importId: "mailer", retryAt: iso(60) });

    const committed = await storage.commitPage(runLease, pageOf(1, { at: at(6), failures: [failureOf("1"), lost] }));

    const { retryAt: __, ...removed } = lost;
    const resolved = { ...removed, status: "resolved", resolvedAt: iso(6), resolvedBy: "removed" };
    assert.deepEqual(committed?.failures, [failureOf("1"), resolved]);
    assert.deepEqual(await storage.findFailure("2"), resolved);
    assert.equal((await storage.findFailure("1"))?.status, "open");
  }),
];
