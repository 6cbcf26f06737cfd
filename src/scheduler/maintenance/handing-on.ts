import type { CancelTimer, Clock } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import type { WorkerProcess } from "../../model/worker-process.ts";
import type { Executor } from "../../executor/executor.ts";
import { SharedExecutor } from "../../executor/shared-executor.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Part } from "../lifecycle.ts";
import type { Heartbeat } from "./heartbeat.ts";

/** Everything that handing on needs. */
export interface HandingOnDeps {
  readonly storage: Pick<Storage, "wakes">;
  readonly clock: Clock;
  readonly executor: Executor;
  readonly heartbeat: Pick<Heartbeat, "living">;
  readonly emit: Emit<SchedulerEvents>;
}

/** How long a wake-up stays here, in milliseconds: it may come back, as its export is here. */
const restMs = 1_000;

/**
 * Wake-ups go to a process that has the export of a flow. If it has not the flow's imports, it hands the wake-up on, as long
 * as there is a process that has all of it.
 */
export class HandingOn implements Part {
  readonly #deps: HandingOnDeps;
  #flows = new Map<string, Flow>();
  #cancelTimer: CancelTimer | undefined;
  #signal = AbortSignal.abort();

  constructor(deps: HandingOnDeps) {
    this.#deps = deps;
  }

  start(signal: AbortSignal): void {
    this.#signal = signal;
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#flows.clear();
  }

  /** This process was to run the flow, and lacks an import of it. */
  add(flow: Flow): void {
    if (!this.#deps.executor.capabilities.durable || this.#signal.aborted) return;
    this.#flows.set(flow._id, flow);
    this.#cancelTimer ??= this.#deps.clock.setTimer(() => {
      this.#cancelTimer = undefined;
      // Otherwise the next round of maintenance wakes them.
      void this.#handOn().catch((error: unknown) =>
        this.#deps.emit("background:error", { error, during: "handing wake-ups on" }),
      );
    }, restMs);
  }

  async #handOn(): Promise<void> {
    const { executor, heartbeat, storage } = this.#deps;
    const flows = [...this.#flows.values()];
    this.#flows.clear();
    const living = await heartbeat.living();
    const wakes = flows
      .filter((flow) => living.some((process) => canRun(process, flow)))
      .map(({ _exportId, _id }) => ({ _flowId: _id, _exportId }));
    if (wakes.length === 0 || this.#signal.aborted) return;
    // To wake it would begin it here, where a slot is free.
    if (executor instanceof SharedExecutor) await storage.wakes?.addWakes(wakes);
    else for (const { _exportId, _flowId } of wakes) await executor.wake(_flowId, _exportId);
  }
}

function canRun({ exportIds, importIds, roles }: WorkerProcess, flow: Flow): boolean {
  const imports = importIdsOf(flow);
  return roles.includes("run") && exportIds.includes(flow._exportId) && imports.every((_id) => importIds.includes(_id));
}
