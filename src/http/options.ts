import { InvalidOptionError } from "../errors.ts";
import type { Exports, Imports } from "../model/fitting.ts";
import type { Logger } from "../model/logger.ts";
import { didYouMean } from "../model/suggest.ts";
import { type Shape, objectWith, v, validate, wholeNumber } from "../model/validate.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Authorize } from "./authorization.ts";
import type { Verify } from "./signature.ts";

/** What a handler is made of. */
export interface HandlerOptions<X extends Exports = Exports, M extends Imports = Imports> {
  /** Whose flows and runs are served. */
  readonly scheduler: Scheduler<X, M>;
  /** Decides what a caller may do: `bearerToken(…)`, a function of the host's own, or, explicitly, `allowAll()`. */
  readonly authorize: Authorize;
  /**
   * By `_exportId`: decides by the request itself whether its records are accepted, such as `hmacSignature(…)`. For
   * that export it is called instead of `authorize`. @default none
   */
  readonly verify?: Readonly<Record<string, Verify>>;
  /** What precedes every path, such as `/api`: begins with a slash and does not end with one. @default "" */
  readonly basePath?: string;
  /** Most bytes of a body; 1 or more. @default 1048576 */
  readonly maxBodyBytes?: number;
  /** Most bytes of a body of records; 1 or more. @default 10485760 */
  readonly maxRecordsBytes?: number;
  /** Longest wait that `Prefer: wait` is granted, in milliseconds; 0 or more. @default 60000 */
  readonly maxWaitMs?: number;
  /** Events kept for clients that reconnect with `Last-Event-ID`; 1 or more. @default 1000 */
  readonly eventBuffer?: number;
  /** Silence after which an event stream is sent a comment, in milliseconds; 1 or more. @default 15000 */
  readonly heartbeatMs?: number;
  /** Where unexpected errors are written, under the id that the response gives. @default the scheduler's */
  readonly logger?: Logger;
}

/** {@link HandlerOptions} with every default filled in. */
export interface ResolvedHandlerOptions extends Required<Omit<HandlerOptions, "verify">> {
  readonly verify: ReadonlyMap<string, Verify>;
}

/** @throws `invalid_option` naming the first option that is invalid. */
export function resolveOptions<X extends Exports, M extends Imports>(
  options: HandlerOptions<X, M>,
): ResolvedHandlerOptions {
  validate(options, optionShape, InvalidOptionError);
  const { scheduler, authorize, verify = {}, basePath = "", logger = scheduler.logger } = options;
  const { maxBodyBytes = 2 ** 20, maxRecordsBytes = 10 * 2 ** 20, maxWaitMs = 60_000 } = options;
  const { eventBuffer = 1_000, heartbeatMs = 15_000 } = options;
  checkVerify(Object.keys(verify), scheduler.registry.exportIds);
  return {
    ...{ scheduler, authorize, verify: new Map(Object.entries(verify)), basePath, logger },
    ...{ maxBodyBytes, maxRecordsBytes, maxWaitMs, eventBuffer, heartbeatMs },
  };
}

// A function under a misspelled id would never be called, and its export would be open to whoever `authorize` allows.
function checkVerify(_ids: readonly string[], exportIds: readonly string[]): void {
  const unknown = _ids.find((_id) => !exportIds.includes(_id));
  if (unknown === undefined) return;
  const hint = didYouMean(unknown, exportIds);
  throw new InvalidOptionError(`verify.${unknown}`, "the id of a registered export", unknown, { hint });
}

const optionShape: Shape<HandlerOptions> = {
  scheduler: objectWith(["run", "accept", "listRuns"], "a Scheduler"),
  authorize: v.function("a function, such as bearerToken(…) or, to allow everything, allowAll()"),
  verify: v.optional(v.record(v.string(), v.function(), "functions by the ids of exports")),
  basePath: v.optional(
    v.custom(
      (value) => value === "" || (typeof value === "string" && /^(\/[\w.~-]+)+$/.test(value)),
      'a path such as "/api", without a slash at its end',
    ),
  ),
  maxBodyBytes: v.optional(wholeNumber(1)),
  maxRecordsBytes: v.optional(wholeNumber(1)),
  maxWaitMs: v.optional(wholeNumber(0)),
  eventBuffer: v.optional(wholeNumber(1)),
  heartbeatMs: v.optional(wholeNumber(1)),
  logger: v.optional(objectWith(["debug", "info", "warn", "error"])),
};
