import { expect, test } from "vitest";
import { type Period, missingRanges, periodAt } from "../../../../src/storage/postgres/history/periods.ts";

const at = (text: string) => Date.parse(`${text}Z`);
const ranges = (some: readonly { from: number; to: number }[]) =>
  some.map(({ from, to }) => [from, to].map((end) => new Date(end).toISOString().slice(0, 10)).join(" "));

test.each<[Period, string, string, string]>([
  ["day", "2026-02-28T23:59:59.999", "2026-02-28", "2026-03-01"],
  ["week", "2026-11-29T23:59", "2026-11-23", "2026-11-30"],
  ["week", "2026-11-30T00:00", "2026-11-30", "2026-12-07"],
  ["week", "1969-12-31T12:00", "1969-12-29", "1970-01-05"],
  ["month", "2026-12-31T23:59", "2026-12-01", "2027-01-01"],
  ["month", "2028-02-29T00:00", "2028-02-01", "2028-03-01"],
])("the %s of %s is from %s to %s", (period, instant, from, to) => {
  expect(ranges([periodAt(at(instant), period)])).toEqual([`${from} ${to}`]);
});

test("the period of now and the two that follow get a partition, unless they have one", () => {
  const now = at("2026-11-27T12:00");

  const missing = missingRanges(now, "month", []);

  expect(ranges(missing)).toEqual(["2026-11-01 2026-12-01", "2026-12-01 2027-01-01", "2027-01-01 2027-02-01"]);
  expect(missingRanges(now, "month", missing)).toEqual([]);
  expect(ranges(missingRanges(now, "month", missing.slice(0, 1)))).toEqual(ranges(missing.slice(1)));
});

test("a partition of another length keeps its time, and the others get what is left", () => {
  const known = [
    { from: -Infinity, to: at("2026-11-20T00:00") },
    { from: at("2026-12-07T00:00"), to: at("2026-12-14T00:00") },
  ];

  const missing = missingRanges(at("2026-11-27T12:00"), "month", known);

  expect(ranges(missing)).toEqual(["2026-11-20 2026-12-01", "2026-12-01 2026-12-07"]);
});
