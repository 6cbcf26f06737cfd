import * as oauth from "oauth4webapi";
import { type Clock, systemClock } from "../../../clock.ts";
import { InvalidOptionError, retryLater } from "../../../errors.ts";
import { type Shape, callable, duration, objectWith, oneOf, string, v, validate } from "../../../model/validate.ts";
import { messageOf } from "../../../model/message.ts";
import { fateOf, thrownAs } from "../answer.ts";
import { type Auth, type Secret, checkSecret, readSecret } from "../auth.ts";
import { withoutSecrets } from "../redaction.ts";
import { type Fetch, transport } from "../transport.ts";
import { askedWaitMs } from "../waiting.ts";
import { MemoryTokens, type TokenStore, type Tokens } from "./token-store.ts";

/** A client of a token server. */
export interface OAuthClient {
  /** https; http only on this computer. */
  readonly tokenUrl: string;
  readonly clientId: string;
  /** @default none: a public client */
  readonly clientSecret?: Secret;
  /** How the client proves what it is: in the header, in the body, or not at all. @default "basic" with a secret, else "none" */
  readonly authentication?: "basic" | "post" | "none";
  /** Separated by spaces. @default what the server gives */
  readonly scope?: string;
  /** More of the token request, such as `audience`. @default none */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Milliseconds before a token expires in which it is renewed already; at most half of its life. @default 60000 */
  readonly earlyMs?: number;
  /** Milliseconds that the token server has; 1 or more. @default 30000 */
  readonly timeoutMs?: number;
  /** @default the platform's */
  readonly fetch?: Fetch;
  /** @default the system's */
  readonly clock?: Clock;
}

/** A client that acts for itself. */
export interface ClientCredentialsOptions extends OAuthClient {
  /** Where the token is kept: one that several processes see makes one request for all of them. @default this process */
  readonly store?: TokenStore;
}

/** A client that acts for somebody. */
export interface RefreshTokenOptions extends OAuthClient {
  /** Where tokens are kept. A server may give another refresh token each time: it is durable before it is used. */
  readonly store: TokenStore;
  /** The first one, while the store has none. @default the store has one */
  readonly refreshToken?: Secret;
}

const clientRules: Shape<OAuthClient> = {
  tokenUrl: string,
  clientId: string,
  clientSecret: v.optional(v.any()),
  authentication: v.optional(oneOf("basic", "post", "none")),
  scope: v.optional(string),
  parameters: v.optional(v.record(v.string(), v.string("strings by their names"), "strings by their names")),
  earlyMs: v.optional(duration),
  timeoutMs: v.optional(v.pipe(duration, v.minValue(1, "a number of milliseconds, 1 or more"))),
  fetch: v.optional(callable),
  clock: v.optional(objectWith(["now", "setTimer"])),
};
const store = objectWith(["load", "update"]);

/**
 * Tokens of the client credentials grant: one request for all that need a token, and another before it expires.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4
 */
export function clientCredentials(options: ClientCredentialsOptions): Auth {
  validate(options, { ...clientRules, store: v.optional(store) }, InvalidOptionError, "clientCredentials.");
  const server = new TokenServer(options, "clientCredentials");
  return new TokenAuth(options.store ?? new MemoryTokens(), options, () => server.clientCredentials());
}

/**
 * Tokens of the refresh token grant: one request for all that need a token, over all processes that share the store.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-6
 */
export function refreshToken(options: RefreshTokenOptions): Auth {
  validate(options, { ...clientRules, store, refreshToken: v.optional(v.any()) }, InvalidOptionError, "refreshToken.");
  if (options.refreshToken !== undefined) checkSecret(options.refreshToken, "refreshToken.refreshToken");
  const server = new TokenServer(options, "refreshToken");
  return new TokenAuth(options.store, options, async (current) => {
    const token = current?.refreshToken ?? (await firstToken(options));
    const tokens = await server.refresh(token);
    // A server that gives no other one goes on with this one.
    return { refreshToken: token, ...tokens };
  });
}

async function firstToken({ refreshToken: first }: RefreshTokenOptions): Promise<string> {
  if (first === undefined)
    throw new InvalidOptionError("refreshToken.store", "a store that has a refresh token, or refreshToken", undefined);
  return readSecret(first, "refreshToken.refreshToken");
}

