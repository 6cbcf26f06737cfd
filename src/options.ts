import type { Clock } from "./clock.ts";
import { InvalidOptionError } from "./errors.ts";
import type { Executor } from "./executor/executor.ts";
import { LocalExecutor } from "./executor/local-executor.ts";
import { type Logger, silentLogger } from "./model/logger.ts";

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
  /** How often a run may be taken back before it fails; 0 or more. @default 3 */
  readonly maxCrashes?: number;
  /** What `stop` gives running runs before it aborts them; 0 or more. @default 10000 */
  readonly graceMs?: number;
  /** Pages read ahead of the one being written; 0 or more. @default 1 */
  readonly prefetch?: number;
  /** Tries of one batch, the first included; 1 or more. @default 5 */
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

/**
 * The options with their defaults.
 *
 * @throws `invalid_option` naming the first one that is out of range, or unknown.
 */
export function resolveOptions(options: SchedulerOptions, inherited: Inherited): ResolvedOptions {
  const { clock = inherited.clock, newId = inherited.newId, retention = {} } = options;
  const { concurrency = 10, overlap = "bufferOne", maxQueued = 1_000, catchUpWindowMs = 86_400_000 } = options;
  const { leaseMs = 30_000, maxCrashes = 3, graceMs = 10_000, prefetch = 1 } = options;
  const { maxAttempts = 5, retryDelayMs = 1_000, maxFailures = 1_000 } = options;
  const { maxInboxPages = 10_000, dedupeWindowMs = 86_400_000 } = options;
  const { executor = new LocalExecutor({ clock }), logger = silentLogger, random = Math.random } = options;
  const { days = 30, runsPerFlow = 1_000 } = retention;
  const numbers = { catchUpWindowMs, graceMs, retryDelayMs, dedupeWindowMs };
  for (const [name, value] of Object.entries(numbers)) checkNumber(name, value);
  const counts = { concurrency, maxQueued, maxAttempts, maxInboxPages, "retention.runsPerFlow": runsPerFlow };
  for (const [name, value] of Object.entries(counts)) checkWhole(name, value, 1);
  for (const [name, value] of Object.entries({ maxCrashes, prefetch, maxFailures })) checkWhole(name, value, 0);
  checkWhole("leaseMs", leaseMs, 1_000);
  if (!(days > 0)) throw new InvalidOptionError("retention.days", "a number above 0", days);
  if (!["bufferOne", "bufferAll", "skip"].includes(overlap))
    throw new InvalidOptionError("overlap", '"bufferOne", "bufferAll" or "skip"', overlap);
  const resolved = {
    ...{ concurrency, overlap, maxQueued, catchUpWindowMs, leaseMs, maxCrashes, graceMs, prefetch, maxAttempts },
    ...{ retryDelayMs, maxFailures, maxInboxPages, dedupeWindowMs, executor, clock, logger, newId, random },
    retention: Object.freeze({ days, runsPerFlow }),
  };
  const unknown = Object.keys(options).find((name) => !(name in resolved));
  if (unknown !== undefined)
    throw new InvalidOptionError(unknown, `one of ${Object.keys(resolved).join(", ")}`, unknown);
  return Object.freeze(resolved);
}

/** @throws `invalid_option` */
export function checkNumber(option: string, value: unknown): void {
  if (!(Number.isFinite(value) && Number(value) >= 0))
    throw new InvalidOptionError(option, "a number of milliseconds, 0 or more", value);
}

function checkWhole(option: string, value: unknown, least: number): void {
  if (!(Number.isSafeInteger(value) && Number(value) >= least))
    throw new InvalidOptionError(option, `a whole number, ${least} or more`, value);
}
