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
  /** What the key begins with, 1 to 200 characters. */
  readonly keyPrefix?: string;
  /** A part of the message, or of the record as JSON, in any case of ASCII letters, 1 to 200 characters. */
  readonly text?: string;
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

/** How many failures one call looks at for a string or the beginning of a key; it ends with a flow, or a portion. */
const mostSearched = 20_000;

/** How many of those that a search finds are read together. */
const foundAtOnce = 1_000;

/** Retries and resolves open failures of many flows by what they have in common. */
export class FailureBatches {
  readonly #deps: FailureBatchesDeps;

  constructor(deps: FailureBatchesDeps) {
    this.#deps = deps;
  }

  /** @throws `invalid_request`; `conflict` while failures of an earlier version are still being counted. */
  async retry(batch: FailureBatch): Promise<RetriedBatch> {
    const { _flowId: _, after: _after, ...selection } = checked(batch);
    const { queue } = this.#deps;
    const { flows, next } = await this.#flowsWith(omitUndefined(batch));
    const runs: Run[] = [];
    const refused: { readonly _flowId: string; readonly code: string }[] = [];
    for (const _flowId of flows)
      try {
        runs.push(await queue.add(_flowId, { trigger: "retry", retry: Object.freeze(selection) }));
      } catch (error) {
        if (!isPoundlockError(error) || error.code === "storage_failed") throw error;
        refused.push({ _flowId, code: error.code });
      }
    return { runs, refused, ...omitUndefined({ next }) };
  }

  /** @throws `invalid_request` */
  async resolve(batch: FailureBatch): Promise<ResolvedBatch> {
    const { clock, failures, storage } = this.#deps;
    const { after: begin, ...filter } = checked(batch);
    const limit = isSearch(batch) ? foundAtOnce : changeSize;
    let resolved = 0;
    let examined = 0;
    let after = begin;
    for (let seen = 0; seen < resolvedAtOnce && examined < mostSearched;) {
      const page = after === undefined ? {} : { after };
      const found = await storage.listFailureIds({ ...filter, ...page, status: "open", limit });
      resolved += (await failures.resolveKnown(found.items)).length;
      after = found.next;
      if (after === undefined) return { resolved };
      seen += found.items.length;
      examined += found.examined ?? 0;
      await clock.yieldToEventLoop();
    }
    return { resolved, ...omitUndefined({ next: after }) };
  }

  // Flows that are to get a run, and after which one the next call goes on.
  async #flowsWith(batch: FailureBatch): Promise<FoundFlows> {
    const { keyPrefix: _, text: __, ...counted } = batch;
    const { complete, items } = await this.#deps.storage.flowsOfFailures({ ...counted, limit: flowsAtOnce });
    if (!complete)
      throw new ConflictError("Failures of an earlier version of poundlock are still being counted: try again later");
    const next = items.length < flowsAtOnce ? undefined : itemAt(items, items.length - 1);
    return isSearch(batch) ? this.#searched(batch, { flows: items, next }) : { flows: items, next };
  }

  // Those of the flows that have a failure that the search finds; each is looked through until one is found.
  async #searched(batch: FailureBatch, { flows, next }: FoundFlows): Promise<FoundFlows> {
    const { clock, storage } = this.#deps;
    const { after: _, ...filter } = batch;
    const found: string[] = [];
    let examined = 0;
    for (const [nth, _flowId] of flows.entries()) {
      if (examined >= mostSearched) return { flows: found, next: itemAt(flows, nth - 1) };
      const query = { ...filter, _flowId, status: "open", limit: 1 } as const;
      for (let after: string | undefined; ;) {
        const page = await storage.listFailureIds({ ...query, ...omitUndefined({ after }) });
        examined += page.examined ?? 1;
        if (page.items.length > 0) found.push(_flowId);
        after = page.items.length > 0 ? undefined : page.next;
        await clock.yieldToEventLoop();
        if (after === undefined) break;
      }
    }
    return { flows: found, next };
  }
}

/** Flows that have failures, and after which one to go on. */
interface FoundFlows {
  readonly flows: readonly string[];
  readonly next: string | undefined;
}

/** Whether no index finds what matches. */
function isSearch({ keyPrefix, text }: FailureBatch): boolean {
  return keyPrefix !== undefined || text !== undefined;
}

/** @throws `invalid_request` naming the filter that is unknown or out of range, or that is missing. */
function checked(batch: FailureBatch): FailureBatch {
  validate(batch, openFailureFilters satisfies Shape<FailureBatch>, InvalidRequestError);
  const { after: _, through: __, ...filters } = omitUndefined(batch);
  if (Object.keys(filters).length === 0)
    throw new InvalidRequestError("", "a filter beside through: all failures together are not meant", batch);
  return omitUndefined(batch);
}
