import fc from "fast-check";
import { expect, test } from "vitest";
import { retryDelay, longestDelayMs } from "../../src/run/retry.ts";

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
