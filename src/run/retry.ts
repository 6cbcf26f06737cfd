import { types } from "node:util";
import { type Clock, delay, isAborted } from "../clock.ts";

/** The longest delay that is chosen here; what a destination asks for may be longer. */
export const longestDelayMs = 60_000;

/** The longest wait that anybody is granted: what asks for more has taken an epoch for a duration. */
export const longestWaitMs = 86_400_000;

/** How attempts are spaced. */
export interface RetryPolicy {
  /** Milliseconds; doubled with each attempt. */
  readonly retryDelayMs: number;
  /** From 0 up to but not including 1. */
  readonly random: () => number;
}

/**
 * Milliseconds to wait after attempt `attempt` (1 for the first) failed: anything from nothing to twice as long each
 * time ("full jitter"), so that many clients of a recovering server do not return at once; at least `afterMs`.
 *
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function retryDelay(attempt: number, rule: RetryPolicy, afterMs = 0): number {
  const ceiling = Math.min(longestDelayMs, rule.retryDelayMs * 2 ** Math.min(attempt - 1, 60));
  return Math.max(afterMs, Math.round(rule.random() * ceiling));
}

/** What is logged of a wait that is longer than {@link longestWaitMs}. */
export const excessiveWait = "afterMs is more than a day away, perhaps an instant instead of a duration: a day counts";

/**
 * Milliseconds from `now` that an `afterMs` of host code asks for: a number of them, or the `Date` to wait for. What is
 * neither, or past, counts as 0. May be longer than {@link longestWaitMs}, even endless.
 */
export function waitMsOf(asked: unknown, now: number): number {
  // By what it is: one whose prototype or methods are not a date's must not throw.
  const waitMs = types.isDate(asked) ? Date.prototype.getTime.call(asked) - now : asked;
  return typeof waitMs === "number" && waitMs > 0 ? waitMs : 0;
}

/** How {@link retry} goes on after an attempt that failed. */
export interface RetryRule {
  /** How often the work is attempted at most, the first time included. @default without end */
  readonly maxAttempts?: number;
  /** Milliseconds to wait after attempt `attempt` (1 for the first) failed. */
  readonly delayMs: (attempt: number) => number;
  /** Called before each wait. */
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
  /** Once it has aborted, no wait goes on and no further attempt is made. */
  readonly signal?: AbortSignal;
}

/** Resolves with what the first attempt that succeeds resolves with; rejects with the last attempt's error. */
export async function retry<T>(clock: Clock, rule: RetryRule, work: (attempt: number) => Promise<T>): Promise<T> {
  const { maxAttempts = Infinity, signal } = rule;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= maxAttempts || isAborted(signal)) throw error;
      const delayMs = rule.delayMs(attempt);
      rule.onRetry?.(error, attempt, delayMs);
      await delay(clock, delayMs, signal);
      if (isAborted(signal)) throw error;
    }
  }
}
