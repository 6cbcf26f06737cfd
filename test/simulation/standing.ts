import type { Storage } from "../../src/storage/storage.ts";
import type { FlowModel, Model } from "./model.ts";
import type { Process } from "./process.ts";

/** What is asked of the simulation. */
export interface StandingDeps {
  readonly model: Model;
  readonly storage: Pick<Storage, "findFlow" | "findRun" | "wakes">;
  readonly processes: readonly Process[];
  /** The time that the process goes by. */
  readonly timeOf: (process: Process) => number;
  /** When something last happened that costs a round of maintenance, by elapsed time. */
  readonly disturbedAt: () => number;
  /** How long a flow may stand still, in milliseconds. */
  readonly mostMs: number;
}

/** A run that waits at the head of its flow's queue. */
interface Standing {
  readonly head: string;
  readonly since: number;
}

/**
 * No flow whose run may begin stands still while a process lives that has its parts and a free slot, however many others
 * live that have not. Where processes share no wake-ups, one whose slots never become free keeps those of its flows: there
 * all who have the parts of a flow need a free slot.
 */
export class StandingChecks {
  readonly #deps: StandingDeps;
  #standing = new Map<string, Standing>();

  constructor(deps: StandingDeps) {
    this.#deps = deps;
  }

  /** To be called after every step. */
  async check(): Promise<void> {
    const { model } = this.#deps;
    const standing = new Map<string, Standing>();
    const now = model.around.elapsed();
    for (const flow of model.flows.values()) {
      const head = await this.#headOf(flow);
      if (head === undefined) continue;
      const before = this.#standing.get(flow._id);
      const one = before?.head === head ? before : { head, since: now };
      standing.set(flow._id, one);
      await this.#checkFlow(flow, one, now);
    }
    this.#standing = standing;
  }

  // With how often it was claimed: one that was tried meanwhile did not stand still.
  async #headOf({ _id, active, isDeleted, queue }: FlowModel): Promise<string | undefined> {
    const [head] = queue;
    if (isDeleted || active !== undefined || head === undefined) return undefined;
    const flow = await this.#deps.storage.findFlow(_id);
    return flow?.disabled === false ? `${head} ${this.#deps.model.runs.get(head)?.claims ?? 0}` : undefined;
  }

  async #checkFlow(flow: FlowModel, { head, since }: Standing, now: number): Promise<void> {
    const { disturbedAt, model, mostMs, processes } = this.#deps;
    const begin = Math.max(since, disturbedAt());
    if (now - begin <= mostMs) return;
    const run = await this.#deps.storage.findRun(flow.queue[0] ?? "");
    const notBefore = Date.parse(run?.notBefore ?? "1970-01-01T00:00:00Z");
    const able = processes.filter((process) => this.#isAble(process, flow));
    const idle = able.filter((process) => this.#isIdle(process, { notBefore, mostMs, now }));
    const [one] = idle;
    const areShared = this.#deps.storage.wakes !== undefined;
    if (one !== undefined && (areShared || idle.length === able.length))
      model.violate("liveness", `run ${head} of flow ${flow._id} waits since ${since}, and ${one.name} is idle`);
  }

  #isAble(process: Process, { imports, source }: FlowModel): boolean {
    return process.state === "started" && process.gate.isOpen && process.canRun(source.plan._id, imports.keys());
  }

  #isIdle(process: Process, rule: Record<"notBefore" | "mostMs" | "now", number>): boolean {
    const { model, timeOf } = this.#deps;
    return (
      model.hasSlot(process) &&
      rule.now - process.fullAt > rule.mostMs &&
      timeOf(process) - rule.notBefore > rule.mostMs
    );
  }
}
