import { describe, expect, test } from "vitest";
import { cronOf } from "../../../src/cron/cron.ts";
import {
  type Flow,
  FlowRegistry,
  MemoryStorage,
  type Run,
  Scheduler,
  type SchedulerOptions,
} from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { maxTimerMs } from "../../../src/scheduler/timetable/timetable.ts";
import { ManualClock, arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, day, faltering, hour, minute, noon, second, upTo } from "../../support/harness.ts";

const exports = { from: arrayExport([1]) };

/** Everything is written at once. */
function quick(options: SchedulerOptions = {}): Harness {
  return new Harness({ exports, imports: { sink: collectingImport<number>() }, options });
}

/** The first run hangs until the gate opens. */
function slow(options: SchedulerOptions = {}) {
  const gate = new Gate();
  const sink = scriptedImport<number>(() => gate.opened.then(() => undefined), { writeTimeoutMs: day });
  return { gate, harness: new Harness({ exports: { from: arrayExport([1]) }, imports: { sink }, options }) };
}

/** What a run is, in short. */
function brief({ trigger, dueAt, status, coalesced, skipped }: Run): string {
  const counts = [coalesced > 0 ? ` +${coalesced}` : "", skipped > 0 ? ` -${skipped}` : ""];
  return `${trigger} ${dueAt?.slice(11, 16) ?? ""} ${status}${counts.join("")}`;
}

/** When the schedule is due after `from`, up to `until`. */
function dueTimesOf(schedule: string, from: number, until: number): readonly string[] {
  const cron = cronOf(schedule, "UTC", "");
  const dueTimes: string[] = [];
  for (let at = cron.next(from); at !== undefined && at <= until; at = cron.next(at))
    dueTimes.push(new Date(at).toISOString());
  return dueTimes;
}

const briefs = async (harness: Harness, flow?: Flow) => (await harness.runs(flow?._id)).map(brief);

/** A flow whose scheduler is stopped from just after noon for `downMs`. */
async function afterDown(schedule: string, downMs: number, options: SchedulerOptions = {}) {
  const harness = quick(options);
  await harness.scheduler.start();
  const flow = await harness.flow({ schedule });
  await harness.scheduler.stop();
  await harness.clock.advance(downMs);
  await harness.scheduler.start();
  await harness.clock.settle();
  return { harness, flow };
}

