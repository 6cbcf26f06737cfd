import type { CancelTimer, Clock } from "../clock.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Flow } from "../model/flow.ts";
import type { Run } from "../model/run.ts";
import type { QueueDueResult, OverlapRule, Storage, Tick } from "../storage/storage.ts";
import { cronOf } from "../cron/cron.ts";

/** Everything a timetable needs. */
export interface TimetableDeps {
  readonly storage: Pick<Storage, "dueFlows" | "nextDueAt" | "queueDue">;
  readonly clock: Clock;
  /** The zone of flows that name none. */
  readonly timezone: string;
  readonly rule: OverlapRule;
  readonly catchUpWindowMs: number;
  readonly newId: () => string;
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (_flowId: string) => void;
}

/** The longest the one timer sleeps, in milliseconds: a suspended computer or a changed clock costs no more than this. */
export const maxTimerMs = 30_000;

/** Flows looked at in one go; between two goes the process does other work. */
const sliceSize = 100;

/**
 * Turns due times into runs, each exactly once among all processes sharing the storage, with one timer for all flows.
 * Due times that passed while nothing ran here, or the computer slept, become one catch-up run for the newest of them.
 */
export class Timetable {
  readonly #deps: TimetableDeps;
  #cancelTimer: CancelTimer | undefined;
  #armedFor = Infinity;
  /** Due times from before this instant were missed. */
  #awakeSince = Infinity;
  #lookedAt = 0;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #stopped = true;

  constructor(deps: TimetableDeps) {
    this.#deps = deps;
  }

  /** Queues what was missed, and from now on what is due. Resolves when the first look is done. */
  async start(): Promise<void> {
    this.#stopped = false;
    this.#awakeSince = this.#deps.clock.now();
    this.#lookedAt = this.#awakeSince;
    await this.#look();
  }

