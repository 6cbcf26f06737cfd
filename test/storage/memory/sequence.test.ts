import { expect, test } from "vitest";
import { Sequence } from "../../../src/storage/memory/sequence.ts";

const entries = Array.from({ length: 200 }, (_, index) => ({ seq: 2 * index + 1 }));

// Multiplication modulo a prime: an order without a pattern, the same every time.
const scattered = Array.from({ length: 198 }, (_, index) => ((index + 1) * 71) % 199);

test.each<[order: string, places: readonly number[]]>([
  ["from the first one on", entries.map((_, index) => index)],
  ["from the last one on", entries.map((_, index) => index).reverse()],
  ["every other one, then the rest", [0, 1].flatMap((odd) => entries.map((_, index) => index).filter((i) => i % 2 === odd))], // prettier-ignore
  ["the second ones before the first ones", entries.map((_, index) => index ^ 1)],
  ["in no order", scattered],
])("entries that are removed %s are gone from both directions, and no other is", (_, places) => {
  const sequence = new Sequence<{ seq: number }>();
  for (const entry of entries) sequence.add(entry);
  const left = new Set(entries);
  for (const place of places) {
    const entry = entries[place];
    if (entry === undefined) continue;
    sequence.remove(entry);
    sequence.remove(entry);
    left.delete(entry);
    expect(sequence.size).toBe(left.size);
    const after = [...left].filter(({ seq }) => seq > entry.seq);
    expect([...sequence.after(entry.seq)]).toEqual(after);
    expect([...sequence.after(0)]).toEqual([...left]);
    expect([...sequence.before(entry.seq)]).toEqual([...left].filter(({ seq }) => seq < entry.seq).reverse());
  }
  const last = { seq: 1_000 };
  sequence.add(last);
  expect([...sequence.after(0)]).toEqual([...left, last]);
});
