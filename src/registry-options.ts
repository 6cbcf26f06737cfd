import { randomFillSync } from "node:crypto";
import { V7Generator } from "uuidv7";
import type { Clock } from "./clock.ts";
import { checkCron } from "./cron/cron.ts";
import { isAwaitable } from "./model/host/awaitable.ts";
import type { Exports, Imports } from "./model/host/fitting.ts";
import {
  type ProblemError,
  type Shape,
  callable,
  checkObject,
  chosenId,
  objectWith,
  oneOf,
  v,
  validate,
} from "./model/validate.ts";
import type { FlowQuery, Storage } from "./storage/storage.ts";

/** What a registry is made of. */
export interface RegistryOptions<X extends Exports = Exports, M extends Imports = Imports> {
  /** The exports, by their `_exportId`. More can be added later. @default none */
  readonly exports?: X;
  /** The imports, by their `_importId`. More can be added later. @default none */
  readonly imports?: M;
  /** Where flows, runs and all else are kept. @default new MemoryStorage() */
  readonly storage?: Storage;
  /** IANA zone of schedules that name none. @default "UTC" */
  readonly timezone?: string;
  /** Tells the time. @default the storage's if it has one, such as the database's, else the system's */
  readonly clock?: Clock;
  /** Makes ids; each has to be new, and later ones sort after earlier ones. @default UUIDv7 */
  readonly newId?: () => string;
}

/** Which flows to list. */
export interface FlowFilter extends Omit<FlowQuery, "limit" | "now"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/** What an update expects to find. */
export interface ExpectedFlow {
  /** The flow's `lastModified` as last read; if it has moved since, nothing is changed. */
  readonly lastModified?: string;
}

/** How flows are defined together. */
export interface DefineAllOptions {
  /**
   * Whose flows these are, 1 to 255 characters. Two applications on one storage use different groups; a flow belongs to
   * the group that named it last. @default "default"
   */
  readonly group?: string;
  /**
   * What becomes of flows of the group that are not named any more: they stay as they are, are disabled, or are
   * deleted with their places, inbox and open failures. One that was disabled so is enabled when it is named again,
   * unless its definition says otherwise. @default "keep"
   */
  readonly removed?: "keep" | "disable" | "delete";
}

const optionRules: Shape<RegistryOptions> = {
  exports: v.optional(v.custom(isObject, "an object of exports by their ids")),
  imports: v.optional(v.custom(isObject, "an object of imports by their ids")),
  // Not all of its methods: enough to distinguish it from a class, a path or a promise that was not awaited.
  storage: v.optional(objectWith(["insertFlow", "queueRun", "commitPage"], "a storage that is open")),
  timezone: v.optional(
    v.custom(
      (value) => typeof value === "string" && checkCron("* * * * *", value).length === 0,
      'an IANA time zone such as "Europe/Berlin"',
    ),
  ),
  clock: v.optional(objectWith(["now", "setTimer", "yieldToEventLoop"])),
  newId: v.optional(callable),
};

/** @throws an `Invalid` naming the first option that is unknown, or invalid. */
export function checkOptions(options: RegistryOptions, Invalid: ProblemError): void {
  checkObject(options, Invalid, "options");
  if (isAwaitable(options.storage))
    throw new Invalid("storage", "a storage that is open", options.storage, { hint: ": await it" });
  validate(options, optionRules, Invalid);
}

/** What `defineAll` takes. */
export const flowsById = v.custom<object>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "an object of flows by their ids",
);

/** What the options of `defineAll` have to be. */
export const defineAllRules: Shape<DefineAllOptions> = {
  group: v.optional(chosenId),
  removed: v.optional(oneOf("keep", "disable", "delete")),
};

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

// An id takes up to four random numbers. The package fetches eight at once, which is most of what an id costs then.
const randoms = new Uint32Array(128);
let used = randoms.length;

const ids = new V7Generator({
  nextUint32() {
    if (used === randoms.length) {
      randomFillSync(randoms);
      used = 0;
    }
    return randoms[used++] ?? 0;
  },
});

/** A UUIDv7, each after the ones before. */
export function newId(): string {
  return ids.generate().toString();
}
