import { causeOf } from "../../model/cause.ts";
import { type Failure, type ResolvedBy, foldedFailure, resolvedFailure } from "../../model/failure.ts";
import { importIdsOf } from "../../model/flow/flow.ts";
import { mostListed, roughSize } from "../../model/record/size.ts";
import { TextSearch } from "../../model/record/search.ts";
import { isoOf, mostExamined, own, placeOf } from "../documents.ts";
import { storeValue } from "../record-text.ts";
import type {
  DueRetry,
  FailureIdList,
  FailureList,
  FailureQuery,
  ListResult,
  OpenKey,
  OpenKeyQuery,
} from "../storage.ts";
import { CauseCounter, leaveCause } from "./totals/causes.ts";
import { Sequence } from "./sequence.ts";
import { type FailureEntry, type MemoryState, OpenEntries, filtered, listPage, mapPage, matches } from "./state.ts";

/** The failure with this id, unless it was deleted with its flow. */
export function failureThere(state: MemoryState, _id: string): FailureEntry | undefined {
  const entry = state.failures.get(_id);
  return entry === undefined || isGone(state, entry) ? undefined : entry;
}

function isGone({ deleted }: MemoryState, { failure }: FailureEntry): boolean {
  return deleted.size > 0 && failure.status === "open" && deleted.has(failure._flowId);
}

/** @see FailureStorage.listFailures */
export function listFailures(state: MemoryState, query: FailureQuery): FailureList {
  if (query.text !== undefined) return searchFailures(state, query, new TextSearch(query.text));
  const matching = filtered(failuresOf(state, query), ({ failure }) => isWanted(failure, query));
  const page = listPage(matching, query.limit, (entry) => String(entry.seq));
  return mapPage(bounded(page), ({ failure }) => failure);
}

/** @see FailureStorage.listFailureIds */
export function listFailureIds(state: MemoryState, query: FailureQuery): FailureIdList {
  if (query.text !== undefined) {
    const { items, ...page } = searchFailures(state, query, new TextSearch(query.text));
    return { items: items.map(({ _id }) => _id), ...page };
  }
  const matching = filtered(failuresOf(state, query), ({ failure }) => isWanted(failure, query));
  return mapPage(
    listPage(matching, query.limit, (entry) => String(entry.seq)),
    ({ failure }) => failure._id,
  );
}

function searchFailures(state: MemoryState, query: FailureQuery, search: TextSearch): FailureList {
  const items: Failure[] = [];
  let examined = 0;
  let size = 0;
  /** The place after the last item, and how many were looked at up to it. */
  let end = { next: "", examined };
  let last = "";
  for (const { failure, seq } of failuresOf(state, query)) {
    if (examined === mostExamined) return { items, examined, next: last };
    examined++;
    last = String(seq);
    if (!isWanted(failure, query) || !search.finds(failure.message, storeValue(failure.record).text)) continue;
    size += roughSize(failure.record, mostListed) + roughSize(failure.original, mostListed);
    if (items.length === query.limit || (size > mostListed && items.length > 0)) return { items, ...end };
    items.push(failure);
    end = { next: last, examined };
  }
  return { items, examined };
}

function bounded(page: ListResult<FailureEntry>): ListResult<FailureEntry> {
  let size = 0;
  const end = page.items.findIndex(({ failure: { record, original } }, index) => {
    size += roughSize(record, mostListed) + roughSize(original, mostListed);
    return size > mostListed && index > 0;
  });
  return end < 0 ? page : { items: page.items.slice(0, end), next: String(page.items[end - 1]?.seq) };
}

const filters = [
  ...(["_flowId", "_exportId", "_importId", "_runId", "_integrationId", "_connectorId"] as const),
  ...(["status", "fault", "key"] as const),
] as const;

/** Whether a failure matches, but for its place, its id and its text. */
export function isWanted(failure: Failure, query: FailureQuery): boolean {
  if (!matches(failure, query, filters)) return false;
  const { cause, keyPrefix, retryUntil } = query;
  if (keyPrefix !== undefined && !failure.key.startsWith(keyPrefix)) return false;
  if (cause !== undefined && causeOf(failure).cause !== cause) return false;
  return retryUntil === undefined || (failure.retryAt !== undefined && failure.retryAt <= isoOf(retryUntil));
}

