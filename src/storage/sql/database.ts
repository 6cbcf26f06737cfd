import { itemAt } from "../../model/item-at.ts";

/** What a statement takes and gives. Instants are epoch milliseconds, truth is 0 or 1. */
export type SqlValue = null | number | string | Uint8Array;

/** One statement of a transaction. */
export interface Statement {
  /** SQL that SQLite and PostgreSQL both read, with a `?` for each value. Of a bounded number of different strings: they are kept prepared. */
  readonly sql: string;
  readonly values: readonly SqlValue[];
  /** It is executed once for each of these sets instead of for `values`, in their order; its rows are then those of each set. */
  readonly sets?: readonly (readonly SqlValue[])[];
  /** Whether it returns rows: a query, or a change with `returning`. */
  readonly returnsRows: boolean;
  /**
   * What it locks if it does nothing else: rows of flows, whose `id` it returns, or other rows. For a database that
   * executes transactions concurrently; any other skips it.
   */
  readonly locks: false | "flows" | "rows";
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

/**
 * How an index of a column and `seq` finds rows of one value of that column, from one place to another: by an equation and a
 * range of `seq`, or by ranges of the pair. SQLite uses only the first half of a pair, and so walks through all rows of the
 * value; with an equation PostgreSQL may walk along `seq` alone until it has found enough, through the whole table if the
 * value is rare.
 */
export type Seek = "equation" | "range";

/** The few things that one SQL database does unlike another, for the statements that all of them share. */
export interface Dialect {
  /** The type of a column that numbers its rows, ascending, and never again with a number it gave before. */
  readonly identity: string;
  /** The type of a column of bytes. */
  readonly bytes: string;
  /** The type of a column of text, which compares code point by code point. */
  readonly text: string;
  /** What an index has of a column of text that may be too long for one; it is looked up by `column = ?` all the same. */
  readonly indexed: (column: string) => string;
  /** Before `table` where one is made that may be empty after a crash: saves what it costs to keep it, if it can. */
  readonly unlogged: string;
  /** What an index has for ranges of the same column; undefined: that of {@link indexed} will do. */
  readonly ranged: (column: string) => string | undefined;
  /** After the columns of a table whose rows change often: leaves room for that, if it can. */
  readonly withRoom: string;
  /** Statements after which the rows of a table are numbered from the one after their only value, or a later one. */
  readonly numberAfter: (table: string) => readonly string[];
  /** After the columns of a table that is its primary key and little else: keeps its rows there alone, if it can. */
  readonly inKeyOrder: string;
  /** How rows of one value are found along `seq`. */
  readonly seek: Seek;
  /** Statements that make the tables of changes, and what notes there what becomes of runs and flows. */
  readonly changeTables: readonly string[];
  /** Statements after which that a flow was deleted is noted when its row says so, no more when the row is removed. */
  readonly deletionNote: readonly string[];
  /** Takes runs that have ended apart from those that wait or are active, if that saves anything. */
  readonly takeEndedApart: () => TransactionBody<void>;
  /** Where the ended runs are that are removed one by one when they are too old. */
  readonly agedRuns: string;
}

/** A database as a SqlStorage needs it: the port that is all there is to write for another one. */
export interface SqlDatabase {
  readonly dialect: Dialect;
  /**
   * Executes the body in one transaction, and resolves once that is durable. A database that executes one at a time skips
   * the statements that only lock (`locks.ts`). One that executes several concurrently sends them, needs the isolation
   * level READ COMMITTED, in which each statement sees what was committed before it, and executes the body again when two
   * transactions deadlock, or add the same row.
   */
  runTransaction<T>(transaction: Transaction<T>): Promise<T>;
  /** The rows that one query returns of what is committed now: numbers as numbers, bytes as bytes. */
  query(query: Statement): Promise<readonly unknown[]>;
  /** Resolves when the calls made before it have. Closing twice is allowed. */
  close(): Promise<void>;
}

/** A query, or a change with `returning`, as it stands alone. */
export function statement(sql: string, ...values: readonly SqlValue[]): Statement {
  return { sql, values, returnsRows: true, locks: false };
}

/** All rows, in a transaction. `Row` is what the caller knows of their columns. */
export function* rowsOf<Row>(sql: string, ...values: readonly SqlValue[]): TransactionBody<readonly Row[]> {
  return (yield { sql, values, returnsRows: true, locks: false }) as readonly Row[];
}

/** The first row, in a transaction. */
export function* rowOf<Row>(sql: string, ...values: readonly SqlValue[]): TransactionBody<Row | undefined> {
  const [row] = yield { sql, values, returnsRows: true, locks: false };
  return row as Row | undefined;
}

/** A change that returns nothing, in a transaction. */
export function* execute(sql: string, ...values: readonly SqlValue[]): TransactionBody<void> {
  yield { sql, values, returnsRows: false, locks: false };
}

/**
 * Executes bodies that neither lock nor have anything to do with each other side by side: what several of them ask for at the
 * same step is one statement. The results, in their order.
 */
export function* sideBySide<T>(bodies: readonly TransactionBody<T>[]): TransactionBody<readonly T[]> {
  const steps = bodies.map((body) => ({ body, at: body.next([]) }));
  for (;;) {
    const asking = new Map<string, typeof steps>();
    for (const step of steps) {
      if (step.at.done === true) continue;
      const same = asking.get(step.at.value.sql);
      if (same === undefined) asking.set(step.at.value.sql, [step]);
      else same.push(step);
    }
    if (asking.size === 0) return steps.map(({ at }) => at.value as T);
    for (const same of asking.values()) {
      const all = same.map(({ at }) => at.value as Statement);
      const rows = yield { ...itemAt(all, 0), sets: all.map(({ values }) => values) };
      for (const [nth, step] of same.entries()) step.at = step.body.next((rows[nth] ?? []) as readonly unknown[]);
    }
  }
}

/**
 * At the end of an `exists`: looked up for one row after the other. Without it PostgreSQL may join the tables instead, and
 * walk through all of the second one; which of the two it does depends on what the tables were like when it looked last.
 */
export const eachTime = "limit 1 offset 0";

/** One condition of a list; left out if a value of it is undefined. */
export type Condition = readonly [sql: string, ...values: (SqlValue | undefined)[]];

/** The conditions that were asked for, after those that stand by themselves: ` where …` and its values, or nothing. */
export function whereOf(
  conditions: readonly Condition[],
  fixed: readonly string[] = [],
): { readonly where: string; readonly values: readonly SqlValue[] } {
  const given = conditions.filter((one): one is readonly [string, ...SqlValue[]] => !one.includes(undefined));
  const all = [...fixed, ...given.map(([sql]) => sql)];
  const values = given.flatMap(([, ...some]) => some);
  return { where: all.length === 0 ? "" : ` where ${all.join(" and ")}`, values };
}

/** A column that has an index with `seq` after it, and the value that is wanted of it. */
export type Leader = readonly [column: string, value: string];

/** The first one that is asked for. */
export function leaderOf(
  columns: readonly (readonly [column: string, value: string | undefined])[],
): Leader | undefined {
  return columns.find((one): one is Leader => one[1] !== undefined);
}

/** Which part of a list is wanted. */
export interface Stretch {
  /** The column of the order. @default "seq" */
  readonly seq?: string;
  /** After this place; undefined: from the first row on. */
  readonly place: number | undefined;
  /** Up to and including this place. @default to the end */
  readonly through?: number | undefined;
  readonly descending: boolean;
  readonly seek: Seek;
}

/** The conditions and the order of a list along `seq`, of rows that have the leader's value if there is one. */
export function along(
  leader: Leader | undefined,
  { seq = "seq", place, through, descending, seek }: Stretch,
): { readonly conditions: readonly Condition[]; readonly order: string } {
  const [after, until, direction] = descending ? ["<", ">=", " desc"] : [">", "<=", ""];
  const stretch: readonly Condition[] = [
    [`${seq} ${after} ?`, place],
    [`${seq} ${until} ?`, through],
  ];
  if (leader === undefined) return { conditions: stretch, order: `${seq}${direction}` };
  const [column, value] = leader;
  const order = `${column}${direction}, ${seq}${direction}`;
  if (seek === "equation") return { conditions: [[`${column} = ?`, value], ...stretch], order };
  const whole = `(${column}, ${seq})`;
  const begin: Condition =
    place === undefined ? [`${column} ${after}= ?`, value] : [`${whole} ${after} (?, ?)`, value, place];
  const end: Condition =
    through === undefined ? [`${column} ${until} ?`, value] : [`${whole} ${until} (?, ?)`, value, through];
  return { conditions: [end, begin], order };
}
