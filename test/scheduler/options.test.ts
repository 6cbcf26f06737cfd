import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { InvalidOptionError, LocalExecutor, MemoryStorage, type SchedulerOptions } from "../../src/index.ts";
import { SharedExecutor } from "../../src/executor/shared-executor.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { resolveOptions } from "../../src/scheduler/options.ts";
import { ManualClock } from "../../src/testing/index.ts";
import { Harness, day } from "../support/harness.ts";
import { SharedMemory } from "../support/shared-memory.ts";

const inherited = { storage: new MemoryStorage(), clock: new ManualClock(), newId: () => "id" };
const resolve = (options: object = {}) => resolveOptions(options, inherited);

/** The option that is found wrong, and what is said about it. */
function fault(options: object): readonly [option: string, message: string] | undefined {
  try {
    resolve(options);
    return undefined;
  } catch (error) {
    if (error instanceof InvalidOptionError) return [error.option, error.message];
    throw error;
  }
}

test("every option has its default", () => {
  const { executor, logger: _, tracer, ...rest } = resolve();

  expect(tracer).toBeUndefined();
  expect(rest).toStrictEqual({
    concurrency: 10,
    overlap: "bufferOne",
    maxQueued: 1_000,
    catchUpWindowMs: 86_400_000,
    leaseMs: 30_000,
    maxCrashes: 3,
    graceMs: 10_000,
    prefetch: 1,
    maxAttempts: 5,
    retryDelayMs: 1_000,
    maxFailures: 1_000,
    maxInboxPages: 10_000,
    dedupeWindowMs: 86_400_000,
    retention: { days: 30, runsPerFlow: 1_000 },
    maxWaitMs: 30_000,
    maxOpenFailures: 10_000,
    autoRetry: { afterMs: 300_000, maxDelayMs: 21_600_000, days: 3 },
    positionMaxAgeMs: 86_400_000,
    waitTimeoutMs: Infinity,
    freezeRecords: true,
    roles: ["schedule", "run", "listen"],
    name: undefined,
    clock: inherited.clock,
    newId: inherited.newId,
    random: Math.random,
  });
  expect(executor).toBeInstanceOf(LocalExecutor);
});

test("the defaults are those that the doc comments state", () => {
  const source = readFileSync(new URL("../../src/scheduler/options.ts", import.meta.url), "utf8");
  const stated = [...source.matchAll(/@default ("?\w+"?)[^\n]*?(?: \*\/|\n +\*\/)\n +readonly (\w+)\?: /g)];
  const { autoRetry, retention, ...others } = resolve();
  const defaults = [others, retention, autoRetry] as readonly Record<string, unknown>[];

  const numbersAndNames = stated.filter(([, value]) => /^(\d+|".*")$/.test(value ?? ""));

  expect(numbersAndNames).toHaveLength(21);
  for (const [, value = "", name = ""] of numbersAndNames)
    expect([name, defaults.map((some) => JSON.stringify(some[name]))]).toEqual([name, expect.arrayContaining([value])]);
});

test("an explicit undefined is no value: the default holds", () => {
  const { tracer: _tracer, ...options } = resolve();
  const names = Object.keys(options);
  const nothing = Object.fromEntries(names.map((name) => [name, undefined]));

  const retention = { days: undefined, runsPerFlow: undefined };
  const autoRetry = { afterMs: undefined, maxDelayMs: undefined, days: undefined };
  const { executor, logger: _logger, ...rest } = resolve({ ...nothing, retention, autoRetry });

  const { executor: _, logger: __, ...defaults } = resolve();
  expect(executor).toBeInstanceOf(LocalExecutor);
  expect(rest).toStrictEqual(defaults);
});

test("what is given is taken, and what is resolved is frozen", () => {
  const executor = new LocalExecutor();
  const clock = new ManualClock();
  const given = {
    ...{ concurrency: 1, overlap: "skip", maxQueued: 1, catchUpWindowMs: 0, leaseMs: 1_000, maxCrashes: 0, graceMs: 0 },
    ...{ prefetch: 0, maxAttempts: 1, retryDelayMs: 0, maxFailures: 0, maxInboxPages: 1, dedupeWindowMs: 0 },
    ...{ retention: { days: 0.5, runsPerFlow: 1 }, autoRetry: { afterMs: 0, maxDelayMs: 0, days: 0.5 } },
    ...{ roles: ["run"], name: "worker" },
    ...{ maxWaitMs: 0, maxOpenFailures: 0, positionMaxAgeMs: 0, waitTimeoutMs: 0, freezeRecords: false },
    ...{ executor, clock, newId: () => "other", random: () => 0 },
  } as const;

  const { logger: _, tracer, ...resolved } = resolve(given);

  expect(tracer).toBeUndefined();
  expect(resolved).toStrictEqual(given);
  expect([resolved.retention, resolved.autoRetry].every(Object.isFrozen)).toBe(true);
});

test("a storage with wake-ups has them shared, and one without has none", () => {
  const storage = new SharedMemory();

  expect(resolveOptions({}, { ...inherited, storage }).executor).toBeInstanceOf(SharedExecutor);
  expect(resolve().executor).toBeInstanceOf(LocalExecutor);
});

