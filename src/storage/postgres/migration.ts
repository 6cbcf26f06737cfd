import { type SqlValue, type TransactionBody } from "../sql/database.ts";
import { checkVersion, migrate, schemaVersion } from "../sql/schema.ts";
import { type PostgresClient, type PostgresPool, types } from "./pool.ts";
import { inTransaction } from "./postgres-database.ts";
import { dialect, quoted, spelledInPath } from "./spelling.ts";

/**
 * The version that a schema has, 0 if none.
 *
 * @throws Error if it is newer than this code.
 */
export async function versionOf(pool: Pick<PostgresPool, "query">, schema: string): Promise<number> {
  const table = `${quoted(schema)}."schema"`;
  const [row] = await rowsOf<{ found: string | null }>(pool, `select to_regclass($1)::text as found`, [table]);
  if (row?.found == null) return 0;
  const newest = await rowsOf(pool, `select coalesce(max(version), 0) as version from ${table}`);
  const [{ version }] = newest as readonly [{ readonly version: number }];
  return checkVersion(version);
}

/** The name of the lock that whoever makes tables of a schema takes. */
export function lockOf(schema: string): string {
  return `poundlock/${schema}`;
}

/**
 * Makes the schema, or brings it up to date, in one transaction. Processes that do so at the same time wait for each
 * other, since making the same table at once fails.
 */
export async function migrateSchema(pool: PostgresPool, schema: string): Promise<void> {
  if ((await versionOf(pool, schema)) === schemaVersion) return;
  await inTransaction(pool, "begin isolation level read committed read write", async (client) => {
    await rowsOf(client, `select pg_advisory_xact_lock(hashtext($1))`, [lockOf(schema)]);
    // Looked up first: a role that may not create schemas may still use one that exists.
    const known = await rowsOf(client, `select 1 from pg_namespace where nspname = $1`, [schema]);
    if (known.length === 0) await rowsOf(client, `create schema ${quoted(schema)}`);
    await rowsOf(client, `set local search_path to ${quoted(schema)}`);
    await execute(client, migrate(dialect));
  });
}

async function execute(client: PostgresClient, body: TransactionBody<void>): Promise<void> {
  let step = body.next([]);
  while (step.done !== true) {
    const { sql, values } = step.value;
    step = body.next(await rowsOf(client, spelledInPath(sql), values));
  }
}

async function rowsOf<Row>(
  on: Pick<PostgresPool, "query">,
  text: string,
  values: readonly SqlValue[] = [],
): Promise<readonly Row[]> {
  const { rows } = await on.query(values.length === 0 ? { text, types } : { text, values: [...values], types });
  return rows as readonly Row[];
}
