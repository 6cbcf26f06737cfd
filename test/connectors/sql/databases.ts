import Database from "libsql";
import pg from "pg";
import { inject } from "vitest";
import { type SqlDatabase, postgres, sqlite } from "../../../src/connectors/sql/index.ts";
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
  readonly types: { readonly time: string; readonly json: string; readonly bytes: string };
  close(): Promise<void>;
}

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
    types: { time: "timestamptz", json: "jsonb", bytes: "bytea" },
    close: () => pool.end(),
  };
}
let databases = 0;

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
        types: { time: "text", json: "text", bytes: "blob" },
        close: async () => void connection.close(),
      };
    },
  };
}

const nodeSqlite = () =>
  (process.getBuiltinModule("node:sqlite") as { readonly DatabaseSync: SqliteClass } | undefined)?.DatabaseSync;

/** Every database that can be had. */
export const testDatabases: readonly TestDatabase[] = [
  { name: "PostgreSQL", open: openPostgres },
  sqliteOf("libsql", () => Database, ""),
  sqliteOf("node:sqlite", nodeSqlite, `it comes with Node 22.13, and this is ${process.versions.node}`),
];