test("automatic retries can be turned off, and one setting of them leaves the others at their defaults", () => {
  expect(resolve({ autoRetry: false }).autoRetry).toBe(false);
  expect(resolve({ autoRetry: { days: 1 } }).autoRetry).toEqual({ afterMs: 300_000, maxDelayMs: 21_600_000, days: 1 });
});

test("lines go to the logger that is given, and what it throws is dropped", () => {
  const lines: unknown[] = [];
  const logger = {
    ...silentLogger,
    info: (fields: object, message: string) => void lines.push([fields, message]),
    warn: () => {
      throw new Error("the disk is full");
    },
  };

  const resolved = resolve({ logger });
  resolved.logger.info({ a: 1 }, "said");
  resolved.logger.warn({}, "lost");

  expect(lines).toEqual([[{ a: 1 }, "said"]]);
});

test("one retention setting leaves the other at its default", () => {
  expect(resolve({ retention: { days: 1 } }).retention).toEqual({ days: 1, runsPerFlow: 1_000 });
  expect(resolve({ retention: { runsPerFlow: 1 } }).retention).toEqual({ days: 30, runsPerFlow: 1 });
});

describe("out of range is", () => {
  const notWhole = [1.5, NaN, Infinity, -Infinity, "5", null, 2 ** 53, {}];
  const noDuration = [-1, NaN, Infinity, "1000", null, [5]];
  const noParts = [null, {}, "system", 5];
  const wrong: Readonly<Record<keyof SchedulerOptions, readonly unknown[]>> = {
    concurrency: [0, -1, ...notWhole],
    overlap: ["bufferAny", "BufferOne", "", null, 1],
    maxQueued: [0, ...notWhole],
    catchUpWindowMs: noDuration,
    leaseMs: [999, 0, ...notWhole],
    maxCrashes: [-1, ...notWhole],
    graceMs: noDuration,
    prefetch: [-1, ...notWhole],
    maxAttempts: [0, ...notWhole],
    retryDelayMs: noDuration,
    maxFailures: [-1, ...notWhole],
    maxWaitMs: noDuration,
    maxOpenFailures: [-1, ...notWhole],
    autoRetry: [null, true, 5, "false"],
    positionMaxAgeMs: noDuration,
    waitTimeoutMs: noDuration,
    freezeRecords: [null, 0, "false"],
    maxInboxPages: [0, ...notWhole],
    dedupeWindowMs: noDuration,
    retention: [null, 30, "30 days"],
    roles: [null, "run", ["run", "run"], ["work"], [1]],
    name: ["", "x".repeat(256), 5, null],
    executor: [...noParts, { start: () => undefined, wake: () => undefined }],
    clock: [...noParts, { now: () => 0 }, Date],
    logger: [...noParts, { info: () => undefined }, () => undefined],
    tracing: [...noParts, { origin: () => "" }],
    newId: [...noParts, "id"],
    random: [...noParts, 0.5],
  };
  const cases = Object.entries(wrong).flatMap(([name, values]) => values.map((value) => [name, value] as const));

  test.each(cases)("%s: %j", (name, value) => {
    const [option, message] = fault({ [name]: value }) ?? [];

    expect(option).toBe(name);
    expect(message).toMatch(new RegExp(`^${name}: expected .+, found .+`));
  });

  test.each<[name: string, value: unknown]>([
    ...[0, -1, NaN, Infinity, "30", null].map((value) => ["days", value] as [string, unknown]),
    ...[0, ...notWhole].map((value) => ["runsPerFlow", value] as [string, unknown]),
  ])("retention.%s: %j", (name, value) => {
    expect(fault({ retention: { [name]: value } })?.[0]).toBe(`retention.${name}`);
  });
});

test.each([
  ["concurency", { concurency: 5 }],
  ["toString", { toString: 1 }],
  ["retention.day", { retention: { day: 5 } }],
])("an unknown option %s is refused by name", (name, options) => {
  expect(fault(options)?.[0]).toBe(name);
});

test("the message says what is expected and what was found", () => {
  expect(fault({ maxAttempts: 0 })?.[1]).toBe("maxAttempts: expected a whole number, 1 or more, found 0");
  expect(fault({ overlap: "queue" })?.[1]).toBe('overlap: expected "bufferOne", "bufferAll" or "skip", found "queue"');
  expect(fault({ executor: {} })?.[1]).toBe(
    "executor: expected an object with start, wake and stop, found an object ()",
  );
});

test("a scheduler refuses at construction, before anything is started", () => {
  expect(() => new Harness({ options: { concurrency: 0 } })).toThrow(
    expect.objectContaining({ code: "invalid_option" }),
  );
});

test.each([-1, NaN, Infinity])("a grace of %j is refused when stopping, too", async (graceMs) => {
  const { scheduler } = new Harness();

  await expect(scheduler.stop({ graceMs })).rejects.toMatchObject({ code: "invalid_option", option: "graceMs" });
});

test("the clock and the ids of the registry serve the scheduler unless it has its own", () => {
  expect([resolve().clock, resolve().newId]).toEqual([inherited.clock, inherited.newId]);
  expect(resolve({ newId: undefined }).newId()).toBe("id");
});

test("history kept for longer than there have been clocks is no error of maintenance", async () => {
  const harness = new Harness({ options: { retention: { days: 1e9 } } });

  await harness.scheduler.start();
  await harness.clock.advance(day);
  await harness.scheduler.stop();

  expect(harness.events.of("background:error")).toEqual([]);
});
