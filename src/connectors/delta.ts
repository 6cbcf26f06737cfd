import { InvalidOptionError } from "../errors.ts";
import { type Export, type ExportContext, exportRules } from "../model/host/export.ts";
import { type Json, formatValue } from "../model/record/json.ts";
import type { Logger } from "../model/logger.ts";
import type { Page, UnreadableRecord } from "../model/host/page.ts";
import type { Flow } from "../model/flow/flow.ts";
import type { Run } from "../model/run.ts";
import { type Shape, callable, boolean, duration, v, validate, wholeNumber } from "../model/validate.ts";

/** When a record changed: epoch milliseconds, a date, or an ISO 8601 time. One without a zone is read as UTC. */
export type ChangeTime = number | string | Date;

/** How an export reads only what has changed. */
export interface Delta<T> {
  /** When the record changed, as its source says. A record for which it throws, or returns no time, is a failure. */
  readonly at: (record: T) => ChangeTime;
  /**
   * How far behind the newest record reading begins again, in milliseconds: longer than records take to become visible
   * at the source, and than its clock differs from this one. What was read before is dropped. @default 60000
   */
  readonly lookbackMs?: number;
  /** Records that are remembered to be dropped when they are read again; beyond it they are sent again. @default 1000 */
  readonly maxSeen?: number;
}

/** Where reading goes on. */
export interface DeltaCheckpoint {
  /** Change time of the newest record, in epoch milliseconds; never later than the start of the reading. */
  readonly high: number | null;
  /** Key and change time of records that the next reading finds again. */
  readonly seen: readonly (readonly [key: string, at: number | string])[];
  /** Of a reading that has not come to its end: where and when it began. */
  readonly open?: DeltaReadingStart;
}

/** Where and when a reading began. */
export interface DeltaReadingStart {
  readonly low: number | null;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  /** What goes on after the page, in the words of the source. */
  readonly next?: Json;
}

/** What `read` is given. */
export interface DeltaContext<N extends Json = Json> extends Omit<ExportContext<never>, "checkpoint" | "until"> {
  /** Read what has changed at this time or later; undefined: everything. */
  readonly since: Date | undefined;
  /** What the last page that was committed gave as its `next`, if this reading goes on. */
  readonly next: N | undefined;
}

/** A page that says how to go on after it. */
export interface DeltaPage<T, N extends Json = Json> {
  readonly records: readonly T[];
  /** A token, an offset, an id: given to `read` when this reading goes on after a crash. */
  readonly next?: N;
  readonly total?: number;
  /** What was found there and is no record. */
  readonly unreadable?: readonly UnreadableRecord[];
}

/** An export by {@link delta}, beside what exports have anyway. */
export interface DeltaExportOptions<T, N extends Json = Json>
  extends Delta<T>, Omit<Export<T, DeltaCheckpoint>, "pages" | "order" | "key" | "migrate" | "checkpointVersion"> {
  /** Identity of the record, as of any export: with its change time it is the version that is sent once. */
  readonly key: (record: T) => string;
  /**
   * Reads what has changed since `since`, that time included; a plain array is a page without `next`. Without `next` and
   * without `sorted`, a reading that is resumed begins at `since` again and drops what it has read.
   */
  readonly read: (context: DeltaContext<N>) => AsyncIterable<readonly T[] | DeltaPage<T, N>>;
  /** True: records come in ascending order of their change times, so that a resumed reading begins at the newest. @default false */
  readonly sorted?: boolean;
}

/** What is checked of a {@link Delta}. */
export const deltaRules: Shape<Delta<unknown>> = {
  at: callable,
  lookbackMs: v.optional(duration),
  maxSeen: v.optional(wholeNumber(0)),
};

const { pages: _, order: __, ...settingRules } = exportRules;
const optionRules = { ...settingRules, ...deltaRules, key: callable, read: callable, sorted: v.optional(boolean) };

