import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { BullExecutor, type BullExecutorOptions } from "../../src/executor/bull-executor.ts";

const connection = { host: "127.0.0.1", port: 1 };
const lazy = (options: object) => new Redis({ lazyConnect: true, ...options });

test.each<[title: string, options: unknown, message: string]>([
  ["no options", undefined, "BullExecutor"],
  ["no connection", {}, "connection"],
  ["a connection string for Redis", { connection: "redis://127.0.0.1" }, "{ url }"],
  ["a number as a connection to PostgreSQL", { backend: "postgres", connection: 5432 }, "connection string"],
  ["another backend", { connection, backend: "mysql" }, '"redis" or "postgres"'],
  ["a queue with a colon", { connection, queue: "a:b" }, "without colons"],
  ["a queue without a name", { connection, queue: "" }, "without colons"],
  ["an empty prefix", { connection, prefix: "" }, "prefix"],
  ["a prefix with PostgreSQL", { connection, backend: "postgres", prefix: "ours" }, "schema"],
  ["retries that a client gives up", { connection: lazy({}) }, "connection.maxRetriesPerRequest"],
  [
    "the same as options",
    { connection: { ...connection, maxRetriesPerRequest: 3 } },
    "connection.maxRetriesPerRequest",
  ],
  ["keys with a prefix of ioredis's", { connection: { ...connection, keyPrefix: "x:" } }, "connection.keyPrefix"],
  ["a clock that is none", { connection, clock: {} }, "clock"],
  ["an option that it does not have", { connection, queueName: "flows" }, "queue"],
])("BullExecutor refuses %s", (_, options, message) => {
  const make = () => new BullExecutor(options as BullExecutorOptions);

  expect(make).toThrow(expect.objectContaining({ code: "invalid_option" }));
  expect(make).toThrow(message);
});

test.each<[title: string, options: BullExecutorOptions]>([
  ["options", { connection }],
  ["a client", { connection: lazy({ maxRetriesPerRequest: null }) }],
  ["a connection string of PostgreSQL's", { backend: "postgres", connection: "postgres://127.0.0.1/flows" }],
])("BullExecutor connects to nothing before it is used: %s", async (_, options) => {
  const executor = new BullExecutor(options);

  await executor.stop();

  expect(executor.capabilities).toEqual({ durable: true, routes: false });
});
