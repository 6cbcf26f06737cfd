import { hash, timingSafeEqual } from "node:crypto";
import { ForbiddenError, InvalidOptionError, UnauthorizedError, isPoundlockError } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";
import { formatValue } from "../../model/record/json.ts";

/** What a request wants to do: one action for each kind of thing that a host may want to allow or refuse. */
export const actions = [
  "flows.list",
  "flows.create",
  "flows.read",
  "flows.update",
  "flows.delete",
  "flows.clone",
  "flows.run",
  "overview.read",
  "statistics.read",
  "schedules.preview",
  "deliveries.read",
  "checkpoints.write",
  "inbox.read",
  "inbox.drop",
  "runs.list",
  "runs.read",
  "runs.cancel",
  "failures.list",
  "failures.read",
  "failures.edit",
  "failures.retry",
  "failures.resolve",
  "exports.list",
  "exports.read",
  "imports.list",
  "imports.read",
  "records.accept",
  "events.listen",
  "health.read",
  "openapi.read",
] as const;
/** One of {@link actions}. */
export type Action = (typeof actions)[number];

/** What the `authorize` hook is given, before anything is done. */
export interface AuthorizeRequest {
  /** For its headers and address; the hook must not read its body. */
  readonly request: Request;
  readonly action: Action;
  /** The flow in the path; it need not exist. */
  readonly flowId?: string;
  /** The run in the path; it need not exist. */
  readonly runId?: string;
  /** The failure in the path; it need not exist. */
  readonly failureId?: string;
  /** The export in the path; it need not exist. */
  readonly exportId?: string;
  /** The import in the path; it need not exist. */
  readonly importId?: string;
}

/** Limits a caller to one integration: nothing else exists for it. */
export interface TenantScope {
  /** Flows, runs, failures and events of this integration only; what the caller creates belongs to it. */
  readonly _integrationId: string;
  /** The exports that the caller's flows may use and that it may send records to. @default all */
  readonly _exportIds?: readonly string[];
  /** The imports that the caller's flows may use. @default all */
  readonly _importIds?: readonly string[];
  /** The caller's name, for the log and the limit of event streams. @default the integration's */
  readonly caller?: string;
}

/** Allows everything to a caller with a name. */
export interface FullAccess {
  readonly fullAccess: true;
  /** The caller's name, for the log and the limit of event streams. */
  readonly caller: string;
}

/** True: everything is allowed. False: refused as `forbidden`. A scope: only what belongs to that integration. */
export type AuthorizeResult = boolean | TenantScope | FullAccess;

/** What a caller may see, and its name. */
export interface Grant {
  /** Undefined: everything. */
  readonly scope: TenantScope | undefined;
  readonly caller: string | undefined;
}

/**
 * Decides what a caller may do; called once for each request. An `UnauthorizedError` thrown here becomes 401, a
 * `ForbiddenError` 403. Anything else that is thrown or returned is a defect of the hook, and the response is 500.
 */
export type Authorize = (request: AuthorizeRequest) => AuthorizeResult | Promise<AuthorizeResult>;

/** Allows everything to everyone: for development, or behind a gateway that authorizes requests. */
export function allowAll(): Authorize {
  return () => true;
}

/**
 * Allows everything to callers that send `Authorization: Bearer` with the token, or one of several; compared in
 * constant time. The log names them by the number of their token, as in `token 1`.
 *
 * @throws `invalid_option` if there is no token or an empty one, as with an environment variable that is not set.
 */
export function bearerToken(tokens: string | readonly string[] | undefined): Authorize {
  const list: readonly unknown[] = Array.isArray(tokens) ? tokens : [tokens];
  const valid = list.length > 0 && list.every((token) => typeof token === "string" && /^[\x21-\x7e]+$/.test(token));
  // A token is a secret and must not appear in an error message.
  if (!valid) throw new InvalidOptionError("bearerToken", "a token of visible ASCII, or several", kindOf(tokens));
  const digests = list.map((token) => digestOf(token as string));
  return ({ request }) => {
    const [, given] = /^bearer +(\S+) *$/i.exec(request.headers.get("authorization") ?? "") ?? [];
    if (given === undefined) throw new UnauthorizedError("A bearer token is required");
    const digest = digestOf(given);
    // Every token is compared, so that the time does not depend on which one matches.
    const index = digests.map((known) => timingSafeEqual(known, digest)).lastIndexOf(true);
    if (index === -1) throw new UnauthorizedError("The bearer token is not valid");
    return { fullAccess: true, caller: `token ${index + 1}` };
  };
}