/**
 * An export that reads only what has changed, for sources that can be asked "what has changed since?": each version of a
 * record is sent once, though its change time equals that of others, or it becomes visible late.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function delta<T, N extends Json = Json>(options: DeltaExportOptions<T, N>): Export<T, DeltaCheckpoint> {
  validate(options, optionRules, InvalidOptionError, "delta.");
  const { at: _at, lookbackMs: _lookback, maxSeen: _max, read: _read, sorted: _sorted, ...settings } = options;
  return { ...settings, order: "unordered", pages: (context) => readPages(options, context) };
}

async function* readPages<T, N extends Json>(
  options: DeltaExportOptions<T, N>,
  context: ExportContext<DeltaCheckpoint>,
): AsyncGenerator<Page<T, DeltaCheckpoint>> {
  const reading = new DeltaReading(options, context);
  const given = new ReadContext<N>(context, reading.since, context.checkpoint?.open?.next as N | undefined);
  for await (const page of options.read(given)) {
    if (context.signal.aborted) return;
    const { records, next, total, unreadable = [] } = isPage(page) ? page : { records: page };
    const taken = reading.take(records);
    const problems = [...unreadable, ...(taken.unreadable ?? [])];
    yield {
      records: taken.records,
      ...(problems.length === 0 ? {} : { unreadable: problems }),
      checkpoint: reading.checkpoint(next),
      ...(total === undefined ? {} : { total }),
    };
    if (reading.isPastUntil) break;
  }
  if (!context.signal.aborted && reading.hasMoved) yield { records: [], checkpoint: reading.end() };
}

/** What a {@link DeltaReading} goes by. */
export interface DeltaRule<T> extends Delta<T> {
  readonly key: (record: T) => string;
  readonly sorted?: boolean;
}

/** What is new of a page. */
export interface DeltaRecords<T> {
  readonly records: readonly T[];
  /** Records without a change time. */
  readonly unreadable?: readonly UnreadableRecord[];
}

interface SeenVersion {
  readonly at: number | string;
  readonly ms: number;
}

/**
 * One reading of what has changed, page by page.
 *
 * Nothing is lost: after it, `high` is at most the time at which it began. A record that it missed became visible later
 * than that, so it changed no earlier than `high - lookbackMs`, which is where the next reading begins.
 */
export class DeltaReading<T> {
  readonly #rule: DeltaRule<T>;
  readonly #lookbackMs: number;
  readonly #maxSeen: number;
  readonly #low: number | null;
  readonly #startedAt: number;
  readonly #until: DeltaCheckpoint | undefined;
  readonly #untilSeen: ReadonlyMap<string, number | string>;
  #high: number | null;
  #seen = new Map<string, SeenVersion>();
  #isOpen: boolean;
  #pastUntil = false;

  constructor(
    rule: DeltaRule<T>,
    context: { readonly checkpoint: DeltaCheckpoint | undefined; readonly until?: DeltaCheckpoint; readonly run: Run },
  ) {
    const { checkpoint, run, until } = context;
    this.#rule = rule;
    this.#lookbackMs = rule.lookbackMs ?? 60_000;
    this.#maxSeen = rule.maxSeen ?? 1_000;
    this.#high = checkpoint?.high ?? null;
    this.#low = checkpoint?.open === undefined ? this.#high : checkpoint.open.low;
    this.#startedAt = checkpoint?.open?.startedAt ?? Date.parse(run.startedAt ?? run.queuedAt);
    this.#isOpen = checkpoint?.open !== undefined;
    this.#until = until?.open === undefined ? until : undefined;
    this.#untilSeen = new Map(this.#until?.seen);
    for (const [key, at] of checkpoint?.seen ?? []) this.#seen.set(key, { at, ms: readChangeTime(at) });
  }

