import { setMaxListeners } from "node:events";
import { type Clock, isAborted } from "../../clock.ts";
import { HttpError, type HttpErrorKind, type RequestName, givenUp } from "./answer.ts";
import type { PreparedRequest } from "./request.ts";
import { durationText } from "./waiting.ts";

/** `fetch`, or a function of the host's that does the same. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** What is read of an answer that is no success: enough for a message. */
const failureBytes = 65_536;

/** How requests are sent. */
export interface TransportOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/** The head of an answer, and its body. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The encoding that the body should be in, if it is not: then `text` has U+FFFD where it differs. */
  readonly misreadAs?: string;
  /** The body of a success that was asked for piece by piece, in place of `text`. */
  readonly stream?: BodyStream;
}

/**
 * Sends one request. With `onEnd` a success has a `stream`, and `onEnd` is called once that has ended.
 *
 * @throws HttpError if there is no whole answer.
 */
export async function transport(
  request: PreparedRequest,
  options: TransportOptions,
  signal: AbortSignal,
  onEnd?: () => void,
): Promise<RawAnswer> {
  const watch = new Watch(request, options, signal);
  let stream: BodyStream | undefined;
  try {
    const response = await watch.open();
    const { status, headers } = response;
    if (onEnd !== undefined && status >= 200 && status < 300) {
      stream = new BodyStream(response, watch, onEnd);
      return { status, headers, text: "", stream };
    }
    return { status, headers, ...(await readText(response, watch, status < 300 ? options.maxBytes : failureBytes)) };
  } catch (error) {
    throw watch.errorOf(error);
  } finally {
    if (stream === undefined) watch.end();
  }
}

/** A body, piece by piece. The timeout counts only while a piece is awaited: the reader may take any time in between. */
export class BodyStream {
  readonly #reader: BodyReader;
  readonly #watch: Watch;
  readonly #onEnd: () => void;

  constructor(response: Response, watch: Watch, onEnd: () => void) {
    this.#reader = new BodyReader(response);
    this.#watch = watch;
    this.#onEnd = onEnd;
    watch.suspend();
  }

  /** Undefined at the end. @throws HttpError if it breaks off. */
  async next(): Promise<Uint8Array | undefined> {
    this.#watch.restart();
    try {
      const chunk = await this.#reader.next();
      this.#watch.suspend();
      if (chunk !== undefined) return chunk;
    } catch (error) {
      this.#end();
      throw this.#watch.errorOf(error);
    }
    this.#end();
    return undefined;
  }

  /** Reads no further. */
  cancel(): void {
    this.#end();
    this.#watch.cancel();
    this.#reader.cancel();
  }

  #end(): void {
    this.#watch.end();
    this.#onEnd();
  }
}

/** One request under way, until it has its answer, takes too long, or is given up. */
export class Watch {
  readonly request: PreparedRequest;
  readonly #options: TransportOptions;
  readonly #signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #abort = () => this.#controller.abort(this.#signal.reason);
  #cancelTimer: () => void = () => undefined;
  #timedOut = false;

  constructor(request: PreparedRequest, options: TransportOptions, signal: AbortSignal) {
    this.request = request;
    this.#options = options;
    this.#signal = signal;
    // As many requests as the caller likes may listen to one signal.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", this.#abort);
    if (signal.aborted) this.#abort();
    this.restart();
  }

