import { type BackendFactory, type ConnectionOptions, Worker, createPostgresBackend } from "bullmq";
import pg from "pg";
import { describe, expect, inject, test } from "vitest";
import { BullExecutor, type BullExecutorOptions } from "../../../src/executor/bull-executor.ts";
import { executorCases } from "../../../src/testing/index.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const redis = inject("redis");
const postgres = { ...connectionTo(inject("postgresPort")), migrate: true, max: 4 };
const backends: [title: string, options: Omit<BullExecutorOptions, "queue">, missing: string | undefined][] = [
  [
    "Redis",
    { connection: { host: "127.0.0.1", port: "port" in redis ? redis.port : 0 } },
    "missing" in redis ? redis.missing : undefined,
  ],
  ["PostgreSQL", { backend: "postgres", connection: postgres }, undefined],
];

describe.each(backends)("BullExecutor on %s", (_, options, missing) => {
  const open = (queue: string) => new BullExecutor({ ...options, queue });
  const cases = executorCases(open, { durable: true, quietMs: 50, patienceMs: 30_000 });

  for (const { title, run } of cases)
    test(title, async ({ skip }) => {
      if (missing !== undefined) skip(missing);
      await run();
    });

  test("gives a wake-up to another process whose first one died with it", async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const backend = options.backend === "postgres" ? createPostgresBackend : undefined;
    const dead = new Worker(
      "dead",
      null,
      { connection: options.connection as ConnectionOptions, autorun: false, lockDuration: 1_000 },
      backend as BackendFactory,
    );
    const [executor, calls] = [open("dead"), new Set<string>()];
    await executor.wake("flow", "orders");
    await expect.poll(() => dead.getNextJob("dead")).toBeDefined();
    await executor.wake("flow", "orders");

    await executor.start({
      ...{ concurrency: 1, exportIds: ["orders"] },
      async runNext(flowId) {
        calls.add(flowId);
        return false;
      },
    });

    await expect.poll(() => [...calls], { timeout: 20_000 }).toEqual(["flow"]);
    await executor.stop();
    await dead.close(true);
  });

  test("is tested for all that a durable executor promises which does not route", () => {
    expect(cases.skipped.map(({ reason }) => reason)).toEqual([
      "the executor is durable",
      "the executor does not route",
      "the executor does not route",
    ]);
  });
});

test("a connection that breaks while BullMQ makes its tables on it ends no process", async () => {
  const first = new BullExecutor({ backend: "postgres", connection: postgres, queue: "breaks" });
  await first.wake("flow", "orders");
  await first.stop();
  const options = "-c search_path=bullmq";
  const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), options, max: 4 });
  const executor = new BullExecutor({ backend: "postgres", connection: pool, queue: "breaks" });
  await executor.wake("flow", "orders");

  const client = await pool.connect();
  expect(() => client.emit("error", new Error("cut"))).not.toThrow();
  // However often it is handed out, it gets one listener.
  const listeners = client.listenerCount("error");
  client.release();
  const again = await pool.connect();
  expect(again.listenerCount("error")).toBe(listeners);

  again.release();
  await executor.stop();
  await pool.end();
});
