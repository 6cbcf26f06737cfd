/** What a statement takes and gives. Instants are epoch milliseconds, truth is 0 or 1. */
export type SqlValue = null | number | string | Uint8Array;

/** One statement of a transaction. */
export interface Statement {
  /** SQL that SQLite and PostgreSQL both read, with a `?` for each value. Of a bounded number of different strings: they are kept prepared. */
  readonly sql: string;
  readonly values: readonly SqlValue[];
  /** Whether it returns rows: a query, or a change with `returning`. */
  readonly returnsRows: boolean;
}

/**
 * Statements one after the other: each is yielded, and its rows are what the `yield` returns. It awaits nothing else, so that a
 * database whose driver is synchronous executes it without interruption, and nothing of its host can come between two statements.
 */
export type TransactionBody<T> = Generator<Statement, T, readonly unknown[]>;

/**
 * Begins the body of a transaction. It is executed again from its beginning if it failed together with others, so it
 * changes nothing outside of itself.
 */
export type Transaction<T> = () => TransactionBody<T>;

/** The few things that one SQL database does unlike another, for the statements that all of them share. */
export interface Dialect {
  /** The type of a column that numbers its rows, ascending, and never again with a number it gave before. */
  readonly identity: string;
  /** The type of a column of bytes. */
  readonly bytes: string;
  /** After the columns of a table that is its primary key and little else: keeps its rows there alone, if it can. */
  readonly inKeyOrder: string;
}

/** A database as a SqlStorage needs it: the port that is all there is to write for another one. */
export interface SqlDatabase {
  readonly dialect: Dialect;
  /**
   * Executes the body in one transaction, as if no other one were executed at the same time, and resolves once that is durable.
   * A database that executes several concurrently needs the isolation level SERIALIZABLE, and the body is executed again
   * when two of them conflict.
   */
  runTransaction<T>(transaction: Transaction<T>): Promise<T>;
  /** The rows that one query returns of what is committed now: numbers as numbers, bytes as bytes. */
  query(query: Statement): Promise<readonly unknown[]>;
  /** Resolves when the calls made before it have. Closing twice is allowed. */
  close(): Promise<void>;
}

/** A query, or a change with `returning`, as it stands alone. */
export function statement(sql: string, ...values: readonly SqlValue[]): Statement {
  return { sql, values, returnsRows: true };
}

/** All rows, in a transaction. `Row` is what the caller knows of their columns. */
export function* rowsOf<Row>(sql: string, ...values: readonly SqlValue[]): TransactionBody<readonly Row[]> {
  return (yield { sql, values, returnsRows: true }) as readonly Row[];
}

/** The first row, in a transaction. */
export function* rowOf<Row>(sql: string, ...values: readonly SqlValue[]): TransactionBody<Row | undefined> {
  const [row] = yield { sql, values, returnsRows: true };
  return row as Row | undefined;
}

/** A change that returns nothing, in a transaction. */
export function* execute(sql: string, ...values: readonly SqlValue[]): TransactionBody<void> {
  yield { sql, values, returnsRows: false };
}

/** One condition of a list; left out if its value is undefined. */
export type Condition = readonly [sql: string, value: SqlValue | undefined];

/** The conditions that were asked for, after those that stand by themselves: ` where …` and its values, or nothing. */
export function whereOf(
  conditions: readonly Condition[],
  fixed: readonly string[] = [],
): { readonly where: string; readonly values: readonly SqlValue[] } {
  const given = conditions.filter((one): one is readonly [string, SqlValue] => one[1] !== undefined);
  const all = [...fixed, ...given.map(([sql]) => sql)];
  return { where: all.length === 0 ? "" : ` where ${all.join(" and ")}`, values: given.map(([, value]) => value) };
}
