import type { Clock } from "../../clock.ts";
import type { ContractViolationError, StoppedByImportError } from "../../errors.ts";
import type { Fault } from "../../model/failure.ts";
import type { Import } from "../../model/host/import.ts";
import type { Run } from "../../model/run.ts";
import type { RetryPolicy } from "../retry.ts";
import type { Tracer } from "../tracer.ts";
import type { CallOrigin } from "./write-context.ts";

/** A record that was not written. */
export interface RecordError {
  /** Its place in the page. */
  readonly index: number;
  /** `unsent`: the run was aborted, or the import left the page, first; the record is certainly not applied. */
  readonly fault: Fault | "unsent";
  readonly error: unknown;
  /** How often it was sent. */
  readonly attempts: number;
  /** Milliseconds from now before which the destination does not want it again. */
  readonly afterMs?: number;
}

/** One import as one run sees it. */
export interface Destination extends CallOrigin {
  /** As it is when a page is offered. */
  run: Run;
  readonly import: Import<unknown>;
  readonly clock: Clock;
  /** Aborts with the run. */
  readonly signal: AbortSignal;
  /** Whether what this import gets to see is frozen. */
  readonly freeze: boolean;
  /** Whether another import gets the same records: then it is given copies of what cannot be frozen. */
  readonly shared: boolean;
  readonly maxAttempts: number;
  /** The longest wait that a destination may ask for without being taken for unavailable. */
  readonly maxWaitMs: number;
  readonly backoff: RetryPolicy;
  readonly tracer?: Tracer | undefined;
  /** Called before each wait for another attempt. */
  readonly onRetry: (attempt: number, delayMs: number, message: string) => void;
}

/** Why an import is sent nothing more of its page. */
export type Halt =
  | { readonly kind: "stopped"; readonly error: StoppedByImportError }
  | { readonly kind: "violation"; readonly error: ContractViolationError }
  | { readonly kind: "wait"; readonly error: unknown; readonly afterMs: number };
