import assert from "node:assert/strict";
import { systemClock } from "../clock.ts";
import type { Executor, ExecutorCapabilities } from "../executor/executor.ts";
import { type Patience, type Plan, Shift, usualExport } from "./executor-harness.ts";
import { type Candidate, type TestCases, chooseCases } from "./test-case.ts";

/**
 * Opens the executor under test at `place`: a name of letters, digits and underscores, new for each case, for engines
 * that keep wake-ups somewhere. A durable one is opened there twice, as two processes would. An executor of one process
 * may ignore it.
 */
export type OpenExecutor = (place: string) => Promise<Executor> | Executor;

/** What the executor under test says of itself, absent ones being false; and how patient {@link executorCases} are. */
export interface ExecutorCaseOptions extends Patience, Partial<ExecutorCapabilities> {}

/**
 * The promises of the {@link Executor} contract, one case each. Those that take an ability the executor does not have are
 * in `skipped`.
 *
 * What no case can show: that a job of an engine ends when the flow's call has begun. Kill a process in the middle of a
 * run, and see how long the wake-ups of its flow are kept back.
 *
 * @example
 * for (const { title, run } of executorCases(() => new LocalExecutor())) test(title, run);
 */
export function executorCases(open: OpenExecutor, options: ExecutorCaseOptions = {}): TestCases {
  const { durable = false, routes = false, patienceMs = 10_000, quietMs = 0 } = options;
  const candidateOf = ([title, check]: readonly [string, Check], skip?: string): Candidate => ({
    title,
    skip,
    run: async () => {
      const place = `case_${crypto.randomUUID().replaceAll("-", "")}`;
      const shift = await Shift.begin(async () => open(place), { patienceMs, quietMs });
      try {
        await check(shift);
      } finally {
        await shift.end();
      }
    },
  });
  const abilities: Check = async ({ executor }) => assert.deepEqual({ ...executor.capabilities }, { durable, routes });
  const all = (some: Cases, skip?: string) => Object.entries(some).map((each) => candidateOf(each, skip));
  return chooseCases([
    candidateOf(["it has the capabilities that it is tested for, and says so", abilities]),
    ...all(cases),
    ...all(forgetfulCases, durable ? "the executor is durable" : undefined),
    ...all(durableCases, durable ? undefined : "the executor is not durable"),
    ...all(routingCases, routes ? undefined : "the executor does not route"),
  ]);
}

type Check = (shift: Shift) => Promise<void>;
type Cases = Readonly<Record<string, Check>>;

const cases: Cases = {
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
};

/** What holds of an executor that is not durable. */
const forgetfulCases: Cases = {
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

/** What holds of one that is: of two processes, and over a stop. */
const durableCases: Cases = {
  async "wake-ups that have led to no call before stop lead to one after the next start"(shift) {
    const gate = shift.gate();
    await shift.start(() => gate.opened.then(() => false), 1);
    await shift.wake("runs", "waits");
    await shift.until("a call", () => shift.running.length === 1);
    const stopping = shift.executor.stop();
    gate.open();
    await shift.inTime("stop", stopping);
    const before = shift.count("waits");

    await shift.start(() => false);

    await shift.until("the call that waited", () => shift.count("waits") > 0);
    assert.equal(before, 0);
  },

  async "wake-ups that have led to no call before stop lead to one in another process"(shift) {
    const gate = shift.gate();
    const other = await shift.another();
    await shift.start(() => gate.opened.then(() => false), 1);
    await shift.wake("runs", "waits");
    await shift.until("a call", () => shift.running.length === 1);
    const stopping = shift.executor.stop();
    gate.open();
    await shift.inTime("stop", stopping);

    await other.start(() => false);

    await other.until("the call that waited", () => other.count("waits") > 0);
  },

  async "what finds no free slot in one process is called in another one that has some"(shift) {
    const gate = shift.gate();
    const other = await shift.another();
    await shift.start(() => gate.opened.then(() => false), 1);
    await other.start(() => false, 1);
    const flowIds = numbered("flow", 20);

    await shift.wake("long", ...flowIds);

    const called = () => new Set([...shift.calls, ...other.calls]);
    await other.until(
      "a call of each in the other process",
      () => called().size > flowIds.length || shift.count("long") === 0,
    );
    assert.ok(shift.peak <= 1 && other.peak <= 1, "more calls at once than `concurrency`");
  },

  async "a wake-up of a process that was not started leads to a call in another one"(shift) {
    const other = await shift.another();
    await other.start(() => false);

    await shift.wake("flow");

    await other.until("a call", () => other.count("flow") > 0);
  },
};

/** What holds of an executor that knows which process has which export. */
const routingCases: Cases = {
  async "a wake-up leads to a call in a process that has its export, and to none in one that has not"(shift) {
    const other = await shift.another();
    await shift.start(() => false, 10, ["parcels"]);
    await other.start(() => false, 10, ["parcels", usualExport]);

    await shift.wake(...numbered("flow", 20));

    await other.until("a call of each", () => new Set(other.calls).size === 20);
    await shift.quiet();
    assert.deepEqual(shift.calls, []);
  },

  async "an export that a process was given after its start is called there from then on"(shift) {
    const exportIds = ["parcels"];
    await shift.start(() => false, 10, exportIds);
    await shift.wake("flow");
    await shift.quiet();
    const before = shift.calls.length;

    exportIds.push(usualExport);
    await shift.wake("another");

    await shift.until("a call", () => shift.count("another") > 0);
    assert.equal(before, 0);
  },
};

function isBusy(flowId: string, nth: number): boolean {
  return flowId === "busy" && nth < 1_000;
}

function numbered(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${name} ${index}`);
}
