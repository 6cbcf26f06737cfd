import { expect, test } from "vitest";
import { pageKeys, recordProblems } from "../../../src/run/source/page-keys.ts";

const place = { defaultKeyOf: (position: number) => `run/3/${position}`, name: "page 3" };
const throwing = () => {
  throw new Error("no id");
};

test("without key, version and schema keys are made of run, page and place, and never repeat", () => {
  const keys = pageKeys([1, 2], {}, place);

  expect([keys.keyOf(0), keys.keyOf(1), keys.mayRepeat, keys.versionOf, keys.problems]).toEqual([
    ...["run/3/0", "run/3/1"],
    ...[undefined, undefined, undefined],
  ]);
});

test("are the export's own, with its versions", () => {
  const from = { key: (n: unknown) => `#${String(n)}`, version: (n: unknown) => Number(n) * 10 };

  const keys = pageKeys([1, 2], from, place);

  expect([keys.keyOf(1), keys.versionOf?.(1), keys.mayRepeat, keys.problems]).toEqual(["#2", 20, true, undefined]);
});

test.each<[what: string, make: () => unknown]>([
  ["throws", throwing],
  ["returns a number", () => 7],
  ["returns an empty string", () => ""],
  ["returns nothing", () => undefined],
  ["returns a promise", async () => "a"],
  ["returns megabytes", () => "x".repeat(5_000_000)],
  ["returns what no database keeps", () => "a\0"],
  ["returns half of a character", () => "a\uD800"],
])("a key that %s makes that record a problem, which names page and place, and no other", (_, make) => {
  const from = { key: (n: unknown) => (n === 2 ? make() : `#${String(n)}`) as string };

  const keys = pageKeys([1, 2, 3], from, place);

  expect([0, 1, 2].map(keys.keyOf)).toEqual(["#1", "run/3/1", "#3"]);
  expect([...(keys.problems ?? [])].map(([position, { message }]) => [position, message.slice(0, 18)])).toEqual([
    [1, "page 3, record 1: "],
  ]);
});

test("a version may be a string, as an ETag is", () => {
  const from = { key: String, version: (n: unknown) => `"etag ${String(n)}"` };

  expect(pageKeys([1, 2], from, place).versionOf?.(1)).toBe('"etag 2"');
});

test.each<[what: string, make: () => unknown]>([
  ["throws", throwing],
  ["returns NaN", () => NaN],
  ["returns half of a character", () => "\uD800"],
  ["returns a date", () => new Date(0)],
])("so does a version that %s", (_, make) => {
  const from = { key: (n: unknown) => `#${String(n)}`, version: (n: unknown) => (n === 2 ? make() : 1) as number };

  const keys = pageKeys([1, 2], from, place);

  expect([keys.keyOf(0), keys.keyOf(1), [...(keys.problems?.keys() ?? [])]]).toEqual(["#1", "run/3/1", [1]]);
});

test("so does a record that the export's schema refuses, or cannot check at once", () => {
  const refusing = (value: unknown) => (value === 2 ? { issues: [{ message: "no total" }] } : { value });
  const schema = (validate: unknown) => ({ "~standard": { version: 1, vendor: "test", validate } }) as never;

  expect(pageKeys([1, 2], { schema: schema(refusing) }, place).problems?.get(1)?.message).toBe(
    "page 3, record 1: no total",
  );
  expect(pageKeys([1], { schema: schema(async () => ({ value: 1 })) }, place).problems?.get(0)?.message).toMatch(
    "the export's schema is asynchronous",
  );
});

test("a record that is a problem already is asked for nothing", () => {
  const asked: unknown[] = [];
  const from = { key: (n: unknown) => (asked.push(n), `#${String(n)}`) };

  const keys = pageKeys([1, 2], from, { ...place, problems: new Map([[1, new Error("not decoded")]]) });

  expect([asked, keys.keyOf(0), keys.keyOf(1), keys.problems?.get(1)?.message]).toEqual([
    [1],
    "#1",
    "run/3/1",
    "not decoded",
  ]);
});

test("the problems of one record name the places that its schema does, keys and symbols of paths alike", () => {
  const issues = [
    { message: "no total", path: ["lines", { key: 2 }, "total"] },
    { message: "no order" },
    { message: "no tag", path: [Symbol("tag")] },
  ];
  const schema = { "~standard": { version: 1, vendor: "test", validate: () => ({ issues }) } } as never;

  expect(recordProblems({}, { schema })).toEqual([
    { place: "lines.2.total", message: "no total" },
    { place: "", message: "no order" },
    { place: "Symbol(tag)", message: "no tag" },
  ]);
});
