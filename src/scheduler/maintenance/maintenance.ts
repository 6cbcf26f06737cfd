import { type CancelTimer, type Clock, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Run } from "../../model/run.ts";
import type { Storage, WaitingFlow } from "../../storage/storage.ts";
import type { ClockWatch } from "./clock-watch.ts";
import type { Healing } from "./healing.ts";
import type { Duties } from "../duties.ts";
import type { LeaseWatch } from "./lease-watch.ts";
import type { RunQueue } from "../run-queue.ts";
import type { UnclaimedRuns } from "./unclaimed-runs.ts";
import type { ScheduleCheck } from "../timetable/schedule-check.ts";
import { unlessUnreadable } from "./unreadable-rows.ts";

/** Everything maintenance needs. */
export interface MaintenanceDeps {
  readonly storage: Pick<
    Storage,
    | "changes"
    | "compactStatistics"
    | "completeCauses"
    | "prune"
    | "purgeFlows"
    | "reclaimExpiredRuns"
    | "unreadInboxes"
    | "waitingFlows"
  >;
  readonly clock: Clock;
  readonly queue: Pick<RunQueue, "addUnasked">;
  /** How long a lease lasts. A round follows within that time, so a run is reclaimed within two of them. */
  readonly leaseMs: number;
  readonly maxCrashes: number;
  readonly retention: { readonly days: number; readonly runsPerFlow: number };
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (flow: Pick<Run, "_flowId" | "_exportId">) => void;
  /** A run whose lease had expired was reclaimed: it waits again, or has ended. */
  readonly onReclaimed: (run: Run) => void;
  /** Reports runs that no process can execute; absent: the executor's calls do. */
  readonly unclaimed: Pick<UnclaimedRuns, "report"> | undefined;
  readonly duties: Pick<Duties, "claim" | "release">;
  /** What goes on by itself. */
  readonly healing: Pick<Healing, "run" | "nextAt">;
  /** Finds due times that are wrong, and flows that are overdue. */
  readonly check: Pick<ScheduleCheck, "some">;
  readonly clockWatch: Pick<ClockWatch, "retentionNow">;
  readonly leaseWatch: Pick<LeaseWatch, "unchanged">;
  /** Called in each round: time to catch up with what other processes changed. */
  readonly onRound: () => void;
}

/** How long it waits between two rounds at most, in milliseconds. */
const maxIntervalMs = 30_000;

/** The duty of doing it. */
const duty = "maintenance";

/**
 * For how many intervals the duty is claimed, and after how many of them a process that does not have it asks again: so a
 * process that died is made up for within two.
 */
const claimed = { for: 1.25, again: 0.75 };

/** Everything is read in pages of this size, and other work of the process gets its turn after each. */
const pageSize = 1_000;

/** Documents changed in one call: a run that has a page to commit waits for no more than these. */
const changeSize = 100;

/** Rows of deleted flows that are removed in one call: small ones, of which a flow may have a million. */
const purgeSize = 200;

/**
 * Finds what got lost: runs whose process died, inboxes whose run failed, waiting runs whose wake-up never came. And
 * removes what deleted flows have left, and the history that retention gives up. One of all processes sharing the storage does it for all.
 */
export class Maintenance {
  readonly #deps: MaintenanceDeps;
  #signal = AbortSignal.abort();
  #cancelTimer: CancelTimer | undefined;
  #current: Promise<void> = Promise.resolve();
  #pruning: Promise<void> | undefined;
  /** When the next round is due at the latest, for what waits for an instant. */
  #dueAt = Infinity;
  #hasDuty = false;

  constructor(deps: MaintenanceDeps) {
    this.#deps = deps;
  }

