import type { Places, StoredCheckpoint } from "../model/place.ts";

/** Where the imports of flows stand. Moved by commits; changed by hand only while no run of the flow reads. */
export interface PlaceStorage {
  /** By `_importId`; empty if there is no such flow or nothing was committed. */
  findPlaces(_flowId: string): Promise<Places>;
  /**
   * Sets the checkpoint (undefined: from the start) of these imports and gives up their positions; they are no longer
   * behind. False, and nothing changed, if there is no such flow, or a run of it is active or waits to be resumed.
   */
  setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined, change: CheckpointChange): Promise<boolean>;
  /** Ends the pauses of these imports now. Returns the ids of those that were paused. */
  endPauses(_flowId: string, _importIds: readonly string[]): Promise<readonly string[]>;
  /** Enabled flows with an import whose pause ends by itself at or before `until`, by ascending id after `after`, at most `limit`. */
  resumableFlows(until: number, limit: number, after?: string): Promise<readonly string[]>;
  /** The earliest instant after `after` at which the pause of an import of an enabled flow ends by itself. */
  nextResumeAt(after: number): Promise<number | undefined>;
}

/** How checkpoints are set. */
export interface CheckpointChange {
  readonly _importIds: readonly string[];
  readonly at: number;
}
