import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diffOf } from "../../src/dashboard/app/format/diff.ts";
import { findIn, pretty } from "../../src/dashboard/app/format/json.ts";
import { codes } from "../../src/dashboard/app/strings.ts";
import { countOf, filterIn, isByCause, isInPeriod } from "../../src/dashboard/app/screens/failures/filter.ts";

const signs = { same: " ", removed: "-", added: "+" } as const;
const shown = (before: string, after: string) => diffOf(before, after).map(({ kind, text }) => signs[kind] + text);

describe("what has changed between two strings", () => {
  test.each<[before: string, after: string, lines: string[]]>([
    ["a\nb\nc", "a\nb\nc", [" a", " b", " c"]],
    ["a\nb\nc", "a\nx\nc", [" a", "-b", "+x", " c"]],
    ["a", "a\nb", [" a", "+b"]],
    ["a\nb", "b", ["-a", " b"]],
    ["a\na", "a", [" a", "-a"]],
  ])("%j and %j", (before, after, lines) => {
    expect(shown(before, after)).toEqual(lines);
  });

  test("is enough to make either of the other, whatever they are", () => {
    const line = fc.constantFrom("a", "b", "{", "}", "");
    const text = fc.array(line, { minLength: 1, maxLength: 12 }).map((lines) => lines.join("\n"));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const lines = diffOf(before, after);
        const without = (kind: string) => lines.filter((one) => one.kind !== kind).map((one) => one.text);
        expect(without("added").join("\n")).toBe(before);
        expect(without("removed").join("\n")).toBe(after);
      }),
    );
  });

  test("of large strings that have nothing in common is all of both", () => {
    const lines = (name: string) => Array.from({ length: 1_500 }, (_, index) => `${name}${index}`).join("\n");

    expect(diffOf(lines("a"), lines("b"))).toHaveLength(3_000);
  });
});

describe("a search in a record", () => {
  const record = { id: "o-1", customer: { Email: "Ada@example.com", tags: ["vip", null, 7] } };

  test.each([
    ["ada@", [{ path: "customer.Email", value: "Ada@example.com" }]],
    ["email", [{ path: "customer.Email", value: "Ada@example.com" }]],
    ["tags[2]", [{ path: "customer.tags[2]", value: "7" }]],
    ["null", [{ path: "customer.tags[1]", value: "null" }]],
    ["nothing", []],
  ])("%s", (words, found) => {
    expect(findIn(record, words, 10)).toEqual(found);
  });

  test("ends when enough is found", () => {
    expect(
      findIn(
        Array.from({ length: 100 }, () => "a"),
        "a",
        3,
      ),
    ).toHaveLength(3);
  });

  test("shows what is no JSON as such", () => {
    expect([pretty(undefined), pretty({ a: 1 })]).toEqual(["undefined", '{\n  "a": 1\n}']);
  });
});

describe("the filter of failures", () => {
  const cause = { pattern: "p", firstAt: "", lastAt: "", sample: "s" };
  const causes = [
    { ...cause, cause: "a", fault: "reject", open: 3 },
    { ...cause, cause: "b", fault: "retry", open: 4 },
  ] as const;
  const of = (query: string) => filterIn(new URLSearchParams(query));

  test.each([
    ["", true],
    ["fault=reject&flow=a", true],
    ["view=list", false],
    ["cause=a", false],
    ["key=1", false],
    ["text=x", false],
    ["run=r", false],
    ["status=resolved", false],
    ["key=", true],
  ])("%j: by cause is %j", (query, expected) => {
    expect(isByCause(of(query))).toBe(expected);
  });

  test.each([
    // Without a filter there is no number, and no action for all.
    ["", undefined],
    ["view=list", undefined],
    ["flow=f", 7],
    ["cause=a", 3],
    ["fault=retry", 4],
    ["cause=a&fault=retry", 0],
    ["import=i", 7],
    // What the causes cannot count.
    ["flow=f&since=day", undefined],
    ["cause=a&key=1", undefined],
    ["cause=a&text=x", undefined],
    ["cause=a&run=r", undefined],
    ["cause=a&status=resolved", undefined],
  ])("%j means %j failures", (query, expected) => {
    expect(countOf(causes, of(query))).toBe(expected);
  });

  test.each([
    ["hour", 59, true],
    ["hour", 61, false],
    ["day", 23 * 60, true],
    ["week", 8 * 24 * 60, false],
    [undefined, 9_999_999, true],
    ["for ever", 9_999_999, true],
  ])("since %j lets one through that was stored %i minutes ago: %s", (since, minutes, expected) => {
    const now = Date.UTC(2030, 0, 1);
    expect(isInPeriod({ createdAt: new Date(now - minutes * 60_000).toISOString() }, since, now)).toBe(expected);
  });
});

test("the page says what every code that a failed run can have means", () => {
  const ofCallers =
    /^(invalid_(flow|option|request)|unauthorized|forbidden|not_found|conflict|flow_disabled|busy|executor_failed)$/;
  const [union = ""] = /type ErrorCode =[^;]*;/.exec(readFileSync("src/errors.ts", "utf8")) ?? [];
  const all = [...union.matchAll(/"(\w+)"/g)].map(([, code = ""]) => code);

  expect(Object.keys(codes).sort()).toEqual(all.filter((code) => !ofCallers.test(code)).sort());
});
