import { describe, expect, test } from "vitest";
import { jsonText } from "../../src/http/json-text.ts";
import { projectionOf } from "../../src/http/lists/projection.ts";

describe("JSON of what JSON lacks", () => {
  test.each<[title: string, value: unknown, text: string]>([
    ["a big integer", 2n ** 64n, '"18446744073709551616"'],
    ["bytes", Buffer.from("é"), '"w6k="'],
    ["a buffer", new Uint8Array([1, 2]).buffer, '"AQI="'],
    ["a map and a set", { m: new Map([["a", 1]]), s: new Set([1]) }, '{"m":[["a",1]],"s":[1]}'],
    ["a pattern", [/a+/g], '["/a+/g"]'],
    ["an error", [new RangeError("no")], '[{"name":"RangeError","message":"no"}]'],
    ["nothing", [undefined], "[null]"],
  ])("%s", (_title, value, text) => {
    expect(jsonText(value)).toBe(text);
  });

  test("what contains itself ends, and what comes again beside itself does not", () => {
    const value: Record<string, unknown> = { one: {} };
    value.other = value.one;
    value.self = value;

    expect(jsonText(value)).toBe('{"one":{},"other":{},"self":"[circular]"}');
  });

  test("what is nested without end ends", () => {
    let value: unknown = "deep";
    for (let level = 0; level < 1_010; level++) value = [value];

    expect(jsonText(value)).toContain('"[too deep]"');
  });
});

describe("a projection", () => {
  const document = { a: { b: 1, c: 2 }, at: new Date(0), none: null, n: 1 };

  test("is the document itself if nothing is asked for", () => {
    expect(projectionOf({})(document)).toBe(document);
  });

  test("picks below objects only: a date, null and a number have no fields", () => {
    expect(projectionOf({ include: ["a.b", "at.year", "none.x", "n.x"] })(document)).toEqual({ a: { b: 1 } });
  });

  test("leaves out below objects only", () => {
    expect(projectionOf({ exclude: ["a.b", "at.year", "none.x", "n"] })(document)).toEqual({
      a: { c: 2 },
      at: new Date(0),
      none: null,
    });
  });
});
