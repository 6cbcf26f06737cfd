import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BullExecutor } from "../../../src/executor/bull-executor.ts";
import type { Executor, RunNextResult } from "../../../src/executor/executor.ts";
import { Gate } from "../../support/harness.ts";
import { type RedisServer, sent, startRedis } from "../../support/redis-server.ts";

type RunningRedis = Extract<RedisServer, { readonly port: number }>;

let redis: RunningRedis;
const executors: Executor[] = [];

beforeEach(async ({ skip }) => {
  const server = await startRedis();
  if ("missing" in server) skip(server.missing);
  else redis = server;
});

afterEach(async () => {
  await Promise.all(executors.splice(0).map((executor) => executor.stop()));
  await redis.stop();
});

const connection = () => ({ host: "127.0.0.1", port: redis.port });

/** An executor, the calls it makes, and what it reports. */
async function begin({ concurrency = 10, of = new BullExecutor({ connection: connection() }) } = {}) {
  executors.push(of);
  const calls: string[] = [];
  const errors: string[] = [];
  const watching = new Set<() => void>();
  let plan: (flowId: string) => Promise<RunNextResult> = async () => false;
  await of.start({
    ...{ concurrency, exportIds: ["orders"] },
    async runNext(flowId) {
      calls.push(flowId);
      for (const look of watching) look();
      return plan(flowId);
    },
    reportError(error, during) {
      errors.push(`${during}: ${String(error)}`);
      for (const look of watching) look();
    },
  });
  const until = (isTrue: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (isTrue()) resolve();
      };
      watching.add(look);
      look();
    });
  return { calls, errors, until, executor: of, does: (given: typeof plan) => (plan = given) };
}

/** Wakes flows in an executor that calls none itself. */
async function wakeElsewhere(...flowIds: readonly string[]): Promise<void> {
  const executor = new BullExecutor({ connection: connection() });
  await Promise.all(flowIds.map((flowId) => executor.wake(flowId, "orders")));
  await executor.stop();
}

async function counts() {
  const queue = new Queue("poundlock", { connection: connection() });
  try {
    return await queue.getJobCounts("active", "waiting", "failed", "completed");
  } finally {
    await queue.close();
  }
}

describe("BullExecutor", () => {
  test("ends a job when the flow's call has begun, however long the call takes", async () => {
    const gate = new Gate();
    const { calls, does, until } = await begin();
    does(() => gate.opened.then(() => false));
    await wakeElsewhere("flow");
    await until(() => calls.length === 1);

    await expect.poll(counts).toEqual({ active: 0, waiting: 0, failed: 0, completed: 0 });

    gate.open();
  });

  test("keeps one wake-up of a flow that waits", async () => {
    await wakeElsewhere("flow", "another");
    await wakeElsewhere("flow");

    expect(await counts()).toMatchObject({ waiting: 2 });
  });

  test("calls what is woken while Redis is away, reports that, and shares again once Redis is back", async () => {
    const gate = new Gate();
    const [one, other] = [await begin({ concurrency: 1 }), await begin()];
    const flowIds = Array.from({ length: 20 }, (_, index) => `flow ${index}`);
    await redis.kill();

    await Promise.all(flowIds.map((flowId) => one.executor.wake(flowId, "orders")));
    await one.until(() => new Set(one.calls).size === 20);
    const before = other.calls.length;
    await redis.restart();
    one.does(() => gate.opened.then(() => false));
    await one.executor.wake("long", "orders");
    for (let round = 0; other.calls.length === before && round < 200; round++) {
      await one.executor.wake(`later ${round}`, "orders");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }

    expect(one.errors.some((error) => error.includes("ECONNREFUSED") || error.includes("closed"))).toBe(true);
    expect(new Set(one.errors).size).toBe(one.errors.length);
    expect([before, other.calls.length > before]).toEqual([0, true]);
    gate.open();
  });

  test("starts while Redis is away, and takes wake-ups once it is there", async () => {
    await redis.kill();
    const { calls, executor, until } = await begin();
    await executor.wake("here", "orders");
    await until(() => calls.includes("here"));

    await redis.restart();
    await wakeElsewhere("from elsewhere");

    await until(() => calls.includes("from elsewhere"));
  });

  test("goes on after everything in Redis was removed", async () => {
    const gate = new Gate();
    const { calls, does, executor, until } = await begin({ concurrency: 1 });
    does(() => gate.opened.then(() => false));
    await wakeElsewhere("runs");
    await until(() => calls.length === 1);
    await executor.wake("waits", "orders");

    expect(await sent(redis.port, "FLUSHALL\r\n")).toContain("OK");
    gate.open();
    await wakeElsewhere("later");

    await until(() => calls.includes("later"));
  });

  test("stops while Redis is away", async () => {
    const { executor } = await begin();
    await redis.kill();

    await executor.stop();
  });

  test("leaves the host's own client open", async () => {
    const client = new Redis({ ...connection(), maxRetriesPerRequest: null });
    const { calls, executor, until } = await begin({ of: new BullExecutor({ connection: client }) });
    await wakeElsewhere("flow");
    await until(() => calls.includes("flow"));

    await executor.stop();

    expect(await client.ping()).toBe("PONG");
    await client.quit();
  });

  test("fails a job that is no wake-up, and goes on", async () => {
    const { calls, until } = await begin();
    const queue = new Queue("poundlock", { connection: connection() });
    await queue.add("mail", { to: "somebody" });
    await wakeElsewhere("flow");
    await until(() => calls.includes("flow"));

    await expect.poll(counts).toMatchObject({ active: 0, waiting: 0, failed: 1 });

    expect(calls).toEqual(["flow"]);
    await queue.close();
  });

  test("keeps its keys under the prefix that it was given", async () => {
    const executor = new BullExecutor({ connection: connection(), prefix: "{ours}", queue: "flows" });
    await executor.wake("flow", "orders");
    await executor.stop();

    expect(await sent(redis.port, "EXISTS {ours}:flows:wait\r\n")).toBe(":1\r\n");
  });
});
