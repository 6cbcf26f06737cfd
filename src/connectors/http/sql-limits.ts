import { randomUUID } from "node:crypto";
import { type Clock, delay, systemClock } from "../../clock.ts";
import { InvalidOptionError, retryLater } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";
import { type Shape, duration, objectWith, string, v, validate, wholeNumber } from "../../model/validate.ts";
import { type SqlDatabase, type SqlQueries, tableName } from "../sql/database.ts";
import { type Limits, SteadyTime, localLimits } from "./limits.ts";
import { durationText } from "./waiting.ts";

/** Limits that several processes share through a database. */
export interface SqlLimitOptions {
  readonly database: SqlDatabase;
  /** Which limits of the table: a name for each account at an API. */
  readonly name: string;
  /** Has the columns `name` (text, the primary key) and `state` (text). @default "poundlock_limits" */
  readonly table?: string;
  /** Requests that may begin in any `perMs`, in all processes together; 1 or more. @default as many as the concurrency allows */
  readonly requests?: number;
  /** Milliseconds; above 0. Required with `requests`. */
  readonly perMs?: number;
  /** Requests under way at once in this process; 1 or more. @default 8 */
  readonly concurrency?: number;
  /** Milliseconds of a pause that a request waits for in its place; whoever would wait longer is refused at once. @default 5000 */
  readonly patienceMs?: number;
  /** @default the system's */
  readonly clock?: Clock;
}

const optionRules: Shape<SqlLimitOptions> = {
  database: objectWith(["query", "transaction"], "a database of poundlock/connectors/sql"),
  name: v.pipe(string, v.minLength(1, "a name")),
  table: v.optional(v.pipe(string, v.minLength(1, "the name of a table"))),
  requests: v.optional(wholeNumber(1, 1_000_000)),
  perMs: v.optional(v.pipe(duration, v.gtValue(0, "a number of milliseconds, above 0"))),
  concurrency: v.optional(wholeNumber(1)),
  patienceMs: v.optional(duration),
  clock: v.optional(objectWith(["now", "setTimer"], "a clock")),
};

/**
 * Limits that count for all processes which share a database: each leases a portion of the rate, uses it within a moment,
 * and a pause that one is asked for is everybody's. `concurrency` counts in each process.
 *
 * While the database is away no request begins: it is refused, as not sent.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function sqlLimits(options: SqlLimitOptions): Limits {
  validate(options, optionRules, InvalidOptionError, "sqlLimits.");
  const { requests, perMs } = options;
  if ((requests === undefined) !== (perMs === undefined))
    throw new InvalidOptionError("sqlLimits.perMs", "requests and perMs together", perMs);
  return new SqlLimits(options);
}

/** A turn of its quota that is further away than this is not waited for, in milliseconds. */
const longestQueueMs = 120_000;

/** Starts that a process may make within `lengthMs` of when it asked for them, by its own clock. */
interface Portion {
  readonly id: string;
  readonly askedAt: number;
  readonly lengthMs: number;
  left: number;
  used: number;
  lastUsedAt: number;
}

class SqlLimits implements Limits {
  readonly #patienceMs: number;
  readonly #local: Limits;
  readonly #clock: Clock;
  readonly #time: SteadyTime;
  readonly #shared: SharedState;
  readonly #portionMs: number;
  #portion: Portion | undefined;
  #lease: Promise<number> | undefined;
  #roundTripMs = 0;
  #waiting = 0;
  #pausedUntil = -Infinity;
  #pauseToShare = false;

  constructor(options: SqlLimitOptions) {
    const { concurrency = 8, patienceMs = 5_000, clock = systemClock, perMs = 10_000 } = options;
    this.#patienceMs = patienceMs;
    this.#clock = clock;
    this.#time = new SteadyTime(clock);
    this.#local = localLimits({ concurrency, patienceMs }, clock);
    this.#shared = new SharedState(options);
    this.#portionMs = Math.min(1_000, Math.max(100, perMs / 10));
  }

