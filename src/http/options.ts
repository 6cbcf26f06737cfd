import { InvalidOptionError } from "../errors.ts";
import type { Exports, Imports } from "../model/host/fitting.ts";
import type { Logger } from "../model/logger.ts";
import { didYouMean } from "../model/suggest.ts";
import { type Shape, objectWith, strings, v, validate, wholeNumber } from "../model/validate.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Authorize } from "./access/authorization.ts";
import type { Redact } from "./access/redaction.ts";
import type { Verify } from "./webhooks/signature.ts";
import { type Webhook, verifiedOnly } from "./webhooks/webhook.ts";

/** What a handler is made of. */
export interface HandlerOptions<X extends Exports = Exports, M extends Imports = Imports> {
  /** Whose flows and runs are served. */
  readonly scheduler: Scheduler<X, M>;
  /** Decides what a caller may do: `bearerToken(…)`, a function of the host's own, or, explicitly, `allowAll()`. */
  readonly authorize: Authorize;
  /**
   * By `_exportId`: decides by the request itself whether its records are accepted, such as `hmacSignature(…)`, or also
   * how they are read: `webhook(…)`. For that export it is asked instead of `authorize`. @default none
   */
  readonly verify?: Readonly<Record<string, Verify | Webhook>>;
  /** What precedes every path, such as `/api`: begins with a slash and does not end with one. @default "" */
  readonly basePath?: string;
  /**
   * What precedes every path as clients see it, such as `/tools/flows` or `https://example.com/flows`, for `Location`,
   * `Link` and the OpenAPI document. @default relative references, which are right behind a proxy that removes a prefix
   */
  readonly publicPath?: string;
  /** Other origins whose pages may change things with a cookie, such as `https://admin.example.com`. @default none */
  readonly origins?: readonly string[];
  /**
   * Takes personal data out of failures, inboxes and events before they are shown; searches find only what it shows.
   * Not applied to the errors of runs and pauses. @default everything is shown as stored
   */
  readonly redact?: Redact;
  /** Query parameters that `authorize` reads, such as `access_token`: no route refuses them. @default none */
  readonly authorizeParameters?: readonly string[];
  /**
   * Encrypts the cursors of tenants' lists; 16 characters or more. Give every process that serves the same storage the
   * same. @default random: a list that a tenant began is continued by this handler only
   */
  readonly cursorSecret?: string;
  /** Event streams that one caller may have open at a time; 1 or more. @default 100 */
  readonly maxStreamsPerCaller?: number;
  /** Most bytes of a body; 1 or more. @default 1048576 */
  readonly maxBodyBytes?: number;
  /** Most bytes of a body of records; 1 or more. @default 10485760 */
  readonly maxRecordsBytes?: number;
  /** Longest wait that `Prefer: wait` is granted, in milliseconds; 0 or more. @default 60000 */
  readonly maxWaitMs?: number;
  /** Events kept for clients that reconnect with `Last-Event-ID`; 1 or more. @default 1000 */
  readonly eventBuffer?: number;
  /** Silence after which an event stream is sent a comment, in milliseconds; 1 or more. @default 10000 */
  readonly heartbeatMs?: number;
  /** Where changes are written, and unexpected errors under the id that the response gives. @default the scheduler's */
  readonly logger?: Logger;
}

/** {@link HandlerOptions} with every default filled in. */
export interface ResolvedHandlerOptions extends Required<
  Omit<HandlerOptions, "verify" | "origins" | "publicPath" | "cursorSecret" | "redact">
> {
  readonly redact: Redact | undefined;
  /** By `_exportId`. */
  readonly verify: ReadonlyMap<string, Webhook>;
  readonly origins: ReadonlySet<string>;
  readonly publicPath: string | undefined;
  readonly cursorSecret: string | undefined;
}

