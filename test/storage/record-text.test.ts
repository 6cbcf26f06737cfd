import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readValue, storeValue } from "../../src/storage/record-text.ts";

const kept = (value: unknown) => readValue(storeValue(value));
const isText = (value: unknown) => storeValue(value).text !== null;

/** Anything that can be copied; what depends on how Node prints it is left out. */
const anything = fc.anything({
  maxDepth: 5,
  withBigInt: true,
  withBoxedValues: true,
  // Node's own comparison tells two invalid dates in a Map apart, so dates are valid ones.
  values: [
    ...[fc.boolean(), fc.integer(), fc.double(), fc.string({ unit: "binary" })],
    ...[fc.constant(null), fc.constant(undefined), fc.date({ noInvalidDate: true })],
  ],
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  stringUnit: "binary",
});

/** Strings that are difficult for columns, and keys that are difficult for objects. */
const oddText = fc.constantFrom("", "\u0000", "\ud800", "\udc00x", "\u2028", "__proto__", "toJSON", "constructor", "0");
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -1.5, 1e300, 5e-324, Number.MAX_SAFE_INTEGER),
    oddText,
    fc.string({ unit: "binary" }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(fc.oneof(oddText, fc.string()), tie("value")), { maxLength: 4 }).map(Object.fromEntries),
  ),
})).value;

/** Has `proto` as a property of its own. */
const withProto = JSON.parse('{"__proto__": {"admin": true}, "id": 1}') as unknown;

function assertFrozen(value: unknown): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  assert.ok(Object.isFrozen(value));
  for (const part of Object.values(value)) assertFrozen(part);
}

describe("whatever is taken", () => {
  test("reads back deeply equal, as a structured clone would, and frozen", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const read = kept(value);

        assert.deepStrictEqual(read, structuredClone(value));
        assertFrozen(read);
      }),
      { numRuns: 2_000 },
    );
  });

  test("is either text or bytes, and text is JSON that any tool reads and any column takes", () => {
    fc.assert(
      fc.property(fc.oneof(anything, json), (value) => {
        const { text, bytes } = storeValue(value);

        assert.equal(text === null, bytes !== null);
        if (text === null) return;
        assert.deepStrictEqual(JSON.parse(text), structuredClone(value));
        assert.equal(Buffer.from(text).toString(), text, "half a surrogate pair");
        assert.ok(!text.includes("\u0000"));
      }),
      { numRuns: 2_000 },
    );
  });

  test("is text if it is plain JSON, whatever its strings and keys are, but for __proto__", () => {
    fc.assert(
      fc.property(json, (value) => {
        const written = JSON.stringify(value);

        expect(isText(value)).toBe(!/"(__proto__|toJSON)":/.test(written));
        assert.deepStrictEqual(kept(value), JSON.parse(written));
      }),
      { numRuns: 2_000 },
    );
  });

  test("stays what it was when its owner changes it afterwards", () => {
    const records = [{ id: 1, at: new Date(0), bytes: new Uint8Array([1]) }, { id: 2 }];
    const stored = [storeValue(records), storeValue(records[1])] as const;
    const before = structuredClone(records);

    records[0]?.bytes?.fill(9);
    records[0]?.at?.setTime(9);
    for (const record of records) record.id = 9;

    assert.deepStrictEqual(readValue(stored[0]), before);
    assert.deepStrictEqual(readValue(stored[1]), before[1]);
  });
});

class Money {
  readonly amount: bigint;
  constructor(amount: bigint) {
    this.amount = amount;
  }
  get doubled() {
    return this.amount * 2n;
  }
}
class Point {
  readonly x = 1;
}
class Celsius {
  readonly degrees = 20;
  toJSON() {
    return `${this.degrees} °C`;
  }
}
const beside = Object.assign([1, 2], { total: 3 });
const cycle: { self?: unknown; list: unknown[] } = { list: [] };
cycle.self = cycle;
cycle.list.push(cycle, cycle.list);