/**
 * What the hook's result grants.
 *
 * @throws `forbidden` if it grants nothing; TypeError if it is not a valid result.
 */
export function grantOf(result: unknown): Grant {
  if (result === true) return { scope: undefined, caller: undefined };
  if (result === false) throw new ForbiddenError("This is not allowed");
  if (isFullAccess(result)) return { scope: undefined, caller: result.caller };
  if (isScope(result)) return { scope: result, caller: result.caller };
  throw new TypeError(
    `authorize: expected true, false, full access or a scope with _integrationId, returned ${formatValue(result)}`,
  );
}

/** @throws `unauthorized` and `forbidden` as the hook says; any other error of the hook as an unexpected one. */
export async function resultOf(hook: () => AuthorizeResult | Promise<AuthorizeResult>): Promise<AuthorizeResult> {
  try {
    return await hook();
  } catch (error) {
    if (isRefusal(error)) throw error;
    throw new Error(`authorize failed: ${messageOf(error)}`, { cause: error });
  }
}

/** What a caller may do. */
export interface Permissions {
  readonly actions: Readonly<Record<Action, boolean>>;
  /** The integration that the caller is limited to. */
  readonly _integrationId?: string;
  /** The caller's name, as `authorize` gives it. */
  readonly caller?: string;
}

/**
 * Asks the hook about every action.
 *
 * @throws `unauthorized` if it says so of all of them.
 */
export async function permissionsOf(authorize: Authorize, request: Request): Promise<Permissions> {
  const allowed = {} as Record<Action, boolean>;
  let [scope, caller]: [TenantScope?, string?] = [];
  let unauthorized: Error | undefined;
  for (const action of actions) {
    try {
      const grant = grantOf(await resultOf(() => authorize({ request, action })));
      scope ??= grant.scope;
      caller ??= grant.caller;
      allowed[action] = true;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (error instanceof UnauthorizedError) unauthorized ??= error;
      allowed[action] = false;
    }
  }
  if (unauthorized !== undefined && !Object.values(allowed).includes(true)) throw unauthorized;
  return {
    actions: allowed,
    ...(scope === undefined ? {} : { _integrationId: scope._integrationId }),
    ...(caller === undefined ? {} : { caller }),
  };
}

/** Whether the caller may see the document. */
export function sees(scope: TenantScope | undefined, document: { readonly _integrationId?: string }): boolean {
  return scope === undefined || document._integrationId === scope._integrationId;
}

/** True for the errors by which a hook refuses a caller. */
export function isRefusal(error: unknown): boolean {
  return isPoundlockError(error) && (error.code === "unauthorized" || error.code === "forbidden");
}

function isScope(value: unknown): value is TenantScope {
  if (typeof value !== "object" || value === null) return false;
  const { _integrationId, _exportIds, _importIds, caller, fullAccess } = value as Record<string, unknown>;
  if (fullAccess !== undefined || !(caller === undefined || isString(caller))) return false;
  const areIds = (list: unknown) => list === undefined || (Array.isArray(list) && list.every(isString));
  return isString(_integrationId) && _integrationId !== "" && areIds(_exportIds) && areIds(_importIds);
}

// A result with both could be meant as either, so it is neither.
function isFullAccess(value: unknown): value is FullAccess {
  if (typeof value !== "object" || value === null || "_integrationId" in value) return false;
  const { fullAccess, caller } = value as Record<string, unknown>;
  return fullAccess === true && isString(caller) && caller !== "";
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function kindOf(tokens: unknown): string {
  if (tokens === undefined || tokens === "") return tokens === undefined ? "undefined" : "an empty string";
  return Array.isArray(tokens) ? `an array of ${tokens.length}` : typeof tokens;
}

// `timingSafeEqual` compares only values of equal length, which digests have.
function digestOf(token: string): Buffer {
  return hash("sha256", token, "buffer");
}
