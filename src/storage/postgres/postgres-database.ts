import { type Clock, delay } from "../../clock.ts";
import { itemAt } from "../../model/item-at.ts";
import type { SqlDatabase, SqlValue, Statement, Transaction, TransactionBody } from "../sql/database.ts";
import {
  type PostgresClient,
  type PostgresPool,
  type PostgresQuery,
  ignoreErrors,
  ignoreErrorsIn,
  types,
} from "./pool.ts";
import { Batching } from "./batching.ts";
import { joinedStatement } from "./joined-statement.ts";
import { JoinedReads } from "./joined-reads.ts";
import { Messages, PreparedStatements } from "./transaction/messages.ts";
import { type KnownJoin, PostgresStatements } from "./transaction/statements.ts";
import { type SpelledStatement, Spelling, dialect, nameOf } from "./spelling.ts";

/** What a database needs. */
export interface PostgresParts {
  readonly pool: PostgresPool;
  readonly schema: string;
  /** Whether statements are kept prepared on their connections. */
  readonly prepare: boolean;
  /** Waits between two tries of a transaction. */
  readonly clock: Clock;
}

/**
 * Transactions begin so. A process that stops between two statements must not keep flows locked for long: others wait
 * for them, and with these the flows whose transactions they have joined. The planner walks
 * through tables that are empty, and a plan that is kept outlives that: so it is made to go by indexes; what that adds to
 * its estimates would have statements compiled. Rows of runs change often, and a plain look into an index skips what is
 * dead of them from the second time on; a bitmap never does.
 */
export const begin = [
  "begin isolation level read committed read write",
  "set local idle_in_transaction_session_timeout = '2s'",
  "set local lock_timeout = '5s'",
  "set local enable_seqscan = off",
  "set local enable_bitmapscan = off",
  "set local jit = off",
].join("; ");

/**
 * Of several at once: each row of values is to be looked up by an index, however small the tables were at first, and what
 * is found compared with the rows by their hash. A plan is made once: it is the same for any values.
 */
export const beginTogether = [
  begin,
  "set local enable_mergejoin = off",
  "set local plan_cache_mode = force_generic_plan",
].join("; ");

/** How often a transaction is executed again at most. */
const mostReplays = 20;

/** How often it is because its connection was cut. */
const mostReplaysOfCut = 3;

/** The longest rest before a transaction is executed again, in milliseconds. */
const longestRestMs = 50;

/** How long it takes until the types of a statement's values are asked for again, in milliseconds. */
const askAgainMs = 10_000;

/** A schema of a database of PostgreSQL's, reached by a pool of the host's. */
export class PostgresDatabase implements SqlDatabase {
  readonly dialect = dialect;
  readonly #parts: PostgresParts;
  readonly #spelling: Spelling;
  readonly #running = new Set<Promise<unknown>>();
  readonly #batching: Batching;
  readonly #reads: JoinedReads;
  /** Statements for many, by those for one; undefined: there is none. */
  readonly #joined = new Map<string, KnownJoin>();
  /** When the types of a statement's values were asked for, of those that are not known. */
  readonly #askedAt = new Map<string, number>();
  readonly #prepared: PreparedStatements;
  #isClosed = false;

