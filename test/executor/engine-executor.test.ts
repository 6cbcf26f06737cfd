import { describe, expect, test } from "vitest";
import { delay, systemClock } from "../../src/clock.ts";
import { EngineExecutor } from "../../src/executor/engine-executor.ts";
import { ErrorReports } from "../../src/executor/error-reports.ts";
import type { RunNextResult } from "../../src/executor/executor.ts";
import { ManualClock, executorCases } from "../../src/testing/index.ts";
import { Gate, minute, noon, second } from "../support/harness.ts";
import { MemoryEngine, MemoryQueue } from "../support/memory-engine.ts";

describe.each([{ routes: true }, { routes: false }])("EngineExecutor, routes: $routes", ({ routes }) => {
  const places = new Map<string, MemoryQueue>();
  const open = (place: string) => {
    const queue = places.get(place) ?? new MemoryQueue();
    places.set(place, queue);
    return new EngineExecutor({ engine: new MemoryEngine(queue, { routes }), routes });
  };
  const cases = executorCases(open, { durable: true, routes, quietMs: 20 });

  for (const { title, run } of cases) test(title, run);
});

describe("EngineExecutor whose engine never responds", () => {
  const open = () => {
    const queue = new MemoryQueue();
    queue.become("lost");
    return new EngineExecutor({ engine: new MemoryEngine(queue), routes: false });
  };
  // What is woken before a start, after a stop or in another process is for others, which only an engine could reach.
  const others = /another process|another one|after the next start|before start|stop begins no more/;

  for (const { title, run } of executorCases(open, { durable: true, quietMs: 20 }))
    if (!others.test(title)) test(title, run);
});

function setting({ routes = false } = {}) {
  const clock = new ManualClock(noon);
  const queue = new MemoryQueue();
  const engine = new MemoryEngine(queue, { routes });
  const executor = new EngineExecutor({ clock, engine, routes });
  const calls: string[] = [];
  const errors: string[] = [];
  const gate = new Gate();
  const start = async (concurrency: number, runNext: (flowId: string) => Promise<RunNextResult>) => {
    await executor.start({
      ...{ concurrency, exportIds: ["orders"] },
      runNext(flowId) {
        calls.push(flowId);
        return runNext(flowId);
      },
      reportError: (error, during) => void errors.push(`${during}: ${(error as Error).message}`),
    });
    await clock.settle();
  };
  const wake = async (...flowIds: readonly string[]) => {
    const woken = Promise.all(flowIds.map((flowId) => executor.wake(flowId, "orders")));
    await clock.settle();
    return woken;
  };
  return { calls, clock, engine, errors, executor, gate, queue, start, wake };
}

