/** A row, by the names of its columns. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** What runs statements: a database, or a transaction of it. */
export interface SqlQueries {
  /** The rows of one statement; its values take the place of what the dialect's `place` writes. */
  query(text: string, values?: readonly unknown[]): Promise<readonly SqlRow[]>;
}

/** A database that a host has a client of. */
export interface SqlDatabase extends SqlQueries {
  readonly dialect: SqlDialect;
  /**
   * Runs `work` in one transaction. Once `signal` aborts, what is under way is given up.
   *
   * @throws whatever `work` throws, after everything is rolled back; {@link CommitUnknownError} if it is not known whether
   * the transaction was committed.
   */
  transaction<T>(work: (tx: SqlQueries) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

/** The response to a commit was lost. */
export class CommitUnknownError extends Error {
  override readonly name = "CommitUnknownError";

  constructor(cause: unknown) {
    super("it is not known whether the transaction was committed", { cause });
  }
}

/** What an error of the database means for a record. `reject`: the record is at fault. `stop`: so is the configuration. */
export type SqlFault = "reject" | "retry" | "stop" | undefined;

/** How rows are written. */
export type WriteMode = "upsert" | "insert" | "update" | "delete";

/** A statement that writes rows which have the same columns. */
export interface RowStatement {
  readonly mode: WriteMode;
  /** Parts of its name. */
  readonly table: readonly string[];
  readonly columns: readonly string[];
  /** What identifies a row. */
  readonly key: readonly string[];
  /** Of an insert: a row that has the same value there is left as it is. */
  readonly keyColumn?: string;
}

/** What differs from one database to another. Another database is one file. */
export interface SqlDialect {
  readonly name: string;
  quote(name: string): string;
  /** The place of value `nth`, from 1 on. */
  place(nth: number): string;
  /** Whether `(a, b) > (1, 2)` is compared by an index. */
  readonly comparesRows: boolean;
  /** The value of a column as text that the database reads back as the same value. */
  cursorText(column: string): string;
  /** True for rows whose `column` is at least `ms` old, by the database's own clock. */
  isSettled(column: string, ms: number): string;
  /** What stands at the end of a query that locks its rows; "" where a transaction locks everything. */
  readonly forUpdate: string;
  /** The database's clock in epoch milliseconds. */
  readonly nowMs: string;
  faultOf(error: unknown): SqlFault;
  /** The columns of a table; none if there is no such table. */
  columnsOf(queries: SqlQueries, table: readonly string[]): Promise<readonly string[]>;
  /** A value as it is sent. @throws RangeError for what the database would change. */
  valueOf(value: unknown): unknown;
  /** Writes rows, each an array of values of `columns`, and returns which were at fault, and why. */
  writeRows(
    tx: SqlQueries,
    to: RowStatement,
    rows: readonly (readonly unknown[])[],
  ): Promise<ReadonlyMap<number, unknown>>;
  /**
   * Adds the keys that are not there to a table of marks, and returns them; waits for a transaction that adds one of them.
   * Absent: `insert … on conflict do nothing returning` does so.
   */
  addMarks?(tx: SqlQueries, table: string, keys: readonly string[]): Promise<readonly string[]>;
}

/** The name of a table as it stands in a statement. */
export function tableName({ quote }: Pick<SqlDialect, "quote">, table: readonly string[]): string {
  return table.map(quote).join(".");
}

/** The codes of a network that is away, or of a connection that is cut. */
const networkCodes =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|EPIPE|PROTOCOL_CONNECTION_LOST)$/;

/** Whether an error is one of the network, by its code or the code of one of its causes. */
export function isNetworkError(error: unknown): boolean {
  for (let each = error, depth = 0; each !== undefined && each !== null && depth < 5; depth++) {
    const { code, cause } = each as { code?: unknown; cause?: unknown };
    if (typeof code === "string" && networkCodes.test(code)) return true;
    each = cause;
  }
  return false;
}