  /** Queues nothing more; resolves when the look that goes on has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#disarm();
    await this.#looking;
  }

  /** A flow is due at `dueAt`, perhaps before all others. */
  expect(dueAt: number): void {
    if (this.#stopped) return;
    if (this.#looking !== undefined) this.#lookAgain = true;
    else if (dueAt < this.#armedFor) this.#arm(dueAt);
  }

  #arm(dueAt: number): void {
    this.#disarm();
    if (this.#stopped) return;
    const { clock } = this.#deps;
    const now = clock.now();
    this.#armedFor = Math.min(dueAt, now + maxTimerMs);
    this.#cancelTimer = clock.setTimer(() => void this.#look(), Math.max(0, this.#armedFor - now));
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#armedFor = Infinity;
  }

  async #look(): Promise<void> {
    if (this.#looking !== undefined) return this.#looking;
    this.#disarm();
    this.#looking = this.#lookAndArm();
    await this.#looking;
  }

  async #lookAndArm(): Promise<void> {
    let next: number | undefined;
    try {
      do {
        this.#lookAgain = false;
        await this.#queueAllDue();
        next = await this.#deps.storage.nextDueAt();
      } while (this.#isToLookAgain());
    } catch (error) {
      this.#deps.emit("background:error", { error, during: "queueing what is due" });
      next = this.#deps.clock.now() + 1_000;
    }
    this.#looking = undefined;
    this.#arm(next ?? Infinity);
  }

  #isToLookAgain(): boolean {
    return this.#lookAgain && !this.#stopped;
  }

  async #queueAllDue(): Promise<void> {
    const { clock, storage } = this.#deps;
    const now = clock.now();
    // Nobody looked for longer than any nap: the computer slept, or the process was stopped for a while.
    if (now - this.#lookedAt > 2 * maxTimerMs) this.#awakeSince = now;
    // The clock was set back: what is due from now on is not missed.
    if (now < this.#lookedAt) this.#awakeSince = Math.min(this.#awakeSince, now);
    this.#lookedAt = now;
    for (let slice = sliceSize; slice === sliceSize && !this.#stopped;) {
      const flows = await storage.dueFlows(now, sliceSize);
      slice = flows.length;
      if (slice > 0) await this.#queueSlice(flows, now);
      if (slice === sliceSize) await clock.yieldToEventLoop();
    }
  }

  async #queueSlice(flows: readonly Flow[], now: number): Promise<void> {
    const { rule, storage } = this.#deps;
    const intervals = new Map<string, number>();
    const ticks = flows.map((flow) => this.#tickOrGiveUp(flow, now));
    const outcomes = await storage.queueDue(
      ticks.map(({ tick }) => tick),
      rule,
    );
    for (const [index, outcome] of outcomes.entries()) {
      const flow = flows[index];
      const made = ticks[index];
      if (flow === undefined || made === undefined || outcome.outcome === "taken") continue;
      this.#emitOutcome(flow, outcome, made);
      if (!made.missed && this.#isOverdue(flow, made.dueAt, intervals)) this.#emitOverdue(flow, made.dueAt);
    }
  }

  #emitOutcome(flow: Flow, outcome: QueueDueResult, { dueAt: due, missed }: Made): void {
    const { emit, wake } = this.#deps;
    const dueAt = new Date(due).toISOString();
    const run = runOf(outcome);
    if (outcome.outcome === "coalesced") emit("schedule:coalesced", { flow, run: outcome.run, dueAt });
    if (outcome.outcome === "skipped") emit("schedule:skipped", { flow, run: outcome.run, dueAt });
    if (missed) emit("schedule:missed", { flow, dueAt, ...(run === undefined ? {} : { run }) });
    if (outcome.outcome === "queued") {
      emit("run:queued", { run: outcome.run });
      wake(flow._id);
    }
  }

  #emitOverdue(flow: Flow, due: number): void {
    const { lastExecutedAt } = flow;
    const dueAt = new Date(due).toISOString();
    this.#deps.emit("flow:overdue", { flow, dueAt, ...(lastExecutedAt === undefined ? {} : { lastExecutedAt }) });
  }

  // A schedule that cannot be read any more must not keep the other flows from running.
  #tickOrGiveUp(flow: Flow, now: number): Made {
    try {
      return this.#tick(flow, now);
    } catch (error) {
      this.#deps.emit("background:error", { error, during: `reading the schedule of flow ${flow._id}` });
      const dueAt = Date.parse(flow.nextRunAt ?? "");
      return { tick: { _flowId: flow._id, dueAt, nextDueAt: undefined }, dueAt, missed: true };
    }
  }

  #tick(flow: Flow, now: number): Made {
    const cron = this.#cronOf(flow);
    const storedDueAt = Date.parse(flow.nextRunAt ?? "");
    const missed = storedDueAt < this.#awakeSince;
    const dueAt = missed ? (cron.latest(now, storedDueAt) ?? storedDueAt) : storedDueAt;
    const tick = { _flowId: flow._id, dueAt: storedDueAt, nextDueAt: cron.next(missed ? now : dueAt) };
    if (missed && !(this.#deps.catchUpWindowMs > 0 && now - dueAt <= this.#deps.catchUpWindowMs))
      return { tick, dueAt, missed };
    const start = {
      _id: this.#deps.newId(),
      _flowId: flow._id,
      trigger: missed ? ("catch-up" as const) : ("schedule" as const),
      queuedAt: new Date(now).toISOString(),
      dueAt: new Date(dueAt).toISOString(),
    };
    return { tick: { ...tick, start }, dueAt, missed };
  }

  // Flows of one slice that share an expression share the answer.
  #isOverdue(flow: Flow, dueAt: number, intervals: Map<string, number>): boolean {
    const shared = `${flow.schedule ?? ""} ${flow.timezone ?? ""} ${dueAt}`;
    const interval = intervals.get(shared) ?? dueAt - (this.#cronOf(flow).latest(dueAt - 1, 0) ?? -Infinity);
    intervals.set(shared, interval);
    const since = Math.max(Date.parse(flow.lastExecutedAt ?? flow.createdAt), Date.parse(flow.lastModified));
    return dueAt - since >= 2 * interval;
  }

  #cronOf(flow: Flow) {
    return cronOf(flow.schedule ?? "", flow.timezone ?? this.#deps.timezone, flow._id);
  }
}

/** What a due flow is to become. */
interface Made {
  readonly tick: Tick;
  /** The due time the run is for: the newest one, if several were missed. */
  readonly dueAt: number;
  readonly missed: boolean;
}

function runOf(outcome: QueueDueResult): Run | undefined {
  return "run" in outcome ? outcome.run : undefined;
}
