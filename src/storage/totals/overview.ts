import type { FlowActivity } from "../../model/flow/activity.ts";
import type { Overview } from "../../model/flow/overview.ts";

/** How all flows do together. */
export interface OverviewStorage {
  /**
   * What there is now, of all or of one integration. It is counted by what is there for it alone: neither flows that are
   * well nor what has ended is walked through.
   *
   * A flow is failing from the end of a run that failed to the end of one that completed, apart from those that
   * `showsHealth` is false for. It is overdue from the due time on that was to follow `nextRunAt` when its last run
   * started, or when it was written or rescheduled last. Disabled flows are neither, and their imports do not count as paused.
   */
  overview(query: OverviewQuery): Promise<Overview>;
  /** How each of these flows does, in their order; undefined for one that there is not. */
  flowActivities(query: ActivityQuery): Promise<readonly (FlowActivity | undefined)[]>;
}

/** Of which flows, and when. */
export interface ActivityQuery {
  readonly _flowIds: readonly string[];
  readonly now: number;
  /** Runs and failures of this integration alone. */
  readonly _integrationId?: string;
}

/** Of what, and when. */
export interface OverviewQuery {
  readonly now: number;
  readonly _integrationId?: string;
}
