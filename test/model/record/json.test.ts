import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { copyJson, formatValue } from "../../../src/model/record/json.ts";

describe("a copy of JSON", () => {
  test.each([
    [null],
    [true],
    [0],
    [-1.5],
    [""],
    ["text"],
    [[]],
    [{}],
    [[1, [2, { three: [4] }]]],
    [{ after: 7, deep: { list: [null, false] } }],
  ])("is equal to %j and reads back the same", (value) => {
    const copy = copyJson(value);

    expect(copy).toStrictEqual(value);
    expect(JSON.parse(JSON.stringify(copy))).toStrictEqual(value);
  });

  test("stays what it was when the original changes", () => {
    const original = { after: 1, pages: [1, 2] };

    const copy = copyJson(original);
    original.after = 2;
    original.pages.push(3);

    expect(copy).toEqual({ after: 1, pages: [1, 2] });
  });

  test("is frozen all the way down", () => {
    const copy = copyJson({ list: [{ deep: 1 }] }) as { list: [{ deep: number }] };

    expect([copy, copy.list, copy.list[0]].map(Object.isFrozen)).toEqual([true, true, true]);
  });

  test("leaves out what is undefined, as JSON does", () => {
    expect(copyJson({ a: 1, b: undefined })).toStrictEqual({ a: 1 });
  });

  test("makes 0 of -0, which JSON cannot tell apart", () => {
    expect(Object.is(copyJson(-0), 0)).toBe(true);
  });

  test("keeps a key named __proto__ as a key", () => {
    const copy = copyJson(JSON.parse('{"__proto__": {"polluted": true}}'));

    expect(JSON.stringify(copy)).toBe('{"__proto__":{"polluted":true}}');
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
  });

  test("takes the same object twice, which is no cycle", () => {
    const shared = { id: 1 };

    expect(copyJson([shared, { shared }])).toEqual([{ id: 1 }, { shared: { id: 1 } }]);
  });

  test("takes an object without a prototype, and one of another realm", () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 });

    expect(copyJson(bare)).toEqual({ a: 1 });
    expect(copyJson(runInNewContext("({ a: { b: [1] } })"))).toEqual({ a: { b: [1] } });
  });
});

describe("what JSON would lose or change is refused by its place:", () => {
  class Cursor {
    readonly after = 1;
  }
  const cycle: { list: unknown[] } = { list: [] };
  cycle.list.push(cycle);
  test.each<[what: string, value: unknown, message: string]>([
    ["nothing at all", undefined, "it is undefined"],
    ["not a number", { a: NaN }, "it.a is NaN"],
    ["infinity", { a: [0, Infinity] }, "it.a.1 is Infinity"],
    ["a big integer", { a: 5n }, "it.a is 5n"],
    ["a function", { a: () => 1 }, "it.a is a function"],
    ["a symbol", [Symbol("s")], "it.0 is Symbol(s)"],
    ["a date", { at: new Date(0) }, "it.at is a Date"],
    ["a map", new Map(), "it is a Map"],
    ["a set", { a: { b: new Set() } }, "it.a.b is a Set"],
    ["bytes", { a: new Uint8Array(1) }, "it.a is a Uint8Array"],
    ["an object of a class", { cursor: new Cursor() }, "it.cursor is a Cursor"],
    ["an undefined item", [1, undefined], "it.1 is undefined"],
    ["a hole", [1, , 3], "it.1 is undefined"],
    ["itself", cycle, "it.list.0 contains itself"],
  ])("%s", (_what, value, message) => {
    expect(() => copyJson(value)).toThrow(new RangeError(message));
  });
});

test("a message shows any value in short, on one line", () => {
  const values = ["a\nb", "x".repeat(81), [1, 2], { one: 1, two: 2 }, () => 1, null, undefined, 5, 5n, Symbol("s")];

  expect(values.map(formatValue)).toEqual([
    '"a\\nb"',
    `"${"x".repeat(80)}…"`,
    "an array of 2",
    "an object (one, two)",
    "a function",
    "null",
    "undefined",
    "5",
    "5n",
    "Symbol(s)",
  ]);
});

test.each([
  ["a Response", new Response("x")],
  ["an AbortController", new AbortController()],
  ["a Set", new Set([1])],
  ["a Uint8Array", new Uint8Array(3)],
  ["a TypeError", new TypeError("secret")],
  ["an object ()", {}],
  ["an object ()", Object.create(null)],
  ["an object (a)", new (class Order { a = 1; })()], // prettier-ignore
])("a message has %s by its class where it shows no fields", (text, value) => {
  expect(formatValue(value)).toBe(text);
});

test("a message shows also what throws when it is looked at, and never half of a character", () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();

  expect(formatValue(revoked.proxy)).toBe("an object");
  expect(formatValue(Promise.resolve())).toBe("a Promise");
  expect(formatValue({ ["k".repeat(1_000)]: 1 })).toBe(`an object (${"k".repeat(40)}…)`);
  expect(formatValue(`${"x".repeat(79)}🚚`)).toBe(`"${"x".repeat(79)}…"`);
});

test("a copy of JSON without an end is refused: so deep, or so large", () => {
  let deep: unknown = 1;
  for (let level = 0; level < 2_000; level++) deep = [deep];
  const level = Array.from({ length: 1_100 }, () => [] as unknown[]);
  const large = Array.from({ length: 1_100 }, () => level);

  expect(() => copyJson(deep)).toThrow("levels deep");
  expect(() => copyJson(large)).toThrow("is one of more than");
});
