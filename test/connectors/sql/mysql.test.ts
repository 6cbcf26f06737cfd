import { inspect } from "node:util";
import callbackMysql2 from "mysql2";
import mysql2 from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import {
  type MysqlPool,
  type MysqlQuery,
  type SqlTableOptions,
  mysql,
  mysqlDialect,
  sqlExport,
  sqlImport,
} from "../../../src/connectors/sql/index.ts";
import type { ExportContext, ImportContext, Result } from "../../../src/index.ts";
import { outcomeOf } from "../../../src/model/host/outcome.ts";
import { mariadbAt } from "../../support/mariadb-server.ts";

const server = inject("mariadb");

/** What this rejects with, else what it resolves with. */
async function errorOf(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    return error;
  }
}

function contextOf(size: number, signal = new AbortController().signal): ImportContext {
  const keys = Array.from({ length: size }, (_, nth) => `key ${nth}`);
  return { idempotencyKeys: keys, keys, signal, flow: { _id: "flow" }, run: { _id: "run" } } as never;
}

test("mysql refuses what is no pool", () => {
  expect(() => mysql({} as never)).toThrow("mysql: expected a pool of mysql2");
});

// A fault is known without a server, too.
test.each([
  [{ errno: 1062, code: "ER_DUP_ENTRY" }, "reject"],
  [{ errno: 1406, code: "ER_DATA_TOO_LONG" }, "reject"],
  [{ errno: 1213, code: "ER_LOCK_DEADLOCK" }, "retry"],
  [{ errno: 1205, code: "ER_LOCK_WAIT_TIMEOUT" }, "retry"],
  [{ errno: 2006, message: "MySQL server has gone away" }, "retry"],
  [{ errno: -111, code: "ECONNREFUSED" }, "retry"],
  [{ code: "PROTOCOL_CONNECTION_LOST" }, "retry"],
  [new Error("Can't add new command when connection is in closed state"), "retry"],
  [{ errno: 1045, code: "ER_ACCESS_DENIED_ERROR" }, "stop"],
  [{ errno: 1146, code: "ER_NO_SUCH_TABLE" }, "stop"],
  [{ errno: 1105, code: "ER_UNKNOWN_ERROR" }, undefined],
  [undefined, undefined],
])("the fault of %o is %s", (error, fault) => {
  expect(mysqlDialect.faultOf(error)).toBe(fault);
});

test.each([
  [12n, "12"],
  [{ a: [1] }, '{"a":[1]}'],
  [new Uint8Array([1, 2]), Buffer.from([1, 2])],
  [null, null],
])("the value of %o is sent as %o", (value, sent) => {
  expect(mysqlDialect.valueOf(value)).toEqual(sent);
});

test.each([NaN, Infinity, new Date(NaN), "half \ud800", Symbol("a"), () => 1])("%o is no value", (value) => {
  expect(() => mysqlDialect.valueOf(value)).toThrow(RangeError);
});

