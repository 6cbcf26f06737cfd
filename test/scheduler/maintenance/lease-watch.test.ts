import { expect, test } from "vitest";
import { Scheduler } from "../../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { ManualClock } from "../../../src/testing/index.ts";
import { ClockWatch } from "../../../src/scheduler/maintenance/clock-watch.ts";
import { LeaseWatch } from "../../../src/scheduler/maintenance/lease-watch.ts";
import { Gate, Harness, day, minute, noon, second, upTo } from "../../support/harness.ts";

const exports = { from: arrayExport(upTo(2), { pageSize: 1 }) };

/** A run that hangs in a process whose clock is `aheadMs` ahead of the one that looks on. */
async function hangingAhead(aheadMs: number) {
  const gate = new Gate();
  const imports = { sink: scriptedImport<number>(() => gate.opened.then(() => undefined), { writeTimeoutMs: day }) };
  const there = new Harness({ exports, imports, clock: new ManualClock(noon + aheadMs) });
  await there.scheduler.start();
  const run = await there.scheduler.run((await there.flow())._id);
  await there.clock.settle();
  const here = new Harness({ exports, imports: { sink: collectingImport<number>() }, storage: there.storage });
  await here.scheduler.start();
  return { here, there, run };
}

test("the run of a process that died with its clock a day ahead is resumed within minutes", async () => {
  const { here, run } = await hangingAhead(day);

  await here.clock.advance(2 * minute);

  expect(await here.scheduler.getRun(run._id)).toMatchObject({ status: "completed", numSuccess: 2 });
  expect(here.events.of("run:requeued")).toMatchObject([{ reason: "crash" }]);
});

test("a lease that is renewed keeps its run, however far ahead its process's clock is", async () => {
  const { here, there, run } = await hangingAhead(day);

  for (let passed = 0; passed < 5 * minute; passed += 5 * second)
    await Promise.all([here.clock.advance(5 * second), there.clock.advance(5 * second)]);

  expect(await here.scheduler.getRun(run._id)).toMatchObject({ status: "running", crashes: 0 });
});

test("a lease that is shorter than the steps of the measure is not taken for old a moment after it was seen first", async () => {
  const clock = new ManualClock(noon);
  const clockWatch = new ClockWatch({ clock, emit: () => undefined });
  const lease = { _runId: "run", until: noon + day };
  const watch = new LeaseWatch({ storage: { listLeases: async () => [lease] }, leaseMs: 10 * second, clockWatch });
  const { signal } = new AbortController();
  clockWatch.start(signal);
  await clock.advance(29 * second);

  const first = await watch.unchanged(signal);
  await clock.advance(2 * second);
  const soon = await watch.unchanged(signal);
  await clock.advance(minute);
  const later = await watch.unchanged(signal);

  expect([first, soon, later]).toEqual([[], [], [lease]]);
  clockWatch.stop();
});

test("a run that ended is not watched any more", async () => {
  const harness = new Harness({ exports, imports: { sink: collectingImport<number>() } });
  await harness.move();

  await harness.clock.advance(10 * minute);

  expect(harness.events.of("run:requeued")).toEqual([]);
  expect(harness.scheduler).toBeInstanceOf(Scheduler);
});
