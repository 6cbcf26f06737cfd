import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { basisOf, checkCron, cronOf } from "../../src/cron/cron.ts";

const tz = process.versions.tz ?? "";
const basis = (expression: string, zone = "UTC", seed = "flow") => basisOf(expression, zone, seed);

test("this runtime has a version of the tz database, without which the tests below compare nothing", () => {
  expect(tz).toMatch(/^20\d\d[a-z]$/);
});

describe("the basis of a due time", () => {
  test.each([
    ["0 9 * * *", "America/New_York", `0 0 9 * 1-12 * america/new_york ${tz}`],
    ["*/15 9-17 * * MON-FRI", "UTC", `0 0,15,30,45 9-17 * 1-12 1-5 utc ${tz}`],
    ["30 5 2 1,L JAN,7-9 ?", "UTC", `30 5 2 1,L 1,7-9 * utc ${tz}`],
    ["0 0 * * 5L,MON", "UTC", `0 0 0 * 1-12 1,5L utc ${tz}`],
    ["0 0 13 * FRI#2", "UTC", `0 0 0 13 1-12 5#2 utc ${tz}`],
    ["0 */6 * * *", "UTC", `0 0 0,6,12,18! * 1-12 * utc ${tz}`],
    ["0 */6,2 * * *", "UTC", `0 0 0,2,6,12,18!2 * 1-12 * utc ${tz}`],
    ["@hourly", "UTC", `0 0 0-23 * 1-12 * utc ${tz}`],
  ])("of %j in %s is its normal form, the zone and the tz version: %j", (expression, zone, expected) => {
    expect(basis(expression, zone)).toBe(expected);
  });

  test.each([
    ["0 9 * * *", "  0 \t 09 * *  ? "],
    ["0 9 * * *", "? 0 9 ? * *"],
    ["0 0 * * *", "@daily"],
    ["*/30 * * * *", "0,30 */1 * 1-12 ?"],
    ["0 0 * * SUN", "0 0 * * 7,0"],
    ["0 0 1 JAN-MAR *", "0 0 1 3,2,1,2 *"],
    ["0 9,10,11 * * *", "0 9-11 * * *"],
  ])("is the same for %j and %j, which mean the same", (one, other) => {
    expect(basis(one)).toBe(basis(other));
  });

  test.each([
    ["0 9 * * *", "0 10 * * *"],
    ["0 9 * * *", "30 0 9 * * *"],
    ["0 0,12 * * *", "0 */12 * * *"],
    ["0 0 13 * *", "0 0 13 * FRI"],
    ["0 0 * * 5", "0 0 * * 5L"],
    ["0 0 * * 5#1", "0 0 * * 5#2"],
    ["0 0 28 * *", "0 0 28,L * *"],
  ])("differs for %j and %j, which do not", (one, other) => {
    expect(basis(one)).not.toBe(basis(other));
  });

  test("differs for zones, also for links of one, and not for the case of their letters", () => {
    expect(basis("0 9 * * *", "Asia/Kolkata")).not.toBe(basis("0 9 * * *", "Europe/Oslo"));
    expect(basis("0 9 * * *", "Asia/Kolkata")).not.toBe(basis("0 9 * * *", "Asia/Calcutta"));
    expect(basis("0 9 * * *", "ASIA/KOLKATA")).toBe(basis("0 9 * * *", "Asia/Kolkata"));
  });

  test("has the slot that the seed draws in place of H, and else does not depend on the seed", () => {
    expect(basis("H 9 * * *", "UTC", "0193d2a0-0000-7000-8000-000000000001")).toBe(`0 28 9 * 1-12 * utc ${tz}`);
    expect(new Set(Array.from({ length: 2_000 }, (_, i) => basis("H 9 * * *", "UTC", `flow ${i}`))).size).toBe(60);
    expect(basis("1 9 * * *", "UTC", "a")).toBe(basis("1 9 * * *", "UTC", "b"));
  });

  test.each([
    ["0 2, * * *", "UTC"],
    ["", "UTC"],
    ["0 0 31 2 *", "UTC"],
    ["0 9 * * *", "BST"],
    ["30 1-2/1 * 3 0L", "Antarctica/Troll"],
  ])("is undefined for %j in %s, which checkCron refuses", (expression, zone) => {
    expect(checkCron(expression, zone)).not.toEqual([]);
    expect(basis(expression, zone)).toBeUndefined();
  });

  test("if equal, means the same due times, in a zone whose clock changes", () => {
    const part = (...items: string[]) =>
      fc.uniqueArray(fc.constantFrom(...items), { minLength: 1, maxLength: 3 }).map((chosen) => chosen.join(","));
    const anyExpression = fc
      .tuple(
        part("0", "30", "*/30", "0-59/30", "H"),
        part("2", "02", "0-23", "*", "*/2", "0-22/2", "2-3", "2,3", "*/12", "0", "12"),
        part("*", "1-31", "L", "31", "30,31"),
        part("*", "3", "MAR", "1-12", "10"),
        part("*", "0-6", "SUN", "7", "0L", "SUN-SAT"),
      )
      .map((fields) => fields.join(" "));
    const bases = new Map<string, string>();
    let shared = 0;
    fc.assert(
      fc.property(anyExpression, fc.integer({ min: 1_893_456_000_000, max: 1_924_992_000_000 }), (expression, at) => {
        const found = basis(expression, "Europe/Berlin") ?? "";
        const other = bases.get(found) ?? expression;
        bases.set(found, other);
        if (other !== expression) shared++;

        for (const instant of [at, 1_901_149_200_000 - 1, 1_919_293_200_000 - 1]) {
          const due = cronOf(expression, "Europe/Berlin", "flow").next(instant);
          expect(due).toBe(cronOf(other, "Europe/Berlin", "flow").next(instant));
        }
      }),
      { numRuns: 2_000 },
    );
    expect(shared).toBeGreaterThan(50);
  });
});
