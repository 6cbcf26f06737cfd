import { afterAll, beforeAll, expect, test } from "vitest";
import { schemaVersion } from "../../../src/storage/sql/schema.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { flowOf, moving, pageOf, roomy, startOf } from "../../../src/testing/storage/harness.ts";
import { valueOf } from "../sqlite/sqlite-here.ts";

const database = openDatabase(":memory:");
database.exec("pragma foreign_keys = on");
const storage = new SqliteStorage(database);

/** A run of `flow` as a row, with the columns that rules are about. */
const run = (id: string, columns: Readonly<Record<string, string | number>>) =>
  `insert into poundlock_runs (id, flow_id, export_id, cause, status, doc, ${Object.keys(columns).join(", ")})
    values ('${id}', 'flow', 'orders', 'schedule', 'queued', '{}', ${Object.values(columns).join(", ")})`;

/** A failure of the key `key` as a row. */
const failure = (id: string, status: "open" | "resolved") =>
  `insert into poundlock_failures (id, flow_id, import_id, export_id, run_id, record_key, status, doc)
    values ('${id}', 'flow', 'ledger', 'orders', 'run', 'key', '${status}', '{}')`;

beforeAll(async () => {
  await storage.insertFlow(flowOf("flow"));
  await storage.queueRun(startOf("active"), roomy);
  await storage.claimRun("flow", { token: "t", at: 1, until: 2 });
  await storage.commitPage(
    { _runId: "active", token: "t" },
    pageOf(1, moving({ checkpoint: { value: 1, version: 1 } })),
  );
  database.exec(run("due", { stage: 2, due_at: 7 }));
  database.exec(run("buffered", { stage: 0, buffered: 1 }));
  database.exec(failure("open", "open"));
});
afterAll(() => {
  database.close();
});

const duplicate = /UNIQUE constraint failed/;
const orphan = /FOREIGN KEY constraint failed/;

// What another program, or a defect of this one, might write into the file.
test.each([
  ["a second active run of a flow", run("new", { stage: 1 }), duplicate],
  [
    "a waiting run that becomes active beside another",
    "update poundlock_runs set stage = 1 where id = 'due'",
    duplicate,
  ],
  ["a second run of a due time", run("new", { stage: 0, due_at: 7 }), duplicate],
  ["a second run that takes in due times", run("new", { stage: 0, buffered: 1 }), duplicate],
  ["a second run with the same id", run("due", { stage: 2 }), duplicate],
  ["a second flow with the same id", "insert into poundlock_flows select * from poundlock_flows", duplicate],
  [
    "a page of an inbox without a flow",
    "insert into poundlock_inbox (flow_id, arrival_id, size) values ('no', 'a', 1)",
    orphan,
  ],
  ["a place without a flow", "insert into poundlock_places (flow_id, import_id) values ('no', 'ledger')", orphan],
  [
    "a second place of an import",
    "insert into poundlock_places (flow_id, import_id) values ('flow', 'ledger')",
    duplicate,
  ],
  ["a dropped page without a flow", "insert into poundlock_drops values ('no', 1, 'ledger')", orphan],
  ["a second open failure of a key", failure("new", "open"), duplicate],
  ["an import without a flow", "insert into poundlock_flow_imports values ('no', 'ledger')", orphan],
  ["an event id without a flow", "insert into poundlock_events values ('no', 'e', 1)", orphan],
  ["a flow's end before its inbox, events and places", "delete from poundlock_flows where id = 'flow'", orphan],
  ["a version that was applied before", `insert into poundlock_schema values (${schemaVersion})`, duplicate],
])("the database itself refuses %s", (_, sql, says) => {
  const count = () => valueOf(database, "select count(*) from poundlock_runs");
  const before = count();

  expect(() => database.exec(sql)).toThrow(says);

  expect(count()).toBe(before);
});

test.each([
  ["a run of another due time", run("other due", { stage: 2, due_at: 8 })],
  ["any number of runs without a due time that have ended", run("ended", { stage: 2 })],
  ["any number of waiting runs that take nothing in", run("waits", { stage: 0, buffered: 0 })],
  ["a resolved failure beside an open one of its key", failure("resolved", "resolved")],
])("it takes %s", (_, sql) => {
  database.exec(sql);
});

test("ids of rows are not given again after the newest is gone", async () => {
  const newest = () => Number(valueOf(database, "select max(seq) from poundlock_runs"));
  await storage.queueRun(startOf("gone"), roomy);
  const gone = newest();
  database.exec("delete from poundlock_runs where id = 'gone'");

  await storage.queueRun(startOf("next"), roomy);

  expect(newest()).toBe(gone + 1);
});
