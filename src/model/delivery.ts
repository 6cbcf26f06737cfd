import type { Json } from "./record/json.ts";
import type { RunError } from "./run.ts";

/**
 * What ends a pause. `time`: `resumeAt` comes (the destination was unavailable, or asked for a wait). `nextRun`: the
 * next run of the flow, or `resumeAt`, whichever is first (the import said `stop`). `person`: somebody calls `resume`
 * (too many records failed).
 */
export const pauseEnds = ["time", "nextRun", "person"] as const;
/** One of {@link pauseEnds}. */
export type PauseEnd = (typeof pauseEnds)[number];

/** Why and for how long an import gets no records. Documents are frozen; times are ISO 8601 UTC. */
export interface Pause {
  /** When it was paused first; further pauses at the same place keep it. */
  readonly since: string;
  readonly until: PauseEnd;
  /** When it goes on by itself; absent only if `until` is `person`. */
  readonly resumeAt?: string;
  readonly reason: RunError;
  /** Pauses in a row without a page committed between them; 1 for the first. */
  readonly attempts: number;
  /** It also goes on by itself once no more failures are open at this import. Only if `until` is `person`. */
  readonly maxOpen?: number;
}

/** How delivery to one import of a flow stands. */
export interface Delivery {
  readonly _importId: string;
  /** Where reading for this import resumes; absent: from the start. */
  readonly checkpoint?: Json;
  /** The version of the checkpoint's shape. */
  readonly checkpointVersion?: number;
  /** When a commit last moved this import. */
  readonly movedAt?: string;
  /** True: it stands behind other imports of the flow, or in the middle of a reading, and will catch up. */
  readonly behind: boolean;
  /** Open failures of the flow at this import. */
  readonly openFailures: number;
  /** Absent: it is not paused. */
  readonly paused?: Pause;
}