describe("a schedule", () => {
  test("makes one run for each due time, at that time, and says when the next is", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/5 * * * *" });

    await harness.clock.advance(16 * minute);

    expect(await briefs(harness)).toEqual([
      "schedule 12:05 completed",
      "schedule 12:10 completed",
      "schedule 12:15 completed",
    ]);
    for (const run of await harness.runs()) expect(run).toMatchObject({ queuedAt: run.dueAt, startedAt: run.dueAt });
    expect(await harness.registry.get(flow._id)).toMatchObject({
      lastExecutedAt: "2030-01-01T12:15:00.000Z",
      nextRunAt: "2030-01-01T12:20:00.000Z",
    });
  });

  test("of a flow made while the timer waits for a later one is kept all the same", async () => {
    const harness = quick();
    await harness.scheduler.start();
    await harness.flow({ schedule: "0 18 * * *" });
    await harness.clock.advance(50 * second);

    const soon = await harness.flow({ schedule: "1 12 * * *" });
    await harness.clock.advance(10 * second);

    expect(await briefs(harness, soon)).toEqual(["schedule 12:01 completed"]);
  });

  test("that is changed counts from the change on; one that is taken away never fires again", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/10 * * * *" });

    await harness.clock.advance(11 * minute);
    await harness.registry.patch(flow._id, { schedule: "*/15 * * * *" });
    await harness.clock.advance(10 * minute);
    await harness.registry.patch(flow._id, { schedule: null });
    await harness.clock.advance(day);

    expect(await briefs(harness)).toEqual(["schedule 12:10 completed", "schedule 12:15 completed"]);
  });

  test("of a deleted flow fires no more", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "* * * * *" });

    await harness.registry.delete(flow._id);
    await harness.clock.advance(hour);

    expect(await harness.runs()).toEqual([]);
  });

  test("shared by more flows than are looked at in one go fires for each of them", async () => {
    const harness = quick({ concurrency: 1_000 });
    for (let count = 0; count < 600; count++) await harness.flow({ schedule: "1 12 * * *" });
    await harness.scheduler.start();

    await harness.clock.advance(minute);

    const runs = await harness.runs();
    expect(new Set(runs.map(({ _flowId }) => _flowId)).size).toBe(600);
    expect(runs).toHaveLength(600);
  });

  test("that cannot be read here is reported once, stays due, and keeps no other flow from running", async () => {
    const harness = quick();
    const broken = await harness.flow({ schedule: "1 12 * * *" });
    const { storage } = harness;
    await storage.replaceFlow(
      { ...broken, schedule: "never ever" },
      { expected: broken.lastModified, reschedule: false, at: noon },
    );
    const other = await harness.flow({ schedule: "* * * * *" });
    await harness.scheduler.start();

    await harness.clock.advance(3 * minute);

    expect(await harness.runs(broken._id)).toEqual([]);
    expect((await harness.registry.get(broken._id)).nextRunAt).toBe(broken.nextRunAt);
    expect(await harness.runs(other._id)).toHaveLength(3);
    expect(harness.events.of("background:error").map(({ during }) => during)).toEqual([
      `reading the schedule of flow ${broken._id}`,
    ]);
    expect(harness.clock.nextTimerIn).toBeGreaterThan(0);
  });

  test("that cannot be read here, shared by more flows than one slice, starves none that comes after them", async () => {
    const harness = quick();
    for (let count = 0; count < 250; count++) {
      const broken = await harness.flow({ schedule: "1 12 * * *" });
      const change = { expected: broken.lastModified, reschedule: false, at: noon };
      await harness.storage.replaceFlow({ ...broken, timezone: "Mars/Olympus" }, change);
    }
    const other = await harness.flow({ schedule: "1 12 * * *" });
    await harness.scheduler.start();

    await harness.clock.advance(minute);

    expect(await briefs(harness)).toEqual(["schedule 12:01 completed"]);
    expect((await harness.runs())[0]?._flowId).toBe(other._id);
  });
});

describe("due while the flow runs", () => {
  test("a run is queued, and starts when the current one completes", async () => {
    const { harness, gate } = slow();
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });

    await harness.clock.advance(2 * minute + 30 * second);
    const meanwhile = await briefs(harness);
    gate.open();
    await harness.clock.settle();

    expect(meanwhile).toEqual(["schedule 12:01 running", "schedule 12:02 queued"]);
    expect(await briefs(harness)).toEqual(["schedule 12:01 completed", "schedule 12:02 completed"]);
    expect((await harness.runs())[1]?.startedAt).toBe("2030-01-01T12:02:30.000Z");
  });

  test("again while a scheduled run waits is coalesced into it: counted, and emitted", async () => {
    const { harness, gate } = slow();
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });

    await harness.clock.advance(4 * minute);
    gate.open();
    await harness.clock.settle();

    expect(await briefs(harness)).toEqual(["schedule 12:01 completed", "schedule 12:02 completed +2"]);
    expect(harness.events.of("schedule:coalesced").map(({ dueAt, run }) => [dueAt.slice(11, 16), brief(run)])).toEqual([
      ["12:03", "schedule 12:02 queued +1"],
      ["12:04", "schedule 12:02 queued +2"],
    ]);
  });

  test("behind a waiting run on demand gets a run of its own", async () => {
    const { harness, gate } = slow();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "2 12 * * *" });
    await harness.scheduler.run(flow._id);
    await harness.scheduler.run(flow._id);

    await harness.clock.advance(2 * minute);
    gate.open();
    await harness.clock.settle();

    expect(await briefs(harness)).toEqual(["manual  completed", "manual  completed", "schedule 12:02 completed"]);
    const started = harness.events.of("run:started").map(({ run }) => run._id);
    expect(started).toEqual((await harness.runs()).map(({ _id }) => _id));
  });

  test("with bufferAll each due time gets its own run, in order, until maxQueued wait", async () => {
    const { harness, gate } = slow({ overlap: "bufferAll", maxQueued: 3 });
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });

    await harness.clock.advance(6 * minute);
    gate.open();
    await harness.clock.settle();

    expect(await briefs(harness)).toEqual([
      "schedule 12:01 completed",
      "schedule 12:02 completed",
      "schedule 12:03 completed",
      "schedule 12:04 completed +2",
    ]);
    expect(harness.events.of("schedule:coalesced")).toHaveLength(2);
  });

  test("with bufferAll behind a full line of runs on demand no due time is lost", async () => {
    const { harness, gate } = slow({ overlap: "bufferAll", maxQueued: 2 });
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "* * * * *" });
    for (let count = 0; count < 3; count++) await harness.scheduler.run(flow._id);

    await harness.clock.advance(2 * minute);
    gate.open();
    await harness.clock.settle();

    expect((await briefs(harness)).filter((run) => run.startsWith("schedule"))).toEqual([
      "schedule 12:01 completed +1",
    ]);
  });

  test("with skip none is queued: counted on the run in its way, and emitted", async () => {
    const { harness, gate } = slow({ overlap: "skip" });
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });

    await harness.clock.advance(3 * minute);
    gate.open();
    await harness.clock.advance(minute);

    expect(await briefs(harness)).toEqual(["schedule 12:01 completed -2", "schedule 12:04 completed"]);
    expect(harness.events.of("schedule:skipped").map(({ dueAt, run }) => [dueAt.slice(11, 16), brief(run)])).toEqual([
      ["12:02", "schedule 12:01 running -1"],
      ["12:03", "schedule 12:01 running -2"],
    ]);
  });
});

