import type { Flow } from "../flow/flow.ts";
import { type StandardSchemaV1, standardSchema } from "./import.ts";
import type { Json } from "../record/json.ts";
import type { Logger } from "../logger.ts";
import type { Page } from "./page.ts";
import { type Shape, boolean, callable, objectWith, oneOf, v, wholeNumber } from "../validate.ts";
import type { Run } from "../run.ts";

/** The source end of a flow: host code under an `_id` in the registry. At least one of `pages` and `listen`. */
export interface Export<T, C = Json> {
  /**
   * Reads on demand, from the checkpoint on. Pages are pulled: the next is asked for when there is room for it.
   * A plain array is a page without a checkpoint. `retryLater` thrown here resumes from the last committed
   * checkpoint after the delay, at most `maxAttempts` times without progress, and only if every page so far had a
   * checkpoint; `expired` before the first page gives the position up. Any other error ends the run as `export_failed`
   * and keeps what was committed. `run.parameters`, what the caller of `scheduler.run` asked for (a backfill's window,
   * say), narrow down what is read.
   */
  pages?(context: ExportContext<C>): AsyncIterable<Page<T, C> | readonly T[]>;
  /**
   * Receives events while the scheduler runs and some enabled flow uses this export. Returns how to stop. If it throws
   * it is called again: after a second, then two, up to a minute.
   */
  listen?(context: ListenContext<T>): Promise<Unsubscribe> | Unsubscribe;
  /** A hint handed to `pages`, and how many records of an inbox make a page; 1 or more. @default 100 */
  readonly pageSize?: number;
  /**
   * Identity of the thing that the record is about: whose failure it is, and what an upsert goes by. A string of 1 to
   * 1,000 characters, at once. A record for which it throws, or returns anything else, is a failure (`reject`).
   *
   * @default the event id; without one, made of run, page and place: stable within the run only
   */
  key?(record: T): string;
  /**
   * Which state of the thing the record is: its `updatedAt` or revision, a string or a finite number, at once. Part of
   * the idempotency key, and orders states: numbers by value, strings by code unit; an older one never replaces a newer.
   * A record for which it throws, or returns anything else, is a failure (`reject`).
   *
   * @default none: the record's content stands for its state, and the one that came later is the newer
   */
  version?(record: T): string | number;
  /**
   * `ordered`: every page's checkpoint may become the flow's at once. `unordered`: page checkpoints only resume the
   * same run, and the flow's checkpoint moves when the run completes. @default "unordered"
   */
  readonly order?: "ordered" | "unordered";
  /**
   * What records have to be, any Standard Schema validator that is synchronous. An invalid one makes `scheduler.accept` refuse the
   * call; one that `pages` yields, or that comes from `listen`, is a failure (`reject`). Records are not changed by it.
   */
  readonly schema?: StandardSchemaV1<T>;
  /**
   * Keeps records that are more than plain data, dates, maps, sets and bytes: without one, a record that holds an object
   * of a class cannot be stored, neither in an inbox nor with its failure.
   */
  readonly codec?: Codec<T>;
  /** How records that arrive as JSON are read. */
  readonly intake?: IntakeSettings;
  /** Milliseconds without a page until the read is aborted and ends as `export_failed`; 1 or more. @default 600000 */
  readonly readTimeoutMs?: number;
  /** True: every run reads the whole source from its beginning. What imports do with that: their `finish`. @default false */
  readonly whole?: boolean;
  /**
   * Called after the commit of each page that `pages` made, in order and before the next one is written, once every import
   * of the flow has settled it: to mark, move or acknowledge at the source. Not for sample runs. What it throws is
   * logged. It may be missed after a crash, or while an import is behind, and has `readTimeoutMs` to return.
   */
  committed?(page: Page<T, C>, context: CommittedContext): Promise<void> | void;
  /** Version of the checkpoint's shape; a whole number, 0 or more. @default 1 */
  readonly checkpointVersion?: number;
  /** Turns a checkpoint stored under another version into today's shape. Without it such a checkpoint ends the run. */
  migrate?(checkpoint: Json, fromVersion: number): C;
}

