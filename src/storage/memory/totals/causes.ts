import { type Cause, causeOf } from "../../../model/cause.ts";
import type { Failure } from "../../../model/failure.ts";
import type { CauseEntry, MemoryState } from "../state.ts";

/** Counts the failures of one commit. */
export class CauseCounter {
  readonly #state: MemoryState;
  /** Where the last one was counted: they come in bunches of one cause. */
  #last: { readonly _flowId: string; readonly entry: CauseEntry } | undefined;

  constructor(state: MemoryState) {
    this.#state = state;
  }

  /** The failure is open now. */
  enter(failure: Failure): void {
    const entry = this.#entryOf(failure, causeOf(failure));
    entry.open++;
    note(entry, failure);
  }

  /** The failure is open as before, and failed again. */
  move(before: Failure, now: Failure): void {
    if (keyOf(before, causeOf(before).cause) === keyOf(now, causeOf(now).cause)) {
      note(this.#entryOf(now, causeOf(now)), now);
      return;
    }
    leaveCause(this.#state, before);
    this.enter(now);
  }

  #entryOf(failure: Failure, found: Cause): CauseEntry {
    const { _flowId, _importId, _integrationId } = failure;
    const last = this.#last?.entry;
    if (
      this.#last?._flowId !== _flowId ||
      last?.cause !== found.cause ||
      last._importId !== _importId ||
      last._integrationId !== _integrationId
    )
      this.#last = { _flowId, entry: this.#entryIn(failure, found) };
    return this.#last.entry;
  }

  #entryIn(failure: Failure, { cause, pattern }: Cause): CauseEntry {
    const { _flowId, _importId, _integrationId, code, fault } = failure;
    const { causes } = this.#state;
    let ofFlow = causes.get(_flowId);
    if (ofFlow === undefined) causes.set(_flowId, (ofFlow = new Map<string, CauseEntry>()));
    const key = keyOf(failure, cause);
    let entry = ofFlow.get(key);
    if (entry === undefined) {
      const { createdAt: firstAt, lastFailedAt: lastAt, _id: sample } = failure;
      entry = { cause, pattern, fault, code, _importId, _integrationId, open: 0, firstAt, lastAt, sample };
      ofFlow.set(key, entry);
    }
    return entry;
  }
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
  // To clear a map makes a new one, each time a page is committed.
  if (state.emptied.size === 0) return;
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
