import PQueue from "p-queue";
import { Yielder, type Clock, systemClock } from "../clock.ts";
import type { Executor, WorkerOptions } from "./executor.ts";

/**
 * Executes runs in this process. Flows that have been woken wait in one queue, each at most once; the first `concurrency`
 * of them have a serial p-queue each, which is created when their turn comes and dropped when it is idle.
 *
 * A flow with more runs goes to the end of the queue between two of them if other flows wait there: that makes it fair.
 */
export class LocalExecutor implements Executor {
  readonly #flows = new Map<string, PQueue>();
  readonly #queue = new WakeUpQueue();
  readonly #pace: Yielder;
  #work: WorkerOptions | undefined;

  /** `clock`: measures how long runs have kept the process busy, to let other work run between them. @default the system's */
  constructor(options: { readonly clock?: Clock } = {}) {
    this.#pace = new Yielder(options.clock ?? systemClock);
  }

  /** How many flows are woken and wait, or run. */
  get size(): number {
    return this.#flows.size + this.#queue.size;
  }

  async start(work: WorkerOptions): Promise<void> {
    this.#work = work;
  }

  async wake(flowId: string): Promise<void> {
    if (this.#work === undefined || this.#queue.has(flowId)) return;
    const queue = this.#flows.get(flowId);
    if (queue === undefined) {
      this.#queue.add(flowId);
      this.#admit();
    } else if (queue.size === 0) this.#callAgain(flowId, queue);
  }

  async stop(): Promise<void> {
    this.#work = undefined;
    this.#queue.clear();
    const running = [...this.#flows.values()];
    this.#flows.clear();
    for (const queue of running) queue.clear();
    await Promise.all(running.map((queue) => queue.onIdle()));
  }

  /** Stops, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #admit(): void {
    while (this.#work !== undefined && this.#flows.size < this.#work.concurrency) {
      const flowId = this.#queue.shift();
      if (flowId === undefined) return;
      const queue = new PQueue({ concurrency: 1 });
      queue.on("idle", () => this.#drop(flowId, queue));
      this.#flows.set(flowId, queue);
      // p-queue's own `signal` and `timeout` free the place while the task still goes on, which would let two runs of a
      // flow overlap. So they are never used: the run gets a signal of its own from its runner.
      void queue.add(() => this.#call(flowId, queue));
    }
  }

  #callAgain(flowId: string, queue: PQueue): void {
    void queue.add(async () => {
      if (this.#workFor(flowId, queue) === undefined) return;
      if (this.#queue.size > 0) this.#queue.add(flowId);
      else await this.#call(flowId, queue);
    });
  }

  async #call(flowId: string, queue: PQueue): Promise<void> {
    if (this.#pace.isDue()) await this.#pace.yield();
    const more = await this.#workFor(flowId, queue)?.runNext(flowId);
    if (more === true && queue.size === 0 && this.#workFor(flowId, queue) !== undefined) this.#callAgain(flowId, queue);
  }

  #drop(flowId: string, queue: PQueue): void {
    if (this.#flows.get(flowId) !== queue) return;
    this.#flows.delete(flowId);
    this.#admit();
  }

  // A call begun before a stop must not go on with the work of a later start.
  #workFor(flowId: string, queue: PQueue): WorkerOptions | undefined {
    return this.#flows.get(flowId) === queue ? this.#work : undefined;
  }
}

/** First in, first out; each flow at most once. */
class WakeUpQueue {
  readonly #waiting = new Set<string>();
  #back: string[] = [];
  /** The front of the queue in reverse, so that removing the first element moves no other. */
  #front: string[] = [];

  get size(): number {
    return this.#waiting.size;
  }

  has(flowId: string): boolean {
    return this.#waiting.has(flowId);
  }

  add(flowId: string): void {
    this.#waiting.add(flowId);
    this.#back.push(flowId);
  }

  shift(): string | undefined {
    if (this.#front.length === 0) [this.#front, this.#back] = [this.#back.reverse(), []];
    const flowId = this.#front.pop();
    if (flowId !== undefined) this.#waiting.delete(flowId);
    return flowId;
  }

  clear(): void {
    this.#waiting.clear();
    this.#front = [];
    this.#back = [];
  }
}
