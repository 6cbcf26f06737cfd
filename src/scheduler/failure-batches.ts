import { itemAt } from "../model/item-at.ts";
import type { Clock } from "../clock.ts";
import { ConflictError, InvalidRequestError, isPoundlockError } from "../errors.ts";
import { openFailureFilters } from "../model/filters.ts";
import { omitUndefined } from "../model/record/json.ts";
import type { Run } from "../model/run.ts";
import { type Shape, validate } from "../model/validate.ts";
import type { OpenFailureQuery, Storage } from "../storage/storage.ts";
import type { Failures } from "./failures.ts";
import type { RunQueue } from "./run-queue.ts";

/** Open failures that somebody has seen: one filter at least, and how far they went. */
export interface FailureBatch extends Omit<OpenFailureQuery, "limit" | "through"> {
  /** The newest `_id` that was seen: what was stored after it is left alone. */
  readonly through: string;
}

/** Retry runs of several flows. */
export interface RetriedBatch {
  /** The runs that were queued, one for each flow. */
  readonly runs: readonly Run[];
  /** Flows that got none, and the code of the error that `retryFailures` would throw. */
  readonly refused: readonly { readonly _flowId: string; readonly code: string }[];
  /** The `after` of the rest. */
  readonly next?: string;
}

/** Failures that were resolved together. */
export interface ResolvedBatch {
  /** How many were open. */
  readonly resolved: number;
  /** The `after` of the rest. */
  readonly next?: string;
}

/** What failure batches need. */
export interface FailureBatchesDeps {
  readonly storage: Pick<Storage, "flowsOfFailures" | "listFailureIds">;
  readonly clock: Clock;
  readonly queue: Pick<RunQueue, "add">;
  readonly failures: Pick<Failures, "resolveKnown">;
}

/** Flows that get a run in one call. */
const flowsAtOnce = 1_000;

/** Failures that are resolved in one call, and in one transaction: a run that has a page to commit waits for no more. */
const resolvedAtOnce = 10_000;
const changeSize = 100;

/** Retries and resolves open failures of many flows by what they have in common. */
export class FailureBatches {
  readonly #deps: FailureBatchesDeps;

  constructor(deps: FailureBatchesDeps) {
    this.#deps = deps;
  }

  /** @throws `invalid_request`; `conflict` while failures of an earlier version are still being counted. */
  async retry(batch: FailureBatch): Promise<RetriedBatch> {
    const { _flowId: _, after: _after, ...selection } = checked(batch);
    const { queue, storage } = this.#deps;
    const { complete, items } = await storage.flowsOfFailures({ ...omitUndefined(batch), limit: flowsAtOnce });
    if (!complete)
      throw new ConflictError("Failures of an earlier version of poundlock are still being counted: try again later");
    const runs: Run[] = [];
    const refused: { readonly _flowId: string; readonly code: string }[] = [];
    for (const _flowId of items)
      try {
        runs.push(await queue.add(_flowId, { trigger: "retry", retry: Object.freeze(selection) }));
      } catch (error) {
        if (!isPoundlockError(error) || error.code === "storage_failed") throw error;
        refused.push({ _flowId, code: error.code });
      }
    return { runs, refused, ...(items.length < flowsAtOnce ? {} : { next: itemAt(items, items.length - 1) }) };
  }

  /** @throws `invalid_request` */
  async resolve(batch: FailureBatch): Promise<ResolvedBatch> {
    const { clock, failures, storage } = this.#deps;
    const { after: begin, ...filter } = checked(batch);
    let resolved = 0;
    let after = begin;
    for (let seen = 0; seen < resolvedAtOnce; seen += changeSize) {
      const page = after === undefined ? {} : { after };
      const { items, next } = await storage.listFailureIds({ ...filter, ...page, status: "open", limit: changeSize });
      resolved += (await failures.resolveKnown(items)).length;
      after = next;
      if (after === undefined) return { resolved };
      await clock.yieldToEventLoop();
    }
    return { resolved, ...(after === undefined ? {} : { next: after }) };
  }
}

/** @throws `invalid_request` naming the filter that is unknown or out of range, or that is missing. */
function checked(batch: FailureBatch): FailureBatch {
  validate(batch, openFailureFilters satisfies Shape<FailureBatch>, InvalidRequestError);
  const { after: _, through: __, ...filters } = omitUndefined(batch);
  if (Object.keys(filters).length === 0)
    throw new InvalidRequestError("", "a filter beside through: all failures together are not meant", batch);
  return omitUndefined(batch);
}
