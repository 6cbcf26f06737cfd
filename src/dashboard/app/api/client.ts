import { settings } from "../browser/settings.ts";
import { type QueryValues, pathOf } from "../browser/query-values.ts";
import { signInAgain, token } from "../browser/session.ts";

/** One reason of a refusal. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly field?: string;
}

/** The API refused a request, or could not be reached (`status` 0). */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly problems: readonly Problem[];

  constructor(status: number, problems: readonly Problem[]) {
    super(problems.map(({ message }) => message).join("; "));
    this.status = status;
    this.problems = problems;
  }
}

/** What was thrown, as what can be shown. */
export function errorOf(thrown: unknown): ApiError {
  return thrown instanceof ApiError ? thrown : new ApiError(0, [{ code: "unexpected", message: String(thrown) }]);
}

/** What the API responds with. */
export interface ApiReply<T> {
  readonly value: T;
  readonly status: number;
  readonly etag: string | undefined;
  /** The cursor of the next page of a list. */
  readonly next: string | undefined;
  /** How many entries a search has looked at. */
  readonly examined: number | undefined;
  /** The API is still counting what it responds with. */
  readonly isPartial: boolean;
}

/** What a request carries. */
export interface ApiRequest {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A request as the browser sends it: with the token, if there is one. */
export async function send(
  method: string,
  path: string,
  { body, headers = {}, signal }: ApiRequest,
): Promise<Response> {
  const sent = new Headers(headers);
  if (token.value !== undefined) sent.set("authorization", `Bearer ${token.value}`);
  if (body !== undefined) sent.set("content-type", "application/json");
  const credentials = settings.api.startsWith("/") ? "same-origin" : token.value === undefined ? "include" : "omit";
  const request = { method, headers: sent, credentials, signal: signal ?? null, cache: "no-store" } as const;
  try {
    return await fetch(settings.api + path, body === undefined ? request : { ...request, body: JSON.stringify(body) });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, [{ code: "offline", message: "The server cannot be reached" }]);
  }
}

/** Of status 304, to a request with `if-none-match`: nothing has changed, and there is no value. */
export const isUnchanged = ({ status }: Pick<ApiReply<unknown>, "status">): boolean => status === 304;

/** @throws ApiError for every response that is no success, and is not 304. */
export async function call<T>(method: string, path: string, request: ApiRequest = {}): Promise<ApiReply<T>> {
  const response = await send(method, path, request);
  if (response.status === 401) signInAgain();
  const text = await response.text();
  if (!response.ok && !isUnchanged(response)) throw new ApiError(response.status, problemsIn(text, response.status));
  const { headers, status } = response;
  const examined = headers.get("poundlock-examined");
  return {
    value: (text === "" ? undefined : parsed(text, status)) as T,
    status,
    etag: headers.get("etag") ?? undefined,
    next: nextIn(headers.get("link") ?? ""),
    examined: examined === null ? undefined : Number(examined),
    isPartial: headers.get("poundlock-complete") === "false",
  };
}

function parsed(text: string, status: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ApiError(status, [{ code: "unexpected", message: "The response is not JSON: is this the API?" }]);
  }
}

function problemsIn(text: string, status: number): readonly Problem[] {
  try {
    const { errors } = JSON.parse(text) as { errors?: readonly Problem[] };
    if (errors !== undefined && errors.length > 0) return errors;
  } catch {
    // What a proxy responded with.
  }
  return [{ code: "unexpected", message: `The server responded with status ${status}` }];
}

function nextIn(link: string): string | undefined {
  const [, reference] = /<([^>]*)>;\s*rel="?next"?/.exec(link) ?? [];
  return reference === undefined
    ? undefined
    : (new URL(reference, location.href).searchParams.get("after") ?? undefined);
}

/** The path of a request: steps are encoded; values that are undefined or empty are left out. */
export const apiPath = (steps: readonly string[], values?: QueryValues): string => "/" + pathOf(steps, values);
