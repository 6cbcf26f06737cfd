import type { CancelTimer, Clock } from "../clock.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Run, RunStart } from "../model/run.ts";
import type { Storage } from "../storage/storage.ts";
import type { Healing } from "./healing.ts";

/** Everything a sweep needs. */
export interface MaintenanceDeps {
  readonly storage: Pick<Storage, "prune" | "queueRun" | "reclaimExpiredRuns" | "unreadInboxes" | "waitingFlows">;
  readonly clock: Clock;
  readonly newId: () => string;
  /** How long a lease lasts. It rests no longer than that, so a run is claimed back within two of them. */
  readonly leaseMs: number;
  readonly maxCrashes: number;
  readonly retention: { readonly days: number; readonly runsPerFlow: number };
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (_flowId: string) => void;
  /** A run whose lease had expired was reclaimed: it waits again, or has ended. */
  readonly onReclaimed: (run: Run) => void;
  /** What goes on by itself. */
  readonly healing: Pick<Healing, "run" | "nextAt">;
  /** Everything was looked at: time to catch up with what other processes changed. */
  readonly onSwept: () => void;
}

/** How long it rests between two sweeps at most, in milliseconds. */
const maxIntervalMs = 30_000;

/** Everything is claimed in portions of this size, with a turn for the rest of the process after each. */
const portion = 1_000;

/** Documents changed in one go: a run that has a page to commit waits for no more than these. */
const changePortion = 100;

/**
 * Finds what got lost: runs whose process died, inboxes whose run failed, waiting runs whose wake-up never came. And
 * removes the history nobody wants to keep any longer.
 */
export class Maintenance {
  readonly #deps: MaintenanceDeps;
  #cancelTimer: CancelTimer | undefined;
  #current: Promise<void> = Promise.resolve();
  #stopped = true;
  /** When it is to look at the latest, for what waits for an instant. */
  #dueAt = Infinity;

  constructor(deps: MaintenanceDeps) {
    this.#deps = deps;
  }

  /** Sweeps once, and from now on every half a minute, or as often as a lease lasts if that is shorter. */
  async start(): Promise<void> {
    this.#stopped = false;
    await this.now();
    this.#plan();
  }

  /** Sweeps no more; resolves when the sweep that goes on has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#current;
  }

  /** Sweeps now, after the sweep that goes on. */
  now(): Promise<void> {
    const sweep = this.#current.then(() => this.#sweep());
    this.#current = sweep.catch(() => undefined);
    return sweep;
  }

  #plan(): void {
    // One timer, also if a start that was left behind goes on after the next one.
    this.#cancelTimer?.();
    if (this.#stopped) return;
    const sweep = async () => {
      await this.now().catch((error: unknown) => this.#deps.emit("background:error", { error, during: "sweeping" }));
      this.#plan();
    };
    const { clock, leaseMs } = this.#deps;
    const intervalMs = Math.min(maxIntervalMs, leaseMs, Math.max(0, this.#dueAt - clock.now()));
    this.#cancelTimer = clock.setTimer(() => void sweep(), intervalMs);
  }

  /** Something waits for this instant: looks then, if it would look later otherwise. */
  expect(at: number): void {
    if (this.#stopped || at >= this.#dueAt) return;
    this.#dueAt = at;
    this.#plan();
  }

  /** Imports were paused, or records failed: looks when the first of them is due. */
  async lookAhead(): Promise<void> {
    const nextAt = await this.#deps.healing.nextAt();
    if (nextAt !== undefined) this.expect(nextAt);
  }

  async #sweep(): Promise<void> {
    const { clock, healing, storage, wake, onSwept } = this.#deps;
    this.#dueAt = Infinity;
    await this.#takeBack();
    await healing.run();
    await this.#each(
      (after) => storage.unreadInboxes(portion, after),
      (_flowId) => this.#queueRealtime(_flowId),
      (_flowId) => _flowId,
    );
    const now = clock.now();
    await this.#each(
      (after) => storage.waitingFlows(portion, after),
      ({ _flowId, notBefore = 0 }) => (notBefore > now ? this.expect(notBefore) : wake(_flowId)),
      ({ _flowId }) => _flowId,
    );
    await this.lookAhead();
    onSwept();
    await this.#prune();
  }

  async #takeBack(): Promise<void> {
    const { clock, maxCrashes, storage, onReclaimed } = this.#deps;
    const message = `its process died or stalled more than ${maxCrashes} times`;
    const rule = { now: clock.now(), maxCrashes, error: { code: "lease_lost", message }, limit: changePortion };
    for (let size = changePortion; size === changePortion && !this.#stopped;) {
      const runs = await storage.reclaimExpiredRuns(rule);
      for (const run of runs) onReclaimed(run);
      size = runs.length;
      if (size === changePortion) await clock.yieldToEventLoop();
    }
  }

  async #queueRealtime(_flowId: string): Promise<void> {
    const { clock, newId, storage, emit, wake } = this.#deps;
    const queuedAt = new Date(clock.now()).toISOString();
    const start: RunStart = { _id: newId(), _flowId, trigger: "realtime", queuedAt };
    // Records wait in the inbox already, so their run is not one too many.
    const queued = await storage.queueRun(start, { maxQueued: Infinity });
    if (queued.outcome !== "queued") return;
    emit("run:queued", { run: queued.run });
    wake(_flowId);
  }

  async #prune(): Promise<void> {
    const { clock, retention, storage } = this.#deps;
    const endedBefore = Math.max(0, clock.now() - retention.days * 86_400_000);
    const rule = { endedBefore, runsPerFlow: retention.runsPerFlow, limit: changePortion };
    while (!this.#stopped && (await storage.prune(rule)) > 0) await clock.yieldToEventLoop();
  }

  async #each<T>(
    read: (after: string | undefined) => Promise<readonly T[]>,
    act: (item: T) => Promise<void> | void,
    idOf: (item: T) => string,
  ): Promise<void> {
    let after: string | undefined;
    for (let size = portion; size === portion && !this.#stopped;) {
      const items = await read(after);
      for (const item of items) await act(item);
      size = items.length;
      const last = items.at(-1);
      after = last === undefined ? undefined : idOf(last);
      if (size === portion) await this.#deps.clock.yieldToEventLoop();
    }
  }
}