  /** What is asked of the source: whatever changed then or later. */
  get since(): Date | undefined {
    const from = this.#rule.sorted === true ? this.#high : this.#low;
    return from === null ? undefined : new Date(from - this.#lookbackMs);
  }

  /** Whether the reading's end is to be committed: the next one begins elsewhere, or this one has pages that say it is open. */
  get hasMoved(): boolean {
    return this.#isOpen || this.#until !== undefined;
  }

  /** True in a reading that catches up, if all that follows is for the next one. */
  get isPastUntil(): boolean {
    return this.#pastUntil;
  }

  /** The records of a page, without those that were read before. */
  take(records: readonly T[]): DeltaRecords<T> {
    const fresh: T[] = [];
    const unreadable: UnreadableRecord[] = [];
    for (const record of records) {
      const key = keyOf(this.#rule, record);
      try {
        const at = this.#rule.at(record);
        if (this.#isNew(key, at instanceof Date ? at.getTime() : at, readChangeTime(at))) fresh.push(record);
      } catch (error) {
        unreadable.push({ raw: record, error, ...(key === undefined ? {} : { key }) });
      }
    }
    this.#forget(this.#rule.sorted === true ? this.#high : this.#low);
    return unreadable.length === 0 ? { records: fresh } : { records: fresh, unreadable };
  }

  /** To be committed with the page that was taken last; `next`: how the source goes on after it. */
  checkpoint(next?: Json): DeltaCheckpoint {
    const base = { high: this.#high, seen: this.#seenPairs() };
    this.#isOpen = true;
    if (this.#rule.sorted === true && next === undefined) return base;
    const open = { low: this.#low, startedAt: this.#startedAt, ...(next === undefined ? {} : { next }) };
    return { ...base, open };
  }

  /** To be committed once all is read. */
  end(): DeltaCheckpoint {
    if (this.#until !== undefined) return this.#until;
    this.#forget(this.#high);
    return { high: this.#high, seen: this.#seenPairs() };
  }

  // `at` stays as it is: a string may tell versions apart within a millisecond.
  #isNew(key: string | undefined, at: number | string, ms: number): boolean {
    if (this.#isForLater(key, at, ms) || (key !== undefined && this.#seen.get(key)?.at === at)) return false;
    const reached = Math.min(ms, this.#startedAt);
    if (this.#high === null || reached > this.#high) this.#high = reached;
    if (key !== undefined) this.#seen.set(key, { at, ms });
    return true;
  }

  // Where the other imports stand is where all are read for together again, so what they have not read is left for then.
  #isForLater(key: string | undefined, at: number | string, ms: number): boolean {
    const { high } = this.#until ?? {};
    if (high === undefined) return false;
    if (this.#rule.sorted === true && high !== null && ms > high) this.#pastUntil = true;
    if (high !== null && ms < high - this.#lookbackMs) return false;
    return key === undefined || this.#untilSeen.get(key) !== at;
  }

  #forget(from: number | null): void {
    const least = from === null ? -Infinity : from - this.#lookbackMs;
    let kept = [...this.#seen].filter(([, { ms }]) => ms >= least);
    if (kept.length > this.#maxSeen)
      kept = kept.sort(([, one], [, other]) => one.ms - other.ms).slice(kept.length - this.#maxSeen);
    else if (kept.length === this.#seen.size) return;
    this.#seen = new Map(kept);
  }

  #seenPairs(): DeltaCheckpoint["seen"] {
    return [...this.#seen].map(([key, { at }]) => [key, at] as const);
  }
}

const isoTime = /^[+-]?\d{4,6}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/**
 * Epoch milliseconds of a change time; a time without a zone is UTC.
 *
 * @throws RangeError if it is none.
 */
export function readChangeTime(at: unknown): number {
  if (typeof at === "number" && Number.isFinite(at)) return at;
  if (at instanceof Date && !Number.isNaN(at.getTime())) return at.getTime();
  if (typeof at === "string") {
    const [, zone] = isoTime.exec(at) ?? [undefined, undefined];
    const ms = isoTime.test(at) ? parseIso(at, zone) : Number.NaN;
    if (!Number.isNaN(ms)) return ms;
  }
  throw new RangeError(`delta.at: expected epoch milliseconds or an ISO 8601 time, found ${formatValue(at)}`);
}

// `Date.parse` reads a time without a zone as local time, and knows no zone of hours only.
function parseIso(time: string, zone: string | undefined): number {
  const plain = time.replace(" ", "T").replace(",", ".");
  if (zone === undefined) return Date.parse(plain.length > 10 && plain.includes("T") ? `${plain}Z` : plain);
  return Date.parse(/^[+-]\d\d$/.test(zone) ? `${plain}:00` : plain);
}

// A record without a key cannot be known again; the run makes a failure of it.
function keyOf<T>(rule: DeltaRule<T>, record: T): string | undefined {
  try {
    const key: unknown = rule.key(record);
    return typeof key === "string" ? key : undefined;
  } catch {
    return undefined;
  }
}

function isPage<T, N extends Json>(page: readonly T[] | DeltaPage<T, N>): page is DeltaPage<T, N> {
  return !Array.isArray(page);
}

class ReadContext<N extends Json> implements DeltaContext<N> {
  readonly since: Date | undefined;
  readonly next: N | undefined;
  readonly run: Run;
  readonly flow: Flow;
  readonly pageSize: number;
  readonly limit?: number;
  readonly log: Logger;
  readonly #context: ExportContext<DeltaCheckpoint>;

  constructor(context: ExportContext<DeltaCheckpoint>, since: Date | undefined, next: N | undefined) {
    this.since = since;
    this.next = next;
    this.run = context.run;
    this.flow = context.flow;
    this.pageSize = context.pageSize;
    if (context.limit !== undefined) this.limit = context.limit;
    this.log = context.log;
    this.#context = context;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }
}
