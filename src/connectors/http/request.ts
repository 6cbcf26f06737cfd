import { isAnyArrayBuffer } from "node:util/types";
import { InvalidOptionError } from "../../errors.ts";
import { formatValue } from "../../model/record/json.ts";
import { HttpError } from "./answer.ts";

/** What a query may have under a name: one value, several, or none. */
export type QueryValue =
  string | number | bigint | boolean | null | undefined | readonly (string | number | bigint | boolean)[];

/** One request, as host code describes it. */
export interface HttpRequest {
  /** @default "GET", or "POST" if there is a body */
  readonly method?: string | undefined;
  /**
   * What comes after `baseUrl`. The parts of an array are encoded one by one, so an id may contain anything; a part that
   * is empty, `.` or `..` would name something else and is refused. A URL is taken as it is, if its origin is allowed.
   *
   * @default `baseUrl` itself
   */
  readonly path?: string | readonly (string | number | bigint)[] | undefined;
  /** Added to the query of `path`; what is undefined or null is left out, of an array each value is added. */
  readonly query?: Readonly<Record<string, QueryValue>> | undefined;
  /** Beside those of the connection, and before them. */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * A string, bytes, `URLSearchParams`, `FormData` or `Blob` is sent as it is; anything else as JSON.
   *
   * @default none
   */
  readonly body?: unknown;
}

/** What `fetch` is given as a body. It can be sent again. */
export type RequestBody = string | Uint8Array | URLSearchParams | FormData | Blob;

/** A request that is ready to be sent. An `Auth` adds to its URL's query and to its headers. */
export interface PreparedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: RequestBody | undefined;
}

const absoluteUrl = /^[a-z][a-z\d+.-]*:\/\//i;
const baseWords = "an http or https URL without credentials, query and fragment";

/** Where a connection may go. */
export class Endpoint {
  readonly #base: URL;
  readonly #baseHref: string;
  readonly #origins: ReadonlySet<string>;

  /** @throws `invalid_option` for a URL that is none. */
  constructor(baseUrl: unknown, origins: readonly unknown[] = []) {
    this.#base = baseOf(baseUrl);
    this.#baseHref = this.#base.href.replace(/\/$/, "");
    this.#origins = new Set([this.#base.origin, ...origins.map(originOf)]);
  }

  /** Whether credentials may go there. */
  isHome(url: URL): boolean {
    return url.origin === this.#base.origin;
  }

  /** Whether requests may go there. */
  isAllowed(url: URL): boolean {
    return this.#origins.has(url.origin);
  }

  /**
   * A request as it is sent.
   *
   * @throws HttpError if there is no such request.
   */
  prepare(request: HttpRequest, headers: Readonly<Record<string, string | undefined>>): PreparedRequest {
    const method = (request.method ?? (request.body === undefined ? "GET" : "POST")).toUpperCase();
    const url = this.#urlOf(request, method);
    const all = new Headers();
    const at = { method, url };
    for (const [name, value] of [...Object.entries(headers), ...Object.entries(request.headers ?? {})])
      if (value !== undefined) setHeader(all, name, value, at);
    return { method, url, headers: all, body: bodyOf(request.body, all, at) };
  }

