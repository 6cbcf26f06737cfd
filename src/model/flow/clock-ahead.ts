import type { Flow } from "./flow.ts";

/** A clock that was ahead by more than this, in milliseconds, has run too early what is to run again at its time. */
export const aheadMs = 3_600_000;

/** Whether a clock has named this instant that was ahead of this one by more than an hour. */
export function isAhead(instant: number, now: number): boolean {
  return instant - now > aheadMs;
}

/** Whether the newest run of the flow began by a clock that was ahead of this one by more than an hour. */
export function hasRunAhead({ lastExecutedAt }: Pick<Flow, "lastExecutedAt">, now: number): boolean {
  return lastExecutedAt !== undefined && isAhead(Date.parse(lastExecutedAt), now);
}
