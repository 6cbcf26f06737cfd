import { expect, test } from "vitest";
import { KeyFilter } from "../../../src/run/pass/key-filter.ts";

const named = (size: number, name: string) => Array.from({ length: size }, (_, index) => `${name}-${index}`);

test("every key that was there at first, or was added, is found, however many", () => {
  const keys = new Set(named(1_000, "first"));
  const filter = new KeyFilter(keys.size, () => keys);
  for (const key of [...named(10_000, "added"), "", "é", "\u{1f6a2}"]) {
    keys.add(key);
    filter.add(key, keys.size);
  }

  expect([...keys].filter((key) => !filter.mayHave(key))).toEqual([]);
});

test("most keys that were never added are not found", () => {
  const keys = new Set(named(1_000, "order"));
  const filter = new KeyFilter(keys.size, () => keys);

  const mistaken = named(100_000, "order")
    .slice(1_000)
    .filter((key) => filter.mayHave(key));

  expect(mistaken.length).toBeLessThan(99_000 / 20);
});

test("keys that differ only before their last characters are all found, and so is one that was never added", () => {
  const keys = new Set(["a/000001", "b/000001"]);
  const filter = new KeyFilter(keys.size, () => keys);

  expect([...keys, "c/000001"].map((key) => filter.mayHave(key))).toEqual([true, true, true]);
});