describe("missed while down", () => {
  test("exactly one run catches up for the newest missed due time; then it goes on as normal", async () => {
    const { harness, flow } = await afterDown("0 * * * *", 5 * hour + 20 * minute);

    await harness.clock.advance(hour);

    expect(await briefs(harness)).toEqual(["catch-up 17:00 completed", "schedule 18:00 completed"]);
    expect(harness.events.of("schedule:missed")).toMatchObject([
      { flow: { _id: flow._id }, dueAt: "2030-01-01T17:00:00.000Z", run: { trigger: "catch-up", status: "queued" } },
    ]);
    expect((await harness.runs())[0]?.queuedAt).toBe("2030-01-01T17:20:00.000Z");
  });

  test("nothing is caught up if nothing was missed", async () => {
    const { harness } = await afterDown("0 * * * *", 59 * minute);

    expect(await harness.runs()).toEqual([]);
    expect(harness.events.of("schedule:missed")).toEqual([]);
  });

  test("a due time exactly as old as the window is caught up, a second more is too old: emitted, without a run", async () => {
    const just = await afterDown("5 12 * * *", 5 * minute + hour, { catchUpWindowMs: hour });
    const late = await afterDown("5 12 * * *", 5 * minute + hour + second, { catchUpWindowMs: hour });

    expect(await briefs(just.harness)).toEqual(["catch-up 12:05 completed"]);
    expect(await briefs(late.harness)).toEqual([]);
    expect(late.harness.events.of("schedule:missed")).toEqual([
      { flow: expect.anything() as unknown, dueAt: "2030-01-01T12:05:00.000Z" },
    ]);
    expect((await late.harness.registry.get(late.flow._id)).nextRunAt).toBe("2030-01-02T12:05:00.000Z");
  });

  test("the window is a day if nothing else is said", async () => {
    const just = await afterDown("5 12 1 * *", 5 * minute + day);
    const late = await afterDown("5 12 1 * *", 5 * minute + day + second);

    expect([(await just.harness.runs()).length, (await late.harness.runs()).length]).toEqual([1, 0]);
  });

  test("with a window of 0 nothing is ever caught up, and it goes on as normal", async () => {
    const { harness } = await afterDown("0 * * * *", hour + minute + second, { catchUpWindowMs: 0 });

    await harness.clock.advance(hour);

    expect(await briefs(harness)).toEqual(["schedule 14:00 completed"]);
    expect(harness.events.of("schedule:missed")).toHaveLength(1);
  });

  test("a catch-up run folds into a scheduled run that still waits from before", async () => {
    const { harness, gate } = slow({ graceMs: 0 });
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "* * * * *" });
    await harness.clock.advance(2 * minute);
    const stopped = harness.scheduler.stop();
    await harness.clock.advance(second);
    await stopped;
    await harness.clock.advance(10 * minute);

    await harness.scheduler.start();
    gate.open();
    await harness.clock.settle();

    expect(await briefs(harness, flow)).toEqual(["schedule 12:01 completed", "schedule 12:02 completed +1"]);
    expect(harness.events.of("schedule:missed")).toMatchObject([{ run: { coalesced: 1 } }]);
  });
});

