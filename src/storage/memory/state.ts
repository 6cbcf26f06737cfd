import type { Failure, Fault } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Run } from "../../model/run.ts";
import type { WorkerProcess } from "../../model/worker-process.ts";
import type { ImportPlace, ListResult, ProcessHour, RunPosition } from "../storage.ts";
import { isoOf, optional } from "../documents.ts";
import { MemoryChanges } from "./changes.ts";
import { DueTimes } from "./due-times.ts";
import type { Inbox } from "./inbox.ts";
import { Sequence } from "./sequence.ts";
import type { FlowHealth } from "./totals/overview.ts";

/** Everything a MemoryStorage holds; each part of the contract is a file of functions over it. */
export class MemoryState {
  readonly flows = new Map<string, Flow>();
  /** Ascending. */
  readonly flowIds: string[] = [];
  readonly flowsByExport = new Map<string, Set<string>>();
  readonly bases = new Map<string, string>();
  readonly health = new Map<string, FlowHealth>();
  readonly due = new DueTimes();
  readonly queues = new Map<string, FlowQueue>();
  readonly runs = new Map<string, RunEntry>();
  readonly runLog = new Sequence<RunEntry>();
  readonly active = new Set<RunEntry>();
  readonly places = new Map<string, Map<string, ImportPlace>>();
  readonly failures = new Map<string, FailureEntry>();
  readonly failuresByFlow = new Map<string, Sequence<FailureEntry>>();
  readonly failureLog = new Sequence<FailureEntry>();
  /** Flow → import, integration and cause → its open failures, counted. */
  readonly causes = new Map<string, Map<string, CauseEntry>>();
  /** Causes of which nothing is open any more, and where they are. */
  readonly emptied = new Map<CauseEntry, { readonly _flowId: string; readonly key: string }>();
  /** Flow → import → export → its open failures by key. */
  readonly open = new Map<string, Map<string, Map<string, OpenEntries>>>();
  readonly inboxes = new Map<string, Inbox>();
  /** Flows that were deleted and whose failures are not all removed yet: the place up to which they are. */
  readonly deleted = new Map<string, number>();
  readonly processes = new Map<string, WorkerProcess>();
  readonly changes = new MemoryChanges(this);
  readonly statistics = new Map<string, ProcessHour>();
  readonly duties = new Map<string, { readonly holder: string; readonly until: number }>();
  #seq = 0;

  /** A number that is larger than all before. */
  nextSeq(): number {
    return ++this.#seq;
  }

  /** The newest number there is. */
  get lastSeq(): number {
    return this.#seq;
  }

  /** The flow's queue, made if it has none. */
  queueOf(_flowId: string): FlowQueue {
    let queue = this.queues.get(_flowId);
    if (queue === undefined)
      this.queues.set(_flowId, (queue = { waiting: [], runs: new Sequence(), active: undefined, bornAfter: 0 }));
    return queue;
  }
}

/** A flow's waiting runs (oldest first), its active run and all its runs that are remembered. */
export interface FlowQueue {
  waiting: RunEntry[];
  readonly runs: Sequence<RunEntry>;
  active: RunEntry | undefined;
  /** Runs up to this number are those of a flow with the same id that was deleted. */
  bornAfter: number;
}

/** A run and what is kept beside its document. */
export interface RunEntry {
  readonly seq: number;
  run: Run;
  /** The holder's, or of the one that ended it. */
  token: string | undefined;
  until: number;
  commits: number;
  position: RunPosition | undefined;
  /** `flow`: its flow was deleted, so it changes nothing but its counts. `places`: its flow reads another export now. */
  detached: "flow" | "places" | undefined;
  /** What `endRun` returned, for a call that is repeated. */
  resume: Run | undefined;
  /** Its due time gets no other run. */
  hasDueTime: boolean;
}

/** A failure and its number. */
export interface FailureEntry {
  readonly seq: number;
  failure: Failure;
}