  constructor(parts: PostgresParts) {
    this.#parts = parts;
    this.#spelling = new Spelling(parts.schema);
    this.#prepared = new PreparedStatements(!parts.prepare);
    this.#batching = new Batching({
      clock: parts.clock,
      alone: (transaction) => this.#untilDone(transaction),
      together: (work) => onConnection(parts.pool, (client, committing) => this.#inMessages(client, work, committing)),
      mayBeDone: (error) => error instanceof Error && cutInCommit.has(error),
    });
    this.#reads = new JoinedReads(parts.clock, (sql, sets) => this.#each(parts.pool, sql, sets));
    ignoreErrorsIn(parts.pool);
  }

  async runTransaction<T>(transaction: Transaction<T>): Promise<T> {
    return this.#tracked(() => this.#batching.run(transaction));
  }

  async query(query: Statement): Promise<readonly unknown[]> {
    return this.#tracked(() => this.#reads.read(query));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
  }

  async #tracked<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new Error("it is closed");
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #untilDone<T>(transaction: Transaction<T>): Promise<T> {
    for (let replays = 0; ; replays++) {
      try {
        return await inTransaction(this.#parts.pool, begin, (client) => this.#execute(client, transaction()));
      } catch (error) {
        const most = isCut(error) ? mostReplaysOfCut : isConflict(error) ? mostReplays : 0;
        if (replays >= most) throw error;
      }
      await delay(this.#parts.clock, Math.random() * Math.min(2 ** replays, longestRestMs));
    }
  }

  async #execute<T>(client: PostgresClient, body: TransactionBody<T>): Promise<T> {
    let step = body.next([]);
    while (step.done !== true) {
      const { sql, values, sets } = step.value;
      const spelled = this.#spelling.of(sql);
      const found: (readonly unknown[])[] = [];
      for (const each of sets ?? [values]) found.push((await client.query(this.#queryOf(spelled, each))).rows);
      step = body.next(sets === undefined ? itemAt(found, 0) : found);
    }
    return step.value;
  }

  async #inMessages<T>(
    client: PostgresClient,
    work: (statements: PostgresStatements) => Promise<T>,
    committing: () => void,
  ): Promise<T> {
    const messages = new Messages({
      ...{ client, begin: beginTogether, prepared: this.#prepared },
      queryOf: (statement, values) => this.#queryOf(statement, values),
    });
    const statements = new PostgresStatements({
      messages,
      spelled: (sql) => this.#spelling.of(sql),
      joined: (sql) => this.#joinedOf(client, sql),
    });
    const result = await work(statements);
    committing();
    await statements.commit();
    return result;
  }

  async #each(
    connection: PostgresPool,
    sql: string,
    sets: readonly (readonly SqlValue[])[],
  ): Promise<readonly (readonly unknown[])[]> {
    const known = sets.length === 1 ? undefined : this.#joinedOf(connection, sql);
    const joined = typeof known === "function" ? await known() : known;
    if (joined !== undefined) {
      const { rows } = await connection.query(this.#queryOf(joined, joined.valuesOf(sets)));
      return joined.rowsOf(rows, sets);
    }
    const all: (readonly unknown[])[] = [];
    for (const values of sets) all.push((await connection.query(this.#queryOf(this.#spelling.of(sql), values))).rows);
    return all;
  }

  // The statement for many, if it is known, or what asks for it.
  #joinedOf(connection: PostgresPool | PostgresClient, sql: string): KnownJoin | (() => Promise<KnownJoin>) {
    const askedAt = this.#askedAt.get(sql);
    const isToAsk = askedAt !== undefined && Math.abs(this.#parts.clock.now() - askedAt) >= askAgainMs;
    return this.#joined.has(sql) && !isToAsk ? this.#joined.get(sql) : () => this.#askJoined(connection, sql);
  }

  async #askJoined(connection: PostgresPool | PostgresClient, sql: string): Promise<KnownJoin> {
    // While its types are asked for, and for a while if they cannot be, it is executed for one set of values after the other.
    this.#joined.set(sql, undefined);
    this.#askedAt.set(sql, this.#parts.clock.now());
    const { text } = this.#spelling.of(sql);
    const joined = joinedStatement(text, await typesOfValues(connection, text));
    this.#askedAt.delete(sql);
    if (joined !== undefined) this.#joined.set(sql, { ...joined, name: nameOf(joined.text) });
    return this.#joined.get(sql);
  }

  #queryOf({ text, name }: SpelledStatement, values: readonly SqlValue[]): PostgresQuery {
    return this.#parts.prepare ? { text, name, values: [...values], types } : { text, values: [...values], types };
  }
}

/** What the database takes the values of a statement to be. */
export async function typesOfValues(
  connection: PostgresPool | PostgresClient,
  text: string,
): Promise<readonly string[]> {
  // A pooler may give each statement another connection, unless they are in one transaction.
  if (!("release" in connection)) return inTransaction(connection, "begin", (client) => typesOfValues(client, text));
  await connection.query({ text: `prepare poundlock_asked as ${text}` });
  const { rows } = await connection.query({
    text: `select array_to_string(parameter_types::text[], '|') as types from pg_prepared_statements
      where name = 'poundlock_asked'`,
  });
  await connection.query({ text: "deallocate poundlock_asked" });
  const [row] = rows as readonly { readonly types: string }[];
  return row === undefined || row.types === "" ? [] : row.types.split("|");
}

/** Does `work` between `first`, which begins a transaction, and its commit; or rolls it back. */
export async function inTransaction<T>(
  pool: PostgresPool,
  first: string,
  work: (client: PostgresClient) => Promise<T>,
): Promise<T> {
  return onConnection(pool, async (client, committing) => {
    await client.query({ text: first });
    const result = await work(client);
    committing();
    await client.query({ text: "commit" });
    return result;
  });
}

/** Does `work`, which begins and commits a transaction, on a connection; or rolls it back. */
async function onConnection<T>(
  pool: PostgresPool,
  work: (client: PostgresClient, committing: () => void) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  ignoreErrors(client);
  let broken: Error | undefined;
  let isCommitting = false as boolean;
  try {
    return await work(client, () => (isCommitting = true));
  } catch (error) {
    broken = await rollBack(client);
    if (broken !== undefined && error instanceof Error) (isCommitting ? cutInCommit : cutBeforeCommit).add(error);
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Errors of transactions that have done nothing, since their connection was gone before they were to be committed: after
 * their process has stopped for longer than it may, for instance.
 */
const cutBeforeCommit = new WeakSet<object>();

/** Errors of those whose connection was gone after that: nobody knows whether they were committed. */
const cutInCommit = new WeakSet<object>();

// A connection that cannot roll back is broken, and must not be used again.
async function rollBack(client: PostgresClient): Promise<Error | undefined> {
  try {
    await client.query({ text: "rollback" });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error("not rolled back", { cause: error });
  }
}

/** Not serializable, deadlock, and a row that another transaction has added since this one looked. */
const conflicts = new Set<unknown>(["40001", "40P01", "23505"]);

function isCut(error: unknown): boolean {
  return error instanceof Error && cutBeforeCommit.has(error);
}

function isConflict(error: unknown): boolean {
  return conflicts.has((error as { readonly code?: unknown } | null | undefined)?.code);
}
