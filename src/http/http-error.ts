import { type ErrorCode, type PoundlockError, isPoundlockError } from "../errors.ts";
import type { FlowIssue } from "../model/flow.ts";
import { type Reply, json } from "./reply.ts";

/** One reason why a request was refused, as it is answered. */
export interface Problem {
  /** Stable; what a client switches on. */
  readonly code: string;
  /** In words; may change. */
  readonly message: string;
  /** The field, query parameter or header at fault. */
  readonly field?: string;
}

/** What a request is refused with: one status, and every problem there is. */
export class HttpError extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  /** At least one. */
  readonly problems: readonly Problem[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, problems: readonly Problem[], headers: Readonly<Record<string, string>> = {}) {
    super(problems.map(({ message }) => message).join("; "));
    this.status = status;
    this.problems = problems;
    this.headers = headers;
  }
}

/** The status of each code that is a caller's to act on. A code without one is nothing a caller can cause: 500. */
export const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_flow: 422,
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  flow_disabled: 409,
  busy: 429,
  storage_failed: 503,
  executor_failed: 503,
};

/** Seconds after which a caller may try again what was refused because a line is full, or a backend is down. */
const retryAfter = "5";

const headersOf: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  401: { "www-authenticate": "Bearer" },
  429: { "retry-after": retryAfter },
  503: { "retry-after": retryAfter },
};

/** Something about the request itself is wrong. */
export function badRequest(field: string, message: string, status = 400): HttpError {
  return new HttpError(status, [{ code: "invalid_request", message, ...(field === "" ? {} : { field }) }]);
}

/** The document has moved since the caller read it. */
export function preconditionFailed(): HttpError {
  const message = "If-Match: the flow was changed since it was read";
  return new HttpError(412, [{ code: "conflict", message, field: "if-match" }]);
}

/**
 * How an error is answered; undefined if no caller can act on it, and nothing of it may be told. What a backend said is
 * not told either: `hidden` says that it belongs into the log.
 */
export function refusalOf(error: unknown): { readonly refusal: HttpError; readonly hidden: boolean } | undefined {
  if (error instanceof HttpError) return { refusal: error, hidden: false };
  if (!isPoundlockError(error)) return undefined;
  const status = statuses[error.code];
  if (status === undefined) return undefined;
  const hidden = status >= 500;
  const problems = hidden
    ? [{ code: error.code, message: "A part that this needs does not answer: try again later" }]
    : problemsOf(error);
  return { refusal: new HttpError(status, problems, headersOf[status]), hidden };
}

function problemsOf(error: PoundlockError): readonly Problem[] {
  // By their members, not their classes: the copies of a class in ESM and CommonJS differ.
  const { code, message, issues, field } = error as PoundlockError & {
    readonly issues?: readonly FlowIssue[];
    readonly field?: string;
  };
  if (issues !== undefined)
    return issues.map(({ field: at, ...issue }) => (at === "" ? issue : { ...issue, field: at }));
  return [{ code, message, ...(field === undefined ? {} : { field }) }];
}

/** The reply to a request that is refused. */
export function refused({ status, problems, headers }: HttpError): Reply {
  return json(status, { errors: problems }, headers);
}

/** What is answered instead of an error that no caller can act on; `errorId` is that of the line in the log. */
export function unexpected(errorId?: string): HttpError {
  const message = errorId === undefined ? "Unexpected error" : `Unexpected error ${errorId}`;
  return new HttpError(500, [{ code: "unexpected", message }]);
}
