import { describe, expect, test } from "vitest";
import { addTally, hashOf, simulate } from "./simulate.ts";

/** Seeds of one test; there are as many tests as it takes. */
const portion = 100;
const seeds = 500;

const totals = new Map<string, number>();

describe("in chaos of faults, outages, cancels, crashes and stolen leases every promise is kept", () => {
  const firsts = Array.from({ length: seeds / portion }, (_, index) => 1 + index * portion);

  test.each(firsts)(`seed %i and the ${portion - 1} after it`, async (first) => {
    const broken: string[] = [];

    for (let seed = first; seed < first + portion; seed++) {
      const { violation, tally } = await simulate(seed);
      addTally(totals, tally);
      if (violation !== undefined)
        broken.push(`${violation.invariant}: ${violation.what}; replay: npm run test:soak:simulation -- 1 ${seed}`);
    }

    expect(broken).toEqual([]);
  });

  test("it was chaos: everything that is counted came often", () => {
    for (const [name, times] of totals) expect(times, name).toBeGreaterThan(seeds / 100);
  });
});

test("seeds that once broke a promise keep all of them", async () => {
  for (const seed of [684, 1455, 10_705, 25_212])
    expect((await simulate(seed)).violation, `seed ${seed}`).toBeUndefined();
});

test("the same seed is the same chaos, step by step", async () => {
  for (const seed of [3, 7, 8, 11, 23, 50]) {
    const [one, other] = [await simulate(seed), await simulate(seed)];

    expect(hashOf(one)).toBe(hashOf(other));
    expect(one.trace.length).toBeGreaterThan(50);
  }
});
