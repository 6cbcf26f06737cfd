import { ConflictError, InvalidOptionError } from "../../errors.ts";
import type { Storage } from "../storage.ts";
import { type SqlDatabase, type SqlValue, type TransactionBody, execute, statement } from "./database.ts";
import { databaseOf } from "./sql-storage.ts";
import { itemAt } from "../../model/item-at.ts";

/** A table, and the columns that no two of its rows have alike. */
interface Table {
  readonly name: string;
  readonly key: readonly string[];
  /** Rows that are copied at once. */
  readonly size: number;
  /** The highest number that was given to a row, which need not be there any more; of tables that number their rows. */
  readonly highest?: string;
}

// In an order in which none refers to one that comes later.
const tables: readonly Table[] = [
  { name: "flows", key: ["id"], size: 100 },
  { name: "flow_imports", key: ["flow_id", "import_id"], size: 500 },
  { name: "places", key: ["flow_id", "import_id"], size: 100 },
  { name: "runs", key: ["seq"], size: 100, highest: "select max(seq) as seq from poundlock_runs" },
  { name: "run_imports", key: ["import_id", "run_seq"], size: 500 },
  { name: "histories", key: ["flow_id"], size: 500 },
  // Rows that have records in them may be large.
  { name: "failures", key: ["seq"], size: 10, highest: "select max(seq) as seq from poundlock_failures" },
  { name: "causes", key: ["flow_id", "import_id", "integration_id", "cause"], size: 500 },
  {
    ...{ name: "inbox", key: ["seq"], size: 10 },
    // A page that gets a number up to the one that an import has settled would never be read.
    highest: `select max(seq) as seq from (select max(seq) as seq from poundlock_inbox
      union all select max(inbox) as seq from poundlock_places) as numbers`,
  },
  { name: "drops", key: ["flow_id", "page_seq", "import_id"], size: 500 },
  { name: "events", key: ["flow_id", "id"], size: 500 },
  { name: "statistics", key: ["hour", "integration_id", "process"], size: 500 },
];

/**
 * Copies everything from one storage to another one, which has to be empty: flows, runs, places, failures and inboxes, with
 * their ids and in their order. No scheduler may run on either of them meanwhile; a run that is active in the copy is
 * reclaimed there when its lease has expired. Of both storages, each has to be a `SqliteStorage` or a `PostgresStorage`.
 * Nothing changes in `from`, but that a removal of old runs that was interrupted there is completed.
 * If it fails, what it has copied so far stays: remove it before you try again.
 *
 * @throws `invalid_option` if one of them is another storage; `conflict` if `to` is not empty.
 */
export async function copyStorage(from: Storage, to: Storage): Promise<void> {
  const source = sqlDatabaseOf("from", from);
  const target = sqlDatabaseOf("to", to);
  for (const { name } of tables) {
    const rows = await target.query(statement(`select 1 as one from poundlock_${name} limit 1`));
    if (rows.length > 0) throw new ConflictError(`The storage to copy to is not empty: its table ${name} has rows`);
  }
  await finishRemovals(from);
  for (const table of tables) await copyTable(source, target, table);
}

// What hangs on runs is removed after the runs, in portions: each call does the next one, and removes nothing else.
async function finishRemovals(storage: Storage): Promise<void> {
  const none = { endedBefore: Number.MIN_SAFE_INTEGER, runsPerFlow: 2 ** 31 - 1, limit: 1 };
  while ((await storage.prune(none)) > 0);
}

function sqlDatabaseOf(name: string, storage: Storage): SqlDatabase {
  const database = databaseOf(storage);
  if (database === undefined) throw new InvalidOptionError(name, "a SqliteStorage or a PostgresStorage", storage);
  return database;
}

type Row = Readonly<Record<string, SqlValue>>;

async function copyTable(source: SqlDatabase, target: SqlDatabase, table: Table): Promise<void> {
  const { name, key, size, highest } = table;
  const columns = key.join(", ");
  let after: readonly SqlValue[] = [];
  for (;;) {
    const place = after.length === 0 ? "" : ` where (${columns}) > (${key.map(() => "?").join(", ")})`;
    const sql = `select * from poundlock_${name}${place} order by ${columns} limit ?`;
    const rows = (await source.query(statement(sql, ...after, size))) as readonly Row[];
    const last = rows.at(-1);
    if (last === undefined) break;
    await target.runTransaction(() => insertRows(name, rows));
    after = key.map((column) => last[column] as SqlValue);
  }
  if (highest === undefined) return;
  const [row] = (await source.query(statement(highest))) as readonly { readonly seq: number | null }[];
  const seq = row?.seq ?? 0;
  if (seq > 0) await target.runTransaction(() => numberOn(target, name, seq));
}

function* insertRows(name: string, rows: readonly Row[]): TransactionBody<void> {
  const columns = Object.keys(itemAt(rows, 0));
  const marks = `(${columns.map(() => "?").join(", ")})`;
  const values = rows.flatMap((row) => columns.map((column) => valueOf(row[column])));
  const sql = `insert into poundlock_${name} (${columns.join(", ")}) values ${rows.map(() => marks).join(", ")}`;
  yield* execute(sql, ...values);
}

// Some drivers return an ArrayBuffer, and some a view of memory that they go on using.
function valueOf(value: SqlValue | ArrayBuffer | undefined): SqlValue {
  if (value instanceof ArrayBuffer || value instanceof Uint8Array) return Uint8Array.from(new Uint8Array(value));
  return value ?? null;
}

function* numberOn({ dialect }: SqlDatabase, name: string, seq: number): TransactionBody<void> {
  for (const sql of dialect.numberAfter(`poundlock_${name}`)) yield* execute(sql, seq);
}
