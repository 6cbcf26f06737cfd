import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { longestDelayMs, retry, retryDelay, waitMsOf } from "../../src/run/retry.ts";
import { ManualClock } from "../../src/testing/index.ts";

const least = () => 0;
const most = () => 1 - Number.EPSILON;

test("the longest delay doubles with each attempt, up to a minute", () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((attempt) =>
    retryDelay(attempt, { retryDelayMs: 1_000, random: most }),
  );

  expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test("the shortest delay is none at all: the jitter is full", () => {
  expect([1, 5, 9].map((attempt) => retryDelay(attempt, { retryDelayMs: 1_000, random: least }))).toEqual([0, 0, 0]);
});

test("no delay is shorter than what the destination asks for, also beyond a minute", () => {
  expect(retryDelay(1, { retryDelayMs: 1_000, random: least }, 5_000)).toBe(5_000);
  expect(retryDelay(4, { retryDelayMs: 1_000, random: most }, 5_000)).toBe(8_000);
  expect(retryDelay(1, { retryDelayMs: 1_000, random: most }, 3_600_000)).toBe(3_600_000);
});

test("every delay lies between none and its ceiling, whatever the attempt and the chance", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2_000 }),
      fc.integer({ min: 0, max: 100_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, retryDelayMs, chance) => {
        const delayMs = retryDelay(attempt, { retryDelayMs, random: () => chance });

        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(Math.min(longestDelayMs, retryDelayMs * 2 ** Math.min(attempt - 1, 30)));
      },
    ),
  );
});

test("a wait may be a number of milliseconds or the date to wait for; what is neither, or past, is no wait", () => {
  const now = Date.parse("2030-01-01T12:00:00Z");
  const asked = [1_500, new Date(now + 2_000), new Date(now - 1), new Date(NaN), NaN, -1, "5", undefined];

  // Neither a prototype nor a proxy makes a date.
  expect([Object.create(Date.prototype), new Proxy(new Date(), {})].map((odd) => waitMsOf(odd, now))).toEqual([0, 0]);
  expect(asked.map((afterMs) => waitMsOf(afterMs, now))).toEqual([1_500, 2_000, 0, 0, 0, 0, 0, 0]);
});

describe("retry", () => {
  const failing = (times: number) => (attempt: number) =>
    attempt <= times ? Promise.reject(new Error(`no ${attempt}`)) : Promise.resolve(attempt);
  const doubling = { delayMs: (attempt: number) => 100 * 2 ** attempt };

  test("resolves with the first attempt that succeeds, after the delays of those that failed", async () => {
    const clock = new ManualClock();
    const began = clock.now();
    const retries: unknown[] = [];
    const onRetry = (error: unknown, attempt: number, delayMs: number) =>
      retries.push([(error as Error).message, attempt, delayMs]);

    const result = retry(clock, { ...doubling, onRetry }, failing(2));
    await clock.advance(600);

    expect([await result, clock.now() - began]).toEqual([3, 600]);
    expect(retries).toEqual([
      ["no 1", 1, 200],
      ["no 2", 2, 400],
    ]);
  });

  test("rejects with the last error after maxAttempts, without a further wait", async () => {
    const clock = new ManualClock();

    const result = retry(clock, { ...doubling, maxAttempts: 2 }, failing(9)).catch((error: unknown) => error);
    await clock.advance(200);

    expect(await result).toEqual(new Error("no 2"));
    expect(clock.timers).toBe(0);
  });

  test("makes no attempt after its signal has aborted, and ends its wait at once", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    let attempts = 0;
    const work = () => Promise.reject(new Error(`no ${++attempts}`));

    const result = retry(clock, { ...doubling, signal: abort.signal }, work).catch((error: unknown) => error);
    await clock.settle();
    abort.abort();

    expect(await result).toEqual(new Error("no 1"));
    expect([attempts, clock.timers]).toEqual([1, 0]);
  });
});
