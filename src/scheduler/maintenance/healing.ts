import type { Clock } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Pause } from "../../model/delivery.ts";
import { hasOwnPosition } from "../../model/run.ts";
import { isDue } from "../../run/pass/pause.ts";
import type { Storage } from "../../storage/storage.ts";
import type { RunQueue } from "../run-queue.ts";
import { unlessUnreadable } from "./unreadable-rows.ts";

/** What healing needs. */
export interface HealingDeps {
  readonly storage: Pick<
    Storage,
    "resumableFlows" | "nextResumeAt" | "dueRetries" | "nextRetryAt" | "findPlaces" | "listRuns"
  >;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
  readonly queue: Pick<RunQueue, "addUnasked">;
}

/** Flows read in one call. */
const pageSize = 1_000;

/** What goes on by itself: imports whose pause has ended get a `resume` run, failures whose time has come a `retry` run. */
export class Healing {
  readonly #deps: HealingDeps;

  constructor(deps: HealingDeps) {
    this.#deps = deps;
  }

  /** Queues every run that is due now, unless one waits that will do the same. */
  async run(): Promise<void> {
    await this.#queueResumes();
    await this.#queueRetries();
  }

  /** The first instant after now at which something goes on by itself; undefined: nothing does. */
  async nextAt(): Promise<number | undefined> {
    const { clock, storage } = this.#deps;
    const now = clock.now();
    const [resumeAt, retryAt] = await Promise.all([storage.nextResumeAt(now), storage.nextRetryAt(now)]);
    return resumeAt === undefined || retryAt === undefined ? (resumeAt ?? retryAt) : Math.min(resumeAt, retryAt);
  }

  async #queueResumes(): Promise<void> {
    const { clock, storage } = this.#deps;
    const now = clock.now();
    let after: string | undefined;
    for (let size = pageSize; size === pageSize;) {
      const flowIds = await storage.resumableFlows(now, pageSize, after);
      for (const _flowId of flowIds) await this.#orReport(_flowId, () => this.#queueResume(_flowId, now));
      size = flowIds.length;
      after = flowIds.at(-1);
      if (size === pageSize) await clock.yieldToEventLoop();
    }
  }

  async #queueResume(_flowId: string, now: number): Promise<void> {
    if (!(await this.#isReadFor(_flowId, now))) await this.#deps.queue.addUnasked({ _flowId, trigger: "resume" });
  }

  // Until the run that is active has committed, its imports are paused still: it began when their pauses had ended.
  async #isReadFor(_flowId: string, now: number): Promise<boolean> {
    const { storage } = this.#deps;
    const [run] = (await storage.listRuns({ _flowId, status: "running", limit: 1 })).items;
    if (run?.startedAt === undefined || run.trigger === "realtime" || hasOwnPosition(run)) return false;
    const startedAt = Date.parse(run.startedAt);
    const ended = Object.values(await storage.findPlaces(_flowId)).filter(({ pause }) => endOf(pause) <= now);
    return ended.every((place) => isDue(place, run, startedAt));
  }

  async #queueRetries(): Promise<void> {
    const { clock, queue, storage } = this.#deps;
    const now = clock.now();
    const dueBy = new Date(now).toISOString();
    for (const { _flowId, _importId } of await storage.dueRetries(now, pageSize)) {
      const retry = Object.freeze({ _importId, dueBy });
      await this.#orReport(_flowId, () => queue.addUnasked({ _flowId, trigger: "retry", retry }));
    }
  }

  async #orReport(_flowId: string, work: () => Promise<unknown>): Promise<void> {
    await unlessUnreadable(this.#deps.emit, `queueing a run of flow ${_flowId}`, work);
  }
}

function endOf(pause: Pause | undefined): number {
  return pause?.resumeAt === undefined ? Infinity : Date.parse(pause.resumeAt);
}
