import type { CancelTimer, Clock } from "../clock.ts";

/**
 * A clock that stands still until a test moves it. Timers fire in the order of their times, each with `now()` at its
 * own time, and all that follows from one without further waiting is done before the next one fires.
 *
 * @example
 * const clock = new ManualClock("2030-03-30T00:00:00Z");
 * await clock.advance(60_000);
 */
export class ManualClock implements Clock {
  readonly #timers = new Timers();
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

  /** @throws RangeError for a delay that is no number, or below 0. */
  setTimer(callback: () => void, delayMs: number): CancelTimer {
    if (!(delayMs >= 0)) throw new RangeError(`delayMs: expected 0 or more, found ${delayMs}`);
    const timer = { at: this.#elapsed + delayMs, seq: ++this.#seq, callback, place: 0 };
    this.#timers.add(timer);
    return () => this.#timers.remove(timer);
  }

  async yieldToEventLoop(): Promise<void> {
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
    const { first } = this.#timers;
    return first === undefined ? undefined : first.at - this.#elapsed;
  }

  /**
   * Moves time on by `ms`, firing what comes due on the way.
   *
   * @throws RangeError for a time that is no number, or below 0.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Infinity)) throw new RangeError(`ms: expected 0 or more, found ${ms}; jumpTo goes back`);
    const target = this.#elapsed + ms;
    await this.settle();
    for (let timer = this.#take(target); timer !== undefined; timer = this.#take(target)) {
      this.#elapsed = Math.max(this.#elapsed, timer.at);
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

  #take(until: number): Timer | undefined {
    const { first } = this.#timers;
    if (first === undefined || first.at > until) return undefined;
    this.#timers.remove(first);
    return first;
  }
}

interface Timer {
  readonly at: number;
  readonly seq: number;
  readonly callback: () => void;
  /** Where it stands in the heap. */
  place: number;
}

/** A binary heap: no timer fires before the one at half its place. Each timer knows its place, so any can be removed. */
class Timers {
  readonly #heap: Timer[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The one that fires next. */
  get first(): Timer | undefined {
    return this.#heap[0];
  }

  add(timer: Timer): void {
    this.#put(timer, this.#heap.length);
    this.#rise(timer);
  }

  /** Nothing happens if it is not there any more. */
  remove(timer: Timer): void {
    if (this.#heap[timer.place] !== timer) return;
    const last = this.#heap.pop();
    if (last === undefined || last === timer) return;
    this.#put(last, timer.place);
    this.#rise(last);
    this.#sink(last);
  }

  #rise(timer: Timer): void {
    for (;;) {
      const above = this.#heap[(timer.place - 1) >> 1];
      if (above === undefined || !isBefore(timer, above)) return;
      this.#swap(timer, above);
    }
  }

  #sink(timer: Timer): void {
    for (;;) {
      const left = this.#heap[2 * timer.place + 1];
      const right = this.#heap[2 * timer.place + 2];
      const next = right !== undefined && left !== undefined && isBefore(right, left) ? right : left;
      if (next === undefined || !isBefore(next, timer)) return;
      this.#swap(timer, next);
    }
  }

  #swap(one: Timer, other: Timer): void {
    const { place } = one;
    this.#put(one, other.place);
    this.#put(other, place);
  }

  #put(timer: Timer, place: number): void {
    this.#heap[place] = timer;
    timer.place = place;
  }
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.at < other.at || (one.at === other.at && one.seq < other.seq);
}

function epoch(time: number | string): number {
  const at = typeof time === "number" ? time : Date.parse(time);
  if (Number.isFinite(at)) return at;
  throw new RangeError(`time: expected epoch milliseconds or a date, found ${String(time)}`);
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
