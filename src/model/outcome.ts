import { formatValue } from "./json.ts";

const brand = Symbol.for("poundlock.outcome");

/** What an export or import says of its own trouble: certain and passing, certain and lasting, or not this record's fault. */
export type Outcome =
  { readonly kind: "retryLater"; readonly afterMs?: number } | { readonly kind: "reject" } | { readonly kind: "stop" };

/** The options of {@link retryLater}. */
export interface RetryLaterOptions {
  /** Milliseconds to wait at least before the next attempt, as a `Retry-After` header says; 0 or more. */
  readonly afterMs?: number;
}

class OutcomeError extends Error {
  override readonly name = "OutcomeError";
  readonly [brand]: Outcome;

  constructor(outcome: Outcome, cause: unknown) {
    super(messageOf(cause), { cause });
    this[brand] = outcome;
  }
}

/**
 * To be thrown by an import's `write`, or an export's `pages`: certainly not applied, and worth another attempt later.
 * Attempts are bounded by `maxAttempts`; then the records are stored as failures that can be retried.
 *
 * @example throw retryLater(response.status, { afterMs: 30_000 });
 */
export function retryLater(cause: unknown, options: RetryLaterOptions = {}): Error {
  const { afterMs } = options;
  if (afterMs !== undefined && !(Number.isFinite(afterMs) && afterMs >= 0))
    throw new RangeError(`afterMs: expected a number of milliseconds, 0 or more, found ${String(afterMs)}`);
  return new OutcomeError({ kind: "retryLater", ...(afterMs === undefined ? {} : { afterMs }) }, cause);
}

/**
 * To be thrown by an import's `write`: certainly not applied, and never will be. A batch of several is halved
 * until each record at fault stands alone, so that only those are stored as failures.
 */
export function reject(cause: unknown): Error {
  return new OutcomeError({ kind: "reject" }, cause);
}

/**
 * To be thrown by an import's `write`, or an export's `pages`: credentials or configuration are wrong, so going on
 * is useless. The run ends as failed, nothing of the page is committed and no failures are stored.
 */
export function stop(cause: unknown): Error {
  return new OutcomeError({ kind: "stop" }, cause);
}

/** The outcome an error carries; undefined for any other error, which means that the outcome is unknown. */
export function outcomeOf(error: unknown): Outcome | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  // Read through the global symbol: a host may load both the ESM and the CJS copy of this file.
  return (error as { [brand]?: Outcome })[brand];
}

/** The text of anything that was thrown; an empty one becomes its type's name. Never throws itself. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  if (typeof error === "string") return error;
  if (typeof error === "object" && error !== null && "message" in error && typeof error.message === "string")
    return error.message;
  return `thrown: ${formatValue(error)}`;
}
