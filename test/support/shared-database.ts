import Database from "libsql";
import mysql2 from "mysql2/promise";
import pg from "pg";
import { type SqlDatabase, mysql, postgres, sqlite } from "../../src/connectors/sql/index.ts";

/** Where a process finds the database that it shares with others. */
export interface Place {
  readonly kind: "PostgreSQL" | "MariaDB" | "libsql";
  readonly port: number;
  /** The name of the database, or its file. */
  readonly name: string;
}

/** The servers of tests are here only. */
const host = "127.0.0.1";

/** The database that several processes share. */
export function openPlace({ kind, port, name }: Place): {
  readonly database: SqlDatabase;
  readonly close: () => Promise<void>;
} {
  if (kind === "PostgreSQL") {
    const pool = new pg.Pool({ host, port, user: "postgres", password: "postgres", database: name, max: 2 });
    return { database: postgres(pool), close: () => pool.end() };
  }
  if (kind === "MariaDB") {
    const pool = mysql2.createPool({ host, port, user: "root", database: name, connectionLimit: 2 });
    return { database: mysql(pool), close: () => pool.end() };
  }
  const connection = new Database(name);
  connection.exec("pragma busy_timeout = 10000");
  return { database: sqlite(connection), close: async () => void connection.close() };
}
