import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import type { RunStart } from "../../model/run.ts";
import { isoOf, own, placeOf } from "../documents.ts";
import type {
  AppendInboxFlowResult,
  AppendInboxResult,
  Arrival,
  ImportPlace,
  InboxDrop,
  InboxPage,
  InboxQuery,
  InboxRule,
} from "../storage.ts";
import { forgetEmptyCauses } from "./totals/causes.ts";
import { keepFailures } from "./failures.ts";
import { Inbox } from "./inbox.ts";
import { enqueue, isRealtime } from "./runs.ts";
import { type MemoryState, enabledFlowIds } from "./state.ts";

/** @see InboxStorage.appendInbox */
export function appendInbox(state: MemoryState, arrival: Arrival, rule: InboxRule): AppendInboxResult {
  const wanted = arrival.starts.flatMap((start) => {
    const flow = state.flows.get(start._flowId);
    return flow === undefined || flow.disabled || flow._exportId !== arrival._exportId ? [] : [{ flow, start }];
  });
  const full = wanted.find(({ flow }) => state.inboxes.get(flow._id)?.isFullFor(arrival, rule.maxInboxPages));
  if (full !== undefined && arrival.records.length > 0)
    return { outcome: "full", _flowId: full.flow._id, _importId: slowestImport(state, full.flow) };
  // What cannot be copied throws here, before any inbox has taken or seen anything.
  const kept = { ...arrival, records: arrival.records.map(own) };
  const flowIds = new Set(wanted.map(({ flow }) => flow._id));
  forgetEmptyCauses(state);
  keepFailures(state, own((arrival.failures ?? []).filter(({ _flowId }) => flowIds.has(_flowId))));
  return { outcome: "appended", flows: wanted.map((one) => append(state, kept, one, rule.dedupeAfter)) };
}

interface FlowStart {
  readonly flow: Flow;
  readonly start: RunStart;
}

function append(
  state: MemoryState,
  arrival: Arrival,
  { flow, start }: FlowStart,
  dedupeAfter: number,
): AppendInboxFlowResult {
  const { _flowId } = start;
  let inbox = state.inboxes.get(_flowId);
  if (inbox === undefined) state.inboxes.set(_flowId, (inbox = new Inbox()));
  const duplicates = arrival.records.length === 0 ? 0 : inbox.add(arrival, state.nextSeq(), dedupeAfter);
  const appended = { _flowId, duplicates, pages: inbox.pages.size };
  const waits = state.queues.get(_flowId)?.waiting.some(isRealtime) ?? false;
  if (waits || state.runs.has(start._id) || !isWanted(state, flow, inbox, arrival.at)) return appended;
  return { ...appended, run: enqueue(state, start, flow) };
}

// An import that is not paused has pages to settle.
function isWanted(state: MemoryState, flow: Flow, inbox: Inbox, now: number): boolean {
  const places = state.places.get(flow._id);
  return importIdsOf(flow).some((_importId) => {
    const place = places?.get(_importId);
    return !isPaused(place, now) && inbox.isUnreadBy(_importId, place);
  });
}

function isPaused(place: ImportPlace | undefined, now: number): boolean {
  if (place?.pause === undefined) return false;
  const { resumeAt } = place.pause;
  return resumeAt === undefined || resumeAt > isoOf(now);
}

function slowestImport(state: MemoryState, flow: Flow): string {
  const places = state.places.get(flow._id);
  let slowest = { _importId: "", inbox: Infinity };
  for (const _importId of importIdsOf(flow)) {
    const inbox = Number(places?.get(_importId)?.inbox ?? 0);
    if (inbox < slowest.inbox) slowest = { _importId, inbox };
  }
  return slowest._importId;
}

/** @see InboxStorage.readInbox */
export function readInbox(state: MemoryState, _flowId: string, query: InboxQuery): readonly InboxPage[] {
  return state.inboxes.get(_flowId)?.read(placeOf(query.after, 0), query) ?? [];
}

/** @see InboxStorage.dropInbox */
export function dropInbox(state: MemoryState, _flowId: string, change: InboxDrop): readonly string[] {
  const flow = state.flows.get(_flowId);
  const inbox = state.inboxes.get(_flowId);
  if (flow === undefined || inbox === undefined) return [];
  return inbox.drop(change, state.places.get(_flowId) ?? new Map<string, ImportPlace>(), importIdsOf(flow));
}

/** @see InboxStorage.unreadInboxes */
export function unreadInboxes(state: MemoryState, limit: number, after: string | undefined): readonly string[] {
  return enabledFlowIds(state, state.inboxes, { limit, after }, (inbox, _flowId) => {
    const flow = state.flows.get(_flowId);
    if (flow === undefined || inbox.pages.size === 0) return false;
    const queue = state.queues.get(_flowId);
    if (queue?.active?.run.trigger === "realtime" || queue?.waiting.some(isRealtime) === true) return false;
    const places = state.places.get(_flowId);
    return importIdsOf(flow).some((_importId) => {
      const place = places?.get(_importId);
      return place?.pause === undefined && inbox.isUnreadBy(_importId, place);
    });
  });
}
