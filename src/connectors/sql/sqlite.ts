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
  tableName,
} from "./database.ts";
import { changedColumns, onConflict, quote, refuseUnstorable } from "./spelling.ts";

/** What is used of a database of node:sqlite, better-sqlite3 or libsql. */
export interface SqliteConnection {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
}

/** What is used of a statement. */
export interface SqliteStatement {
  all(...values: unknown[]): unknown[];
  run(...values: unknown[]): unknown;
  /** Reads integers as `bigint`, with better-sqlite3 and libsql. */
  safeIntegers?(isOn?: boolean): unknown;
  /** The same with node:sqlite. */
  setReadBigInts?(isOn: boolean): unknown;
}

/**
 * A SQLite database, through a connection of the host's that nothing else uses: node:sqlite, better-sqlite3 or libsql.
 *
 * @throws `invalid_option` if it is none.
 */
export function sqlite(connection: SqliteConnection): SqlDatabase {
  const words = expectation(
    connection,
    objectWith(["prepare", "exec"], "a database of node:sqlite, better-sqlite3 or libsql"),
  );
  if (words !== undefined) throw new InvalidOptionError("sqlite", words, connection);
  const queue = queueOf(connection);
  const queries = new SqliteQueries(connection);
  return {
    dialect: sqliteDialect,
    query: (text, values = []) => queue.enter(() => queries.query(text, values)),
    transaction: (work, signal) => queue.enter(() => transaction(connection, queries, work, signal)),
  };
}

class SqliteQueries implements SqlQueries {
  readonly connection: SqliteConnection;
  /** Whether the host has set its connection to read integers as `bigint`. */
  #readsBigInts: boolean | undefined;

  constructor(connection: SqliteConnection) {
    this.connection = connection;
  }

  async query(text: string, values: readonly unknown[] = []): Promise<readonly SqlRow[]> {
    const statement = this.connection.prepare(text);
    if (returnsRows.test(text)) return this.#rowsOf(statement, values);
    statement.run(...values);
    return [];
  }

  // A client rounds an integer beyond ±(2^53 - 1), or throws.
  #rowsOf(statement: SqliteStatement, values: readonly unknown[]): readonly SqlRow[] {
    this.#readsBigInts ??= typeof (this.connection.prepare("select 1 as n").all()[0] as SqlRow).n === "bigint";
    if (this.#readsBigInts) return statement.all(...values) as readonly SqlRow[];
    if (statement.safeIntegers === undefined) statement.setReadBigInts?.(true);
    else statement.safeIntegers(true);
    const rows = statement.all(...values) as Record<string, unknown>[];
    for (const row of rows) for (const name in row) row[name] = withoutBigInt(row[name]);
    return rows;
  }
}

function withoutBigInt(value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

const returnsRows = /^\s*(select|with|pragma|values)\b|\breturning\b/i;

/** One after the other: all share a connection, and so its transaction. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  enter<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

const queues = new WeakMap<SqliteConnection, Queue>();

function queueOf(connection: SqliteConnection): Queue {
  const queue = queues.get(connection) ?? new Queue();
  queues.set(connection, queue);
  return queue;
}

async function transaction<T>(
  connection: SqliteConnection,
  queries: SqliteQueries,
  work: (tx: SqlQueries) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  connection.exec("begin immediate");
  try {
    const result = await work(queries);
    signal?.throwIfAborted();
    connection.exec("commit");
    return result;
  } catch (error) {
    try {
      connection.exec("rollback");
    } catch {
      // SQLite has done so already.
    }
    throw error;
  }
}

/** SQLite, for a database of another client. */
export const sqliteDialect: SqlDialect = {
  name: "sqlite",
  quote,
  place: () => "?",
  comparesRows: true,
  forUpdate: "",
  // Fewer digits would not be the same number again.
  cursorText: (column) =>
    `case typeof(${column}) when 'real' then printf('%!.17g', ${column}) else cast(${column} as text) end`,
  isSettled: (column, ms) => `julianday(${column}) <= julianday('now') - ${ms} / 86400000.0`,
  nowMs: "cast((julianday('now') - 2440587.5) * 86400000 as integer)",
  faultOf,
  async columnsOf(queries, table) {
    const [name = "", schema] = [...table].reverse();
    const rows = await queries.query("select name from pragma_table_info(?, ?)", [name, schema ?? "main"]);
    return rows.map((row) => String(row.name));
  },
  valueOf,
  writeRows,
};

/** The statement does not fit the table, or nothing can be written at all. */
const isMisfit =
  /no such (table|column)|has no column|generated column|on conflict clause does not match|syntax error|readonly|disk is full|disk I\/O/i;

function faultOf(error: unknown): SqlFault {
  const { code, errcode, rawCode } = (error ?? {}) as { code?: unknown; errcode?: unknown; rawCode?: unknown };
  const name = typeof code === "string" ? code : "";
  // node:sqlite has the number only, and libsql no name for some; the lowest byte is the kind of error.
  const number = errcode ?? rawCode;
  const kind = typeof number === "number" ? number & 0xff : undefined;
  const message = messageOf(error);
  if (/^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG)/.test(name) || kind === 19 || kind === 20 || kind === 18) return "reject";
  if (/^SQLITE_(BUSY|LOCKED)/.test(name) || kind === 5 || kind === 6) return "retry";
  if (isMisfit.test(message)) return "stop";
  if (/^SQLITE_(READONLY|FULL|IOERR|PERM|CANTOPEN|CORRUPT|NOTADB|AUTH)/.test(name)) return "stop";
  return kind !== undefined && [3, 8, 10, 11, 13, 14, 23, 26].includes(kind) ? "stop" : undefined;
}

