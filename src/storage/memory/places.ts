import type { Flow } from "../../model/flow/flow.ts";
import { importIdsOf } from "../../model/flow/flow.ts";
import { changedPlace } from "../../model/place.ts";
import { isoOf, optional, own } from "../documents.ts";
import type { CheckpointChange, ImportPlace, PlaceChange, Places, StoredCheckpoint } from "../storage.ts";
import { type MemoryState, enabledFlowIds } from "./state.ts";

const noPlace: ImportPlace = Object.freeze({});

/** @see PlaceStorage.findPlaces */
export function findPlaces(state: MemoryState, _flowId: string): Places {
  const moved = [...(state.places.get(_flowId) ?? [])].filter(([, place]) => Object.keys(place).length > 0);
  return Object.freeze(Object.fromEntries(moved));
}

/** @see PlaceStorage.setCheckpoint */
export function setCheckpoint(
  state: MemoryState,
  _flowId: string,
  checkpoint: StoredCheckpoint | undefined,
  { _importIds, at }: CheckpointChange,
): boolean {
  const flow = state.flows.get(_flowId);
  if (flow === undefined || hasBegunRun(state, _flowId)) return false;
  const kept = own(checkpoint);
  for (const _importId of importIdsOf(flow).filter((one) => _importIds.includes(one))) {
    const { pause, inbox } = placesOf(state, _flowId).get(_importId) ?? {};
    const place = {
      ...(kept === undefined ? {} : { checkpoint: kept }),
      ...(pause === undefined ? {} : { pause }),
      ...(inbox === undefined ? {} : { inbox }),
      movedAt: at,
    };
    placesOf(state, _flowId).set(_importId, Object.freeze(place));
  }
  return true;
}

/** Whether a run of the flow is active, or waits to go on: places are where it reads. */
export function hasBegunRun(state: MemoryState, _flowId: string): boolean {
  const queue = state.queues.get(_flowId);
  if (queue === undefined) return false;
  return queue.active !== undefined || queue.waiting.some(({ run }) => run.startedAt !== undefined);
}

/** @see PlaceStorage.endPauses */
export function endPauses(state: MemoryState, _flowId: string, _importIds: readonly string[]): readonly string[] {
  const places = state.places.get(_flowId);
  const paused = [...new Set(_importIds)].filter((_importId) => places?.get(_importId)?.pause !== undefined);
  changePlaces(state, _flowId, [{ _importIds: paused, pause: null }]);
  return paused;
}

/** @see PlaceStorage.resumableFlows */
export function resumableFlows(
  state: MemoryState,
  until: number,
  limit: number,
  after: string | undefined,
): readonly string[] {
  const latest = isoOf(until);
  return enabledFlowIds(state, state.places, { limit, after }, (places) =>
    [...places.values()].some(({ pause }) => pause?.resumeAt !== undefined && pause.resumeAt <= latest),
  );
}

/** @see PlaceStorage.nextResumeAt */
export function nextResumeAt(state: MemoryState, after: number): number | undefined {
  const latest = isoOf(after);
  let first: string | undefined;
  for (const [_flowId, places] of state.places)
    if (state.flows.get(_flowId)?.disabled === false)
      for (const { pause } of places.values())
        if (pause?.resumeAt !== undefined && pause.resumeAt > latest && (first === undefined || pause.resumeAt < first))
          first = pause.resumeAt;
  return first === undefined ? undefined : Date.parse(first);
}

/** Moves places, as a commit does; `at` if it is one. */
export function changePlaces(state: MemoryState, _flowId: string, changes: readonly PlaceChange[], at?: number): void {
  const flow = state.flows.get(_flowId);
  if (flow === undefined || changes.length === 0) return;
  const current = importIdsOf(flow);
  const places = placesOf(state, _flowId);
  for (const change of changes) {
    const kept = own(change);
    for (const _importId of kept._importIds)
      // An import that the flow has lost meanwhile has no place to move.
      if (current.includes(_importId)) places.set(_importId, changedPlace(places.get(_importId) ?? noPlace, kept, at));
  }
}

/** Gives up the positions of all imports of a flow. */
export function discardPositions(state: MemoryState, _flowId: string): void {
  const _importIds = [...(state.places.get(_flowId)?.keys() ?? [])];
  changePlaces(state, _flowId, [{ _importIds, position: null, behind: false }]);
}

/** Follows a change of the flow's imports: places of those removed go, those added join where the flow got to. */
export function followImports(state: MemoryState, before: Flow, now: Flow): readonly string[] {
  const places = placesOf(state, now._id);
  const former = importIdsOf(before);
  const current = importIdsOf(now);
  const removed = former.filter((_importId) => !current.includes(_importId));
  const leader = former
    .flatMap((_importId) => places.get(_importId) ?? [])
    .reduce<ImportPlace | undefined>(
      (best, place) => ((place.movedAt ?? -1) > (best?.movedAt ?? -2) ? place : best),
      undefined,
    );
  for (const _importId of removed) places.delete(_importId);
  for (const _importId of current.filter((one) => !former.includes(one))) {
    const checkpoint = leader?.checkpoint;
    const inbox = state.inboxes.get(now._id)?.lastCursor;
    places.set(_importId, Object.freeze({ ...optional("checkpoint", checkpoint), ...optional("inbox", inbox) }));
  }
  return removed;
}

function placesOf(state: MemoryState, _flowId: string): Map<string, ImportPlace> {
  let places = state.places.get(_flowId);
  if (places === undefined) state.places.set(_flowId, (places = new Map<string, ImportPlace>()));
  return places;
}
