// SQLite gets many rows in one statement; what that must not change.
import Database from "libsql";
import { sqlExport, sqlImport, sqlite } from "poundlock/connectors/sql";
import { expect, test } from "vitest";
import { importContext, readAll } from "../http/contexts.ts";

interface Row {
  readonly id: number;
  readonly name: string | null;
}

const rows: readonly Row[] = Array.from({ length: 95 }, (_, id) => ({ id, name: `name ${id}` }));

function open(columns: string) {
  const connection = new Database(":memory:");
  connection.exec(`create table t (${columns})`);
  return {
    connection,
    ids: () => (connection.prepare("select id from t order by rowid").all() as Row[]).map(({ id }) => id),
    write: async (records: readonly object[], mode: "insert" | "upsert" = "insert") =>
      sqlImport<object>({ database: sqlite(connection), table: "t", mode, key: ["id"] }).write(
        records,
        importContext(records.length),
      ),
  };
}

const badOnes = (results: unknown) =>
  (results as readonly { readonly ok: boolean }[]).flatMap(({ ok }, index) => (ok ? [] : [index]));

test("rows are written in their order, whatever their number", async () => {
  const { write, ids } = open("id integer, name text");

  await write(rows);

  expect(ids()).toEqual(rows.map(({ id }) => id));
});

test("a row that is there is updated, and one of a wide table written", async () => {
  const columns = Array.from({ length: 600 }, (_, nth) => `c${nth}`);
  const { connection, write } = open(`id integer primary key, ${columns.join(", ")}`);
  const wide = (value: number) =>
    rows.map(({ id }) => ({ id, ...Object.fromEntries(columns.map((column) => [column, value])) }));

  await write(wide(1), "upsert");
  await write(wide(2), "upsert");

  const sum = connection.prepare("select count(*) as n, sum(c0) as first, sum(c599) as last from t").all();
  expect(sum).toEqual([{ n: 95, first: 190, last: 190 }]);
});

test.each([
  ["a constraint refuses", "id integer, name text not null check (name <> 'bad')", ""],
  [
    "a trigger refuses without undoing what came before it",
    "id integer, name text",
    "create trigger refuse before insert on t when new.name = 'bad' begin select raise(fail, 'bad'); end",
  ],
])("rows that %s are failures, and all others are written once", async (_, columns, trigger) => {
  const { connection, write, ids } = open(columns);
  connection.exec(trigger);
  const bad = [7, 30, 31, 94];

  const results = await write(rows.map((row) => (bad.includes(row.id) ? { ...row, name: "bad" } : row)));

  expect(badOnes(results)).toEqual(bad);
  expect(ids()).toEqual(rows.map(({ id }) => id).filter((id) => !bad.includes(id)));
});

test("integers beyond those of JavaScript are read as strings, and others as numbers, also by statements of the host's", async () => {
  const connection = new Database(":memory:");
  connection.exec("create table t (id integer primary key, n)");
  connection.exec("insert into t values (1, 9007199254740993), (9007199254740993, -9223372036854775808), (3, 1.5)");
  const from = sqlExport({ database: sqlite(connection), table: "t", cursor: ["id"], read: "all", pageSize: 1 });

  expect((await readAll(from)).records).toEqual([
    { id: 1, n: "9007199254740993" },
    { id: 3, n: 1.5 },
    { id: "9007199254740993", n: "-9223372036854775808" },
  ]);
  expect(await sqlite(connection).query("update t set n = 9007199254740991 where id = 1 returning n")).toEqual([
    { n: 9007199254740991 },
  ]);
});

test("a connection that the host has set to read big integers goes on to do so", async () => {
  const connection = new Database(":memory:");
  connection.defaultSafeIntegers(true);

  expect(await sqlite(connection).query("select 1 as n")).toEqual([{ n: 1n }]);
});

test("an integer of more than 64 bits makes its record a failure, and the others are written", async () => {
  const { connection, write } = open("id integer primary key, n");

  const results = await write([
    { id: 1, n: 2n ** 63n - 1n },
    { id: 2, n: 2n ** 63n },
    { id: 3, n: -(2n ** 63n) },
  ]);

  expect(badOnes(results)).toEqual([1]);
  expect(connection.prepare("select id from t where typeof(n) = 'integer'").all()).toEqual([{ id: 1 }, { id: 3 }]);
});