describe("what JSON would change", () => {
  const holes = [1, , 3];
  const cases: Readonly<Record<string, readonly [given: unknown, read: unknown]>> = {
    "-0": [-0, -0],
    "-0 within": [{ a: [-0] }, { a: [-0] }],
    NaN: [{ a: NaN }, { a: NaN }],
    Infinity: [
      [Infinity, -Infinity],
      [Infinity, -Infinity],
    ],
    undefined: [undefined, undefined],
    "a property that is undefined": [{ a: undefined }, { a: undefined }],
    "an item that is undefined": [[undefined], [undefined]],
    "an array with holes": [holes, holes],
    "an array with a property": [beside, beside],
    "an array of holes only": [new Array(3), new Array(3)],
    "a key __proto__": [withProto, withProto],
    "a key __proto__ within": [[{ a: withProto }], [{ a: withProto }]],
    "a Date": [{ at: new Date(7) }, { at: new Date(7) }],
    "an object of a class that speaks for itself in JSON": [new Celsius(), { degrees: 20 }],
    "a key toJSON": [{ toJSON: 1 }, { toJSON: 1 }],
    "an object of a class": [{ price: new Money(3n) }, { price: { amount: 3n } }],
    "an object of a class, of plain values": [[new Point()], [{ x: 1 }]],
    "an object without a prototype": [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    "a Map": [
      new Map<unknown, unknown>([
        ["a", { b: 1n }],
        [{}, new Set([1])],
      ]),
      new Map<unknown, unknown>([
        ["a", { b: 1n }],
        [{}, new Set([1])],
      ]),
    ],
    "a big integer": [{ n: 2n ** 80n }, { n: 2n ** 80n }],
    "a Uint8Array": [new Uint8Array([0, 255]), new Uint8Array([0, 255])],
    "a part of a larger Uint8Array": [new Uint8Array([1, 2, 3, 4]).subarray(1, 3), new Uint8Array([2, 3])],
    "a Buffer": [{ body: Buffer.from("é") }, { body: Buffer.from("é") }],
    "an ArrayBuffer": [new Uint8Array([7]).buffer, new Uint8Array([7]).buffer],
    "a Float64Array": [
      ["odd", new Float64Array([-0, NaN])],
      ["odd", new Float64Array([-0, NaN])],
    ],
    "a regular expression": [/a/giu, /a/giu],
    "a value that contains itself": [cycle, cycle],
  };

  test.each(Object.entries(cases))("%s is kept", (_, [given, read]) => {
    expect(isText(given)).toBe(false);
    assert.deepStrictEqual(kept(given), read);
  });

  test("a Date that is none stays one", () => {
    expect(kept(new Date(NaN))).toEqual(new Date(NaN));
  });

  test("bytes are Uint8Arrays, and a Buffer stays one", () => {
    expect(Buffer.isBuffer(kept(new Uint8Array(1)))).toBe(false);
    expect(Buffer.isBuffer(kept(Buffer.alloc(1)))).toBe(true);
  });

  test("a value from another realm is plain data all the same", async () => {
    const { runInNewContext } = await import("node:vm");
    const foreign = runInNewContext("[{ id: 1, tags: ['a'] }]") as unknown;

    expect(isText(foreign)).toBe(true);
    assert.deepStrictEqual(kept(foreign), [{ id: 1, tags: ["a"] }]);
  });
});

test.each([
  ["a function", () => 1],
  ["a method of its own", { id: 1, toJSON: () => 1 }],
  ["a function within", [{ id: 1, tags: new Set([() => 1]) }]],
  ["a symbol", { id: Symbol("id") }],
  ["a promise", { later: Promise.resolve() }],
  ["a weak map", [new WeakMap<object>()]],
])("%s is refused", (_, value) => {
  expect(() => storeValue(value)).toThrow(/could not be cloned/);
});

describe("nesting", () => {
  const wraps: Readonly<Record<string, (value: unknown) => unknown>> = {
    arrays: (value) => [value],
    objects: (value) => ({ value }),
    maps: (value) => new Map([[1, value]]),
    "keys of maps": (value) => new Map([[value, 1]]),
    sets: (value) => new Set([value]),
  };
  const nested = (wrap: (value: unknown) => unknown, levels: number) => {
    let value: unknown = "within";
    for (let level = 0; level < levels; level++) value = wrap(value);
    return value;
  };

  // As deep as `levels`, without a call for each level, as a comparison would make.
  function levelsOf(value: unknown): number {
    let levels = 0;
    for (let at = value; typeof at === "object" && at !== null; levels++)
      at =
        at instanceof Map
          ? [...at].flat().find((part) => part !== 1)
          : at instanceof Set
            ? [...at][0]
            : Object.values(at)[0];
    return levels;
  }

  test.each(Object.entries(wraps))("of %s, 1,000 levels deep, reads back", (_, wrap) => {
    for (const levels of [1, 63, 64, 65, 66, 200, 1_000]) expect(levelsOf(kept(nested(wrap, levels)))).toBe(levels);
  });

  // V8 writes more levels than it reads, so what is refused here would have been kept for good, and never read.
  test.each(Object.entries(wraps))("of %s is refused from 1,001 levels on", (_, wrap) => {
    for (const levels of [1_001, 2_000, 3_000, 20_000])
      expect(() => storeValue(nested(wrap, levels))).toThrow("nested more than 1000 levels deep");
  });

  test("a chain as long as that, with a way back to its beginning, is refused, and a wide one is not", () => {
    const first: { next?: unknown; all?: unknown } = {};
    let last = first;
    for (let count = 1; count < 1_001; count++) last.next = last = { all: first };
    const many = Array.from({ length: 20_000 }, () => ({ at: new Date(0), first: cycle }));

    expect(() => storeValue(first)).toThrow("nested more than 1000 levels deep");
    expect(kept(many)).toHaveLength(20_000);
  });
});
