import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import { FlowRegistry, type Logger, MemoryStorage, Scheduler, type SchedulerOptions } from "../../src/index.ts";
import { LocalExecutor } from "../../src/executor/local-executor.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock } from "../../src/testing/index.ts";

const clock = new ManualClock("2030-01-01T12:00:00Z");

/** A scheduler on the storage, and the warnings that it logs. */
function schedulerOn(storage: Storage, options: SchedulerOptions = {}, Made = { FlowRegistry, Scheduler }) {
  const warnings: [object, string][] = [];
  const logger: Logger = { ...silentLogger, warn: (fields, message) => void warnings.push([fields, message]) };
  const registry = new Made.FlowRegistry({ storage, clock });
  return { scheduler: new Made.Scheduler(registry, { logger, ...options }), warnings };
}

const oneMore = [
  { schedulers: 2, storage: undefined },
  expect.stringMatching(/another scheduler of this process .*: stop it first, or keep one on globalThis/),
];

test("a second scheduler that starts on the same storage object says so, and what to do", async () => {
  const storage = new MemoryStorage();
  const [first, second] = [schedulerOn(storage), schedulerOn(storage)];

  await first.scheduler.start();
  await second.scheduler.start();

  expect([first.warnings, second.warnings]).toEqual([[], [oneMore]]);
  await Promise.all([first.scheduler.stop(), second.scheduler.stop()]);
});

test("one that starts after the other was stopped says nothing, and neither does one on another storage", async () => {
  const storage = new MemoryStorage();
  const [before, after, apart] = [schedulerOn(storage), schedulerOn(storage), schedulerOn(new MemoryStorage())];

  await before.scheduler.start();
  await before.scheduler.stop();
  await before.scheduler.stop();
  await after.scheduler.start();
  await apart.scheduler.start();

  expect([after.warnings, apart.warnings]).toEqual([[], []]);
  await Promise.all([after.scheduler.stop(), apart.scheduler.stop()]);
});

/** Collects all garbage there is. */
function collect(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

test("a storage that nobody has any more is not kept, though its scheduler was never stopped", async () => {
  const leave = async () => {
    const [own, storage] = [new ManualClock("2030-01-01T12:00:00Z"), new MemoryStorage()];
    await new Scheduler(new FlowRegistry({ storage, clock: own }), { logger: silentLogger }).start();
    return new WeakRef(storage);
  };
  const left = await leave();

  await expect.poll(() => (collect(), left.deref() === undefined)).toBe(true);
});

test("one that failed to start is not counted", async () => {
  const storage = new MemoryStorage();
  const broken = new LocalExecutor();
  broken.start = async () => Promise.reject(new Error("no executor"));
  const failing = schedulerOn(storage, { executor: broken });
  const next = schedulerOn(storage);

  await expect(failing.scheduler.start()).rejects.toMatchObject({ code: "executor_failed" });
  await next.scheduler.start();

  expect(next.warnings).toEqual([]);
  await next.scheduler.stop();
});

test("a scheduler of another copy of the library is seen, as a bundler or hot reload makes them", async () => {
  const storage = new MemoryStorage();
  const first = schedulerOn(storage);
  await first.scheduler.start();
  vi.resetModules();
  const copy = await import("../../src/index.ts");
  const second = schedulerOn(storage, {}, copy);

  await second.scheduler.start();

  expect(copy.Scheduler).not.toBe(Scheduler);
  expect(second.warnings).toEqual([oneMore]);
  await Promise.all([first.scheduler.stop(), second.scheduler.stop()]);
});

test("a file that is opened twice is one storage; databases in memory are not", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "poundlock-live-")), "flows.db");
  const storages = [];
  for (const path of [file, join(file, "..", ".", "flows.db"), ":memory:", ":memory:"])
    storages.push(await SqliteStorage.open(path));
  const hosts = storages.map((storage) => schedulerOn(storage));

  for (const { scheduler } of hosts) await scheduler.start();

  expect(hosts.map(({ warnings }) => warnings.map(([fields]) => fields))).toEqual([
    [],
    [{ schedulers: 2, storage: file }],
    [],
    [],
  ]);
  await Promise.all(hosts.map(({ scheduler }) => scheduler.stop()));
  await Promise.all(storages.map((storage) => storage.close()));
});