/** The failures of the page and beyond it that may match, in its order. */
export function failuresOf(state: MemoryState, query: FailureQuery): Iterable<FailureEntry> {
  const { _flowId, _ids, after, newestFirst = false } = query;
  const last = upToThrough(state, query.through);
  const begin = placeOf(after, newestFirst ? Infinity : 0);
  const [first, end] = newestFirst ? [0, Math.min(begin, last + 1)] : [begin, last + 1];
  if (_ids !== undefined) {
    const chosen = [...new Set(_ids)].flatMap((_id) => failureThere(state, _id) ?? []);
    const sorted = chosen.sort((one, other) => (newestFirst ? other.seq - one.seq : one.seq - other.seq));
    return sorted.filter(({ seq }) => seq > first && seq < end);
  }
  const all = _flowId === undefined ? state.failureLog : (state.failuresByFlow.get(_flowId) ?? noFailures);
  const found = newestFirst ? all.before(end) : filtered(all.after(first), ({ seq }) => seq < end);
  return state.deleted.size === 0 ? found : filtered(found, (entry) => !isGone(state, entry));
}

const noFailures = new Sequence<FailureEntry>();

/** The place up to which a list goes; undefined: to its end. */
export function upToThrough(state: MemoryState, through: string | undefined): number {
  if (through === undefined) return Infinity;
  const known = failureThere(state, through);
  if (known !== undefined) return known.seq;
  let last: { readonly _id: string; readonly seq: number } | undefined;
  for (const [_id, entry] of state.failures)
    if (_id <= through && (last === undefined || _id > last._id) && !isGone(state, entry))
      last = { _id, seq: entry.seq };
  return last?.seq ?? 0;
}

/** @see FailureStorage.resolveFailures */
export function resolveFailures(state: MemoryState, _ids: readonly string[], at: number): readonly Failure[] {
  const open = [...new Set(_ids)]
    .flatMap((_id) => failureThere(state, _id) ?? [])
    .filter(({ failure }) => failure.status === "open");
  return open.map((entry) => resolve(state, entry, at, "person"));
}

/** @see FailureStorage.editFailure */
export function editFailure(
  state: MemoryState,
  _id: string,
  { record, at }: { readonly record: unknown; readonly at: number },
): Failure | undefined {
  const entry = failureThere(state, _id);
  if (entry?.failure.status !== "open") return undefined;
  const { failure } = entry;
  // What such a run has read before it would replace the edit, or remove it as delivered.
  if (state.queues.get(failure._flowId)?.active?.run.trigger === "retry") return undefined;
  const original = "original" in failure ? failure.original : failure.record;
  entry.failure = Object.freeze({ ...failure, record: own(record), original, editedAt: isoOf(at) });
  return entry.failure;
}

/** @see FailureStorage.openKeys */
export function openKeys(state: MemoryState, query: OpenKeyQuery): ListResult<OpenKey> {
  const { _flowId, _importId, _exportId, after, limit } = query;
  const place = placeOf(after, 0);
  const entries = state.open.get(_flowId)?.get(_importId)?.get(_exportId)?.values() ?? [];
  const page = listPage(
    filtered(entries, ({ seq }) => seq > place),
    limit,
    (entry) => String(entry.seq),
  );
  return mapPage(page, ({ failure: { _id, key, version } }) => ({
    _id,
    key,
    ...(version === undefined ? {} : { version }),
  }));
}

/** @see FailureStorage.countOpenFailures */
export function countOpenFailures(
  state: MemoryState,
  _flowId: string,
  limit: number,
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  const flow = state.flows.get(_flowId);
  for (const [_importId, byExport] of state.open.get(_flowId) ?? []) {
    if (flow === undefined || !importIdsOf(flow).includes(_importId)) continue;
    let count = 0;
    for (const keys of byExport.values()) count += keys.size;
    if (count > 0) counts[_importId] = Math.min(count, limit);
  }
  return counts;
}

/** @see FailureStorage.dueRetries */
export function dueRetries(state: MemoryState, until: number, limit: number): readonly DueRetry[] {
  const latest = isoOf(until);
  const due: DueRetry[] = [];
  for (const [_flowId, byImport] of state.open) {
    const flow = state.flows.get(_flowId);
    if (flow === undefined || flow.disabled) continue;
    for (const [_importId, byExport] of byImport) {
      if (!importIdsOf(flow).includes(_importId)) continue;
      if (state.places.get(_flowId)?.get(_importId)?.pause !== undefined) continue;
      if (byExport.get(flow._exportId)?.hasRetry((retryAt) => retryAt <= latest) === true)
        due.push({ _flowId, _importId });
      if (due.length === limit) return due;
    }
  }
  return due;
}

/** @see FailureStorage.nextRetryAt */
export function nextRetryAt(state: MemoryState, after: number): number | undefined {
  const latest = isoOf(after);
  let first: string | undefined;
  for (const byImport of state.open.values())
    for (const byExport of byImport.values())
      for (const keys of byExport.values())
        for (const retryAt of keys.retries())
          if (retryAt > latest && (first === undefined || retryAt < first)) first = retryAt;
  return first === undefined ? undefined : Date.parse(first);
}

