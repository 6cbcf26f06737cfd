import { type Failure, type ResolvedBy, foldedFailure, resolvedFailure } from "../../model/failure.ts";
import { importIdsOf } from "../../model/flow/flow.ts";
import { mostListed, roughSize } from "../../model/record/size.ts";
import { isoOf, own, placeOf } from "../documents.ts";
import type { DueRetry, FailureQuery, ListResult, OpenKey, OpenKeyQuery } from "../storage.ts";
import { Sequence } from "./sequence.ts";
import { type FailureEntry, type MemoryState, filtered, listPage, mapPage, matches } from "./state.ts";

/** @see FailureStorage.listFailures */
export function listFailures(state: MemoryState, query: FailureQuery): ListResult<Failure> {
  const matching = filtered(failuresFor(state, query), ({ failure }) => isWanted(failure, query));
  const page = listPage(matching, query.limit, (entry) => String(entry.seq));
  return mapPage(bounded(page), ({ failure }) => failure);
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

function isWanted(failure: Failure, query: FailureQuery): boolean {
  if (!matches(failure, query, filters)) return false;
  const { retryUntil } = query;
  return retryUntil === undefined || (failure.retryAt !== undefined && failure.retryAt <= isoOf(retryUntil));
}

function failuresFor(state: MemoryState, query: FailureQuery): Iterable<FailureEntry> {
  const place = placeOf(query.after, 0);
  if (query._ids !== undefined) {
    const chosen = [...new Set(query._ids)].flatMap((_id) => state.failures.get(_id) ?? []);
    return chosen.filter(({ seq }) => seq > place).sort((one, other) => one.seq - other.seq);
  }
  if (query._flowId !== undefined) return state.failuresByFlow.get(query._flowId)?.after(place) ?? [];
  return filtered(state.failures.values(), ({ seq }) => seq > place);
}

/** @see FailureStorage.resolveFailures */
export function resolveFailures(state: MemoryState, _ids: readonly string[], at: number): readonly Failure[] {
  const open = [...new Set(_ids)]
    .flatMap((_id) => state.failures.get(_id) ?? [])
    .filter(({ failure }) => failure.status === "open");
  return open.map((entry) => resolve(state, entry, at, "person"));
}

/** @see FailureStorage.editFailure */
export function editFailure(
  state: MemoryState,
  _id: string,
  { record, at }: { readonly record: unknown; readonly at: number },
): Failure | undefined {
  const entry = state.failures.get(_id);
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
      const keys = byExport.get(flow._exportId)?.values() ?? [];
      for (const { failure } of keys)
        if (failure.retryAt !== undefined && failure.retryAt <= latest) {
          due.push({ _flowId, _importId });
          break;
        }
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
        for (const { failure } of keys.values())
          if (
            failure.retryAt !== undefined &&
            failure.retryAt > latest &&
            (first === undefined || failure.retryAt < first)
          )
            first = failure.retryAt;
  return first === undefined ? undefined : Date.parse(first);
}

/** Stores the failures of a page, each folded into the open one under its key; returns them as they are stored. */
export function keepFailures(state: MemoryState, failures: readonly Failure[]): readonly Failure[] {
  return failures.map((failure) => keepFailure(state, failure));
}

function keepFailure(state: MemoryState, failure: Failure): Failure {
  const known = state.failures.get(failure._id) ?? openUnder(state, failure);
  if (known !== undefined) {
    if (known.failure.status === "open") known.failure = foldedFailure(known.failure, failure);
    return known.failure;
  }
  const entry = { seq: state.nextSeq(), failure };
  const siblings = state.failuresByFlow.get(failure._flowId) ?? new Sequence();
  siblings.add(entry);
  state.failuresByFlow.set(failure._flowId, siblings);
  state.failures.set(failure._id, entry);
  if (failure.status === "open") openMap(state, failure).set(failure.key, entry);
  return failure;
}

function openUnder(state: MemoryState, { _flowId, _importId, _exportId, key }: Failure): FailureEntry | undefined {
  return state.open.get(_flowId)?.get(_importId)?.get(_exportId)?.get(key);
}

function openMap(state: MemoryState, { _flowId, _importId, _exportId }: Failure): Map<string, FailureEntry> {
  return inner(inner(inner(state.open, _flowId), _importId), _exportId);
}

function inner<T>(map: Map<string, Map<string, T>>, key: string): Map<string, T> {
  let found = map.get(key);
  if (found === undefined) map.set(key, (found = new Map<string, T>()));
  return found;
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
  state.failuresByFlow.get(entry.failure._flowId)?.remove(entry);
}

function close(state: MemoryState, entry: FailureEntry): void {
  const { _flowId, _importId, _exportId, key } = entry.failure;
  const byImport = state.open.get(_flowId);
  const byExport = byImport?.get(_importId);
  const keys = byExport?.get(_exportId);
  if (keys?.get(key) !== entry) return;
  keys.delete(key);
  if (keys.size === 0) byExport?.delete(_exportId);
  if (byExport?.size === 0) byImport?.delete(_importId);
  if (byImport?.size === 0) state.open.delete(_flowId);
}
