import { type Clock, delay, isAborted, systemClock } from "../../clock.ts";
import { InvalidOptionError } from "../../errors.ts";
import { type Shape, callable, duration, objectWith, v, validate, wholeNumber } from "../../model/validate.ts";
import {
  Answer,
  type Direction,
  type Fate,
  HttpError,
  type RequestName,
  credentialsError,
  fateOf,
  givenUp,
  judge,
  pausedError,
  readFate,
  thrownAs,
} from "./answer.ts";
import type { Auth } from "./auth.ts";
import { type LimitOptions, type Limits, localLimits } from "./limits.ts";
import { namesAdded, redact, withoutCredentials } from "./redaction.ts";
import { Endpoint, type HttpRequest, type PreparedRequest } from "./request.ts";
import { type BodyStream, type Fetch, type RawAnswer, type TransportOptions, transport } from "./transport.ts";
import { askedWaitMs } from "./waiting.ts";

/** How an API is reached. One connection for everything that reaches the same account: its limits are theirs together. */
export interface ConnectionOptions {
  /** http or https, without credentials, query and fragment. Paths come after it. */
  readonly baseUrl: string;
  /** Whose requests these are. @default none */
  readonly auth?: Auth;
  /** Sent with each request to `baseUrl`'s origin. @default none */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Of all requests of this connection in this process, or a port for several processes. @default 8 requests at once */
  readonly limits?: LimitOptions | Limits;
  /** Milliseconds from sending a request to its whole answer; 1 or more. @default 60000 */
  readonly timeoutMs?: number;
  /** How often a request that only reads is sent at most, the first time included; 1 or more. Writes go once. @default 3 */
  readonly attempts?: number;
  /** Other origins that pages and redirects may lead to; they get no credentials and no `headers`. @default none */
  readonly origins?: readonly string[];
  /** Milliseconds: a server that asks to wait for longer is not waited for. @default 86400000 */
  readonly giveUpAfterMs?: number;
  /** Bytes of one answer, unpacked; 1 or more. @default 67108864 */
  readonly maxBytes?: number;
  /** How long an answer asks to wait, in milliseconds or until a date; undefined: what its headers say. @default by its headers */
  readonly waitOf?: (answer: { readonly status: number; readonly headers: Headers }) => number | Date | undefined;
  /** @default the platform's */
  readonly fetch?: Fetch;
  /** @default the system's */
  readonly clock?: Clock;
}

/** An API, for exports, imports and code of the host's own. */
export interface Connection {
  /**
   * The body of a request that changes nothing at the server, whatever its method: sent up to `attempts` times. Throws
   * what an export may throw: `retryLater`, or an error.
   */
  read<B = unknown>(request: HttpRequest, signal?: AbortSignal): Promise<B>;
  /**
   * The body of a request that changes something: sent once. Throws what an import may throw: `retryLater`, `reject`,
   * `stop`, or an error that means that the outcome is unknown.
   */
  send<B = unknown>(request: HttpRequest, signal?: AbortSignal): Promise<B>;
  /** The answer, whatever its status. Throws if there is none, as `read` or `send` do. */
  exchange<B = unknown>(request: HttpRequest, how?: ExchangeOptions<B>): Promise<Answer<B>>;
}

/** How one request is sent. */
export interface ExchangeOptions<B = unknown> {
  readonly signal?: AbortSignal | undefined;
  /** Whether the request changes nothing: then it is sent again when that may help. @default "write" */
  readonly direction?: "read" | "write";
  /** What the text is parsed with. @default JSON.parse */
  readonly parse?: ((text: string, headers: Headers) => B) | undefined;
  /** What an answer means; decides whether a request is sent again. @default the outcomes table */
  readonly fateOf?: ((answer: Answer<B>) => Fate) | undefined;
  /** True: the body of a success is read piece by piece, from `stream`, which has to be read or canceled. @default false */
  readonly streams?: boolean | undefined;
  /** Names of more headers that may go to any origin, in lower case. @default those that say nothing about the caller */
  readonly plainHeaders?: readonly string[] | undefined;
}

const rules: Shape<ConnectionOptions> = {
  baseUrl: v.any(),
  auth: v.optional(objectWith(["apply"])),
  headers: v.optional(v.record(v.string(), v.optional(v.string("strings by their names")), "strings by their names")),
  limits: v.optional(v.looseObject({}, "an object with concurrency, or a Limits")),
  timeoutMs: v.optional(v.pipe(duration, v.minValue(1, "a number of milliseconds, 1 or more"))),
  attempts: v.optional(wholeNumber(1)),
  origins: v.optional(v.array(v.any(), "an array of origins")),
  giveUpAfterMs: v.optional(duration),
  maxBytes: v.optional(wholeNumber(1)),
  waitOf: v.optional(callable),
  fetch: v.optional(callable),
  clock: v.optional(objectWith(["now", "setTimer"])),
};

