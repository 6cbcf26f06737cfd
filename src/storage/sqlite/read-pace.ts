import type { Clock } from "../../clock.ts";

/** For how long reads that follow each other may keep the process busy, in milliseconds. */
const stretchMs = 2;

/** Reads with no more than this between them follow each other, in milliseconds. */
const gapMs = 1;

/**
 * Keeps many small reads from blocking the process together, as those do that one request makes: once they have gone on
 * for a while, the next one waits for another turn of the event loop. A read after a while without any waits for nothing.
 */
export class ReadPace {
  readonly #clock: Clock;
  #since = 0;
  #last = 0;
  #turn: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the next read is to wait for {@link turn}, and then to ask again. */
  isDue(): boolean {
    const now = this.#clock.now();
    const gap = now - this.#last;
    if (gap < 0 || gap > gapMs) this.#since = now;
    this.#last = now;
    return now - this.#since >= stretchMs;
  }

  /** Resolves after other work has run. Reads that wait meanwhile wait for the same turn. */
  turn(): Promise<void> {
    this.#turn ??= this.#takeTurn();
    return this.#turn;
  }

  /** A read is done. */
  done(): void {
    this.#last = this.#clock.now();
  }

  async #takeTurn(): Promise<void> {
    await this.#clock.yieldToEventLoop();
    this.#since = this.#last = this.#clock.now();
    this.#turn = undefined;
  }
}
