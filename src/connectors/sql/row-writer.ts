import type { ImportContext } from "../../model/host/import.ts";
import { formatValue } from "../../model/record/json.ts";
import { itemAt } from "../../model/item-at.ts";
import type { SqlDatabase, SqlQueries, WriteMode } from "./database.ts";

/** What a {@link RowWriter} goes by. */
export interface RowRule {
  readonly table: readonly string[];
  readonly mode: WriteMode;
  readonly key: readonly string[];
  readonly keyColumn: string | undefined;
  readonly extra: "stop" | "drop";
  /** The column for which run wrote a row. */
  readonly stamp: string | undefined;
}

/** Rows that have the same columns. */
export interface RowGroup {
  readonly columns: readonly string[];
  readonly rows: (readonly unknown[])[];
  /** The record that each row was made of. */
  readonly indexes: number[];
}

/** A batch as rows. */
export interface PreparedRows {
  readonly groups: readonly RowGroup[];
  /** Records that cannot be rows. */
  readonly bad: ReadonlyMap<number, unknown>;
}

/** Turns records into rows, and writes them. */
export class RowWriter {
  readonly #database: SqlDatabase;
  readonly #rule: RowRule;
  #columns: ReadonlySet<string> | undefined;

  constructor(database: SqlDatabase, rule: RowRule) {
    this.#database = database;
    this.#rule = rule;
  }

  /** The rows of a batch. Of several records of one row only the last is left: it is what the row is after all of them. */
  async prepare(records: readonly object[], context: ImportContext): Promise<PreparedRows> {
    const { extra, table } = this.#rule;
    if (extra === "drop" && this.#columns === undefined)
      this.#columns = new Set(await this.#database.dialect.columnsOf(this.#database, table));
    const bad = new Map<number, unknown>();
    const last = this.#lastOfEachRow(records);
    const groups = new Map<string, RowGroup>();
    for (const [index, record] of records.entries()) {
      try {
        this.#checkKey(record);
        if (last !== undefined && last.get(this.#identityOf(record)) !== index) continue;
        this.#add(groups, record, index, context);
      } catch (error) {
        bad.set(index, error);
      }
    }
    return { groups: [...groups.values()], bad };
  }

  /** Returns the records at fault, and why. */
  async write(tx: SqlQueries, groups: readonly RowGroup[]): Promise<ReadonlyMap<number, unknown>> {
    const { keyColumn, ...rule } = this.#rule;
    const atFault = new Map<number, unknown>();
    for (const { columns, rows, indexes } of groups) {
      const to = { ...rule, columns, ...(keyColumn === undefined ? {} : { keyColumn }) };
      for (const [place, error] of await this.#database.dialect.writeRows(tx, to, rows))
        atFault.set(itemAt(indexes, place), error);
    }
    return atFault;
  }

  #add(groups: Map<string, RowGroup>, record: object, index: number, context: ImportContext): void {
    const { dialect } = this.#database;
    const { keyColumn, stamp } = this.#rule;
    const columns: string[] = [];
    const row: unknown[] = [];
    const add = (column: string, value: unknown) => {
      columns.push(column);
      row.push(dialect.valueOf(value));
    };
    for (const [column, value] of Object.entries(record))
      if (value !== undefined && column !== keyColumn && column !== stamp && this.#columns?.has(column) !== false)
        add(column, value);
    if (keyColumn !== undefined) add(keyColumn, context.idempotencyKeys[index]);
    if (stamp !== undefined) add(stamp, `${context.flow._id}/${context.run._id}`);
    const name = JSON.stringify(columns);
    const group = groups.get(name) ?? { columns, rows: [], indexes: [] };
    group.rows.push(row);
    group.indexes.push(index);
    groups.set(name, group);
  }

  #checkKey(record: unknown): void {
    if (typeof record !== "object" || record === null)
      throw new TypeError(`expected an object, found ${formatValue(record)}`);
    for (const column of this.#rule.key) {
      const value = (record as Record<string, unknown>)[column];
      if (value === undefined || value === null)
        throw new TypeError(`${column}: expected a value, as it identifies the row, found ${formatValue(value)}`);
    }
  }

  #lastOfEachRow(records: readonly object[]): ReadonlyMap<string, number> | undefined {
    if (this.#rule.mode === "insert") return undefined;
    const last = new Map<string, number>();
    for (const [index, record] of records.entries()) last.set(this.#identityOf(record), index);
    return last.size === records.length ? undefined : last;
  }

  #identityOf(record: object | null): string {
    return this.#rule.key.map((column) => identityOf((record as Record<string, unknown> | null)?.[column])).join();
  }
}

function identityOf(value: unknown): string {
  if (value instanceof Date) return JSON.stringify(value.getTime());
  return typeof value === "bigint" || typeof value === "number" ? String(value) : formatFully(value);
}

function formatFully(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : formatValue(value);
}
