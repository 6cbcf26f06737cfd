import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cron, cronOf } from "../../src/cron/cron.ts";
import { dueTimes, readClock, type Rule, type WallClock } from "./oracle.ts";

const DAY = 86_400_000;
const always = () => true;
const weekday = (_: number, day: number) => day >= 1 && day <= 5;
const hourly = { hour: always, hours: "every" } as const;
const daily = { day: always, hours: "named" } as const;

const rules: Readonly<Record<string, Rule>> = {
  "* * * * *": { ...hourly, minute: always, day: always },
  "*/15 * * * *": { ...hourly, minute: (m) => m % 15 === 0, day: always },
  "0 * * * *": { ...hourly, minute: (m) => m === 0, day: always },
  "45 0-23 * * *": { ...hourly, minute: (m) => m === 45, day: always },
  "? 0,30 * ? * MON-FRI": { ...hourly, minute: (m) => m % 30 === 0, day: weekday },
  "0 */2 * * *": { minute: (m) => m === 0, hour: (h) => h % 2 === 0, day: always, hours: "step" },
  "20 1-23/3 * * *": { minute: (m) => m === 20, hour: (h) => h % 3 === 1, day: always, hours: "step" },
  "*/20 2/6 * * *": { minute: (m) => m % 20 === 0, hour: (h) => h % 6 === 2, day: always, hours: "step" },
  "0 */24 * * *": { minute: (m) => m === 0, hour: (h) => h === 0, day: always, hours: "step" },
  "30 0/24 * * *": { ...daily, minute: (m) => m === 30, hour: (h) => h === 0 },
  "05 02 * jan-DEC/2 mon-FRI/2": {
    minute: (m) => m === 5,
    hour: (h) => h === 2,
    day: (_, w, month) => month % 2 === 1 && (w === 1 || w === 3 || w === 5),
    hours: "named",
  },
  "30 2 * * *": { ...daily, minute: (m) => m === 30, hour: (h) => h === 2 },
  "15 2 * * *": { ...daily, minute: (m) => m === 15, hour: (h) => h === 2 },
  "45 1 * * *": { ...daily, minute: (m) => m === 45, hour: (h) => h === 1 },
  "0 0 * * *": { ...daily, minute: (m) => m === 0, hour: (h) => h === 0 },
  "@daily": { ...daily, minute: (m) => m === 0, hour: (h) => h === 0 },
  "? 0 2 ? * *": { ...daily, minute: (m) => m === 0, hour: (h) => h === 2 },
  "0,30 1-3 * * *": { ...daily, minute: (m) => m % 30 === 0, hour: (h) => h >= 1 && h <= 3 },
  "*/10 2 * * *": { ...daily, minute: (m) => m % 10 === 0, hour: (h) => h === 2 },
  "5 0,2,4 * * *": { ...daily, minute: (m) => m === 5, hour: (h) => h === 0 || h === 2 || h === 4 },
  "59 23 L * *": { minute: (m) => m === 59, hour: (h) => h === 23, day: (d, _, __, n) => d === n, hours: "named" },
  "30 2 ? * SUN#1": { minute: (m) => m === 30, hour: (h) => h === 2, day: (d, w) => w === 0 && d < 8, hours: "named" },
  "30 2 * * 0L": {
    minute: (m) => m === 30,
    hour: (h) => h === 2,
    day: (d, w, _, n) => w === 0 && d > n - 7,
    hours: "named",
  },
  "0 3 13 * FRI": { minute: (m) => m === 0, hour: (h) => h === 3, day: (d, w) => d === 13 || w === 5, hours: "named" },
  "0 0 29 2 *": { minute: (m) => m === 0, hour: (h) => h === 0, day: (d, _, m) => m === 2 && d === 29, hours: "named" },
};
const expressions = Object.keys(rules);

