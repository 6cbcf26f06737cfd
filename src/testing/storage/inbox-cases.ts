import assert from "node:assert/strict";
import {
  type StorageCase,
  addFlow,
  append,
  arrivalOf,
  at,
  defined,
  everything,
  flowOf,
  idsOf,
  inboxRecords,
  iso,
  on,
  pageOf,
  queue,
  realtimeStart,
  richRecord,
  roomy,
  take,
  moving,
  endingOf,
} from "./harness.ts";

const bothStarts = [realtimeStart("a's run", "a"), realtimeStart("b's run", "b")];

/** What {@link InboxStorage} promises. */
export const inboxStorageCases: readonly StorageCase[] = [
  on("appendInbox adds the page to the inbox of each flow it is for, and queues a run for each", async (storage) => {
    for (const _id of ["a", "b", "bystander"]) await addFlow(storage, _id);

    const flows = await append(storage, arrivalOf("arrival", { starts: bothStarts }));

    assert.deepEqual(flows, [
      { _flowId: "a", duplicates: 0, pages: 1, run: await storage.findRun("a's run") },
      { _flowId: "b", duplicates: 0, pages: 1, run: await storage.findRun("b's run") },
    ]);
    assert.deepEqual([flows[0]?.run?.trigger, flows[0]?.run?.status], ["realtime", "queued"]);
    const records = [{ event: "arrival one" }, { event: "arrival two" }];
    assert.deepEqual(await inboxRecords(storage, "a"), records);
    assert.deepEqual(await inboxRecords(storage, "b"), records);
    assert.deepEqual(await inboxRecords(storage, "bystander"), []);
  }),

  on("appendInbox leaves flows out that are gone, disabled, or use another export by now", async (storage) => {
    await addFlow(storage, "disabled", { disabled: true });
    await addFlow(storage, "elsewhere", { _exportId: "parcels" });
    const starts = ["disabled", "elsewhere", "nobody"].map((_id) => realtimeStart(`run of ${_id}`, _id));

    const flows = await append(storage, arrivalOf("arrival", { starts }));

    assert.deepEqual(flows, []);
    assert.deepEqual(await inboxRecords(storage, "disabled"), []);
    assert.deepEqual(await inboxRecords(storage, "elsewhere"), []);
    assert.deepEqual((await storage.listRuns({ limit: 10 })).items, []);
  }),

  on("appendInbox queues no run while a realtime run waits, and one while it runs", async (storage) => {
    await addFlow(storage);
    await queue(storage, "manual");

    const [first] = await append(storage, arrivalOf("1"));
    const [second] = await append(storage, arrivalOf("2"));
    const manual = await take(storage, "flow", "manual's");
    await storage.endRun(manual.runLease, endingOf("completed", 3));
    await take(storage, "flow", "realtime's");
    const [third] = await append(storage, arrivalOf("3"));

    assert.deepEqual([first?.run?._id, second?.run, third?.run?._id], ["start of 1", undefined, "start of 3"]);
    assert.equal((await inboxRecords(storage)).length, 6);
  }),

  on("appendInbox queues no run for nothing but duplicates when the inbox is empty", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1", { ids: ["x", "y"] }));
    const { runLease } = await take(storage);
    const inboxThrough = defined((await storage.readInbox("flow", { maxRecords: 10 })).at(-1)).cursor;
    await storage.commitPage(runLease, pageOf(1, { ...moving({ inbox: inboxThrough }) }));
    await storage.endRun(runLease, endingOf("completed", 3));

    const [again] = await append(storage, arrivalOf("2", { ids: ["x", "y"] }));

    assert.deepEqual(again, { _flowId: "flow", duplicates: 2, pages: 0 });
    assert.deepEqual(await storage.unreadInboxes(10), []);
    assert.deepEqual(await storage.waitingFlows(10), []);
  }),

  on("appendInbox drops a record whose event id was seen, in the same arrival or an earlier one", async (storage) => {
    await addFlow(storage);

    const [first] = await append(storage, arrivalOf("1", { records: ["a", "b", "a again"], ids: ["A", "B", "A"] }));
    const [second] = await append(storage, arrivalOf("2", { records: ["b again", "c"], ids: ["B", "C"] }));
    const [third] = await append(storage, arrivalOf("3", { records: ["c again"], ids: ["C"] }));

    assert.deepEqual([first?.duplicates, second?.duplicates, third?.duplicates], [1, 1, 1]);
    assert.deepEqual(await inboxRecords(storage), ["a", "b", "c"]);
  }),

  on("appendInbox remembers event ids for each flow by itself", async (storage) => {
    await addFlow(storage, "a");
    await append(storage, arrivalOf("1", { ids: ["x", "y"], starts: [realtimeStart("a's", "a")] }));
    await addFlow(storage, "b");

    const flows = await append(storage, arrivalOf("2", { ids: ["x", "y"], starts: bothStarts }));

    assert.deepEqual(
      flows.map(({ _flowId, duplicates }) => [_flowId, duplicates]),
      [
        ["a", 2],
        ["b", 0],
      ],
    );
    assert.equal((await inboxRecords(storage, "b")).length, 2);
  }),

  on("appendInbox knows an event id that it saw at `dedupeAfter`, and has forgotten older ones", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1", { records: ["old"], ids: ["old"], at: at(10) }));
    await append(storage, arrivalOf("2", { records: ["recent"], ids: ["recent"], at: at(20) }));

    const arrival = arrivalOf("3", { records: ["old", "recent"], ids: ["old", "recent"], at: at(30) });
    const [later] = await append(storage, arrival, { ...roomy, dedupeAfter: at(20) });

    assert.equal(later?.duplicates, 1);
    assert.deepEqual(await inboxRecords(storage), ["old", "recent", "old"]);
  }),

  on("appendInbox remembers event ids when their records have been read and settled", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1", { ids: ["x", "y"] }));
    const { runLease } = await take(storage);
    const inboxThrough = defined((await storage.readInbox("flow", { maxRecords: 10 })).at(-1)).cursor;
    await storage.commitPage(runLease, pageOf(1, { ...moving({ inbox: inboxThrough }) }));

    const [again] = await append(storage, arrivalOf("2", { ids: ["y", "z"] }));

    assert.equal(again?.duplicates, 1);
    assert.deepEqual(await inboxRecords(storage), [{ event: "2 two" }]);
  }),

  on(
    "appendInbox of an arrival that waits already adds it no second time, and queues no second run",
    async (storage) => {
      await addFlow(storage);
      const [first] = await append(storage, arrivalOf("arrival"));

      await append(storage, arrivalOf("arrival"));
      await take(storage);
      const [whileRunning] = await append(storage, arrivalOf("arrival"));

      assert.equal((await inboxRecords(storage)).length, 2);
      assert.deepEqual(idsOf((await storage.listRuns({ limit: 10 })).items), [defined(first?.run)._id]);
      assert.equal((await storage.findRun("start of arrival"))?.status, "running");
      assert.deepEqual([first?.duplicates, whileRunning?.duplicates], [0, 0]);
    },
  ),

  on("appendInbox of an arrival that waits already is not refused because it filled the inbox", async (storage) => {
    await addFlow(storage);
    const rule = { ...roomy, maxInboxPages: 1 };
    await append(storage, arrivalOf("arrival"), rule);

    const again = await storage.appendInbox(arrivalOf("arrival"), rule);

    assert.equal(again.outcome, "appended");
    assert.equal((await inboxRecords(storage)).length, 2);
  }),

  {
    title: "appendInbox of one event by two at once keeps it once",
    async run({ storage, other }) {
      await addFlow(storage);

      const results = await Promise.all([
        append(storage, arrivalOf("1", { records: ["one"], ids: ["x"] })),
        append(other, arrivalOf("2", { records: ["two"], ids: ["x"] })),
      ]);

      assert.deepEqual(
        results
          .flat()
          .map(({ duplicates }) => duplicates)
          .sort(),
        [0, 1],
      );
      assert.equal((await inboxRecords(storage)).length, 1);
    },
  },

  on(
    "appendInbox takes nothing in for any flow if one inbox holds maxInboxPages, event ids included",
    async (storage) => {
      for (const _id of ["a", "b"]) await addFlow(storage, _id);
      await append(storage, arrivalOf("1", { starts: [realtimeStart("b's run", "b")] }));
      const before = await everything(storage);
      const arrival = arrivalOf("2", {
        ids: ["x", "y"],
        starts: [realtimeStart("a's", "a"), realtimeStart("b's", "b")],
      });

      const full = await storage.appendInbox(arrival, { ...roomy, maxInboxPages: 1 });

      assert.deepEqual(full, { outcome: "full", _flowId: "b", _importId: "ledger" });
      assert.deepEqual(await everything(storage), before);
      assert.deepEqual(await inboxRecords(storage, "a"), []);
      const flows = await append(storage, arrival, { ...roomy, maxInboxPages: 2 });
      assert.deepEqual(
        flows.map(({ duplicates }) => duplicates),
        [0, 0],
      );
    },
  ),

  on(
    "appendInbox that cannot store one of its records rejects, and takes nothing in, event ids included",
    async (storage) => {
      await addFlow(storage);
      const before = await everything(storage);
      const records = [{ event: "good" }, { unstorable: () => undefined }];

      await assert.rejects(storage.appendInbox(arrivalOf("1", { records, ids: ["x", "y"] }), roomy));

      assert.deepEqual(await everything(storage), before);
      const [retried] = await append(storage, arrivalOf("2", { ids: ["x", "y"] }));
      assert.equal(retried?.duplicates, 0);
    },
  ),

  on("readInbox returns where a page came from, and none for one that came from nowhere", async (storage) => {
    await addFlow(storage);
    const origin = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const starts = [{ ...realtimeStart("start"), origin }];
    await append(storage, arrivalOf("1", { origin, starts }));
    await append(storage, arrivalOf("2"));

    const [first, second] = await storage.readInbox("flow", { maxRecords: 10 });
    const run = await storage.findRun("start");
    const { run: claimed } = await take(storage);

    assert.equal(first?.origin, origin);
    assert.equal(defined(second).origin, undefined);
    assert.deepEqual([run?.origin, claimed.origin], [origin, origin]);
  }),

  on("readInbox returns keys: a record's event id, or else its arrival's id and its place in it", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1", { ids: ["x", "y"] }));
    await append(storage, arrivalOf("2", { ids: ["y", "z"] }));
    await append(storage, arrivalOf("3"));

    const keys = (await storage.readInbox("flow", { maxRecords: 10 })).map((page) => page.keys);

    assert.deepEqual(keys, [["x", "y"], ["z"], ["3/0", "3/1"]]);
  }),

  on("readInbox returns the oldest entries, whole pages, until there are maxRecords or more", async (storage) => {
    await addFlow(storage);
    for (const _id of ["1", "2", "3", "4"]) await append(storage, arrivalOf(_id));
    const read = async (maxRecords: number) =>
      (await storage.readInbox("flow", { maxRecords })).map(({ records }) => records.length);

    assert.deepEqual([await read(1), await read(2), await read(3), await read(100)], [[2], [2], [2, 2], [2, 2, 2, 2]]);
    assert.deepEqual(await storage.readInbox("nobody", { maxRecords: 10 }), []);
  }),

  on("readInbox returns no more than about 16 MB of records at once, but one page at least", async (storage) => {
    await addFlow(storage);
    for (const _id of ["1", "2", "3"]) await append(storage, arrivalOf(_id, { records: [_id.repeat(9_000_000)] }));

    const sizes: number[] = [];
    let after: string | undefined;
    do {
      const pages = await storage.readInbox("flow", { maxRecords: 10, ...(after === undefined ? {} : { after }) });
      after = pages.at(-1)?.cursor;
      sizes.push(pages.length);
    } while (after !== undefined);

    assert.deepEqual(sizes, [1, 1, 1, 0]);
  }),

  on("readInbox goes on after a cursor, also when that entry was removed meanwhile", async (storage) => {
    await addFlow(storage);
    for (const _id of ["1", "2", "3"]) await append(storage, arrivalOf(_id, { records: [_id] }));
    const [first, second] = await storage.readInbox("flow", { maxRecords: 2 });
    const { runLease } = await take(storage);

    const before = await storage.readInbox("flow", { maxRecords: 10, after: defined(first).cursor });
    await storage.commitPage(runLease, pageOf(1, { ...moving({ inbox: defined(second).cursor }) }));
    const after = await storage.readInbox("flow", { maxRecords: 10, after: defined(second).cursor });

    assert.deepEqual(
      before.flatMap(({ records }) => records),
      ["2", "3"],
    );
    assert.deepEqual(
      after.flatMap(({ records }) => records),
      ["3"],
    );
  }),

  on(
    "a record that arrived reads back deeply equal: dates, maps, sets, big integers and bytes included",
    async (storage) => {
      await addFlow(storage);

      await append(storage, arrivalOf("1", { records: [richRecord(), "just a string", null] }));

      assert.deepEqual(await inboxRecords(storage), [richRecord(), "just a string", null]);
    },
  ),

  on(
    "unreadInboxes returns, ascending, enabled flows with pages and neither a waiting nor an active realtime run",
    async (storage) => {
      const _ids = ["b", "waiting", "active", "disabled", "a"];
      for (const _id of [..._ids, "empty"]) await addFlow(storage, _id);
      await append(storage, arrivalOf("1", { starts: _ids.map((_id) => realtimeStart(`run of ${_id}`, _id)) }));
      for (const _id of ["a", "b", "disabled"]) await storage.cancelRun(`run of ${_id}`, { at: at(3) });
      await queue(storage, "another trigger", "a");
      await take(storage, "active");
      await storage.replaceFlow(flowOf("disabled", { disabled: true, lastModified: iso(9) }), {
        ...{ expected: iso(0), reschedule: true, at: at(9) },
      });

      assert.deepEqual(await storage.unreadInboxes(10), ["a", "b"]);
      assert.deepEqual(await storage.unreadInboxes(1), ["a"]);
      assert.deepEqual(await storage.unreadInboxes(10, "a"), ["b"]);
    },
  ),

  on("unreadInboxes leaves out an inbox that has been read to the end", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1"));
    const { runLease } = await take(storage);
    const inboxThrough = defined((await storage.readInbox("flow", { maxRecords: 10 })).at(-1)).cursor;
    await storage.endRun(runLease, endingOf("failed", 3));
    const before = await storage.unreadInboxes(10);
    await queue(storage, "next");
    const next = await take(storage, "flow", "next");

    await storage.commitPage(next.runLease, pageOf(1, { ...moving({ inbox: inboxThrough }) }));

    assert.deepEqual([before, await storage.unreadInboxes(10)], [["flow"], []]);
  }),

  on("a disabled flow keeps its inbox, which is read when it is enabled again", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("1"));
    const change = { reschedule: true, at: at(9) };
    await storage.replaceFlow(flowOf("flow", { disabled: true, lastModified: iso(9) }), {
      ...change,
      expected: iso(0),
    });

    await storage.replaceFlow(flowOf("flow", { lastModified: iso(10) }), { ...change, expected: iso(9) });

    assert.deepEqual(await storage.unreadInboxes(10), ["flow"]);
    assert.equal((await inboxRecords(storage)).length, 2);
  }),

  on("a run that a flow's inbox started is taken like any other", async (storage) => {
    await addFlow(storage);
    await append(storage, arrivalOf("arrival"));

    const { run } = await take(storage);

    assert.deepEqual([run._id, run.trigger], ["start of arrival", "realtime"]);
  }),
];
