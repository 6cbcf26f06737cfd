import type { WokenFlow } from "./flow-slots.ts";

/** Flows that were woken and wait: first in, first out, each at most once. */
export class WakeUpQueue {
  readonly #waiting = new Set<string>();
  #back: WokenFlow[] = [];
  /** The front of the queue in reverse, so that removing the first element moves no other. */
  #front: WokenFlow[] = [];

  get size(): number {
    return this.#waiting.size;
  }

  has(_flowId: string): boolean {
    return this.#waiting.has(_flowId);
  }

  /** Nothing happens if the flow waits already. */
  add(flow: WokenFlow): void {
    if (this.#waiting.has(flow._flowId)) return;
    this.#waiting.add(flow._flowId);
    this.#back.push(flow);
  }

  /** Removes the first one; undefined if none waits. */
  shift(): WokenFlow | undefined {
    if (this.#front.length === 0) [this.#front, this.#back] = [this.#back.reverse(), []];
    const flow = this.#front.pop();
    if (flow !== undefined) this.#waiting.delete(flow._flowId);
    return flow;
  }

  /** Removes all of them, and returns them in their order. */
  drain(): readonly WokenFlow[] {
    const flows = [...this.#front.reverse(), ...this.#back];
    this.#waiting.clear();
    this.#front = [];
    this.#back = [];
    return flows;
  }
}