/** @throws `invalid_option` for an option that is missing or out of range. */
export function connection(options: ConnectionOptions): Connection {
  validate(options, rules, InvalidOptionError, "connection.");
  const to = new HttpConnection(options);
  return {
    read: (request, signal) => to.body(request, "read", signal),
    send: (request, signal) => to.body(request, "write", signal),
    exchange: (request, how) => to.exchange(request, how),
  };
}

/** Redirects that are followed. */
const mostRedirects = 5;
const redirects = { read: [301, 302, 303, 307, 308], write: [307, 308] };
/** The first wait of a request that is sent again, doubled each time, and the longest one, in milliseconds. */
const firstDelayMs = 500;
const longestDelayMs = 10_000;

class HttpConnection {
  readonly #options: ConnectionOptions;
  readonly #endpoint: Endpoint;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #transport: TransportOptions;
  readonly #giveUpAfterMs: number;
  /** Counts renewals of the credentials, so that an answer 401 to each of fifty requests renews them once. */
  #generation = 0;
  #renewal: Promise<void> | undefined;

  constructor(options: ConnectionOptions) {
    const { baseUrl, clock = systemClock, fetch = platformFetch, giveUpAfterMs = 86_400_000, limits } = options;
    const { timeoutMs = 60_000, maxBytes = 67_108_864 } = options;
    this.#options = options;
    this.#endpoint = new Endpoint(baseUrl, options.origins);
    this.#limits = limits !== undefined && "enter" in limits ? limits : localLimits(limits, clock);
    this.#clock = clock;
    this.#transport = { fetch, clock, timeoutMs, maxBytes };
    this.#giveUpAfterMs = giveUpAfterMs;
  }

  async body<B>(request: HttpRequest, direction: Direction, signal?: AbortSignal): Promise<B> {
    const answer = await this.exchange<B>(request, { direction, signal });
    const { fate, error } = judge(answer, direction);
    if (error !== undefined) throw thrownAs(fate, error);
    return answer.parsed() as B;
  }

