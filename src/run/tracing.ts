import type { Events, SchedulerEvents } from "../events.ts";
import type { Flow } from "../model/flow/flow.ts";
import type { Overview } from "../model/flow/overview.ts";
import type { Counts, Run } from "../model/run.ts";

/**
 * Lets what a run does be watched from outside: `openTelemetry()` of `poundlock/opentelemetry` is one, and
 * `diagnosticsChannel()`. It cannot harm a run: the engine keeps its own results and does each work once, whatever `around`
 * does. If that throws or is rejected, or returns before it has called `work`, `background:error` is emitted, once for each
 * scheduler.
 */
export interface Tracing {
  /** Calls `work` once, before it returns, and returns what it returns. `work` never rejects: an error is in its result. */
  around(step: Step, work: () => Promise<StepResult>): Promise<StepResult>;
  /**
   * Where a request comes from, 1 to 512 characters: kept with what `run`, `accept` and `retryFailures` queue, and among
   * the `origins` of the steps that it leads to, perhaps in another process. What is longer, or no string, is left out.
   */
  origin?(): string | undefined;
  /** Called once, by the scheduler's constructor: for its events, and how all flows do. */
  attach?(scheduler: TracedScheduler): void;
}

/** What a tracer gets of its scheduler. */
export interface TracedScheduler extends Pick<Events<SchedulerEvents>, "on"> {
  /** How all flows do. */
  overview(): Promise<Overview>;
}

/**
 * One step of a run, or the taking in of records. A run has `read` and `page` steps, side by side, as pages are read
 * ahead; a page has `write` steps, each one try of one batch at one import, and `commit` steps. There are none per record.
 */
export type Step =
  /** Records that are taken in, by `accept` or from `listen`. */
  | { readonly kind: "accept"; readonly _exportId: string; readonly records: number }
  /** A run, from its claim until it has ended or was given back. */
  | { readonly kind: "run"; readonly run: Run; readonly flow: Flow; readonly origins: readonly string[] }
  /** One page that is read, or that there is none any more. `page`: which one of its run, from 1 on. */
  | { readonly kind: "read"; readonly run: Run; readonly page: number }
  /** One page on its way into the imports. `origins`: at most 32, those of the calls of `accept` it came with. */
  | {
      readonly kind: "page";
      readonly run: Run;
      readonly page: number;
      readonly records: number;
      readonly origins: readonly string[];
    }
  /** One call of `write`. `attempt`: from 1 on. */
  | {
      readonly kind: "write";
      readonly run: Run;
      readonly _importId: string;
      readonly attempt: number;
      readonly records: number;
    }
  /** One transaction. `page`: the newest page it may be of. */
  | { readonly kind: "commit"; readonly run: Run; readonly page: number };

/** How a step of each kind may go. */
export interface StepOutcomes {
  /** `refused`: what was sent is invalid, the flow is disabled, or its inbox full. */
  readonly accept: "accepted" | "refused" | "failed";
  /** `queued`: it was given back, to go on later. `lost`: it is left to another process. */
  readonly run: "completed" | "failed" | "canceled" | "queued" | "lost";
  /** `end`: there was none any more. `retry`, `expired`: the export threw `retryLater` or `expired`. */
  readonly read: "page" | "end" | "retry" | "expired" | "failed";
  /** `unsettled`: an import has left, is paused, or has still to settle it. */
  readonly page: "settled" | "unsettled" | "failed";
  /** `mixed`: the outcomes of its records differ. `violation`: what it returned is not what the contract allows. */
  readonly write: "written" | "retry" | "reject" | "unknown" | "stop" | "violation" | "mixed";
  /** `lost`: another process has reclaimed the run. */
  readonly commit: "committed" | "lost" | "failed";
}

/**
 * How a step went, in one of the words of {@link StepOutcomes} for its kind, with the counts there are, and the error if it
 * failed. A record that was rejected is an outcome and no error.
 */
export interface StepResult {
  readonly outcome: StepOutcomes[Step["kind"]];
  readonly counts?: Counts;
  readonly error?: unknown;
}
