import { describe, expect, test } from "vitest";
import { readSettings, sameJson } from "../../../src/model/flow/settings.ts";

const expected = "expected an object of JSON, at most 64 KB and 100 levels deep";
const levels = (count: number): object => Array.from({ length: count }).reduce<object>((inner) => ({ inner }), {});

describe("settings are", () => {
  test("a frozen copy of what was given", () => {
    const given = { table: "orders", filter: { paid: true }, skipped: undefined };

    const read = readSettings(given);
    given.filter.paid = false;

    if (!("settings" in read)) throw new Error(read.problem);
    expect(read.settings).toStrictEqual({ table: "orders", filter: { paid: true } });
    expect([read.settings, read.settings.filter].map(Object.isFrozen)).toEqual([true, true]);
  });

  test("up to 65,536 bytes of JSON", () => {
    const ofBytes = (bytes: number) => readSettings({ x: "é".repeat((bytes - 8) / 2) });

    expect(ofBytes(65_536)).toHaveProperty("settings");
    expect(ofBytes(65_538)).toEqual({ problem: `${expected}, found 65538 bytes` });
  });

  test("up to 100 levels deep", () => {
    expect(readSettings(levels(100))).toHaveProperty("settings");
    expect(readSettings(levels(101))).toEqual({ problem: `${expected}, found more levels` });
  });

  test.each<[what: string, given: unknown, problem: string]>([
    ["an array", [1], "found an array of 1"],
    ["a string", "table", 'found "table"'],
    ["a date", new Date(0), "found a Date"],
    ["an object with a date", { since: new Date(0) }, "but settings.since is a Date"],
    ["an object with no number", { limit: NaN }, "but settings.limit is NaN"],
    ["an object with a function", { map: () => 1 }, "but settings.map is a function"],
  ])("not %s", (_what, given, problem) => {
    expect(readSettings(given)).toEqual({ problem: `${expected}, ${problem}` });
  });

  test("not what contains itself", () => {
    const loop: Record<string, unknown> = {};
    loop.again = { loop };

    expect(readSettings(loop)).toEqual({ problem: `${expected}, found more levels` });
  });

  test("refused before all of them are looked at, if they are far too large", () => {
    let reads = 0;
    const counted = new Proxy<object>({}, { get: () => reads++, getOwnPropertyDescriptor: descriptor, ownKeys });
    function descriptor() {
      return { configurable: true, enumerable: true, value: 1 };
    }
    function ownKeys() {
      return Array.from({ length: 200_000 }, (_, index) => `k${index}`);
    }

    expect(readSettings({ sparse: new Array(1e9), counted })).toEqual({ problem: `${expected}, found more levels` });
    expect(readSettings({ counted })).toEqual({ problem: `${expected}, found more than 64 KB` });
    expect(reads).toBeLessThan(65_536);
  });
});

describe("two values are the same JSON", () => {
  test.each<[one: never, other: never]>([
    [
      { a: 1, b: [1, { c: null }] },
      { b: [1, { c: null }], a: 1 },
    ],
    [[], []],
    [null, null],
    ["x", "x"],
    [undefined, undefined],
  ] as never)("%j and %j", (one, other) => {
    expect(sameJson(one, other)).toBe(true);
  });

  test.each<[one: never, other: never]>([
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, { b: 1 }],
    [{ a: 1 }, { a: 1, b: 1 }],
    [
      [1, 2],
      [2, 1],
    ],
    [[], {}],
    [{}, null],
    [undefined, {}],
    ["1", 1],
    [{ toString: 1 }, { valueOf: 1 }],
  ] as never)("but not %j and %j", (one, other) => {
    expect(sameJson(one, other)).toBe(false);
    expect(sameJson(other, one)).toBe(false);
  });
});
