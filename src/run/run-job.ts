import type { Clock, Yielder } from "../clock.ts";
import type { PoundlockError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Export } from "../model/host/export.ts";
import type { Import } from "../model/host/import.ts";
import type { Logger } from "../model/logger.ts";
import type { Run } from "../model/run.ts";
import type { ClaimedRun, RunEnding, RunLease, Storage } from "../storage/storage.ts";
import type { AutoRetry } from "./pass/failure-maker.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Tracer } from "./tracer.ts";

/** Everything one run needs. */
export interface RunJob {
  readonly claimed: ClaimedRun;
  readonly lease: RunLease;
  readonly export: Export<unknown>;
  /** The flow's imports, in order. */
  readonly imports: ReadonlyMap<string, Import<unknown>>;
  readonly storage: RunJobStorage;
  readonly clock: Clock;
  readonly yielder: Yielder;
  /** Aborts to cancel, to stop, or because the lease is lost. */
  readonly signal: AbortSignal;
  readonly limits: RunLimits;
  /** Whether records are frozen. */
  readonly freeze: boolean;
  readonly newId: () => string;
  readonly log: Logger;
  readonly tracer: Tracer | undefined;
  readonly emit: Emit<SchedulerEvents>;
}

/** What a run asks of its storage. */
export type RunJobStorage = Pick<
  Storage,
  "commitPage" | "readInbox" | "listFailures" | "listRuns" | "openKeys" | "countOpenFailures"
>;

/** The options that bound a run. */
export interface RunLimits {
  readonly prefetch: number;
  readonly maxAttempts: number;
  readonly maxWaitMs: number;
  readonly maxFailures: number;
  readonly maxOpenFailures: number;
  readonly positionMaxAgeMs: number;
  readonly autoRetry: AutoRetry | false;
  readonly backoff: RetryPolicy;
}

/** How a run went, and what its end is to say of its imports. */
export interface RunResult {
  /** `aborted`: its signal said so. `waiting`: it gives its slot back, and goes on at `notBefore`. */
  readonly end: "completed" | "failed" | "aborted" | "waiting";
  readonly run: Run;
  readonly error?: PoundlockError;
  readonly notBefore?: number;
  /** How often it has waited without progress, this time included. */
  readonly waits?: number;
  readonly ending: Pick<RunEnding, "imports" | "places" | "page"> & { readonly needsResume: boolean };
  /** Reports the page that was committed with the end. */
  readonly onPageCommitted?: (() => void) | undefined;
}
