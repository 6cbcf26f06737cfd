import { randomUUID } from "node:crypto";
import { type CancelTimer, type Clock, delay, systemClock } from "../../../clock.ts";
import { InvalidOptionError, retryLater } from "../../../errors.ts";
import { outcomeOf } from "../../../model/host/outcome.ts";
import { messageOf } from "../../../model/message.ts";
import { type Shape, objectWith, string, v, validate } from "../../../model/validate.ts";
import { type SqlDatabase, type SqlRow, tableName } from "../../sql/database.ts";
import { type TokenStore, type Tokens, tokensIn } from "./token-store.ts";

/** Where tokens are kept in a database. */
export interface SqlTokensOptions {
  readonly database: SqlDatabase;
  /** Which tokens of the table: a name for each account at a token server. */
  readonly name: string;
  /**
   * Has the columns `name` (text, the primary key), `tokens` (text), `owner` (text) and `owned_until` (a big integer).
   *
   * @default "poundlock_tokens"
   */
  readonly table?: string;
  /** @default the system's */
  readonly clock?: Clock;
}

const optionRules: Shape<SqlTokensOptions> = {
  database: objectWith(["query", "transaction"], "a database of poundlock/connectors/sql"),
  name: v.pipe(string, v.minLength(1, "a name")),
  table: v.optional(v.pipe(string, v.minLength(1, "the name of a table"))),
  clock: v.optional(objectWith(["now", "setTimer"], "a clock")),
};

/** How long a process may be silent before another takes its place, in milliseconds by the database's clock. */
const leaseMs = 15_000;
/** How often a process looks whether the tokens are free, in milliseconds. */
const pollMs = 50;
/** How often new tokens are written while the database is away: for half a minute. */
const mostWrites = 9;

/**
 * Tokens in a table of the host's database, for all processes that reach it. One of them at a time gets new ones: it holds
 * a lease on their row, not a transaction, so that nothing else waits for the token server. To begin with the row may be
 * missing, or its `tokens` may be `{"refreshToken": "…"}`.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function sqlTokens(options: SqlTokensOptions): TokenStore {
  validate(options, optionRules, InvalidOptionError, "sqlTokens.");
  return new SqlTokens(options);
}

class SqlTokens implements TokenStore {
  readonly #database: SqlDatabase;
  readonly #name: string;
  readonly #table: string;
  readonly #clock: Clock;

  constructor({ database, name, table = "poundlock_tokens", clock = systemClock }: SqlTokensOptions) {
    this.#database = database;
    this.#name = name;
    this.#table = tableName(database.dialect, table.split("."));
    this.#clock = clock;
  }

  async load(): Promise<Tokens | undefined> {
    return this.#tokensOf(await this.#row());
  }

  async update(change: (current: Tokens | undefined) => Promise<Tokens>): Promise<Tokens> {
    const owner = randomUUID();
    const current = await this.#acquire(owner);
    const stop = this.#keepRenewing(owner);
    try {
      const tokens = await change(current);
      if (tokens !== current) await this.#write(owner, tokens);
      return tokens;
    } finally {
      stop();
      // Whoever waits takes over once the lease has run out, if this fails.
      await this.#set("owner = null, owned_until = null", [], owner).catch(() => undefined);
    }
  }

  /** Waits until no other process has the lease. */
  async #acquire(owner: string): Promise<Tokens | undefined> {
    const { dialect } = this.#database;
    for (;;) {
      const row = await this.#row();
      if (row === undefined) await this.#addRow();
      else {
        const text = `update ${this.#table} set owner = ${dialect.place(1)}, owned_until = ${dialect.nowMs} + ${leaseMs} where name = ${dialect.place(2)} and (owner is null or owned_until < ${dialect.nowMs})`;
        await this.#query(text, [owner, this.#name]);
        const owned = await this.#row();
        if (owned?.owner === owner) return this.#tokensOf(owned);
        await delay(this.#clock, pollMs);
      }
    }
  }

  async #addRow(): Promise<void> {
    const { dialect } = this.#database;
    try {
      await this.#database.query(`insert into ${this.#table} (name) values (${dialect.place(1)})`, [this.#name]);
    } catch (error) {
      // Another process has added it.
      if (dialect.faultOf(error) !== "reject") throw this.#classified(error);
    }
  }

  #keepRenewing(owner: string): () => void {
    let cancel: CancelTimer = () => undefined;
    const next = () => {
      cancel = this.#clock.setTimer(() => {
        const until = `owned_until = ${this.#database.dialect.nowMs} + ${leaseMs}`;
        // What fails now is tried again by the next one; what is lost is noticed before anything is written.
        this.#set(until, [], owner).catch(() => undefined);
        next();
      }, leaseMs / 3);
    };
    next();
    return () => cancel();
  }

  /** @throws an Error if another process has taken over, since this one stood still. */
  async #write(owner: string, tokens: Tokens): Promise<void> {
    const text = JSON.stringify(tokens);
    await this.#untilKept(() => this.#set(`tokens = ${this.#database.dialect.place(1)}`, [text], owner));
    if ((await this.#row())?.tokens !== text)
      throw new Error(`the tokens ${this.#name} were taken over by another process, since this one stood still`);
  }

  // What they were made of is used up: without these ones somebody has to agree again.
  async #untilKept(write: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++)
      try {
        await write();
        return;
      } catch (error) {
        if (outcomeOf(error)?.kind !== "retryLater" || attempt === mostWrites) throw error;
        await delay(this.#clock, pollMs * 2 ** attempt);
      }
  }

  async #set(sets: string, values: readonly string[], owner: string): Promise<void> {
    const { dialect } = this.#database;
    const [name, own] = [dialect.place(values.length + 1), dialect.place(values.length + 2)];
    await this.#query(`update ${this.#table} set ${sets} where name = ${name} and owner = ${own}`, [
      ...values,
      this.#name,
      owner,
    ]);
  }

  async #row(): Promise<SqlRow | undefined> {
    const text = `select tokens, owner from ${this.#table} where name = ${this.#database.dialect.place(1)}`;
    return (await this.#query(text, [this.#name]))[0];
  }

  #tokensOf(row: SqlRow | undefined): Tokens | undefined {
    const text = row?.tokens;
    if (text === undefined || text === null) return undefined;
    const tokens = typeof text === "string" ? tokensIn(text) : undefined;
    // Neither what it has nor what is wrong with it: both may quote a token.
    if (tokens === undefined)
      throw new Error(`the row ${this.#name} has no tokens: expected JSON such as {"refreshToken": "…"}`);
    return tokens;
  }

  async #query(text: string, values: readonly string[]): Promise<readonly SqlRow[]> {
    try {
      return await this.#database.query(text, values);
    } catch (error) {
      throw this.#classified(error);
    }
  }

  // Without the error itself: some clients add the values of the statement to it.
  #classified(error: unknown): Error {
    const message = `the tokens ${this.#name}: ${messageOf(error)}`;
    return this.#database.dialect.faultOf(error) === "retry" ? retryLater(message) : new Error(message);
  }
}
