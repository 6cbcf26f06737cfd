import type { Flow } from "./flow.ts";
import type { Json } from "./json.ts";
import type { Logger } from "./logger.ts";
import type { Page } from "./page.ts";
import { type Rule, method, oneOf, optional, wholeFrom } from "./rule.ts";
import type { Run } from "./run.ts";

/** The source end of a flow: host code under an `_id` in the registry. At least one of `pages` and `listen`. */
export interface Export<T, C extends Json = Json> {
  /**
   * Reads on demand, from the checkpoint on. Pages are pulled: the next is asked for when there is room for it.
   * A plain array is a page without a checkpoint. `retryLater` thrown here resumes from the last committed
   * checkpoint after the delay; any other error ends the run as `export_failed` and keeps what was committed.
   */
  pages?(context: ExportContext<C>): AsyncIterable<Page<T, C> | readonly T[]>;
  /** Receives events while the scheduler runs and some enabled flow uses this export. Answers how to stop. */
  listen?(context: ListenContext<T>): Promise<Stop> | Stop;
  /** A hint handed to `pages` as `pageSize`; 1 or more. @default 100 */
  readonly pageSize?: number;
  /** The record's identity: idempotency key of its writes, key of its failure. Synchronous. */
  key?(record: T): string;
  /**
   * `ordered`: every page's checkpoint may become the flow's at once. `unordered`: page checkpoints only resume the
   * same run, and the flow's checkpoint moves when the run completes. @default "unordered"
   */
  readonly order?: "ordered" | "unordered";
  /** Version of the checkpoint's shape, a whole number. @default 1 */
  readonly checkpointVersion?: number;
  /** Turns a checkpoint stored under another version into today's shape. Without it such a checkpoint ends the run. */
  migrate?(checkpoint: Json, fromVersion: number): C;
}

/** Ends what `listen` began. */
export type Stop = () => Promise<void> | void;

/** What `pages` is given. */
export interface ExportContext<C extends Json = Json> {
  /** The last committed one; undefined on the first run. */
  readonly checkpoint: C | undefined;
  readonly run: Run;
  readonly flow: Flow;
  /** The export's own hint, or 100. */
  readonly pageSize: number;
  /** A sample run: no more records than this are used. */
  readonly limit?: number;
  /** Aborts when the run is canceled, stopped or has lost its lease; hand it to every request. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** What `listen` is given. */
export interface ListenContext<T> {
  /**
   * Resolves when the records are durable in the inbox of every enabled flow that uses the export; only then may the
   * sender be told OK. `ids[i]` is the event id of `records[i]`: seen again within `dedupeWindowMs`, it is dropped.
   *
   * @throws `busy` when an inbox is full, `flow_disabled` when no enabled flow uses the export.
   */
  readonly accept: (records: readonly T[], options?: AcceptOptions) => Promise<Accepted>;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** How records are accepted. */
export interface AcceptOptions {
  /** One event id a record, in the same order. */
  readonly ids?: readonly string[];
}

/** What became of accepted records; with several flows on the export, what the one with the fewest news made of them. */
export interface Accepted {
  readonly accepted: number;
  /** Event ids seen before within the window. */
  readonly duplicates: number;
}

/** What is checked when an export is added, beside that it has `pages` or `listen`. */
export const exportRules: Readonly<Record<keyof Export<unknown>, Rule>> = {
  pages: optional(method),
  listen: optional(method),
  pageSize: optional(wholeFrom(1)),
  key: optional(method),
  order: optional(oneOf("ordered", "unordered")),
  checkpointVersion: optional(wholeFrom(0)),
  migrate: optional(method),
};