  /**
   * Runs once, and from now on every half a minute, or as often as a lease lasts if that is shorter. What retention
   * gives up is removed after this has resolved.
   */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    // What an earlier start left behind must not delay this one.
    this.#current = Promise.resolve();
    this.#pruning = undefined;
    await this.now();
    this.#plan(signal);
  }

  async stop(): Promise<void> {
    this.#cancelTimer?.();
    await Promise.all([this.#current, this.#pruning]);
    await this.#deps.duties.release(duty);
  }

  /** Runs once more, after the round that goes on; also if another process has the duty. */
  now(): Promise<void> {
    return this.#inTurn(async (signal) => {
      await this.#claimDuty();
      await this.#round(signal);
    });
  }

  // Of what waits for an instant, perhaps no other process knows.
  #nowIfOurs(): Promise<void> {
    return this.#inTurn(async (signal) => {
      const isExpected = this.#dueAt <= this.#deps.clock.now();
      await this.#claimDuty();
      if (this.#hasDuty || isExpected) await this.#round(signal);
      else if (!isAborted(signal)) this.#deps.onRound();
    });
  }

  #inTurn(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const signal = this.#signal;
    const turn = this.#current.then(() => work(signal));
    this.#current = turn.catch(() => undefined);
    return turn;
  }

  async #claimDuty(): Promise<void> {
    this.#hasDuty = await this.#deps.duties.claim(duty, Math.ceil(this.#intervalMs * claimed.for));
  }

  get #intervalMs(): number {
    return Math.min(maxIntervalMs, this.#deps.leaseMs);
  }

  /** Something waits for this instant: a round follows then, if the next one would come later. */
  expect(at: number): void {
    if (at >= this.#dueAt) return;
    this.#dueAt = at;
    this.#plan(this.#signal);
  }

  /** Imports were paused, or records failed: a round follows when the first of them is due. */
  async lookAhead(): Promise<void> {
    const nextAt = await this.#deps.healing.nextAt();
    if (nextAt !== undefined) this.expect(nextAt);
  }

  #plan(signal: AbortSignal): void {
    if (isAborted(signal)) return;
    this.#cancelTimer?.();
    const round = async () => {
      await this.#nowIfOurs().catch((error: unknown) =>
        this.#deps.emit("background:error", { error, during: "maintenance" }),
      );
      this.#plan(signal);
    };
    const { clock } = this.#deps;
    const intervalMs = this.#hasDuty ? this.#intervalMs : this.#intervalMs * claimed.again;
    this.#cancelTimer = clock.setTimer(
      () => void round(),
      Math.min(intervalMs, Math.max(0, this.#dueAt - clock.now())),
    );
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { check, healing, storage, onRound } = this.#deps;
    this.#dueAt = Infinity;
    await this.#reclaim(signal);
    await healing.run();
    const idOf = (_flowId: string) => _flowId;
    const unread = (after: string | undefined) => storage.unreadInboxes(pageSize, after);
    await this.#each(signal, unread, idOf, (_flowId) => this.#queueRealtime(_flowId));
    await this.#wakeWaiting(signal);
    await this.lookAhead();
    await check.some();
    if (isAborted(signal)) return;
    onRound();
    this.#pruning ??= this.#prune(signal)
      .catch((error: unknown) => this.#deps.emit("background:error", { error, during: "removing what is old" }))
      .finally(() => {
        if (signal === this.#signal) this.#pruning = undefined;
      });
  }

  async #wakeWaiting(signal: AbortSignal): Promise<void> {
    const { clock, storage, unclaimed, wake } = this.#deps;
    const now = clock.now();
    const all: WaitingFlow[] = [];
    await this.#each(
      signal,
      (after) => storage.waitingFlows(pageSize, after),
      ({ _flowId }) => _flowId,
      (flow) => {
        const { notBefore = 0 } = flow;
        if (notBefore > now) this.expect(notBefore);
        else {
          all.push(flow);
          wake(flow);
        }
      },
    );
    await unclaimed?.report(all);
  }

  async #reclaim(signal: AbortSignal): Promise<void> {
    const { clock, leaseWatch, maxCrashes, storage, onReclaimed } = this.#deps;
    const message = `its process died or stalled more than ${maxCrashes} times without committing a page`;
    const unchanged = await leaseWatch.unchanged(signal);
    const error = { code: "lease_lost", message };
    const rule = { now: clock.now(), unchanged, maxCrashes, error, limit: changeSize };
    for (let size = changeSize; size === changeSize && !isAborted(signal);) {
      const runs = await storage.reclaimExpiredRuns(rule);
      for (const run of runs) onReclaimed(run);
      size = runs.length;
      if (size === changeSize) await clock.yieldToEventLoop();
    }
  }

  async #queueRealtime(_flowId: string): Promise<void> {
    const { emit, queue } = this.#deps;
    const start = { _flowId, trigger: "realtime" as const };
    await unlessUnreadable(emit, `queueing a run of flow ${_flowId}`, () => queue.addUnasked(start));
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const { clock, clockWatch, retention, storage } = this.#deps;
    await storage.changes?.forgetChanges(clock.now());
    while (!isAborted(signal) && (await storage.purgeFlows({ limit: purgeSize }))) await clock.yieldToEventLoop();
    // What an earlier version stored has no cause yet.
    while (!isAborted(signal) && (await storage.completeCauses(changeSize)) > 0) await clock.yieldToEventLoop();
    const endedBefore = Math.max(0, clockWatch.retentionNow() - retention.days * 86_400_000);
    const rule = { endedBefore, runsPerFlow: retention.runsPerFlow, limit: changeSize, now: clock.now() };
    while (!isAborted(signal) && (await storage.prune(rule)) > 0) await clock.yieldToEventLoop();
    // Processes save an hour for no longer than another one after its end.
    const hours = { foldBefore: clock.now() - 3 * 3_600_000, forgetBefore: endedBefore, limit: changeSize };
    while (!isAborted(signal) && (await storage.compactStatistics(hours)) > 0) await clock.yieldToEventLoop();
  }

  async #each<T>(
    signal: AbortSignal,
    read: (after: string | undefined) => Promise<readonly T[]>,
    idOf: (item: T) => string,
    act: (item: T) => Promise<void> | void,
  ): Promise<void> {
    let after: string | undefined;
    for (let size = pageSize; size === pageSize && !isAborted(signal);) {
      const items = await read(after);
      for (const item of items) if (!isAborted(signal)) await act(item);
      size = items.length;
      const last = items.at(-1);
      after = last === undefined ? undefined : idOf(last);
      if (size === pageSize) await this.#deps.clock.yieldToEventLoop();
    }
  }
}
