import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { flowStates } from "../../../src/model/flow/activity.ts";
import { type SqliteDatabase, openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { calls } from "./calls.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-plans-"));
const file = join(folder, "plans.db");
const database = openDatabase(file);
// With some drivers a connection that was asked for the plan of a change commits nothing any more.
const planner = openDatabase(file);
/** Every statement that was prepared since it was emptied. */
const prepared = new Set<string>();
const recording: SqliteDatabase = {
  exec: (sql) => database.exec(sql),
  prepare(sql) {
    prepared.add(sql);
    return database.prepare(sql);
  },
  close: () => database.close(),
};
const storage = new SqliteStorage(recording);

beforeAll(() => storage.findFlow("nobody"));
afterAll(() => {
  database.close();
  planner.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The steps in which SQLite walks a table or an index from one end or a place in it, or sorts, by what it says of its plan. */
function walks(sql: string): readonly string[] {
  const values = Array.from(sql.matchAll(/\?/g), () => "1");
  const steps = planner.prepare(`explain query plan ${sql}`).all(...values) as { detail: string }[];
  return (
    steps
      .map(({ detail }) => detail)
      .filter((detail) => /^SCAN|TEMP B-TREE|INTEGER PRIMARY KEY \(rowid[<>]/.test(detail))
      // Of flows that were deleted and of which something is left, there are few.
      .filter((detail) => !/^SCAN (d|poundlock_flows) USING (COVERING )?INDEX poundlock_flows_deleted$/.test(detail))
  );
}

// A list without a filter walks along what is in its order, and stops at its limit. What is listed by ids, and what waits
// or runs, is found by that, and those few are sorted.
const sorted = /^USE TEMP B-TREE FOR ORDER BY$/;
const live = /^USE TEMP B-TREE FOR ORDER BY$|^SCAN poundlock_runs USING INDEX poundlock_runs_(waiting|active|leases)$/;
const ofChanges =
  /^SCAN (poundlock_readers|poundlock_changes|CONSTANT ROW|\(subquery-\d+\))$|^SEARCH (c|poundlock_changes) USING INTEGER PRIMARY KEY \(rowid[<>]\?\)$/;
// Flows that are not well, and imports that are paused, have indexes of their own; counts of causes are few; a table is
// counted as a whole without a look at its rows.
const counted =
  /^SCAN (poundlock_flows USING COVERING INDEX sqlite_autoindex_poundlock_flows_1|poundlock_causes)$|^SCAN (p|poundlock_flows) USING (COVERING )?INDEX poundlock_(flows_(disabled|failing|unread)|places_held)$|^SCAN CONSTANT ROW$|^USE TEMP B-TREE FOR ORDER BY$/;
const inOrder: Readonly<Record<string, RegExp>> = {
  listFlows: /^SCAN poundlock_flows USING INDEX sqlite_autoindex_poundlock_flows_1$/,
  listRuns: /^SEARCH poundlock_runs USING INTEGER PRIMARY KEY \(rowid<\?\)$/,
  listFailures: /^SEARCH poundlock_failures USING INTEGER PRIMARY KEY \(rowid>\?( AND rowid<\?)?\)$/,
  "listFailures by id": sorted,
  "listFailures of a key": sorted,
  // At most 2,000 keys begin so.
  "listFailures by the beginning of a key": /^USE TEMP B-TREE FOR ORDER BY$|^SCAN portion$/,
  // A portion of 1,000.
  "listFailures by what they say, newest first":
    /^SCAN p(ortion|oundlock_failures)$|^SEARCH poundlock_failures USING INTEGER PRIMARY KEY \(rowid>\?\)$/,
  "listFailures of a cause by what they say": /^SCAN portion$/,
  "listFailures of a flow by the beginning of a key": /^SCAN portion$/,
  "listFailureIds by what they say": /^SCAN portion$/,
  "listFailureIds of a flow by the beginning of a key": /^SCAN portion$/,
  // Of counts, which are few.
  "listCauses of an integration": /^USE TEMP B-TREE FOR (count\(DISTINCT\)|ORDER BY)$/,
  // A portion of 1,500.
  listCauses:
    /^SCAN poundlock_causes USING (COVERING )?INDEX poundlock_causes_by_cause$|^USE TEMP B-TREE FOR count\(DISTINCT\)$/,
  "listCauses of disabled flows":
    /^SCAN poundlock_causes USING (COVERING )?INDEX poundlock_causes_by_cause$|^USE TEMP B-TREE FOR count\(DISTINCT\)$/,
  "listCauses of a flow": /^USE TEMP B-TREE FOR (count\(DISTINCT\)|GROUP BY|ORDER BY)$/,
  "flowsOfFailures of an import": /^SCAN c USING (COVERING )?INDEX sqlite_autoindex_poundlock_causes_1$/,
  // What a commit was given.
  "commitPage of many failures": /^SCAN json_each VIRTUAL TABLE/,
  "commitPage that folds many": /^SCAN json_each VIRTUAL TABLE/,
  // One reader or two, and the newest changes.
  followChanges: ofChanges,
  changesSince: ofChanges,
  forgetChanges: ofChanges,
  // A portion of 6,000 names, or of 1,000 flows.
  "listFlows by a part of their name": /^SCAN portion$/,
  "listFlows of an integration by a part of their name": /^SCAN portion$/,
  ...Object.fromEntries(flowStates.map((state) => [`listFlows that are ${state}`, /^SCAN portion$/])),
  "listFlows that are overdue": /^SCAN portion$|^USE TEMP B-TREE FOR ORDER BY$/,
  overview: counted,
  "overview while a run waits": counted,
  "overview of an integration":
    /^SCAN (p|poundlock_flows) USING (COVERING )?INDEX poundlock_(flows_(failing|unread)|places_held)$|^SCAN CONSTANT ROW$/,
  listLeases: live,
  "listRuns that wait": live,
  "listRuns that run": live,
  "listRuns of an import that wait": live,
  "listRuns of an export that are being canceled": live,
};

for (const [title, call] of Object.entries(calls))
  test(`${title} finds all it needs by an index`, async () => {
    prepared.clear();
    // Kept statements are not prepared again: another connection prepares all of its own.
    const own = new SqliteStorage(recording);
    await call(own);

    const statements = [...prepared].filter((sql) => /^\s*(select|update|delete|insert)/.test(sql));
    const found = statements
      .filter((sql) => !sql.includes("poundlock_schema") && !sql.includes("sqlite_master"))
      .flatMap((sql) => walks(sql).map((step) => `${step} in: ${sql.replace(/\s+/g, " ")}`));

    expect(statements.length).toBeGreaterThan(0);
    expect(found.filter((step) => inOrder[title]?.test(step.split(" in: ")[0] ?? "") !== true)).toEqual([]);
  });

const ofFailures = ["_flowId", "_runId", "_importId", "_integrationId", "_connectorId", "cause"];
const ofRuns = ["_flowId", "_exportId", "_integrationId", "_connectorId", "trigger"];
const lists: Readonly<Record<string, (own: SqliteStorage) => Promise<unknown>>> = {
  ...Object.fromEntries(
    ofFailures.flatMap((field) =>
      [true, false].map((newestFirst) => [
        `failures by ${field}, ${newestFirst ? "newest" : "oldest"} first`,
        (own: SqliteStorage) => own.listFailures({ limit: 2, after: "7", [field]: "x", newestFirst }),
      ]),
    ),
  ),
  ...Object.fromEntries(
    ofRuns.map((field) => [
      `runs by ${field}`,
      (own: SqliteStorage) => own.listRuns({ limit: 2, after: "7", [field]: "x" }),
    ]),
  ),
};

for (const [title, list] of Object.entries(lists))
  test(`a list of ${title}, goes on by the index at its place, and not before it`, async () => {
    prepared.clear();
    await list(new SqliteStorage(recording));

    const steps = [...prepared]
      .filter((sql) => /from poundlock_(failures|runs)/.test(sql))
      .flatMap((sql) => {
        const values = Array.from(sql.matchAll(/\?/g), () => "1");
        return (planner.prepare(`explain query plan ${sql}`).all(...values) as { detail: string }[]).map(
          ({ detail }) => detail,
        );
      });
    const searches = steps.filter((step) => /^SEARCH poundlock_(failures|runs)/.test(step));

    expect(searches.length).toBeGreaterThan(0);
    for (const step of searches) expect(step).toMatch(/USING INDEX \w+ \(\w+=\? AND seq[<>]\?\)$/);
  });

test("every method has a test here", () => {
  const methods: string[] = [];
  for (let of: object = SqliteStorage.prototype; of !== Object.prototype; of = Object.getPrototypeOf(of) as object)
    methods.push(
      ...Object.getOwnPropertyNames(of).filter(
        (name) => !["constructor", "close", "location", "carriedOut"].includes(name),
      ),
    );

  expect(methods.filter((name) => !(name in calls) && name !== "queueDue")).toEqual([]);
});

test("a walk through a table would be seen", () => {
  expect(walks("select seq from poundlock_runs where token = ?")).toEqual(["SCAN poundlock_runs"]);
});
