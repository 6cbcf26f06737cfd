import { isAborted } from "../../clock.ts";
import { type Cron, basisOf, cronOf } from "../../cron/cron.ts";
import { aheadMs, hasRunAhead } from "../../model/flow/clock-ahead.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { DueTimeChange, ScheduledFlow, Storage } from "../../storage/storage.ts";
import { WaitsAhead, type WaitsAheadDeps } from "./waits-ahead.ts";

/** Everything a schedule check needs. */
export interface ScheduleCheckDeps extends WaitsAheadDeps {
  readonly storage: WaitsAheadDeps["storage"] & Pick<Storage, "scheduledFlows" | "rescheduleFlows">;
  /** The zone of flows that name none. */
  readonly timezone: string;
  /** A due time was computed anew. */
  readonly onDue: (dueAt: number) => void;
}

/** Flows looked at in one call. */
const sliceSize = 1_000;

/** Flows looked at before `all` resolves; the rest follows after it. */
const flowsAtOnce = 10_000;

/** Flows whose runs are looked at in one call; each may have as many as its history. */
const forgottenAtOnce = 10;

/** What a look at flows goes by. */
interface Look {
  /** Due times of another basis are computed anew, too. */
  readonly byBasis: boolean;
  /** How far the clock was set back, in milliseconds; 0: it was not, as far as this process knows. */
  readonly setBackMs: number;
}

/**
 * Keeps stored due times right. A due time is a cache: it is stored with what it was computed from, and computed anew
 * where that differs, or where it lies beyond the next one counted from now. What a clock has run that was more than an
 * hour ahead is run again at its time: a flow would stand still for as long as that clock was ahead. Finds flows that are
 * overdue, too.
 */
export class ScheduleCheck {
  readonly #deps: ScheduleCheckDeps;
  readonly #waits: WaitsAhead;
  /** When `all` began last. */
  #lookedAt = 0;
  /** Where `some` goes on. */
  #after: string | undefined;
  /** Flow → what was emitted of it last, so that it is emitted once. */
  readonly #reported = new Map<string, string>();

  constructor(deps: ScheduleCheckDeps) {
    this.#deps = deps;
    this.#waits = new WaitsAhead(deps);
  }

