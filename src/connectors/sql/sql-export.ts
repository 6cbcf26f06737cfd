import { InvalidOptionError, retryLater } from "../../errors.ts";
import { type Export, type ExportContext, exportRules } from "../../model/host/export.ts";
import type { Page } from "../../model/host/page.ts";
import { duration, objectWith, oneOf, string, v, validate } from "../../model/validate.ts";
import { itemAt } from "../../model/item-at.ts";
import { type SqlDatabase, type SqlRow, tableName } from "./database.ts";

/** What is read of a table. */
export interface SqlExportOptions<T> extends Omit<
  Export<T, SqlCheckpoint>,
  "pages" | "order" | "whole" | "committed" | "migrate" | "checkpointVersion"
> {
  readonly database: SqlDatabase;
  /** A table or a view, with its schema or without; a name with a dot in it as an array of its parts. */
  readonly table: string | readonly string[];
  /**
   * What rows are ordered by; the last of these columns is unique, and the first says when a row was changed, or grows
   * with each new row.
   */
  readonly cursor: readonly string[];
  /**
   * How old a row has to be to be read, in milliseconds by the database's clock: longer than the longest transaction that
   * writes here, since a row becomes visible when its transaction commits. Required, unless all is read in each run.
   */
  readonly settleMs?: number;
  /** The column that says how old a row is, a time. @default the first of `cursor` */
  readonly settleColumn?: string;
  /** A condition of SQL that is true for rows old enough to be read, in place of `settleMs` by `settleColumn`. */
  readonly settled?: string;
  /** `changes`: what comes after the last row that was read. `all`: the whole table in every run. @default "changes" */
  readonly read?: "changes" | "all";
  /** The columns that are read. @default all */
  readonly columns?: readonly string[];
  /** A condition of SQL that rows have to meet. @default none */
  readonly where?: string;
}

/** The cursor of the last row, as the database's own text. Of a run that reads all, only in that run. */
export interface SqlCheckpoint {
  readonly after: readonly string[];
  readonly run?: string;
}

const { pages: _pages, order: _order, whole: _whole, committed: _committed, ...settingRules } = exportRules;
const names = v.pipe(v.array(string, "an array of names"), v.minLength(1, "an array of names"));
const optionRules = {
  ...settingRules,
  database: objectWith(["query", "transaction"], "a database, as postgres, mysql and sqlite make it"),
  table: v.union([v.pipe(string, v.minLength(1)), names], "the name of a table"),
  cursor: names,
  settleMs: v.optional(duration),
  settleColumn: v.optional(string),
  settled: v.optional(string),
  read: v.optional(oneOf("changes", "all")),
  columns: v.optional(names),
  where: v.optional(string),
};

/**
 * Reads a table in the order of a cursor, page by page, each from the last row of the one before: never by offsets. Rows
 * with the same time, of any precision, and rows of transactions that commit late are not lost.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function sqlExport<T = SqlRow>(options: SqlExportOptions<T>): Export<T, SqlCheckpoint> {
  validate(options, optionRules, InvalidOptionError, "sqlExport.");
  const {
    database,
    table,
    cursor,
    settleMs,
    settleColumn,
    settled,
    read = "changes",
    columns,
    where,
    ...settings
  } = options;
  if (read === "changes" && settleMs === undefined && settled === undefined)
    throw new InvalidOptionError("sqlExport.settleMs", "how old a row has to be, in milliseconds", settleMs);
  const last = itemAt(cursor, cursor.length - 1);
  const key = (row: T) => String((row as SqlRow)[last]);
  return {
    ...(columns === undefined || columns.includes(last) ? { key } : {}),
    ...settings,
    ...(read === "all" ? { whole: true } : { order: "ordered" as const }),
    pages: (context) => new TableReading(options, context).pages(),
  };
}

/** The parts of a table's name. */
export function tableParts(table: string | readonly string[]): readonly string[] {
  return typeof table === "string" ? table.split(".") : table;
}

const cursorPrefix = "poundlock_cursor_";
const cursorColumn = (nth: number) => cursorPrefix + String(nth);

/** One reading of a table. */
class TableReading<T> {
  readonly #options: SqlExportOptions<T>;
  readonly #context: ExportContext<SqlCheckpoint>;
  readonly #cursor: readonly string[];

  constructor(options: SqlExportOptions<T>, context: ExportContext<SqlCheckpoint>) {
    this.#options = options;
    this.#context = context;
    this.#cursor = options.cursor.map((column) => options.database.dialect.quote(column));
  }

