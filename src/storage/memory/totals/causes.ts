import { causeOf } from "../../../model/cause.ts";
import type { Failure } from "../../../model/failure.ts";
import type { CauseEntry, MemoryState } from "../state.ts";

/** The failure is open now. */
export function enterCause(state: MemoryState, failure: Failure): void {
  const { _flowId, _importId, _integrationId, code, fault } = failure;
  const { cause, pattern } = causeOf(failure);
  let ofFlow = state.causes.get(_flowId);
  if (ofFlow === undefined) state.causes.set(_flowId, (ofFlow = new Map<string, CauseEntry>()));
  const key = keyOf(failure, cause);
  let entry = ofFlow.get(key);
  if (entry === undefined) {
    const { createdAt: firstAt, lastFailedAt: lastAt, _id: sample } = failure;
    entry = { cause, pattern, fault, code, _importId, _integrationId, open: 0, firstAt, lastAt, sample };
    ofFlow.set(key, entry);
  }
  entry.open++;
  note(entry, failure);
}

/** The failure is open as before, and failed again. */
export function moveCause(state: MemoryState, before: Failure, now: Failure): void {
  const entry = state.causes.get(now._flowId)?.get(keyOf(before, causeOf(before).cause));
  if (keyOf(before, causeOf(before).cause) === keyOf(now, causeOf(now).cause)) {
    if (entry !== undefined) note(entry, now);
    return;
  }
  leaveCause(state, before);
  enterCause(state, now);
}

/** The failure is open no more. */
export function leaveCause(state: MemoryState, failure: Failure): void {
  const key = keyOf(failure, causeOf(failure).cause);
  const entry = state.causes.get(failure._flowId)?.get(key);
  if (entry === undefined) return;
  entry.open--;
  if (entry.open === 0) state.emptied.set(entry, { _flowId: failure._flowId, key });
}

/** Comes first in what changes failures: a cause of which one leaves and one enters in the same commit is open all the while. */
export function forgetEmptyCauses(state: MemoryState): void {
  for (const [entry, { _flowId, key }] of state.emptied) {
    const ofFlow = state.causes.get(_flowId);
    if (entry.open > 0 || ofFlow?.get(key) !== entry) continue;
    ofFlow.delete(key);
    if (ofFlow.size === 0) state.causes.delete(_flowId);
  }
  state.emptied.clear();
}

function keyOf({ _importId, _integrationId }: Failure, cause: string): string {
  return JSON.stringify([_importId, _integrationId ?? "", cause]);
}

function note(entry: CauseEntry, { _id, createdAt, lastFailedAt }: Failure): void {
  if (createdAt < entry.firstAt) entry.firstAt = createdAt;
  if (lastFailedAt > entry.lastAt) entry.lastAt = lastFailedAt;
  entry.sample = _id;
}
