import PQueue from "p-queue";
import { Pace, type Clock, systemClock } from "../clock.ts";
import type { Executor, Work } from "./executor.ts";

/**
 * This process: one serial p-queue for each flow that has something to do, made when it is woken and dropped when it
 * is idle, and one p-queue over all of them that bounds how many run at once.
 *
 * A flow stands in the common queue at most once, and goes back to its end between two runs: that makes it fair.
 */
export class LocalExecutor implements Executor {
  readonly #flows = new Map<string, PQueue>();
  readonly #pace: Pace;
  #common: PQueue | undefined;
  #work: Work | undefined;

  /** `clock`: measures how long it has kept the process busy, to give way to other work. @default the system's */
  constructor(options: { readonly clock?: Clock } = {}) {
    this.#pace = new Pace(options.clock ?? systemClock);
  }

  /** How many flows have something to do: woken and not called yet, or running. */
  get size(): number {
    return this.#flows.size;
  }

  async start(work: Work): Promise<void> {
    this.#work = work;
    this.#common = new PQueue({ concurrency: work.concurrency });
  }

  async wake(flowId: string): Promise<void> {
    if (this.#work === undefined) return;
    const queue = this.#flows.get(flowId) ?? this.#open(flowId);
    // One call that has not begun yet answers this wake-up too.
    if (queue.size === 0) this.#add(flowId, queue);
  }

  async stop(): Promise<void> {
    this.#work = undefined;
    for (const queue of this.#flows.values()) queue.clear();
    this.#flows.clear();
    // What waits in the common queue finds no work; what runs there runs to its end.
    await this.#common?.onIdle();
  }

  #open(flowId: string): PQueue {
    const queue = new PQueue({ concurrency: 1 });
    queue.on("idle", () => {
      if (this.#flows.get(flowId) === queue) this.#flows.delete(flowId);
    });
    this.#flows.set(flowId, queue);
    return queue;
  }

  #add(flowId: string, queue: PQueue): void {
    // p-queue's own `signal` and `timeout` free the place while the task still goes on, which would let two runs of a
    // flow overlap. So they are never used: the run gets a signal of its own from its runner.
    void queue.add(async () => this.#common?.add(async () => this.#runNext(flowId, queue)));
  }

  async #runNext(flowId: string, queue: PQueue): Promise<void> {
    if (this.#pace.spent()) await this.#pace.breathe();
    const more = await this.#workFor(flowId, queue)?.runNext(flowId);
    if (more === true && queue.size === 0 && this.#workFor(flowId, queue) !== undefined) this.#add(flowId, queue);
  }

  // What waited when it was stopped is not for the work of a later start.
  #workFor(flowId: string, queue: PQueue): Work | undefined {
    return this.#flows.get(flowId) === queue ? this.#work : undefined;
  }
}
