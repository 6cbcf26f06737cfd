import type { RunStatus } from "../run.ts";

/** What flows can be listed by. */
export const flowStates = ["failing", "overdue", "paused", "failures", "running", "queued"] as const;
/**
 * One of {@link flowStates}. `failing`, `overdue` and `paused` are those that `overview` counts; `failures`: it has open
 * ones; `running`, `queued`: it has runs that are, and those that are being canceled count as running.
 */
export type FlowState = (typeof flowStates)[number];

/** How a flow does at present. */
export interface FlowActivity {
  /** Its newest run that has ended. */
  readonly lastRun?: LastRun;
  /**
   * When the first of the runs ended that have failed since one completed for all its imports; absent: it is not failing.
   */
  readonly failingSince?: string;
  /** The due time from which on it is overdue; absent: it is not. */
  readonly overdueSince?: string;
  readonly openFailures: number;
  /** Its imports that are paused. */
  readonly paused: readonly PausedImport[];
}

/** A run that has ended. */
export interface LastRun {
  readonly _id: string;
  readonly status: RunStatus;
  readonly endedAt?: string;
  readonly numError: number;
}

/** An import that is paused. */
export interface PausedImport {
  readonly _importId: string;
  readonly since: string;
  /** When it resumes by itself. */
  readonly resumeAt?: string;
}
