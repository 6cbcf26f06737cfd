import { type Clock, elapsedMs, systemClock } from "../../clock.ts";
import { type PostgresPool, types } from "./pool.ts";

/** How often the database is asked the time when the clock is first read: the shortest round trip knows it best. */
const tries = 5;

/**
 * The time of the database's computer, which is the same for all processes that use it. It is measured, and goes on from
 * there by elapsed time: the clock of this computer does not matter.
 */
export class DatabaseClock implements Clock {
  readonly #pool: Pick<PostgresPool, "query">;
  readonly #freshMs: number;
  /** What the database's time is when nothing has elapsed. */
  #origin = 0;
  #measuredAt = 0;
  #measuring: Promise<void> | undefined;
  #isClosed = false;

  /** `freshMs`: how old a measurement may be before the next one is made, in milliseconds. */
  constructor(pool: Pick<PostgresPool, "query">, freshMs = 30_000) {
    this.#pool = pool;
    this.#freshMs = freshMs;
  }

  now(): number {
    const elapsed = elapsedMs();
    // What fails is tried again by a later call; until then time passes as it does here.
    if (elapsed - this.#measuredAt >= this.#freshMs && !this.#isClosed) void this.measure().catch(() => undefined);
    return Math.floor(this.#origin + elapsed);
  }

  setTimer(callback: () => void, delayMs: number) {
    return systemClock.setTimer(callback, delayMs);
  }

  yieldToEventLoop(): Promise<void> {
    return systemClock.yieldToEventLoop();
  }

  /** Asks the database. Rejects if it cannot be reached. */
  measure(): Promise<void> {
    this.#measuring ??= this.#measure().finally(() => (this.#measuring = undefined));
    return this.#measuring;
  }

  /** Asks nothing any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#measuring?.catch(() => undefined);
  }

  async #measure(): Promise<void> {
    // Also if it fails, so that a database that is away is not asked by every call.
    this.#measuredAt = elapsedMs();
    let best = { tookMs: Infinity, origin: this.#origin };
    for (let attempt = 0; attempt < tries; attempt++) {
      const since = elapsedMs();
      const { rows } = await this.#pool.query({ text: timeQuery, types });
      const tookMs = elapsedMs() - since;
      const { now } = rows[0] as { readonly now: number };
      if (tookMs < best.tookMs) best = { tookMs, origin: now - (since + tookMs / 2) };
    }
    this.#origin = best.origin;
  }
}

const timeQuery = `select (extract(epoch from clock_timestamp()) * 1000)::double precision as now`;
