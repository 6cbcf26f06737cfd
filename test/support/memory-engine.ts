import type { Desk, Engine } from "../../src/executor/engine-executor.ts";
import type { WokenFlow } from "../../src/executor/flow-slots.ts";

/** What several executors of a test share: an engine that can be away. */
export class MemoryQueue {
  readonly waiting = new Map<string, WokenFlow>();
  /** Each portion that was sent, by flow. */
  readonly sent: string[][] = [];
  /** `lost`: every call fails. `silent`: no call is responded to until it is back. */
  #state: "there" | "lost" | "silent" = "there";
  #waiters: (() => void)[] = [];

  /** Changes what calls find, and lets those go on that wait. */
  become(state: "there" | "lost" | "silent"): void {
    this.#state = state;
    this.ring();
  }

  async respond(): Promise<void> {
    while (this.#state === "silent") await this.changed();
    if (this.#state === "lost") throw new Error("the engine is away");
  }

  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  ring(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

/** One process's access to the queue. */
export class MemoryEngine implements Engine {
  readonly #queue: MemoryQueue;
  readonly #routes: boolean;
  #isServing = false;
  #served: Promise<void> | undefined;
  /** Whether connections of its own are open. */
  isOpen = false;
  desk: Desk | undefined;

  constructor(queue: MemoryQueue, { routes = false } = {}) {
    this.#queue = queue;
    this.#routes = routes;
  }

  async send(flows: readonly WokenFlow[]): Promise<void> {
    this.isOpen = true;
    this.#queue.sent.push(flows.map(({ _flowId }) => _flowId));
    await this.#queue.respond();
    for (const flow of flows) if (!this.#queue.waiting.has(flow._flowId)) this.#queue.waiting.set(flow._flowId, flow);
    this.#queue.ring();
  }

  start(desk: Desk): void {
    this.isOpen = true;
    this.desk = desk;
    this.#isServing = true;
    this.#served = this.#serve(desk);
  }

  async stop(): Promise<void> {
    this.#isServing = false;
    this.#queue.ring();
    await this.#served;
  }

  async close(): Promise<void> {
    this.isOpen = false;
    // One that is lost has no connections to end.
    await this.#queue.respond().catch(() => undefined);
  }

  async #serve(desk: Desk): Promise<void> {
    while (this.#isServing) {
      if (desk.free() === 0) {
        await desk.freed();
        continue;
      }
      try {
        await this.#queue.respond();
        const flow = [...this.#queue.waiting.values()].find((each) => this.#isFor(desk, each));
        if (flow === undefined) {
          desk.nothingWaits();
          await this.#queue.changed();
        } else {
          this.#queue.waiting.delete(flow._flowId);
          desk.take(flow);
        }
      } catch (error) {
        desk.report(error, "looking");
        await this.#queue.changed();
      }
    }
  }

  #isFor(desk: Desk, { _exportId }: WokenFlow): boolean {
    return !this.#routes || desk.exportIds().includes(_exportId);
  }
}