describe("a due time that is late", () => {
  test.each([0, hour])("by a minute is simply due, also with a window of %i", async (catchUpWindowMs) => {
    const { harness } = await afterDown("5 12 * * *", 6 * minute, { catchUpWindowMs });

    expect(await briefs(harness)).toEqual(["schedule 12:05 completed"]);
    expect(harness.events.of("schedule:missed")).toEqual([]);
  });

  test("by a second more was missed", async () => {
    const { harness } = await afterDown("5 12 * * *", 6 * minute + second);

    expect(await briefs(harness)).toEqual(["catch-up 12:05 completed"]);
    expect(harness.events.of("schedule:missed")).toHaveLength(1);
  });

  test("by moments runs for the newest, and the newest of those that were missed before it is reported", async () => {
    const { harness } = await afterDown("* * * * *", hour + 10 * second, { catchUpWindowMs: 0 });

    expect(await briefs(harness)).toEqual(["schedule 13:00 completed"]);
    expect(harness.events.of("schedule:missed")).toMatchObject([
      { dueAt: "2030-01-01T12:59:00.000Z", run: { trigger: "schedule" } },
    ]);
  });

  test("because the process was frozen at the due time is run by that process", async () => {
    const harness = quick({ catchUpWindowMs: 0 });
    await harness.scheduler.start();
    await harness.flow({ schedule: "5 12 * * *" });
    await harness.clock.advance(second);

    harness.clock.jumpTo("2030-01-01T12:05:25Z");
    await harness.clock.advance(minute);

    expect(await briefs(harness)).toEqual(["schedule 12:05 completed"]);
  });
});

describe("a disabled flow", () => {
  test("makes no scheduled run, and enabling it catches nothing up", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/10 * * * *" });
    await harness.registry.patch(flow._id, { disabled: true });
    await harness.clock.advance(hour + 5 * minute);

    await harness.registry.patch(flow._id, { disabled: false });
    await harness.clock.advance(5 * minute);

    expect(await briefs(harness)).toEqual(["schedule 13:10 completed"]);
    expect(harness.events.of("schedule:missed")).toEqual([]);
    expect(harness.events.of("flow:overdue")).toEqual([]);
  });

  test("that was disabled while nothing ran catches nothing up either", async () => {
    const harness = quick();
    const flow = await harness.flow({ schedule: "*/10 * * * *", disabled: true });
    await harness.clock.advance(hour + minute);
    await harness.registry.patch(flow._id, { disabled: false });

    await harness.scheduler.start();
    await harness.clock.advance(minute);

    expect(await harness.runs()).toEqual([]);
  });
});