/** Turns records into JSON, to be kept and shown, and back. */
export interface Codec<T = unknown> {
  encode(record: T): Json;
  /** The record again, deeply equal. */
  decode(value: Json): T;
}

/** How records that arrive as JSON are read. */
export interface IntakeSettings {
  /**
   * `refuse`: a body with an integer whose digits a JavaScript number would change is refused, naming the field. `string`,
   * `bigint`: integers beyond ±(2^53 - 1) are read so, the others as numbers.
   *
   * @default "refuse"
   */
  readonly integers?: "refuse" | "string" | "bigint";
}

/** What `committed` is given. */
export interface CommittedContext {
  /** As of the page's commit. */
  readonly run: Run;
  /** Aborts when the run is canceled, stops or has lost its lease. */
  readonly signal: AbortSignal;
  /** The scheduler's, with the ids of flow and run in every line. */
  readonly log: Logger;
}

/** Ends what `listen` began. */
export type Unsubscribe = () => Promise<void> | void;

/** What `pages` is given. */
export interface ExportContext<C = Json> {
  /** This run's own if it has committed one, else the flow's; undefined if there is none: from the start. */
  readonly checkpoint: C | undefined;
  /** As it is when reading begins. */
  readonly run: Run;
  /** As it is when the run begins. */
  readonly flow: Flow;
  /**
   * Where the flow's other imports stand, in a reading that catches up with them. An export that can compare stops
   * there, with a page of exactly this checkpoint; then all are read for together again.
   */
  readonly until?: C;
  /** The export's own hint, or 100. */
  readonly pageSize: number;
  /** A sample run: no more records than this are used. */
  readonly limit?: number;
  /** Aborts when the run is canceled, stops or has lost its lease, and when no more is read; hand it to every request. */
  readonly signal: AbortSignal;
  /** The scheduler's, with the ids of flow and run in every line. */
  readonly log: Logger;
}

/** What `listen` is given. */
export interface ListenContext<T> {
  /**
   * Resolves when the records are durable in the inbox of every enabled flow that uses the export; only then may the
   * sender get its OK. `ids[i]` is the event id of `records[i]`: seen again within `dedupeWindowMs`, it is dropped.
   *
   * @throws `busy` when an inbox is full, `flow_disabled` when no enabled flow uses the export.
   */
  readonly accept: (records: readonly T[], options?: AcceptOptions) => Promise<AcceptResult>;
  /** Aborts when listening ends, just before what `listen` returned is called. */
  readonly signal: AbortSignal;
  /** The scheduler's, with the id of the export in every line. */
  readonly log: Logger;
}

/** How records are accepted. */
export interface AcceptOptions {
  /** One event id a record, in the same order. */
  readonly ids?: readonly string[];
  /** Only for the flows of this integration. @default for every flow that uses the export */
  readonly _integrationId?: string;
}

/** What became of accepted records; with several flows on the export, what the one with the fewest news made of them. */
export interface AcceptResult {
  /** Records that are in its inbox now. */
  readonly accepted: number;
  /** Event ids seen before within the window. */
  readonly duplicates: number;
}

/** What is checked when an export is added, beside that it has `pages` or `listen`. */
export const exportRules: Shape<Export<unknown>> = {
  pages: v.optional(callable),
  listen: v.optional(callable),
  pageSize: v.optional(wholeNumber(1)),
  key: v.optional(callable),
  version: v.optional(callable),
  codec: v.optional(objectWith(["encode", "decode"])),
  schema: v.optional(standardSchema),
  intake: v.optional(
    v.looseObject({ integers: v.optional(oneOf("refuse", "string", "bigint")) }, "an object with integers"),
  ),
  readTimeoutMs: v.optional(wholeNumber(1)),
  order: v.optional(oneOf("ordered", "unordered")),
  whole: v.optional(boolean),
  committed: v.optional(callable),
  checkpointVersion: v.optional(wholeNumber(0)),
  migrate: v.optional(callable),
};