  /**
   * Looks at all flows with a schedule: at 10,000 of them before it resolves, at the rest after it, in slices.
   * `setBackMs`: how far the clock was set back since this process looked last; 0 if it looks for the first time. What
   * waits for a clock that was ahead waits no longer soon after.
   */
  async all(signal: AbortSignal, setBackMs = 0): Promise<void> {
    void this.#waits.end(signal, setBackMs);
    this.#lookedAt = this.#deps.clock.now();
    const look = { byBasis: true, setBackMs };
    let after: string | undefined;
    for (let looked = 0; looked < flowsAtOnce && !isAborted(signal); looked += sliceSize) {
      const flows = await this.#correct(after, look);
      if (flows.length < sliceSize) return;
      after = flows.at(-1)?.flow._id;
    }
    this.#rest(signal, after, look).catch((error: unknown) =>
      this.#deps.emit("background:error", { error, during: "checking due times" }),
    );
  }

  /** Looks at the next slice of flows, and of those with paused imports, and at the first one again after the last one. */
  async some(): Promise<void> {
    const flows = await this.#correct(this.#after, { byBasis: false, setBackMs: 0 });
    this.#after = flows.length < sliceSize ? undefined : flows.at(-1)?.flow._id;
    const now = this.#deps.clock.now();
    for (const { flow } of flows) this.#checkOverdue(flow, now);
    await this.#waits.some();
  }

  /** The schedule cannot be read here. Reported once for each state of the flow. */
  reportUnreadable(flow: Flow, error: unknown): void {
    this.#once(flow, `unreadable ${flow.lastModified}`, () =>
      this.#deps.emit("background:error", { error, during: `reading the schedule of flow ${flow._id}` }),
    );
  }

  async #rest(signal: AbortSignal, from: string | undefined, look: Look): Promise<void> {
    let after = from;
    for (let size = sliceSize; size === sliceSize;) {
      await this.#deps.clock.yieldToEventLoop();
      if (isAborted(signal)) return;
      const flows = await this.#correct(after, look);
      size = flows.length;
      after = flows.at(-1)?.flow._id;
    }
  }

  async #correct(after: string | undefined, look: Look): Promise<readonly ScheduledFlow[]> {
    const { clock, onDue, storage } = this.#deps;
    const flows = await storage.scheduledFlows(sliceSize, after);
    const now = clock.now();
    const changes = flows.flatMap((scheduled) => this.#changeOf(scheduled, now, look) ?? []);
    const size = changes.some(({ forgetAfter }) => forgetAfter !== undefined) ? forgottenAtOnce : sliceSize;
    for (let first = 0; first < changes.length; first += size)
      await storage.rescheduleFlows(changes.slice(first, first + size));
    for (const { dueAt } of changes) if (dueAt !== undefined) onDue(dueAt);
    return flows;
  }

  // Two processes whose tz data differ would undo each other's changes for ever if they did not look at the basis only
  // when they start.
  #changeOf({ basis: stored, flow }: ScheduledFlow, now: number, look: Look): DueTimeChange | undefined {
    const schedule = this.#scheduleOf(flow);
    const basis = basisOf(...schedule);
    if (basis === undefined) {
      this.#readOrReport(flow);
      return undefined;
    }
    const cron = cronOf(...schedule);
    const expected = flow.nextRunAt === undefined ? undefined : Date.parse(flow.nextRunAt);
    const next = cron.next(now);
    const isOld = basis !== stored;
    if (isOld && !look.byBasis && stored !== undefined && expected !== undefined) return undefined;
    const ranAhead = look.byBasis && (look.setBackMs > aheadMs || hasRunAhead(flow, now));
    const isWrong = isOld || ranAhead;
    if (!isWrong && (expected ?? Infinity) <= (next ?? Infinity)) return undefined;
    // One that has passed was missed, and stays so.
    const isPast = expected !== undefined && expected <= now;
    const dueAt = isPast ? cron.next(expected - 1) : next;
    if (dueAt === expected && !isWrong) return undefined;
    const followingDueAt = dueAt === undefined ? undefined : cron.next(dueAt);
    const change = { _flowId: flow._id, expected, dueAt, followingDueAt, basis };
    return ranAhead ? { ...change, forgetAfter: Math.min(now, (dueAt ?? Infinity) - 1) } : change;
  }

  #checkOverdue(flow: Flow, now: number): void {
    const cron = this.#readOrReport(flow);
    const dueAt = cron?.latest(now, 0);
    // What is due by now is queued by the timetable.
    if (
      cron === undefined ||
      dueAt === undefined ||
      (flow.nextRunAt !== undefined && Date.parse(flow.nextRunAt) <= now)
    )
      return;
    const intervalMs = dueAt - (cron.latest(dueAt - 1, 0) ?? -Infinity);
    const since = Math.max(
      ...[flow.lastExecutedAt ?? flow.createdAt, flow.lastModified].map((at) => this.#instantOf(at, now)),
    );
    if (dueAt - since < 2 * intervalMs) return;
    const { lastExecutedAt } = flow;
    const payload = { flow, dueAt: new Date(dueAt).toISOString() };
    this.#once(flow, `overdue ${dueAt}`, () =>
      this.#deps.emit("flow:overdue", { ...payload, ...(lastExecutedAt === undefined ? {} : { lastExecutedAt }) }),
    );
  }

  // What a clock did that was ahead counts as done when all flows were looked at last: nothing is known of when it was.
  #instantOf(at: string, now: number): number {
    const instant = Date.parse(at);
    return instant - now > aheadMs ? this.#lookedAt : instant;
  }

  #readOrReport(flow: Flow): Cron | undefined {
    try {
      return cronOf(...this.#scheduleOf(flow));
    } catch (error) {
      this.reportUnreadable(flow, error);
      return undefined;
    }
  }

  #scheduleOf(flow: Flow): readonly [expression: string, timezone: string, seed: string] {
    return [flow.schedule ?? "", flow.timezone ?? this.#deps.timezone, flow._id];
  }

  #once({ _id }: Flow, what: string, emit: () => void): void {
    if (this.#reported.get(_id) === what) return;
    this.#reported.set(_id, what);
    emit();
  }
}
