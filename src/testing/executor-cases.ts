import assert from "node:assert/strict";
import { delay, systemClock } from "../clock.ts";
import type { Executor, RunNextResult, WorkerOptions } from "../executor/executor.ts";
import { type TestCases, chooseCases } from "./test-case.ts";

/**
 * Opens the executor under test at `place`: a name of letters, digits and underscores, new for each case, for engines
 * that keep wake-ups somewhere. An executor of one process may ignore it.
 */
export type OpenExecutor = (place: string) => Promise<Executor> | Executor;

/** How patient {@link executorCases} are, in milliseconds of real time. */
export interface ExecutorCaseOptions {
  /** How long a call that has to come may take to come. @default 10000 */
  readonly patienceMs?: number;
  /** How long to watch that a call which must not come does not; 0 is a few turns of the event loop. @default 0 */
  readonly quietMs?: number;
}

/**
 * The promises of the {@link Executor} contract, one case each.
 *
 * @example
 * for (const { title, run } of executorCases(() => new LocalExecutor())) test(title, run);
 */
export function executorCases(open: OpenExecutor, options: ExecutorCaseOptions = {}): TestCases {
  const { patienceMs = 10_000, quietMs = 0 } = options;
  return chooseCases(
    Object.entries(cases).map(([title, check]) => ({
      title,
      run: async () => {
        const executor = await open(`case_${crypto.randomUUID().replaceAll("-", "")}`);
        const shift = new Shift(executor, { patienceMs, quietMs });
        try {
          await check(shift);
        } finally {
          await shift.end();
        }
      },
    })),
  );
}

/** What a call of `runNext` does: it may wait, and says whether to call again. */
type Plan = (flowId: string, nth: number) => Promise<RunNextResult> | RunNextResult;

/** An executor at work, and every call it made. */
class Shift {
  readonly executor: Executor;
  /** The flow of each call, in the order they began. */
  readonly calls: string[] = [];
  /** The flow of each call that goes on. */
  readonly running: string[] = [];
  /** The most calls that went on at once. */
  peak = 0;
  /** Calls that began while one of the same flow went on. */
  overlaps = 0;
  readonly #patience: Required<ExecutorCaseOptions>;
  readonly #watching = new Set<() => void>();
  readonly #gates: (() => void)[] = [];

  constructor(executor: Executor, patience: Required<ExecutorCaseOptions>) {
    this.executor = executor;
    this.#patience = patience;
  }

