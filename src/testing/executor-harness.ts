import assert from "node:assert/strict";
import { delay, systemClock } from "../clock.ts";
import type { Executor, RunNextResult, WorkerOptions } from "../executor/executor.ts";

/** How patient the cases of executors are, in milliseconds of real time. */
export interface Patience {
  /** How long a call that has to come may take to come. @default 10000 */
  readonly patienceMs?: number;
  /** How long to watch that a call which must not come does not; 0 is a few turns of the event loop. @default 0 */
  readonly quietMs?: number;
}

/** What a wake-up of a flow names where nothing depends on it. */
export const usualExport = "orders";

/** What a call of `runNext` does: it may wait, and says whether to call again. */
export type Plan = (flowId: string, nth: number) => Promise<RunNextResult> | RunNextResult;

/** An executor at work, and every call it made. */
export class Shift {
  readonly executor: Executor;
  /** The flow of each call, in the order they began. */
  readonly calls: string[] = [];
  /** The flow of each call that goes on. */
  readonly running: string[] = [];
  /** The most calls that went on at once. */
  peak = 0;
  /** Calls that began while one of the same flow went on. */
  overlaps = 0;
  readonly #patience: Required<Patience>;
  readonly #watching = new Set<() => void>();
  readonly #gates: (() => void)[] = [];
  readonly #open: () => Promise<Executor>;
  readonly #others: Shift[] = [];

  private constructor(executor: Executor, open: () => Promise<Executor>, patience: Required<Patience>) {
    this.executor = executor;
    this.#open = open;
    this.#patience = patience;
  }

  /** One executor at work, and others as another process would have them. */
  static async begin(open: () => Promise<Executor>, patience: Required<Patience>): Promise<Shift> {
    return new Shift(await open(), open, patience);
  }

  /** An executor of another process, at the same place. */
  async another(): Promise<Shift> {
    const other = await Shift.begin(this.#open, this.#patience);
    this.#others.push(other);
    return other;
  }

  async start(plan: Plan, concurrency = 10, exportIds: readonly string[] = [usualExport]): Promise<void> {
    const work: WorkerOptions = { concurrency, exportIds, runNext: (flowId) => this.#call(flowId, plan) };
    await this.inTime("start", this.executor.start(work));
  }

  /** Wakes one after the other; none may wait for the calls that it leads to. */
  async wake(...flowIds: readonly string[]): Promise<void> {
    const wakeAll = async () => {
      for (const flowId of flowIds) await this.executor.wake(flowId, usualExport);
    };
    await this.inTime("wake", wakeAll());
  }

  /** How often the flow was called. */
  count(flowId: string): number {
    return this.calls.filter((called) => called === flowId).length;
  }

  /** A gate that calls can wait at until it is opened. */
  gate(): { readonly opened: Promise<void>; readonly open: () => void } {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.#gates.push(open);
    return { opened, open };
  }

  /** Resolves once `condition` holds, after the call that made it so; rejects if that takes too long. */
  async until(what: string, condition: () => boolean): Promise<void> {
    let cancel: () => void = () => undefined;
    let look: () => void = () => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const late = () => new assert.AssertionError({ message: `waited in vain: ${what}; called ${this.#shown()}` });
        cancel = systemClock.setTimer(() => reject(late()), this.#patience.patienceMs);
        look = () => {
          if (condition()) resolve();
        };
        this.#watching.add(look);
        look();
      });
    } finally {
      cancel();
      this.#watching.delete(look);
    }
  }

  /** Resolves with what `work` does; rejects if that takes too long. */
  async inTime(what: string, work: Promise<unknown>): Promise<void> {
    let done = false;
    const settled = work.finally(() => {
      done = true;
      for (const look of this.#watching) look();
    });
    await Promise.all([settled, this.until(what, () => done)]);
  }

  /** Gives calls that must not come the time to come. */
  async quiet(): Promise<void> {
    await delay(systemClock, this.#patience.quietMs);
    for (let turn = 0; turn < 20; turn++) await systemClock.yieldToEventLoop();
  }

  async end(): Promise<void> {
    for (const open of this.#gates) open();
    for (const other of this.#others) await other.end();
    await this.inTime("the executor to stop", this.executor.stop());
  }

  async #call(flowId: string, plan: Plan): Promise<RunNextResult> {
    this.calls.push(flowId);
    if (this.running.includes(flowId)) this.overlaps++;
    this.running.push(flowId);
    this.peak = Math.max(this.peak, this.running.length);
    for (const look of this.#watching) look();
    // A call takes time, however little it has to do.
    await systemClock.yieldToEventLoop();
    const more = await plan(flowId, this.count(flowId));
    this.running.splice(this.running.indexOf(flowId), 1);
    for (const look of this.#watching) look();
    return more;
  }

  #shown(): string {
    return this.calls.length === 0 ? "nothing" : this.calls.slice(-20).join(" ");
  }
}