describe("EngineExecutor", () => {
  test("calls at once what is woken while a slot is free and nothing waits, and sends nothing", async () => {
    const { calls, executor, queue, start, wake } = setting();
    await start(1, async () => false);

    await wake("flow");

    expect([calls, queue.sent]).toEqual([["flow"], []]);
    await executor.stop();
  });

  test("sends wake-ups of one turn together, each flow's once", async () => {
    const { clock, executor, gate, queue, start, wake } = setting();
    await start(1, () => gate.opened.then(() => false));

    await wake("a");
    const first = wake("b");
    for (let nth = 0; nth < 10; nth++) await Promise.resolve(); // as it takes to store what a wake-up is of
    await Promise.all([first, wake("c", "b")]);

    expect(queue.sent).toEqual([["b", "c"]]);
    gate.open();
    await clock.settle();
    await executor.stop();
  });

  test("lets a flow with many runs give way to what others may have sent, after a quarter of a second", async () => {
    const { calls, clock, executor, queue, start, wake } = setting();
    let left = 20;
    await start(1, async () => {
      await delay(clock, 50);
      return --left > 0;
    });
    await wake("busy");
    queue.waiting.set("from elsewhere", { _flowId: "from elsewhere", _exportId: "orders" });

    await clock.advance(2 * second);

    expect(calls.indexOf("from elsewhere")).toBeGreaterThan(3);
    expect(calls.indexOf("from elsewhere")).toBeLessThan(9);
    expect(calls).toHaveLength(21);
    await executor.stop();
  });

  test("sends one portion at a time, so that wake-ups arrive in their order", async () => {
    const { clock, executor, queue, wake } = setting();
    queue.become("silent");
    const first = wake("a");
    await clock.settle();
    const next = [wake("b"), wake("c")];
    await clock.settle();
    const before = [...queue.sent];

    queue.become("there");
    await clock.settle();

    expect([before, queue.sent]).toEqual([[["a"]], [["a"], ["b", "c"]]]);
    await Promise.all([first, ...next]);
    await executor.stop();
  });

  test("sends wake-ups in portions of a thousand", async () => {
    const { executor, queue, wake } = setting();

    await wake(...Array.from({ length: 2_500 }, (_, index) => `flow ${index}`));

    expect(queue.sent.map(({ length }) => length)).toEqual([1_000, 1_000, 500]);
    await executor.stop();
  });

  test("sends again what it is given when no slot is free any more", async () => {
    const { calls, clock, engine, executor, gate, queue, start, wake } = setting();
    await start(1, () => gate.opened.then(() => false));
    await wake("here");

    engine.desk?.take({ _flowId: "from elsewhere", _exportId: "orders" });
    await clock.settle();

    expect([calls, queue.sent, [...queue.waiting.keys()]]).toEqual([
      ["here"],
      [["from elsewhere"]],
      ["from elsewhere"],
    ]);
    gate.open();
    await clock.settle();
    expect(calls).toEqual(["here", "from elsewhere"]);
    await executor.stop();
  });

  test.each(["lost", "silent"] as const)(
    "calls what is woken here while the engine is %s, one after the other",
    async (state) => {
      const { calls, clock, errors, executor, queue, start, wake } = setting();
      await start(1, async () => false);
      queue.become(state);
      await clock.settle();

      const woken = wake("a", "b", "c");
      await clock.advance(5 * second);
      await woken;
      await wake("d");

      expect(calls).toEqual(["a", "b", "c", "d"]);
      expect(errors).toHaveLength(1);
      queue.become("there");
      await executor.stop();
    },
  );

  test("lets flows take turns while the engine is away", async () => {
    const { calls, clock, executor, gate, queue, start, wake } = setting();
    const left = new Map([
      ["a", 2],
      ["b", 2],
    ]);
    await start(1, async (flowId) => {
      await gate.opened;
      left.set(flowId, (left.get(flowId) ?? 0) - 1);
      return (left.get(flowId) ?? 0) > 0;
    });
    queue.become("lost");
    await wake("a", "b");

    gate.open();
    await clock.settle();

    expect(calls).toEqual(["a", "b", "a", "b"]);
    await executor.stop();
  });

  test.each(["lost", "silent"] as const)(
    "gives what waits here to others once an engine is back that was %s",
    async (state) => {
      const { clock, executor, gate, queue, start, wake } = setting();
      await start(1, () => gate.opened.then(() => false));
      await wake("runs");
      queue.become(state);
      const woken = wake("waits", "waits, too");
      await clock.advance(10 * second);
      await woken;
      const before = [...queue.waiting.keys()];

      queue.become("there");
      await clock.advance(2 * second);

      expect([before, [...queue.waiting.keys()]]).toEqual([[], ["waits", "waits, too"]]);
      gate.open();
      await clock.settle();
      await executor.stop();
    },
  );

  test("has one call under way at a time to an engine that does not respond", async () => {
    const { clock, executor, gate, queue, start, wake } = setting();
    await start(1, () => gate.opened.then(() => false));
    await wake("runs");
    queue.become("silent");

    for (let round = 0; round < 20; round++) {
      const woken = wake(`flow ${round}`, "again");
      await clock.advance(5 * second);
      await woken;
    }

    expect(queue.sent).toEqual([["flow 0", "again"]]);
    queue.become("there");
    gate.open();
    await clock.settle();
    await executor.stop();
  });

  test("keeps no wake-up for itself that only others can call", async () => {
    const { calls, clock, executor, queue, start } = setting({ routes: true });
    await start(1, async () => false);
    queue.become("lost");

    const woken = executor.wake("flow", "parcels");
    await clock.settle();
    await woken;
    await executor.wake("another", "parcels");
    await clock.advance(minute);

    expect(calls).toEqual([]);
    await executor.stop();
  });

  test("rejects a wake-up that the engine does not keep if nothing was started that could call it", async () => {
    const { executor, queue } = setting();
    queue.become("lost");

    await expect(executor.wake("flow", "orders")).rejects.toThrow("the engine is away");

    await executor.stop();
  });

  test("rejects one that the engine does not respond to within 5 seconds", async () => {
    const { clock, executor, queue } = setting();
    queue.become("silent");
    const woken = expect(executor.wake("flow", "orders")).rejects.toThrow("no response within 5000 ms");

    await clock.advance(5 * second);

    await woken;
    const stopped = executor.stop();
    await clock.advance(10 * second);
    await stopped;
  });

  test("has at most ten calls under way to an engine that does not respond, from a process that executes nothing", async () => {
    const { clock, executor, queue } = setting();
    queue.become("silent");
    const rejected: string[] = [];

    for (let round = 0; round < 15; round++) {
      executor.wake(`flow ${round}`, "orders").catch((error: unknown) => rejected.push((error as Error).message));
      await clock.advance(5 * second);
    }

    expect(queue.sent).toHaveLength(10);
    expect(rejected.slice(9)).toEqual([
      "no response within 5000 ms",
      ...Array<string>(5).fill("no response to 10 portions of wake-ups"),
    ]);
    queue.become("there");
    await clock.settle();
    await executor.stop();
  });

  test("stops within seconds, however silent the engine is", async () => {
    const { clock, executor, gate, queue, start, wake } = setting();
    await start(1, () => gate.opened.then(() => false));
    await wake("runs");
    queue.become("silent");
    const woken = wake("waits");
    await clock.advance(5 * second);
    await woken;

    let isStopped = false;
    const stopped = executor.stop().then(() => (isStopped = true));
    gate.open();
    await clock.advance(6 * second);

    expect(isStopped).toBe(true);
    await stopped;
  });

  test("leaves no connection open after its stop, however late a wake-up comes", async () => {
    const { clock, engine, executor, queue, start, wake } = setting();
    await start(1, async () => false);
    const before = engine.isOpen;
    await executor.stop();

    await wake("late");
    await clock.settle();

    expect([before, engine.isOpen, [...queue.waiting.keys()]]).toEqual([true, false, ["late"]]);
  });

  test("reports an error of the engine's once in half a minute", async () => {
    const { clock, errors, executor, queue, start } = setting();
    await start(1, async () => false);

    for (let round = 0; round < 10; round++) {
      queue.become("lost");
      await clock.advance(second);
    }
    const before = [...errors];
    await clock.advance(30 * second);
    queue.become("lost");
    await clock.settle();

    expect([before, errors.length]).toEqual([["looking: the engine is away"], 2]);
    await executor.stop();
  });
});

test("ErrorReports remembers no more than twenty errors", () => {
  const clock = new ManualClock(noon);
  const reports = new ErrorReports(clock);
  const isNew = (message: string) => reports.isNew(new Error(message));

  const first = Array.from({ length: 20 }, (_, index) => isNew(`error ${index}`));
  const again = isNew("error 0");
  isNew("one more");

  expect([first.every(Boolean), again, isNew("error 0")]).toEqual([true, false, true]);
});

test("EngineExecutor goes by the system's clock by default", async () => {
  const executor = new EngineExecutor({ engine: new MemoryEngine(new MemoryQueue()), routes: false });
  await executor.start({ concurrency: 1, exportIds: [], runNext: async () => false });
  await systemClock.yieldToEventLoop();

  await executor[Symbol.asyncDispose]();

  expect(executor.capabilities).toEqual({ durable: true, routes: false });
});
