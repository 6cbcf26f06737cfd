import { itemAt } from "../../../model/item-at.ts";
import type { SqlValue } from "../../sql/database.ts";
import { type PostgresClient, type PostgresQuery, type PostgresResult, types } from "../pool.ts";
import type { SpelledStatement } from "../spelling.ts";

/** A statement that is to be executed. */
export interface SentStatement {
  readonly statement: SpelledStatement;
  readonly values: readonly SqlValue[];
}

/** What is prepared on which connections, by names; a name has one text. */
export class PreparedStatements {
  readonly #names = new WeakMap<PostgresClient, Set<string>>();
  #isOff: boolean;

  /** `isOff`: nothing is ever taken to be prepared. */
  constructor(isOff: boolean) {
    this.#isOff = isOff;
  }

  get isOff(): boolean {
    return this.#isOff;
  }

  has(client: PostgresClient, name: string): boolean {
    return !this.#isOff && this.#names.get(client)?.has(name) === true;
  }

  /** Notes what a client was given under a name. */
  add(client: PostgresClient, name: string): void {
    const known = this.#names.get(client) ?? new Set();
    this.#names.set(client, known.add(name));
  }

  /** From now on nothing is: this client, or a pooler, has names of its own, or gives no result for each statement. */
  turnOff(): void {
    this.#isOff = true;
  }
}

/** What messages need of a database. */
export interface MessagesParts {
  readonly client: PostgresClient;
  /** Statements that begin the transaction, separated by semicolons. */
  readonly begin: string;
  readonly prepared: PreparedStatements;
  /** How a statement is given to the client by itself, which prepares it. */
  readonly queryOf: (statement: SpelledStatement, values: readonly SqlValue[]) => PostgresQuery;
}

/**
 * One transaction, in as few messages as can be: what is prepared on the connection is executed by its name, so that several
 * statements are one text. Each message is a round trip, and costs both sides more than a short statement does.
 */
export class Messages {
  readonly #parts: MessagesParts;
  #hasBegun = false;
  #isByHash = false;

  constructor(parts: MessagesParts) {
    this.#parts = parts;
  }

  /** Executes the statements in their order. The rows of each. */
  async send(all: readonly SentStatement[]): Promise<readonly (readonly unknown[])[]> {
    return this.#send(all, []);
  }

  /** Executes the last statements, and commits. */
  async commit(all: readonly SentStatement[]): Promise<void> {
    await this.#send(all, ["commit"]);
  }

  async #send(all: readonly SentStatement[], last: readonly string[]): Promise<readonly (readonly unknown[])[]> {
    const { begin, client, prepared, queryOf } = this.#parts;
    const rows: (readonly unknown[])[] = [];
    let first = this.#hasBegun ? [] : begin.split("; ");
    let executed: (readonly [text: string, isAsked: boolean])[] = [];
    this.#hasBegun = true;
    const flush = async (after: readonly string[]) => {
      const message = [...first, ...executed.map(([text]) => text), ...after];
      const places = executed.flatMap(([, isAsked], index) => (isAsked ? first.length + index : []));
      if (message.length > 0) rows.push(...(await this.#resultsOf(message, places)));
      [first, executed] = [[], []];
    };
    for (const { statement, values } of all) {
      const { isByHash = false } = statement;
      // Without prepared statements it would be a message of its own.
      if (isByHash !== this.#isByHash && !prepared.isOff)
        executed.push([`set local enable_nestloop = ${isByHash ? "off" : "on"}`, false]);
      this.#isByHash = isByHash;
      const text = prepared.has(client, statement.name) ? executing(statement, values) : undefined;
      if (text !== undefined) executed.push([text, true]);
      else {
        await flush([]);
        rows.push((await client.query(queryOf(statement, values))).rows);
        prepared.add(client, statement.name);
      }
    }
    await flush(last);
    return rows;
  }

  // The rows of the statements in these places of a message.
  async #resultsOf(message: readonly string[], places: readonly number[]): Promise<readonly (readonly unknown[])[]> {
    const { client, prepared } = this.#parts;
    const found: unknown = await client.query({ text: message.join("; "), types }).catch((error: unknown) => {
      if ((error as { readonly code?: unknown } | undefined)?.code === notPrepared) prepared.turnOff();
      throw error;
    });
    if (places.length === 0) return [];
    const results = (Array.isArray(found) ? found : [found]) as readonly PostgresResult[];
    if (results.length === message.length) return places.map((place) => itemAt(results, place).rows);
    prepared.turnOff();
    throw new Error("the client does not return a result for each statement");
  }
}

const notPrepared = "26000";

// Undefined: a string that cannot be a part of a message, which ends at its first NUL.
function executing({ name }: SpelledStatement, values: readonly SqlValue[]): string | undefined {
  const text = `execute "${name}"${values.length === 0 ? "" : `(${values.map(literalOf).join(", ")})`}`;
  return text.includes("\0") ? undefined : text;
}

const quote = "$poundlock$";

/** A value as a statement has it; its type is what the statement takes. */
function literalOf(value: SqlValue): string {
  if (value === null) return "null";
  const text = value instanceof Uint8Array ? `\\x${Buffer.from(value).toString("hex")}` : String(value);
  // Between dollars nothing has to be escaped; whatever a server takes a backslash to be, after an E it escapes.
  if (!text.includes(quote.slice(0, -1))) return `${quote}${text}${quote}`;
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
