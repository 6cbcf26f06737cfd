import { type CancelTimer, type Clock, Yielder, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Run } from "../../model/run.ts";
import type { OverlapRule, QueueDueResult, Storage } from "../../storage/storage.ts";
import type { Duties } from "../duties.ts";
import type { Heartbeat } from "../maintenance/heartbeat.ts";
import { type DueRun, type DueRunRules, DueRuns, placeOf } from "./due-runs.ts";
import type { ScheduleCheck } from "./schedule-check.ts";

/** Everything a timetable needs. */
export interface TimetableDeps extends DueRunRules {
  readonly storage: Pick<Storage, "bell" | "dueFlows" | "nextDueAt" | "queueDue">;
  readonly clock: Clock;
  readonly rule: OverlapRule;
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (flow: Pick<Run, "_flowId" | "_exportId">) => void;
  /** Whether another process may change when a flow is due. */
  readonly heartbeat: Pick<Heartbeat, "hasOthers">;
  readonly duties: Pick<Duties, "claim" | "release">;
  /** Computes stored due times anew where they are wrong. */
  readonly check: Pick<ScheduleCheck, "all" | "reportUnreadable">;
}

/** The longest the one timer is set for, in milliseconds: a suspended computer or a changed clock costs no more than this. */
export const maxTimerMs = 30_000;

/** The duty of looking for what is due, and how long it is claimed for, in milliseconds. */
const duty = { name: "timetable", lengthMs: 10_000 };

/** How often the process that has the duty looks for what others have changed, in milliseconds. */
const pollMs = 1_000;

/** How long it waits for further changes when a flow was changed, in milliseconds. */
const changedMs = 50;

/** How late something is, in milliseconds, before a process that does not have the duty queues it. */
const overdueMs = 10_000;

/** Flows queued in one call. */
const sliceSize = 250;

/**
 * How long a round queues flows, in milliseconds, and how many, before the process does other work. What is queued runs
 * meanwhile, for a shorter time in each turn of the event loop: so that many flows that are due at once are queued on
 * time first, and the first of them begin at once.
 */
const stretch = { ms: 12, flows: 2_000 };

/** How long after a round that failed the next one follows, in milliseconds. */
const retryMs = 1_000;

/**
 * Turns due times into runs, each exactly once among all processes sharing the storage, with one timer for all flows.
 * Due times that were missed become one catch-up run for the newest of them. One process looks for all, which saves work;
 * the others look at what is overdue.
 */
export class Timetable {
  readonly #deps: TimetableDeps;
  #signal = AbortSignal.abort();
  #cancelTimer: CancelTimer | undefined;
  #endBell: (() => void) | undefined;
  #armedFor = Infinity;
  #lastRoundAt = 0;
  /** How far the clock was set back, in milliseconds, if due times have not been looked at since. */
  #setBackMs = 0;
  /** Until when this process looks at everything, though another one has the duty. */
  #looksUntil = 0;
  #hasDuty = false;
  /** The round that goes on; that of an earlier start is none of this one's. */
  #current: Promise<void> | undefined;
  #isToRepeat = false;

  constructor(deps: TimetableDeps) {
    this.#deps = deps;
  }

