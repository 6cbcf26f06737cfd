import pg from "pg";
import { afterAll, expect, inject, test } from "vitest";
import { PostgresStorage } from "../../../../src/storage/postgres/postgres-storage.ts";
import type { PruneRule } from "../../../../src/storage/storage.ts";
import {
  addFlow,
  at,
  bufferOne,
  endingOf,
  idsOf,
  queue,
  runThrough,
  running,
  take,
  tickOf,
} from "../../../../src/testing/storage/harness.ts";
import { connectionTo } from "../../../support/postgres-server.ts";

const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), max: 8 });
afterAll(() => pool.end());

const day = 86_400;
const rule: PruneRule = { endedBefore: at(0), runsPerFlow: 1_000, limit: 100, now: at(0) };

async function opened(schema: string): Promise<PostgresStorage> {
  const storage = await PostgresStorage.open(pool, { schema, partition: "day" });
  await addFlow(storage);
  await storage.prune(rule);
  return storage;
}

const rows = async (sql: string) => (await pool.query<Record<string, unknown>>(sql)).rows;

/** Runs by the table that they are in. */
async function places(schema: string): Promise<Record<string, string>> {
  const found = await rows(`select id, tableoid::regclass::text as place from ${schema}.runs order by id`);
  return Object.fromEntries(found.map(({ id, place }) => [String(id), String(place).replace(`${schema}.`, "")]));
}

async function tables(schema: string): Promise<readonly unknown[]> {
  const found = await rows(
    `select relname from pg_class where relnamespace = '${schema}'::regnamespace and relname ~ '^runs_ended_\\d+_\\d+$' order by 1`,
  );
  return found.map(({ relname }) => relname);
}

test("a run that has ended leaves the table of those that wait or are active for the partition of its day", async () => {
  const storage = await opened("apart");
  await runThrough(storage, "ended", "flow", 10);
  await runThrough(storage, "next day", "flow", day);
  await queue(storage, "active");
  await take(storage);
  await queue(storage, "waiting");

  expect(await places("apart")).toEqual({
    active: "runs_live",
    waiting: "runs_live",
    ended: "runs_ended_20300101_20300102",
    "next day": "runs_ended_20300102_20300103",
  });
  expect(idsOf((await storage.listRuns({ limit: 3 })).items)).toEqual(["waiting", "active", "next day"]);
  expect((await storage.findRun("ended"))?.status).toBe("completed");
});

test("a partition is dropped with all that hangs on its runs, once the last of them may go", async () => {
  const storage = await opened("dropped");
  for (const _id of ["1", "2"]) await runThrough(storage, _id, "flow", 10);
  await runThrough(storage, "last of the day", "flow", day - 1);
  await runThrough(storage, "next day", "flow", day);
  await queue(storage, "waiting");

  const early = await storage.prune({ ...rule, endedBefore: at(day - 1) });
  expect(early).toBe(0);
  expect(idsOf((await storage.listRuns({ limit: 10 })).items)).toHaveLength(5);

  const removed = [await storage.prune({ ...rule, endedBefore: at(day) }), await storage.prune({ ...rule })];

  expect(removed).toEqual([3, 0]);
  expect(await tables("dropped")).not.toContain("runs_ended_20300101_20300102");
  expect(idsOf((await storage.listRuns({ limit: 10 })).items)).toEqual(["waiting", "next day"]);
  expect(idsOf((await storage.listRuns({ limit: 10, _importId: "ledger" })).items)).toEqual(["waiting", "next day"]);
  expect(await storage.findRun("1")).toBeUndefined();
  expect(await rows("select runs from dropped.histories")).toEqual([{ runs: 2 }]);
  expect(await rows("select run_seq from dropped.run_imports")).toHaveLength(2);
  expect(await rows("select * from dropped.removals")).toEqual([]);
});

test("what a dropped partition leaves behind is not listed, also while its removal is interrupted", async () => {
  const storage = await opened("interrupted");
  await runThrough(storage, "old", "flow", 10);
  await runThrough(storage, "kept", "flow", day);
  await pool.query(`alter table interrupted.runs_ended detach partition interrupted.runs_ended_20300101_20300102;
    insert into interrupted.removals (name) values ('runs_ended_20300101_20300102')`);

  expect(idsOf((await storage.listRuns({ limit: 10, _importId: "ledger" })).items)).toEqual(["kept"]);

  expect(await storage.prune(rule)).toBe(1);
  await storage.prune(rule);
  expect(await rows("select runs from interrupted.histories")).toEqual([{ runs: 1 }]);
  expect(await tables("interrupted")).not.toContain("runs_ended_20300101_20300102");
});

test("runs that end at a time without a partition are kept all the same, and removed one by one", async () => {
  const storage = await opened("others");
  await runThrough(storage, "far past", "flow", -40 * 365 * day);
  await runThrough(storage, "far future", "flow", 40 * 365 * day);

  expect(await places("others")).toEqual({ "far past": "runs_ended_other", "far future": "runs_ended_other" });
  expect(await storage.prune({ ...rule, endedBefore: at(0) })).toBe(1);
  expect(idsOf((await storage.listRuns({ limit: 10 })).items)).toEqual(["far future"]);
});

test("a time that runs have ended in without a partition gets none, and the next ones do", async () => {
  const storage = await PostgresStorage.open(pool, { schema: "late", partition: "day" });
  await addFlow(storage);
  await runThrough(storage, "before", "flow", 10);

  await storage.prune(rule);
  await runThrough(storage, "after", "flow", 20);

  expect(await places("late")).toEqual({ before: "runs_ended_other", after: "runs_ended_other" });
  expect(await tables("late")).toContain("runs_ended_20300102_20300103");
});

test("whoever reads the history for long is not waited for: it is dropped another time, and runs go on", async () => {
  const storage = await opened("read");
  await runThrough(storage, "old", "flow", 10);
  const reader = await pool.connect();
  await reader.query("begin; select count(*) from read.runs");

  const removed = await storage.prune({ ...rule, endedBefore: at(day) });
  await runThrough(storage, "meanwhile", "flow", day);

  expect(removed).toBe(0);
  expect(await places("read")).toMatchObject({ old: "runs_ended_20300101_20300102" });
  await reader.query("commit");
  reader.release();
  expect(await storage.prune({ ...rule, endedBefore: at(day) })).toBe(1);
});

test("a due time whose run has ended gets no second one", async () => {
  const storage = await PostgresStorage.open(pool, { schema: "due" });
  const dueAt = new Date(at(0)).toISOString();
  await addFlow(storage, "flow", { nextRunAt: dueAt });
  const [first] = await storage.queueDue([tickOf("flow", "run", { dueAt: 0, nextDueAt: 0 })], bufferOne);
  const { runLease } = await take(storage);
  await storage.endRun(runLease, endingOf("completed", 8));

  const [second] = await storage.queueDue([tickOf("flow", "again", { dueAt: 0, nextDueAt: 60 })], bufferOne);

  expect([first?.outcome, second?.outcome]).toEqual(["queued", "passed"]);
});

test("a call that ends a run and is repeated returns what the first one did", async () => {
  const storage = await PostgresStorage.open(pool, { schema: "repeated" });
  const { runLease } = await running(storage);

  const first = await storage.endRun(runLease, endingOf("completed", 8));

  expect(await storage.endRun(runLease, endingOf("completed", 9))).toEqual(first);
  expect(await storage.endRun({ ...runLease, token: "another" }, endingOf("completed", 9))).toBeUndefined();
});
