import { createHmac } from "node:crypto";
import { type Clock, systemClock } from "../../clock.ts";
import { InvalidOptionError } from "../../errors.ts";
import { type Shape, callable, oneOf, string, v, validate } from "../../model/validate.ts";
import type { PreparedRequest, RequestBody } from "./request.ts";

/** A secret, or how to get it: read for each request, so that it can change. */
export type Secret = string | (() => string | undefined | Promise<string | undefined>);

/**
 * Proves to a server on whose behalf requests come. What it adds to a request is not sent to any other origin than that
 * of the connection's `baseUrl`, and is taken out of messages.
 */
export interface Auth {
  /**
   * Adds to the headers, or to the query of the URL. `retryLater` thrown here means that the request was not sent and may
   * be later; any other error that the credentials, or the configuration, are wrong.
   */
  apply(request: PreparedRequest, signal: AbortSignal): Promise<void> | void;
  /**
   * Gets other credentials after one request was answered 401: it is sent again. Called once, however many requests had
   * that answer. Without it the answer is final.
   */
  renew?(signal: AbortSignal): Promise<void> | void;
}

/** `authorization: Bearer …`. @throws `invalid_option` for a token that is none. */
export function bearer(token: Secret): Auth {
  checkSecret(token, "bearer.token");
  return {
    async apply({ headers }) {
      setSecret(headers, "authorization", `Bearer ${await readSecret(token, "bearer.token")}`, "bearer.token");
    },
  };
}

/** `authorization: Basic …`, in UTF-8. @throws `invalid_option` for a user with a colon. */
export function basic(user: Secret, password: Secret): Auth {
  checkSecret(user, "basic.user");
  checkSecret(password, "basic.password", true);
  return {
    async apply({ headers }) {
      const name = await readSecret(user, "basic.user");
      if (name.includes(":")) throw new InvalidOptionError("basic.user", "a name without a colon", "one with a colon");
      const pair = `${name}:${await readSecret(password, "basic.password", true)}`;
      headers.set("authorization", `Basic ${Buffer.from(pair).toString("base64")}`);
    },
  };
}

/** Where an API key goes: exactly one of both. */
export interface ApiKeyOptions {
  readonly key: Secret;
  /** Name of the header. */
  readonly header?: string;
  /** Name in the query. */
  readonly query?: string;
}

const apiKeyRules: Shape<ApiKeyOptions> = { key: v.any(), header: v.optional(string), query: v.optional(string) };

/** An API key in a header, or in the query. @throws `invalid_option` unless exactly one of both is named. */
export function apiKey(options: ApiKeyOptions): Auth {
  validate(options, apiKeyRules, InvalidOptionError, "apiKey.");
  const { key, header, query } = options;
  checkSecret(key, "apiKey.key");
  if ((header === undefined) === (query === undefined))
    throw new InvalidOptionError("apiKey", "either header or query", options);
  return {
    async apply({ headers, url }) {
      const secret = await readSecret(key, "apiKey.key");
      if (header !== undefined) setSecret(headers, header, secret, "apiKey.key");
      if (query !== undefined) url.searchParams.set(query, secret);
    },
  };
}

/** How requests are signed. */
export interface HmacOptions {
  readonly secret: Secret;
  /** Name of the header that gets the signature. */
  readonly header: string;
  /** Comes before the signature, such as `sha256=`. @default "" */
  readonly prefix?: string;
  /** @default "sha256" */
  readonly algorithm?: "sha1" | "sha256" | "sha384" | "sha512";
  /** @default "hex" */
  readonly encoding?: "hex" | "base64" | "base64url";
  /** Name of a header that gets the time. @default none */
  readonly timestampHeader?: string;
  /**
   * What is signed. `timestamp`: epoch seconds.
   *
   * @default the body, after the timestamp and a dot if there is a `timestampHeader`
   */
  readonly content?: (request: SignedRequest, timestamp: string) => string;
  /** @default the system's */
  readonly clock?: Clock;
}

/** A request as a signature sees it. */
export interface SignedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  /** The body in UTF-8; empty without one. */
  readonly body: string;
}

const hmacRules: Shape<HmacOptions> = {
  secret: v.any(),
  header: string,
  prefix: v.optional(string),
  algorithm: v.optional(oneOf("sha1", "sha256", "sha384", "sha512")),
  encoding: v.optional(oneOf("hex", "base64", "base64url")),
  timestampHeader: v.optional(string),
  content: v.optional(callable),
  clock: v.optional(v.any()),
};

/** A signature over each request, made with a shared secret. @throws `invalid_option` for an option that is out of range. */
export function hmac(options: HmacOptions): Auth {
  validate(options, hmacRules, InvalidOptionError, "hmac.");
  checkSecret(options.secret, "hmac.secret");
  const { secret, header, prefix = "", algorithm = "sha256", encoding = "hex" } = options;
  const { timestampHeader, clock = systemClock, content } = options;
  return {
    async apply(request) {
      const key = await readSecret(secret, "hmac.secret");
      const timestamp = String(Math.floor(clock.now() / 1_000));
      if (timestampHeader !== undefined) request.headers.set(timestampHeader, timestamp);
      const { method, url, headers } = request;
      const body = bytesOf(request.body);
      const hash = createHmac(algorithm, key);
      if (content !== undefined) hash.update(content({ method, url, headers, body: body.toString() }, timestamp));
      else hash.update(timestampHeader === undefined ? "" : `${timestamp}.`).update(body);
      headers.set(header, prefix + hash.digest(encoding));
    },
  };
}

function bytesOf(body: RequestBody | undefined): Buffer {
  if (body instanceof FormData || body instanceof Blob)
    throw new InvalidOptionError("hmac", "a body of JSON, a string, bytes or URLSearchParams", body);
  return body instanceof Uint8Array ? Buffer.from(body) : Buffer.from(body?.toString() ?? "");
}

/** @throws `invalid_option` unless it is a secret, or a function. */
export function checkSecret(secret: unknown, option: string, mayBeEmpty = false): void {
  if (typeof secret === "function" || (typeof secret === "string" && (mayBeEmpty || secret !== ""))) return;
  throw new InvalidOptionError(option, "a string, or a function that returns one", emptyWords(secret));
}

/**
 * The secret as it is now.
 *
 * @throws `invalid_option` if there is none: never with the secret itself.
 */
export async function readSecret(secret: Secret, option: string, mayBeEmpty = false): Promise<string> {
  const value: unknown = typeof secret === "function" ? await secret() : secret;
  if (typeof value === "string" && (mayBeEmpty || value !== "")) return value;
  throw new InvalidOptionError(option, "a string, now that a request needs it", emptyWords(value));
}

// Never what it is, only that it is no secret.
function emptyWords(value: unknown): unknown {
  return value === "" || value === undefined || value === null ? value : `a ${typeof value}`;
}

function setSecret(headers: Headers, header: string, value: string, option: string): void {
  try {
    headers.set(header, value);
  } catch {
    throw new InvalidOptionError(option, "characters that a header can carry", "others, such as a line break");
  }
}
