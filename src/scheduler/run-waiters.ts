import { type Clock, delay } from "../clock.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import type { Logger } from "../model/logger.ts";
import { type Run, hasEnded } from "../model/run.ts";
import type { Storage } from "../storage/storage.ts";
import type { SchedulerState } from "./lifecycle.ts";
import type { Heartbeat } from "./maintenance/heartbeat.ts";
import type { ChangeFeed } from "./watching/change-feed.ts";
import { allowManyListeners } from "./watching/many-listeners.ts";

/** Everything waiters need. */
export interface RunWaitersDeps {
  readonly storage: Pick<Storage, "findRun">;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long is waited for a run, in milliseconds; `Infinity`: as long as it takes. */
  readonly waitTimeoutMs: number;
  /** Tells of runs that another process has ended. */
  readonly feed: Pick<ChangeFeed, "listen">;
  readonly heartbeat: Pick<Heartbeat, "hasOthers">;
  /** What the scheduler does. */
  readonly state: () => SchedulerState;
}

/** How often the storage is asked whether a run has ended that this process did not see end, in milliseconds. */
const pollMs = 1_000;

/** Those that wait for runs to end. */
export class RunWaiters {
  readonly #deps: RunWaitersDeps;
  readonly #waiters = new Map<string, Set<(run: Run) => void>>();
  #endFollowing: (() => void) | undefined;

  constructor(deps: RunWaitersDeps) {
    this.#deps = deps;
  }

  /** Resolves all calls that wait for this run, which has ended. */
  resolve(run: Run): void {
    for (const resolve of this.#waiters.get(run._id) ?? []) resolve(run);
  }

  /**
   * Resolves with the run once it has ended, here or in another process. Rejects with the signal's reason.
   *
   * @throws `not_found`; `conflict` if it has not ended within `waitTimeoutMs`.
   */
  async waitFor(_runId: string, signal?: AbortSignal): Promise<Run> {
    const { clock, storage, waitTimeoutMs } = this.#deps;
    const until = clock.now() + waitTimeoutMs;
    const waiter = this.#add(_runId);
    const done = new AbortController();
    const abort = () => done.abort();
    allowManyListeners(signal);
    signal?.addEventListener("abort", abort);
    try {
      for (let polls = 0; ; polls++) {
        signal?.throwIfAborted();
        const run = await storage.findRun(_runId);
        if (run === undefined) throw new NotFoundError("run", _runId);
        if (hasEnded(run)) return run;
        signal?.throwIfAborted();
        if (polls === 0) this.#warnIfStopped(run);
        this.#follow();
        const leftMs = until - clock.now();
        if (leftMs <= 0) throw this.#timeout(run);
        const polled = delay(clock, Math.min(pollMs, leftMs), done.signal).then(() => undefined);
        const ended = await Promise.race([waiter.ended, polled]);
        if (ended !== undefined) return ended;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      done.abort();
      waiter.remove();
    }
  }

  // What this process ends it hears of without the storage.
  #follow(): void {
    const { feed, heartbeat, state } = this.#deps;
    if (this.#endFollowing !== undefined || state() !== "started" || !heartbeat.hasOthers) return;
    this.#endFollowing = feed.listen(({ changes }) => {
      for (const { run } of changes) if (run !== undefined && hasEnded(run)) this.resolve(run);
    }).end;
  }

  // Waiting for a run that nothing executes looks like a hang.
  #warnIfStopped({ _id, _flowId }: Run): void {
    const { log, state } = this.#deps;
    if (state() !== "stopped") return;
    const message = "waiting for a run while this scheduler is stopped: it ends only if another process executes it";
    log.warn({ flowId: _flowId, runId: _id }, message);
  }

  #timeout({ _id, status }: Run): ConflictError {
    const { state, waitTimeoutMs } = this.#deps;
    const where = `it is ${status}, and this scheduler is ${state()}`;
    return new ConflictError(`Run ${_id} did not end within ${waitTimeoutMs} ms: ${where}`);
  }

  #add(_runId: string): { readonly ended: Promise<Run>; readonly remove: () => void } {
    const waiters = this.#waiters.get(_runId) ?? new Set();
    this.#waiters.set(_runId, waiters);
    let resolve: (run: Run) => void = () => undefined;
    const ended = new Promise<Run>((resolved) => (resolve = resolved));
    waiters.add(resolve);
    const remove = () => {
      waiters.delete(resolve);
      if (waiters.size === 0) this.#waiters.delete(_runId);
      if (this.#waiters.size > 0) return;
      this.#endFollowing?.();
      this.#endFollowing = undefined;
    };
    return { ended, remove };
  }
}
