import type { CancelTimer, Clock } from "../../clock.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";

/** Everything that following other processes needs. */
export interface SharedEventsDeps {
  readonly clock: Clock;
  readonly scheduler: Pick<Scheduler, "watch">;
  /** Whether nobody reads. */
  readonly isIdle: () => boolean;
  readonly publish: (change: WatchedChange) => void;
}

/** What a watch of the scheduler yields. */
export type WatchedChange = ReturnType<Scheduler["watch"]> extends AsyncIterable<infer Item> ? Item : never;

/** How long it goes on at least when nobody reads, in milliseconds: a client that comes back has missed nothing. */
const idleMs = 300_000;

/** Follows what all processes that share a storage do, from the first reader on until nobody has read for a while. */
export class SharedEvents {
  readonly #deps: SharedEventsDeps;
  #following: { readonly done: AbortController; readonly ready: Promise<void> } | undefined;
  #cancelCheck: CancelTimer | undefined;
  #wasIdle = false;
  /** Something may have happened that was not followed. */
  #hasMissed = false;

  constructor(deps: SharedEventsDeps) {
    this.#deps = deps;
  }

  /** There is a reader: resolves when it misses nothing that happens from then on. */
  follow(): Promise<void> {
    this.#wasIdle = false;
    this.#following ??= this.#begin();
    return this.#following.ready;
  }

  /** Follows no more until there is a reader again. */
  end(): void {
    if (this.#following === undefined) return;
    this.#cancelCheck?.();
    this.#following.done.abort();
    this.#following = undefined;
    this.#hasMissed = true;
  }

  #begin() {
    if (this.#hasMissed) this.#deps.publish({ change: "gap" });
    const done = new AbortController();
    const watch = this.#deps.scheduler.watch({ signal: done.signal });
    void this.#publishAll(watch);
    this.#planCheck();
    return { done, ready: watch.ready };
  }

  async #publishAll(watch: ReturnType<Scheduler["watch"]>): Promise<void> {
    for await (const change of watch) this.#deps.publish(change);
  }

  #planCheck(): void {
    this.#cancelCheck = this.#deps.clock.setTimer(() => {
      const { isIdle } = this.#deps;
      if (this.#wasIdle && isIdle()) {
        this.end();
        return;
      }
      this.#wasIdle = isIdle();
      this.#planCheck();
    }, idleMs);
  }
}
