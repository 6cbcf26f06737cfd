import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { RunNextResult } from "../../src/executor/executor.ts";
import { SharedExecutor, type SharedExecutorOptions } from "../../src/executor/shared-executor.ts";
import { ManualClock, executorCases } from "../../src/testing/index.ts";
import { Gate, minute, noon, second } from "../support/harness.ts";
import { MemoryWakes } from "../support/shared-memory.ts";

for (const [title, options] of [
  ["with a bell", { hasBell: true, pollMs: 1_000 }],
  ["without a bell", { pollMs: 5 }],
] as const)
  describe(`SharedExecutor ${title}`, () => {
    const places = new Map<string, MemoryWakes>();
    const open = (place: string) => {
      const wakes = places.get(place) ?? new MemoryWakes(options);
      places.set(place, wakes);
      return new SharedExecutor(wakes);
    };
    const cases = executorCases(open, { durable: true, routes: true, quietMs: 20 });

    for (const { title: promise, run } of cases) test(promise, run);

    test("is tested for all that a durable executor promises", () => {
      expect(cases.skipped.map(({ reason }) => reason)).toEqual(["the executor is durable"]);
    });
  });

for (const [title, options] of [
  ["with a bell", { hasBell: true, pollMs: 5 }],
  ["without a bell", { pollMs: 5 }],
] as const)
  describe(`SharedExecutor alone ${title}`, () => {
    const open = () => new SharedExecutor(new MemoryWakes(options), { isAlone: async () => true });
    const cases = executorCases(open, { durable: true, routes: true });
    const together = /another process|another one|has its export/;

    for (const { title: promise, run } of cases) if (!together.test(promise)) test(promise, run);
  });

/** Wake-ups that count how often they are asked, on a clock that stands still. */
class CountedWakes extends MemoryWakes {
  added = 0;
  looks = 0;

  override addWakes(wakes: Parameters<MemoryWakes["addWakes"]>[0]) {
    this.added += wakes.length;
    return super.addWakes(wakes);
  }

  override claimWakes(...call: Parameters<MemoryWakes["claimWakes"]>) {
    this.looks++;
    return super.claimWakes(...call);
  }
}

function setting(options: Omit<SharedExecutorOptions, "clock"> = {}, bell = { pollMs: 250, hasBell: false }) {
  const clock = new ManualClock(noon);
  const wakes = new CountedWakes(bell);
  const executor = new SharedExecutor(wakes, { clock, ...options });
  const calls: string[] = [];
  const gate = new Gate();
  const start = async (concurrency: number, runNext: (flowId: string) => Promise<RunNextResult>) => {
    await executor.start({
      ...{ concurrency, exportIds: ["orders"] },
      runNext(flowId) {
        calls.push(flowId);
        return runNext(flowId);
      },
    });
    await clock.settle();
  };
  return { calls, clock, executor, gate, start, wakes };
}

const withBell = { pollMs: 1_000, hasBell: true };

