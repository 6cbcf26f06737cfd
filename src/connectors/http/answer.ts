import { reject, retryLater, stop } from "../../errors.ts";
import { messageOf, storableText } from "../../model/message.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import { type IntegerReading, mayHaveLargeIntegers, parseJson } from "../../model/record/json-integers.ts";
import type { BodyStream } from "./transport.ts";
import { durationText } from "./waiting.ts";

/**
 * Why a request failed. `notSent`: certainly not applied, and may go later. `refused`: not sent, and as the connection
 * is configured it never will be. `invalid`: the request itself cannot be made. `interrupted`: it was sent, and there
 * is no whole answer. `aborted`: the same, since the caller gave up. `answered`: the answer's status or body says so.
 */
export type HttpErrorKind = "notSent" | "refused" | "invalid" | "interrupted" | "aborted" | "answered";

/** What request an error is about. */
export interface RequestName {
  readonly method: string;
  readonly url: URL;
}

/** What an {@link HttpError} may have beside. */
interface HttpErrorDetails {
  readonly status?: number;
  /** The code of the error that is the reason. */
  readonly code?: string | undefined;
  /** Milliseconds to wait before the next request. */
  readonly afterMs?: number | undefined;
}

/** A request that failed. Says its method, origin and path, and never its query or headers. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly kind: HttpErrorKind;
  /** `ECONNREFUSED`, say, or `http_422`. */
  readonly code: string;
  readonly method: string;
  /** Origin and path. */
  readonly url: string;
  /** Of the answer, if there is one. */
  readonly status: number | undefined;
  readonly afterMs: number | undefined;

  constructor(kind: HttpErrorKind, problem: string, { method, url }: RequestName, details: HttpErrorDetails = {}) {
    const place = url.origin + url.pathname;
    super(`${method} ${place} ${problem}`);
    this.kind = kind;
    this.code = details.code ?? (details.status === undefined ? `http_${kind}` : `http_${details.status}`);
    this.method = method;
    this.url = place;
    this.status = details.status;
    this.afterMs = details.afterMs;
  }
}

/** What a `verdict` may say of an answer; undefined leaves it to the outcomes table. */
export type Verdict = "ok" | "retryLater" | "reject" | "stop" | Error | undefined;

/** The outcome of a request, as far as it concerns its sender. */
export type Fate = "ok" | "retryLater" | "reject" | "stop" | "unknown" | "error";

/** An answer, whatever its status. */
export class Answer<B = unknown> {
  readonly status: number;
  readonly headers: Headers;
  /** The body; of a status of 300 or more at most its first 64 KiB. */
  readonly text: string;
  readonly method: string;
  /** Milliseconds that the server asks to wait. */
  readonly waitMs: number | undefined;
  /** The body of a success, if it was asked for piece by piece; `text` is empty then. */
  readonly stream: BodyStream | undefined;
  readonly #giveUpAfterMs: number;
  readonly #credentialNames: readonly string[];
  readonly #request: RequestName;
  readonly #misreadAs: string | undefined;
  readonly #parse: (text: string, headers: Headers) => unknown;
  readonly #scrub: (text: string) => string;
  #body: { readonly value: unknown } | undefined;

  constructor(content: AnswerContent) {
    const { status, headers, text, request, waitMs, giveUpAfterMs, credentialNames, parse, scrub } = content;
    this.status = status;
    this.headers = headers;
    this.text = text;
    this.method = request.method;
    this.waitMs = waitMs;
    this.stream = content.stream;
    this.#giveUpAfterMs = giveUpAfterMs;
    this.#credentialNames = credentialNames;
    this.#request = request;
    this.#misreadAs = content.misreadAs;
    this.#parse = parse;
    this.#scrub = scrub;
  }

