import { describe, expect, test } from "vitest";
import { type Kind, hashOf, simulate } from "./simulate.ts";

/** Of a test of many processes, in milliseconds: a seed takes a second, and several on a busy computer. */
const longTimeoutMs = 240_000;

/** Seeds of one test; there are as many tests as it takes. */
const portion = 100;
const seeds = 200;

/** The promises that these seeds broke. */
async function brokenBy(kind: Kind, first: number, count: number) {
  const broken: string[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const { violation } = await simulate(seed, kind);
    const replay = `npm run test:soak:simulation -- 1 ${seed}${kind === "few" ? "" : ` --${kind}`}`;
    if (violation !== undefined) broken.push(`${violation.invariant}: ${violation.what}; replay: ${replay}`);
  }
  return broken;
}

describe("in chaos of faults, outages, cancels, crashes and stolen leases every promise is kept", () => {
  const firsts = Array.from({ length: seeds / portion }, (_, index) => 1 + index * portion);

  test.each(firsts)(`seed %i and the ${portion - 1} after it`, async (first) => {
    expect(await brokenBy("few", first, portion)).toEqual([]);
  });
});

test("seeds that once broke a promise keep all of them", async () => {
  for (const seed of [684, 1455, 10_705, 25_212])
    expect((await simulate(seed)).violation, `seed ${seed}`).toBeUndefined();
});

describe("many processes that come and go, disagree about the time and have not all of the exports keep every promise", () => {
  test.each([1, 21, 41])(
    "seed %i and the 19 after it",
    async (first) => {
      expect(await brokenBy("many", first, 20)).toEqual([]);
    },
    longTimeoutMs,
  );

  test(
    "on SQLite: 10 seeds",
    async () => {
      expect(await brokenBy("sqlite", 1, 10)).toEqual([]);
    },
    longTimeoutMs,
  );

  test("the same seed is the same chaos", async () => {
    for (const seed of [2, 5]) expect(hashOf(await simulate(seed, "many"))).toBe(hashOf(await simulate(seed, "many")));
  });
});

test("the same seed is the same chaos, step by step", async () => {
  for (const seed of [3, 7, 8, 11, 23, 50]) {
    const [one, other] = [await simulate(seed), await simulate(seed)];

    expect(hashOf(one)).toBe(hashOf(other));
    expect(one.trace.length).toBeGreaterThan(50);
  }
});