  #urlOf({ path = "", query }: HttpRequest, method: string): URL {
    const isWhole = typeof path === "string" && absoluteUrl.test(path);
    const href = isWhole ? path : this.#below(path, method);
    const place = (url: URL | undefined) => ({ method, url: url ?? this.#base });
    const url = parsedUrl(query === undefined ? href : withQuery(href, query, () => place(parsedUrl(href))));
    if (url === undefined) throw new HttpError("refused", "has a URL that cannot be read", place(url));
    if (!this.isAllowed(url))
      throw new HttpError("refused", "goes to an origin that is neither baseUrl's nor one of origins", place(url));
    return url;
  }

  #below(path: string | readonly (string | number | bigint)[], method: string): string {
    const at = { method, url: this.#base };
    const suffix =
      typeof path === "string" ? stringPath(path, at) : path.map((part) => encodedPart(part, at)).join("/");
    return suffix === "" || suffix.startsWith("?") ? this.#baseHref + suffix : `${this.#baseHref}/${suffix}`;
  }
}

interface RequestPlace {
  readonly method: string;
  readonly url: URL;
}

function baseOf(baseUrl: unknown): URL {
  const url = typeof baseUrl === "string" && URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  const isPlain =
    url !== undefined && /^https?:$/.test(url.protocol) && url.username + url.password + url.search + url.hash === "";
  // A URL with credentials is not to be shown.
  if (!isPlain) throw new InvalidOptionError("connection.baseUrl", baseWords, url === undefined ? baseUrl : "another");
  return url;
}

function originOf(origin: unknown): string {
  const url = typeof origin === "string" && URL.canParse(origin) ? new URL(origin) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new InvalidOptionError("connection.origins", 'origins such as "https://files.example"', origin);
  return url.origin;
}

/** Without its fragment, which is not sent; undefined if it is no URL. */
function parsedUrl(href: string): URL | undefined {
  const at = href.indexOf("#");
  try {
    return new URL(at < 0 ? href : href.slice(0, at));
  } catch {
    return undefined;
  }
}

// Before the URL is parsed: each change of one that is would parse it anew.
function withQuery(href: string, query: Readonly<Record<string, unknown>>, at: () => RequestPlace): string {
  const added = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    for (const one of Array.isArray(value) ? (value as readonly unknown[]) : [value])
      if (one !== undefined && one !== null) added.append(name, queryText(name, one, at));
  if (added.size === 0) return href;
  const [address = ""] = href.split("#", 1);
  const mark = address.includes("?") ? (/[?&]$/.test(address) ? "" : "&") : "?";
  return address + mark + added.toString();
}

// Dot segments, in any spelling, would leave what is below `baseUrl`; what follows a `#` would get lost.
function stringPath(path: string, at: RequestPlace): string {
  const [names = ""] = path.split("?", 1);
  if (path.includes("#") || names.split(/[/\\]/).some((name) => /^(?:\.|%2e){1,2}$/i.test(name)))
    throw new HttpError("invalid", `has a path with "#", "." or "..": give an array, which is encoded`, at);
  return path.replace(/^\//, "");
}

function encodedPart(part: unknown, at: RequestPlace): string {
  const text = typeof part === "string" || typeof part === "number" || typeof part === "bigint" ? String(part) : "";
  if (text === "" || text === "." || text === ".." || text === "NaN")
    throw new HttpError("invalid", `has a path with the part ${formatValue(part)}, which names nothing`, at);
  try {
    return encodeURIComponent(text);
  } catch {
    throw new HttpError("invalid", "has a path with half of a surrogate pair", at);
  }
}

const queryTypes = new Set(["string", "number", "bigint", "boolean"]);

function queryText(name: string, value: unknown, at: () => RequestPlace): string {
  if (queryTypes.has(typeof value)) return String(value);
  const found = typeof value === "object" ? "an object" : `a ${typeof value}`;
  throw new HttpError("invalid", `has a query with ${found} as ${formatValue(name)}: make a string of it`, at());
}

/** The header's value is not in the error, since it may be a secret. */
function setHeader(headers: Headers, name: string, value: string, at: RequestPlace): void {
  try {
    headers.set(name, value);
  } catch {
    throw new HttpError("invalid", `has a header ${formatValue(name)} that HTTP cannot carry`, at);
  }
}

function bodyOf(body: unknown, headers: Headers, at: RequestPlace): RequestBody | undefined {
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) return body;
  if (body instanceof URLSearchParams || body instanceof FormData || body instanceof Blob) return body;
  if (isAnyArrayBuffer(body)) return new Uint8Array(body);
  const text = jsonOf(body);
  if (text === undefined) throw new HttpError("invalid", `has a body that is no JSON: ${formatValue(body)}`, at);
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  return text;
}

// A stream would be `{}`, and cannot be sent again.
function jsonOf(value: unknown): string | undefined {
  if (value instanceof ReadableStream) return undefined;
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
