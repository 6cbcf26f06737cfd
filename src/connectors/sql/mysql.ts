import { InvalidOptionError, retryLater, stop } from "../../errors.ts";
import { expectation, objectWith, v } from "../../model/validate.ts";
import { type SqlDatabase, type SqlDialect, type SqlFault, type SqlRow, isNetworkError } from "./database.ts";
import { writeMysqlRows } from "./mysql-rows.ts";
import { type PooledConnection, pooledTransaction } from "./pooled-transaction.ts";
import { refuseUnstorable } from "./spelling.ts";

/** A statement, as mysql2 is given it. */
export interface MysqlQuery {
  readonly sql: string;
  readonly values: unknown[];
  readonly supportBigNumbers: boolean;
}

/** What is used of a pool of `mysql2/promise`. */
export interface MysqlPool {
  query(query: MysqlQuery): Promise<[result: unknown, ...unknown[]]>;
  getConnection(): Promise<MysqlConnection>;
}

/** What is used of a connection of `mysql2/promise`. */
export interface MysqlConnection {
  readonly threadId: number | null;
  query(query: MysqlQuery): Promise<[result: unknown, ...unknown[]]>;
  release(): void;
  destroy(): void;
}

/**
 * A MySQL or MariaDB database, through a pool of the host's.
 *
 * @param pool of `mysql2/promise`, or of `mysql2`.
 * @throws `invalid_option` if it is neither.
 */
export function mysql(pool: MysqlPool | { promise(): MysqlPool }): SqlDatabase {
  const used = v.is(objectWith(["promise"]), pool) ? (pool as { promise(): MysqlPool }).promise() : pool;
  const words = expectation(used, objectWith(["query", "getConnection"], "a pool of mysql2"));
  if (words !== undefined) throw new InvalidOptionError("mysql", words, pool);
  let strict: Promise<void> | undefined;
  return {
    dialect: mysqlDialect,
    query: (text, values = []) => rowsOf(used, text, values),
    async transaction(work, signal) {
      strict ??= refuseLenientMode(used);
      await strict.catch((error: unknown) => {
        strict = undefined;
        throw error;
      });
      return pooledTransaction(() => connect(used), work, signal);
    },
  };
}

async function rowsOf(
  queries: Pick<MysqlPool, "query">,
  sql: string,
  values: readonly unknown[],
): Promise<readonly SqlRow[]> {
  try {
    // Without supportBigNumbers integers beyond 2^53 would be other ones.
    const [rows] = await queries.query({ sql, values: [...values], supportBigNumbers: true });
    return Array.isArray(rows) ? (rows as readonly SqlRow[]) : [];
  } catch (error) {
    // mysql2 adds the statement with all values in it, which would reach logs.
    if (typeof error === "object" && error !== null && "sql" in error) delete error.sql;
    throw error;
  }
}

/** @throws `stop` if this server cuts off what a column cannot keep, instead of refusing it. */
async function refuseLenientMode(pool: MysqlPool): Promise<void> {
  const [row] = await rowsOf(pool, "select @@session.sql_mode as mode", []);
  if (!/STRICT_(TRANS|ALL)_TABLES|TRADITIONAL/.test(String(row?.mode)))
    throw stop("sql_mode has no STRICT_TRANS_TABLES: the database would change values that a column cannot keep");
}

async function connect(pool: MysqlPool): Promise<PooledConnection> {
  const connection = await pool.getConnection();
  return {
    query: (text, values = []) => rowsOf(connection, text, values),
    isRolledBack: (error) => rolledBackCodes.has(numberOf(error) ?? 0),
    release(isUsable) {
      if (isUsable) connection.release();
      else end(pool, connection);
    },
  };
}

// Of a connection that is cut the server goes on with a statement, and with its locks, until it has ended.
function end(pool: MysqlPool, connection: MysqlConnection): void {
  const { threadId } = connection;
  connection.destroy();
  if (threadId !== null) rowsOf(pool, `kill ${threadId}`, []).catch(() => undefined);
}

