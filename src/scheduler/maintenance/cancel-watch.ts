import { type CancelTimer, type Clock, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Runner } from "../../run/runner.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Heartbeat } from "./heartbeat.ts";

/** Everything a cancel watch needs. */
export interface CancelWatchDeps {
  readonly storage: Pick<Storage, "bell" | "listRuns">;
  readonly clock: Clock;
  readonly runner: Pick<Runner, "abort" | "size">;
  readonly heartbeat: Pick<Heartbeat, "hasOthers">;
  readonly emit: Emit<SchedulerEvents>;
}

/** How often it looks, in milliseconds. */
const lookMs = 1_000;

/** Runs read in one call: few are being canceled at once. */
const pageSize = 1_000;

/** Aborts runs of this process that another one has canceled, or whose flow it has deleted. */
export class CancelWatch {
  readonly #deps: CancelWatchDeps;
  #cancelTimer: CancelTimer | undefined;
  #endBell: (() => void) | undefined;

  constructor(deps: CancelWatchDeps) {
    this.#deps = deps;
  }

  start(signal: AbortSignal): void {
    this.#endBell = this.#deps.storage.bell?.on("cancel", () => void this.#look());
    this.#plan(signal);
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#endBell?.();
  }

  #plan(signal: AbortSignal): void {
    if (isAborted(signal)) return;
    this.#cancelTimer = this.#deps.clock.setTimer(() => {
      void this.#look().then(() => this.#plan(signal));
    }, lookMs);
  }

  async #look(): Promise<void> {
    const { emit, heartbeat, runner, storage } = this.#deps;
    if (runner.size === 0 || !heartbeat.hasOthers) return;
    try {
      const { items } = await storage.listRuns({ status: "canceling", limit: pageSize });
      for (const { _id } of items) runner.abort(_id, "cancel");
    } catch (error) {
      // The renewal of its lease shows it, too.
      emit("background:error", { error, during: "looking for runs that are canceled" });
    }
  }
}
