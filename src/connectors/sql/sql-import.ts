import { type Clock, systemClock } from "../../clock.ts";
import { InvalidOptionError, reject, retryLater, stop } from "../../errors.ts";
import type { ImportContext, ImportMembers, Result } from "../../model/host/import.ts";
import { messageOf } from "../../model/message.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import {
  boolean,
  callable,
  checkObject,
  duration,
  objectWith,
  oneOf,
  string,
  v,
  validate,
} from "../../model/validate.ts";
import { rejected } from "../composed.ts";
import { CommitUnknownError, type SqlDatabase, type SqlQueries, type WriteMode } from "./database.ts";
import { type OnceRule, OnceMarks } from "./once-marks.ts";
import { RowWriter } from "./row-writer.ts";
import { tableParts } from "./sql-export.ts";
import { type SweepRule, sweepTable } from "./sweep.ts";

/** How records are written as rows of a table. */
export interface SqlTableOptions {
  readonly database: SqlDatabase;
  /** A table, with its schema or without; a name with a dot in it as an array of its parts. */
  readonly table: string | readonly string[];
  /**
   * What is done with a record. `upsert`: written, whether its row is there or not. `insert`: written as a new row.
   * `update`, `delete`: only where its row is there. @default "upsert"
   */
  readonly mode?: WriteMode;
  /** The columns that identify a row; a unique index has them. Required but for `insert`. */
  readonly key?: readonly string[];
  /** For `insert`: a unique column for the idempotency key; a record whose key is there is not written again. */
  readonly keyColumn?: string;
  /** Fields of records that are no columns: `stop` ends this import's part of the run, `drop` leaves them out. @default "stop" */
  readonly extra?: "stop" | "drop";
  /** Deletes rows that a run which read the whole source did not write. @default none are deleted */
  readonly sweep?: SweepRule;
  readonly apply?: never;
  readonly once?: never;
}

/** How the host's own statements are run. */
export interface SqlApplyOptions<In> {
  readonly database: SqlDatabase;
  /** Writes records, with statements of the transaction. What it throws is rolled back, and classified as any error of the database. */
  readonly apply: (tx: SqlQueries, records: readonly In[], context: ImportContext) => Promise<void>;
  /** The table of marks, one for each idempotency key that has been applied: each record is applied once. @default none */
  readonly once?: string | OnceRule;
  /** Whether applying a record twice is harmless. @default true with `once`, else false */
  readonly idempotent?: boolean;
  readonly table?: never;
  /** @default the clock of this computer */
  readonly clock?: Clock;
}

const database = objectWith(["query", "transaction"], "a database, as postgres, mysql and sqlite make it");
const names = v.pipe(v.array(string, "an array of names"), v.minLength(1, "an array of names"));
const table = v.union([v.pipe(string, v.minLength(1)), names], "the name of a table");
const tableRules = {
  database,
  table,
  mode: v.optional(oneOf("upsert", "insert", "update", "delete")),
  key: v.optional(names),
  keyColumn: v.optional(string),
  extra: v.optional(oneOf("stop", "drop")),
  sweep: v.optional(
    v.strictObject(
      { column: string, atMost: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))) },
      "{ column, atMost? }, atMost from 0 to 1",
    ),
  ),
};
const applyRules = {
  database,
  apply: callable,
  once: v.optional(
    v.union(
      [string, v.strictObject({ table: string, keepMs: v.optional(duration) })],
      "the name of a table, or { table, keepMs? }",
    ),
  ),
  idempotent: v.optional(boolean),
  clock: v.optional(objectWith(["now", "setTimer"], "a clock")),
};

/**
 * Writes records into a table, one transaction a batch: as rows of `table`, or with the host's own statements (`apply`).
 *
 * @throws `invalid_option` for an option that is missing, unknown or out of range.
 */
export function sqlImport<In extends object>(options: SqlTableOptions | SqlApplyOptions<In>): ImportMembers<In> {
  checkObject(options, InvalidOptionError, "sqlImport");
  return options.apply === undefined ? tableImport(options) : applyImport(options);
}

/** @throws `invalid_option` for options that are out of range, or do not go together. */
function checkTableOptions(options: SqlTableOptions): void {
  validate(options, tableRules, InvalidOptionError, "sqlImport.");
  const { mode = "upsert", key = [], keyColumn, sweep } = options;
  if (mode !== "insert" && key.length === 0)
    throw new InvalidOptionError("sqlImport.key", "the columns that identify a row", options.key);
  if (keyColumn !== undefined && mode !== "insert")
    throw new InvalidOptionError("sqlImport.keyColumn", 'none, but for mode "insert"', keyColumn);
  if (sweep !== undefined && mode !== "upsert")
    throw new InvalidOptionError("sqlImport.sweep", 'none, but for mode "upsert"', sweep);
}

function tableImport<In extends object>(options: SqlTableOptions): ImportMembers<In> {
  checkTableOptions(options);
  const { mode = "upsert", key = [], keyColumn, sweep, database } = options;
  const parts = tableParts(options.table);
  const writer = new RowWriter(database, {
    table: parts,
    mode,
    key,
    keyColumn,
    extra: options.extra ?? "stop",
    stamp: sweep?.column,
  });
  return {
    idempotent: mode !== "insert" || keyColumn !== undefined,
    sameKey: "together",
    async write(records, context) {
      const { bad, groups } = await classify(database, () => writer.prepare(records, context));
      const atFault = await inTransaction(database, context, (tx) => writer.write(tx, groups));
      if (bad.size + atFault.size === 0) return undefined;
      return records.map((_, index): Result => {
        const error = bad.get(index) ?? atFault.get(index);
        return error === undefined ? { ok: true } : rejected(error);
      });
    },
    ...(sweep === undefined
      ? {}
      : {
          async finish({ whole, run, flow, signal }) {
            if (!whole) return;
            const stamp = { flow: flow._id, run: run._id };
            await classify(database, () =>
              database.transaction((tx) => sweepTable(database, tx, { table: parts, sweep, stamp }), signal),
            );
          },
        }),
  };
}

function applyImport<In extends object>(options: SqlApplyOptions<In>): ImportMembers<In> {
  validate(options, applyRules, InvalidOptionError, "sqlImport.");
  const { database, once, clock = systemClock } = options;
  const marks =
    once === undefined ? undefined : new OnceMarks(database, typeof once === "string" ? { table: once } : once, clock);
  return {
    idempotent: options.idempotent ?? marks !== undefined,
    sameKey: "together",
    async write(records, context) {
      await inTransaction(database, context, async (tx) => {
        const fresh = marks === undefined ? records : await marks.withoutMarked(tx, records, context.idempotencyKeys);
        if (fresh.length > 0) await options.apply(tx, fresh, context);
      });
      await marks?.forgetOld();
    },
  };
}

function inTransaction<T>(
  database: SqlDatabase,
  { signal }: ImportContext,
  work: (tx: SqlQueries) => Promise<T>,
): Promise<T> {
  return classify(database, () => database.transaction(work, signal));
}

// Until a commit is sent nothing is applied, so only a lost response to it leaves the outcome unknown.
async function classify<T>(database: SqlDatabase, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (outcomeOf(error) !== undefined || error instanceof CommitUnknownError) throw error;
    switch (database.dialect.faultOf(error)) {
      case "reject":
        throw reject(error);
      case "stop":
        throw stop(error);
      case "retry":
        throw retryLater(error);
      case undefined:
        throw new Error(messageOf(error), { cause: error });
    }
  }
}
