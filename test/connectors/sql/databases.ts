import { createRequire } from "node:module";
import Database from "libsql";
import mysql2 from "mysql2/promise";
import pg from "pg";
import { inject } from "vitest";
import { type SqlDatabase, mysql, postgres, sqlite } from "../../../src/connectors/sql/index.ts";
import { mariadbAt } from "../../support/mariadb-server.ts";
import { connectionTo } from "../../support/postgres-server.ts";

/** A database for tests, and what differs in its SQL. */
export interface TestDatabase {
  readonly name: string;
  /** Why it cannot be had here. */
  readonly skip?: string;
  readonly open: () => Promise<OpenDatabase>;
}

/** A database that is open. */
export interface OpenDatabase {
  readonly database: SqlDatabase;
  readonly types: SqlTypes;
  close(): Promise<void>;
}

/** How a database spells types; `key` is one of strings that an index may have. */
export type SqlTypes = Readonly<Record<"key" | "time" | "json" | "bytes", string>>;

/** A new database on the server that all tests of this project share. */
async function openPostgres(): Promise<OpenDatabase> {
  const port = inject("postgresPort");
  const name = `sql_${process.pid}_${++databases}`;
  const admin = new pg.Client(connectionTo(port));
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const pool = new pg.Pool({ ...connectionTo(port, name), max: 4 });
  pool.on("error", () => undefined);
  return {
    database: postgres(pool),
    types: { key: "text", time: "timestamptz", json: "jsonb", bytes: "bytea" },
    close: () => pool.end(),
  };
}
let databases = 0;

function mariadb(): TestDatabase {
  const server = inject("mariadb");
  if ("missing" in server)
    return { name: "MariaDB", skip: server.missing, open: () => Promise.reject(new Error(server.missing)) };
  return { name: "MariaDB", open: () => openMariadb(server.port) };
}

/** In UTC: `2026-01-01 00:00:00` of a test is the same instant everywhere. */
async function openMariadb(port: number): Promise<OpenDatabase> {
  const name = `sql_${process.pid}_${++databases}`;
  const admin = await mysql2.createConnection(mariadbAt(port));
  await admin.query(`create database ${name} character set utf8mb4`);
  await admin.end();
  const pool = mysql2.createPool({ ...mariadbAt(port, name), connectionLimit: 4, timezone: "Z" });
  return {
    database: mysql(pool),
    types: { key: "varchar(100)", time: "datetime(6)", json: "json", bytes: "blob" },
    close: () => pool.end(),
  };
}

type SqliteClass = new (file: string) => Parameters<typeof sqlite>[0] & { close(): unknown };

function sqliteOf(name: string, load: () => SqliteClass | undefined, why: string): TestDatabase {
  const found = load();
  return {
    name,
    ...(found === undefined ? { skip: why } : {}),
    open: async () => {
      if (found === undefined) throw new Error(why);
      const connection = new found(":memory:");
      return {
        database: sqlite(connection),
        types: { key: "text", time: "text", json: "text", bytes: "blob" },
        close: async () => void connection.close(),
      };
    },
  };
}

const nodeSqlite = () =>
  (process.getBuiltinModule("node:sqlite") as { readonly DatabaseSync: SqliteClass } | undefined)?.DatabaseSync;

/** Version 13 ends a Node that is older than 22 with a segmentation fault. */
const betterSqlite3 = () =>
  Number(process.versions.node.split(".")[0]) < 22
    ? undefined
    : (createRequire(import.meta.url)("better-sqlite3") as SqliteClass);

const here = `and this is ${process.versions.node}`;

/** Every database that can be had. */
export const testDatabases: readonly TestDatabase[] = [
  { name: "PostgreSQL", open: openPostgres },
  mariadb(),
  sqliteOf("libsql", () => Database, ""),
  sqliteOf("node:sqlite", nodeSqlite, `it comes with Node 22.13, ${here}`),
  sqliteOf("better-sqlite3", betterSqlite3, `it takes Node 22, ${here}`),
];
