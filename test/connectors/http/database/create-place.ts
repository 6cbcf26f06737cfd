import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mysql2 from "mysql2/promise";
import pg from "pg";
import { inject, onTestFinished } from "vitest";
import { mariadbAt } from "../../../support/mariadb-server.ts";
import { connectionTo } from "../../../support/postgres-server.ts";
import type { Place } from "../../../support/shared-database.ts";

/** A kind of database that several processes can share, and why it cannot be had here. */
export interface SharedKind {
  readonly kind: Place["kind"];
  readonly missing?: string;
}

const mariadb = inject("mariadb");

/** Every kind of database. */
export const sharedKinds: readonly SharedKind[] = [
  { kind: "PostgreSQL" },
  { kind: "MariaDB", ...("missing" in mariadb ? { missing: mariadb.missing } : {}) },
  { kind: "libsql" },
];

let databases = 0;

/** A new database for a test. */
export async function createPlace(kind: Place["kind"]): Promise<Place> {
  const name = `shared_${process.pid}_${++databases}`;
  if (kind === "PostgreSQL") {
    const port = inject("postgresPort");
    const admin = new pg.Client(connectionTo(port));
    await admin.connect();
    await admin.query(`create database ${name}`);
    await admin.end();
    return { kind, port, name };
  }
  if (kind === "MariaDB") {
    const port = "port" in mariadb ? mariadb.port : 0;
    const admin = await mysql2.createConnection(mariadbAt(port));
    await admin.query(`create database ${name}`);
    await admin.end();
    return { kind, port, name };
  }
  const folder = mkdtempSync(join(tmpdir(), "poundlock-shared-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return { kind, port: 0, name: join(folder, "shared.db") };
}
