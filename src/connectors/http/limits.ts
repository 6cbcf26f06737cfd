import { setMaxListeners } from "node:events";
import { type CancelTimer, type Clock, systemClock } from "../../clock.ts";
import { InvalidOptionError, retryLater } from "../../errors.ts";
import { type Shape, duration, objectWith, v, validate, wholeNumber } from "../../model/validate.ts";
import { durationText } from "./waiting.ts";

/** How many requests may be under way, and begin. A connection asks it before each of them. */
export interface Limits {
  /**
   * Resolves when a request may begin, with the function to be called once it has ended. Whoever is to wait for long is
   * refused with `retryLater` and its `afterMs`. First in, first out; rejects, and leaves the queue, when the signal aborts.
   */
  enter(signal: AbortSignal): Promise<() => void>;
  /** Lets no request begin for so many milliseconds, since the server asked for it. */
  pause(ms: number): void;
}

/** Limits within one process. */
export interface LimitOptions {
  /** Requests under way at once; 1 or more. @default 8 */
  readonly concurrency?: number;
  /** Requests that may begin in any `perMs`; 1 or more. @default as many as the concurrency allows */
  readonly requests?: number;
  /** Milliseconds; above 0. Required with `requests`. */
  readonly perMs?: number;
  /**
   * Milliseconds of a pause that a request waits for in its place; whoever would wait longer is refused at once, so that
   * no `write` hangs: the scheduler does the long waiting.
   *
   * @default 5000
   */
  readonly patienceMs?: number;
}

const aboveZero = v.pipe(duration, v.gtValue(0, "a number of milliseconds, above 0"));

const limitRules: Shape<LimitOptions> = {
  concurrency: v.optional(wholeNumber(1)),
  requests: v.optional(wholeNumber(1, 1_000_000)),
  perMs: v.optional(aboveZero),
  patienceMs: v.optional(duration),
};

/** A turn of its quota that is further away than this is not waited for in the queue, in milliseconds. */
const longestQueueMs = 120_000;

/**
 * Limits that count in this process: give one to several connections of the same account.
 *
 * @throws `invalid_option` for an option that is out of range.
 */
export function localLimits(options: LimitOptions = {}, clock: Clock = systemClock): Limits {
  validate(options, limitRules, InvalidOptionError, "limits.");
  validate({ clock }, { clock: objectWith(["now", "setTimer"], "a clock") }, InvalidOptionError, "limits.");
  const { requests, perMs } = options;
  if ((requests === undefined) !== (perMs === undefined))
    throw new InvalidOptionError("limits.perMs", "requests and perMs together", perMs);
  return new LocalLimits(options, clock);
}

interface WaitingRequest {
  readonly admit: () => void;
  readonly refuse: (reason: Error) => void;
}

class LocalLimits implements Limits {
  readonly #clock: Clock;
  readonly #time: SteadyTime;
  readonly #concurrency: number;
  readonly #patienceMs: number;
  readonly #window: Window | undefined;
  readonly #queue = new Set<WaitingRequest>();
  #underWay = 0;
  #pausedUntil = -Infinity;
  #cancelTimer: CancelTimer | undefined;

  constructor({ concurrency = 8, requests, perMs, patienceMs = 5_000 }: LimitOptions, clock: Clock) {
    this.#clock = clock;
    this.#time = new SteadyTime(clock);
    this.#concurrency = concurrency;
    this.#patienceMs = patienceMs;
    if (requests !== undefined && perMs !== undefined) this.#window = new Window(requests, perMs);
  }

  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    if (this.#queue.size > 0 || this.#waitMs() > 0) await this.#wait(signal);
    else this.#begin();
    return this.#leave();
  }

  pause(ms: number): void {
    if (!(ms > this.#pauseLeftMs())) return;
    this.#pausedUntil = this.#time.now() + ms;
    const refusal = this.#refusal();
    if (refusal !== undefined) for (const request of this.#queue) request.refuse(refusal);
    this.#admit();
  }

  #wait(signal: AbortSignal): Promise<void> {
    // As many requests as the caller likes may wait with one signal.
    setMaxListeners(0, signal);
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#queue.delete(request);
        signal.removeEventListener("abort", abort);
      };
      const abort = () => {
        leave();
        reject(signal.reason as Error);
        this.#admit();
      };
      const request: WaitingRequest = {
        admit: () => {
          leave();
          this.#begin();
          resolve();
        },
        refuse: (reason) => {
          leave();
          reject(reason);
        },
      };
      signal.addEventListener("abort", abort);
      this.#queue.add(request);
      this.#admit();
    });
  }

  #begin(): void {
    this.#underWay++;
    this.#window?.begin(this.#time.now());
  }

  #leave(): () => void {
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#underWay--;
      this.#admit();
    };
  }

  // As many as may begin now, and a timer for the next one if only time is in its way.
  #admit(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const request of this.#queue) {
      const waitMs = this.#waitMs();
      if (waitMs === 0) request.admit();
      else {
        if (waitMs < Infinity) this.#cancelTimer = this.#clock.setTimer(() => this.#admit(), waitMs);
        return;
      }
    }
  }

  // Until the next request may begin; Infinity: until another has ended.
  #waitMs(): number {
    if (this.#underWay >= this.#concurrency) return Infinity;
    const now = this.#time.now();
    return Math.max(this.#pauseLeftMs(), this.#window?.waitMs(now, 0) ?? 0);
  }

  #refusal(): Error | undefined {
    const pauseMs = this.#pauseLeftMs();
    if (pauseMs > this.#patienceMs)
      return retryLater(`paused for ${durationText(pauseMs)}, as the server asked`, { afterMs: pauseMs });
    const quotaMs = this.#window?.waitMs(this.#time.now(), this.#queue.size) ?? 0;
    if (quotaMs <= longestQueueMs) return undefined;
    return retryLater(`limits.requests are used up for ${durationText(quotaMs)}`, { afterMs: quotaMs });
  }

  #pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntil - this.#time.now());
  }
}

/** When the last `size` requests began, the oldest first from `#next` on: in no `perMs` begin more. */
class Window {
  readonly #perMs: number;
  readonly #starts: Float64Array;
  #next = 0;

  constructor(size: number, perMs: number) {
    this.#perMs = perMs;
    this.#starts = new Float64Array(size).fill(-Infinity);
  }

  begin(now: number): void {
    this.#starts[this.#next] = now;
    this.#next = (this.#next + 1) % this.#starts.length;
  }

  /** Until the request may begin that has so many before it. */
  waitMs(now: number, ahead: number): number {
    const size = this.#starts.length;
    const rounds = Math.floor(ahead / size);
    const start = this.#starts[(this.#next + ahead) % size] ?? -Infinity;
    return Math.max(0, start + this.#perMs - now) + rounds * this.#perMs;
  }
}

/** The clock's time, which stands still while the clock is set back: nobody is to wait an hour for that. */
export class SteadyTime {
  readonly #clock: Clock;
  #last: number;
  #behindMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = clock.now();
  }

  now(): number {
    const now = this.#clock.now();
    if (now < this.#last) this.#behindMs += this.#last - now;
    this.#last = now;
    return now + this.#behindMs;
  }
}
