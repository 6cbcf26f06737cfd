import type { FlowIssue } from "./model/flow/flow-issues.ts";
import { formatValue } from "./model/record/json.ts";
import { messageOf } from "./model/message.ts";
import { OutcomeError } from "./model/host/outcome.ts";
import type { RetryLaterOptions } from "./model/host/retry-after.ts";
import { didYouMean } from "./model/suggest.ts";

/** Every code a {@link PoundlockError} may carry; never changed once published. */
export type ErrorCode =
  | "invalid_flow"
  | "invalid_option"
  | "invalid_request"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "flow_disabled"
  | "busy"
  | "export_failed"
  | "import_unavailable"
  | "import_failed"
  | "nothing_delivered"
  | "contract_violation"
  | "stopped_by_import"
  | "too_many_failures"
  | "counts_mismatch"
  | "lease_lost"
  | "storage_failed"
  | "executor_failed"
  | "unexpected_error";

const brand = Symbol.for("poundlock.error");

/** Base of everything poundlock throws. Tell errors apart by `code`: ESM and CommonJS copies of a class differ. */
export abstract class PoundlockError extends Error {
  abstract readonly code: ErrorCode;

  static {
    Object.defineProperty(this.prototype, brand, { value: true });
  }
}

/** True for an error of ours, whichever copy of the library made it. */
export function isPoundlockError(error: unknown): error is PoundlockError {
  try {
    return typeof error === "object" && error !== null && brand in error;
  } catch {
    return false;
  }
}

/** The definition of a flow is invalid. `issues` has every problem, each with its field. */
export class InvalidFlowError extends PoundlockError {
  override readonly name = "InvalidFlowError";
  readonly code = "invalid_flow";
  /** At least one and at most 100, of which the last then says how many more there are. */
  readonly issues: readonly FlowIssue[];

  /** `count`: how many problems there are. @default as many as there are issues */
  constructor(issues: readonly FlowIssue[], count = issues.length) {
    super(summaryOf(issues, count));
    this.issues = issues;
  }
}

// As many messages as fit into 2,000 characters, at least one.
function summaryOf(issues: readonly FlowIssue[], count: number): string {
  const listed = count > issues.length ? issues.slice(0, -1) : issues;
  let text = "";
  let shown = 0;
  for (const { message } of listed) {
    if (shown > 0 && text.length + message.length > 1_950) break;
    text += shown === 0 ? message : `; ${message}`;
    shown++;
  }
  return shown === count ? text : `${text}; and ${count - shown} more`;
}

/** What an {@link InvalidOptionError} may have beside its field. */
interface InvalidOptionDetails {
  /** The error that is the reason. */
  readonly cause?: unknown;
  /** Ends the message, such as `; did you mean "concurrency"?`. */
  readonly hint?: string;
}

/** An option, an export, an import or an adapter is out of range. Thrown at construction, or when it is added. */
export class InvalidOptionError extends PoundlockError {
  override readonly name = "InvalidOptionError";
  readonly code = "invalid_option";
  /** What is at fault, such as `concurrency` or `exports.orders.pageSize`. */
  readonly option: string;

  constructor(option: string, expected: string, found: unknown, { cause, hint = "" }: InvalidOptionDetails = {}) {
    const message = `${option}: expected ${expected}, found ${formatValue(found)}${hint}`;
    super(message, cause === undefined ? {} : { cause });
    this.option = option;
  }
}

/** A request is invalid: an unknown filter, a limit out of range, records that do not match their ids. */
export class InvalidRequestError extends PoundlockError {
  override readonly name = "InvalidRequestError";
  readonly code = "invalid_request";
  /** What is at fault, such as `limit` or `records.3`. */
  readonly field: string;
  /**
   * All that is at fault where several records may be, each with its field, such as `records.3.email`: at most 100, of
   * which the last then says how many more there are.
   */
  readonly issues:
    readonly { readonly code: "invalid_request"; readonly field: string; readonly message: string }[] | undefined;

