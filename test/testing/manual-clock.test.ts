import { expect, test } from "vitest";
import { delay } from "../../src/clock.ts";
import { ManualClock } from "../../src/testing/index.ts";

test("stands still until it is moved", async () => {
  const clock = new ManualClock("2030-03-30T00:00:00Z");

  await clock.settle();

  expect(clock.now()).toBe(Date.parse("2030-03-30T00:00:00Z"));
});

test("fires timers by their times, those of one time in the order they were set, each at its own time", async () => {
  const clock = new ManualClock(0);
  const fired: string[] = [];
  const set = (name: string, delayMs: number) => clock.setTimer(() => fired.push(`${name} at ${clock.now()}`), delayMs);
  set("late", 30);
  set("first", 10);
  set("second", 10);
  set("at once", 0);

  await clock.advance(30);

  expect(fired).toEqual(["at once at 0", "first at 10", "second at 10", "late at 30"]);
});

test("fires a timer at the very end of the move, and none beyond it", async () => {
  const clock = new ManualClock(0);
  const fired: number[] = [];
  clock.setTimer(() => fired.push(50), 50);
  clock.setTimer(() => fired.push(51), 51);

  await clock.advance(50);

  expect([fired, clock.now(), clock.timers]).toEqual([[50], 50, 1]);
});

test("fires what a timer sets, if that comes due in the same move", async () => {
  const clock = new ManualClock(0);
  const ticks: number[] = [];
  const tick = () => {
    ticks.push(clock.now());
    clock.setTimer(tick, 10);
  };
  clock.setTimer(tick, 10);

  await clock.advance(35);

  expect(ticks).toEqual([10, 20, 30]);
});

test("does all that follows from one timer before the next one fires", async () => {
  const clock = new ManualClock(0);
  const log: string[] = [];
  clock.setTimer(() => {
    void (async () => {
      for (let step = 0; step < 20; step++) await Promise.resolve();
      await clock.yieldToEventLoop();
      await clock.yieldToEventLoop();
      log.push("first is done");
    })();
  }, 10);
  clock.setTimer(() => log.push("second"), 11);

  await clock.advance(11);

  expect(log).toEqual(["first is done", "second"]);
});

test("a timer that was canceled does not fire; canceling it twice, or after it fired, takes no other one away", async () => {
  const clock = new ManualClock(0);
  const fired: string[] = [];
  const cancelFirst = clock.setTimer(() => fired.push("first"), 10);
  const cancelSecond = clock.setTimer(() => fired.push("second"), 10);
  clock.setTimer(() => fired.push("third"), 10);
  clock.setTimer(() => fired.push("fourth"), 20);

  cancelSecond();
  cancelSecond();
  await clock.advance(10);
  cancelFirst();
  await clock.advance(10);

  expect(fired).toEqual(["first", "third", "fourth"]);
});

test("tells how many timers wait and when the next one fires", async () => {
  const clock = new ManualClock(0);
  const idle = [clock.timers, clock.nextTimerIn];
  clock.setTimer(() => undefined, 100);
  clock.setTimer(() => undefined, 40);

  await clock.advance(10);

  expect(idle).toEqual([0, undefined]);
  expect([clock.timers, clock.nextTimerIn]).toEqual([2, 30]);
});

test("moves to an instant by the wall, as a number or a date", async () => {
  const clock = new ManualClock("2030-03-30T00:00:00Z");
  let fired = 0;
  clock.setTimer(() => fired++, 60_000);

  await clock.moveTo("2030-03-30T00:01:00Z");
  await clock.moveTo(Date.parse("2030-03-30T00:02:00Z"));

  expect([fired, new Date(clock.now()).toISOString()]).toEqual([1, "2030-03-30T00:02:00.000Z"]);
});

test("a jump of the wall clock, in either direction, leaves timers what is left of their delays", async () => {
  const clock = new ManualClock("2030-01-01T00:00:00Z");
  const fired: string[] = [];
  clock.setTimer(() => fired.push(new Date(clock.now()).toISOString()), 1_000);
  await clock.advance(400);

  clock.jumpTo("2029-01-01T00:00:00Z");
  await clock.advance(599);
  const before = fired.length;
  clock.jumpTo("2031-01-01T00:00:00Z");
  await clock.advance(1);

  expect([before, ...fired]).toEqual([0, "2031-01-01T00:00:00.001Z"]);
});

test("refuses to go back by moving, and times that are none", async () => {
  const clock = new ManualClock("2030-01-01T00:00:00Z");

  await expect(clock.advance(-1)).rejects.toThrow(RangeError);
  await expect(clock.moveTo("2029-12-31T23:59:59Z")).rejects.toThrow("jumpTo");
  await expect(clock.advance(Infinity)).rejects.toThrow(RangeError);
  expect(() => new ManualClock("tomorrow")).toThrow("tomorrow");
  expect(() => clock.setTimer(() => undefined, NaN)).toThrow(RangeError);
  expect(() => clock.setTimer(() => undefined, -1)).toThrow(RangeError);
});

test("a pause of a month passes without waiting for it", async () => {
  const clock = new ManualClock(0);
  let over = false;
  void delay(clock, 30 * 86_400_000).then(() => (over = true));

  await clock.advance(30 * 86_400_000);

  expect(over).toBe(true);
});

test("100,000 timers, most of them canceled in any order, still fire by their times, and are no burden", async () => {
  const clock = new ManualClock(0);
  const fired: number[] = [];
  const delays = Array.from({ length: 100_000 }, (_, index) => (index * 7_919) % 100_000);
  const cancels = delays.map((delayMs) => clock.setTimer(() => fired.push(clock.now()), delayMs));

  for (const [index, cancel] of cancels.entries()) if (index % 100 !== 0) cancel();
  await clock.advance(100_000);

  const kept = delays.filter((_, index) => index % 100 === 0).sort((one, other) => one - other);
  expect(fired).toEqual(kept);
  expect(clock.timers).toBe(0);
});
