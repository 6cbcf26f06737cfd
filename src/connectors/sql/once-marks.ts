import type { Clock } from "../../clock.ts";
import { type SqlDatabase, type SqlQueries, tableName } from "./database.ts";
import { itemAt } from "../../model/item-at.ts";

/** Where it is remembered what has been applied. */
export interface OnceRule {
  /** Has the columns `idempotency_key` (text, the primary key) and `applied_at` (a big integer). */
  readonly table: string;
  /** How long marks are kept, in milliseconds: longer than anything is sent again. @default 7776000000, 90 days */
  readonly keepMs?: number;
}

const dayMs = 86_400_000;
const defaultKeepMs = 90 * dayMs;
/** How often old marks are removed. */
const removalMs = 3_600_000;
/** Marks of one statement. */
const most = 500;

/** Marks of what has been applied, made in the transaction that applies it. */
export class OnceMarks {
  readonly #database: SqlDatabase;
  readonly #rule: OnceRule;
  readonly #clock: Clock;
  readonly #table: string;
  #removedAt: number | undefined;

  constructor(database: SqlDatabase, rule: OnceRule, clock: Clock) {
    this.#database = database;
    this.#rule = rule;
    this.#clock = clock;
    this.#table = tableName(database.dialect, rule.table.split("."));
  }

  /** Marks these records, and returns those that had no mark. */
  async withoutMarked<T>(tx: SqlQueries, records: readonly T[], keys: readonly string[]): Promise<readonly T[]> {
    const fresh = new Set<string>();
    const distinct = [...new Set(keys)];
    for (let start = 0; start < distinct.length; start += most)
      for (const key of await this.#mark(tx, distinct.slice(start, start + most))) fresh.add(key);
    // Of two records under one key the first is applied.
    return records.filter((_, index) => fresh.delete(itemAt(keys, index)));
  }

  /** Removes marks that are too old, now and then. */
  async forgetOld(): Promise<void> {
    const now = this.#clock.now();
    if (this.#removedAt !== undefined && Math.abs(now - this.#removedAt) < removalMs) return;
    this.#removedAt = now;
    const { dialect } = this.#database;
    const age = `${dialect.nowMs} - ${Math.trunc(this.#rule.keepMs ?? defaultKeepMs)}`;
    // What is not removed now is removed later.
    await this.#database.query(`delete from ${this.#table} where applied_at < ${age}`).catch(() => undefined);
  }

  async #mark(tx: SqlQueries, keys: readonly string[]): Promise<readonly string[]> {
    const { dialect } = this.#database;
    if (dialect.addMarks !== undefined) return dialect.addMarks(tx, this.#table, keys);
    const rows = keys.map((_, nth) => `(${dialect.place(nth + 1)}, ${dialect.nowMs})`).join(", ");
    const text = `insert into ${this.#table} (idempotency_key, applied_at) values ${rows} on conflict (idempotency_key) do nothing returning idempotency_key`;
    return (await tx.query(text, keys)).map((row) => String(row.idempotency_key));
  }
}