/** Stores the failures of a page, each folded into the open one under its key; returns them as they are stored. */
export function keepFailures(state: MemoryState, failures: readonly Failure[]): readonly Failure[] {
  const causes = new CauseCounter(state);
  let alike: AlikeFailures | undefined;
  return failures.map((failure) => {
    if (alike === undefined || !isAlike(alike.failure, failure)) alike = alikeFailures(state, failure);
    return keepFailure(state, failure, alike, causes);
  });
}

/** Where failures of one flow, import and export are. */
interface AlikeFailures {
  readonly failure: Failure;
  readonly siblings: Sequence<FailureEntry>;
  /** Undefined: none was open. */
  byKey: OpenEntries | undefined;
}

function alikeFailures(state: MemoryState, failure: Failure): AlikeFailures {
  const { _exportId, _flowId, _importId } = failure;
  const siblings = made(state.failuresByFlow, _flowId, () => new Sequence<FailureEntry>());
  return { failure, siblings, byKey: state.open.get(_flowId)?.get(_importId)?.get(_exportId) };
}

function openEntries(state: MemoryState, { _exportId, _flowId, _importId }: Failure): OpenEntries {
  const byImport = made(state.open, _flowId, () => new Map<string, Map<string, OpenEntries>>());
  const byExport = made(byImport, _importId, () => new Map<string, OpenEntries>());
  return made(byExport, _exportId, () => new OpenEntries());
}

function isAlike(one: Failure, other: Failure): boolean {
  return one._flowId === other._flowId && one._importId === other._importId && one._exportId === other._exportId;
}

function made<T>(map: Map<string, T>, key: string, make: () => T): T {
  let found = map.get(key);
  if (found === undefined) map.set(key, (found = make()));
  return found;
}

function keepFailure(state: MemoryState, failure: Failure, alike: AlikeFailures, causes: CauseCounter): Failure {
  const known = state.failures.get(failure._id) ?? alike.byKey?.get(failure.key);
  if (known !== undefined) {
    if (known.failure.status !== "open") return known.failure;
    const before = known.failure;
    known.failure = foldedFailure(before, failure);
    alike.byKey?.replaced(before, known.failure);
    causes.move(before, known.failure);
    return known.failure;
  }
  const entry = { seq: state.nextSeq(), failure };
  alike.siblings.add(entry);
  state.failures.set(failure._id, entry);
  state.failureLog.add(entry);
  if (failure.status === "open") {
    (alike.byKey ??= openEntries(state, failure)).add(entry);
    causes.enter(failure);
  }
  return failure;
}

/** Resolves the open failures among these, whose records were delivered since. */
export function supersede(state: MemoryState, _ids: readonly string[], at: number): void {
  for (const _id of _ids) {
    const entry = state.failures.get(_id);
    if (entry?.failure.status === "open") resolve(state, entry, at, "delivery");
  }
}

/** Resolves the flow's open failures at imports that it has no more. */
export function resolveOfImports(state: MemoryState, _flowId: string, _importIds: readonly string[], at: number): void {
  for (const _importId of _importIds)
    for (const keys of [...(state.open.get(_flowId)?.get(_importId)?.values() ?? [])])
      for (const entry of [...keys.values()]) resolve(state, entry, at, "removed");
}

function resolve(state: MemoryState, entry: FailureEntry, at: number, resolvedBy: ResolvedBy): Failure {
  close(state, entry);
  entry.failure = resolvedFailure(entry.failure, resolvedBy, isoOf(at));
  return entry.failure;
}

/** Removes a failure, open or resolved. */
export function forgetFailure(state: MemoryState, entry: FailureEntry): void {
  close(state, entry);
  state.failures.delete(entry.failure._id);
  state.failureLog.remove(entry);
  state.failuresByFlow.get(entry.failure._flowId)?.remove(entry);
}

function close(state: MemoryState, entry: FailureEntry): void {
  const { _flowId, _importId, _exportId, key } = entry.failure;
  const byImport = state.open.get(_flowId);
  const byExport = byImport?.get(_importId);
  const keys = byExport?.get(_exportId);
  if (keys?.get(key) !== entry) return;
  leaveCause(state, entry.failure);
  keys.delete(entry);
  if (keys.size === 0) byExport?.delete(_exportId);
  if (byExport?.size === 0) byImport?.delete(_importId);
  if (byImport?.size === 0) state.open.delete(_flowId);
}