  /** Queues what was missed, and from now on what is due. Resolves when the first round is done. */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#lastRoundAt = this.#looksUntil = this.#deps.clock.now();
    this.#current = undefined;
    this.#endBell?.();
    this.#endBell = this.#deps.storage.bell?.on("flows", () => this.#flowsChanged(signal));
    await this.#deps.check.all(signal);
    await this.#round(signal);
  }

  async stop(): Promise<void> {
    this.#disarm();
    this.#endBell?.();
    await this.#current;
    await this.#deps.duties.release(duty.name);
  }

  /** A flow is due at `dueAt`, perhaps before all others. */
  expect(dueAt: number): void {
    if (this.#signal.aborted) return;
    // Whoever has the duty looks at the storage within that time, and finds what was changed here.
    this.#looksUntil = this.#deps.clock.now() + maxTimerMs;
    if (this.#current !== undefined) this.#isToRepeat = true;
    else if (dueAt < this.#armedFor) this.#arm(dueAt, this.#signal);
  }

  // In some process: one may be due before all others.
  #flowsChanged(signal: AbortSignal): void {
    if (!this.#hasDuty || signal.aborted) return;
    const at = this.#deps.clock.now() + changedMs;
    if (this.#current !== undefined) this.#isToRepeat = true;
    else if (at < this.#armedFor) this.#arm(at, signal);
  }

  #arm(dueAt: number, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#disarm();
    const { clock } = this.#deps;
    const now = clock.now();
    this.#armedFor = Math.min(dueAt, now + (this.#hasDuty && this.#deps.heartbeat.hasOthers ? pollMs : maxTimerMs));
    this.#cancelTimer = clock.setTimer(() => void this.#round(signal), Math.max(0, this.#armedFor - now));
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#armedFor = Infinity;
  }

  async #round(signal: AbortSignal): Promise<void> {
    this.#disarm();
    this.#current ??= this.#queueAndArm(signal);
    await this.#current;
  }

  async #queueAndArm(signal: AbortSignal): Promise<void> {
    let next: number;
    try {
      do {
        this.#isToRepeat = false;
        next = await this.#queueAllDue(signal);
      } while (this.#mustRepeat(signal));
    } catch (error) {
      this.#deps.emit("background:error", { error, during: "queueing what is due" });
      next = this.#deps.clock.now() + retryMs;
    }
    if (isAborted(signal)) return;
    this.#current = undefined;
    this.#arm(next, signal);
  }

  #mustRepeat(signal: AbortSignal): boolean {
    return this.#isToRepeat && !signal.aborted;
  }

  // Resolves with the instant at which the next round is due.
  async #queueAllDue(signal: AbortSignal): Promise<number> {
    const { check, clock, duties } = this.#deps;
    const now = clock.now();
    this.#setBackMs = Math.max(this.#setBackMs, this.#lastRoundAt - now);
    this.#lastRoundAt = now;
    // What is due next was computed by a clock that was ahead.
    if (this.#setBackMs > 0) await check.all(signal, this.#setBackMs);
    this.#setBackMs = 0;
    this.#hasDuty = await duties.claim(duty.name, duty.lengthMs);
    const looksAtAll = this.#hasDuty || now <= this.#looksUntil;
    const lateMs = looksAtAll ? 0 : overdueMs;
    const next = await this.#queueUntil(now - lateMs, now, signal);
    return next + lateMs;
  }

  // Resolves with the next due time after `until`.
  async #queueUntil(until: number, now: number, signal: AbortSignal): Promise<number> {
    const { clock, storage } = this.#deps;
    const dueRuns = new DueRuns(now, this.#deps);
    const pace = new Yielder(clock, stretch.ms);
    let last: Flow | undefined;
    let sinceTurn = 0;
    for (let size = sliceSize; size === sliceSize && !isAborted(signal);) {
      const flows = await storage.dueFlows(until, sliceSize, last === undefined ? undefined : placeOf(last));
      size = flows.length;
      if (size > 0 && !isAborted(signal)) await this.#queueSlice(flows, dueRuns);
      last = flows.at(-1) ?? last;
      sinceTurn += size;
      if (size < sliceSize || (sinceTurn < stretch.flows && !pace.isDue())) continue;
      sinceTurn = 0;
      await pace.yield();
    }
    const next = await storage.nextDueAt();
    // Some flows stay due, for a process that can read their schedules.
    return next !== undefined && next <= until ? this.#nextAfter(until, last) : (next ?? Infinity);
  }

  async #nextAfter(until: number, last: Flow | undefined): Promise<number> {
    const after = last === undefined ? { dueAt: until, _flowId: "" } : placeOf(last);
    const [flow] = await this.#deps.storage.dueFlows(until + maxTimerMs, 1, after);
    return flow === undefined ? Infinity : placeOf(flow).dueAt;
  }

  async #queueSlice(flows: readonly Flow[], dueRuns: DueRuns): Promise<void> {
    const dues: DueRun[] = [];
    for (const flow of flows) {
      const due = this.#dueRunOrNone(flow, dueRuns);
      if (due !== undefined) dues.push(due);
    }
    if (dues.length === 0) return;
    const { rule, storage } = this.#deps;
    const results = await storage.queueDue(
      dues.map(({ tick }) => tick),
      rule,
    );
    for (let index = 0; index < results.length; index++) {
      const [due, result] = [dues[index], results[index]];
      if (due !== undefined && result !== undefined && result.outcome !== "taken") this.#emitResult(due, result);
    }
  }

  #emitResult({ dueAt, flow, missed }: DueRun, result: QueueDueResult): void {
    const { emit, wake } = this.#deps;
    if (result.outcome === "coalesced") emit("schedule:coalesced", { flow, run: result.run, dueAt });
    if (result.outcome === "skipped") emit("schedule:skipped", { flow, run: result.run, dueAt });
    const run = runOf(result);
    if (missed !== undefined) emit("schedule:missed", { flow, dueAt: missed, ...(run === undefined ? {} : { run }) });
    if (result.outcome !== "queued") return;
    emit("run:queued", { run: result.run });
    wake(result.run);
  }

  // A schedule that cannot be read here stays due for a process that can, and keeps no other flow from running.
  #dueRunOrNone(flow: Flow, dueRuns: DueRuns): DueRun | undefined {
    try {
      return dueRuns.of(flow);
    } catch (error) {
      this.#deps.check.reportUnreadable(flow, error);
      return undefined;
    }
  }
}

function runOf(result: QueueDueResult): Run | undefined {
  return "run" in result ? result.run : undefined;
}