function valueOf(value: unknown): unknown {
  refuseUnstorable(value);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "bigint" && BigInt.asIntN(64, value) !== value)
    throw new RangeError("an integer of more than 64 bits is no value");
  if (value instanceof Date) return value.toISOString();
  return value === null || typeof value !== "object" || value instanceof Uint8Array ? value : JSON.stringify(value);
}

async function writeRows(
  tx: SqlQueries,
  to: RowStatement,
  rows: readonly (readonly unknown[])[],
): Promise<ReadonlyMap<number, unknown>> {
  const atFault = new Map<number, unknown>();
  const { order, text } = statementOf(to);
  const isInOrder = order.length === to.columns.length && order.every((column, nth) => column === nth);
  const values = isInOrder ? rows : rows.map((row) => order.map((column) => row[column]));
  if (tx instanceof SqliteQueries && writeTogether(tx.connection, to, values)) return atFault;
  const statement = tx instanceof SqliteQueries ? tx.connection.prepare(text) : undefined;
  for (let index = 0; index < values.length; index++) {
    try {
      if (statement === undefined) await tx.query(text, itemAt(values, index));
      else statement.run(...itemAt(values, index));
    } catch (error) {
      // A statement that fails changes nothing, so its neighbours need not be searched.
      if (faultOf(error) !== "reject") throw error;
      atFault.set(index, error);
    }
  }
  return atFault;
}

/** Rows that are inserted by one statement: more of them make none cheaper. */
const rowsTogether = 20;
/** Values that every SQLite takes in one statement. */
const mostValues = 999;

/**
 * Inserts rows many a statement, for which a client needs half the time that it needs for as many statements. Returns false, and has
 * written nothing, where there are too few, and if one of them is refused.
 */
function writeTogether(connection: SqliteConnection, to: RowStatement, rows: readonly (readonly unknown[])[]): boolean {
  const count = Math.min(rowsTogether, Math.floor(mostValues / to.columns.length));
  if (to.mode === "update" || to.mode === "delete" || count < 2 || rows.length < 2 * count) return false;
  const many = connection.prepare(insertOf(to, count));
  const one = connection.prepare(insertOf(to, 1));
  connection.exec("savepoint rows_together");
  try {
    let start = 0;
    for (; start + count <= rows.length; start += count) many.run(...rows.slice(start, start + count).flat());
    for (; start < rows.length; start++) one.run(...itemAt(rows, start));
  } catch (error) {
    if (faultOf(error) !== "reject") throw error;
    connection.exec("rollback to rows_together");
    connection.exec("release rows_together");
    return false;
  }
  connection.exec("release rows_together");
  return true;
}

/** A statement, and which column each of its values is of. */
function statementOf(to: RowStatement): { readonly text: string; readonly order: readonly number[] } {
  const { mode, columns } = to;
  const name = tableName(sqliteDialect, to.table);
  const placeOf = (column: string) => columns.indexOf(column);
  const same = to.key.map((column) => `${quote(column)} = ?`).join(" and ");
  const keys = to.key.map(placeOf);
  if (mode === "delete") return { text: `delete from ${name} where ${same}`, order: keys };
  if (mode === "update") {
    const changed = changedColumns(to);
    const sets = changed.map((column) => `${quote(column)} = ?`).join(", ");
    return { text: `update ${name} set ${sets} where ${same}`, order: [...changed.map(placeOf), ...keys] };
  }
  return { text: insertOf(to, 1), order: columns.map(placeOf) };
}

function insertOf(to: RowStatement, count: number): string {
  const { columns, table } = to;
  const row = `(${columns.map(() => "?").join(", ")})`;
  const rows = new Array<string>(count).fill(row).join(", ");
  return `insert into ${tableName(sqliteDialect, table)} (${columns.map(quote).join(", ")}) values ${rows}${onConflict(to)}`;
}
