import { basisOf, cronOf } from "../../cron/cron.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Tick } from "../../storage/storage.ts";

/** How late the run of a due time may be queued, in milliseconds, before the due time counts as missed. */
export const latenessMs = 60_000;

/** What due flows become depends on these. */
export interface DueRunRules {
  /** The zone of flows that name none. */
  readonly timezone: string;
  readonly catchUpWindowMs: number;
  readonly newId: () => string;
}

/** What a due flow is to become. */
export interface DueRun {
  readonly flow: Flow;
  readonly tick: Tick;
  /** The due time the run is for, ISO 8601 UTC: the newest one, if several have passed. */
  readonly dueAt: string;
  /** The newest due time that was missed, if any was; ISO 8601 UTC. */
  readonly missed: string | undefined;
}

/** What flows have in common whose due time, expression and zone are the same. */
interface CommonDue {
  readonly tick: Omit<Tick, "_flowId" | "start">;
  readonly dueAt: string;
  readonly missed: string | undefined;
  /** Of the run; undefined: it is too late to catch up. */
  readonly trigger: "schedule" | "catch-up" | undefined;
}

/** Works out what flows become that are due at `now`; what equal ones have in common, once. */
export class DueRuns {
  readonly #rules: DueRunRules;
  readonly #now: number;
  readonly #queuedAt: string;
  readonly #common = new Map<string, CommonDue>();

  constructor(now: number, rules: DueRunRules) {
    this.#now = now;
    this.#queuedAt = isoOf(now);
    this.#rules = rules;
  }

  /** @throws RangeError if the flow's schedule cannot be read here. */
  of(flow: Flow): DueRun {
    const { missed, dueAt, tick, trigger } = this.#commonOf(flow);
    // All fields of both, as a literal that spreads costs more than all else here.
    const { dueAt: stored, nextDueAt, followingDueAt, basis } = tick;
    const common = { _flowId: flow._id, dueAt: stored, nextDueAt, followingDueAt };
    const based = basis === undefined ? common : { ...common, basis };
    if (trigger === undefined) return { flow, tick: based, dueAt, missed };
    const _id = this.#rules.newId();
    // Frozen, so that nobody has to copy it.
    const start = Object.freeze({ _id, _flowId: flow._id, trigger, queuedAt: this.#queuedAt, dueAt });
    return { flow, tick: { ...based, start }, dueAt, missed };
  }

  #commonOf(flow: Flow): CommonDue {
    const { schedule = "", timezone = this.#rules.timezone } = flow;
    // `H` draws by the flow's id. Whose schedule names a THU is computed alone, too.
    if (schedule.includes("H")) return this.#compute(flow, schedule, timezone);
    const key = `${flow.nextRunAt ?? ""} ${timezone} ${schedule}`;
    let common = this.#common.get(key);
    if (common === undefined) this.#common.set(key, (common = this.#compute(flow, schedule, timezone)));
    return common;
  }

  #compute(flow: Flow, schedule: string, timezone: string): CommonDue {
    const now = this.#now;
    const cron = cronOf(schedule, timezone, flow._id);
    const basis = basisOf(schedule, timezone, flow._id);
    const stored = placeOf(flow).dueAt;
    const isLate = now - stored > latenessMs;
    const dueAt = isLate ? (cron.latest(now, stored) ?? stored) : stored;
    const isMissed = now - dueAt > latenessMs;
    const missed = isMissed ? dueAt : isLate ? cron.latest(dueAt - 1, stored) : undefined;
    const nextDueAt = cron.next(isLate ? now : dueAt);
    const followingDueAt = nextDueAt === undefined ? undefined : cron.next(nextDueAt);
    const isTooLate = isMissed && now - dueAt > this.#rules.catchUpWindowMs;
    return {
      tick: { dueAt: stored, nextDueAt, followingDueAt, ...(basis === undefined ? {} : { basis }) },
      dueAt: isoOf(dueAt),
      missed: missed === undefined ? undefined : isoOf(missed),
      trigger: isTooLate ? undefined : isMissed ? "catch-up" : "schedule",
    };
  }
}

/** Where a flow stands among those that are due. */
export function placeOf({ _id, nextRunAt = "" }: Flow): { readonly dueAt: number; readonly _flowId: string } {
  return { dueAt: Date.parse(nextRunAt), _flowId: _id };
}

function isoOf(at: number): string {
  return new Date(at).toISOString();
}
