import type { Clock } from "../clock.ts";
import { InvalidOptionError } from "../errors.ts";
import type { Executor } from "../executor/executor.ts";
import { LocalExecutor } from "../executor/local-executor.ts";
import { SharedExecutor } from "../executor/shared-executor.ts";
import { type Logger, consoleLogger, harmlessLogger } from "../model/logger.ts";
import {
  type Shape,
  boolean,
  callable,
  duration,
  objectWith,
  oneOf,
  v,
  validate,
  wholeNumber,
} from "../model/validate.ts";
import { type Role, roles } from "../model/worker-process.ts";
import { Tracer } from "../run/tracer.ts";
import type { Tracing } from "../run/tracing.ts";
import type { Storage } from "../storage/storage.ts";
import { livingProcesses } from "./maintenance/heartbeat.ts";

/** How a scheduler works. Durations are milliseconds. */
export interface SchedulerOptions {
  /** Runs at once in this process, over all flows; 1 or more. @default 10 */
  readonly concurrency?: number;
  /**
   * What a due time does while a run of the flow waits or runs. `bufferOne`: one scheduled run waits at most, and the
   * rest is coalesced into it. `bufferAll`: each gets a run of its own. `skip`: none.
   *
   * @default "bufferOne"
   */
  readonly overlap?: "bufferOne" | "bufferAll" | "skip";
  /** Waiting runs of one flow; beyond it `run` is refused as `busy`; 1 or more. @default 1000 */
  readonly maxQueued?: number;
  /**
   * How old a missed due time may be to be caught up; 0 means never. A due time is missed if its run was not queued
   * within a minute.
   *
   * @default 86400000
   */
  readonly catchUpWindowMs?: number;
  /** How long a run may go unrenewed before another process reclaims it; 1000 or more. @default 30000 */
  readonly leaseMs?: number;
  /** How often a run may be reclaimed without a committed page in between before it fails; 0 or more. @default 3 */
  readonly maxCrashes?: number;
  /** What `stop` gives running runs before it aborts them; 0 or more. @default 10000 */
  readonly graceMs?: number;
  /** Pages read ahead of the one being written; 0 or more. @default 1 */
  readonly prefetch?: number;
  /** Tries of one batch, the first included, and reads of an export without progress; 1 or more. @default 5 */
  readonly maxAttempts?: number;
  /** The longest wait before the second try; doubled before each one after, full jitter, at most a minute; 0 or more. @default 1000 */
  readonly retryDelayMs?: number;
  /**
   * The longest wait that a run keeps its slot for, in milliseconds; 0 or more. A destination that asks for more is
   * paused, and a run whose export asks for more gives its slot back. @default 30000
   */
  readonly maxWaitMs?: number;
  /** New failures of one run at one import; with one more the import is paused; 0 or more. @default 1000 */
  readonly maxFailures?: number;
  /** Open failures of one flow at one import; with one more the import is paused; 0 or more. @default 10000 */
  readonly maxOpenFailures?: number;
  /**
   * When failures with fault `retry` are sent again by themselves; false: never.
   *
   * @default { afterMs: 300000, maxDelayMs: 21600000, days: 3 }
   */
  readonly autoRetry?: AutoRetryOptions | false;
  /** How long the position of a reading that is not through outlives its run, in milliseconds; 0 or more. @default 86400000 */
  readonly positionMaxAgeMs?: number;
  /**
   * How long `waitFor` waits for a run, in milliseconds, before it rejects as `conflict`; 0 or more.
   *
   * @default as long as it takes
   */
  readonly waitTimeoutMs?: number;
  /**
   * Whether records are frozen as they are read, so that an import that changes them fails where its author sees it.
   * `false` saves about 0.1 µs a record and trusts the host's code. @default true
   */
  readonly freezeRecords?: boolean;
  /** Pages waiting in one flow's inbox; beyond it `accept` is refused as `busy`; 1 or more. @default 10000 */
  readonly maxInboxPages?: number;
  /** How long an event id is remembered; 0 or more. @default 86400000 */
  readonly dedupeWindowMs?: number;
  /** Ended runs and resolved failures that are kept: not older than `days`, and `runsPerFlow` of each flow. @default { days: 30, runsPerFlow: 1000 } */
  readonly retention?: Retention;
  /**
   * What this process does for all that share the storage: `schedule` looks for due times, `run` executes runs, `listen`
   * listens on exports. With none of them it still queues, cancels, takes records in and lists.
   *
   * @default all of them
   */
  readonly roles?: readonly Role[];
  /** A name for this process among others, in `processes()`; 1 to 255 characters. @default none */
  readonly name?: string;
  /** Where runs execute. @default the storage's wake-ups carried by its own executor if it has any, else new LocalExecutor() */
  readonly executor?: Executor;
  /** Tells the time. @default the registry's */
  readonly clock?: Clock;
  /**
   * Where structured lines go: one for each run that ended, and for what went wrong. What it throws is dropped.
   *
   * @default the console, for warnings and errors
   */
  readonly logger?: Logger;
  /** Watches what runs do: `openTelemetry()`, `diagnosticsChannel()`, or a host's own. It cannot harm a run. @default none */
  readonly tracing?: Tracing;
  /** Makes ids; each has to be new, and later ones sort after earlier ones. @default the registry's */
  readonly newId?: () => string;
  /** From 0 up to but not including 1, for the jitter. @default Math.random */
  readonly random?: () => number;
}

