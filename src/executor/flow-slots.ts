import PQueue from "p-queue";
import { type Clock, Yielder } from "../clock.ts";
import type { WorkerOptions } from "./executor.ts";

/** A flow that was woken. */
export interface WokenFlow {
  readonly _flowId: string;
  readonly _exportId: string;
}

/** What flows in slots need to know of those that wait for one. */
export interface FlowSlotsRules {
  /** Measures how long runs have kept the process busy, to let other work run between them. */
  readonly clock: Clock;
  /** Whether other flows wait for a slot here. */
  readonly othersWait: () => boolean;
  /** The flow has more to do, and gives its slot up: it is to wait behind the others. */
  readonly onMore: (flow: WokenFlow) => void;
  /** A slot has become free. */
  readonly onFree: () => void;
}

/**
 * The calls of one process: at most one of a flow at a time, and at most `concurrency` at once. Each flow that is being
 * called has a slot, and in it a serial p-queue, which is dropped when it is idle. An executor decides which flow gets a
 * free slot; what is common to all of them is here.
 */
export class FlowSlots {
  readonly #rules: FlowSlotsRules;
  readonly #slots = new Map<string, Slot>();
  readonly #pace: Yielder;
  #work: WorkerOptions | undefined;

  constructor(rules: FlowSlotsRules) {
    this.#rules = rules;
    this.#pace = new Yielder(rules.clock);
  }

  /** How many flows have a slot. */
  get size(): number {
    return this.#slots.size;
  }

  /** How many flows more may begin now; 0 before `start` and after `stop`. */
  get free(): number {
    return this.#work === undefined ? 0 : Math.max(0, this.#work.concurrency - this.#slots.size);
  }

  start(work: WorkerOptions): void {
    this.#work = work;
  }

  /** Begins no more calls; resolves when those under way have ended. */
  async stop(): Promise<void> {
    this.#work = undefined;
    const running = [...this.#slots.values()];
    this.#slots.clear();
    for (const { queue } of running) queue.clear();
    await Promise.all(running.map(({ queue }) => queue.onIdle()));
  }

  /** Whether the flow has a slot: then one more call follows the one that goes on. */
  callAgain(_flowId: string): boolean {
    const slot = this.#slots.get(_flowId);
    if (slot?.queue.size === 0) this.#addCall(slot);
    return slot !== undefined;
  }

  /** Gives the flow a slot and calls it. There has to be a free one, and the flow must have none. */
  begin(flow: WokenFlow): void {
    const queue = new PQueue({ concurrency: 1 });
    const slot: Slot = { flow, queue };
    queue.on("idle", () => this.#drop(slot));
    this.#slots.set(flow._flowId, slot);
    // p-queue's own `signal` and `timeout` free the place while the task still goes on, which would let two runs of a
    // flow overlap. So they are never used: the run gets a signal of its own from its runner.
    void queue.add(() => this.#call(slot));
  }

  #addCall(slot: Slot): void {
    void slot.queue.add(async () => {
      if (this.#workFor(slot) === undefined) return;
      if (this.#rules.othersWait()) this.#rules.onMore(slot.flow);
      else await this.#call(slot);
    });
  }

  async #call(slot: Slot): Promise<void> {
    if (this.#pace.isDue()) await this.#pace.yield();
    const more = await this.#workFor(slot)?.runNext(slot.flow._flowId);
    if (more === true && slot.queue.size === 0 && this.#workFor(slot) !== undefined) this.#addCall(slot);
  }

  #drop(slot: Slot): void {
    if (this.#slots.get(slot.flow._flowId) !== slot) return;
    this.#slots.delete(slot.flow._flowId);
    this.#rules.onFree();
  }

  // A call begun before a stop must not go on with the work of a later start.
  #workFor(slot: Slot): WorkerOptions | undefined {
    return this.#slots.get(slot.flow._flowId) === slot ? this.#work : undefined;
  }
}

interface Slot {
  readonly flow: WokenFlow;
  readonly queue: PQueue;
}
