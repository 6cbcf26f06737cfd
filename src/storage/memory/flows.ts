import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import { type Run, transitionRun } from "../../model/run.ts";
import { itemAt } from "../../model/item-at.ts";
import { isoOf, optional, own } from "../documents.ts";
import type {
  DeleteFlowResult,
  DueTimeChange,
  FlowChange,
  FlowDeletion,
  FlowHidden,
  FlowQuery,
  ListResult,
  ReplaceFlowResult,
  ScheduledFlow,
} from "../storage.ts";
import { forgetFailure, resolveOfImports } from "./failures.ts";
import { followImports } from "./places.ts";
import { cancelWaiting, forgetDueTimes } from "./runs.ts";
import { indexAfter, insertSorted } from "./sorted.ts";
import { type FailureEntry, type MemoryState, listPage, matches, moveDueTime } from "./state.ts";
import { portionOf } from "./totals/activities.ts";
import { reschedule } from "./totals/overview.ts";

/** @see FlowStorage.insertFlow */
export function insertFlow(state: MemoryState, flow: Flow, { basis, followingDueAt }: FlowHidden): boolean {
  if (state.flows.has(flow._id) || state.deleted.has(flow._id)) return false;
  insertSorted(state.flowIds, flow._id);
  const kept = own(flow);
  keepFlow(state, undefined, kept, basis);
  reschedule(state, flow._id, followingDueAt);
  state.changes.noteFlow({ change: "flow:created", flow: kept });
  return true;
}

/** @see FlowStorage.listFlows */
export function listFlows(state: MemoryState, query: FlowQuery): ListResult<Flow> {
  const ids = idsFor(state, query._exportId);
  const start = query.after === undefined ? 0 : indexAfter(ids, query.after);
  if (query.q === undefined && query.state === undefined)
    return listPage(matchingFlows(state, ids, start, query), query.limit, (flow) => flow._id);
  const portion = portionOf(state, ids.slice(start), query);
  const page = listPage(matchingFlows(state, portion.ids, 0, query), query.limit, (flow) => flow._id);
  return { items: page.items, ...optional("next", page.next ?? portion.next) };
}

/** @see FlowStorage.replaceFlow */
export function replaceFlow(state: MemoryState, flow: Flow, change: FlowChange): ReplaceFlowResult {
  const stored = state.flows.get(flow._id);
  if (stored === undefined) return { outcome: "missing" };
  if (stored.lastModified !== change.expected) return { outcome: "stale" };
  const elsewhere = flow._exportId !== stored._exportId;
  const pages = state.inboxes.get(flow._id)?.pages.size ?? 0;
  if (elsewhere && pages > 0) return { outcome: "unread", pages };
  const { nextRunAt, lastExecutedAt: _, ...written } = flow;
  const next = own<Flow>({
    ...written,
    ...optional("lastExecutedAt", stored.lastExecutedAt),
    ...optional("nextRunAt", change.reschedule ? nextRunAt : stored.nextRunAt),
  });
  keepFlow(state, stored, next, change.basis);
  if (change.reschedule) reschedule(state, flow._id, change.followingDueAt);
  if (change.forgetAfter !== undefined) forgetDueTimes(state, flow._id, change.forgetAfter);
  state.changes.noteFlow({ change: "flow:updated", flow: next, previous: stored });
  const canceled = next.disabled ? cancelWaiting(state, flow._id, change.at) : [];
  return { outcome: "replaced", flow: next, canceled: [...canceled, ...followChange(state, stored, next, change.at)] };
}

// Imports that begin anew with another export, join, or leave. Returns the begun runs that are canceled with it.
function followChange(state: MemoryState, before: Flow, now: Flow, at: number): readonly Run[] {
  const removed = followImports(state, before, now);
  if (removed.length > 0) resolveOfImports(state, now._id, removed, at);
  state.inboxes.get(now._id)?.removeSettled(importIdsOf(now), state.places.get(now._id));
  if (before._exportId === now._exportId) return [];
  state.places.delete(now._id);
  const active = state.queues.get(now._id)?.active;
  if (active !== undefined) active.detached ??= "places";
  return cancelWaiting(state, now._id, at, ({ startedAt }) => startedAt !== undefined);
}

/** @see FlowStorage.deleteFlow */
export function deleteFlow(
  state: MemoryState,
  _id: string,
  { at, expected, limit = 200 }: FlowDeletion,
): DeleteFlowResult {
  const flow = state.flows.get(_id);
  if (flow === undefined) return { outcome: "missing" };
  if (expected !== undefined && flow.lastModified !== expected) return { outcome: "stale" };
  dropFlow(state, flow);
  state.changes.noteFlow({ change: "flow:deleted", flow });
  // Each of these is one entry, whatever it holds. Failures are in lists with those of others.
  for (const map of [state.places, state.inboxes, state.open, state.causes]) map.delete(_id);
  const canceled = cancelWaiting(state, _id, at);
  const queue = state.queues.get(_id);
  if (queue !== undefined) queue.bornAfter = state.lastSeq;
  const active = queue?.active;
  if (active !== undefined) active.detached = "flow";
  if (active?.run.status === "running") active.run = transitionRun(active.run, "canceling");
  if (state.failuresByFlow.has(_id)) state.deleted.set(_id, 0);
  purgeFlow(state, _id, limit);
  return { outcome: "deleted", flow, canceled, ...optional("active", active?.run) };
}

