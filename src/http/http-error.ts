import { type ErrorCode, type PoundlockError, isPoundlockError } from "../errors.ts";
import type { FlowIssue } from "../model/flow/flow-issues.ts";
import { type Reply, jsonString } from "./reply.ts";

/** One reason why a request was refused, as clients receive it. */
export interface Problem {
  /** Stable; clients switch on it. */
  readonly code: string;
  /** For people; may change. */
  readonly message: string;
  /** The field, query parameter or header at fault. */
  readonly field?: string;
}

/** A refused request: one status and every problem found. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  /** At least one. */
  readonly problems: readonly Problem[];
  /** How many there are; not all need to be listed. */
  readonly count: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    problems: readonly Problem[],
    headers: Readonly<Record<string, string>> = {},
    count = problems.length,
  ) {
    super(problems[0]?.message);
    this.status = status;
    this.problems = problems;
    this.count = count;
    this.headers = headers;
  }
}

/** The status of each code that a caller can act on. Codes that are not listed here are internal errors: 500. */
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

/** Seconds after which a caller may try again when a queue is full or a backend is unavailable. */
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

/** The flow was changed after the caller read it. */
export function preconditionFailed(): HttpError {
  const message = "If-Match: the flow was changed since it was read";
  return new HttpError(412, [{ code: "conflict", message, field: "if-match" }]);
}

/**
 * The response to an error that a caller can act on; undefined for any other. `hidden`: the error's own message may
 * describe the backend and belongs in the log, not in the response.
 */
export function httpErrorOf(error: unknown): { readonly error: HttpError; readonly hidden: boolean } | undefined {
  if (error instanceof HttpError) return { error, hidden: false };
  if (!isPoundlockError(error)) return undefined;
  const status = statuses[error.code];
  if (status === undefined) return undefined;
  const hidden = status >= 500;
  const problems = hidden
    ? [{ code: error.code, message: "The service is temporarily unavailable: try again later" }]
    : problemsOf(error);
  return { error: new HttpError(status, problems, headersOf[status]), hidden };
}

function problemsOf(error: PoundlockError): readonly Problem[] {
  // By their members, not their classes: the ESM and CommonJS copies of a class differ.
  const { code, message, issues, field } = error as PoundlockError & {
    readonly issues?: readonly FlowIssue[];
    readonly field?: string;
  };
  if (issues !== undefined)
    return issues.map(({ field: at, ...issue }) => (at === "" ? issue : { ...issue, field: at }));
  return [{ code, message, ...(field === undefined ? {} : { field }) }];
}

/** Problems that are listed in one response. */
const maxProblems = 100;
/** Bytes of one response, less what the last entry and the brackets need. */
const maxBytes = 2 ** 16 - 500;
const maxMessage = 2_000;
const maxField = 300;

/** The reply to a request that is refused: at most 100 problems and 64 KB, and how many more there are. */
export function errorReply({ status, problems, count, headers }: HttpError): Reply {
  const listed: string[] = [];
  let bytes = 0;
  for (const problem of problems.slice(0, maxProblems)) {
    const text = JSON.stringify(shortened(problem));
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > maxBytes) break;
    listed.push(text);
  }
  const [first] = problems;
  const omitted = count - listed.length;
  if (omitted > 0) listed.push(JSON.stringify({ code: first?.code, message: `and ${omitted} more` }));
  return jsonString(status, `{"errors":[${listed.join()}]}`, headers);
}

function shortened({ code, message, field }: Problem): Problem {
  const shown = { code, message: shorten(message, maxMessage) };
  return field === undefined ? shown : { ...shown, field: shorten(field, maxField) };
}

function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/** The response to an internal error; `errorId` identifies its line in the log. */
export function unexpectedError(errorId?: string): HttpError {
  const message = errorId === undefined ? "Unexpected error" : `Unexpected error ${errorId}`;
  return new HttpError(500, [{ code: "unexpected", message }]);
}
