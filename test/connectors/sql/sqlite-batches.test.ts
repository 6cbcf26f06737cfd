// SQLite gets many rows in one statement; what that must not change.
import Database from "libsql";
import { sqlImport, sqlite } from "poundlock/connectors/sql";
import { expect, test } from "vitest";
import { importContext } from "../http/contexts.ts";

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
