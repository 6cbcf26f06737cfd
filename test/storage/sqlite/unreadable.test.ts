import { describe, expect, test } from "vitest";
import type { UnreadableRow } from "../../../src/storage/storage.ts";
import { type SqliteDatabase, openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { createHandler } from "../../../src/http/index.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { ManualClock, arrayExport, collectingImport } from "../../../src/testing/index.ts";
import {
  arrivalOf,
  at,
  endingOf,
  failureOf,
  flowOf,
  idsOf,
  iso,
  moving,
  pageOf,
  realtimeStart,
  roomy,
  startOf,
  tickOf,
} from "../../../src/testing/storage/harness.ts";
import { Harness, minute, noon, upTo } from "../../support/harness.ts";

function open() {
  const database = openDatabase(":memory:");
  const storage = new SqliteStorage(database);
  const left: string[] = [];
  storage.unreadable.listen(({ _id, table }: UnreadableRow) => left.push(`${table} ${_id}`));
  return { database, storage, left };
}

function damage(database: SqliteDatabase, table: string, _id: string, column = "doc", value = "'{broken'"): void {
  const id = table === "inbox" ? "arrival_id" : table === "places" ? "import_id" : "id";
  database.exec(`update poundlock_${table} set ${column} = ${value} where ${id} = '${_id}'`);
}

const lease = { token: "token", at: at(2), until: at(30) };
const rule = { now: at(60), maxCrashes: 3, error: { code: "lease_lost", message: "it died" }, limit: 10 };

describe("a flow that cannot be read", () => {
  async function flows() {
    const opened = open();
    for (const _id of ["a", "b", "c"])
      await opened.storage.insertFlow(flowOf(_id, { schedule: "* * * * *", nextRunAt: iso(5) }));
    damage(opened.database, "flows", "b");
    return opened;
  }

  test("is left out of lists, which name it", async () => {
    const { storage, left } = await flows();

    expect(await storage.listFlows({ limit: 2 })).toMatchObject({
      items: [{ _id: "a" }],
      next: "b",
      unreadable: ["b"],
    });
    expect(idsOf((await storage.listFlows({ limit: 2, after: "b" })).items)).toEqual(["c"]);
    expect(left).toEqual(["flows b"]);
  });

  test("is deleted as any other, and returned as its columns say", async () => {
    const { database, storage } = await flows();
    await storage.insertFlow(flowOf("d", { _integrationId: "acme", _importId: "b", _importIds: ["b", "a"] }));
    damage(database, "flows", "d");

    const [one, two] = [await storage.deleteFlow("b", { at: at(3) }), await storage.deleteFlow("d", { at: at(3) })];

    const { _exportId, _importId, lastModified } = flowOf("b");
    const times = { createdAt: lastModified, lastModified };
    expect(one).toMatchObject({ outcome: "deleted", flow: { _id: "b", name: "b", _exportId, _importId, ...times } });
    const flow = { _id: "d", name: "d", _exportId, _importId: "a", _importIds: ["a", "b"], _integrationId: "acme" };
    expect(two).toMatchObject({ outcome: "deleted", flow });
    expect(idsOf((await storage.listFlows({ limit: 9 })).items)).toEqual(["a", "c"]);
    expect(await storage.insertFlow(flowOf("b"))).toBe(true);
  });

  test("is deleted by the registry and over HTTP, after which its id is free", async () => {
    const database = openDatabase(":memory:");
    const storage = new SqliteStorage(database);
    const { registry, scheduler } = new Harness({
      ...{ exports: { from: arrayExport(upTo(2)) }, imports: { sink: collectingImport<number>() }, storage },
    });
    const input = { name: "Broken", _exportId: "from", _importId: "sink" } as const;
    for (const _id of ["a", "b"]) {
      await registry.define(_id, input);
      damage(database, "flows", _id);
    }
    const handler = createHandler({ scheduler, authorize: () => true });

    await registry.delete("a");
    const response = await handler(new Request("http://here/flows/b", { method: "DELETE" }));

    expect(response.status).toBe(204);
    for (const _id of ["a", "b"]) expect(await registry.define(_id, input)).toMatchObject({ _id, name: "Broken" });
  });

  test("is left out of what is due and scheduled, where the next one comes in its place", async () => {
    const { storage, left } = await flows();

    expect(idsOf(await storage.dueFlows(at(5), 2))).toEqual(["a", "c"]);
    expect((await storage.scheduledFlows(2)).map(({ flow }) => flow._id)).toEqual(["a", "c"]);
    expect(new Set(left)).toEqual(new Set(["flows b"]));
  });

  test.each([
    ["is no JSON", "'{'"],
    ["is no object", "'[]'"],
    ["is another flow's", `'{"_id":"a","_exportId":"orders","_importId":"ledger"}'`],
    ["has no export", `'{"_id":"b","_importId":"ledger"}'`],
  ])(
    "because its document %s, is an error that names it, and nothing of it, where it is asked for",
    async (_, value) => {
      const { database, storage } = await flows();
      damage(database, "flows", "b", "doc", value);

      await expect(storage.findFlow("b")).rejects.toMatchObject({
        code: "storage_failed",
        cause: {
          table: "flows",
          _id: "b",
          message: expect.stringMatching(/^row b of table poundlock_flows cannot be read: /) as string,
        },
      });
    },
  );

  test("because its times are none is left out, too", async () => {
    const { database, storage } = await flows();
    damage(database, "flows", "b", "due_at", "-9e18");

    expect(idsOf((await storage.listFlows({ limit: 9 })).items)).toEqual(["a", "c"]);
    expect(idsOf(await storage.dueFlows(at(5), 9))).toEqual(["a", "c"]);
  });

  test("claims nothing and says so, and gets what arrives, which waits for its repair", async () => {
    const { storage, left } = await flows();
    await storage.queueRun(startOf("run", "a"), roomy);
    const arrival = arrivalOf("x", { starts: [realtimeStart("r1", "a"), realtimeStart("r2", "b")] });

    const appended = await storage.appendInbox(arrival, { maxInboxPages: 10, dedupeAfter: 0 });

    expect(appended).toMatchObject({
      flows: [
        { _flowId: "a", run: { _id: "r1" } },
        { _flowId: "b", pages: 1 },
      ],
    });
    expect(await storage.claimRun("b", lease)).toBeUndefined();
    expect(await storage.readInbox("b", { maxRecords: 9 })).toMatchObject([{ _id: "x" }]);
    await expect(storage.queueRun(startOf("no", "b"), roomy)).rejects.toMatchObject({ cause: { _id: "b" } });
    expect(left).toEqual([]);
  });

  test("that is chained is skipped, and the run that leads to it ends", async () => {
    const { storage } = await flows();
    await storage.queueRun(startOf("run", "a"), roomy);
    await storage.claimRun("a", lease);
    const next = {
      starts: [startOf("n", "b", { trigger: "chained" }), startOf("m", "c", { trigger: "chained" })],
      maxQueued: 9,
    };

    const ended = await storage.endRun({ _runId: "run", token: "token" }, endingOf("completed", 3, { next }));

    expect(ended).toMatchObject({
      run: { status: "completed" },
      next: [{ outcome: "skipped", _flowId: "b" }, { outcome: "queued" }],
    });
  });
});

describe("a run that cannot be read", () => {
  async function runs(...ids: readonly string[]) {
    const opened = open();
    await opened.storage.insertFlow(flowOf("flow"));
    for (const _id of ids) await opened.storage.queueRun(startOf(_id), roomy);
    return opened;
  }

  test("is left out of lists, and is an error where it is asked for", async () => {
    const { database, storage, left } = await runs("a", "b", "c");
    damage(database, "runs", "b");

    expect(idsOf((await storage.listRuns({ limit: 9 })).items)).toEqual(["c", "a"]);
    expect(idsOf((await storage.listRuns({ limit: 9, _importId: "ledger" })).items)).toEqual(["c", "a"]);
    expect(await storage.listRuns({ limit: 2 })).toMatchObject({ items: [{ _id: "c" }], next: "2" });
    await expect(storage.findRun("b")).rejects.toMatchObject({ cause: { table: "runs", _id: "b" } });
    expect(new Set(left)).toEqual(new Set(["runs b"]));
  });

  test("and waits is passed over by the next one", async () => {
    const { database, storage, left } = await runs("a", "b");
    damage(database, "runs", "a", "doc", `'{"_id":"a","status":"completed","imports":{}}'`);

    expect(await storage.claimRun("flow", lease)).toMatchObject({ run: { _id: "b", status: "running" } });
    expect(left).toEqual(["runs a"]);
  });

  test("and is active is ended once its lease has run out, with all others reclaimed in the same call", async () => {
    const { database, storage, left } = await runs("a", "b");
    await storage.insertFlow(flowOf("other"));
    await storage.queueRun(startOf("o", "other"), roomy);
    await storage.claimRun("flow", lease);
    await storage.claimRun("other", { ...lease, token: "t", until: at(40) });
    damage(database, "runs", "a");

    expect(await storage.reclaimExpiredRuns({ ...rule, limit: 1 })).toMatchObject([{ _id: "o", status: "queued" }]);

    expect(left).toEqual(["runs a"]);
    expect(await storage.claimRun("flow", { ...lease, token: "u" })).toMatchObject({ run: { _id: "b" } });
    expect(await storage.renewLeases([{ _runId: "a", token: "token" }], at(90))).toEqual(["lost"]);
  });

  test("and waits takes in no due time, and another one is queued", async () => {
    const { database, storage } = await runs();
    await storage.insertFlow(flowOf("due", { schedule: "* * * * *", nextRunAt: iso(5) }));
    const buffer = { overlap: "bufferOne", maxQueued: 9 } as const;
    await storage.queueDue([tickOf("due", "t1", { dueAt: 5, nextDueAt: 6 })], buffer);
    await storage.queueDue([tickOf("due", "t2", { dueAt: 6, nextDueAt: 7 })], { overlap: "bufferAll", maxQueued: 9 });
    damage(database, "runs", "t2");

    const results = await storage.queueDue([tickOf("due", "t3", { dueAt: 7, nextDueAt: 8 })], buffer);

    expect(results).toMatchObject([{ outcome: "coalesced", run: { _id: "t1" } }]);
    damage(database, "runs", "t1");
    const skipping = await storage.queueDue([tickOf("due", "t4", { dueAt: 8, nextDueAt: 9 })], {
      overlap: "skip",
      maxQueued: 9,
    });
    expect(skipping).toEqual([{ outcome: "passed" }]);
  });

  test.each(["resume", "retry"] as const)("and waits stands in for no %s run", async (trigger) => {
    const { database, storage } = await runs();
    const retry = trigger === "retry" ? { retry: { _importId: "ledger", dueBy: iso(9) } } : {};
    await storage.queueRun(startOf("a", "flow", { trigger, ...retry }), roomy);
    damage(database, "runs", "a");

    const queued = await storage.queueRun(startOf("b", "flow", { trigger, ...retry }), roomy);

    expect(queued).toMatchObject({ outcome: "queued", run: { _id: "b" } });
  });

  test("ends with its flow, whether it waits or is active, and a new flow with that id begins", async () => {
    const { database, storage } = await runs("a", "b", "c");
    await storage.claimRun("flow", lease);
    for (const _id of ["a", "b"]) damage(database, "runs", _id);

    const deleted = await storage.deleteFlow("flow", { at: at(3) });

    expect(deleted).toMatchObject({ outcome: "deleted", canceled: [{ _id: "c" }] });
    await storage.insertFlow(flowOf("flow"));
    await storage.queueRun(startOf("d"), roomy);
    expect(await storage.claimRun("flow", { ...lease, token: "u" })).toMatchObject({ run: { _id: "d" } });
  });

  test("is removed by retention with all that leads to it", async () => {
    const { database, storage } = await runs("a", "b");
    damage(database, "runs", "a");
    await storage.deleteFlow("flow", { at: at(3) });

    expect(await storage.prune({ endedBefore: at(4), runsPerFlow: 9, limit: 9 })).toBe(2);

    for (const table of ["runs", "run_imports", "histories"])
      expect(database.prepare(`select * from poundlock_${table}`).all()).toEqual([]);
  });

  test("and has begun keeps nobody from setting the checkpoint of its flow", async () => {
    const { database, storage } = await runs("a");
    damage(database, "runs", "a");

    expect(await storage.setCheckpoint("flow", { value: 1, version: 1 }, { _importIds: ["ledger"], at: at(3) })).toBe(
      true,
    );
  });
});

describe("the place of an import that cannot be read", () => {
  test.each(["checkpoint", "position", "pause"])(
    "because of its %s keeps its flow waiting, not from the start, and no other",
    async (column) => {
      const { database, storage, left } = open();
      for (const _id of ["flow", "other"]) {
        await storage.insertFlow(flowOf(_id));
        await storage.queueRun(startOf(`run of ${_id}`, _id), roomy);
      }
      await storage.setCheckpoint("flow", { value: 7, version: 1 }, { _importIds: ["ledger"], at: at(1) });
      database.exec(`update poundlock_places set ${column} = '{' where flow_id = 'flow'`);

      expect(await storage.claimRun("flow", lease)).toBeUndefined();
      expect(await storage.claimRun("other", lease)).toMatchObject({ run: { status: "running" } });
      expect(left).toEqual(["places flow/ledger"]);
      await expect(storage.findPlaces("flow")).rejects.toMatchObject({ cause: { _id: "flow/ledger" } });
    },
  );

  test("is repaired by setting its checkpoint", async () => {
    const { database, storage } = open();
    await storage.insertFlow(flowOf("flow"));
    await storage.queueRun(startOf("run"), roomy);
    database.exec(`update poundlock_places set checkpoint = '{', version = 1, position = '{'`);

    await storage.setCheckpoint("flow", { value: 7, version: 1 }, { _importIds: ["ledger"], at: at(1) });

    expect(await storage.claimRun("flow", lease)).toMatchObject({ places: { ledger: { checkpoint: { value: 7 } } } });
  });

  test("is that of a run of its own, and the next run begins", async () => {
    const { database, storage } = open();
    await storage.insertFlow(flowOf("flow"));
    for (const _id of ["a", "b"]) await storage.queueRun(startOf(_id), roomy);
    database.exec(`update poundlock_runs set position = '{' where id = 'a'`);

    expect(await storage.claimRun("flow", lease)).toMatchObject({ run: { _id: "b" } });
  });
});

describe("a failure that cannot be read", () => {
  async function failures() {
    const opened = open();
    const { storage } = opened;
    await storage.insertFlow(flowOf("flow"));
    await storage.queueRun(startOf("run"), roomy);
    await storage.claimRun("flow", lease);
    const stored = ["1", "2", "3"].map((_id) => failureOf(_id, { version: "v1" }));
    await storage.commitPage({ _runId: "run", token: "token" }, pageOf(1, { failures: stored }));
    return opened;
  }

  test("is left out of lists, and is resolved with the others", async () => {
    const { database, storage, left } = await failures();
    damage(database, "failures", "2");

    expect(idsOf((await storage.listFailures({ limit: 9 })).items)).toEqual(["1", "3"]);
    expect(left).toEqual(["failures 2"]);
    expect(idsOf(await storage.resolveFailures(["1", "2", "3"], at(9)))).toEqual(["1", "3"]);
    expect(await storage.countOpenFailures("flow", 9)).toEqual({});
  });

  test.each([
    ["record", "record", "'{'"],
    ["bytes", "record_bytes", "x'00'"],
  ])("in its %s alone is listed without it, and cannot be retried", async (_, column, value) => {
    const { database, storage, left } = await failures();
    if (column !== "record") damage(database, "failures", "2", "record", "null");
    damage(database, "failures", "2", column, value);

    const { items } = await storage.listFailures({ limit: 9 });

    expect(items.map(({ _id, record, unstorable }) => [_id, record, unstorable])).toEqual([
      ["1", { failed: "1" }, undefined],
      ["2", undefined, true],
      ["3", { failed: "3" }, undefined],
    ]);
    expect(left).toEqual(["failures 2"]);
  });

  test("is replaced when its key fails again, under the id it has", async () => {
    const { database, storage } = await failures();
    damage(database, "failures", "2");
    const again = failureOf("9", { key: "key of 2", message: "again" });

    const committed = await storage.commitPage({ _runId: "run", token: "token" }, pageOf(2, { failures: [again] }));

    expect(committed?.failures).toMatchObject([{ _id: "2", message: "again" }]);
    expect(await storage.findFailure("2")).toMatchObject({ message: "again", record: { failed: "9" } });
  });

  test("in its version alone has none, so that what settles last counts", async () => {
    const { database, storage, left } = await failures();
    damage(database, "failures", "2", "version");

    const { items } = await storage.openKeys({ _flowId: "flow", _exportId: "orders", _importId: "ledger", limit: 9 });

    expect(items.map(({ version }) => version)).toEqual(["v1", undefined, "v1"]);
    expect(left).toEqual(["failures 2"]);
  });
});

describe("a page of an inbox that cannot be read", () => {
  async function inbox() {
    const opened = open();
    await opened.storage.insertFlow(flowOf("flow"));
    for (const _id of ["a", "b", "c"])
      await opened.storage.appendInbox(arrivalOf(_id, { starts: [realtimeStart(`run of ${_id}`)] }), {
        maxInboxPages: 9,
        dedupeAfter: 0,
      });
    return opened;
  }

  test.each([
    ["records", "'['"],
    ["records", "'{}'"],
    ["ids", "'[]'"],
  ])("because of its %s %s is left out, with one report, and kept until it is dropped", async (column, value) => {
    const { database, storage, left } = await inbox();
    damage(database, "inbox", "b", column, value);

    const pages = await storage.readInbox("flow", { maxRecords: 99 });
    await storage.readInbox("flow", { maxRecords: 99 });

    expect(idsOf(pages)).toEqual(["a", "c"]);
    expect(left).toEqual(["inbox b"]);
    await storage.claimRun("flow", lease);
    const settled = pageOf(1, moving({ inbox: pages.at(-1)?.cursor ?? "" }));
    await storage.commitPage({ _runId: "run of a", token: "token" }, settled);
    expect(database.prepare("select arrival_id from poundlock_inbox").all()).toMatchObject([{ arrival_id: "b" }]);
    expect(await storage.dropInbox("flow", { _ids: ["b"] })).toEqual(["b"]);
    expect(database.prepare("select inbox_pages from poundlock_flows").all()).toMatchObject([{ inbox_pages: 0 }]);
  });

  test("is no reason for another run", async () => {
    const { database, storage } = await inbox();
    damage(database, "inbox", "c", "records");
    const pages = await storage.readInbox("flow", { maxRecords: 99 });
    await storage.claimRun("flow", lease);
    await storage.endRun(
      { _runId: "run of a", token: "token" },
      endingOf("completed", 3, moving({ inbox: pages.at(-1)?.cursor ?? "" })),
    );

    expect(await storage.unreadInboxes(9)).toEqual([]);
  });

  test("does not hide those after it", async () => {
    const { database, storage } = await inbox();
    damage(database, "inbox", "a", "records");

    expect(idsOf(await storage.readInbox("flow", { maxRecords: 1 }))).toEqual(["b"]);
  });
});

describe("a scheduler on a file with rows that cannot be read", () => {
  test("runs all other flows by schedule, on demand and after a crash, and reports each row once", async () => {
    const database = openDatabase(":memory:");
    const clock = new ManualClock(noon);
    const imports = { sink: collectingImport<number>() };
    const exports = { from: arrayExport(upTo(2)) };
    const harness = new Harness({ exports, imports, clock, storage: new SqliteStorage(database) });
    const { registry, scheduler, events } = harness;
    for (const _id of ["a", "b", "c", "d"])
      await registry.define(_id, { name: _id, schedule: "* * * * *", _exportId: "from", _importId: "sink" });
    const waiting = await scheduler.run("c");
    damage(database, "flows", "b");
    damage(database, "runs", waiting._id);
    database.exec(`update poundlock_places set checkpoint = '{', version = 1 where flow_id = 'd'`);

    await scheduler.start();
    await clock.advance(5 * minute);
    await clock.advance(minute / 2);

    const done = (_flowId: string) => events.of("run:completed").filter(({ run }) => run._flowId === _flowId).length;
    expect([done("a"), done("c")]).toEqual([5, 5]);
    expect([done("b"), done("d")]).toEqual([0, 0]);
    const errors = events
      .of("background:error")
      .map(({ error }) => (error as Error).message.replace(/^.*?(?=row )/, ""));
    expect(errors.map((message) => message.split(" cannot")[0]).sort()).toEqual(
      [
        "row b of table poundlock_flows",
        "row d/sink of table poundlock_places",
        `row ${waiting._id} of table poundlock_runs`,
      ].sort(),
    );
    await scheduler.stop();
  });

  test("what goes on by itself is queued for the flows after one that cannot be read, and accepts events for it", async () => {
    const database = openDatabase(":memory:");
    const clock = new ManualClock(noon);
    const imports = { sink: collectingImport<number>() };
    const harness = new Harness({
      exports: { from: { listen: () => () => undefined } },
      imports,
      clock,
      storage: new SqliteStorage(database),
    });
    const { registry, scheduler, events } = harness;
    for (const _id of ["a", "b"]) await registry.define(_id, { name: _id, _exportId: "from", _importId: "sink" });
    damage(database, "flows", "a");
    await scheduler.accept("from", [1, 2]);
    // What queued a run of its own is as if that had been lost: the sweep has to find both inboxes.
    database.exec("delete from poundlock_run_imports");
    database.exec("delete from poundlock_runs");

    await scheduler.start();
    await clock.advance(minute);

    expect(events.of("run:completed").map(({ run }) => [run._flowId, run.numSuccess])).toEqual([["b", 2]]);
    expect(events.of("background:error")).toHaveLength(1);
    expect(database.prepare("select flow_id from poundlock_inbox").all()).toMatchObject([{ flow_id: "a" }]);
    await scheduler.stop();
  });
});