/** How much history is kept. */
export interface Retention {
  /** More than 0. @default 30 */
  readonly days?: number;
  /** 1 or more. @default 1000 */
  readonly runsPerFlow?: number;
}

/** When failures are sent again by themselves. */
export interface AutoRetryOptions {
  /** Milliseconds until the first time; doubled with each; 0 or more. @default 300000 */
  readonly afterMs?: number;
  /** The longest time between two, in milliseconds; 0 or more. @default 21600000 */
  readonly maxDelayMs?: number;
  /** Days after the first failure for which it goes on; more than 0. @default 3 */
  readonly days?: number;
}

/** Options with every default filled in. */
export interface ResolvedOptions extends Required<
  Omit<SchedulerOptions, "retention" | "autoRetry" | "name" | "tracing">
> {
  readonly name: string | undefined;
  readonly autoRetry: Required<AutoRetryOptions> | false;
  readonly retention: Required<Retention>;
  readonly tracer: Tracer | undefined;
}

/** Where the registry's own parts stand in for options that are not given. */
interface RegistryDefaults {
  readonly storage: Pick<Storage, "wakes" | "listProcesses">;
  readonly clock: Clock;
  readonly newId: () => string;
}

const nameWords = "1 to 255 characters";

const optionRules: Shape<SchedulerOptions> = {
  concurrency: v.optional(wholeNumber(1)),
  overlap: v.optional(oneOf("bufferOne", "bufferAll", "skip")),
  maxQueued: v.optional(wholeNumber(1)),
  catchUpWindowMs: v.optional(duration),
  leaseMs: v.optional(wholeNumber(1_000)),
  maxCrashes: v.optional(wholeNumber(0)),
  graceMs: v.optional(duration),
  prefetch: v.optional(wholeNumber(0)),
  maxAttempts: v.optional(wholeNumber(1)),
  retryDelayMs: v.optional(duration),
  maxWaitMs: v.optional(duration),
  maxFailures: v.optional(wholeNumber(0)),
  maxOpenFailures: v.optional(wholeNumber(0)),
  autoRetry: v.optional(
    v.custom(
      (value) => value === false || (typeof value === "object" && value !== null),
      "false, or an object with afterMs, maxDelayMs and days",
    ),
  ),
  positionMaxAgeMs: v.optional(duration),
  waitTimeoutMs: v.optional(duration),
  freezeRecords: v.optional(boolean),
  maxInboxPages: v.optional(wholeNumber(1)),
  dedupeWindowMs: v.optional(duration),
  retention: v.optional(
    v.custom((value) => typeof value === "object" && value !== null, "an object with days and runsPerFlow"),
  ),
  roles: v.optional(
    v.custom(areRoles, `an array of ${roles.map((role) => `"${role}"`).join(", ")}, each at most once`),
  ),
  name: v.optional(v.pipe(v.string(nameWords), v.minLength(1, nameWords), v.maxLength(255, nameWords))),
  executor: v.optional(objectWith(["start", "wake", "stop"])),
  clock: v.optional(objectWith(["now", "setTimer", "yieldToEventLoop"])),
  logger: v.optional(objectWith(["debug", "info", "warn", "error"])),
  tracing: v.optional(objectWith(["around"])),
  newId: v.optional(callable),
  random: v.optional(callable),
};