describe("several schedulers on one storage", () => {
  test("make exactly one run of every due time, and never two at once", async () => {
    const clock = new ManualClock(noon);
    let running = 0;
    let most = 0;
    const sink = scriptedImport<number>(async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => clock.setTimer(resolve, 30 * second));
      running--;
      return undefined;
    });
    const from = { ...arrayExport([1], { order: "unordered" as const }) };
    const first = new Harness({ exports: { from }, imports: { sink }, clock });
    const setting = { exports: { from }, imports: { sink }, clock, storage: first.storage };
    const harnesses = [first, new Harness(setting), new Harness(setting)];
    const flow = await first.flow({ schedule: "* * * * *" });
    for (const harness of harnesses) await harness.scheduler.start();

    await clock.advance(hour + 45 * second);

    const dueTimes = (await first.runs(flow._id)).map(({ dueAt }) => Date.parse(dueAt ?? ""));
    expect(dueTimes).toEqual(Array.from({ length: 60 }, (_, index) => noon + (index + 1) * minute));
    expect(most).toBe(1);
    expect(harnesses.flatMap((harness) => harness.events.of("run:completed"))).toHaveLength(60);
  });

  test("catch up once, not once each", async () => {
    const first = quick();
    await first.flow({ schedule: "0 * * * *" });
    await first.clock.advance(3 * hour + 2 * minute);
    const { storage, clock } = first;
    const second = new Harness({ exports, imports: { sink: collectingImport<number>() }, storage, clock });

    await Promise.all([first.scheduler.start(), second.scheduler.start()]);
    await clock.settle();

    expect(await briefs(first)).toEqual(["catch-up 15:00 completed"]);
  });
});

describe("the one timer", () => {
  test("is one for all flows, however many there are", async () => {
    const timersWith = async (flows: number) => {
      const harness = quick();
      await harness.scheduler.start();
      for (let count = 0; count < flows; count++) await harness.flow({ schedule: `${count % 60} * * * *` });
      await harness.clock.settle();
      return harness.clock.timers;
    };

    expect(await timersWith(500)).toBe(await timersWith(0));
  });

  test("never sleeps longer than half a minute, also for a flow due in days", async () => {
    const delays: number[] = [];
    class WatchedClock extends ManualClock {
      override setTimer(callback: () => void, delayMs: number) {
        delays.push(delayMs);
        return super.setTimer(callback, delayMs);
      }
    }
    const clock = new WatchedClock("2030-01-01T12:00:00Z");
    const harness = new Harness({ exports, imports: { sink: collectingImport<number>() }, clock });
    await harness.scheduler.start();
    await harness.flow({ schedule: "0 12 4 1 *" });

    await clock.advance(3 * day);

    expect(await briefs(harness)).toEqual(["schedule 12:00 completed"]);
    expect((await harness.runs())[0]?.queuedAt).toBe("2030-01-04T12:00:00.000Z");
    // Those that are longer are timeouts: of the run's reads, and of its write.
    expect(delays.filter((delay) => delay > maxTimerMs)).toEqual([600_000, 300_000, 600_000]);
  });

  test("is gone after stop", async () => {
    const harness = quick();
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });
    await harness.scheduler.stop();

    await harness.clock.advance(hour);

    expect(harness.clock.timers).toBe(0);
    expect(await harness.runs()).toEqual([]);
  });
});