/** @see FlowStorage.purgeFlows */
export function purgeFlows(
  state: MemoryState,
  { limit, _flowId }: { readonly limit: number; readonly _flowId?: string },
): boolean {
  if (_flowId === undefined) for (const _id of state.deleted.keys()) if (!purgeFlow(state, _id, limit)) return true;
  return _flowId !== undefined && !purgeFlow(state, _flowId, limit);
}

// True if nothing is left. It looks at no more failures than it may remove.
function purgeFlow(state: MemoryState, _id: string, limit: number): boolean {
  const place = state.deleted.get(_id);
  if (place === undefined) return true;
  const portion: FailureEntry[] = [];
  for (const entry of state.failuresByFlow.get(_id)?.after(place) ?? []) {
    if (portion.length === limit) break;
    portion.push(entry);
  }
  for (const entry of portion) if (entry.failure.status === "open") forgetFailure(state, entry);
  if (portion.length < limit) return state.deleted.delete(_id);
  state.deleted.set(_id, portion.at(-1)?.seq ?? place);
  return false;
}

/** @see FlowStorage.scheduledFlows */
export function scheduledFlows(state: MemoryState, limit: number, after: string | undefined): readonly ScheduledFlow[] {
  const found: ScheduledFlow[] = [];
  for (let index = after === undefined ? 0 : indexAfter(state.flowIds, after); index < state.flowIds.length; index++) {
    const flow = state.flows.get(itemAt(state.flowIds, index));
    if (flow === undefined || flow.disabled || flow.schedule === undefined) continue;
    found.push({ flow, ...optional("basis", state.bases.get(flow._id)) });
    if (found.length === limit) break;
  }
  return found;
}

/** @see FlowStorage.rescheduleFlows */
export function rescheduleFlows(state: MemoryState, changes: readonly DueTimeChange[]): void {
  for (const { _flowId, expected, dueAt, followingDueAt, basis, forgetAfter } of changes) {
    if (forgetAfter !== undefined) forgetDueTimes(state, _flowId, forgetAfter);
    const flow = state.flows.get(_flowId);
    if (
      flow === undefined ||
      flow.disabled ||
      flow.nextRunAt !== (expected === undefined ? undefined : isoOf(expected))
    )
      continue;
    moveDueTime(state, flow, dueAt, basis);
    reschedule(state, _flowId, followingDueAt);
  }
}

function keepFlow(state: MemoryState, previous: Flow | undefined, flow: Flow, basis: string | undefined): void {
  if (previous !== undefined) unlink(state, previous);
  state.flows.set(flow._id, flow);
  const users = state.flowsByExport.get(flow._exportId) ?? new Set();
  state.flowsByExport.set(flow._exportId, users.add(flow._id));
  if (!flow.disabled && flow.nextRunAt !== undefined) state.due.add(Date.parse(flow.nextRunAt), flow._id);
  if (basis !== undefined) state.bases.set(flow._id, basis);
}

function unlink(state: MemoryState, flow: Flow): void {
  state.flowsByExport.get(flow._exportId)?.delete(flow._id);
  if (flow.nextRunAt !== undefined) state.due.remove(Date.parse(flow.nextRunAt), flow._id);
}

function dropFlow(state: MemoryState, flow: Flow): void {
  unlink(state, flow);
  state.flows.delete(flow._id);
  state.bases.delete(flow._id);
  state.health.delete(flow._id);
  state.flowIds.splice(indexAfter(state.flowIds, flow._id) - 1, 1);
}

function idsFor(state: MemoryState, _exportId: string | undefined): readonly string[] {
  const users = _exportId === undefined ? undefined : (state.flowsByExport.get(_exportId) ?? new Set<string>());
  // Sorting a few ids beats walking all flows; for many it is the other way round.
  return users === undefined || users.size * 16 > state.flowIds.length ? state.flowIds : [...users].sort();
}

const filters = ["_integrationId", "_connectorId", "_exportId", "disabled", "group"] as const;

function* matchingFlows(state: MemoryState, ids: readonly string[], start: number, query: FlowQuery): Iterable<Flow> {
  const { _importId } = query;
  const q = query.q?.toLowerCase();
  for (let index = start; index < ids.length; index++) {
    const flow = state.flows.get(itemAt(ids, index));
    if (flow === undefined || !matches(flow, query, filters)) continue;
    if (q !== undefined && !flow.name.toLowerCase().includes(q)) continue;
    if (_importId === undefined || importIdsOf(flow).includes(_importId)) yield flow;
  }
}
