import assert from "node:assert/strict";
import type { Storage } from "../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  defined,
  failureOf,
  idsOf,
  inboxRecords,
  on,
  pageOf,
  pauseOf,
  realtimeStart,
  roomy,
  runningForTwo,
} from "./harness.ts";

const both = ["ledger", "mailer"];

// Three pages, `1` to `3`, in the inbox of a flow to two imports whose run is active.
async function filled(storage: Storage) {
  const { runLease } = await runningForTwo(storage);
  for (const _id of ["1", "2", "3"]) await append(storage, arrivalOf(_id, { records: [_id] }));
  const pages = await storage.readInbox("flow", { maxRecords: 10 });
  const cursorOf = (index: number) => defined(pages[index]).cursor;
  return { runLease, cursorOf };
}

/** What {@link InboxStorage} promises of the places that imports have in an inbox. */
export const inboxImportStorageCases: readonly StorageCase[] = [
  on("a page of an inbox goes when every import of the flow has settled it", async (storage) => {
    const { runLease, cursorOf } = await filled(storage);

    await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: ["ledger"], inbox: cursorOf(2) }] }));
    const afterOne = await inboxRecords(storage);
    await storage.commitPage(runLease, pageOf(2, { places: [{ _importIds: ["mailer"], inbox: cursorOf(1) }] }));

    assert.deepEqual(afterOne, ["1", "2", "3"]);
    assert.deepEqual(await inboxRecords(storage), ["3"]);
    const { ledger, mailer } = await storage.findPlaces("flow");
    assert.deepEqual([ledger?.inbox, mailer?.inbox], [cursorOf(2), cursorOf(1)]);
  }),

  on(
    "dropInbox for an import leaves the page out of what it reads; the page goes when no import is left",
    async (storage) => {
      const { runLease, cursorOf } = await filled(storage);

      const dropped = await storage.dropInbox("flow", { _ids: ["2", "nobody", "2"], _importId: "ledger" });

      const read = async (_importId?: string) => {
        const query = { maxRecords: 10, ...(_importId === undefined ? {} : { _importId }) };
        return idsOf(await storage.readInbox("flow", query));
      };
      assert.deepEqual(dropped, ["2"]);
      assert.deepEqual(
        [await read("ledger"), await read("mailer")],
        [
          ["1", "3"],
          ["1", "2", "3"],
        ],
      );
      const [, second] = await storage.readInbox("flow", { maxRecords: 10 });
      assert.deepEqual(second?.droppedFor, ["ledger"]);
      await storage.dropInbox("flow", { _ids: ["2"], _importId: "mailer" });
      assert.deepEqual(await read(), ["1", "3"]);
      await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: ["mailer"], inbox: cursorOf(2) }] }));
      await storage.dropInbox("flow", { _ids: ["3"], _importId: "ledger" });
      assert.deepEqual(await read(), ["1"]);
    },
  ),

  on("a page that was dropped for an import goes once the others have settled it", async (storage) => {
    const { runLease, cursorOf } = await filled(storage);
    await storage.dropInbox("flow", { _ids: ["3"], _importId: "ledger" });

    await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: ["ledger"], inbox: cursorOf(0) }] }));
    await storage.commitPage(runLease, pageOf(2, { places: [{ _importIds: ["mailer"], inbox: cursorOf(2) }] }));

    assert.deepEqual(await inboxRecords(storage), ["2"]);
  }),

  on("dropInbox for all imports removes the pages, and leaves the others", async (storage) => {
    await filled(storage);

    const dropped = await storage.dropInbox("flow", { _ids: ["3", "nobody", "1"] });

    assert.deepEqual([...dropped].sort(), ["1", "3"]);
    assert.deepEqual(await inboxRecords(storage), ["2"]);
    assert.deepEqual(await storage.dropInbox("flow", { _ids: ["3"] }), []);
    assert.deepEqual(await storage.dropInbox("nobody", { _ids: ["2"] }), []);
  }),

  on("appendInbox that is full names the import that has the most to settle", async (storage) => {
    const { runLease, cursorOf } = await filled(storage);
    await storage.commitPage(runLease, pageOf(1, { places: [{ _importIds: ["ledger"], inbox: cursorOf(1) }] }));

    const full = await storage.appendInbox(arrivalOf("4"), { ...roomy, maxInboxPages: 3 });

    assert.deepEqual(full, { outcome: "full", _flowId: "flow", _importId: "mailer" });
  }),

  on(
    "appendInbox stores the failures of an arrival for the flows that take it in, and none if it is full",
    async (storage) => {
      await addFlow(storage);
      const failures = [failureOf("1"), failureOf("2", { _flowId: "nobody" })];
      const starts = [realtimeStart("start"), realtimeStart("another", "nobody")];

      await append(storage, arrivalOf("1", { failures, starts }));
      const alone = await append(storage, arrivalOf("2", { records: [], failures: [failureOf("3")] }));
      const full = arrivalOf("3", { failures: [failureOf("4")] });
      const refused = await storage.appendInbox(full, { ...roomy, maxInboxPages: 1 });

      assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [failureOf("1"), failureOf("3")]);
      assert.deepEqual([alone[0]?.pages, refused.outcome], [1, "full"]);
    },
  ),

  on("no realtime run is queued, or asked for, while every import with unread pages is paused", async (storage) => {
    const { runLease, cursorOf } = await filled(storage);
    await storage.cancelRun("start of 1", { at: 9 });
    const places = [
      { _importIds: ["ledger"], pause: pauseOf() },
      { _importIds: ["mailer"], inbox: cursorOf(2) },
    ];
    await storage.commitPage(runLease, pageOf(1, { places }));

    const unread = await storage.unreadInboxes(10);
    await storage.commitPage(runLease, pageOf(2, { places: [{ _importIds: both, pause: pauseOf() }] }));
    const [paused] = await append(storage, arrivalOf("4"));
    await storage.endPauses("flow", ["mailer"]);
    const [resumed] = await append(storage, arrivalOf("5"));

    assert.deepEqual([unread, paused?.run, resumed?.run?._id], [[], undefined, "start of 5"]);
    assert.equal(paused?.pages, 4);
  }),
];