/** Open failures of one flow, import and export by their keys, in the order they were first stored. */
export class OpenEntries {
  readonly #byKey = new Map<string, FailureEntry>();
  /** How many are sent again by themselves. Most are rejected, and nobody looks for their time. */
  #numRetries = 0;

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): FailureEntry | undefined {
    return this.#byKey.get(key);
  }

  values(): IterableIterator<FailureEntry> {
    return this.#byKey.values();
  }

  add(entry: FailureEntry): void {
    this.#byKey.set(entry.failure.key, entry);
    if (entry.failure.retryAt !== undefined) this.#numRetries++;
  }

  delete({ failure }: FailureEntry): void {
    this.#byKey.delete(failure.key);
    if (failure.retryAt !== undefined) this.#numRetries--;
  }

  /** One of them is another state of the same failure now. */
  replaced(before: Failure, now: Failure): void {
    this.#numRetries += Number(now.retryAt !== undefined) - Number(before.retryAt !== undefined);
  }

  /** When each of those that are sent again by themselves is. */
  *retries(): Iterable<string> {
    if (this.#numRetries === 0) return;
    for (const { failure } of this.#byKey.values()) if (failure.retryAt !== undefined) yield failure.retryAt;
  }

  /** Whether there is such an instant. */
  hasRetry(isWanted: (retryAt: string) => boolean): boolean {
    for (const retryAt of this.retries()) if (isWanted(retryAt)) return true;
    return false;
  }
}

/** Open failures of one flow, import, integration and cause. */
export interface CauseEntry {
  readonly cause: string;
  readonly pattern: string;
  readonly fault: Fault;
  readonly code: string | undefined;
  readonly _importId: string;
  readonly _integrationId: string | undefined;
  open: number;
  firstAt: string;
  lastAt: string;
  sample: string;
}

/** The entries that `wanted` holds for. */
export function* filtered<T>(entries: Iterable<T>, wanted: (entry: T) => boolean): Iterable<T> {
  for (const entry of entries) if (wanted(entry)) yield entry;
}

/** The first `limit` entries as a page of a list; `cursor` gives its `next`. */
export function listPage<T>(entries: Iterable<T>, limit: number, cursor: (entry: T) => string): ListResult<T> {
  const items: T[] = [];
  for (const entry of entries) {
    const last = items.at(-1);
    if (items.length === limit && last !== undefined) return { items, next: cursor(last) };
    items.push(entry);
  }
  return { items };
}

/** The same page of other things. */
export function mapPage<T, U>({ items, next }: ListResult<T>, map: (item: T) => U): ListResult<U> {
  return { items: items.map(map), ...optional("next", next) };
}

/** True if the document has each of these fields as the query wants it. */
export function matches<Key extends string>(
  document: Partial<Record<Key, unknown>>,
  query: Partial<Record<Key, unknown>>,
  fields: readonly Key[],
): boolean {
  return fields.every((field) => query[field] === undefined || document[field] === query[field]);
}

/** Ids of enabled flows, ascending, after `after`, for which `wanted` holds. */
export function enabledFlowIds<T>(
  state: MemoryState,
  map: ReadonlyMap<string, T>,
  page: { readonly limit: number; readonly after?: string | undefined },
  wanted: (value: T, _flowId: string) => boolean,
): readonly string[] {
  const { limit, after } = page;
  const ids: string[] = [];
  for (const [_flowId, value] of map)
    if (
      (after === undefined || _flowId > after) &&
      state.flows.get(_flowId)?.disabled === false &&
      wanted(value, _flowId)
    )
      ids.push(_flowId);
  return ids.sort().slice(0, limit);
}

/** Gives an enabled flow another due time; an absent `basis` stays. */
export function moveDueTime(state: MemoryState, flow: Flow, dueAt: number | undefined, basis?: string): Flow {
  if (flow.nextRunAt !== undefined) state.due.remove(Date.parse(flow.nextRunAt), flow._id);
  if (dueAt !== undefined) state.due.add(dueAt, flow._id);
  if (basis !== undefined) state.bases.set(flow._id, basis);
  const moved = Object.freeze(dueAt === undefined ? neverDue(flow) : { ...flow, nextRunAt: isoOf(dueAt) });
  state.flows.set(flow._id, moved);
  return moved;
}

function neverDue({ nextRunAt: _, ...flow }: Flow): Flow {
  return flow;
}