describe.skipIf("missing" in server)(`MariaDB${"missing" in server ? `: ${server.missing}` : ""}`, () => {
  const port = "port" in server ? server.port : 0;
  const name = `mysql_${process.pid}`;
  const open = (options: object = {}) => {
    const pool = mysql2.createPool({ ...mariadbAt(port, name), connectionLimit: 4, ...options });
    onTestFinished(() => pool.end());
    return pool;
  };
  let tables = 0;
  const create = async (columns: string) => {
    const table = `t${++tables}`;
    await admin.query(`create table ${table} (${columns})`);
    return table;
  };
  let admin: mysql2.Pool;
  beforeAll(async () => {
    admin = mysql2.createPool({ ...mariadbAt(port), connectionLimit: 4 });
    await admin.query(`create database ${name} character set utf8mb4`);
    await admin.end();
    admin = mysql2.createPool({ ...mariadbAt(port, name), connectionLimit: 4 });
  });
  afterAll(() => admin.end());

  const into = (table: string, options: Partial<SqlTableOptions> = {}, pool: MysqlPool = open()) =>
    sqlImport<object>({ database: mysql(pool), table, key: ["id"], ...options });
  const rowsOf = async (table: string) => (await admin.query(`select * from ${table} order by 1`))[0];

  /** Transactions that wait for a lock; the server looks every 100 ms. */
  const waiting = async () => {
    const [rows] = await admin.query("select 1 from information_schema.innodb_trx where trx_state = 'LOCK WAIT'");
    return (rows as unknown[]).length;
  };

  test.each<[Partial<SqlTableOptions>]>([[{}], [{ mode: "insert", keyColumn: "event" }]])(
    "with %o a value that another row has in a unique index rejects the record, and leaves that row as it is",
    async (options) => {
      const table = await create("id varchar(20) primary key, email varchar(20) unique, event varchar(40) unique");
      await admin.query(`insert into ${table} values ('a', 'a@x', 'an older key')`);
      const records = [
        { id: "b", email: "b@x" },
        { id: "c", email: "a@x" },
        { id: "d", email: "d@x" },
      ];

      const results = (await into(table, options).write(records, contextOf(3))) as readonly Result[];

      expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
      expect(results[1]).toMatchObject({ fault: "reject", error: { message: /another row of t\d+, with another/ } });
      expect(await rowsOf(table)).toMatchObject([{ id: "a", email: "a@x" }, { id: "b" }, { id: "d" }]);
    },
  );

  test("nothing is written where the server would cut off what is too long", async () => {
    const table = await create("id varchar(2) primary key");
    const pool = open();
    pool.pool.on("connection", (connection) => connection.query("set sql_mode = ''"));

    const error = await errorOf(into(table, {}, pool).write([{ id: "abc" }], contextOf(1)));

    expect(error).toMatchObject({ message: /^sql_mode has no STRICT_TRANS_TABLES/ });
    expect(outcomeOf(error)?.kind).toBe("stop");
    expect(await rowsOf(table)).toEqual([]);
  });

  test("a page is read by the index, and integers keep every digit", async () => {
    const table = await create("at bigint, id bigint, primary key (at, id)");
    const ids = Array.from({ length: 300 }, (_, nth) => 2n ** 62n + BigInt(nth));
    await admin.query(`insert into ${table} values ${ids.map((id) => `(${id % 5n}, ${id})`).join()}`);
    const asked: string[] = [];
    const pool = open();
    const watched = {
      getConnection: () => pool.getConnection(),
      query(query: MysqlQuery) {
        asked.push(pool.format(query.sql, query.values));
        return pool.query(query);
      },
    };
    const from = sqlExport<{ id: string }>({
      database: mysql(watched),
      table,
      cursor: ["at", "id"],
      read: "all",
    });
    const read: string[] = [];
    const context = { pageSize: 70, signal: new AbortController().signal, run: { _id: "run" } };
    for await (const page of from.pages?.(context as ExportContext<never>) ?? [])
      for (const record of "records" in page ? page.records : page) read.push(from.key?.(record) ?? "");

    expect(read.sort()).toEqual(ids.map(String));
    const [plan] = await admin.query<mysql2.RowDataPacket[]>(`explain ${asked.at(-1) ?? ""}`);
    expect(plan).toMatchObject([{ type: "range", key: "PRIMARY" }]);
    expect(plan[0]?.Extra).not.toContain("filesort");
  });

  test("a cursor whose text is not its value again ends the reading, instead of repeating it for ever", async () => {
    const table = await create("id float primary key");
    await admin.query(`insert into ${table} values (0.1), (0.2)`);
    const from = sqlExport<object>({ database: mysql(open()), table, cursor: ["id"], read: "all" });
    const context = { pageSize: 1, signal: new AbortController().signal, run: { _id: "run" } };
    const read = async () => {
      for await (const page of from.pages?.(context as ExportContext<never>) ?? []) expect(page).toBeDefined();
    };

    await expect(read()).rejects.toThrow(/has rows after \(0\.1\) with the same cursor/);
  });

  test("a batch that is larger than the server's packets is written in parts", async () => {
    const table = await create("id int primary key, text longtext");
    const records = Array.from({ length: 40 }, (_, id) => ({ id, text: "é".repeat(300_000) }));

    await into(table).write(records, contextOf(40));

    const [rows] = await admin.query(`select count(*) as n, sum(char_length(text)) as size from ${table}`);
    expect(rows).toEqual([{ n: 40, size: "12000000" }]);
  });

  describe("the outcome", () => {
    test("of a deadlock and of a lock that is not given up is retryLater, with nothing written", async () => {
      const table = await create("id int primary key, n int");
      await admin.query(`insert into ${table} values (1, 0), (2, 0)`);
      const holder = await admin.getConnection();
      onTestFinished(() => holder.destroy());
      await holder.query("begin");
      await holder.query(`update ${table} set n = 1 where id = 2`);

      const error = await errorOf(into(table).write([{ id: 3, n: 1 }, { id: 2, n: 2 }], contextOf(2))); // prettier-ignore

      expect(outcomeOf(error)?.kind).toBe("retryLater");
      expect(String(error)).toContain("Lock wait timeout");
      expect(await rowsOf(table)).toEqual([{ id: 1, n: 0 }, { id: 2, n: 0 }]); // prettier-ignore
    });

    test.each<[what: string, columns: string, record: object, expected: string]>([
      ["a table that there is not", "", { id: 1 }, "stop"],
      ["a column that there is not", "id int primary key", { id: 1, typo: 1 }, "stop"],
    ])("of %s is %s", async (_what, columns, record, expected) => {
      const table = columns === "" ? "nowhere" : await create(columns);

      const error = await errorOf(into(table).write([record], contextOf(1)));

      expect(outcomeOf(error)?.kind).toBe(expected);
    });

    test.each<[options: object, expected: string]>([
      [{ password: "wr0ng-s3cret" }, "stop"],
      [{ port: 1 }, "retryLater"],
    ])("of a connection with %o is %s, and shows no password", async (options, expected) => {
      const error = await errorOf(into("t", {}, open(options)).write([{ id: 1 }], contextOf(1)));

      expect(outcomeOf(error)?.kind).toBe(expected);
      expect(inspect(error, { depth: 20 })).not.toContain("s3cret");
    });

    test("of a write whose connection is killed at its commit is unknown, whether it was committed or not", async () => {
      const table = await create("id int primary key");
      for (const last of [false, true]) {
        const pool = open();
        const cut: MysqlPool = {
          query: (query) => pool.query(query),
          async getConnection() {
            const connection = await pool.getConnection();
            return {
              threadId: connection.threadId,
              release: () => connection.release(),
              destroy: () => connection.destroy(),
              async query(query) {
                if (query.sql !== "commit") return connection.query(query);
                if (last) await connection.query(query);
                await admin.query(`kill ${connection.threadId}`);
                if (last) throw Object.assign(new Error("Connection lost"), { code: "PROTOCOL_CONNECTION_LOST" });
                return connection.query({ ...query, sql: "select 1" }).then(() => connection.query(query));
              },
            };
          },
        };

        const error = await errorOf(into(table, {}, cut).write([{ id: 1 }], contextOf(1)));

        expect(error).toMatchObject({ message: "it is not known whether the transaction was committed" });
        expect(await rowsOf(table)).toHaveLength(last ? 1 : 0);
      }
    });

    test("shows values of records neither in its message nor beside it", async () => {
      const table = await create("id int primary key, n int");

      const error = await errorOf(into(table).write([{ id: 1, nn: "v4lue-of-a-record" }], contextOf(1)));

      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("v4lue-of-a-record");
    });
  });

  test("an abort ends a write that waits for a lock, and takes its own locks from it", async () => {
    const table = await create("id int primary key, n int");
    await admin.query(`insert into ${table} values (1, 0), (2, 0)`);
    const holder = await admin.getConnection();
    onTestFinished(() => holder.destroy());
    await holder.query("begin");
    await holder.query(`update ${table} set n = 1 where id = 2`);
    const abort = new AbortController();
    const writing = errorOf(into(table).write([{ id: 1, n: 9 }, { id: 2, n: 9 }], contextOf(2, abort.signal))); // prettier-ignore
    await expect.poll(waiting, { timeout: 10_000, interval: 200 }).toBe(1);

    abort.abort(new Error("the run was canceled"));

    expect(await writing).toMatchObject({ message: "the run was canceled" });
    await expect.poll(waiting, { timeout: 2_500, interval: 200 }).toBe(0);
    await admin.query(`update ${table} set n = 5 where id = 1`);
  });

  test("a mark that another transaction is making is waited for, and the batch then comes again", async () => {
    const marks = await create("idempotency_key varchar(36) primary key, applied_at bigint");
    const applied: unknown[] = [];
    const once = sqlImport<object>({
      database: mysql(open()),
      once: marks,
      apply: async (_tx, records) => void applied.push(...records),
    });
    const other = await admin.getConnection();
    onTestFinished(() => other.destroy());
    await other.query("begin");
    await other.query(`insert into ${marks} values ('key 1', 0)`);

    const first = errorOf(once.write([{ n: 0 }, { n: 1 }], contextOf(2)));
    await expect.poll(waiting, { timeout: 10_000, interval: 200 }).toBe(1);
    await other.query("commit");

    expect(outcomeOf(await first)?.kind).toBe("retryLater");
    expect(applied).toEqual([]);
    await once.write([{ n: 0 }, { n: 1 }], contextOf(2));
    expect(applied).toEqual([{ n: 0 }]);
  });

  test("a pool with callbacks is one, too", async () => {
    const pool = callbackMysql2.createPool(mariadbAt(port, name));
    onTestFinished(() => pool.promise().end());

    expect(await mysql(pool).query("select ? as a", [1])).toEqual([{ a: 1 }]);
  });
});