/** @throws `invalid_option` naming the first option that is invalid. */
export function resolveOptions<X extends Exports, M extends Imports>(
  options: HandlerOptions<X, M>,
): ResolvedHandlerOptions {
  validate(options, optionShape, InvalidOptionError);
  const { scheduler, authorize, verify = {}, basePath = "", logger = scheduler.logger } = options;
  const { maxBodyBytes = 2 ** 20, maxRecordsBytes = 10 * 2 ** 20, maxWaitMs = 60_000 } = options;
  const {
    publicPath,
    redact,
    origins = [],
    authorizeParameters = [],
    cursorSecret,
    maxStreamsPerCaller = 100,
  } = options;
  const { eventBuffer = 1_000, heartbeatMs = 10_000 } = options;
  checkSecret(cursorSecret);
  checkVerify(Object.keys(verify), scheduler.registry.exportIds);
  return {
    ...{ scheduler, authorize, verify: webhooksOf(verify), basePath, logger },
    ...{ publicPath, redact, origins: new Set(origins), authorizeParameters, cursorSecret, maxStreamsPerCaller },
    ...{ maxBodyBytes, maxRecordsBytes, maxWaitMs, eventBuffer, heartbeatMs },
  };
}

function webhooksOf(verify: Readonly<Record<string, Verify | Webhook>>): ReadonlyMap<string, Webhook> {
  const entries = Object.entries(verify);
  return new Map(entries.map(([_id, one]) => [_id, typeof one === "function" ? verifiedOnly(one) : one]));
}

// Its error must not show the secret.
function checkSecret(secret: unknown): void {
  if (secret === undefined || (typeof secret === "string" && secret.length >= 16)) return;
  const found = typeof secret === "string" ? `one of ${secret.length}` : typeof secret;
  throw new InvalidOptionError("cursorSecret", "a string of 16 characters or more", found);
}

// A function under a misspelled id would never be called, and its export would be open to whoever `authorize` allows.
function checkVerify(_ids: readonly string[], exportIds: readonly string[]): void {
  const unknown = _ids.find((_id) => !exportIds.includes(_id));
  if (unknown === undefined) return;
  const hint = didYouMean(unknown, exportIds);
  throw new InvalidOptionError(`verify.${unknown}`, "the id of a registered export", unknown, { hint });
}

const originWords = 'origins such as "https://admin.example.com"';

function isOrigin(value: unknown): boolean {
  return typeof value === "string" && URL.canParse(value) && new URL(value).origin === value;
}

const optionShape: Shape<HandlerOptions> = {
  scheduler: objectWith(["run", "accept", "listRuns"], "a Scheduler"),
  authorize: v.function("a function, such as bearerToken(…) or, to allow everything, allowAll()"),
  verify: v.optional(
    v.record(
      v.string(),
      v.union([v.function(), objectWith(["verify", "read"])]),
      "functions, or webhook(…), by the ids of exports",
    ),
  ),
  basePath: v.optional(
    v.custom(
      (value) => value === "" || (typeof value === "string" && /^(\/[\w.~-]+)+$/.test(value)),
      'a path such as "/api", without a slash at its end',
    ),
  ),
  publicPath: v.optional(
    v.custom(
      (value) => typeof value === "string" && /^(https?:\/\/[\w.:[\]-]+)?(\/[\w.~-]+)*$/.test(value) && value !== "",
      'a path such as "/tools/flows" or an address, without a slash at its end',
    ),
  ),
  origins: v.optional(v.array(v.custom(isOrigin, originWords), originWords)),
  redact: v.optional(v.function()),
  authorizeParameters: v.optional(strings),
  cursorSecret: v.optional(v.unknown()),
  maxStreamsPerCaller: v.optional(wholeNumber(1)),
  maxBodyBytes: v.optional(wholeNumber(1)),
  maxRecordsBytes: v.optional(wholeNumber(1)),
  maxWaitMs: v.optional(wholeNumber(0)),
  eventBuffer: v.optional(wholeNumber(1)),
  heartbeatMs: v.optional(wholeNumber(1)),
  logger: v.optional(objectWith(["debug", "info", "warn", "error"])),
};
