import type { Pause } from "../../model/delivery.ts";
import type { ImportPlace } from "../../model/place.ts";
import type { Run, RunError } from "../../model/run.ts";

/** The first pause of an import whose destination is unavailable, in milliseconds; doubled with each further one. */
export const firstPauseMs = 30_000;

/** The longest pause that the destination did not ask for, and the longest after `stop`, in milliseconds. */
export const longestPauseMs = 900_000;

/** After so many pauses at the same place the next page is tried, too: what looks like an outage may be poison. */
export const pausesBeforeProbe = 3;

/** Why an import is to be paused. */
export interface PauseCause {
  readonly until: Pause["until"];
  readonly reason: RunError;
  /** Milliseconds that the destination asked for. */
  readonly afterMs?: number;
  /** Open failures at most with which it goes on by itself. */
  readonly maxOpen?: number;
}

/** The pause that follows now, after `previous` if the import has got nowhere since that one. */
export function nextPause(previous: Pause | undefined, cause: PauseCause, now: number): Pause {
  const attempts = (previous?.attempts ?? 0) + 1;
  const { until, reason, maxOpen } = cause;
  const at = new Date(now).toISOString();
  const pause = { since: previous?.since ?? at, until, reason, attempts };
  if (until === "person") return Object.freeze({ ...pause, ...(maxOpen === undefined ? {} : { maxOpen }) });
  const resumeAt = new Date(now + pauseMs(cause, attempts)).toISOString();
  return Object.freeze({ ...pause, resumeAt });
}

function pauseMs({ until, afterMs }: PauseCause, attempts: number): number {
  if (until === "nextRun") return longestPauseMs;
  return afterMs ?? Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(attempts - 1, 30));
}

/** Whether a run that begins at `now` reads for an import in this place. */
export function isDue(place: ImportPlace, run: Run, now: number): boolean {
  const { pause } = place;
  if (run.trigger === "resume" && place.behind !== true && pause === undefined && place.inbox === undefined)
    return false;
  if (pause === undefined) return true;
  if (pause.resumeAt !== undefined && Date.parse(pause.resumeAt) <= now) return true;
  return pause.until === "nextRun" && run.trigger !== "realtime" && run.trigger !== "resume";
}
