import { transitionRun } from "../../model/run.ts";
import { optional } from "../documents.ts";
import type { DeleteFlowResult, FlowDeletion } from "../storage.ts";
import { forgetFailure } from "./failures.ts";
import { dropFlow } from "./flows.ts";
import { cancelWaiting } from "./runs.ts";
import type { FailureEntry, MemoryState } from "./state.ts";

/** @see FlowStorage.deleteFlow */
export function deleteFlow(
  state: MemoryState,
  _id: string,
  { at, expected, limit = 1_000 }: FlowDeletion,
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
