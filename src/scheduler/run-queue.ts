import type { Clock } from "../clock.ts";
import { BusyError, FlowDisabledError, NotFoundError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Run, RunStart } from "../model/run.ts";
import type { Tracer } from "../run/tracer.ts";
import type { Storage } from "../storage/storage.ts";

/** Everything a run queue needs. */
export interface RunQueueDeps {
  readonly storage: Pick<Storage, "queueRun">;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly maxQueued: number;
  readonly tracer?: Pick<Tracer, "origin"> | undefined;
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (flow: Pick<Run, "_flowId" | "_exportId">) => void;
}

/** Queues runs that somebody asks for. */
export class RunQueue {
  readonly #deps: RunQueueDeps;

  constructor(deps: RunQueueDeps) {
    this.#deps = deps;
  }

  /** @throws `not_found`, `flow_disabled`; `busy` if `maxQueued` runs of the flow wait. */
  async add(_flowId: string, start: Omit<RunStart, "_id" | "_flowId" | "queuedAt">): Promise<Run> {
    const { clock, maxQueued, newId, storage, tracer } = this.#deps;
    const queuedAt = new Date(clock.now()).toISOString();
    const origin = tracer?.origin();
    const from = origin === undefined ? {} : { origin };
    const queued = await storage.queueRun({ _id: newId(), _flowId, queuedAt, ...start, ...from }, { maxQueued });
    switch (queued.outcome) {
      case "missing":
        throw new NotFoundError("flow", _flowId);
      case "disabled":
        throw new FlowDisabledError(`Flow ${_flowId} is disabled`);
      case "full":
        throw new BusyError(`Flow ${_flowId} has ${maxQueued} runs waiting: try again later`);
      case "waiting":
        return queued.run;
      case "queued":
        this.added(queued.run);
        return queued.run;
    }
  }

  /**
   * Queues a run that nobody asked for, which is never one too many; the run that waits already and will do, if there is
   * one. Undefined: the flow is disabled or gone.
   */
  async addUnasked(start: Pick<RunStart, "_flowId" | "trigger" | "retry">): Promise<Run | undefined> {
    const { clock, newId, storage } = this.#deps;
    const queuedAt = new Date(clock.now()).toISOString();
    const queued = await storage.queueRun({ ...start, _id: newId(), queuedAt }, { maxQueued: Infinity });
    if (queued.outcome === "queued") this.added(queued.run);
    return "run" in queued ? queued.run : undefined;
  }

  /** A run was queued: says so, and has it executed. */
  added(run: Run): void {
    this.#deps.emit("run:queued", { run });
    this.#deps.wake(run);
  }
}
