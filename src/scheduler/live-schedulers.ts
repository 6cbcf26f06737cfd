import type { Logger } from "../model/logger.ts";
import type { Storage } from "../storage/storage.ts";

/** Everything that one scheduler's entry needs. */
export interface LiveSchedulerDeps {
  readonly storage: Pick<Storage, "location">;
  readonly log: Logger;
}

/** How many schedulers run on each storage. */
interface LiveCounts {
  readonly byLocation: Map<string, number>;
  /** Of those without a location. What nobody has any more is not kept, though its scheduler was never stopped. */
  readonly byStorage: WeakMap<object, number>;
}

// Of the process, and not of this module: bundlers and hot reload make several copies of it.
const counts = ((globalThis as Record<symbol, unknown>)[Symbol.for("poundlock.liveSchedulers")] ??= {
  byLocation: new Map(),
  byStorage: new WeakMap(),
}) as LiveCounts;

/**
 * Reports that another scheduler of this process runs on the same storage. Nothing breaks by that: each flow still has
 * one run at a time. But each has its own `concurrency`, each listens to the same sources, and after a hot reload the
 * older one runs code that is not there any more.
 */
export class LiveScheduler {
  readonly #deps: LiveSchedulerDeps;
  #isCounted = false;

  constructor(deps: LiveSchedulerDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { log } = this.#deps;
    const others = this.#count;
    this.#count = others + 1;
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
    this.#count--;
  }

  get #count(): number {
    const { storage } = this.#deps;
    const count =
      storage.location === undefined ? counts.byStorage.get(storage) : counts.byLocation.get(storage.location);
    return count ?? 0;
  }

  set #count(count: number) {
    const { storage } = this.#deps;
    if (storage.location === undefined) counts.byStorage.set(storage, count);
    else if (count === 0) counts.byLocation.delete(storage.location);
    else counts.byLocation.set(storage.location, count);
  }
}