  async enter(signal: AbortSignal): Promise<() => void> {
    const leave = await this.#local.enter(signal);
    this.#waiting++;
    try {
      while (!this.#take()) await this.#wait(signal);
      return leave;
    } catch (error) {
      leave();
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  pause(ms: number): void {
    this.#local.pause(ms);
    const until = this.#time.now() + ms;
    if (!(until > this.#pausedUntil)) return;
    this.#pausedUntil = until;
    this.#pauseToShare = true;
    // What fails now is done with the next portion.
    this.#sharePause().catch(() => undefined);
  }

  async #sharePause(): Promise<void> {
    // The portion that is on its way was asked for before.
    await this.#lease?.catch(() => undefined);
    if (this.#pauseToShare) await this.#leaseOnce();
  }

  #take(): boolean {
    const now = this.#time.now();
    const portion = this.#portion;
    if (
      portion === undefined ||
      portion.left === 0 ||
      now >= portion.askedAt + portion.lengthMs ||
      now < this.#pausedUntil
    )
      return false;
    portion.left--;
    portion.used++;
    portion.lastUsedAt = now;
    return true;
  }

  /** Until there may be something to take. @throws `retryLater` if that is too long, or the database is away. */
  async #wait(signal: AbortSignal): Promise<void> {
    const quotaMs = this.#pauseLeftMs() > 0 ? 0 : await this.#leaseOnce();
    const pauseMs = this.#pauseLeftMs();
    if (pauseMs > this.#patienceMs)
      throw retryLater(`paused for ${durationText(pauseMs)}, as the server asked`, { afterMs: pauseMs });
    const waitMs = Math.max(quotaMs, pauseMs);
    if (waitMs > longestQueueMs)
      throw retryLater(`limits.requests are used up for ${durationText(waitMs)}`, { afterMs: waitMs });
    if (waitMs > 0) await delay(this.#clock, waitMs, signal);
    signal.throwIfAborted();
  }

  #pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntil - this.#time.now());
  }

  // Whoever comes while a portion is on its way waits for the same one.
  #leaseOnce(): Promise<number> {
    this.#lease ??= this.#leasePortion().finally(() => (this.#lease = undefined));
    return this.#lease;
  }

  /** Returns how long to wait for another portion if this one is none. */
  async #leasePortion(): Promise<number> {
    const askedAt = this.#time.now();
    const pausedUntil = this.#pausedUntil;
    const before = this.#portion;
    const lengthMs = Math.max(this.#portionMs, 4 * this.#roundTripMs);
    const id = randomUUID();
    const ask: LeaseRequest = {
      id,
      lengthMs,
      // What was used lately is likely to be used again.
      count: Math.max(this.#waiting, before?.used ?? 0),
      ...(before === undefined ? {} : { closed: closedBy(before) }),
      ...(this.#pauseToShare ? { pauseMs: Math.max(0, pausedUntil - askedAt) } : {}),
    };
    // Nothing is begun under the portion before once it is said to be closed.
    this.#portion = undefined;
    const { granted, waitMs, pausedMs } = await this.#shared.lease(ask);
    if (ask.pauseMs !== undefined && pausedUntil === this.#pausedUntil) this.#pauseToShare = false;
    const now = this.#time.now();
    this.#roundTripMs = now - askedAt;
    this.#portion = { id, askedAt, lengthMs, left: granted, used: 0, lastUsedAt: askedAt };
    if (now + pausedMs > this.#pausedUntil && pausedMs > 0) {
      this.#pausedUntil = now + pausedMs;
      this.#local.pause(pausedMs);
    }
    return granted > 0 ? 0 : waitMs;
  }
}

function closedBy({ id, used, lengthMs, askedAt, lastUsedAt }: Portion): ClosedPortion {
  return { id, used, lengthMs, ageMs: lastUsedAt - askedAt };
}

/** What a process asks for, and tells of the portion that it had. */
export interface LeaseRequest {
  readonly id: string;
  readonly count: number;
  /** How long the portion may be used, from when it is asked for. */
  readonly lengthMs: number;
  readonly closed?: ClosedPortion;
  readonly pauseMs?: number;
}

/** The portion before: how much of it was used, and when last, counted from when it was asked for. */
interface ClosedPortion {
  readonly id: string;
  readonly lengthMs: number;
  readonly used: number;
  readonly ageMs: number;
}

/** What a process gets. */
export interface LeaseAnswer {
  readonly granted: number;
  /** Until there may be something to grant. */
  readonly waitMs: number;
  readonly pausedMs: number;
}

/** Starts that were granted, the last of which is made at `end` or before. */
interface Grant {
  readonly id?: string;
  readonly end: number;
  readonly count: number;
}

/** What the row has. */
export interface LimitState {
  readonly grants: readonly Grant[];
  readonly pausedUntil: number;
}

/** Portions of a window are at most this share of it, so that all processes get some. */
const portionShare = 20;
/** Ends of grants are kept to this share of a window, so that their number is bounded. */
const endShare = 200;
/** After the database's clock was set back, the end of a grant is no further away than this, in milliseconds. */
const longestPortionMs = 10_000;

/**
 * Grants as much as keeps the promise: no `perMs` has more than `requests` starts. Of any starts in such a window, take the
 * grant that was made last: all others that reach into the window end after `now - perMs` of that moment, so that they
 * were counted.
 */
export function leaseOf(
  state: LimitState,
  ask: LeaseRequest,
  rate: { readonly requests: number; readonly perMs: number } | undefined,
  now: number,
): { readonly state: LimitState; readonly leased: LeaseAnswer } {
  const pausedUntil = Math.max(state.pausedUntil, ask.pauseMs === undefined ? 0 : now + ask.pauseMs);
  const pausedMs = Math.max(0, pausedUntil - now);
  if (rate === undefined) {
    const granted = pausedMs > 0 ? 0 : Number.MAX_SAFE_INTEGER;
    return { state: { grants: [], pausedUntil }, leased: { granted, waitMs: pausedMs, pausedMs } };
  }
  const { requests, perMs } = rate;
  const grants = grantsAt(state.grants, ask, perMs, now);
  const free = requests - grants.reduce((sum, { count }) => sum + count, 0);
  const most = Math.max(1, Math.ceil(requests / portionShare));
  const granted = pausedMs > 0 ? 0 : Math.max(0, Math.min(ask.count, most, free));
  const added = granted === 0 ? grants : [...grants, { id: ask.id, end: now + ask.lengthMs, count: granted }];
  const firstEnd = Math.min(...grants.map(({ end }) => end));
  const waitMs = Math.max(pausedMs, free > 0 ? 0 : Math.max(1, firstEnd + perMs - now));
  return { state: { grants: added, pausedUntil }, leased: { granted, waitMs, pausedMs } };
}

/** The grants that still count; those that can be used no more are put together where they end at about the same time. */
function grantsAt(all: readonly Grant[], ask: LeaseRequest, perMs: number, now: number): readonly Grant[] {
  const { closed } = ask;
  const open: Grant[] = [];
  const ended = new Map<number, number>();
  const slotMs = Math.max(1, Math.round(perMs / endShare));
  for (const grant of all) {
    const isMine = closed !== undefined && grant.id === closed.id;
    const end = Math.min(isMine ? grant.end - closed.lengthMs + closed.ageMs : grant.end, now + longestPortionMs);
    const count = isMine ? closed.used : grant.count;
    if (end <= now - perMs || count === 0) continue;
    // What may still be used can still be closed.
    if (!isMine && end > now && grant.id !== undefined) open.push({ ...grant, end });
    else {
      const slot = Math.ceil(end / slotMs) * slotMs;
      ended.set(slot, (ended.get(slot) ?? 0) + count);
    }
  }
  return [...Array.from(ended, ([end, count]) => ({ end, count })), ...open];
}

/** The row that processes share. */
class SharedState {
  readonly #options: SqlLimitOptions;
  readonly #table: string;

  constructor(options: SqlLimitOptions) {
    this.#options = options;
    this.#table = tableName(options.database.dialect, (options.table ?? "poundlock_limits").split("."));
  }

  async lease(ask: LeaseRequest): Promise<LeaseAnswer> {
    const { database, requests, perMs } = this.#options;
    const rate = requests === undefined || perMs === undefined ? undefined : { requests, perMs };
    try {
      for (;;) {
        const leased = await database.transaction((tx) => this.#change(tx, ask, rate));
        if (leased !== undefined) return leased;
        await this.#addRow();
      }
    } catch (error) {
      throw retryLater(`the limits ${this.#options.name}: ${messageOf(error)}`);
    }
  }

  async #change(
    tx: SqlQueries,
    ask: LeaseRequest,
    rate: Parameters<typeof leaseOf>[2],
  ): Promise<LeaseAnswer | undefined> {
    const { dialect } = this.#options.database;
    const text = `select state, ${dialect.nowMs} as now_ms from ${this.#table} where name = ${dialect.place(1)}${dialect.forUpdate}`;
    const [row] = await tx.query(text, [this.#options.name]);
    if (row === undefined) return undefined;
    const { state, leased } = leaseOf(stateIn(row.state), ask, rate, Number(row.now_ms));
    const set = `update ${this.#table} set state = ${dialect.place(1)} where name = ${dialect.place(2)}`;
    await tx.query(set, [JSON.stringify(state), this.#options.name]);
    return leased;
  }

  async #addRow(): Promise<void> {
    const { database, name } = this.#options;
    const { dialect } = database;
    try {
      await database.query(`insert into ${this.#table} (name) values (${dialect.place(1)})`, [name]);
    } catch (error) {
      // Another process has added it.
      if (dialect.faultOf(error) !== "reject") throw error;
    }
  }
}

function stateIn(text: unknown): LimitState {
  return typeof text === "string" ? (JSON.parse(text) as LimitState) : { grants: [], pausedUntil: 0 };
}