  async exchange<B>(request: HttpRequest, how: ExchangeOptions<B> = {}): Promise<Answer<B>> {
    const { direction = "write", signal = new AbortController().signal } = how;
    const attempts = direction === "read" ? (this.#options.attempts ?? 3) : 1;
    for (let attempt = 1; ; attempt++) {
      let waitMs = 0;
      try {
        const answer = await this.#follow<B>(request, how, signal);
        if (attempt >= attempts || !isWorthAnother(answer, how)) return answer;
        waitMs = answer.waitMs ?? 0;
      } catch (error) {
        if (attempt >= attempts || isAborted(signal) || !isTransient(error))
          throw thrownAs(fateOf(error, direction), error);
      }
      await delay(this.#clock, Math.max(waitMs, jitter(attempt)), signal);
    }
  }

  async #follow<B>(request: HttpRequest, how: ExchangeOptions<B>, signal: AbortSignal): Promise<Answer<B>> {
    let prepared = this.#endpoint.prepare(request, this.#options.headers ?? {});
    for (let followed = 0; ; followed++) {
      if (!this.#endpoint.isHome(prepared.url))
        prepared = { ...prepared, headers: withoutCredentials(prepared.headers, how.plainHeaders) };
      const answer = await this.#authorized<B>(prepared, how, signal);
      const next = this.#redirected(answer, prepared, how.direction ?? "write");
      if (next === undefined) return answer;
      if (followed >= mostRedirects)
        throw new HttpError("refused", `was redirected more than ${mostRedirects} times`, prepared);
      prepared = next;
    }
  }

  /** Where an answer redirects to; undefined if nowhere, or to where this request must not go by itself. */
  #redirected(answer: Answer, request: PreparedRequest, direction: Direction): PreparedRequest | undefined {
    const location = answer.headers.get("location");
    if (location === null || !redirects[direction].includes(answer.status)) return undefined;
    if (!URL.canParse(location, request.url.href)) return undefined;
    const url = new URL(location, request.url);
    if (!this.#endpoint.isAllowed(url))
      throw new HttpError("refused", `was redirected to another origin, ${url.origin}`, request);
    const keepsMethod = answer.status >= 307 || request.method === "GET" || request.method === "HEAD";
    if (keepsMethod) return { ...request, url };
    const headers = new Headers(request.headers);
    headers.delete("content-type");
    return { method: "GET", url, headers, body: undefined };
  }

  /** One request with credentials, and after an answer 401 once more with other ones. */
  async #authorized<B>(request: PreparedRequest, how: ExchangeOptions<B>, signal: AbortSignal): Promise<Answer<B>> {
    const generation = this.#generation;
    const answer = await this.#sendOnce<B>(request, how, signal);
    const { auth } = this.#options;
    if (answer.status !== 401 || auth?.renew === undefined || !this.#endpoint.isHome(request.url)) return answer;
    if (how.fateOf?.(answer) === "ok") return answer;
    if (generation === this.#generation) this.#renewal ??= this.#renew(auth, request);
    await orAborted(this.#renewal, request, signal);
    return this.#sendOnce<B>(request, how, signal);
  }

  // Nobody's signal: all that have the old credentials wait for it.
  async #renew(auth: Auth, request: RequestName): Promise<void> {
    const controller = new AbortController();
    const cancelTimer = this.#clock.setTimer(() => controller.abort(), this.#transport.timeoutMs);
    try {
      await auth.renew?.(controller.signal);
      this.#generation++;
    } catch (error) {
      throw credentialsError(error, request);
    } finally {
      cancelTimer();
      this.#renewal = undefined;
    }
  }

  async #sendOnce<B>(bare: PreparedRequest, how: ExchangeOptions<B>, signal: AbortSignal): Promise<Answer<B>> {
    const leave = await this.#enter(bare, signal);
    let stream: BodyStream | undefined;
    try {
      const request = await this.#withCredentials(bare, signal);
      if (isAborted(signal)) throw givenUp("notSent", request, signal);
      const onEnd = how.streams === true ? leave : undefined;
      const raw = await transport(request, this.#transport, signal, onEnd);
      stream = raw.stream;
      return this.#answerOf(raw, { bare, request, how });
    } catch (error) {
      stream?.cancel();
      throw error;
    } finally {
      if (stream === undefined) leave();
    }
  }

  #answerOf<B>(
    { status, headers, text, misreadAs, stream }: RawAnswer,
    { bare, request, how }: SentRequest<B>,
  ): Answer<B> {
    return new Answer<B>({
      status,
      headers,
      text,
      misreadAs,
      stream,
      request: bare,
      waitMs: this.#waitOf(status, headers),
      giveUpAfterMs: this.#giveUpAfterMs,
      parse: how.parse ?? parseJson,
      credentialNames: request === bare ? none : namesAdded(request.url, bare.url),
      scrub: (quoted) => redact(quoted, request, bare.url),
    });
  }

  async #enter(request: RequestName, signal: AbortSignal): Promise<() => void> {
    try {
      return await this.#limits.enter(signal);
    } catch (error) {
      throw isAborted(signal) ? givenUp("notSent", request, signal) : pausedError(error, request, this.#clock.now());
    }
  }

  /** A copy with credentials, where they may go. */
  async #withCredentials(bare: PreparedRequest, signal: AbortSignal): Promise<PreparedRequest> {
    const { auth } = this.#options;
    if (auth === undefined || !this.#endpoint.isHome(bare.url)) return bare;
    const request = { ...bare, url: new URL(bare.url), headers: new Headers(bare.headers) };
    try {
      await auth.apply(request, signal);
      return request;
    } catch (error) {
      throw isAborted(signal) ? givenUp("notSent", request, signal) : credentialsError(error, request);
    }
  }

  /** How long the server asks to wait; the whole connection does so, unless that is longer than `giveUpAfterMs`. */
  #waitOf(status: number, headers: Headers): number | undefined {
    const now = this.#clock.now();
    const own = this.#options.waitOf?.({ status, headers });
    const asked = own instanceof Date ? own.getTime() - now : (own ?? askedWaitMs(status, headers, now));
    if (asked === undefined || Number.isNaN(asked)) return undefined;
    const waitMs = Math.max(0, asked);
    if (waitMs <= this.#giveUpAfterMs) this.#limits.pause(waitMs);
    return waitMs;
  }
}

const none: readonly string[] = [];

/** A request, before and after its credentials were added: the same one without any. */
interface SentRequest<B> {
  readonly bare: PreparedRequest;
  readonly request: PreparedRequest;
  readonly how: ExchangeOptions<B>;
}

const platformFetch: Fetch = (url, init) => fetch(url, init);

function parseJson(text: string): unknown {
  return JSON.parse(text);
}

function isWorthAnother<B>(answer: Answer<B>, { fateOf: fate = readFate }: ExchangeOptions<B>): boolean {
  return fate(answer) === "retryLater" && (answer.waitMs ?? 0) <= longestDelayMs;
}

// While the connection is paused another attempt is refused as well.
function isTransient(error: unknown): boolean {
  if (!(error instanceof HttpError) || error.code === "http_paused") return false;
  return error.kind === "interrupted" || error.kind === "notSent";
}

/** Resolves as `work` does; rejects when the signal aborts, whatever becomes of it. */
async function orAborted(work: Promise<void> | undefined, request: RequestName, signal: AbortSignal): Promise<void> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(givenUp("notSent", request, signal));
    signal.addEventListener("abort", abort);
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** "Full jitter": anything from nothing to twice as long each time. */
function jitter(attempt: number): number {
  return Math.random() * Math.min(longestDelayMs, firstDelayMs * 2 ** (attempt - 1));
}
