import { hash, timingSafeEqual } from "node:crypto";
import { ForbiddenError, InvalidOptionError, UnauthorizedError, isPoundlockError } from "../errors.ts";
import { formatValue } from "../model/json.ts";

/** What a request can ask for, one for each kind of thing that a host may want to allow or refuse. */
export const actions = [
  "flows.list",
  "flows.create",
  "flows.read",
  "flows.update",
  "flows.delete",
  "flows.clone",
  "flows.run",
  "runs.list",
  "runs.read",
  "runs.cancel",
  "failures.list",
  "failures.retry",
  "failures.resolve",
  "exports.list",
  "imports.list",
  "records.accept",
  "events.listen",
  "health.read",
  "openapi.read",
] as const;
/** One of {@link actions}. */
export type Action = (typeof actions)[number];

/** What is asked, before anything of it is done. */
export interface AuthorizeRequest {
  /** For its headers; its body is not the hook's to read. */
  readonly request: Request;
  readonly action: Action;
  /** The flow that the path names; it need not exist. */
  readonly flowId?: string;
  /** The run that the path names; it need not exist. */
  readonly runId?: string;
  /** The export that the path names; it need not exist. */
  readonly exportId?: string;
}

/** Limits what a caller lists, reads, writes and is streamed to one integration. All else does not exist for them. */
export interface TenantScope {
  /** Flows, runs, failures and events of this integration only; what the caller creates belongs to it. */
  readonly _integrationId: string;
  /** The exports that the caller's flows may use, and be given records through. @default all */
  readonly _exportIds?: readonly string[];
  /** The imports that the caller's flows may use. @default all */
  readonly _importIds?: readonly string[];
}

/** True: everything. False: refused as `forbidden`. A scope: only what belongs to that integration. */
export type AuthorizeResult = boolean | TenantScope;

/**
 * Decides who may do what; asked once for each request. `UnauthorizedError` thrown here answers 401, `ForbiddenError`
 * 403; anything else that is thrown, or answered, is an error of the host's and refuses the request with 500.
 */
export type Authorize = (ask: AuthorizeRequest) => AuthorizeResult | Promise<AuthorizeResult>;

/** Lets everybody do everything: for development, or behind a door of the host's own. */
export function allowAll(): Authorize {
  return () => true;
}

/**
 * Lets in who sends `Authorization: Bearer` with the token, or one of several; compared in constant time.
 *
 * @throws `invalid_option` if there is no token, or an empty one: an environment variable that is not set lets nobody in.
 */
export function bearerToken(tokens: string | readonly string[] | undefined): Authorize {
  const list: readonly unknown[] = Array.isArray(tokens) ? tokens : [tokens];
  const holds = list.length > 0 && list.every((token) => typeof token === "string" && /^[\x21-\x7e]+$/.test(token));
  // Its text is a secret, and is not to be shown where errors go.
  if (!holds) throw new InvalidOptionError("bearerToken", "a token of visible ASCII, or several", kindOf(tokens));
  const digests = list.map((token) => digestOf(token as string));
  return ({ request }) => {
    const [, given] = /^bearer +(\S+) *$/i.exec(request.headers.get("authorization") ?? "") ?? [];
    if (given === undefined) throw new UnauthorizedError("A bearer token is required");
    const digest = digestOf(given);
    // Every token is compared, whichever fits.
    const fits = digests.filter((known) => timingSafeEqual(known, digest)).length > 0;
    if (!fits) throw new UnauthorizedError("The bearer token is not known");
    return true;
  };
}

/**
 * The scope that a permission gives; undefined: everything.
 *
 * @throws `forbidden` if it gives nothing; TypeError if it is no permission.
 */
export function scopeOf(permission: unknown): TenantScope | undefined {
  if (permission === true) return undefined;
  if (permission === false) throw new ForbiddenError("This is not allowed");
  if (!isScope(permission))
    throw new TypeError(
      `authorize: expected true, false or a scope with _integrationId, answered ${formatValue(permission)}`,
    );
  return permission;
}

/** Whether the document belongs to what the caller may see. */
export function sees(scope: TenantScope | undefined, document: { readonly _integrationId?: string }): boolean {
  return scope === undefined || document._integrationId === scope._integrationId;
}

/** True for the errors by which a hook refuses. */
export function refuses(error: unknown): boolean {
  return isPoundlockError(error) && (error.code === "unauthorized" || error.code === "forbidden");
}

function isScope(value: unknown): value is TenantScope {
  if (typeof value !== "object" || value === null) return false;
  const { _integrationId, _exportIds, _importIds } = value as Record<string, unknown>;
  const texts = (list: unknown) => list === undefined || (Array.isArray(list) && list.every(isText));
  return isText(_integrationId) && _integrationId !== "" && texts(_exportIds) && texts(_importIds);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function kindOf(tokens: unknown): string {
  if (tokens === undefined || tokens === "") return tokens === undefined ? "undefined" : "an empty text";
  return Array.isArray(tokens) ? `an array of ${tokens.length}` : typeof tokens;
}

// Of one length, whatever was sent: `timingSafeEqual` compares nothing else.
function digestOf(token: string): Buffer {
  return hash("sha256", token, "buffer");
}
