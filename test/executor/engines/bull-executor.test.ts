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
  const cases = executorCases(open, { durable: true, quietMs: 50 });

  for (const { title, run } of cases)
    test(title, async ({ skip }) => {
      if (missing !== undefined) skip(missing);
      await run();
    });

  test("is tested for all that a durable executor promises which does not route", () => {
    expect(cases.skipped.map(({ reason }) => reason)).toEqual([
      "the executor is durable",
      "the executor does not route",
      "the executor does not route",
    ]);
  });
});
