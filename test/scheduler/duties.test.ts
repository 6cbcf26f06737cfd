import { describe, expect, test } from "vitest";
import { type Export, MemoryStorage } from "../../src/index.ts";
import { Duties } from "../../src/scheduler/duties.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock, arrayExport, collectingImport } from "../../src/testing/index.ts";
import { Harness, faltering, minute, noon, second } from "../support/harness.ts";

/** A storage that counts the calls of one method. */
function counting(storage: Storage, method: keyof Storage) {
  const counted = { calls: 0 };
  const watched = faltering(storage, {
    method,
    fails: () => {
      counted.calls++;
      return false;
    },
  });
  return { counted, storage: watched };
}

describe("a duty", () => {
  const storage = () => counting(new MemoryStorage(), "claimDuty");
  const dutiesOf = (on: Storage, clock: ManualClock, processId = "one") =>
    new Duties({ storage: on, clock, processId });

  test("that is ours is claimed again only when less than half of it is left", async () => {
    const clock = new ManualClock(noon);
    const { counted, storage: on } = storage();
    const duties = dutiesOf(on, clock);
    const claims = [await duties.claim("timetable", 10_000)];
    await clock.advance(4_999);
    claims.push(await duties.claim("timetable", 10_000));
    const before = counted.calls;

    await clock.advance(1);
    claims.push(await duties.claim("timetable", 10_000));

    expect([claims, before, counted.calls]).toEqual([[true, true, true], 1, 2]);
  });

  test("that another process took over is not ours any more", async () => {
    const clock = new ManualClock(noon);
    const on = new MemoryStorage();
    const [one, other] = [dutiesOf(on, clock), dutiesOf(on, clock, "other")];
    await one.claim("timetable", 10_000);
    await clock.advance(10_000);
    await other.claim("timetable", 10_000);

    expect(await one.claim("timetable", 10_000)).toBe(false);
    await one.release("timetable");
    expect(await one.claim("timetable", 10_000)).toBe(false);
  });

  test("is claimed anew by a clock that was set back by more than its length", async () => {
    const clock = new ManualClock(noon);
    const { counted, storage: on } = storage();
    const duties = dutiesOf(on, clock);
    await duties.claim("timetable", 10_000);

    clock.jumpTo(noon - minute);

    expect([await duties.claim("timetable", 10_000), counted.calls]).toEqual([true, 2]);
  });

  test("is given up at once, also if the storage fails then", async () => {
    const clock = new ManualClock(noon);
    const memory = new MemoryStorage();
    const one = dutiesOf(memory, clock);
    const cut = dutiesOf(faltering(memory, { method: "releaseDuty", fails: () => true }), clock, "cut");
    await one.claim("timetable", 10_000);
    await cut.claim("maintenance", 10_000);

    await one.release("timetable");
    await cut.release("maintenance");

    const other = dutiesOf(memory, clock, "other");
    expect([await other.claim("timetable", 1), await other.claim("maintenance", 10_000)]).toEqual([true, false]);
  });
});

/** Two processes on one storage, each with a clock of its own: one whose clock stands still has died. */
function pair(from: Export<number> = arrayExport([1])) {
  const storage = new MemoryStorage();
  const setting = { exports: { from }, imports: { sink: collectingImport<number>() }, storage };
  const [one, other] = [new Harness(setting), new Harness(setting)];
  const advance = async (ms: number) => {
    for (let left = ms; left > 0; left -= 250)
      for (const { clock } of [one, other]) await clock.advance(Math.min(250, left));
  };
  return { one, other, advance };
}

