import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { LocalExecutor } from "../../src/index.ts";
import { ManualClock, executorCases } from "../../src/testing/index.ts";

describe("LocalExecutor", () => {
  for (const { title, run } of executorCases(() => new LocalExecutor())) test(title, run);

  test("a run that was aborted keeps its flow's place until it has really ended", async () => {
    const executor = new LocalExecutor();
    const abort = new AbortController();
    const log: string[] = [];
    const runNext = async () => {
      const name = log.length === 0 ? "first" : "second";
      log.push(`${name} starts`);
      while (name === "first" && !abort.signal.aborted) await turns(1);
      await turns(100); // still closing its files
      log.push(`${name} ends`);
      return false;
    };
    await executor.start({ exportIds: ["orders"], concurrency: 2, runNext });
    await executor.wake("flow", "orders");
    await turns(1);

    await executor.wake("flow", "orders");
    abort.abort();
    await executor.wake("flow", "orders");
    await until(() => executor.size === 0);
    await executor.stop();

    expect(log).toEqual(["first starts", "first ends", "second starts", "second ends"]);
  });

  test("leaving the scope of an `await using` stops it", async () => {
    const executor = new LocalExecutor();
    const log: string[] = [];
    const runNext = async () => {
      log.push("begins");
      await turns(100);
      log.push("ends");
      return false;
    };
    await executor.start({ exportIds: ["orders"], concurrency: 1, runNext });
    await executor.wake("flow", "orders");
    await turns(1);

    await executor[Symbol.asyncDispose]();

    log.push("disposed");
    expect(log).toEqual(["begins", "ends", "disposed"]);
  });

  test("any number of wake-ups while a flow runs lead to one more call", async () => {
    const executor = new LocalExecutor();
    const gate = new Gate();
    let calls = 0;
    await executor.start({
      exportIds: ["orders"],
      concurrency: 2,
      runNext: () => {
        calls++;
        return gate.passed();
      },
    });
    await executor.wake("flow", "orders");
    await turns(1);

    for (let nth = 0; nth < 1_000; nth++) await executor.wake("flow", "orders");
    gate.open();
    await until(() => executor.size === 0);

    expect(calls).toBe(2);
  });

  test("drops a flow's queue as soon as the flow has nothing to do, and keeps those of the others", async () => {
    const executor = new LocalExecutor();
    const [long, short] = [new Gate(), new Gate()];
    await executor.start({
      exportIds: ["orders"],
      concurrency: 2,
      runNext: (flowId) => (flowId === "long" ? long : short).passed(),
    });
    for (const flowId of ["long", "a", "b", "c"]) await executor.wake(flowId, "orders");
    const woken = executor.size;

    short.open();
    await until(() => executor.size === 1);
    long.open();
    await until(() => executor.size === 0);

    expect(woken).toBe(4);
  });

  test("100,000 flows that were woken leave nothing behind", async () => {
    const executor = new LocalExecutor();
    let calls = 0;
    await executor.start({ exportIds: ["orders"], concurrency: 10, runNext: async () => ++calls < 0 });

    for (let nth = 0; nth < 100_000; nth++) await executor.wake(`flow ${nth}`, "orders");
    await until(() => executor.size === 0);

    expect(calls).toBe(100_000);
  });

  test("gives way to other work after every 10 ms of its own", async () => {
    const clock = new ManualClock(0);
    const executor = new LocalExecutor({ clock });
    let calls = 0;
    const runNext = async () => {
      clock.jumpTo(++calls);
      return false;
    };
    await executor.start({ exportIds: ["orders"], concurrency: 1, runNext });
    for (let nth = 0; nth < 1_000; nth++) await executor.wake(`flow ${nth}`, "orders");

    await systemClock.yieldToEventLoop();
    const meanwhile = calls;
    await until(() => calls === 1_000);

    expect(meanwhile).toBeLessThan(50);
  });

  test("what waited when it was stopped is not called by the work of a later start, though a call went on all along", async () => {
    const executor = new LocalExecutor();
    const gate = new Gate();
    const called: string[] = [];
    await executor.start({ exportIds: ["orders"], concurrency: 1, runNext: () => gate.passed() });
    await executor.wake("hangs", "orders");
    await executor.wake("waits", "orders");
    await turns(1);
    const stopping = executor.stop();

    const runNext = async (flowId: string) => {
      called.push(flowId);
      return false;
    };
    await executor.start({ exportIds: ["orders"], concurrency: 1, runNext });
    gate.open();
    await stopping;
    await executor.wake("new", "orders");
    await until(() => executor.size === 0);

    expect(called).toEqual(["new"]);
  });
});

/** Calls wait at it until it is opened. */
class Gate {
  open: () => void = () => undefined;
  readonly #opened = new Promise<void>((resolve) => (this.open = resolve));

  /** Resolves with false: nothing more waits. */
  async passed(): Promise<boolean> {
    await this.#opened;
    return false;
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await systemClock.yieldToEventLoop();
}

// The test's own timeout is how long it may take.
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await systemClock.yieldToEventLoop();
}