describe("a clock that jumps", () => {
  test("forwards over hours, as a computer that slept: one run catches up within half a minute", async () => {
    const harness = quick();
    await harness.scheduler.start();
    await harness.flow({ schedule: "*/10 * * * *" });

    harness.clock.jumpTo("2030-01-01T20:03:00Z");
    await harness.clock.advance(30 * second);

    expect(await briefs(harness)).toEqual(["catch-up 20:00 completed"]);
    expect(harness.events.of("schedule:missed")).toHaveLength(1);
  });

  test("forwards by less than the timer's interval loses nothing and catches nothing up", async () => {
    const harness = quick();
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });

    harness.clock.jumpTo(harness.clock.now() + 25 * second);
    await harness.clock.advance(3 * minute);

    expect(await briefs(harness)).toEqual([
      "schedule 12:01 completed",
      "schedule 12:02 completed",
      "schedule 12:03 completed",
    ]);
  });

  test("backwards repeats no due time", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/10 * * * *" });
    await harness.clock.advance(21 * minute);

    harness.clock.jumpTo("2030-01-01T12:05:00Z");
    await harness.clock.advance(26 * minute);

    const dueTimes = (await harness.runs(flow._id)).map(({ dueAt }) => dueAt);
    expect(dueTimes.map((dueAt) => dueAt?.slice(11, 16))).toEqual(["12:10", "12:20", "12:30"]);
  });

  test("backwards over years leaves no flow standing still: it is due at the next time counted from now", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "* * * * *" });
    harness.clock.jumpTo("2040-01-01T12:00:00Z");
    await harness.clock.advance(minute);
    const ahead = await harness.registry.get(flow._id);

    harness.clock.jumpTo("2030-01-01T12:10:30Z");
    await harness.clock.advance(30 * second);
    const right = await harness.registry.get(flow._id);
    await harness.clock.advance(minute);

    expect([ahead.nextRunAt, right.nextRunAt]).toEqual(["2040-01-01T12:02:00.000Z", "2030-01-01T12:12:00.000Z"]);
    expect((await briefs(harness)).at(-1)).toBe("schedule 12:12 completed");
  });

  test.each([
    ["two hours", 2 * hour, "* * * * *"],
    ["a day", day, "30 */2 * * *"],
    ["a day", day, "0 3 * * *"],
    ["ten years", 3_653 * day, "*/10 * * * *"],
  ])(
    "ahead by %s, for two hours or a day, is made good for when it is put right (%s ms, %s)",
    async (_, by, schedule) => {
      const harness = quick();
      await harness.scheduler.start();
      const flows = await Promise.all(upTo(12).map(() => harness.flow({ schedule })));
      harness.clock.jumpTo(noon + by);
      await harness.clock.advance(Math.min(by, day));

      const putRightAt = noon + Math.min(by, day) + 7 * second;
      harness.clock.jumpTo(putRightAt);
      const counts = await Promise.all(flows.map(async ({ _id }) => (await harness.runs(_id)).length));
      await harness.clock.advance(by === 2 * hour ? hour : day);

      const wanted = dueTimesOf(schedule, putRightAt, harness.clock.now());
      expect(wanted.length).toBeGreaterThan(0);
      for (const [index, { _id }] of flows.entries())
        expect((await harness.runs(_id)).slice(counts[index]).map(({ dueAt }) => dueAt)).toEqual(wanted);
    },
  );

  test("back by two hours makes a run again also for a due time that was less than an hour ahead", async () => {
    const harness = quick();
    await harness.scheduler.start();
    await harness.flow({ schedule: "0 14 * * *" });
    harness.clock.jumpTo("2030-01-01T13:59:30Z");
    await harness.clock.advance(80 * minute);

    harness.clock.jumpTo("2030-01-01T13:20:00Z");
    await harness.clock.advance(hour);

    expect(await briefs(harness)).toEqual(["schedule 14:00 completed", "schedule 14:00 completed"]);
  });

  test.each([
    ["two minutes", 2 * minute],
    ["59 minutes", 59 * minute],
  ])("back by %s, at once or after a restart, makes no second run of a due time", async (_, by) => {
    for (const isRestarted of [false, true]) {
      const harness = quick();
      await harness.scheduler.start();
      await harness.flow({ schedule: "0 13 * * *" });
      await harness.clock.advance(61 * minute);

      if (isRestarted) await harness.scheduler.stop();
      harness.clock.jumpTo(harness.clock.now() - by);
      if (isRestarted) await harness.scheduler.start();
      await harness.clock.advance(2 * hour);

      expect(await briefs(harness)).toEqual(["schedule 13:00 completed"]);
    }
  });

  test("and is put right while no scheduler runs leaves no flow standing still after the next start", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "* * * * *" });
    harness.clock.jumpTo("2030-01-02T12:00:00Z");
    await harness.clock.advance(2 * hour);
    await harness.scheduler.stop();

    harness.clock.jumpTo("2030-01-02T12:30:07Z");
    await harness.scheduler.start();
    const before = (await harness.runs()).length;
    await harness.clock.advance(hour);

    expect((await harness.runs()).length - before).toBe(60);
    expect((await harness.registry.get(flow._id)).nextRunAt).toBe("2030-01-02T13:31:00.000Z");
  });

  test("and is put right while a flow is disabled leaves it not standing still when it is enabled", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/10 * * * *" });
    harness.clock.jumpTo("2030-01-01T14:00:00Z");
    await harness.clock.advance(2 * hour);
    await harness.registry.patch(flow._id, { disabled: true });
    harness.clock.jumpTo("2030-01-01T14:00:00Z");
    await harness.clock.advance(5 * minute);
    const before = (await harness.runs()).length;

    await harness.registry.patch(flow._id, { disabled: false });
    await harness.clock.advance(31 * minute);

    expect((await briefs(harness)).slice(before)).toEqual([
      "schedule 14:10 completed",
      "schedule 14:20 completed",
      "schedule 14:30 completed",
    ]);
  });

  test("while the storage fails is made good for when it does no more", async () => {
    let isDown = false;
    const storage = faltering(new MemoryStorage(), { method: "scheduledFlows", fails: () => isDown });
    const harness = new Harness({ exports, imports: { sink: collectingImport<number>() }, storage });
    await harness.scheduler.start();
    await harness.flow({ schedule: "*/10 * * * *" });
    harness.clock.jumpTo("2030-01-01T14:00:00Z");
    await harness.clock.advance(minute);

    harness.clock.jumpTo("2030-01-01T12:05:00Z");
    isDown = true;
    await harness.clock.advance(66 * minute);
    isDown = false;
    await harness.clock.advance(50 * minute);

    expect((await briefs(harness)).at(-1)).toBe("schedule 14:00 completed");
  });

  test("backwards, even to before the start, makes no due time a missed one", async () => {
    const harness = quick();
    await harness.scheduler.start();

    harness.clock.jumpTo("2030-01-01T10:00:00Z");
    await harness.clock.advance(minute);
    await harness.flow({ schedule: "*/10 * * * *" });
    await harness.clock.advance(20 * minute);

    expect(await briefs(harness)).toEqual(["schedule 10:10 completed", "schedule 10:20 completed"]);
    expect(harness.events.of("schedule:missed")).toEqual([]);
  });
});