  async start(plan: Plan, concurrency = 10): Promise<void> {
    const work: WorkerOptions = { concurrency, runNext: (flowId) => this.#call(flowId, plan) };
    await this.inTime("start", this.executor.start(work));
  }

  /** Wakes one after the other; none may wait for the calls that it leads to. */
  async wake(...flowIds: readonly string[]): Promise<void> {
    const wakeAll = async () => {
      for (const flowId of flowIds) await this.executor.wake(flowId);
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

const cases: Readonly<Record<string, (shift: Shift) => Promise<void>>> = {
  async "a wake-up makes it call runNext with the flow's id"(shift) {
    await shift.start(() => false);

    await shift.wake("flow");

    await shift.until("a call", () => shift.calls.length > 0);
    assert.equal(shift.calls[0], "flow");
  },

  async "a wake-up resolves without waiting for the call to end"(shift) {
    const gate = shift.gate();
    await shift.start(() => gate.opened.then(() => false));

    await shift.wake("flow", "flow", "another");
  },

  async "it calls nothing that was not woken"(shift) {
    await shift.start(() => false);

    await shift.wake("flow");
    await shift.until("a call", () => shift.calls.length > 0);
    await shift.quiet();

    assert.deepEqual([...new Set(shift.calls)], ["flow"]);
  },

  async "a wake-up before start is harmless, and calls nothing yet"(shift) {
    await shift.wake("flow");
    await shift.quiet();
    const before = shift.calls.length;

    await shift.start(() => false);
    await shift.wake("flow");

    await shift.until("a call", () => shift.calls.length > 0);
    assert.equal(before, 0);
  },

  async "it makes one call for a flow at a time, however often it is woken"(shift) {
    const gate = shift.gate();
    await shift.start((_, nth) => (nth === 1 ? gate.opened.then(() => true) : nth < 5));
    await shift.wake("flow");
    await shift.until("a call", () => shift.calls.length > 0);

    await shift.wake(...Array<string>(100).fill("flow"));
    await shift.quiet();
    const meanwhile = shift.calls.length;
    gate.open();
    await shift.until("5 calls", () => shift.calls.length >= 5 && shift.running.length === 0);

    assert.deepEqual([meanwhile, shift.overlaps], [1, 0]);
  },

  async "it calls different flows at once, up to `concurrency` and never beyond"(shift) {
    const gate = shift.gate();
    const flowIds = numbered("flow", 10);
    await shift.start((_, nth) => gate.opened.then(() => nth < 3), 3);

    await shift.wake(...flowIds);
    await shift.until("3 calls at once", () => shift.running.length === 3);
    await shift.quiet();
    gate.open();
    await shift.until("3 calls of each", () => flowIds.every((flowId) => shift.count(flowId) >= 3));

    assert.equal(shift.peak, 3);
  },

  async "a flow that takes long delays no other one"(shift) {
    const gate = shift.gate();
    await shift.start((flowId) => (flowId === "long" ? gate.opened.then(() => false) : false), 2);
    await shift.wake("long");
    await shift.until("the long call", () => shift.calls.length > 0);

    await shift.wake("short 1", "short 2");

    await shift.until("the short calls", () => shift.count("short 1") > 0 && shift.count("short 2") > 0);
  },

  async "a flow with 1,000 wake-ups and 1,000 waiting runs does not starve a flow with one"(shift) {
    const gate = shift.gate();
    const plan: Plan = (flowId, nth) => (nth === 1 ? gate.opened : Promise.resolve()).then(() => isBusy(flowId, nth));
    await shift.start(plan, 1);
    await shift.wake(...Array<string>(1_000).fill("busy"));
    await shift.until("a call", () => shift.calls.length > 0);

    await shift.wake("modest");
    gate.open();
    await shift.until("the modest flow's call", () => shift.count("modest") > 0);

    // One that was running, and one that may have been next already.
    assert.ok(shift.count("busy") <= 2, `${shift.count("busy")} calls of the busy flow came before`);
    await shift.until("the busy flow's last call", () => shift.count("busy") >= 1_000);
  },

  async "flows that have much to do take turns"(shift) {
    const gate = shift.gate();
    await shift.start((_, nth) => gate.opened.then(() => nth < 5), 1);

    await shift.wake("a", "b", "c");
    gate.open();
    await shift.until("5 calls of each", () => ["a", "b", "c"].every((flowId) => shift.count(flowId) >= 5));

    const twiceInARow = shift.calls.slice(0, 12).filter((flowId, index) => flowId === shift.calls[index - 1]);
    assert.deepEqual(twiceInARow, [], `called ${shift.calls.join(" ")}`);
  },

  async "`true` from runNext leads to another call, without another wake-up"(shift) {
    await shift.start((_, nth) => nth < 4);

    await shift.wake("flow");

    await shift.until("4 calls", () => shift.calls.length >= 4);
  },

  async "`notBefore` from runNext leads to no other call before that instant, unless the flow is woken"(shift) {
    const notBefore = systemClock.now() + 3_600_000;
    await shift.start((_, nth) => (nth === 2 ? false : { notBefore }));
    await shift.wake("flow");
    await shift.until("a call", () => shift.calls.length === 1 && shift.running.length === 0);

    await shift.quiet();
    assert.equal(shift.calls.length, 1, "an executor that calls again at once only finds that the flow still waits");
    await shift.wake("flow");

    await shift.until("another call", () => shift.calls.length === 2);
  },

  async "a wake-up while the flow runs leads to one more call, after the one that runs"(shift) {
    const gate = shift.gate();
    await shift.start((_, nth) => (nth === 1 ? gate.opened.then(() => false) : false));
    await shift.wake("flow");
    await shift.until("a call", () => shift.calls.length > 0);

    await shift.wake("flow");
    gate.open();

    await shift.until("one more call", () => shift.calls.length >= 2 && shift.running.length === 0);
    assert.equal(shift.overlaps, 0);
  },

  async "each of 1,000 flows is called"(shift) {
    const flowIds = numbered("flow", 1_000);
    await shift.start(() => false);

    await shift.wake(...flowIds);

    await shift.until("a call of each", () => shift.calls.length >= 1_000 && new Set(shift.calls).size === 1_000);
  },

  async "stop waits for the calls that go on"(shift) {
    const gate = shift.gate();
    let stopped = false;
    await shift.start(() => gate.opened.then(() => false));
    await shift.wake("a", "b");
    await shift.until("two calls", () => shift.running.length === 2);

    const stopping = shift.executor.stop().then(() => (stopped = true));
    await shift.quiet();
    const early = stopped;
    gate.open();
    await shift.inTime("stop", stopping);

    assert.deepEqual([early, shift.running], [false, []]);
  },

  async "stop begins no more calls: not for what waits, nor for `true`, nor for a wake-up"(shift) {
    const gate = shift.gate();
    await shift.start(() => gate.opened.then(() => true), 1);
    await shift.wake("runs", "waits");
    await shift.until("a call", () => shift.running.length === 1);

    const stopping = shift.executor.stop();
    await shift.wake("late");
    gate.open();
    await shift.inTime("stop", stopping);
    await shift.wake("later");
    await shift.quiet();

    assert.equal(shift.calls.length, 1, `called ${shift.calls.join(" ")}`);
  },

  async "stop may come before start, and twice"(shift) {
    await shift.inTime("stop", shift.executor.stop());
    await shift.start(() => false);

    await shift.inTime("stop", shift.executor.stop());
    await shift.inTime("stop", shift.executor.stop());
  },

  async "it may be started again, with other work and another concurrency"(shift) {
    let calledBefore = false;
    await shift.start(() => (calledBefore = true), 1);
    await shift.executor.stop();
    const gate = shift.gate();

    await shift.start(() => gate.opened.then(() => false), 2);
    await shift.wake("a", "b", "c");
    await shift.until("two calls at once", () => shift.running.length === 2);
    gate.open();

    await shift.until("all calls", () => new Set(shift.calls).size === 3);
    assert.deepEqual([shift.peak, calledBefore], [2, false]);
  },

  async "wake-ups that have led to no call before stop are dropped"(shift) {
    const gate = shift.gate();
    await shift.start(() => gate.opened.then(() => false), 1);
    await shift.wake("runs", "waits");
    await shift.until("a call", () => shift.running.length === 1);
    const stopping = shift.executor.stop();
    gate.open();
    await shift.inTime("stop", stopping);

    await shift.start(() => false);
    await shift.wake("new");
    await shift.until("the new call", () => shift.count("new") > 0);
    await shift.quiet();

    assert.equal(shift.count("waits"), 0);
  },
};

function isBusy(flowId: string, nth: number): boolean {
  return flowId === "busy" && nth < 1_000;
}

function numbered(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${name} ${index}`);
}