/** MySQL and MariaDB, for a database of another client. */
export const mysqlDialect: SqlDialect = {
  name: "mysql",
  quote: (name) => `\`${name.replaceAll("`", "``")}\``,
  place: () => "?",
  // Comparisons of rows do not use an index.
  comparesRows: false,
  forUpdate: " for update",
  cursorText: (column) => `cast(${column} as char)`,
  isSettled: (column, ms) => `${column} <= now(6) - interval ${Math.ceil(ms * 1_000)} microsecond`,
  // Whatever the time zone of the session is.
  nowMs: "(unix_timestamp() * 1000 + microsecond(now(6)) div 1000)",
  faultOf,
  async columnsOf(queries, table) {
    const [name = "", schema = null] = [...table].reverse();
    const text =
      "select column_name as name from information_schema.columns where table_name = ? and table_schema = coalesce(?, database())";
    return (await queries.query(text, [name, schema])).map((row) => String(row.name));
  },
  valueOf,
  writeRows: (tx, to, rows) => writeMysqlRows(mysqlDialect, tx, to, rows),
  async addMarks(tx, table, keys) {
    const places = keys.map(() => "?").join(", ");
    const marked = new Set<unknown>();
    const find = `select idempotency_key from ${table} where idempotency_key in (${places})`;
    // Nothing is locked to begin with: locks on keys that are not there would make others wait for each other.
    if ((await tx.query(find, keys)).length > 0)
      for (const row of await tx.query(`${find}${mysqlDialect.forUpdate}`, keys)) marked.add(row.idempotency_key);
    const fresh = keys.filter((key) => !marked.has(key));
    if (fresh.length === 0) return [];
    const rows = fresh.map(() => `(?, ${mysqlDialect.nowMs})`).join(", ");
    try {
      await tx.query(`insert into ${table} (idempotency_key, applied_at) values ${rows}`, fresh);
    } catch (error) {
      // Another transaction has added one of them meanwhile.
      throw numberOf(error) === duplicate ? retryLater(error) : error;
    }
    return fresh;
  },
};

const duplicate = 1062;

/** What a commit is refused with, and rolled back: a deadlock among the members of a cluster. */
const rolledBackCodes = new Set([1213, 3101]);

const faults: Readonly<Record<Exclude<SqlFault, undefined>, ReadonlySet<number>>> = {
  reject: new Set([
    // null, duplicate, out of range, cut off, wrong value, no default, wrong text, too long
    ...[1048, 1062, 1264, 1265, 1292, 1364, 1366, 1367, 1406, 1441, 1690],
    // foreign keys, `signal`, checks, JSON, larger than a packet
    ...[1216, 1217, 1451, 1452, 1644, 3819, 4025, 3140, 1153],
  ]),
  retry: new Set([
    // too many connections, limits of a user, shut down, network, disk full, read-only, interrupted
    ...[1040, 1203, 1226, 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1021, 1114, 1290, 1836, 1317],
    // lock wait timeout, deadlock, gone away, lost, killed, too slow, nowait, idle
    ...[1205, 1213, 2006, 2013, 1927, 1969, 3024, 3572, 4031],
  ]),
  stop: new Set([
    // access, database, table, column, syntax, rights, password
    ...[1044, 1045, 1049, 1051, 1054, 1064, 1109, 1136, 1142, 1143, 1146, 1227, 1370, 1698, 1820, 1862, 1036],
  ]),
};

function numberOf(error: unknown): number | undefined {
  const { errno } = (error ?? {}) as { errno?: unknown };
  return typeof errno === "number" && errno > 0 ? errno : undefined;
}

/** @see https://mariadb.com/kb/en/mariadb-error-code-reference/ */
function faultOf(error: unknown): SqlFault {
  const number = numberOf(error) ?? 0;
  for (const [fault, numbers] of Object.entries(faults)) if (numbers.has(number)) return fault as SqlFault;
  const message = (error as Error | undefined)?.message ?? "";
  return isNetworkError(error) || /closed state|pool is closed|no connections available|queue limit/i.test(message)
    ? "retry"
    : undefined;
}

function valueOf(value: unknown): unknown {
  refuseUnstorable(value);
  if (typeof value === "bigint") return value.toString();
  // mysql2 writes a date as its pool's `timezone` says, as it reads one.
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return JSON.stringify(value);
}
