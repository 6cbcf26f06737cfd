import { InvalidOptionError } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";
import { objectWith, expectation } from "../../model/validate.ts";
import { itemAt } from "../../model/item-at.ts";
import {
  type RowStatement,
  type SqlDatabase,
  type SqlDialect,
  type SqlFault,
  type SqlQueries,
  type SqlRow,
  isNetworkError,
  tableName,
} from "./database.ts";
import { findAtFault } from "./bad-rows.ts";
import { type PooledConnection, pooledTransaction } from "./pooled-transaction.ts";
import { changedColumns, onConflict, quote, refuseUnstorable } from "./spelling.ts";

/** What is used of a `Pool` of the package `pg`. */
export interface PostgresPool {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
  connect(): Promise<PostgresClient>;
}

/** What is used of a client of the package `pg`. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
  /** With an argument: it is not to be used again. */
  release(destroy?: boolean): void;
}

/**
 * A PostgreSQL database, through a pool of the host's.
 *
 * @throws `invalid_option` if it is no pool of `pg`.
 */
export function postgres(pool: PostgresPool): SqlDatabase {
  const words = expectation(pool, objectWith(["query", "connect"], "a pool of pg"));
  if (words !== undefined) throw new InvalidOptionError("postgres", words, pool);
  return {
    dialect: postgresDialect,
    query: (text, values = []) => rowsOf(pool, text, values),
    transaction: (work, signal) => pooledTransaction(() => connect(pool), work, signal),
  };
}

async function rowsOf(
  queries: Pick<PostgresPool, "query">,
  text: string,
  values: readonly unknown[],
): Promise<readonly SqlRow[]> {
  return (await queries.query(text, [...values])).rows as readonly SqlRow[];
}

async function connect(pool: PostgresPool): Promise<PooledConnection> {
  const client = await pool.connect();
  return {
    query: (text, values = []) => rowsOf(client, text, values),
    // What the server itself refuses, a deferred constraint for one, is rolled back for certain.
    isRolledBack: (error) => !/^(08|57)/.test(sqlStateOf(error) ?? "08"),
    release: (isUsable) => client.release(!isUsable),
  };
}

/** PostgreSQL, for a database of another client. */
export const postgresDialect: SqlDialect = {
  name: "postgres",
  quote,
  place: (nth) => `$${nth}`,
  comparesRows: true,
  forUpdate: " for update",
  cursorText: (column) => `${column}::text`,
  isSettled: (column, ms) => `${column} <= now() - ${ms} * interval '1 millisecond'`,
  nowMs: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
  faultOf,
  async columnsOf(queries, table) {
    const text =
      "select attname from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";
    const rows = await queries.query(text, [tableName(postgresDialect, table)]);
    return rows.map(({ attname }) => String(attname));
  },
  valueOf,
  writeRows,
  addMarks,
};

// Errors of the server have a code of five characters.
function sqlStateOf(error: unknown): string | undefined {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** @see https://www.postgresql.org/docs/current/errcodes-appendix.html */
function faultOf(error: unknown): SqlFault {
  const state = sqlStateOf(error);
  if (state === undefined) return isNetworkError(error) || /terminat/i.test(messageOf(error)) ? "retry" : undefined;
  if (/^(22|23|21000|P0001)/.test(state)) return "reject";
  if (/^(08|40|53|55|57|58)/.test(state)) return "retry";
  return /^(28|3D|3F|42|0A)/.test(state) ? "stop" : undefined;
}

// JSON that `json_populate_recordset` reads as the value, whatever type the column has.
function valueOf(value: unknown): unknown {
  refuseUnstorable(value);
  if (typeof value === "string") return value;
  if (typeof value === "bigint") return value.toString();
  return value instanceof Uint8Array ? `\\x${Buffer.from(value).toString("hex")}` : value;
}

async function writeRows(
  tx: SqlQueries,
  to: RowStatement,
  rows: readonly (readonly unknown[])[],
): Promise<ReadonlyMap<number, unknown>> {
  const unwritable = new Map<number, unknown>();
  const names = to.columns.map((column) => `${JSON.stringify(column)}:`);
  const written = rows.map((row, index) => {
    try {
      return jsonOf(names, row);
    } catch (error) {
      unwritable.set(index, error);
      return undefined;
    }
  });
  const places = [...written.keys()].filter((index) => !unwritable.has(index));
  const text = statementOf(to);
  let isSaved = false;
  const atFault = await findAtFault(places.length, async (from, to) => {
    const part = places.slice(from, to).map((index) => written[index]);
    if (!isSaved) await tx.query("savepoint rows");
    isSaved = true;
    try {
      await tx.query(text, [`[${part.join(",")}]`]);
      // The end of the transaction releases the last one.
      if (to < places.length) await tx.query("release savepoint rows");
      isSaved = false;
      return undefined;
    } catch (error) {
      if (faultOf(error) !== "reject") throw error;
      await tx.query("rollback to savepoint rows");
      return error;
    }
  });
  for (const [place, error] of atFault) unwritable.set(itemAt(places, place), error);
  return unwritable;
}

/** A row as an object: written by hand, as an object made for it costs more than its text. */
function jsonOf(names: readonly string[], row: readonly unknown[]): string {
  let text = "";
  for (let nth = 0; nth < row.length; nth++) {
    const value = row[nth];
    // What JSON leaves out, such as what `toJSON` makes undefined, is no value of the column.
    const json = typeof value === "number" ? String(value) : (JSON.stringify(value) as string | undefined);
    if (json !== undefined) text += (text === "" ? "" : ",") + itemAt(names, nth) + json;
  }
  return `{${text}}`;
}

async function addMarks(tx: SqlQueries, table: string, keys: readonly string[]): Promise<readonly string[]> {
  const source =
    "select key, (extract(epoch from clock_timestamp()) * 1000)::bigint from json_array_elements_text($1) as mark (key)";
  const insert = `insert into ${table} (idempotency_key, applied_at) ${source} on conflict (idempotency_key) do nothing returning idempotency_key`;
  // As one row of text: a row for each key costs the client more than all the rest.
  const text = `with added as (${insert}) select coalesce(json_agg(idempotency_key), '[]')::text as keys from added`;
  const [row] = await tx.query(text, [JSON.stringify(keys)]);
  return JSON.parse(String(row?.keys)) as readonly string[];
}

function statementOf(to: RowStatement): string {
  const { mode, columns } = to;
  const name = tableName(postgresDialect, to.table);
  const source = `json_populate_recordset(null::${name}, $1)`;
  const same = to.key.map((column) => `t.${quote(column)} = r.${quote(column)}`).join(" and ");
  if (mode === "delete") return `delete from ${name} t using ${source} r where ${same}`;
  if (mode === "update") {
    const sets = changedColumns(to).map((column) => `${quote(column)} = r.${quote(column)}`);
    return `update ${name} t set ${sets.join(", ")} from ${source} r where ${same}`;
  }
  const list = columns.map(quote).join(", ");
  return `insert into ${name} (${list}) select ${list} from ${source}${onConflict(to)}`;
}