  async *pages(): AsyncGenerator<Page<T, SqlCheckpoint>> {
    const { signal, until, run, checkpoint } = this.#context;
    const isAll = this.#options.read === "all";
    let after = isAll && checkpoint?.run !== run._id ? undefined : checkpoint?.after;
    signal.throwIfAborted();
    await this.#refuseNulls();
    for (;;) {
      const rows = await this.#query(this.#statement(after));
      if (signal.aborted) return;
      const [first, last] = [rows[0], rows.at(-1)];
      if (first === undefined || last === undefined) break;
      if (after !== undefined) this.#refuseAgain(after, first, last);
      after = this.#placeOf(last);
      yield {
        records: this.#records(rows, first),
        checkpoint: { after, ...(isAll ? { run: run._id } : {}) },
      };
      if (rows.length < this.#context.pageSize) break;
    }
    if (until !== undefined && !isAll) yield { records: [], checkpoint: until };
  }

  #statement(after: readonly string[] | undefined): { readonly text: string; readonly values: readonly string[] } {
    const { database, where, columns } = this.#options;
    const { dialect } = database;
    const until = this.#options.read === "all" ? undefined : this.#context.until?.after;
    const values: string[] = [];
    const conditions = [
      ...(after === undefined ? [] : [this.#compared(">", after, values)]),
      ...(until === undefined ? [] : [this.#compared("<=", until, values)]),
      ...this.#settled(),
      ...(where === undefined ? [] : [`(${where})`]),
    ];
    const places = this.#cursor.map((column, nth) => `${dialect.cursorText(column)} as ${cursorColumn(nth)}`);
    const table = tableName(dialect, tableParts(this.#options.table));
    const read = columns === undefined ? `${table}.*` : columns.map((column) => dialect.quote(column)).join(", ");
    const condition = conditions.length === 0 ? "" : ` where ${conditions.join(" and ")}`;
    const order = ` order by ${this.#cursor.join(", ")} limit ${this.#context.pageSize}`;
    return { text: `select ${read}, ${places.join(", ")} from ${table}${condition}${order}`, values };
  }

  // Values are added in the order of the text.
  #compared(sign: ">" | "<=", bounds: readonly string[], values: string[]): string {
    const { dialect } = this.#options.database;
    const place = (nth: number) => dialect.place(values.push(itemAt(bounds, nth)));
    const cursor = this.#cursor;
    if (dialect.comparesRows)
      return `(${cursor.join(", ")}) ${sign} (${cursor.map((_, nth) => place(nth)).join(", ")})`;
    const from = (nth: number): string => {
      const column = itemAt(cursor, nth);
      if (nth === cursor.length - 1) return `${column} ${sign} ${place(nth)}`;
      const strict = sign.charAt(0);
      return `${column} ${strict}= ${place(nth)} and (${column} ${strict} ${place(nth)} or (${column} = ${place(nth)} and ${from(nth + 1)}))`;
    };
    return `(${from(0)})`;
  }

  #settled(): readonly string[] {
    const { database, cursor, read, settleColumn = itemAt(cursor, 0), settleMs, settled } = this.#options;
    if (settled !== undefined) return [`(${settled})`];
    if (settleMs === undefined || (settleMs === 0 && read === "all")) return [];
    return [database.dialect.isSettled(database.dialect.quote(settleColumn), settleMs)];
  }

  #placeOf(row: SqlRow): readonly string[] {
    return this.#cursor.map((_, nth) => String(row[cursorColumn(nth)]));
  }

  // With a cursor whose text is not its value again, the same rows would be read for ever.
  #refuseAgain(after: readonly string[], ...rows: readonly SqlRow[]): void {
    for (const row of rows)
      if (this.#placeOf(row).every((value, nth) => value === after[nth]))
        throw new Error(
          `${tableParts(this.#options.table).join(".")} has rows after (${after.join(", ")}) with the same cursor: is (${this.#options.cursor.join(", ")}) unique, and of types whose text is exact?`,
        );
  }

  // Such a row is neither before nor after any other.
  async #refuseNulls(): Promise<void> {
    const { database, where, cursor, table } = this.#options;
    const condition = where === undefined ? "" : ` and (${where})`;
    for (const [nth, column] of this.#cursor.entries()) {
      const name = tableName(database.dialect, tableParts(table));
      const text = `select 1 as found from ${name} where ${column} is null${condition} limit 1`;
      if ((await this.#query({ text, values: [] })).length > 0)
        throw new Error(
          `${tableParts(table).join(".")}.${itemAt(cursor, nth)} is null in a row: such rows can be neither ordered nor found again`,
        );
    }
  }

  async #query({
    text,
    values,
  }: {
    readonly text: string;
    readonly values: readonly string[];
  }): Promise<readonly SqlRow[]> {
    const { database } = this.#options;
    try {
      return await database.query(text, values);
    } catch (error) {
      throw database.dialect.faultOf(error) === "retry" ? retryLater(error) : error;
    }
  }

  // Without the columns of the cursor's text. All rows have the same columns.
  #records(rows: readonly SqlRow[], first: SqlRow): readonly T[] {
    const columns = Object.keys(first).filter((column) => !column.startsWith(cursorPrefix));
    return rows.map((row) => {
      const record: Record<string, unknown> = {};
      for (const column of columns) record[column] = row[column];
      return record as T;
    });
  }
}
