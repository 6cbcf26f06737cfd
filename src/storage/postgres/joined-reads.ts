import type { Clock } from "../../clock.ts";
import type { SqlValue, Statement } from "../sql/database.ts";

/** How many queries are joined at most. */
const mostTogether = 50;

/** Executes a query for each set of values. Their rows. */
export type ReadEach = (
  sql: string,
  sets: readonly (readonly SqlValue[])[],
) => Promise<readonly (readonly unknown[])[]>;

/** Joins queries that are asked for in the same turn of the event loop, and are the same but for their values. */
export class JoinedReads {
  readonly #clock: Clock;
  readonly #each: ReadEach;
  #waiting = new Map<string, Waiting[]>();

  constructor(clock: Clock, each: ReadEach) {
    this.#clock = clock;
    this.#each = each;
  }

  /** The rows of one query. */
  read({ sql, values }: Statement): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) void this.#begin();
      const asked = this.#waiting.get(sql);
      const one = { values, resolve, reject };
      if (asked === undefined) this.#waiting.set(sql, [one]);
      else asked.push(one);
    });
  }

  async #begin(): Promise<void> {
    await this.#clock.yieldToEventLoop();
    const all = this.#waiting;
    this.#waiting = new Map();
    for (const [sql, asked] of all)
      for (let start = 0; start < asked.length; start += mostTogether)
        void this.#settle(sql, asked.slice(start, start + mostTogether));
  }

  async #settle(sql: string, asked: readonly Waiting[]): Promise<void> {
    try {
      const rows = await this.#each(
        sql,
        asked.map(({ values }) => values),
      );
      for (const [index, found] of rows.entries()) asked[index]?.resolve(found);
    } catch (error) {
      if (asked.length === 1) asked[0]?.reject(error);
      else for (const one of asked) void this.#settle(sql, [one]);
    }
  }
}

interface Waiting {
  readonly values: readonly SqlValue[];
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: unknown) => void;
}