describe("flow:overdue", () => {
  test("is emitted when no run began for twice the interval, at each due time until one does", async () => {
    const { harness, gate } = slow();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/10 * * * *" });

    await harness.clock.advance(45 * minute);
    gate.open();
    await harness.clock.advance(15 * minute);

    expect(harness.events.of("flow:overdue")).toMatchObject([
      { flow: { _id: flow._id }, dueAt: "2030-01-01T12:30:00.000Z", lastExecutedAt: "2030-01-01T12:10:00.000Z" },
      { flow: { _id: flow._id }, dueAt: "2030-01-01T12:40:00.000Z", lastExecutedAt: "2030-01-01T12:10:00.000Z" },
    ]);
  });

  test("is emitted for a flow that never began a run since it was made", async () => {
    const hog = new Gate();
    const sink = scriptedImport<number>(() => hog.opened.then(() => undefined));
    const harness = new Harness({
      exports: { from: arrayExport([1]) },
      imports: { sink },
      options: { concurrency: 1 },
    });
    await harness.scheduler.start();
    await harness.scheduler.run((await harness.flow())._id);
    const flow = await harness.flow({ schedule: "*/10 * * * *" });

    await harness.clock.advance(25 * minute);
    hog.open();
    await harness.clock.settle();

    expect(harness.events.of("flow:overdue")).toMatchObject([
      { flow: { _id: flow._id }, dueAt: "2030-01-01T12:20:00.000Z" },
    ]);
    expect(harness.events.of("flow:overdue")[0]).not.toHaveProperty("lastExecutedAt");
  });
});

