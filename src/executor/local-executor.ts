import { type Clock, systemClock } from "../clock.ts";
import { InvalidOptionError } from "../errors.ts";
import { type Shape, objectWith, v, validate } from "../model/validate.ts";
import type { Executor, WorkerOptions } from "./executor.ts";
import { FlowSlots } from "./flow-slots.ts";
import { WakeUpQueue } from "./wake-up-queue.ts";

interface LocalExecutorOptions {
  readonly clock?: Clock;
}

const rules: Shape<LocalExecutorOptions> = { clock: v.optional(objectWith(["now", "setTimer", "yieldToEventLoop"])) };

/**
 * Executes runs in this process. Flows that have been woken wait in one queue, each at most once; the first `concurrency`
 * of them have a slot each. A flow with more runs goes to the end of the queue between two of them if other flows wait
 * there: that makes it fair.
 */
export class LocalExecutor implements Executor {
  readonly capabilities = Object.freeze({ durable: false, routes: false });
  readonly #queue = new WakeUpQueue();
  readonly #slots: FlowSlots;
  #isStarted = false;

  /**
   * `clock`: measures how long runs have kept the process busy, to let other work run between them. @default the system's
   *
   * @throws `invalid_option`
   */
  constructor(options: LocalExecutorOptions = {}) {
    validate(options, rules, InvalidOptionError);
    const { clock = systemClock } = options;
    this.#slots = new FlowSlots({
      clock,
      othersWait: () => this.#queue.size > 0,
      onMore: (flow) => this.#queue.add(flow),
      onFree: () => this.#admit(),
    });
  }

  /** How many flows are woken and wait, or run. */
  get size(): number {
    return this.#slots.size + this.#queue.size;
  }

  async start(work: WorkerOptions): Promise<void> {
    this.#isStarted = true;
    this.#slots.start(work);
  }

  async wake(_flowId: string, _exportId: string): Promise<void> {
    if (!this.#isStarted || this.#slots.callAgain(_flowId)) return;
    this.#queue.add({ _flowId, _exportId });
    this.#admit();
  }

  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#queue.drain();
    await this.#slots.stop();
  }

  /** Stops, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #admit(): void {
    while (this.#slots.free > 0) {
      const flow = this.#queue.shift();
      if (flow === undefined) return;
      this.#slots.begin(flow);
    }
  }
}
