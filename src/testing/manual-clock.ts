import type { Cancel, Clock } from "../clock.ts";

interface Timer {
  readonly at: number;
  readonly seq: number;
  readonly callback: () => void;
}

/**
 * A clock that stands still until a test moves it. Timers fire in the order of their times, each with `now()` at its
 * own time, and all that follows from one without further waiting is done before the next one fires.
 *
 * @example
 * const clock = new ManualClock("2030-03-30T00:00:00Z");
 * await clock.advance(60_000);
 */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #elapsed = 0;
  #wall: number;
  #seq = 0;
  #turns = 0;

  /** `start`: epoch milliseconds, or anything `Date.parse` reads. */
  constructor(start: number | string = "2030-01-01T00:00:00Z") {
    this.#wall = epoch(start);
  }

  now(): number {
    return this.#wall + this.#elapsed;
  }

  setTimer(callback: () => void, delayMs: number): Cancel {
    const timer = { at: this.#elapsed + Math.max(0, delayMs), seq: ++this.#seq, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  async turn(): Promise<void> {
    this.#turns++;
    await immediate();
    this.#turns--;
  }

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer fires; undefined if none waits. */
  get nextTimerIn(): number | undefined {
    const next = this.#next(Infinity);
    return next === undefined ? undefined : next.at - this.#elapsed;
  }

  /** Moves time on by `ms`, firing what comes due on the way. */
  async advance(ms: number): Promise<void> {
    const target = this.#elapsed + ms;
    await this.settle();
    for (let timer = this.#next(target); timer !== undefined; timer = this.#next(target)) {
      this.#elapsed = Math.max(this.#elapsed, timer.at);
      this.#timers.delete(timer);
      timer.callback();
      await this.settle();
    }
    this.#elapsed = target;
  }

  /** Moves time on to an instant by the wall, firing what comes due on the way. */
  async moveTo(time: number | string): Promise<void> {
    await this.advance(epoch(time) - this.now());
  }

  /**
   * Sets the wall clock, forwards or backwards, while timers keep what is left of their delays: what happens when
   * somebody changes the system's clock, or when the computer sleeps.
   */
  jumpTo(time: number | string): void {
    this.#wall = epoch(time) - this.#elapsed;
  }

  /** Resolves when everything that does not wait for a timer is done. */
  async settle(): Promise<void> {
    do await immediate();
    while (this.#turns > 0);
  }

  #next(until: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers)
      if (
        timer.at <= until &&
        (next === undefined || timer.at < next.at || (timer.at === next.at && timer.seq < next.seq))
      )
        next = timer;
    return next;
  }
}

function epoch(time: number | string): number {
  const at = typeof time === "number" ? time : Date.parse(time);
  if (Number.isFinite(at)) return at;
  throw new RangeError(`time: expected epoch milliseconds or a date, found ${String(time)}`);
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
