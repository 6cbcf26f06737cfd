import type { Pause } from "./delivery.ts";
import type { Json } from "./record/json.ts";

/** A checkpoint and the version of its shape. */
export interface StoredCheckpoint {
  readonly value: Json;
  readonly version: number;
}

/** How far a reading got. */
export interface ImportPosition {
  /** The run whose id the default keys of this reading are made of. */
  readonly _runId: string;
  /** Pages of the reading up to here. */
  readonly pages: number;
  /** Where it goes on, if that is not the import's checkpoint. */
  readonly checkpoint?: StoredCheckpoint;
  /** When it was committed. */
  readonly at: number;
}

/** Where reading for one import has got. */
export interface ImportPlace {
  /** Where its reading resumes when there is no position; absent: from the start. */
  readonly checkpoint?: StoredCheckpoint;
  /** A reading that is not through: where it goes on, and under which keys. */
  readonly position?: ImportPosition;
  /** True: it left a pass before that was through, so it has to catch up with the flow's other imports. */
  readonly behind?: boolean;
  readonly pause?: Pause;
  /** The cursor up to which the inbox is settled for it; absent: nothing of it is. */
  readonly inbox?: string;
  /** When a commit moved it last. */
  readonly movedAt?: number;
}

/** Where imports stand, by `_importId`. */
export type Places = Readonly<Record<string, ImportPlace>>;

/** How the places of some imports change; what is absent stays, `null` takes it away. */
export interface PlaceChange {
  readonly _importIds: readonly string[];
  readonly checkpoint?: StoredCheckpoint;
  readonly position?: ImportPosition | null;
  readonly behind?: boolean;
  readonly pause?: Pause | null;
  readonly inbox?: string;
}

/** A place after a change, and, if a commit made it, when. */
export function changedPlace(place: ImportPlace, change: PlaceChange, at?: number): ImportPlace {
  // Field by field: every commit makes one for each import, and copies of what is left over would be most of its cost.
  const { checkpoint = place.checkpoint, inbox = place.inbox, behind = place.behind } = change;
  const position = change.position === undefined ? place.position : change.position;
  const pause = change.pause === undefined ? place.pause : change.pause;
  const movedAt = at ?? place.movedAt;
  const changed: { -readonly [Field in keyof ImportPlace]: ImportPlace[Field] } = {};
  if (checkpoint !== undefined) changed.checkpoint = checkpoint;
  if (position != null) changed.position = position;
  if (behind === true) changed.behind = true;
  if (pause != null) changed.pause = pause;
  if (inbox !== undefined) changed.inbox = inbox;
  if (movedAt !== undefined) changed.movedAt = movedAt;
  return Object.freeze(changed);
}
