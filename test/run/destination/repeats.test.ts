import { expect, test } from "vitest";
import { haveRepeats } from "../../../src/run/destination/repeats.ts";

const numbers = Array.from({ length: 1_000 }, (_, index) => `order-${index}`);
/** In an order of its own, the same each time. */
const shuffled = numbers.map((_, index) => `order-${(index * 617) % 1_000}`);
const alike = numbers.map((_, index) => `${(index * 617) % 1_000}-of-one-shop`);

test.each<[what: string, keys: readonly string[]]>([
  ["that are none", []],
  ["of one record", ["a"]],
  ["that ascend as numbers do", numbers],
  ["that descend", numbers.toReversed()],
  ["in no order", shuffled],
  ["that all end alike", alike],
  ["that are the ends of one another", numbers.map((_, index) => "x".repeat(1_000 - index))],
])("keys %s do not repeat, and do if any of them comes again", (_, keys) => {
  expect(haveRepeats(keys)).toBe(false);
  for (const again of [0, Math.floor(keys.length / 2), keys.length - 1].flatMap((index) => keys[index] ?? []))
    expect(haveRepeats([...keys, again])).toBe(true);
});

test("a key that comes twice in a row repeats", () => {
  expect(haveRepeats(["a", "b", "b", "c"])).toBe(true);
});

test("30,000 keys that end alike are looked through in linear time", () => {
  const keys = Array.from({ length: 30_000 }, (_, index) => `${(index * 61) % 30_000} of the same customer`);
  const before = performance.now();

  expect(haveRepeats(keys)).toBe(false);
  // Each compared with each would be many seconds.
  expect(performance.now() - before).toBeLessThan(2_000);
});
