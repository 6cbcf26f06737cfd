import { isPoundlockError } from "../errors.ts";
import { isStorable } from "../model/validate.ts";
import type { Step, StepOutcomes, StepResult, TracedScheduler, Tracing } from "./tracing.ts";

/** Characters of an origin. */
const longestOrigin = 512;

/** Origins that a step names at most. */
const mostOrigins = 32;

const none: readonly never[] = Object.freeze([]);

/** The result of a step of one kind. */
export interface ResultOf<Kind extends Step["kind"]> extends StepResult {
  readonly outcome: StepOutcomes[Kind];
}

/** How the result of a step of one kind is read from what its work returns or throws. */
export interface StepReading<Kind extends Step["kind"], T> {
  readonly returned: (value: T) => ResultOf<Kind>;
  readonly threw: (error: unknown) => ResultOf<Kind>;
}

/** Work that has begun: what comes of it, and its result as a tracer gets it, which is never rejected. */
class BegunWork<T> {
  readonly own: Promise<T>;
  readonly result: Promise<StepResult>;

  constructor(work: () => Promise<T>, { returned, threw }: StepReading<Step["kind"], T>) {
    this.own = work();
    this.result = this.own.then(returned, threw);
  }
}

/** A host's tracer, as the engine calls it: whatever it does, each work is done once, and its result is the work's own. */
export class Tracer {
  readonly #tracing: Tracing;
  #report: (error: unknown, during: string) => void = () => undefined;
  #hasReported = false;

  constructor(tracing: Tracing) {
    this.#tracing = tracing;
  }

  /** `report`: called once, with what it does first that it must not. */
  attach(scheduler: TracedScheduler, report: (error: unknown, during: string) => void): void {
    this.#report = report;
    try {
      this.#tracing.attach?.(scheduler);
    } catch (error) {
      this.#misbehaves(error);
    }
  }

  /** Where the request that is being handled comes from, if the tracer knows. */
  origin(): string | undefined {
    try {
      const origin: unknown = this.#tracing.origin?.();
      return isOrigin(origin) ? origin : undefined;
    } catch (error) {
      this.#misbehaves(error);
      return undefined;
    }
  }

  /** Does the work, watched. Returns, or throws, what the work does. */
  around<Kind extends Step["kind"], T>(
    step: Extract<Step, { readonly kind: Kind }>,
    work: () => Promise<T>,
    reading: StepReading<Kind, T>,
  ): Promise<T> {
    let begun: BegunWork<T> | undefined;
    const begin = () => (begun ??= new BegunWork(work, reading));
    try {
      const returned: unknown = this.#tracing.around(step, () => begin().result);
      if (begun === undefined) throw new Error(`around did not call work before it returned, at step ${step.kind}`);
      if (returned !== begin().result) this.#drop(returned);
    } catch (error) {
      this.#misbehaves(error);
    }
    return begin().own;
  }

  // What it returns is of no interest, unless it is rejected: nobody else would handle that.
  #drop(returned: unknown): void {
    if (typeof returned !== "object" || returned === null) return;
    Promise.resolve(returned).catch((error: unknown) => this.#misbehaves(error));
  }

  #misbehaves(error: unknown): void {
    if (this.#hasReported) return;
    this.#hasReported = true;
    this.#report(error, "tracing");
  }
}

function isOrigin(origin: unknown): origin is string {
  return typeof origin === "string" && origin !== "" && origin.length <= longestOrigin && isStorable(origin);
}

/** The first few of them that differ. */
export function distinctOrigins(origins: readonly (string | undefined)[]): readonly string[] {
  if (origins.length === 0) return none;
  const distinct = new Set<string>();
  for (const origin of origins) {
    if (distinct.size === mostOrigins) break;
    if (origin !== undefined) distinct.add(origin);
  }
  return distinct.size === 0 ? none : [...distinct];
}

/** The result of a commit that threw. */
export function refusedCommit(error: unknown): ResultOf<"commit"> {
  return { outcome: isPoundlockError(error) && error.code === "lease_lost" ? "lost" : "failed", error };
}
