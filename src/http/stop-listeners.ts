import type { Scheduler } from "../scheduler/scheduler.ts";

/** Requests that wait for something that only a running scheduler does: they end when it stops. */
export class StopListeners {
  readonly #scheduler: Pick<Scheduler, "on" | "state">;
  readonly #listeners = new Set<() => void>();
  #hasStopped = false;

  constructor(scheduler: Pick<Scheduler, "on" | "state">) {
    this.#scheduler = scheduler;
    scheduler.on("scheduler:stopped", () => {
      this.#hasStopped = true;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  /** Calls the listener when the scheduler stops, or at once if it has stopped before. Returns how to stop listening. */
  add(listener: () => void): () => void {
    if (this.#hasStopped && this.#scheduler.state === "stopped") listener();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
