import Libsql from "libsql";
import { expectTypeOf, test } from "vitest";
import type { SqliteDatabase, SqliteDatabaseClass, SqliteDriver } from "../../../src/storage/sqlite/drivers.ts";

test("a database of libsql, as its own types have it, is one that can be used", () => {
  expectTypeOf<Libsql.Database>().toExtend<SqliteDatabase>();
  expectTypeOf<typeof Libsql>().toExtend<SqliteDatabaseClass>();
});

test("a driver is named as its package is imported", () => {
  expectTypeOf<SqliteDriver>().toEqualTypeOf<"node:sqlite" | "libsql" | "better-sqlite3">();
});