describe("of two processes", () => {
  test("one looks for what is due, and queues all of it in time", async () => {
    const { one, other, advance } = pair();
    await one.scheduler.start();
    await other.scheduler.start();
    const flow = await one.flow({ schedule: "* * * * *" });

    await advance(5 * minute);

    const runs = await one.runs(flow._id);
    expect(runs.map(({ queuedAt, dueAt }) => queuedAt === dueAt)).toEqual(Array(5).fill(true));
    expect([one, other].map(({ events }) => events.of("run:queued").length)).toEqual([5, 0]);
  });

  test("the one that does not look for what is due queues what is 10 s overdue", async () => {
    const { one, other } = pair();
    const flow = await one.flow({ schedule: "* * * * *" });
    await other.clock.advance(55 * second);
    const at = other.clock.now();
    await one.storage.claimDuty({ name: "timetable", holder: "dead", at, until: at + 20 * second });
    await other.scheduler.start();

    await other.clock.advance(15 * second - 1);
    const early = (await other.runs(flow._id)).length;
    await other.clock.advance(1);

    expect([early, (await other.runs(flow._id)).length]).toEqual([0, 1]);
  });

  test("the one that does not look for what is due starts a flow in time that it was given", async () => {
    const { one, other, advance } = pair();
    await one.scheduler.start();
    await one.flow({ schedule: "* * * * *" });
    await advance(55 * second);
    await other.scheduler.start();
    await advance(3 * second);

    const flow = await other.flow({ schedule: "1 12 * * *" });
    await other.clock.advance(2 * second);

    expect(await other.runs(flow._id)).toMatchObject([
      { dueAt: "2030-01-01T12:01:00.000Z", queuedAt: "2030-01-01T12:01:00.000Z" },
    ]);
  });

  test("one that stops leaves looking for what is due to the other one at once", async () => {
    const { one, other, advance } = pair();
    await one.scheduler.start();
    await other.scheduler.start();
    const flow = await one.flow({ schedule: "* * * * *" });
    await advance(2 * minute - second);

    await one.scheduler.stop();
    await other.clock.advance(11 * second + 2 * minute);

    const runs = await other.runs(flow._id);
    expect(runs.slice(1).map(({ queuedAt, dueAt }) => queuedAt === dueAt)).toEqual([true, true, true]);
  });

  test("one does maintenance, and what it would have found is found within two of its intervals once it has died", async () => {
    const { one, other, advance } = pair();
    await one.scheduler.start();
    await other.scheduler.start();
    await advance(2 * minute);
    const flow = await one.flow();
    // As if the wake-up had been lost.
    const lost = { _id: "lost", _flowId: flow._id, trigger: "manual" as const, queuedAt: new Date(noon).toISOString() };
    await one.storage.queueRun(lost, { maxQueued: 10 });

    await other.clock.advance(minute);

    expect(await other.storage.findRun("lost")).toMatchObject({ status: "completed" });
  });

  test("the one that has another duty's round to do does it when something waits for an instant there", async () => {
    let isClosed = true;
    const from: Export<number> = arrayExport([1]);
    const storage = new MemoryStorage();
    const sink = {
      ...collectingImport<number>(),
      write: async () => (isClosed ? Promise.reject(new Error("closed")) : undefined),
    };
    const setting = { exports: { from }, imports: { sink }, storage, options: { maxAttempts: 1 } };
    const [one, other] = [new Harness(setting), new Harness(setting)];
    await one.scheduler.start();
    await other.scheduler.start();
    const flow = await other.flow();
    await other.run(flow._id);
    isClosed = false;

    // The first one has died, and has its duty for a while.
    await other.clock.advance(31 * second);

    expect((await other.runs(flow._id)).map(({ trigger, status }) => [trigger, status])).toEqual([
      ["manual", "failed"],
      ["resume", "completed"],
    ]);
  });
});

describe("an export with listen", () => {
  function listening() {
    const open: string[] = [];
    let opened = 0;
    const from: Export<number> = {
      listen() {
        const name = `listener ${++opened}`;
        open.push(name);
        return () => void open.splice(open.indexOf(name), 1);
      },
    };
    return { from, open };
  }

  test("is listened to in one process, and in another one within 10 s of its death", async () => {
    const { from, open } = listening();
    const { one, other, advance } = pair(from);
    await one.flow();
    await one.scheduler.start();
    await other.scheduler.start();
    await advance(minute);
    const together = [...open];

    await other.clock.advance(10 * second);

    expect([together, open]).toEqual([["listener 1"], ["listener 1", "listener 2"]]);
  });

  test("is listened to in another process within 2 s after the first one was stopped", async () => {
    const { from, open } = listening();
    const { one, other, advance } = pair(from);
    await one.flow();
    await one.scheduler.start();
    await other.scheduler.start();
    await advance(5 * second);

    await one.scheduler.stop();
    await other.clock.advance(2 * second);

    expect(open).toEqual(["listener 2"]);
  });

  test("is listened to no more in a process that was away for so long that another one took over", async () => {
    const { from, open } = listening();
    const { one, other, advance } = pair(from);
    await one.flow();
    await one.scheduler.start();
    await other.scheduler.start();
    await advance(5 * second);
    await other.clock.advance(minute);
    const meanwhile = [...open];

    one.clock.jumpTo(other.clock.now());
    await one.clock.advance(2 * second);

    expect([meanwhile, open]).toEqual([["listener 1", "listener 2"], ["listener 2"]]);
  });

  test("goes on being listened to while the storage fails", async () => {
    const { from, open } = listening();
    const storage = faltering(new MemoryStorage(), { method: "claimDuty", fails: (nth) => nth > 10 && nth < 20 });
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() }, storage });
    await harness.flow();
    await harness.scheduler.start();

    await harness.clock.advance(3 * minute);

    expect(open).toEqual(["listener 1"]);
    expect(harness.events.of("background:error").map(({ during }) => during)).toContain("listening on from");
  });

  test("that no enabled flow uses any more is left to nobody", async () => {
    const { from, open } = listening();
    const { one } = pair(from);
    const flow = await one.flow();
    await one.scheduler.start();
    await one.clock.settle();

    await one.registry.patch(flow._id, { disabled: true });
    await one.clock.settle();

    expect(open).toEqual([]);
    const claim = { name: "listen:from", holder: "another", at: noon, until: noon + 1 };
    expect(await one.storage.claimDuty(claim)).toBe(true);
  });
});
