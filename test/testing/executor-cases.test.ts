import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { Executor, WorkerOptions } from "../../src/executor/executor.ts";
import { LocalExecutor } from "../../src/index.ts";
import { type OpenExecutor, type TestCase, executorCases } from "../../src/testing/index.ts";

/** The case with this title. */
function caseOf(title: string, open: OpenExecutor): TestCase {
  const found = executorCases(open, { patienceMs: 200 }).find((each) => each.title === title);
  return found ?? expect.fail(`there is no case ${title}`);
}

/** A local executor that is given `change`d work. */
function withWork(change: (work: WorkerOptions) => WorkerOptions): Executor {
  const local = new LocalExecutor();
  return {
    capabilities: local.capabilities,
    start: (work) => local.start(change(work)),
    wake: (...woken) => local.wake(...woken),
    stop: () => local.stop(),
  };
}

/** A local executor whose methods are replaced. */
function withMethods(replace: (local: LocalExecutor) => Partial<Executor>): Executor {
  const local = new LocalExecutor();
  return {
    capabilities: local.capabilities,
    start: (work) => local.start(work),
    wake: (...woken) => local.wake(...woken),
    stop: () => local.stop(),
    ...replace(local),
  };
}

/** Title of a case that has to fail → an executor that breaks this promise. */
const saboteurs: Readonly<Record<string, () => Executor>> = {
  "it has the capabilities that it is tested for, and says so": () =>
    withMethods(() => ({ capabilities: { durable: true, routes: false } })),

  "a wake-up makes it call runNext with the flow's id": () => withMethods(() => ({ wake: async () => undefined })),

  "a wake-up resolves without waiting for the call to end": () => {
    let work: WorkerOptions | undefined;
    return withMethods((local) => ({
      async start(given) {
        work = given;
        await local.start(given);
      },
      async wake(flowId) {
        await work?.runNext(flowId);
      },
    }));
  },

  "it calls nothing that was not woken": () =>
    withMethods((local) => ({
      async start(work) {
        await local.start(work);
        await local.wake("uncalled for", "orders");
      },
    })),

  "a wake-up before start is harmless, and calls nothing yet": () => {
    let started = false;
    return withMethods((local) => ({
      async start(work) {
        started = true;
        await local.start(work);
      },
      async wake(flowId) {
        if (!started) throw new Error("not started");
        await local.wake(flowId, "orders");
      },
    }));
  },

  "it makes one call for a flow at a time, however often it is woken": () =>
    // As p-queue's own timeout and signal do: the place is free while the work goes on.
    withWork((work) => ({
      ...work,
      runNext: (flowId) => Promise.race([work.runNext(flowId), turns(3).then(() => false)]),
    })),

  "it calls different flows at once, up to `concurrency` and never beyond": () =>
    withWork((work) => ({ ...work, concurrency: work.concurrency + 1 })),

  "a flow that takes long delays no other one": () => withWork((work) => ({ ...work, concurrency: 1 })),

  "a flow with 1,000 wake-ups and 1,000 waiting runs does not starve a flow with one": () =>
    withWork((work) => ({
      ...work,
      async runNext(flowId) {
        while (await work.runNext(flowId));
        return false;
      },
    })),

  "flows that have much to do take turns": () =>
    withWork((work) => ({ ...work, runNext: async (flowId) => (await work.runNext(flowId)) && work.runNext(flowId) })),

  "`true` from runNext leads to another call, without another wake-up": () =>
    withWork((work) => ({ ...work, runNext: (flowId) => work.runNext(flowId).then(() => false) })),

  "`notBefore` from runNext leads to no other call before that instant, unless the flow is woken": () =>
    withWork((work) => ({ ...work, runNext: (flowId) => work.runNext(flowId).then((more) => more !== false) })),

  "a wake-up while the flow runs leads to one more call, after the one that runs": () => {
    const running = new Set<string>();
    const local = withWork((work) => ({
      ...work,
      async runNext(flowId) {
        running.add(flowId);
        const more = await work.runNext(flowId);
        running.delete(flowId);
        return more;
      },
    }));
    return { ...local, wake: async (flowId) => (running.has(flowId) ? undefined : local.wake(flowId, "orders")) };
  },

  "each of 1,000 flows is called": () => {
    const known = new Set<string>();
    return withMethods((local) => ({
      wake: async (flowId) => (known.add(flowId).size > 999 ? undefined : local.wake(flowId, "orders")),
    }));
  },

  "stop waits for the calls that go on": () =>
    withMethods((local) => ({
      async stop() {
        void local.stop();
      },
    })),

  "stop begins no more calls: not for what waits, nor for `true`, nor for a wake-up": () => {
    // Waits for what runs, and goes on with what waits.
    let running = 0;
    const local = withWork((work) => ({
      ...work,
      async runNext(flowId) {
        running++;
        const more = await work.runNext(flowId);
        running--;
        return more && work.concurrency > 1;
      },
    }));
    return {
      ...local,
      async stop() {
        while (running > 0) await turns(1);
      },
    };
  },

  "stop may come before start, and twice": () => {
    let stopped = false;
    return withMethods((local) => ({
      async stop() {
        if (stopped) throw new Error("stopped already");
        stopped = true;
        await local.stop();
      },
    }));
  },

  "it may be started again, with other work and another concurrency": () => {
    let started = false;
    return withMethods((local) => ({
      async start(work) {
        if (!started) await local.start(work);
        started = true;
      },
    }));
  },

  "wake-ups that have led to no call before stop are dropped": () => {
    const woken = new Set<string>();
    return withMethods((local) => ({
      async start(work) {
        const runNext = async (flowId: string) => {
          woken.delete(flowId);
          return work.runNext(flowId);
        };
        await local.start({ ...work, runNext });
        for (const flowId of woken) await local.wake(flowId, "orders");
      },
      async wake(flowId) {
        woken.add(flowId);
        await local.wake(flowId, "orders");
      },
    }));
  },
};

describe("executorCases", () => {
  test.each(Object.entries(saboteurs))("catch what breaks: %s", async (title, open) => {
    await expect(caseOf(title, open).run()).rejects.toThrow();
  });

  test("have a saboteur each", () => {
    expect(Object.keys(saboteurs)).toEqual(executorCases(() => new LocalExecutor()).map(({ title }) => title));
  });

  describe("pass an executor that calls late, and more often than it has to:", () => {
    const openLazy = () => {
      let calls = 0;
      const local = withWork((work) => ({
        ...work,
        runNext: async (flowId) => (await work.runNext(flowId)) || ++calls % 2 === 1,
      }));
      return {
        ...local,
        async wake(flowId: string) {
          await turns(1);
          await local.wake(flowId, "orders");
        },
      };
    };

    for (const { title, run } of executorCases(openLazy)) test(title, run);
  });
});

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await systemClock.yieldToEventLoop();
}
