import { describe, expect, test } from "vitest";
import { Yielder, delay, systemClock, within } from "../src/clock.ts";
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
  void delay(clock, 100).then(() => (over = true));

  await clock.advance(99);
  const before = over;
  await clock.advance(1);

  expect([before, over, clock.timers]).toEqual([false, true, 0]);
});

test("a pause ends at once when its signal aborts, and leaves neither timer nor listener behind", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const paused = delay(clock, 100, abort.signal);

  abort.abort();
  await paused;
  await delay(clock, 100, abort.signal);

  expect(clock.timers).toBe(0);
});

describe("a pace", () => {
  test("is spent when the stretch is over, and not before", async () => {
    const clock = new ManualClock();
    const pace = new Yielder(clock, 10);
    const spent = [pace.isDue()];

    await clock.advance(9);
    spent.push(pace.isDue());
    await clock.advance(1);
    spent.push(pace.isDue());

    expect(spent).toEqual([false, false, true]);
  });

  test("begins a new stretch with each breath", async () => {
    const clock = new ManualClock();
    const pace = new Yielder(clock, 10);
    await clock.advance(10);

    await pace.yield();
    const spent = [pace.isDue()];
    await clock.advance(10);
    spent.push(pace.isDue());

    expect(spent).toEqual([false, true]);
  });

  test("is spent when the clock was set back, rather than holding its breath until the time is made up", async () => {
    const clock = new ManualClock("2030-01-01T12:00:00Z");
    const pace = new Yielder(clock, 10);
    clock.jumpTo("2030-01-01T11:00:00Z");

    const spent = [pace.isDue()];
    await pace.yield();
    spent.push(pace.isDue());

    expect(spent).toEqual([true, false]);
  });

  test("gives all who breathe at once the same turn, and the next one another", async () => {
    const clock = new ManualClock();
    const pace = new Yielder(clock, 10);
    const first = pace.yield();

    expect(pace.yield()).toBe(first);
    await first;
    expect(pace.yield()).not.toBe(first);
  });

  test("lets work that waits have its turn", async () => {
    const log: string[] = [];
    const pace = new Yielder(systemClock);
    systemClock.yieldToEventLoop().then(
      () => log.push("other work"),
      () => undefined,
    );

    await pace.yield();
    log.push("breathed");

    expect(log).toEqual(["other work", "breathed"]);
  });
});

describe("within", () => {
  test("is true as soon as the work resolves, and leaves no timer", async () => {
    const clock = new ManualClock();

    expect(await within(clock, 10, Promise.resolve("done"))).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test("is false when the time is over or the signal aborts, whichever is first", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    const never = new Promise(() => undefined);
    const results: boolean[] = [];

    void within(clock, 10, never).then((inTime) => results.push(inTime));
    void within(clock, 10_000, never, abort.signal).then((inTime) => results.push(inTime));
    await clock.advance(10);
    const before = [...results];
    abort.abort();
    await clock.settle();

    expect([before, results, clock.timers]).toEqual([[false], [false, false], 0]);
    expect(await within(clock, 10, never, AbortSignal.abort())).toBe(false);
  });

  test("rejects as the work does, and leaves no timer", async () => {
    const clock = new ManualClock();
    const error = new Error("broken");

    await expect(within(clock, 10, Promise.reject(error))).rejects.toBe(error);
    expect(clock.timers).toBe(0);
  });
});

test("the system's clock tells epoch milliseconds", () => {
  const before = Date.now();

  const now = systemClock.now();

  expect(now).toBeGreaterThanOrEqual(before);
  expect(now).toBeLessThanOrEqual(Date.now());
});
