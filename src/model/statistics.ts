/** What was moved in some time: runs by how they ended, and records by what became of them. */
export interface Statistics {
  /** Runs that completed. */
  readonly completed: number;
  /** Runs that failed. */
  readonly failed: number;
  /** Runs that were canceled. */
  readonly canceled: number;
  readonly numSuccess: number;
  readonly numError: number;
  readonly numIgnore: number;
  /** How long the runs that ended had taken since they started last, in milliseconds. */
  readonly durationMs: number;
}

/** The fields of {@link Statistics}. */
export const statisticsFields = [
  ...["completed", "failed", "canceled"],
  ...["numSuccess", "numError", "numIgnore", "durationMs"],
] as readonly (keyof Statistics)[];

/** What was moved in one hour or day. */
export interface StatisticsBucket extends Statistics {
  /** When it began; ISO 8601 UTC. */
  readonly from: string;
}

/** Both added up. */
export function addStatistics(one: Statistics, other: Statistics): Statistics {
  return {
    completed: one.completed + other.completed,
    failed: one.failed + other.failed,
    canceled: one.canceled + other.canceled,
    numSuccess: one.numSuccess + other.numSuccess,
    numError: one.numError + other.numError,
    numIgnore: one.numIgnore + other.numIgnore,
    durationMs: one.durationMs + other.durationMs,
  };
}

/** Nothing counted yet. */
export const noStatistics: Statistics = Object.freeze({
  ...{ completed: 0, failed: 0, canceled: 0 },
  ...{ numSuccess: 0, numError: 0, numIgnore: 0, durationMs: 0 },
});
