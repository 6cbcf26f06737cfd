import pg from "pg";
import { expect, test } from "vitest";
import { GraphileExecutor, type GraphileExecutorOptions } from "../../src/executor/graphile-executor.ts";

const connection = new pg.Pool({ host: "127.0.0.1", port: 1 });

test.each<[title: string, options: unknown, message: string]>([
  ["no options", undefined, "GraphileExecutor"],
  ["no connection", {}, "pg.Pool"],
  ["an empty connection string", { connection: "" }, "connection"],
  ["options of a pool", { connection: { host: "127.0.0.1" } }, "pg.Pool"],
  ["a pool of one connection", { connection: new pg.Pool({ max: 1 }) }, "at least two connections"],
  ["a schema with a quote", { connection, schema: 'a"b' }, "schema"],
  ["a name with a colon", { connection, name: "a:b" }, "name"],
  ["a clock that is none", { connection, clock: {} }, "clock"],
  ["an option that it does not have", { connection, queue: "flows" }, "queue"],
])("GraphileExecutor refuses %s", (_, options, message) => {
  const make = () => new GraphileExecutor(options as GraphileExecutorOptions);

  expect(make).toThrow(expect.objectContaining({ code: "invalid_option" }));
  expect(make).toThrow(message);
});

test.each<[title: string, options: GraphileExecutorOptions]>([
  ["a pool", { connection }],
  ["a connection string", { connection: "postgres://127.0.0.1/flows", schema: "worker", name: "flows" }],
])("GraphileExecutor connects to nothing before it is used: %s", async (_, options) => {
  const executor = new GraphileExecutor(options);

  await executor.stop();

  expect(executor.capabilities).toEqual({ durable: true, routes: true });
});
