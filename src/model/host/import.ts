import type { Fault } from "../failure.ts";
import type { Flow } from "../flow/flow.ts";
import type { Logger } from "../logger.ts";
import { type Shape, boolean, callable, oneOf, v, wholeNumber } from "../validate.ts";
import type { Run } from "../run.ts";

/**
 * The destination end of a flow: host code under an `_id` in the registry. If what is written (`Out`) is of another type
 * than what it is given (`In`), a `map`, or a `schema` that transforms, is required.
 */
export type Import<In, Out = In, R = unknown> = ImportMembers<In, Out, R> &
  ([In] extends [Out] ? unknown : { readonly schema: StandardSchemaV1<Out> } | { map(record: In): Out });

/** The members of an import. A class implements these. */
export interface ImportMembers<In, Out = In, R = unknown> {
  /**
   * Writes one batch. Returning nothing means that all were written; an array has one result for each record, in order.
   * What it throws classifies the whole batch: `retryLater`, `reject`, `stop`; anything else, a timeout included,
   * means that the batch may have been applied.
   */
  write(records: readonly Out[], context: ImportContext): Promise<void | readonly Result<R>[]>;
  /** Is writing the same record again, under the same key, harmless? Decides what happens after an unknown outcome. */
  readonly idempotent: boolean;
  /** Most records in one `write`; 1 or more. Without it a page is one batch. */
  readonly batchSize?: number;
  /** Batches of one page written at once; 1 or more. @default 1 */
  readonly concurrency?: number;
  /**
   * Milliseconds until the signal of one `write`, or one `find`, aborts; 1 or more. It has a second more to return, then
   * it is left behind, and its outcome is unknown.
   *
   * @default 300000
   */
  readonly writeTimeoutMs?: number;
  /**
   * Where a page has several states of one thing, records of the same key. `apart`: a later one is not sent before the
   * earlier one is settled. `together`: they may share a batch, which `write` applies in its order and as a whole;
   * batches of such a page are written one after the other, whatever `concurrency` says.
   *
   * @default "apart"
   */
  readonly sameKey?: "apart" | "together";
  /** False leaves the record out of this import (`numIgnore`). Synchronous; a throw is a reject. */
  filter?(record: In): boolean;
  /** The record as this import wants it. Synchronous; a throw is a reject. Records are frozen: return a new one. */
  map?(record: In): Out;
  /** Checked after `map`, and its output is what is written; any Standard Schema validator that is synchronous. */
  readonly schema?: StandardSchemaV1<Out>;
  /**
   * Which of these records, whose outcome is unknown, are there? An entry that is not undefined means written.
   * Called only if the import is not idempotent; exactly one entry a record, in order. If it throws, or does not return
   * within `writeTimeoutMs` and a second, nothing is known.
   */
  find?(records: readonly Out[], context: ImportContext): Promise<readonly (R | undefined)[]>;
  /**
   * Called once all that was read for this import is settled and committed, before the run completes; not after samples,
   * retries of failures, and what was read from an inbox. Called again after a crash, so it has to be idempotent.
   * `retryLater` is heeded up to `maxAttempts` times; any other error fails the run as `import_failed`.
   */
  finish?(context: FinishContext): Promise<void>;
}

/** What `finish` is given. */
export interface FinishContext {
  /**
   * True only if, under the id of this run, this import was given the source from its beginning to its end, and has no
   * failure of this run: only then may what was not written be deleted. The run has no `parameters`, no `limit` and moves
   * its checkpoint; the export says that it is `whole`, or there was no checkpoint.
   */
  readonly whole: boolean;
  /** As of its last committed page. */
  readonly run: Run;
  /** As it is when the run begins. */
  readonly flow: Flow;
  /** Aborts when the run is canceled, stopped or has lost its lease, or when `writeTimeoutMs` is over. */
  readonly signal: AbortSignal;
  /** The scheduler's, with the ids of flow and run in every line. */
  readonly log: Logger;
}

/**
 * What `write` and `find` are given. `keys`, `idempotencyKeys` and `signal` are made when they are first read, so
 * `{ ...context }` does not have them: pass them on by name.
 */
export interface ImportContext {
  /** `keys[i]` identifies the thing that `records[i]` is about: the same over attempts, resumes and retries. */
  readonly keys: readonly string[];
  /**
   * `idempotencyKeys[i]` identifies this state of `records[i]` at this import: a UUID, the same over attempts, restarts
   * and retries, and another one once the record has changed. For APIs that remember keys; an upsert goes by `keys[i]`.
   */
  readonly idempotencyKeys: readonly string[];
  /**
   * Which page of its run the batch is of, from 1 on, counted as default keys are: the same number when the page is read
   * again after a crash, perhaps with other records.
   */
  readonly page: number;
  /** 1 for the first try of this batch, and for every `find`. */
  readonly attempt: number;
  /** As of its last committed page. */
  readonly run: Run;
  /** As it is when the run begins. */
  readonly flow: Flow;
  /** Aborts when the run is canceled, stopped or has lost its lease, or when `writeTimeoutMs` is over. */
  readonly signal: AbortSignal;
  /** The scheduler's, with the ids of flow and run in every line. */
  readonly log: Logger;
}

/** What became of one record of a batch. */
export type Result<R = unknown> =
  | {
      readonly ok: true;
      readonly value?: R;
      /** True: the record was left out on purpose (`numIgnore`), and needs no second try. @default false */
      readonly ignored?: boolean;
    }
  | {
      readonly ok: false;
      readonly fault: Fault;
      readonly error: unknown;
      /** As of {@link retryLater}: when the next attempt may be, if there is one. A batch waits for the longest. */
      readonly afterMs?: number | Date | undefined;
    };

/**
 * The part of a Standard Schema validator that is used here; valibot, zod and arktype schemas are such.
 *
 * @see https://standardschema.dev
 */
export interface StandardSchemaV1<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  };
}

/** What a Standard Schema validator returns. */
export type StandardResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] };

/** One reason why a value is invalid. */
export interface StandardIssue {
  readonly message: string;
  /** The names that lead to it. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A Standard Schema validator. Some libraries' schemas are functions. */
export const standardSchema = v.custom(
  (value) => typeof (value as Partial<StandardSchemaV1> | null)?.["~standard"]?.validate === "function",
  "a Standard Schema validator",
);

/** What is checked when an import is added, beside that it has `write`. */
export const importRules: Shape<Import<unknown>> = {
  write: callable,
  idempotent: boolean,
  batchSize: v.optional(wholeNumber(1)),
  concurrency: v.optional(wholeNumber(1)),
  writeTimeoutMs: v.optional(wholeNumber(1)),
  sameKey: v.optional(oneOf("apart", "together")),
  filter: v.optional(callable),
  map: v.optional(callable),
  schema: v.optional(standardSchema),
  find: v.optional(callable),
  finish: v.optional(callable),
};