const autoRetryRules: Shape<AutoRetryOptions> = {
  afterMs: v.optional(duration),
  maxDelayMs: v.optional(duration),
  days: v.optional(v.custom((value) => Number.isFinite(value) && Number(value) > 0, "a number above 0")),
};

const retentionRules: Shape<Retention> = {
  days: v.optional(v.custom((value) => Number.isFinite(value) && Number(value) > 0, "a number above 0")),
  runsPerFlow: v.optional(wholeNumber(1)),
};

/**
 * The options with their defaults.
 *
 * @throws `invalid_option` naming the first one that is unknown, or out of range.
 */
export function resolveOptions(options: SchedulerOptions, inherited: RegistryDefaults): ResolvedOptions {
  validate(options, optionRules, InvalidOptionError);
  const { retention = {}, clock = inherited.clock, newId = inherited.newId } = options;
  validate(retention, retentionRules, InvalidOptionError, "retention.");
  const { autoRetry = {} } = options;
  if (autoRetry !== false) validate(autoRetry, autoRetryRules, InvalidOptionError, "autoRetry.");
  const { concurrency = 10, overlap = "bufferOne", maxQueued = 1_000, catchUpWindowMs = 86_400_000 } = options;
  const { leaseMs = 30_000, maxCrashes = 3, graceMs = 10_000, prefetch = 1 } = options;
  const { maxAttempts = 5, retryDelayMs = 1_000, maxWaitMs = 30_000 } = options;
  const { maxFailures = 1_000, maxOpenFailures = 10_000 } = options;
  const { freezeRecords = true, positionMaxAgeMs = 86_400_000, waitTimeoutMs = Infinity } = options;
  const { maxInboxPages = 10_000, dedupeWindowMs = 86_400_000 } = options;
  const { executor = executorFor(inherited.storage, clock), random = Math.random, name } = options;
  const { roles: own = roles } = options;
  const logger = harmlessLogger(options.logger ?? consoleLogger);
  const { days = 30, runsPerFlow = 1_000 } = retention;
  return Object.freeze({
    ...{ concurrency, overlap, maxQueued, catchUpWindowMs, leaseMs, maxCrashes, graceMs, prefetch, maxAttempts },
    ...{ retryDelayMs, maxFailures, maxInboxPages, dedupeWindowMs, executor, clock, logger, newId, random },
    ...{ roles: Object.freeze([...own]), name },
    ...{ maxWaitMs, maxOpenFailures, freezeRecords, positionMaxAgeMs, waitTimeoutMs },
    autoRetry: autoRetry === false ? autoRetry : resolvedAutoRetry(autoRetry),
    tracer: options.tracing === undefined ? undefined : new Tracer(options.tracing),
    retention: Object.freeze({ days, runsPerFlow }),
  });
}

// Processes share wake-ups only while there are several.
function executorFor(storage: RegistryDefaults["storage"], clock: Clock): Executor {
  const { wakes } = storage;
  if (wakes === undefined) return new LocalExecutor({ clock });
  const isAlone = async () => (await livingProcesses(storage, clock.now())).length < 2;
  return new SharedExecutor(wakes, { clock, isAlone });
}

function areRoles(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    new Set(value).size === value.length &&
    value.every((role) => (roles as readonly unknown[]).includes(role))
  );
}

function resolvedAutoRetry(given: AutoRetryOptions): Required<AutoRetryOptions> {
  const { afterMs = 300_000, maxDelayMs = 21_600_000, days = 3 } = given;
  return Object.freeze({ afterMs, maxDelayMs, days });
}

/** @throws `invalid_option` */
export function checkNumber(option: string, value: unknown): void {
  validate({ [option]: value }, { [option]: duration }, InvalidOptionError);
}
