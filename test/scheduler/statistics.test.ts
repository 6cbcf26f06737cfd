import { expect, test, vi } from "vitest";
import { type Export, MemoryStorage, type Scheduler } from "../../src/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { Gate, Harness, faltering, hanging, hour, minute, noon, pagesExport, second } from "../support/harness.ts";

const imports = { ledger: collectingImport<number>() };
const range = { from: new Date(noon - hour).toISOString(), until: new Date(noon + 9 * hour).toISOString() };
const list = async (scheduler: Scheduler, _flowId?: string) =>
  (await scheduler.statistics({ ...range, ...(_flowId === undefined ? {} : { _flowId }) })).items;
const shown = async (scheduler: Scheduler) =>
  (await list(scheduler)).map(({ from, completed, numSuccess }) => [from.slice(11, 13), completed, numSuccess]);

/** Gives pages of one record; each waits for its gate. */
function gated(gates: readonly Gate[]): Export<number> {
  return {
    async *pages() {
      for (const [index, gate] of gates.entries()) {
        await gate.opened;
        yield { records: [index], checkpoint: index };
      }
    },
    order: "ordered",
    readTimeoutMs: 9 * hour,
  };
}

test("what is moved is saved every ten seconds, and when the scheduler stops", async () => {
  const harness = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports });
  await harness.move();
  expect(await shown(harness.scheduler)).toEqual([]);

  await harness.clock.advance(10 * second);
  expect(await shown(harness.scheduler)).toEqual([["12", 1, 2]]);
  await harness.run((await harness.registry.list()).items[0]?._id ?? "");
  await harness.scheduler.stop();

  expect(await shown(harness.scheduler)).toEqual([["12", 2, 4]]);
});

test("records count in the hour in which they are moved, and the run in that in which it ends", async () => {
  const gates = [new Gate(), new Gate()];
  const harness = new Harness({ exports: { from: gated(gates) }, imports });
  const { clock, scheduler } = harness;
  await scheduler.start();
  await scheduler.run((await harness.flow())._id);
  gates[0]?.open();
  await clock.advance(59 * minute);
  await clock.advance(2 * minute);
  gates[1]?.open();
  await clock.advance(10 * second);

  expect(await shown(scheduler)).toEqual([
    ["12", 0, 1],
    ["13", 1, 1],
  ]);
  const [, last] = await list(scheduler);
  expect(last?.durationMs).toBe(61 * minute);
});

test("two processes add up, and saving again changes nothing", async () => {
  const storage = new MemoryStorage();
  const one = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports, storage });
  const other = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports, storage, clock: one.clock });
  await one.move();
  await one.scheduler.stop();
  await other.move();
  await other.scheduler.stop();

  expect(await shown(one.scheduler)).toEqual([["12", 2, 4]]);
});

test("what could not be saved is saved the next time, and reported", async () => {
  const storage = faltering(new MemoryStorage(), { method: "saveStatistics", fails: (nth) => nth === 1 });
  const harness = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports, storage });
  await harness.move();
  await harness.clock.advance(10 * second);
  expect(harness.events.of("background:error").map(({ during }) => during)).toEqual(["saving statistics"]);

  await harness.clock.advance(10 * second);

  expect(await shown(harness.scheduler)).toEqual([["12", 1, 2]]);
});

test("a stop that waits for code that ignores its signal waits no longer for a save that hangs", async () => {
  const storage = hanging(new MemoryStorage(), { method: "saveStatistics", nth: 1, gate: new Gate() });
  const exports = { from: gated([new Gate()]), quick: pagesExport([[1, 2]]) };
  const harness = new Harness({ exports, imports, storage });
  const { clock, scheduler } = harness;
  await scheduler.start();
  await scheduler.run((await harness.flow())._id);
  await scheduler.run((await harness.flow({ _exportId: "quick" }))._id);
  await clock.advance(second);
  const stopped = vi.fn();

  const stopping = scheduler.stop({ graceMs: 2 * second }).then(stopped);
  await clock.advance(3 * second);

  expect(stopped).toHaveBeenCalledOnce();
  await stopping;
});

test("an hour that could not be saved within an hour of its end is given up, as it may have been added up", async () => {
  const storage = faltering(new MemoryStorage(), { method: "saveStatistics", fails: (nth) => nth < 720 });
  const harness = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports, storage });
  await harness.move();

  await harness.clock.advance(3 * hour);
  await harness.scheduler.stop();

  expect(await shown(harness.scheduler)).toEqual([]);
});

test("maintenance adds up hours that have passed, and removes those that retention gives up", async () => {
  const harness = new Harness({
    exports: { from: pagesExport([[1, 2]]) },
    imports,
    options: { retention: { days: 1, runsPerFlow: 10 } },
  });
  await harness.move();
  await harness.clock.advance(10 * second);
  const { storage } = harness;
  const rule = { foldBefore: Infinity, forgetBefore: 0, limit: 10 };
  await harness.clock.advance(5 * hour);

  expect(await shown(harness.scheduler)).toEqual([["12", 1, 2]]);
  expect(await storage.compactStatistics(rule)).toBe(0);

  await harness.clock.advance(24 * hour);
  expect(await shown(harness.scheduler)).toEqual([]);
});

test("what a flow moved is read from its runs, as far as there are not too many", async () => {
  const harness = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports });
  const run = await harness.move();

  const { complete, items } = await harness.scheduler.statistics({ ...range, _flowId: run._flowId });

  expect([complete, items]).toEqual([true, [expect.objectContaining({ completed: 1, numSuccess: 2 })]]);
  expect(await list(harness.scheduler, "another")).toEqual([]);
});

test("activities come in the order of the ids, and a flow that there is not has none", async () => {
  const harness = new Harness({ exports: { from: pagesExport([[1, 2]]) }, imports });
  const { _flowId } = await harness.move();
  const ids = Array.from({ length: 120 }, (_, index) => (index === 60 ? _flowId : `none ${index}`));

  const activities = await harness.scheduler.activities(ids);

  expect(activities.map((one) => one?.lastRun?.status)).toEqual(
    ids.map((_id) => (_id === _flowId ? "completed" : undefined)),
  );
  await expect(harness.scheduler.activities([1 as unknown as string])).rejects.toMatchObject({
    code: "invalid_request",
  });
});