  /** Origin and path of what was asked for last. */
  get url(): string {
    return this.#request.url.origin + this.#request.url.pathname;
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** Whether the server asks to wait for longer than `giveUpAfterMs`. */
  get waitsTooLong(): boolean {
    return (this.waitMs ?? 0) > this.#giveUpAfterMs;
  }

  /** What `parse` makes of the text; undefined if it is empty, not of its encoding, or cannot be parsed. */
  get body(): B | undefined {
    try {
      return this.parsed();
    } catch {
      return undefined;
    }
  }

  /** What {@link body} is, for an answer that has to have one. @throws HttpError if it is not of its encoding, or cannot be parsed. */
  parsed(): B | undefined {
    if (this.text === "") return undefined;
    if (this.#misreadAs !== undefined)
      throw this.unexpected(`a body that is not ${this.#misreadAs}: ${this.excerpt()}`);
    try {
      this.#body ??= { value: this.#parse(this.text, this.headers) };
    } catch (error) {
      throw this.unexpected(`a body that cannot be parsed (${this.#scrub(shortMessage(error))}): ${this.excerpt()}`);
    }
    return this.#body.value as B;
  }

  /** Where the answer came from, for links in it that are relative; without credentials. */
  get source(): URL {
    return this.#request.url;
  }

  /** A link without what the credentials add to each query: some APIs quote it in their links. */
  linkWithoutCredentials(link: string): string {
    if (this.#credentialNames.length === 0 || !URL.canParse(link)) return link;
    const url = new URL(link);
    for (const name of this.#credentialNames) url.searchParams.delete(name);
    return url.href;
  }

  /** The status, and the beginning of the body. */
  failure(): HttpError {
    const excerpt = this.excerpt();
    const wait = `the server asks to wait ${durationText(this.waitMs ?? 0)}, longer than giveUpAfterMs`;
    const words = [...(this.waitsTooLong ? [wait] : []), ...(excerpt === "" ? [] : [excerpt])];
    const problem = [`answered ${this.status}`, ...words].join(": ");
    return new HttpError("answered", problem, this.#request, { status: this.status, afterMs: this.waitMs });
  }

  /** An answer that is not what was expected. */
  unexpected(problem: string): HttpError {
    return new HttpError("answered", `answered ${this.status} with ${problem}`, this.#request, { status: this.status });
  }

  /** The first 500 characters of the body, without what was secret in the request. */
  excerpt(): string {
    return storableText(this.#scrub(this.text.slice(0, 4_000)).replace(/\s+/g, " ").trim(), 500);
  }
}

/** What an {@link Answer} is made of. */
export interface AnswerContent {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The encoding that the body should be in, if it is not. */
  readonly misreadAs: string | undefined;
  readonly request: RequestName;
  readonly waitMs: number | undefined;
  readonly stream: BodyStream | undefined;
  readonly giveUpAfterMs: number;
  /** Names that the credentials have in the query. */
  readonly credentialNames: readonly string[];
  readonly parse: (text: string, headers: Headers) => unknown;
  /** Takes out what was secret in the request. */
  readonly scrub: (text: string) => string;
}

/** The value of a body. @throws SyntaxError if it is no JSON; RangeError if it has integers that are refused. */
export function readJson(text: string, integers: IntegerReading): unknown {
  if (!mayHaveLargeIntegers(text)) return JSON.parse(text);
  const parsed = parseJson(text, integers);
  if (parsed.unread === undefined) return parsed.value;
  const place = parsed.unread[0]?.place ?? "";
  throw new RangeError(`set integers: a number would change the digits of ${place === "" ? "it" : place}`);
}

function shortMessage(error: unknown): string {
  return error instanceof Error ? storableText(error.message, 100) : "not as expected";
}

const notNow = [408, 423, 425, 429, 503];
const configuration = [402, 403, 405, 407, 415, 501];

/** The part of an answer that its meaning is read from. */
type AnswerHead = Pick<Answer, "status" | "waitMs" | "waitsTooLong">;

/** What an answer's status means to an export. */
export function readFate({ status, waitMs, waitsTooLong }: AnswerHead): Fate {
  if (status >= 200 && status < 300) return "ok";
  const isPassing = notNow.includes(status) || (status === 403 && waitMs !== undefined);
  if (isPassing || (status >= 500 && !configuration.includes(status))) return waitsTooLong ? "error" : "retryLater";
  return "error";
}

/** What an answer's status means to an import; `keyed`: the request carried an idempotency key. */
export function writeFate({ status, waitMs, waitsTooLong }: AnswerHead, keyed = false): Fate {
  if (status >= 200 && status < 300) return "ok";
  if (status < 400 || status === 401) return "stop";
  const isGoingOn = status === 409 && keyed;
  if (isGoingOn || notNow.includes(status) || (status === 403 && waitMs !== undefined))
    return waitsTooLong ? "stop" : "retryLater";
  if (configuration.includes(status)) return "stop";
  return status < 500 ? "reject" : "unknown";
}

/** What is thrown for an answer, unless it is a success. */
export interface Judgement {
  readonly fate: Fate;
  /** Undefined if the fate is `ok`. */
  readonly error: Error | undefined;
}

/** What an answer means, after a `verdict` of the host's was asked. */
export function judge<B>(
  answer: Answer<B>,
  direction: Direction,
  {
    verdict,
    keyed,
  }: { readonly verdict?: ((answer: Answer<B>) => Verdict) | undefined; readonly keyed?: boolean } = {},
): Judgement {
  const own = verdict?.(answer);
  if (own instanceof Error) return { fate: fateOf(own, direction), error: own };
  let fate: Fate = own ?? (direction === "read" ? readFate(answer) : writeFate(answer, keyed));
  if (fate === "retryLater" && answer.waitsTooLong) fate = "stop";
  if (direction === "read" && (fate === "reject" || fate === "stop")) fate = "error";
  return { fate, error: fate === "ok" ? undefined : answer.failure() };
}

/** What the host's `check` makes of an answer whose status is a success. */
export function judgeBody<B>(answer: Answer<B>, direction: Direction, check: BodyCheck<B> | undefined): Judgement {
  const verdict = check?.(answer.parsed() as B, answer.headers) ?? undefined;
  return judge(answer, direction, { verdict: () => verdict });
}

/** Looks at the body of an answer whose status is a success; it may throw instead of returning an error. */
export type BodyCheck<B> = (body: B, headers: Headers) => Verdict | void;

/** Whose request it is: an export's, or an import's. */
export type Direction = "read" | "write";

const failureFates = {
  read: { notSent: "retryLater", refused: "error", invalid: "error", interrupted: "retryLater", aborted: "error" },
  write: { notSent: "retryLater", refused: "stop", invalid: "reject", interrupted: "unknown", aborted: "unknown" },
} as const;

/** What an error means: to an export, or to an import. */
export function fateOf(error: unknown, direction: Direction): Fate {
  const outcome = outcomeOf(error);
  if (outcome?.kind === "retryLater") return "retryLater";
  if (outcome?.kind === "reject" || outcome?.kind === "stop") return direction === "read" ? "error" : outcome.kind;
  if (error instanceof HttpError && error.kind !== "answered") return failureFates[direction][error.kind];
  return direction === "read" ? "error" : "unknown";
}

/** The error to be thrown for it. What carries an outcome already stays as it is. */
export function thrownAs(fate: Fate, error: unknown): unknown {
  if (outcomeOf(error) !== undefined) return error;
  const { afterMs } = error as { readonly afterMs?: number };
  if (fate === "retryLater") return retryLater(error, afterMs === undefined ? {} : { afterMs });
  if (fate === "reject") return reject(error);
  return fate === "stop" ? stop(error) : error;
}

/** A request that was not sent, or was but has no answer, since the caller gave up. */
export function givenUp(kind: "notSent" | "aborted", request: RequestName, signal: AbortSignal): HttpError {
  return new HttpError(kind, `was given up: ${messageOf(signal.reason)}`, request, { code: "http_aborted" });
}

/** A request that has to wait for others, or for the whole connection. */
export function pausedError(error: unknown, request: RequestName, now: number): HttpError {
  const outcome = outcomeOf(error);
  const asked = outcome?.kind === "retryLater" ? outcome.afterMs : undefined;
  const afterMs = asked instanceof Date ? Math.max(0, asked.getTime() - now) : asked;
  return new HttpError("notSent", `was not sent: ${messageOf(error)}`, request, { code: "http_paused", afterMs });
}

/** A request for which there are no credentials. */
export function credentialsError(error: unknown, request: RequestName): HttpError {
  const outcome = outcomeOf(error);
  const words = `was not sent for lack of credentials: ${messageOf(error)}`;
  if (outcome?.kind !== "retryLater") return new HttpError("refused", words, request, { code: "http_credentials" });
  const afterMs = typeof outcome.afterMs === "number" ? outcome.afterMs : undefined;
  return new HttpError("notSent", words, request, { afterMs });
}