/** Every minute of seven years, and then the places where clocks were moved in odd ways. */
const places: readonly (readonly [zone: string, from: string, until: string])[] = [
  ["America/New_York", "2024-01-01", "2031-01-01"],
  ["America/Los_Angeles", "2024-01-01", "2031-01-01"],
  ["Europe/Berlin", "2024-01-01", "2031-01-01"],
  ["Europe/Oslo", "2024-01-01", "2031-01-01"],
  ["Australia/Sydney", "2024-01-01", "2031-01-01"],
  ["Australia/Lord_Howe", "2024-01-01", "2031-01-01"],
  ["Asia/Kathmandu", "2024-01-01", "2031-01-01"],
  ["America/Sao_Paulo", "2024-01-01", "2031-01-01"],
  ["UTC", "2024-01-01", "2031-01-01"],
  ["America/Sao_Paulo", "2016-01-01", "2020-01-01"], // the gap is at midnight
  ["Africa/Cairo", "2023-01-01", "2026-01-01"], // the gap is at midnight
  ["Asia/Beirut", "2023-01-01", "2026-01-01"], // the gap is at midnight
  ["Asia/Jerusalem", "2023-01-01", "2026-01-01"], // the gap begins at midnight UTC
  ["Antarctica/Troll", "2023-01-01", "2026-01-01"], // the gap is two hours
  ["Africa/Casablanca", "2023-01-01", "2026-01-01"], // four weeks between two changes
  ["America/Havana", "2023-01-01", "2026-01-01"], // the repeated hour begins at midnight
  ["Pacific/Apia", "2011-01-01", "2013-01-01"], // a whole day is skipped
  ["Pacific/Kwajalein", "1969-01-01", "1970-01-01"], // almost a whole day is repeated, over midnight UTC
  ["Asia/Pyongyang", "2015-01-01", "2019-01-01"], // half an hour at midnight, permanently
  ["America/Caracas", "2007-01-01", "2008-01-01"], // half an hour back, permanently
];

/** Those of `due` where the clock changes, to compare a schedule of millions of due times. */
function aroundChanges(shown: Int32Array, from: number): readonly (readonly [number, number])[] {
  const windows: (readonly [number, number])[] = [[from, from + 3 * DAY]];
  shown.forEach((now, i) => {
    if (i > 0 && now !== (shown[i - 1] ?? 0) + 1)
      windows.push([from + i * 60_000 - 2 * DAY, from + i * 60_000 + 2 * DAY]);
  });
  return windows;
}

function walk(cron: Cron, from: number, until: number): readonly number[] {
  const due: number[] = [];
  for (let at = cron.next(from - 1); at !== undefined && at < until; at = cron.next(at)) due.push(at);
  return due;
}

/** The first place where two lists differ: nobody reads a diff of a hundred thousand numbers. */
function difference(actual: readonly number[], expected: readonly number[]): string | undefined {
  const i = expected.findIndex((due, place) => due !== actual[place]);
  if (i < 0 && actual.length === expected.length) return undefined;
  const place = i < 0 ? expected.length : i;
  const shown = (due: number | undefined) => (due === undefined ? "none" : new Date(due).toISOString());
  return `due ${shown(expected[place])}, but cron.ts has ${shown(actual[place])}`;
}

/** Index of the first element greater than `value` in a sorted list. */
function above(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? Infinity) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

describe.each(places)("in %s from %s to %s", (zone, first, end) => {
  const [from, until] = [Date.parse(first), Date.parse(end)];
  let clock: WallClock;
  let expected: readonly (readonly number[])[] = [];
  // Not in the body of `describe`: millions of due times would stay in memory for each place.
  beforeAll(() => {
    clock = readClock(zone, from, until);
    expected = dueTimes(clock, Object.values(rules));
  });
  afterAll(() => {
    expected = [];
  });
  const dueOf = (expression: string) => expected[expressions.indexOf(expression)] ?? [];

  test.each(expressions.slice(1))("%s is due exactly when a clock read minute by minute shows it", (expression) => {
    const actual = walk(cronOf(expression, zone, ""), from, until);

    expect(difference(actual, dueOf(expression))).toBeUndefined();
  });

  test("* * * * * is due in every minute around every change of the clock", () => {
    for (const [start, stop] of aroundChanges(clock.shown, from)) {
      const all = dueOf("* * * * *");
      const due = all.slice(above(all, start - 1), above(all, stop - 1));
      const actual = walk(cronOf("* * * * *", zone, ""), Math.max(start, from), Math.min(stop, until));

      expect(difference(actual, due)).toBeUndefined();
    }
  });

  test("next and latest return the neighbours in that list, from any instant", () => {
    const instants = fc.integer({ min: from + DAY, max: until - DAY });
    const anyCall = fc.record({ expression: fc.constantFrom(...expressions), at: instants, notBefore: instants });
    fc.assert(
      fc.property(anyCall, ({ expression, at, notBefore }) => {
        const due = dueOf(expression);
        const cron = cronOf(expression, zone, "");
        const place = above(due, at);
        const newest = due[place - 1] ?? -Infinity;

        if (place < due.length) expect(cron.next(at)).toBe(due[place]);
        expect(cron.latest(at, notBefore)).toBe(newest >= notBefore ? newest : undefined);
      }),
      { numRuns: 300 },
    );
  });
});
