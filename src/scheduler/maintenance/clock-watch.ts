import type { CancelTimer, Clock } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";

/** Everything a clock watch needs. */
export interface ClockWatchDeps {
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
}

/** How often it compares the clock with the time that passed, in milliseconds: the steps in which it measures. */
export const tickMs = 30_000;

/** A clock that is off by more than this has jumped, in milliseconds. */
const jumpMs = 3_600_000;

/** How long the clock from before a jump goes on deciding what is removed, in milliseconds. */
const settleMs = 3_600_000;

/**
 * Measures how much time passes by timers alone, so that a clock that jumps is noticed: nothing is removed, and no
 * lease is given up, because of an instant that only such a clock shows.
 */
export class ClockWatch {
  readonly #deps: ClockWatchDeps;
  #cancelTimer: CancelTimer | undefined;
  #elapsedMs = 0;
  /** What the clock showed at the last tick. */
  #tickedAt: number;
  /** The clock as it went before it jumped: what it would show now is this and the time that passed since. */
  #before: { readonly at: number; readonly elapsedMs: number } | undefined;
  /** The elapsed time from which on the clock decides again. */
  #settledAtMs = 0;
  #signal = AbortSignal.abort();

  constructor(deps: ClockWatchDeps) {
    this.#deps = deps;
    this.#tickedAt = deps.clock.now();
  }

  start(signal: AbortSignal): void {
    this.#tickedAt = this.#deps.clock.now();
    this.#before = undefined;
    this.#signal = signal;
    this.#plan(signal);
  }

  stop(): void {
    this.#cancelTimer?.();
  }

  /** Milliseconds that have passed while it ran, by timers alone, in steps of half a minute; never more than there were. */
  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /**
   * The instant by which is decided what is old enough to be removed: now; but for an hour after the clock jumped
   * ahead, what it would show without that.
   */
  retentionNow(): number {
    const now = this.#deps.clock.now();
    // Nothing is measured before it starts.
    if (this.#signal.aborted) return now;
    this.#compare(0);
    return this.#before === undefined ? now : Math.min(now, this.#before.at + this.#elapsedMs - this.#before.elapsedMs);
  }

  #plan(signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#cancelTimer = this.#deps.clock.setTimer(() => {
      this.#elapsedMs += tickMs;
      this.#compare(tickMs);
      this.#plan(signal);
    }, tickMs);
  }

  // `passedMs` have passed for certain since the last comparison.
  #compare(passedMs: number): void {
    if (this.#elapsedMs >= this.#settledAtMs) this.#before = undefined;
    const now = this.#deps.clock.now();
    const byMs = now - this.#tickedAt - passedMs;
    if (Math.abs(byMs) > jumpMs) {
      this.#before ??= { at: this.#tickedAt + passedMs, elapsedMs: this.#elapsedMs };
      this.#settledAtMs = this.#elapsedMs + settleMs;
      this.#deps.emit("clock:changed", { byMs });
    } else if (passedMs === 0) return;
    this.#tickedAt = now;
  }
}
