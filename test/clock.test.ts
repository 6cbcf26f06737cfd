import { expect, test } from "vitest";
import { pause, systemClock } from "../src/clock.ts";
import { ManualClock } from "../src/testing/index.ts";

test("a timer of a month does not fire at once, though setTimeout's own range ends before that", async () => {
  const fired: string[] = [];
  const cancel = systemClock.setTimer(() => fired.push("month"), 30 * 86_400_000);

  await new Promise<void>((resolve) => void systemClock.setTimer(resolve, 5));
  cancel();

  expect(fired).toEqual([]);
});

test("a timer that was canceled never fires", async () => {
  const fired: string[] = [];
  systemClock.setTimer(() => fired.push("canceled"), 1)();

  await new Promise<void>((resolve) => void systemClock.setTimer(resolve, 5));

  expect(fired).toEqual([]);
});

test("a pause ends when its time is over and leaves no timer behind", async () => {
  const clock = new ManualClock();
  let over = false;
  void pause(clock, 100).then(() => (over = true));

  await clock.advance(99);
  const before = over;
  await clock.advance(1);

  expect([before, over, clock.timers]).toEqual([false, true, 0]);
});

test("a pause ends at once when its signal aborts, and leaves neither timer nor listener behind", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const paused = pause(clock, 100, abort.signal);

  abort.abort();
  await paused;
  await pause(clock, 100, abort.signal);

  expect(clock.timers).toBe(0);
});