describe("SharedExecutor", () => {
  test("calls a flow at once that is woken while a slot is free, and sends nothing", async () => {
    const { calls, clock, executor, start, wakes } = setting();
    await start(1, async () => false);

    await executor.wake("flow", "orders");
    await clock.settle();

    expect([calls, wakes.added]).toEqual([["flow"], 0]);
    await executor.stop();
  });

  test("sends wake-ups of one turn together", async () => {
    const { clock, executor, gate, start, wakes } = setting();
    const sizes: number[] = [];
    const send = wakes.addWakes.bind(wakes);
    wakes.addWakes = (given) => {
      sizes.push(given.length);
      return send(given);
    };
    await start(1, () => gate.opened.then(() => false));

    await Promise.all(["a", "b", "c", "b"].map((flowId) => executor.wake(flowId, "orders")));
    await clock.settle();

    expect(sizes).toEqual([2]);
    gate.open();
    await executor.stop();
  });

  test("that is alone keeps wake-ups in the process, and gives them to others once there are some", async () => {
    let isAlone = true;
    const { clock, executor, gate, start, wakes } = setting({ isAlone: async () => isAlone });
    await start(1, () => gate.opened.then(() => false));
    for (const flowId of ["a", "b", "c"]) await executor.wake(flowId, "orders");
    await clock.advance(minute);
    const before = wakes.added;

    isAlone = false;
    await clock.advance(5 * second);

    expect([before, wakes.flowIds]).toEqual([0, ["b", "c"]]);
    gate.open();
    await executor.stop();
  });

  test("that is alone leaves a wake-up that is not its work in the storage, though a slot gets free meanwhile", async () => {
    const { calls, clock, executor, gate, start, wakes } = setting({ isAlone: async () => true });
    await start(2, () => gate.opened.then(() => false));
    await executor.wake("a", "orders");

    const sent = executor.wake("b", "parcels");
    gate.open();
    await sent;
    await clock.settle();

    expect([calls, wakes.flowIds]).toEqual([["a"], ["b"]]);
    await executor.stop();
  });

  test("leaves what waits in the process to others when it stops", async () => {
    const { executor, gate, start, wakes } = setting({ isAlone: async () => true });
    await start(1, () => gate.opened.then(() => false));
    for (const flowId of ["a", "b"]) await executor.wake(flowId, "orders");

    const stopping = executor.stop();
    gate.open();
    await stopping;

    expect(wakes.flowIds).toEqual(["b"]);
  });

  test("with a bell keeps wake-ups in the process once it is known to be alone, and shares them when another one rings", async () => {
    const { clock, executor, gate, start, wakes } = setting({ isAlone: async () => true }, withBell);
    await start(1, () => gate.opened.then(() => false));
    await clock.advance(3 * second);
    for (const flowId of ["a", "b", "c"]) await executor.wake(flowId, "orders");
    await clock.settle();
    const before = wakes.added;

    await wakes.addWakes([{ _flowId: "d", _exportId: "orders" }]);
    await clock.settle();

    expect([before, wakes.flowIds]).toEqual([0, ["d", "b", "c"]]);
    gate.open();
    await executor.stop();
  });

  test("that is alone shares its wake-ups as soon as another process starts that hears the bell, too", async () => {
    const { clock, executor, gate, start, wakes } = setting({ isAlone: async () => true }, withBell);
    await start(1, () => gate.opened.then(() => false));
    await clock.advance(3 * second);
    for (const flowId of ["a", "b"]) await executor.wake(flowId, "orders");
    const elsewhere: string[] = [];
    const other = new SharedExecutor(wakes, { clock, isAlone: async () => false });

    await other.start({
      ...{ concurrency: 1, exportIds: ["orders"] },
      runNext: async (flowId) => (elsewhere.push(flowId), false),
    });
    await clock.settle();

    expect(elsewhere).toEqual(["b"]);
    gate.open();
    await executor.stop();
    await other.stop();
  });

  test("that is alone does not take its own ring for another process's", async () => {
    const { clock, executor, gate, start, wakes } = setting({ isAlone: async () => true }, withBell);
    await start(1, () => gate.opened.then(() => false));
    await clock.advance(3 * second);
    for (const flowId of ["a", "b"]) await executor.wake(flowId, "orders");

    await executor.wake("c", "parcels");
    await clock.settle();
    await executor.wake("d", "orders");
    await clock.settle();

    // What waited when it sent something went with it.
    expect(wakes.flowIds).toEqual(["b", "c"]);
    gate.open();
    await executor.stop();
  });

  test("that is alone begins with what waits in the storage, which is older than what waits in the process", async () => {
    const { calls, clock, executor, gate, start, wakes } = setting({ isAlone: async () => true }, withBell);
    await start(1, () => gate.opened.then(() => false));
    for (const flowId of ["a", "b"]) await executor.wake(flowId, "orders");
    await clock.settle();
    await clock.advance(3 * second);
    await executor.wake("c", "orders");
    const before = [...wakes.flowIds];

    gate.open();
    await clock.settle();

    expect([before, calls]).toEqual([["b"], ["a", "b", "c"]]);
    await executor.stop();
  });

  test("looks each time the polling interval has passed while there are others, and ever less often while there are none", async () => {
    const looksIn = async (isAlone: boolean) => {
      const { clock, executor, start, wakes } = setting({ isAlone: async () => isAlone });
      await start(1, async () => false);
      wakes.looks = 0;
      await clock.advance(minute);
      await executor.stop();
      return wakes.looks;
    };

    expect(await looksIn(false)).toBe(240);
    expect(await looksIn(true)).toBeLessThan(20);
  });

  test("hears the bell while it looks every half a minute, after five minutes without a wake-up", async () => {
    const { calls, clock, executor, start, wakes } = setting({}, { pollMs: 1_000, hasBell: true });
    await start(1, async () => false);
    await clock.advance(6 * minute);
    wakes.looks = 0;
    await clock.advance(2 * minute);
    const looks = wakes.looks;

    await wakes.addWakes([{ _flowId: "flow", _exportId: "orders" }]);
    await clock.settle();

    expect(looks).toBeLessThanOrEqual(4);
    expect(calls).toEqual(["flow"]);
    await executor.stop();
  });

  test("without a bell looks every half a minute after five minutes without a wake-up, so that a database may sleep", async () => {
    const { calls, clock, executor, start, wakes } = setting({}, { pollMs: 1_000, hasBell: false });
    Object.assign(wakes, { idlePollMs: 30_000 });
    const looksInTwoMinutes = async () => {
      wakes.looks = 0;
      await clock.advance(2 * minute);
      return wakes.looks;
    };
    await start(1, async () => false);
    const busy = await looksInTwoMinutes();
    await clock.advance(4 * minute);
    const idle = await looksInTwoMinutes();

    await wakes.addWakes([{ _flowId: "flow", _exportId: "orders" }]);
    await clock.advance(30 * second);
    const again = await looksInTwoMinutes();

    expect([busy, again]).toEqual([120, 120]);
    expect(idle).toBeLessThanOrEqual(4);
    expect(calls).toEqual(["flow"]);
    await executor.stop();
  });

  test("goes on with a flow where it is while no other one waits, without asking anybody", async () => {
    const { calls, clock, executor, start, wakes } = setting({}, { pollMs: 1_000, hasBell: true });
    await start(1, async () => calls.length < 100);
    const before = wakes.looks;

    await executor.wake("flow", "orders");
    await clock.settle();

    expect(calls).toHaveLength(100);
    expect(wakes.added).toBe(0);
    expect(wakes.looks - before).toBeLessThanOrEqual(2);
    await executor.stop();
  });

  test("looks again, and loses nothing, after the storage has failed", async () => {
    const { calls, clock, executor, start, wakes } = setting();
    const honest = wakes.claimWakes.bind(wakes);
    let isBroken = true;
    wakes.claimWakes = (...call) => (isBroken ? Promise.reject(new Error("away")) : honest(...call));
    await start(1, async () => false);
    await wakes.addWakes([{ _flowId: "flow", _exportId: "orders" }]);
    await clock.advance(second);
    const before = [...calls];

    isBroken = false;
    await clock.advance(second);

    expect([before, calls]).toEqual([[], ["flow"]]);
    await executor.stop();
  });

  test("rejects a wake-up that the storage refuses, and takes the next one", async () => {
    const { calls, clock, executor, gate, start, wakes } = setting();
    const honest = wakes.addWakes.bind(wakes);
    await start(1, () => gate.opened.then(() => false));
    await executor.wake("runs", "orders");
    wakes.addWakes = () => Promise.reject(new Error("the disk is full"));
    await expect(executor.wake("lost", "orders")).rejects.toThrow("the disk is full");
    wakes.addWakes = honest;

    await executor.wake("kept", "orders");
    gate.open();
    await clock.advance(second);

    expect(calls).toEqual(["runs", "kept"]);
    await executor[Symbol.asyncDispose]();
  });

  test("goes by the computer's clock without one of its own", async () => {
    const wakes = new MemoryWakes({ pollMs: 1 });
    await using executor = new SharedExecutor(wakes);
    const called = new Gate();
    await executor.start({ concurrency: 1, exportIds: ["orders"], runNext: async () => (called.open(), false) });

    await wakes.addWakes([{ _flowId: "flow", _exportId: "orders" }]);

    await called.opened;
    expect(systemClock.now()).toBeGreaterThan(0);
  });
});
