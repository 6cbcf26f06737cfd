/** The time and its timers. Everything that waits goes through a clock, so that a test can move time. */
export interface Clock {
  /** Wall-clock time in epoch milliseconds. */
  now(): number;
  /** Calls `callback` once, `delayMs` from now (0 or more); the function returned cancels it. */
  setTimer(callback: () => void, delayMs: number): CancelTimer;
  /** Resolves after other work of the process has run. */
  yieldToEventLoop(): Promise<void>;
}

/** Cancels what it came from; calling it again does nothing. */
export type CancelTimer = () => void;

/** The longest delay that `setTimeout` keeps; a longer one would fire at once. */
const longestTimeoutMs = 2 ** 31 - 1;

/** The clock of this computer. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(callback, delayMs) {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number) => {
      const after = leftMs - longestTimeoutMs;
      timer = after > 0 ? setTimeout(() => wait(after), longestTimeoutMs) : setTimeout(callback, leftMs);
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
  yieldToEventLoop: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Milliseconds that have passed since some instant in the past, with fractions; unlike a clock it is never set. */
export function elapsedMs(): number {
  return performance.now();
}

/** Resolves after `delayMs`, or at once when `signal` aborts: never rejects. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.setTimer(done, delayMs);
    signal?.addEventListener("abort", done);
  });
}

/** Whether the signal has aborted by now; a call, since it may do so while something else is awaited. */
export function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/**
 * True if `work` resolved within `limitMs`; false if it still goes on then, or when `signal` aborts. Rejects if it
 * rejected in time. Its timer does not outlive it.
 */
export async function within(
  clock: Clock,
  limitMs: number,
  work: Promise<unknown>,
  signal?: AbortSignal,
): Promise<boolean> {
  const done = new AbortController();
  const stopWaiting = () => done.abort();
  if (isAborted(signal)) stopWaiting();
  signal?.addEventListener("abort", stopWaiting);
  try {
    return await Promise.race([work.then(() => true), delay(clock, limitMs, done.signal).then(() => false)]);
  } finally {
    signal?.removeEventListener("abort", stopWaiting);
    stopWaiting();
  }
}

/**
 * Keeps long work without I/O from blocking the host and delaying its timers: `await yielder.yield()` where
 * `yielder.isDue()` returns true.
 */
export class Yielder {
  readonly #clock: Clock;
  readonly #stretchMs: number;
  #since: number;
  #turn: Promise<void> | undefined;

  /** `stretchMs`: how long the process may be kept busy without a pause. */
  constructor(clock: Clock, stretchMs = 3) {
    this.#clock = clock;
    this.#stretchMs = stretchMs;
    this.#since = clock.now();
  }

  /** True once the process has been busy for `stretchMs`, or if the clock was set back so that this is unknown. */
  isDue(): boolean {
    const busyMs = this.#clock.now() - this.#since;
    return busyMs >= this.#stretchMs || busyMs < 0;
  }

  /** Resolves after other work has run. Calls made meanwhile wait for the same turn of the event loop. */
  yield(): Promise<void> {
    this.#turn ??= this.#takeTurn();
    return this.#turn;
  }

  async #takeTurn(): Promise<void> {
    await this.#clock.yieldToEventLoop();
    this.#since = this.#clock.now();
    this.#turn = undefined;
  }
}
