import pg from "pg";
import { afterAll, expect, inject, test } from "vitest";
import { spelledInPath, dialect } from "../../../../src/storage/postgres/spelling.ts";
import { PostgresStorage, migratePostgres } from "../../../../src/storage/postgres/postgres-storage.ts";
import { migrate, schemaVersion } from "../../../../src/storage/sql/schema.ts";
import {
  at,
  everything,
  queue,
  roomy,
  runThrough,
  running,
  startOf,
  take,
} from "../../../../src/testing/storage/harness.ts";
import { connectionTo } from "../../../support/postgres-server.ts";

const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), max: 8 });
afterAll(() => pool.end());

/** The version in which all runs were in one table. */
const before = 11;

/** Makes a schema as this code did before it was given the versions after that one. */
async function makeVersion(schema: string): Promise<void> {
  const client = await pool.connect();
  await client.query(`create schema ${schema}; set search_path to ${schema}`);
  const body = migrate(dialect);
  for (let step = body.next([]); step.done !== true;) {
    const { sql, values } = step.value;
    const { rows } = await client.query(spelledInPath(sql), [...values]);
    if (sql.startsWith("insert into poundlock_schema") && values[0] === before) break;
    step = body.next(rows);
  }
  await client.query("reset search_path");
  client.release();
}

const tables = ["flows", "flow_imports", "places", "runs", "run_imports", "histories"];

async function copyRows(from: string, to: string): Promise<void> {
  for (const table of tables) {
    const { rows } = await pool.query<{ columns: string }>(
      `select string_agg(column_name, ', ') as columns from information_schema.columns
        where table_schema = $1 and table_name = $2`,
      [to, table],
    );
    const columns = rows[0]?.columns ?? "";
    await pool.query(`insert into ${to}.${table} (${columns}) select ${columns} from ${from}.${table}`);
  }
  await pool.query(`select setval(pg_get_serial_sequence('${to}.runs', 'seq'), 100)`);
}

/** One storage with runs of all kinds, and another one of the version before with the same rows. */
async function twoOf(name: string): Promise<PostgresStorage> {
  const storage = await PostgresStorage.open(pool, { schema: `${name}_now` });
  await running(storage);
  await runThrough(storage, "of another flow", "other").catch(() => undefined);
  await queue(storage, "waiting");
  await queue(storage, "canceled");
  await storage.cancelRun("canceled", { at: Date.UTC(2020, 0, 1) });
  await makeVersion(`${name}_before`);
  await copyRows(`${name}_now`, `${name}_before`);
  return storage;
}

test("a schema of the version before has all it had, and its runs go on", async () => {
  const storage = await twoOf("moved");
  const expected = await everything(storage);

  const moved = await PostgresStorage.open(pool, { schema: "moved_before" });

  expect(await everything(moved)).toEqual(expected);
  const { rows } = await pool.query<{ id: string; place: string }>(
    "select id, tableoid::regclass::text as place from moved_before.runs",
  );
  expect(Object.fromEntries(rows.map(({ id, place }) => [id, place]))).toEqual({
    run: "moved_before.runs_live",
    waiting: "moved_before.runs_live",
    canceled: "moved_before.runs_earlier",
  });
  await moved.endRun({ _runId: "run", token: "token" }, { status: "completed", at: at(8), imports: {}, places: [] });
  expect((await take(moved)).run._id).toBe("waiting");
  await moved.queueRun(startOf("newest"), roomy);
  expect((await pool.query("select seq from moved_before.runs where id = 'newest'")).rows).toEqual([{ seq: "101" }]);
});

test("what had ended before it was moved is removed as a whole when the day of the move is old enough", async () => {
  await twoOf("aged");
  const moved = await PostgresStorage.open(pool, { schema: "aged_before" });

  const early = await moved.prune({ endedBefore: Date.UTC(2021, 0, 1), runsPerFlow: 100, limit: 100 });
  const removed = await moved.prune({ endedBefore: at(0), runsPerFlow: 100, limit: 100 });

  expect([early, removed]).toEqual([0, 1]);
  expect(await moved.findRun("canceled")).toBeUndefined();
  expect((await pool.query("select to_regclass('aged_before.runs_earlier') as found")).rows).toEqual([
    { found: "aged_before.runs_earlier" },
  ]);
  await moved.prune({ endedBefore: at(0), runsPerFlow: 100, limit: 100 });
  expect((await pool.query("select to_regclass('aged_before.runs_earlier') as found")).rows).toEqual([{ found: null }]);
});

test("is moved once by processes that start at the same time", async () => {
  await twoOf("together");

  await Promise.all(Array.from({ length: 4 }, () => migratePostgres(pool, { schema: "together_before" })));

  const { rows } = await pool.query("select version from together_before.schema order by version");
  expect(rows).toHaveLength(schemaVersion);
});