class TokenAuth implements Auth {
  readonly #store: TokenStore;
  readonly #clock: Clock;
  readonly #earlyMs: number;
  readonly #request: (current: Tokens | undefined) => Promise<Tokens>;
  #tokens: Tokens | undefined;
  #pending: Promise<Tokens> | undefined;

  constructor(
    kept: TokenStore,
    { clock = systemClock, earlyMs = 60_000 }: OAuthClient,
    request: (current: Tokens | undefined) => Promise<Tokens>,
  ) {
    this.#store = kept;
    this.#clock = clock;
    this.#earlyMs = earlyMs;
    this.#request = request;
  }

  async apply({ headers }: { readonly headers: Headers }): Promise<void> {
    const tokens = this.#isFresh(this.#tokens) ? this.#tokens : await this.#once(() => this.#fresh());
    headers.set("authorization", `Bearer ${String(tokens?.accessToken)}`);
  }

  /** The token that was applied last was refused. */
  async renew(): Promise<void> {
    const refused = this.#tokens?.accessToken;
    await this.#once(() => this.#update(refused));
  }

  // Whoever comes while tokens are on their way waits for the same ones.
  #once(work: () => Promise<Tokens>): Promise<Tokens> {
    this.#pending ??= work()
      .then((tokens) => (this.#tokens = tokens))
      .finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  async #fresh(): Promise<Tokens> {
    const kept = await this.#store.load();
    return kept !== undefined && this.#isFresh(kept) ? kept : this.#update(undefined);
  }

  // Another process may have been there first.
  #update(refused: string | undefined): Promise<Tokens> {
    return this.#store.update(async (current) => {
      const isRight = current !== undefined && current.accessToken !== refused && this.#isFresh(current);
      return isRight ? current : this.#request(current);
    });
  }

  #isFresh(tokens: Tokens | undefined): boolean {
    if (tokens?.accessToken === undefined) return false;
    const { expiresAt, lifetimeMs = Infinity } = tokens;
    return expiresAt === undefined || this.#clock.now() < expiresAt - Math.min(this.#earlyMs, lifetimeMs / 2);
  }
}

/** Requests to a token server. */
class TokenServer {
  readonly #options: OAuthClient;
  readonly #name: string;
  readonly #url: URL;
  readonly #clock: Clock;

  constructor(options: OAuthClient, name: string) {
    this.#options = options;
    this.#name = name;
    this.#url = tokenUrlOf(options.tokenUrl, name);
    this.#clock = options.clock ?? systemClock;
    if (options.clientSecret !== undefined) checkSecret(options.clientSecret, `${name}.clientSecret`);
    if (options.clientSecret === undefined && (options.authentication ?? "none") !== "none")
      throw new InvalidOptionError(`${name}.clientSecret`, "a secret, for this authentication", undefined);
  }

  clientCredentials(): Promise<Tokens> {
    return this.#request(async (request) =>
      oauth.processClientCredentialsResponse(
        request.server,
        request.client,
        await oauth.clientCredentialsGrantRequest(
          ...[request.server, request.client, request.authentication],
          ...[this.#parameters(), request.options],
        ),
      ),
    );
  }

