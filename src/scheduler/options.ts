import type { Clock } from "../clock.ts";
import { InvalidOptionError } from "../errors.ts";
import type { Executor } from "../executor/executor.ts";
import { LocalExecutor } from "../executor/local-executor.ts";
import { type Logger, silentLogger } from "../model/logger.ts";
import {
  type Rule,
  duration,
  firstBreach,
  firstUnknown,
  having,
  method,
  oneOf,
  optional,
  wholeFrom,
} from "../model/rule.ts";

/** How a scheduler works. Durations are milliseconds. */
export interface SchedulerOptions {
  /** Runs at once in this process, over all flows; 1 or more. @default 10 */
  readonly concurrency?: number;
  /**
   * What a due time does while a run of the flow waits or runs. `bufferOne`: one scheduled run waits at most, the rest
   * is folded into it. `bufferAll`: each gets a run of its own. `skip`: none.
   *
   * @default "bufferOne"
   */
  readonly overlap?: "bufferOne" | "bufferAll" | "skip";
  /** Waiting runs of one flow; beyond it `run` is refused as `busy`; 1 or more. @default 1000 */
  readonly maxQueued?: number;
  /** How old a missed due time may be to be caught up; 0 means never. @default 86400000 */
  readonly catchUpWindowMs?: number;
  /** How long a run may go unrenewed before another process takes it back; 1000 or more. @default 30000 */
  readonly leaseMs?: number;
  /** How often a run may be claimed back before it fails; 0 or more. @default 3 */
  readonly maxCrashes?: number;
  /** What `stop` gives running runs before it aborts them; 0 or more. @default 10000 */
  readonly graceMs?: number;
  /** Pages read ahead of the one being written; 0 or more. @default 1 */
  readonly prefetch?: number;
  /** Tries of one batch, the first included, and reads of an export without progress; 1 or more. @default 5 */
  readonly maxAttempts?: number;
  /** The longest wait before the second try; doubled before each one after, full jitter, at most a minute; 0 or more. @default 1000 */
  readonly retryDelayMs?: number;
  /** Failures of one run at one import; with one more the run fails instead; 0 or more. @default 1000 */
  readonly maxFailures?: number;
  /** Pages waiting in one flow's inbox; beyond it `accept` is refused as `busy`; 1 or more. @default 10000 */
  readonly maxInboxPages?: number;
  /** How long an event id is remembered; 0 or more. @default 86400000 */
  readonly dedupeWindowMs?: number;
  /** Ended runs and resolved failures that are kept: not older than `days`, and `runsPerFlow` of each flow. @default { days: 30, runsPerFlow: 1000 } */
  readonly retention?: Retention;
  /** Where runs execute. @default new LocalExecutor() */
  readonly executor?: Executor;
  /** Tells the time. @default the registry's */
  readonly clock?: Clock;
  /** Where structured lines go. @default silent */
  readonly logger?: Logger;
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

/** Options with every default filled in. */
export interface ResolvedOptions extends Required<Omit<SchedulerOptions, "retention">> {
  readonly retention: Required<Retention>;
}

/** Where the registry's own parts stand in for options that are not given. */
interface Inherited {
  readonly clock: Clock;
  readonly newId: () => string;
}

const optionRules: Readonly<Record<keyof SchedulerOptions, Rule>> = {
  concurrency: optional(wholeFrom(1)),
  overlap: optional(oneOf("bufferOne", "bufferAll", "skip")),
  maxQueued: optional(wholeFrom(1)),
  catchUpWindowMs: optional(duration),
  leaseMs: optional(wholeFrom(1_000)),
  maxCrashes: optional(wholeFrom(0)),
  graceMs: optional(duration),
  prefetch: optional(wholeFrom(0)),
  maxAttempts: optional(wholeFrom(1)),
  retryDelayMs: optional(duration),
  maxFailures: optional(wholeFrom(0)),
  maxInboxPages: optional(wholeFrom(1)),
  dedupeWindowMs: optional(duration),
  retention: optional({
    expected: "an object with days and runsPerFlow",
    holds: (value) => typeof value === "object" && value !== null,
  }),
  executor: optional(having("start", "wake", "stop")),
  clock: optional(having("now", "setTimer", "yieldToEventLoop")),
  logger: optional(having("debug", "info", "warn", "error")),
  newId: optional(method),
  random: optional(method),
};

const retentionRules: Readonly<Record<keyof Retention, Rule>> = {
  days: optional({ expected: "a number above 0", holds: (value) => Number.isFinite(value) && Number(value) > 0 }),
  runsPerFlow: optional(wholeFrom(1)),
};

/**
 * The options with their defaults.
 *
 * @throws `invalid_option` naming the first one that is unknown, or out of range.
 */
export function resolveOptions(options: SchedulerOptions, inherited: Inherited): ResolvedOptions {
  check("", options, optionRules);
  const { retention = {}, clock = inherited.clock, newId = inherited.newId } = options;
  check("retention.", retention, retentionRules);
  const { concurrency = 10, overlap = "bufferOne", maxQueued = 1_000, catchUpWindowMs = 86_400_000 } = options;
  const { leaseMs = 30_000, maxCrashes = 3, graceMs = 10_000, prefetch = 1 } = options;
  const { maxAttempts = 5, retryDelayMs = 1_000, maxFailures = 1_000 } = options;
  const { maxInboxPages = 10_000, dedupeWindowMs = 86_400_000 } = options;
  const { executor = new LocalExecutor({ clock }), logger = silentLogger, random = Math.random } = options;
  const { days = 30, runsPerFlow = 1_000 } = retention;
  return Object.freeze({
    ...{ concurrency, overlap, maxQueued, catchUpWindowMs, leaseMs, maxCrashes, graceMs, prefetch, maxAttempts },
    ...{ retryDelayMs, maxFailures, maxInboxPages, dedupeWindowMs, executor, clock, logger, newId, random },
    retention: Object.freeze({ days, runsPerFlow }),
  });
}

/** @throws `invalid_option` */
export function checkNumber(option: string, value: unknown): void {
  check("", { [option]: value }, { [option]: duration });
}

function check(place: string, given: object, rules: Readonly<Record<string, Rule>>): void {
  const breach = firstUnknown(given, rules) ?? firstBreach(given, rules);
  if (breach !== undefined) throw new InvalidOptionError(place + breach.field, breach.expected, breach.found);
}