  constructor(field: string, expected: string, found: unknown, { hint = "", issues }: InvalidRequestDetails = {}) {
    super(`${field}: expected ${expected}, found ${formatValue(found)}${hint}`);
    this.field = field;
    this.issues = issues;
  }
}

/** What an {@link InvalidRequestError} may have beside its field. */
interface InvalidRequestDetails {
  /** Ends the message, such as `; did you mean "limit"?`. */
  readonly hint?: string;
  readonly issues?: NonNullable<InvalidRequestError["issues"]>;
}

/** The `authorize` hook does not know the caller. */
export class UnauthorizedError extends PoundlockError {
  override readonly name = "UnauthorizedError";
  readonly code = "unauthorized";
}

/** The `authorize` hook knows the caller, but does not allow this. */
export class ForbiddenError extends PoundlockError {
  override readonly name = "ForbiddenError";
  readonly code = "forbidden";
}

/** There is no flow, run, failure, export or import with that id. */
export class NotFoundError extends PoundlockError {
  override readonly name = "NotFoundError";
  readonly code = "not_found";
  readonly kind: "flow" | "run" | "failure" | "export" | "import";
  readonly id: string;

  constructor(kind: NotFoundError["kind"], id: string) {
    super(`There is no ${kind} ${formatValue(id)}`);
    this.kind = kind;
    this.id = id;
  }
}

/** The document changed since it was read, its id is taken, or it is in no state for this. */
export class ConflictError extends PoundlockError {
  override readonly name = "ConflictError";
  readonly code = "conflict";
}

/** A disabled flow was asked to run, or events came for an export that no enabled flow uses. */
export class FlowDisabledError extends PoundlockError {
  override readonly name = "FlowDisabledError";
  readonly code = "flow_disabled";
}

/** `maxQueued` or `maxInboxPages` is reached. Nothing was stored: try again later. */
export class BusyError extends PoundlockError {
  override readonly name = "BusyError";
  readonly code = "busy";
}

/** Reading from the export failed. Its own error is `cause`. */
export class ExportFailedError extends PoundlockError {
  override readonly name = "ExportFailedError";
  readonly code = "export_failed";

  constructor(_exportId: string, cause: unknown) {
    super(`Export ${formatValue(_exportId)} failed: ${messageOf(cause)}`, { cause });
  }
}

/** An import took no record of a page with all its retries, or asked for a long wait: it is paused, and nothing of the page is stored. */
export class ImportUnavailableError extends PoundlockError {
  override readonly name = "ImportUnavailableError";
  readonly code = "import_unavailable";

  constructor(_importId: string, cause: unknown) {
    super(`Import ${formatValue(_importId)} is unavailable: ${messageOf(cause)}`, { cause });
  }
}

/** All that was read is settled, but the import's `finish` failed: it is called again by the next run. */
export class ImportFailedError extends PoundlockError {
  override readonly name = "ImportFailedError";
  readonly code = "import_failed";

  constructor(_importId: string, cause: unknown) {
    super(`Import ${formatValue(_importId)} failed to finish: ${messageOf(cause)}`, { cause });
  }
}

/** Ten records or more were offered to the imports of a run, and every one was rejected. What was committed stays. */
export class NothingDeliveredError extends PoundlockError {
  override readonly name = "NothingDeliveredError";
  readonly code = "nothing_delivered";

  constructor(rejected: number) {
    super(`All ${rejected} records were rejected: the failures say why; a mistake in map, schema or write is likely`);
  }
}

/** An export or import returned something that its contract does not allow. */
export class ContractViolationError extends PoundlockError {
  override readonly name = "ContractViolationError";
  readonly code = "contract_violation";

  constructor(kind: "Export" | "Import", id: string, problem: string, cause?: unknown) {
    super(`${kind} ${formatValue(id)} broke its contract: ${problem}`, cause === undefined ? {} : { cause });
  }
}

/** An import threw `stop(cause)`: credentials or configuration are wrong. */
export class StoppedByImportError extends PoundlockError {
  override readonly name = "StoppedByImportError";
  readonly code = "stopped_by_import";

  constructor(_importId: string, cause: unknown) {
    super(`Import ${formatValue(_importId)} stopped the run: ${messageOf(cause)}`, { cause });
  }
}