  refresh(token: string): Promise<Tokens> {
    return this.#request(
      async (request) =>
        oauth.processRefreshTokenResponse(
          request.server,
          request.client,
          await oauth.refreshTokenGrantRequest(request.server, request.client, request.authentication, token, {
            ...request.options,
            additionalParameters: this.#parameters(),
          }),
        ),
      token,
    );
  }

  #parameters(): URLSearchParams {
    const { parameters = {}, scope } = this.#options;
    return new URLSearchParams({ ...parameters, ...(scope === undefined ? {} : { scope }) });
  }

  /** @throws `retryLater` if the server is not there, or busy; any other error if it refuses the client. */
  async #request(
    send: (request: TokenRequest) => Promise<oauth.TokenEndpointResponse>,
    ...secrets: readonly string[]
  ): Promise<Tokens> {
    const { clientSecret } = this.#options;
    const secret =
      clientSecret === undefined ? undefined : await readSecret(clientSecret, `${this.#name}.clientSecret`);
    const startedAt = this.#clock.now();
    try {
      return tokensOf(await send(this.#tokenRequest(secret)), startedAt);
    } catch (error) {
      throw this.#classified(error, secret === undefined ? secrets : [...secrets, secret]);
    }
  }

  #tokenRequest(secret: string | undefined): TokenRequest {
    const { clientId, authentication = secret === undefined ? "none" : "basic" } = this.#options;
    const { href, origin, protocol } = this.#url;
    return {
      server: { issuer: origin, token_endpoint: href },
      client: { client_id: clientId },
      authentication: authenticationOf(authentication, secret ?? ""),
      options: {
        [oauth.customFetch]: (url, init) => this.#fetch(url, init),
        // eslint-disable-next-line @typescript-eslint/no-deprecated -- for servers of this computer, as tests have them
        [oauth.allowInsecureRequests]: protocol === "http:",
      },
    };
  }

  async #fetch(url: string, init: oauth.CustomFetchOptions<"POST", URLSearchParams>): Promise<Response> {
    const { fetch = platformFetch, timeoutMs = 30_000 } = this.#options;
    const request = { method: init.method, url: new URL(url), headers: new Headers(init.headers), body: init.body };
    const never = new AbortController().signal;
    const transportOptions = { fetch, clock: this.#clock, timeoutMs, maxBytes: 1_048_576 };
    const { status, headers, text } = await transport(request, transportOptions, never);
    if (status === 408 || status === 429 || status >= 500) {
      const afterMs = askedWaitMs(status, headers, this.#clock.now());
      throw retryLater(`the token server answered ${status}`, afterMs === undefined ? {} : { afterMs });
    }
    return new Response(text === "" ? null : withoutIdToken(text), {
      status,
      headers: { "content-type": contentType(headers) },
    });
  }

  #classified(error: unknown, secrets: readonly string[]): Error {
    const fate = fateOf(error, "read");
    if (fate === "retryLater") return thrownAs(fate, error) as Error;
    return new Error(withoutSecrets(`${this.#url.origin}: ${refusalIn(error) ?? messageOf(error)}`, secrets));
  }
}

interface TokenRequest {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  readonly authentication: oauth.ClientAuth;
  readonly options: oauth.TokenEndpointRequestOptions;
}

const platformFetch: Fetch = (url, init) => fetch(url, init);

function tokenUrlOf(tokenUrl: string, name: string): URL {
  const url = URL.canParse(tokenUrl) ? new URL(tokenUrl) : undefined;
  const isLocal = url?.protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url === undefined || (url.protocol !== "https:" && !isLocal))
    throw new InvalidOptionError(`${name}.tokenUrl`, "an https URL", tokenUrl);
  return url;
}

function authenticationOf(kind: NonNullable<OAuthClient["authentication"]>, secret: string): oauth.ClientAuth {
  if (kind === "none") return oauth.None();
  return kind === "basic" ? oauth.ClientSecretBasic(secret) : oauth.ClientSecretPost(secret);
}

function tokensOf(response: oauth.TokenEndpointResponse, startedAt: number): Tokens {
  const { access_token: accessToken, expires_in: seconds, refresh_token: next } = response;
  const times = seconds === undefined ? {} : { expiresAt: startedAt + seconds * 1_000, lifetimeMs: seconds * 1_000 };
  return { accessToken, ...(next === undefined ? {} : { refreshToken: next }), ...times };
}

// Whom the token is about is of no interest here, and servers differ in what they sign.
function withoutIdToken(text: string): string {
  try {
    const { id_token: _, ...rest } = JSON.parse(text) as { readonly id_token?: unknown };
    return JSON.stringify(rest);
  } catch {
    return text;
  }
}

function contentType(headers: Headers): string {
  return headers.get("content-type") ?? "application/json";
}

/** What the server says of a client that it refuses. @see https://www.rfc-editor.org/rfc/rfc6749#section-5.2 */
function refusalIn(error: unknown): string | undefined {
  if (!(error instanceof oauth.ResponseBodyError)) return undefined;
  const { error: code, error_description: description, status } = error;
  return `the token server answered ${status}: ${code}${description === undefined ? "" : ` (${description})`}`;
}
