import type { CancelTimer, Clock } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import type { WorkerProcess } from "../../model/worker-process.ts";
import type { Executor } from "../../executor/executor.ts";
import { SharedExecutor } from "../../executor/shared-executor.ts";
import type { Part } from "../lifecycle.ts";
import type { Heartbeat } from "./heartbeat.ts";

/** Everything that handing on needs. */
export interface HandingOnDeps {
  readonly clock: Clock;
  readonly processId: string;
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
    const { executor, processId } = this.#deps;
    this.#signal = signal;
    if (executor instanceof SharedExecutor) executor.receiveAt(processId);
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
    const { executor, heartbeat } = this.#deps;
    const flows = [...this.#flows.values()];
    this.#flows.clear();
    const living = await heartbeat.living();
    const places = new Map(flows.flatMap((flow, nth) => placeOf(flow, living, nth) ?? []));
    if (places.size === 0 || this.#signal.aborted) return;
    if (executor instanceof SharedExecutor) await executor.leave(places);
    else for (const { _exportId, _id } of flows) if (places.has(_id)) await executor.wake(_id, _exportId);
  }
}

/** Which process is to have it: those that can take turns, the ones with free slots if any has. Undefined: none can. */
function placeOf(
  flow: Flow,
  living: readonly WorkerProcess[],
  nth: number,
): readonly [readonly [_flowId: string, processId: string]] | undefined {
  const able = living.filter((process) => canRun(process, flow));
  const free = able.filter(({ concurrency, running }) => running < concurrency);
  const chosen = free.length > 0 ? free : able;
  const process = chosen[nth % chosen.length];
  return process === undefined ? undefined : [[flow._id, process._id]];
}

function canRun({ exportIds, importIds, roles }: WorkerProcess, flow: Flow): boolean {
  const imports = importIdsOf(flow);
  return roles.includes("run") && exportIds.includes(flow._exportId) && imports.every((_id) => importIds.includes(_id));
}
