import { messageOf } from "../message.ts";

const brand = Symbol.for("poundlock.outcome");

/** What an export or import says of an error of its own. */
export type Outcome =
  | { readonly kind: "retryLater"; readonly afterMs?: number | Date }
  | { readonly kind: "reject" }
  | { readonly kind: "stop" }
  | { readonly kind: "expired" };

const kinds: readonly Outcome["kind"][] = ["retryLater", "reject", "stop", "expired"];

/** An error that carries an outcome. Its message is its cause's. */
export class OutcomeError extends Error {
  override readonly name = "OutcomeError";
  readonly [brand]: Outcome;

  constructor(outcome: Outcome, cause: unknown) {
    super(messageOf(cause), { cause });
    this[brand] = outcome;
  }
}

/** The outcome an error carries; undefined for any other error, which means that the outcome is unknown. Never throws. */
export function outcomeOf(error: unknown): Outcome | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  try {
    // Read through the global symbol: a host may load both the ESM and the CJS copy of this file.
    const outcome = (error as { [brand]?: Partial<Outcome> & { readonly afterMs?: unknown } })[brand];
    const { afterMs, kind } = outcome ?? {};
    if (kind === undefined || !kinds.includes(kind)) return undefined;
    return kind === "retryLater" && afterMs !== undefined ? { kind, afterMs: afterMs } : { kind };
  } catch {
    return undefined;
  }
}
