import { describe, expect, test } from "vitest";
import * as alerts from "../src/alerts/index.ts";
import * as files from "../src/connectors/files/index.ts";
import * as connectorsHttp from "../src/connectors/http/index.ts";
import * as oauth from "../src/connectors/http/oauth/index.ts";
import * as connectors from "../src/connectors/index.ts";
import * as singer from "../src/connectors/singer/index.ts";
import * as sql from "../src/connectors/sql/index.ts";
import * as http from "../src/http/index.ts";
import * as root from "../src/index.ts";
import * as opentelemetry from "../src/opentelemetry/index.ts";
import { SqliteStorage } from "../src/storage/sqlite/sqlite-storage.ts";

type Make = (...given: readonly unknown[]) => unknown;

const entryPoints: Record<string, object> = {
  ...{ root, alerts, connectors, files, connectorsHttp, oauth, singer, sql, http, opentelemetry },
};

const odd: readonly (readonly unknown[])[] = [[], [null], ["x"], [5], [[]], [{}], [{}, null], [{}, "x"]];

/** Every function and class of the entry points, errors apart, as something to call. */
const makers: readonly (readonly [name: string, make: Make])[] = Object.entries(entryPoints).flatMap(
  ([entry, module]) =>
    Object.entries(module).flatMap(([name, value]: [string, unknown]) =>
      typeof value === "function" && !isError(value) ? [[`${entry}.${name}`, maker(value as Make)] as const] : [],
    ),
);

function isError(value: unknown): boolean {
  return value === Error || (typeof value === "function" && value.prototype instanceof Error);
}

function maker(value: Make): Make {
  if (!Function.prototype.toString.call(value).startsWith("class")) return value;
  return (...given) => Reflect.construct(value, given) as unknown;
}

async function thrownBy(make: Make, given: readonly unknown[]): Promise<unknown> {
  try {
    await make(...given);
    return undefined;
  } catch (error) {
    return error;
  }
}

describe("what is made of odd options is made, or refused by an error of ours:", () => {
  test("all entry points are looked at", () => {
    expect(makers.map(([name]) => name)).toEqual(
      expect.arrayContaining(["root.FlowRegistry", "root.Scheduler", "connectors.delta", "sql.mysql", "http.webhook"]),
    );
  });

  test.each(makers)("%s", async (_, make) => {
    const errors = await Promise.all(odd.map(async (given) => thrownBy(make, given)));
    const bare = errors.filter((error) => error !== undefined && !root.isPoundlockError(error));

    expect(bare).toEqual([]);
  });
});

describe("options that are no object are refused as that:", () => {
  const registry = new root.FlowRegistry();
  const database = { exec: () => undefined, prepare: () => undefined, close: () => undefined } as never;

  test.each<[what: string, make: Make, option: string]>([
    ["FlowRegistry", (given) => new root.FlowRegistry(given as never), "options"],
    ["Scheduler", (given) => new root.Scheduler(registry, given as never), "options"],
    ["LocalExecutor", (given) => new root.LocalExecutor(given as never), "options"],
    ["SqliteStorage", (given) => new SqliteStorage(database, given as never), "options"],
    ["SqliteStorage.open", async (given) => SqliteStorage.open(":memory:", given as never), "options"],
    ["SqliteStorage.inspect", async (given) => SqliteStorage.inspect("none.db", given as never), "options"],
    ["firstMatch", (given) => connectors.firstMatch(given as never), "firstMatch"],
    ["httpImport", (given) => connectorsHttp.httpImport(given as never), "httpImport"],
    ["sqlImport", (given) => sql.sqlImport(given as never), "sqlImport"],
    ["hmacSignature", (given) => http.hmacSignature(given as never), "hmacSignature"],
    ["webhook", (given) => http.webhook(given as never), "webhook"],
  ])("%s", async (_, make, option) => {
    for (const [given, found] of [
      [null, "null"],
      ["x", '"x"'],
      [5, "5"],
    ] as const) {
      const message = `${option}: expected an object, found ${found}`;

      expect(await thrownBy(make, [given])).toMatchObject({ code: "invalid_option", option, message });
    }
  });
});

test("limits with a clock that is none are refused", () => {
  expect(() => connectorsHttp.localLimits({}, null as never)).toThrow("limits.clock: expected a clock, found null");
});

test("a registry whose storage was not awaited says so, whatever else is wrong", () => {
  expect(() => new root.FlowRegistry({ storage: Promise.resolve(), timezone: "x" } as never)).toThrow(": await it");
});
