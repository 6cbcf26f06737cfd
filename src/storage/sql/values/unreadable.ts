/**
 * A row that is damaged, was edited by hand, or says one thing in its columns and another one in its document. Nothing of
 * what it holds is in the message: that may be nobody's to read.
 */
export class UnreadableRowError extends Error {
  override readonly name = "UnreadableRowError";
  /** Without `poundlock_`. */
  readonly table: string;
  readonly _id: string;

  constructor(table: string, _id: string, why: string) {
    super(`row ${_id} of table poundlock_${table} cannot be read: ${why}`);
    this.table = table;
    this._id = _id;
  }
}

/** Hears of a row that was left out. A transaction that is executed again says it again. */
export type ReportUnreadable = (error: UnreadableRowError) => void;

/** What `read` returns; undefined, and reported, if it finds a row that cannot be read. */
export function readable<T>(read: () => T, report?: ReportUnreadable): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UnreadableRowError)) throw error;
    report?.(error);
    return undefined;
  }
}

/** What can be read of these rows. */
export function allReadable<Row, T>(
  rows: readonly Row[],
  read: (row: Row) => T & object,
  report?: ReportUnreadable,
): readonly T[] {
  return rows.flatMap((row) => readable(() => read(row), report) ?? []);
}

/**
 * The object that a column has as JSON.
 *
 * @throws UnreadableRowError
 */
export function objectIn(table: string, _id: string, text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UnreadableRowError(table, _id, "it is not JSON");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new UnreadableRowError(table, _id, "its JSON is no object");
}
