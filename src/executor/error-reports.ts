import type { Clock } from "../clock.ts";
import { messageOf } from "../model/message.ts";

/** How long the same error is not reported again, in milliseconds. */
const silenceMs = 30_000;

/** Errors that are remembered at most. */
const most = 20;

/** Says which errors are new: an engine that is away fails at each attempt, and says the same of it each time. */
export class ErrorReports {
  readonly #clock: Clock;
  readonly #reportedAt = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether an error with this message has not been asked about for half a minute. */
  isNew(error: unknown): boolean {
    const now = this.#clock.now();
    const message = messageOf(error);
    const at = this.#reportedAt.get(message);
    if (at !== undefined && now - at >= 0 && now - at < silenceMs) return false;
    if (this.#reportedAt.size >= most) this.#reportedAt.clear();
    this.#reportedAt.set(message, now);
    return true;
  }
}
