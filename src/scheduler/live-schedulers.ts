import type { Logger } from "../model/logger.ts";
import type { Storage } from "../storage/storage.ts";

/** Everything that one scheduler's entry needs. */
export interface LiveSchedulerDeps {
  readonly storage: Pick<Storage, "location">;
  readonly log: Logger;
}

/** How many schedulers run on each storage: the storage itself, or its location. */
type LiveCounts = Map<unknown, number>;

// Of the process, and not of this module: bundlers and hot reload make several copies of it.
const counts = ((globalThis as Record<symbol, unknown>)[Symbol.for("poundlock.liveSchedulers")] ??=
  new Map()) as LiveCounts;

/**
 * Reports that another scheduler of this process runs on the same storage. Nothing breaks by that: each flow still has
 * one run at a time. But each has its own `concurrency`, each listens to the same sources, and after a hot reload the
 * older one runs code that is not there any more.
 */
export class LiveScheduler {
  readonly #deps: LiveSchedulerDeps;
  readonly #key: unknown;
  #isCounted = false;

  constructor(deps: LiveSchedulerDeps) {
    this.#deps = deps;
    this.#key = deps.storage.location ?? deps.storage;
  }

  start(): void {
    const { log } = this.#deps;
    const others = counts.get(this.#key) ?? 0;
    counts.set(this.#key, others + 1);
    this.#isCounted = true;
    if (others === 0) return;
    log.warn(
      { schedulers: others + 1, storage: this.#deps.storage.location },
      "another scheduler of this process runs on the same storage: stop it first, or keep one on globalThis, as hot reload requires",
    );
  }

  stop(): void {
    // A start that failed stops parts that were not started.
    if (!this.#isCounted) return;
    this.#isCounted = false;
    const left = Number(counts.get(this.#key)) - 1;
    if (left === 0) counts.delete(this.#key);
    else counts.set(this.#key, left);
  }
}