  /** The time it may take begins anew. */
  restart(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.setTimer(() => {
      this.#timedOut = true;
      this.#controller.abort();
    }, this.#options.timeoutMs);
  }

  /** Nothing is waited for now. */
  suspend(): void {
    this.#cancelTimer();
  }

  /** Lets go of the connection, whatever is still to come. */
  cancel(): void {
    this.#controller.abort();
  }

  /** Resolves with the head of the answer. */
  open(): Promise<Response> {
    const { method, headers, body, url } = this.request;
    const { signal } = this.#controller;
    const init: RequestInit = { method, headers, redirect: "manual", signal };
    return this.#options.fetch(url, body === undefined ? init : { ...init, body });
  }

  end(): void {
    this.#cancelTimer();
    this.#signal.removeEventListener("abort", this.#abort);
  }

  /** What an error of `fetch`, or of reading the body, means. */
  errorOf(error: unknown): Error {
    if (error instanceof HttpError) return error;
    if (isAborted(this.#signal)) return givenUp("aborted", this.request, this.#signal);
    if (this.#timedOut) {
      const problem = `was sent, and has no whole answer within ${durationText(this.#options.timeoutMs)}`;
      return new HttpError("interrupted", problem, this.request, { code: "http_timeout" });
    }
    return networkError(error, this.request);
  }
}

const neverSent = new Set(
  "ECONNREFUSED ENOTFOUND EAI_AGAIN ENETUNREACH EHOSTUNREACH EHOSTDOWN ENETDOWN UND_ERR_CONNECT_TIMEOUT".split(" "),
);
const tls = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS|ERR_SSL|^EPROTO$|HOSTNAME_MISMATCH/;
const unusable = /^ERR_INVALID_URL$|^ERR_ADDRESS_NOT_PUBLIC$/;

/** What an error of `fetch` says by the codes of it and its causes. */
function networkError(error: unknown, request: RequestName): HttpError {
  const links = chainOf(error);
  const codes = links.flatMap(({ code }) => (typeof code === "string" ? [code] : []));
  const isForbidden = links.some(isRefusal);
  const connects = links.some(({ syscall }) => syscall === "connect" || syscall === "getaddrinfo");
  let kind: HttpErrorKind = "interrupted";
  if (isForbidden || codes.some((code) => tls.test(code) || unusable.test(code))) kind = "refused";
  else if (connects || codes.some((code) => neverSent.has(code))) kind = "notSent";
  const words = kind === "interrupted" ? "was sent, and has no whole answer" : "was not sent";
  const [code = kind === "interrupted" ? "http_interrupted" : undefined] = codes;
  return new HttpError(kind, `${words}: ${reasonOf(links, codes)}`, request, { code });
}

// What the platform's fetch itself refuses has no code: a port that is no web server's, and the status 407.
function isRefusal({ name, code, message }: ErrorLink, index: number): boolean {
  if (message === "bad port" || message === "proxy authentication required") return true;
  return index > 0 && name === "Error" && message === "" && code === undefined;
}

interface ErrorLink {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly syscall?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

/** The error, its causes, and the errors they aggregate: a host with two addresses is refused twice. */
function chainOf(error: unknown): readonly ErrorLink[] {
  const links: ErrorLink[] = [];
  const waiting = [error];
  while (waiting.length > 0 && links.length < 20) {
    const next = waiting.shift();
    if (typeof next !== "object" || next === null) continue;
    const link = next as ErrorLink;
    links.push(link);
    waiting.push(link.cause);
    if (Array.isArray(link.errors)) waiting.push(...(link.errors as readonly unknown[]).slice(0, 5));
  }
  return links;
}

// Messages of connections name addresses and reasons; others may quote headers, so only their codes are shown.
function reasonOf(links: readonly ErrorLink[], codes: readonly string[]): string {
  const named = links.findLast(({ code, syscall }) => code !== undefined || syscall !== undefined);
  if (typeof named?.message === "string" && named.message !== "" && typeof named.code === "string")
    return named.message.includes(named.code) ? named.message : `${named.code}, ${named.message}`;
  const last = links.at(-1);
  return codes[0] ?? (typeof last?.name === "string" ? last.name : "it failed");
}

type ReadText = Pick<RawAnswer, "text" | "misreadAs">;

/** The body as a string, in the encoding that it says. */
async function readText(response: Response, watch: Watch, maxBytes: number): Promise<ReadText> {
  const { status, headers } = response;
  const isSuccess = status < 300;
  const reader = new BodyReader(response);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) break;
    }
  } catch (error) {
    // What is missing of a failure's body does not change what its status says.
    if (isSuccess) throw error;
  } finally {
    reader.cancel();
  }
  if (size <= maxBytes || !isSuccess) return decode(chunks, headers.get("content-type") ?? "");
  throw new HttpError("answered", `answered ${status} with more than maxBytes, ${maxBytes}`, watch.request, { status });
}

/** A body, as it comes. */
class BodyReader {
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor({ body }: Response) {
    this.#reader = (body as ReadableStream<Uint8Array> | null)?.getReader();
  }

  /** Undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    const result = await this.#reader?.read();
    if (result?.done === false) return result.value;
    this.#reader = undefined;
    return undefined;
  }

  /** Lets go of what is left. Whether that can be canceled makes no difference any more. */
  cancel(): void {
    void this.#reader?.cancel().catch(() => undefined);
    this.#reader = undefined;
  }
}

const utf8 = new TextDecoder();

function decode(chunks: readonly Uint8Array[], contentType: string): ReadText {
  const bytes = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  const decoder = decoderOf(contentType);
  const text = decoder.decode(bytes);
  // The body may have this character itself.
  return text.includes("\uFFFD") && !isIn(decoder.encoding, bytes) ? { text, misreadAs: decoder.encoding } : { text };
}

function isIn(encoding: string, bytes: Uint8Array): boolean {
  try {
    new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function decoderOf(contentType: string): InstanceType<typeof TextDecoder> {
  const [, charset] = /;\s*charset="?([^\s";]+)/i.exec(contentType) ?? [];
  if (charset === undefined || /^utf-?8$/i.test(charset)) return utf8;
  try {
    return new TextDecoder(charset);
  } catch {
    return utf8;
  }
}
