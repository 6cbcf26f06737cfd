import type { FlowActivity, FlowState } from "../model/flow/activity.ts";
import type { Overview } from "../model/flow/overview.ts";
import type { Subject } from "./alert.ts";
import type { AlertRules } from "./options.ts";

/** Something that is wrong now. */
export interface Finding extends Subject {
  /** When it began; absent if it has no beginning of its own. */
  readonly since?: string;
  /** @see Alert.count */
  readonly count?: number;
  /** `overdue`: since when. `queueAge`: since when the oldest run waits. `paused`: when the import resumes by itself. */
  readonly at?: string;
}

/** How far the clocks of processes may differ. */
const skewMs = 60_000;

/**
 * Whether that long has passed since `since`. If that is in the future the clock was set back, and how long it is ago is
 * unknown: one alert too many is better than one too few.
 */
export function hasLasted(since: string, ms: number, now: number): boolean {
  const age = now - Date.parse(since);
  return age >= ms || age < -skewMs;
}

/** The lists that flows with something wrong are in. */
export function watchedStates({ failedRuns, openFailures, overdue, pausedMs }: AlertRules): readonly FlowState[] {
  const watched: Readonly<Partial<Record<FlowState, boolean>>> = {
    failing: failedRuns !== undefined,
    overdue,
    paused: pausedMs !== undefined,
    failures: openFailures !== undefined,
  };
  return (Object.keys(watched) as FlowState[]).filter((state) => watched[state]);
}

/** What is wrong with a flow. How many of its runs failed is not looked at. */
export function findingsOf(_flowId: string, activity: FlowActivity, rules: AlertRules, now: number): Finding[] {
  const { failingSince, openFailures, overdueSince, paused } = activity;
  const findings: Finding[] = [];
  if (rules.failedRuns !== undefined && failingSince !== undefined)
    findings.push({ kind: "failing", _flowId, since: failingSince });
  if (rules.overdue && overdueSince !== undefined)
    findings.push({ kind: "overdue", _flowId, since: overdueSince, at: overdueSince });
  for (const { _importId, resumeAt, since } of paused)
    if (rules.pausedMs !== undefined && hasLasted(since, rules.pausedMs, now))
      findings.push({ kind: "paused", _flowId, _importId, since, ...(resumeAt === undefined ? {} : { at: resumeAt }) });
  if (rules.openFailures !== undefined && openFailures > rules.openFailures)
    findings.push({ kind: "openFailures", _flowId, count: openFailures });
  return findings;
}

/** Whether a run waits for too long. */
export function queueFinding({ oldestQueuedAt, runs }: Overview, rules: AlertRules, now: number): Finding | undefined {
  if (rules.queueAgeMs === undefined || oldestQueuedAt === undefined) return undefined;
  if (!hasLasted(oldestQueuedAt, rules.queueAgeMs, now)) return undefined;
  return { kind: "queueAge", count: runs.queued, at: oldestQueuedAt };
}

/** How much more is wrong than the incidents that are alerted of, at most; `alerted`: how many of them it counts, too. */
export function moreFinding(overview: Overview, rules: AlertRules, alerted: number): Finding | undefined {
  const { failing, overdue, paused } = overview;
  const all =
    (rules.failedRuns === undefined ? 0 : failing) +
    (rules.overdue ? overdue : 0) +
    (rules.pausedMs === undefined ? 0 : paused);
  return all > alerted ? { kind: "more", count: all - alerted } : undefined;
}
