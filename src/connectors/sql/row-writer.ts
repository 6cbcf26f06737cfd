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
    const groups = new RowGroups();
    const stamp = this.#rule.stamp === undefined ? "" : `${context.flow._id}/${context.run._id}`;
    for (let index = 0; index < records.length; index++) {
      const record = itemAt(records, index);
      try {
        this.#checkKey(record);
        if (last !== undefined && last.get(this.#identityOf(record)) !== index) continue;
        this.#add(groups, record, index, { context, stamp });
      } catch (error) {
        bad.set(index, error);
      }
    }
    return { groups: groups.all, bad };
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

  #add(
    groups: RowGroups,
    record: object,
    index: number,
    { context, stamp }: { readonly context: ImportContext; readonly stamp: string },
  ): void {
    const { dialect } = this.#database;
    const { key, keyColumn, mode, stamp: stampColumn } = this.#rule;
    const columns: string[] = [];
    const row: unknown[] = [];
    // Of a row that is deleted nothing but its key is looked at.
    for (const column of mode === "delete" ? key : Object.keys(record)) {
      const value = (record as Record<string, unknown>)[column];
      if (value === undefined || column === keyColumn || column === stampColumn) continue;
      if (this.#columns?.has(column) === false) continue;
      columns.push(column);
      row.push(dialect.valueOf(value));
    }
    if (keyColumn !== undefined) {
      columns.push(keyColumn);
      row.push(context.idempotencyKeys[index]);
    }
    if (stampColumn !== undefined) {
      columns.push(stampColumn);
      row.push(stamp);
    }
    groups.add(columns, row, index);
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
    for (let index = 0; index < records.length; index++) last.set(this.#identityOf(itemAt(records, index)), index);
    return last.size === records.length ? undefined : last;
  }

  #identityOf(record: object | null): string {
    const { key } = this.#rule;
    const valueOf = (column: string) => (record as Record<string, unknown> | null)?.[column];
    const [only = ""] = key;
    // With one column a string needs no end.
    const value = key.length === 1 ? valueOf(only) : undefined;
    return typeof value === "string" ? `"${value}` : key.map((column) => identityOf(valueOf(column))).join();
  }
}

/** Rows by their columns, in the order in which these came. */
class RowGroups {
  readonly #groups = new Map<string, RowGroup>();
  /** That of the row before: most rows have the same columns as it. */
  #last: RowGroup | undefined;

  get all(): readonly RowGroup[] {
    return [...this.#groups.values()];
  }

  add(columns: readonly string[], row: readonly unknown[], index: number): void {
    if (this.#last === undefined || !areSame(this.#last.columns, columns)) this.#last = this.#groupOf(columns);
    this.#last.rows.push(row);
    this.#last.indexes.push(index);
  }

  #groupOf(columns: readonly string[]): RowGroup {
    const name = JSON.stringify(columns);
    const group = this.#groups.get(name) ?? { columns, rows: [], indexes: [] };
    this.#groups.set(name, group);
    return group;
  }
}

function areSame(one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false;
  for (let nth = 0; nth < one.length; nth++) if (one[nth] !== other[nth]) return false;
  return true;
}

function identityOf(value: unknown): string {
  if (value instanceof Date) return JSON.stringify(value.getTime());
  return typeof value === "bigint" || typeof value === "number" ? String(value) : formatFully(value);
}

function formatFully(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : formatValue(value);
}