describe("a stored due time", () => {
  const at = "2030-01-01T12:00:00Z";
  const started = async (storage: Harness["storage"], timezone: string, clock = new ManualClock(at)) => {
    const registry = new FlowRegistry({
      exports,
      imports: { sink: collectingImport<number>() },
      storage,
      clock,
      timezone,
    });
    const scheduler = new Scheduler(registry, { logger: silentLogger });
    await scheduler.start();
    return { registry, scheduler, clock };
  };

  test("is computed anew when the registry's timezone changed, once, and then stays", async () => {
    const harness = quick();
    const flow = await harness.flow({ schedule: "0 9 * * *" });
    const own = await harness.flow({ schedule: "0 9 * * *", timezone: "UTC" });

    const { registry, scheduler } = await started(harness.storage, "America/New_York");

    expect((await registry.get(flow._id)).nextRunAt).toBe("2030-01-01T14:00:00.000Z");
    expect((await registry.get(own._id)).nextRunAt).toBe("2030-01-02T09:00:00.000Z");
    await scheduler.stop();
    const { lastModified } = await registry.get(flow._id);
    expect(lastModified).toBe(flow.lastModified);
  });

  test("that was computed by another tz version, and has passed meanwhile, is caught up", async () => {
    const harness = quick();
    const flow = await harness.flow({ schedule: "0 13 * * *" });
    const dueAt = Date.parse("2030-01-01T13:00:00Z");
    await harness.storage.rescheduleFlows([{ _flowId: flow._id, expected: dueAt, dueAt, basis: "another" }]);
    await harness.clock.advance(2 * hour);

    await harness.scheduler.start();
    await harness.clock.settle();

    expect(await briefs(harness)).toEqual(["catch-up 13:00 completed"]);
    expect((await harness.storage.scheduledFlows(1))[0]?.basis).not.toBe("another");
  });

  test("that lies beyond the next one counted from now is computed anew at the start", async () => {
    const harness = quick();
    const flow = await harness.flow({ schedule: "0 13 * * *" });
    const expected = Date.parse(flow.nextRunAt ?? "");
    const dueAt = Date.parse("2039-01-01T13:00:00Z");
    await harness.storage.rescheduleFlows([{ _flowId: flow._id, expected, dueAt, basis: "as stored" }]);

    await harness.scheduler.start();

    expect((await harness.registry.get(flow._id)).nextRunAt).toBe(flow.nextRunAt);
  });

  test("that is missing is computed, within half a minute also while it runs", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "30 12 * * *" });
    const [stored] = await harness.storage.scheduledFlows(1);
    const expected = Date.parse(flow.nextRunAt ?? "");
    const change = { _flowId: flow._id, expected, dueAt: undefined, basis: stored?.basis ?? "" };
    await harness.storage.rescheduleFlows([change]);
    const lost = await harness.registry.get(flow._id);

    await harness.clock.advance(30 * second);

    expect(lost.nextRunAt).toBeUndefined();
    expect((await harness.registry.get(flow._id)).nextRunAt).toBe(flow.nextRunAt);
  });

  test("is left alone by a running process with other tz data, so that two of them do not undo each other", async () => {
    const harness = quick();
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "30 13 * * *" });
    const expected = Date.parse(flow.nextRunAt ?? "");
    const dueAt = Date.parse("2030-01-01T14:30:00Z");
    await harness.storage.rescheduleFlows([{ _flowId: flow._id, expected, dueAt, basis: "of another process" }]);

    await harness.clock.advance(hour);

    expect((await harness.registry.get(flow._id)).nextRunAt).toBe("2030-01-01T14:30:00.000Z");
  });

  test("of each of 12,000 flows is computed anew: of 10,000 before the start resolves, of the rest soon after", async () => {
    const harness = quick();
    const ids: string[] = [];
    for (let count = 0; count < 12_000; count++) ids.push((await harness.flow({ schedule: "0 9 * * *" }))._id);

    const { registry, scheduler, clock } = await started(harness.storage, "America/New_York");
    const dueTimes = async () => Promise.all(ids.map(async (_id) => (await registry.get(_id)).nextRunAt));
    const atStart = (await dueTimes()).filter((dueAt) => dueAt === "2030-01-01T14:00:00.000Z").length;
    await clock.settle();

    expect(atStart).toBeGreaterThanOrEqual(10_000);
    expect(new Set(await dueTimes())).toEqual(new Set(["2030-01-01T14:00:00.000Z"]));
    await scheduler.stop();
  });
});