/** More records failed at one import than `maxFailures` of one run, or `maxOpenFailures` of its flow, allow: it is paused. */
export class TooManyFailuresError extends PoundlockError {
  override readonly name = "TooManyFailuresError";
  readonly code = "too_many_failures";

  constructor(_importId: string, limit: number, scope: "run" | "open", message: string) {
    const where = scope === "run" ? "new failures in one run" : "open failures";
    super(`Import ${formatValue(_importId)} has more than ${limit} ${where}, the last: ${message}`);
  }
}

/** The counts of a page do not add up: a defect of poundlock, never committed. */
export class CountsMismatchError extends PoundlockError {
  override readonly name = "CountsMismatchError";
  readonly code = "counts_mismatch";

  constructor(_importId: string, read: number, settled: number) {
    super(`Import ${formatValue(_importId)}: ${read} records read, but ${settled} accounted for`);
  }
}

/** Another process has reclaimed the run, so this process can no longer change it. */
export class LeaseLostError extends PoundlockError {
  override readonly name = "LeaseLostError";
  readonly code = "lease_lost";

  constructor(_runId: string) {
    super(`Run ${formatValue(_runId)} was taken over: its lease had expired`);
  }
}

/** The storage failed. The backend's own error is `cause`. */
export class StorageFailedError extends PoundlockError {
  override readonly name = "StorageFailedError";
  readonly code = "storage_failed";

  constructor(operation: string, cause: unknown) {
    super(`Storage failed in ${operation}: ${messageOf(cause)}`, { cause });
  }
}

/** Something threw that nothing expects to: a defect of poundlock, or of host code where none is called. It is `cause`. */
export class UnexpectedError extends PoundlockError {
  override readonly name = "UnexpectedError";
  readonly code = "unexpected_error";

  constructor(cause: unknown) {
    super(`Unexpected error: ${messageOf(cause)}`, { cause });
  }
}

/** The executor failed to accept a wake-up. The engine's own error is `cause`. */
export class ExecutorFailedError extends PoundlockError {
  override readonly name = "ExecutorFailedError";
  readonly code = "executor_failed";

  constructor(cause: unknown) {
    super(`The executor failed: ${messageOf(cause)}`, { cause });
  }
}

/**
 * To be thrown by an import's `write`, or an export's `pages`: certainly not applied, and worth another attempt later.
 * Attempts are bounded by `maxAttempts`; then the destination is taken for unavailable, or the records are stored as
 * failures that can be retried.
 *
 * @example throw retryLater(response.status, { afterMs: 30_000 });
 * @throws `invalid_option` for an option that it does not have.
 */
export function retryLater(cause: unknown, options: RetryLaterOptions = {}): Error {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new InvalidOptionError("retryLater", "an object with afterMs", options);
  for (const name of Object.keys(options))
    if (name !== "afterMs")
      throw new InvalidOptionError(`retryLater.${name}`, "afterMs", name, { hint: didYouMean(name, ["afterMs"]) });
  const { afterMs } = options;
  return new OutcomeError({ kind: "retryLater", ...(afterMs === undefined ? {} : { afterMs }) }, cause);
}

/**
 * To be thrown by an import's `write`: certainly not applied, and never will be. A batch of several is halved until each
 * record at fault stands alone, so that only those are stored as failures.
 */
export function reject(cause: unknown): Error {
  return new OutcomeError({ kind: "reject" }, cause);
}

/**
 * To be thrown by an import's `write`, or an export's `pages`: credentials or configuration are wrong, so going on is
 * useless. Nothing of the page is committed for this import, and no failures are stored.
 */
export function stop(cause: unknown): Error {
  return new OutcomeError({ kind: "stop" }, cause);
}

/**
 * To be thrown by an export's `pages` before its first page: the position it was given cannot be read from any more (the
 * token of a list of pages that is no longer valid, say). Reading begins at the checkpoint again.
 */
export function expired(cause: unknown): Error {
  return new OutcomeError({ kind: "expired" }, cause);
}
