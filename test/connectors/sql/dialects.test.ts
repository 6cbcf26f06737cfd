// What databases do rarely: commits whose response is lost, connections that are cut, errors of each kind.
import { describe, expect, test } from "vitest";
import {
  CommitUnknownError,
  type PostgresClient,
  type SqlDialect,
  type SqlQueries,
  postgres,
  postgresDialect,
  sqlExport,
  sqlImport,
  sqlite,
  sqliteDialect,
} from "../../../src/connectors/sql/index.ts";
import { outcomeOf } from "../../../src/model/host/outcome.ts";
import { testDatabases } from "./databases.ts";

const withCode = (code: unknown, message = "no") => Object.assign(new Error(message), { code });

/** A pool of one client, which fails at the statements that `fails` names, and what became of it. */
function poolOf(fails: Readonly<Record<string, Error>>) {
  const statements: string[] = [];
  const released: (boolean | undefined)[] = [];
  const client: PostgresClient = {
    async query(text) {
      statements.push(text);
      const error = fails[text];
      if (error !== undefined) throw error;
      return { rows: [] };
    },
    release: (destroy) => void released.push(destroy),
  };
  return { statements, released, database: postgres({ ...client, connect: async () => client }) };
}

describe("postgres", () => {
  test("refuses what is no pool", () => {
    expect(() => postgres({} as never)).toThrow("postgres: expected a pool of pg");
  });

  test.each([
    ["nothing is known of", withCode(undefined, "Connection terminated unexpectedly")],
    ["the server was shut down at", withCode("57P01")],
    ["the connection failed at", withCode("08006")],
  ])("does not know whether a commit that %s was made, and uses that client no more", async (_what, error) => {
    const { database, released } = poolOf({ commit: error });

    await expect(database.transaction(async () => "done")).rejects.toMatchObject({ cause: error });
    await expect(database.transaction(async () => "done")).rejects.toBeInstanceOf(CommitUnknownError);
    expect(released).toEqual([true, true]);
  });

  test("knows that a commit which the server refuses was not made", async () => {
    const deferred = withCode("23505");
    const { database, released, statements } = poolOf({ commit: deferred });

    await expect(database.transaction(async () => "done")).rejects.toBe(deferred);
    expect([statements, released]).toEqual([["begin", "commit", "rollback"], [false]]);
  });

  test("does not use a client again whose rollback failed", async () => {
    const { database, released } = poolOf({ rollback: withCode("ECONNRESET") });

    await expect(database.transaction(async () => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    expect(released).toEqual([true]);
  });

  test("gives a transaction up when its signal aborts, and releases its client once", async () => {
    const { database, released, statements } = poolOf({});
    const abort = new AbortController();
    const work = async () => {
      abort.abort();
      return Promise.reject(new Error("cut"));
    };

    await expect(database.transaction(work, abort.signal)).rejects.toThrow("aborted");
    await expect(database.transaction(work, abort.signal)).rejects.toThrow("aborted");
    expect([statements, released]).toEqual([["begin"], [true]]);
  });

  test("commits nothing once its signal has aborted, however far the transaction has got", async () => {
    const { database, released, statements } = poolOf({});
    const abort = new AbortController();
    const work = async () => abort.abort();

    await expect(database.transaction(work, abort.signal)).rejects.toThrow("aborted");

    expect([statements, released]).toEqual([["begin"], [true]]);
  });
});

test("sqlite refuses what is no connection", () => {
  expect(() => sqlite({} as never)).toThrow("sqlite: expected a database of node:sqlite, better-sqlite3 or libsql");
});

describe.each<[SqlDialect, readonly (readonly [fault: string | undefined, error: unknown])[]]>([
  [
    postgresDialect,
    [
      ["reject", withCode("23505")],
      ["reject", withCode("22003")],
      ["retry", withCode("40001")],
      ["retry", withCode("53300")],
      ["stop", withCode("42P01")],
      [undefined, withCode("XX000")],
      ["retry", withCode("ECONNREFUSED")],
      ["retry", new Error("fetch", { cause: withCode("ETIMEDOUT") })],
      ["retry", new Error("Connection terminated unexpectedly")],
      [undefined, new Error("of the host's own code")],
      [undefined, undefined],
    ],
  ],
  [
    sqliteDialect,
    [
      ["reject", withCode("SQLITE_CONSTRAINT_UNIQUE")],
      ["reject", { code: "ERR_SQLITE_ERROR", errcode: 2067 }],
      ["retry", withCode("SQLITE_BUSY")],
      ["retry", { code: "ERR_SQLITE_ERROR", errcode: 261 }],
      ["stop", withCode("SQLITE_ERROR", "no such table: x")],
      ["stop", withCode("SQLITE_ERROR", 'cannot INSERT into generated column "total"')],
      ["stop", withCode("SQLITE_ERROR", "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint")],
      ["stop", withCode("SQLITE_NOTADB")],
      ["stop", { code: "ERR_SQLITE_ERROR", errcode: 14 }],
      [undefined, { code: "ERR_SQLITE_ERROR", errcode: 1 }],
      [undefined, new Error("of the host's own code")],
      [undefined, undefined],
    ],
  ],
])("$name", (dialect, faults) => {
  test.each(faults)("takes for %s %o", (fault, error) => {
    expect(dialect.faultOf(error)).toBe(fault);
  });

  test.each([Number.NaN, Infinity, () => 1, Symbol("x")])("refuses %o, which it could not read again", (value) => {
    expect(() => dialect.valueOf(value)).toThrow(RangeError);
  });

  test.each([true, false])("reads %s again as what it is", (value) => {
    expect(Boolean(dialect.valueOf(value))).toBe(value);
  });
});

for (const { name, skip, open } of testDatabases) {
  if (skip !== undefined) {
    test.skip(`${name}: ${skip}`, () => undefined);
    continue;
  }
  describe(name, () => {
    const context = {
      idempotencyKeys: ["k0", "k1", "k2"],
      signal: new AbortController().signal,
      flow: { _id: "flow" },
      run: { _id: "run" },
    } as never;
    const reading = async (from: ReturnType<typeof sqlExport>) => {
      const records: unknown[] = [];
      const context = { pageSize: 10, signal: new AbortController().signal, run: { _id: "run" } } as never;
      for await (const page of from.pages?.(context) ?? []) records.push(...("records" in page ? page.records : page));
      return records;
    };

    test("rejects each record that cannot be a row, and writes the others", async () => {
      const opened = await open();
      const { database, types } = opened;
      await database.query(`create table t (id ${types.key} primary key, more text)`);
      const into = sqlImport<object>({ database, table: ["t"], mode: "insert" });
      const circular: { self?: unknown } = {};
      circular.self = circular;

      const results = await into.write([{ id: "a" }, 7 as never, { id: "b", more: circular }], context);
      const alone = await into.write([{ id: "c", more: circular }], context);

      expect(results?.map(({ ok }) => ok)).toEqual([true, false, false]);
      expect(alone?.map(({ ok }) => ok)).toEqual([false]);
      expect((await database.query("select id from t")).map(({ id }) => id)).toEqual(["a"]);
      await opened.close();
    });

    test("writes the last of several records of one row, also by the time that identifies it", async () => {
      const opened = await open();
      const { database, types } = opened;
      await database.query(`create table t (id ${types.key} primary key, n integer)`);
      const into = sqlImport<object>({ database, table: "t", key: ["id"] });
      const time = () => new Date("2026-11-23T17:05:00Z");

      const results = await into.write([{ id: time(), n: 1 }, { id: time(), n: 2 }, { id: "only a key" }], context);
      await into.write([{ id: "only a key" }], context);

      expect(results).toBeUndefined();
      expect((await database.query("select n from t where n is not null")).map(({ n }) => n)).toEqual([2]);
      expect(await database.query("select 1 from t")).toHaveLength(2);
      await opened.close();
    });

    test("updates a row of which there is nothing but its key", async () => {
      const opened = await open();
      const { database, types } = opened;
      await database.query(`create table t (id ${types.key} primary key)`);
      await database.query("insert into t values ('a')");
      const into = sqlImport<object>({ database, table: "t", mode: "update", key: ["id"] });

      expect(await into.write([{ id: "a" }, { id: "b" }], context)).toBeUndefined();
      expect((await database.query("select id from t")).map(({ id }) => id)).toEqual(["a"]);
      await opened.close();
    });

    test("writes rows in a transaction of another kind, and ends with what is no record's fault", async () => {
      const opened = await open();
      const { database } = opened;
      await database.query(`create table t (id ${opened.types.key} primary key, n integer not null)`);
      let isCut = false;
      const wrapped: SqlQueries["query"] = (...call) =>
        isCut ? Promise.reject(withCode("ECONNRESET")) : database.query(...call);
      const transaction = async <T>(work: (tx: SqlQueries) => Promise<T>) => work({ query: wrapped });
      const into = sqlImport<object>({ database: { ...database, transaction }, table: "t", key: ["id"] });
      const rows = [{ id: "a", n: 1 }];

      if (database.dialect.name === "sqlite") expect(await into.write(rows, context)).toBeUndefined();
      isCut = true;
      const error: unknown = await Promise.resolve(into.write(rows, context)).catch((error: unknown) => error);

      // The connection is cut, so nothing was applied; SQLite has none that could be.
      expect(outcomeOf(error)?.kind).toBe(database.dialect.name === "sqlite" ? undefined : "retryLater");
      await opened.close();
    });

    test("classifies what the host's own statements throw, without marks", async () => {
      const opened = await open();
      const { database, types } = opened;
      await database.query(`create table t (id ${types.key} primary key)`);
      const into = sqlImport<{ id: string }>({
        database,
        idempotent: true,
        async apply(tx, records) {
          for (const { id } of records) await tx.query(`insert into t values ('${id}')`);
        },
      });

      await into.write([{ id: "a" }], context);
      const error: unknown = await Promise.resolve(into.write([{ id: "a" }], context)).catch((error: unknown) => error);

      expect(outcomeOf(error)?.kind).toBe("reject");
      expect(await database.query("select id from t")).toHaveLength(1);
      await opened.close();
    });

    test("reads a whole table without a condition, under no key if its columns are left out", async () => {
      const opened = await open();
      const { database } = opened;
      await database.query("create table t (id integer primary key, n integer)");
      await database.query("insert into t values (1, 2)");
      const options = { database, table: ["t"], cursor: ["id"], read: "all" } as const;

      const whole = sqlExport({ ...options, settleMs: 0 });
      const without = sqlExport({ ...options, columns: ["n"] });

      expect([whole.key?.({ id: 1 }), "key" in without]).toEqual(["1", false]);
      expect(await reading(without)).toEqual([{ n: 2 }]);
      await opened.close();
    });

    test("reads again later if the database is away, and fails if it is not", async () => {
      const opened = await open();
      const { database } = opened;
      const away = { ...database, query: async () => Promise.reject(withCode("ECONNREFUSED")) };
      const options = { table: "t", cursor: ["id"], settleMs: 0 };
      const errorOf = (from: ReturnType<typeof sqlExport>) => reading(from).catch((error: unknown) => error);

      const whileAway = await errorOf(sqlExport({ ...options, database: { ...away, dialect: postgresDialect } }));
      const withoutTable = await errorOf(sqlExport({ ...options, database }));

      expect([outcomeOf(whileAway)?.kind, outcomeOf(withoutTable)]).toEqual(["retryLater", undefined]);
      await opened.close();
    });
  });
}

test.each(["update", "delete", "insert"] as const)("sqlImport refuses to sweep with mode %s", (mode) => {
  const database = { query: () => undefined, transaction: () => undefined } as never;
  const options = { database, table: "t", key: ["id"], mode, sweep: { column: "run" } };

  expect(() => sqlImport(options)).toThrow('sqlImport.sweep: expected none, but for mode "upsert"');
});
