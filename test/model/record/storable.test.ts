import { createSecretKey } from "node:crypto";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { copyRecord, storable } from "../../../src/model/record/storable.ts";
import { readValue, storeValue } from "../../../src/storage/record-text.ts";

class ObjectId {
  readonly bytes = Buffer.from("507f1f77bcf86cd799439011", "hex");
}
class LateDate extends Date {}
const throwing = () => {
  throw new Error("hostile");
};

function nested(levels: number, leaf: unknown): unknown {
  let record: unknown = leaf;
  for (let level = 0; level < levels; level++) record = level % 2 === 0 ? { reply: record } : [record];
  return record;
}

const record = () => ({
  id: 1,
  at: new Date(0),
  never: new Date(NaN),
  tags: new Set(["a"]),
  prices: new Map<unknown, unknown>([
    ["EUR", 5n],
    [{ any: 1 }, new Date(1)],
  ]),
  bytes: new Uint8Array([1, 2]),
  floats: new Float64Array([0.5]),
  view: new DataView(new ArrayBuffer(2)),
  buffer: new ArrayBuffer(3),
  file: Buffer.from("hello"),
  lines: [{ sku: "a", note: undefined, none: null }],
  pattern: /a+/g,
  nothing: NaN,
  zero: -0,
});

describe("a record that can be kept", () => {
  test.each<[what: string, make: () => unknown]>([
    ["plain data", () => ({ id: 1, lines: [{ sku: "a", none: null, gone: undefined }] })],
    ["all kinds of values", record],
    ["a Buffer by itself", () => Buffer.from("a")],
    ["a Buffer in a map", () => new Map([["file", Buffer.from("a")]])],
    ["an array with holes", () => [1, , 3]],
    ["an array with a property beside its items", () => Object.assign([1], { index: 0 })],
    ["500 levels", () => nested(500, "leaf")],
    ["a property named __proto__", () => JSON.parse('{"__proto__": {"a": 1}, "b": 2}') as unknown],
    ["a property named constructor", () => ({ constructor: "plain" })],
    ["20,000 values", () => Array.from({ length: 20_000 }, (_, id) => ({ id }))],
    ["a string", () => "text"],
    ["nothing", () => undefined],
  ])("is copied, frozen, and reads back deeply equal, also from a file: %s", (_, make) => {
    const original = make();

    const result = storable(original);

    expect(result).toStrictEqual({ record: make() });
    if (typeof original === "object")
      expect(result).not.toHaveProperty(
        "record",
        expect.toSatisfy((it) => it === original),
      );
    expect(readValue(storeValue("record" in result ? result.record : ""))).toStrictEqual(make());
  });

  test("shares nothing with the original, and cannot be changed", () => {
    const original = record();

    const copy = copyRecord(original);
    original.at.setTime(1);
    original.tags.add("b");
    original.prices.set("USD", 6n);
    original.bytes[0] = 9;
    original.file.write("x");
    Object.assign(original.lines[0] ?? {}, { sku: "b" });

    expect(copy).toStrictEqual(record());
    expect([copy, copy.lines, copy.lines[0]].every(Object.isFrozen)).toBe(true);
  });

  test("keeps a Buffer a Buffer", () => {
    const { file } = copyRecord({ file: Buffer.from("hello") });

    expect(Buffer.isBuffer(file)).toBe(true);
    expect(file.toString("base64")).toBe("aGVsbG8=");
  });

  test("may contain itself, and then its copy does", () => {
    const original: { id: number; self?: unknown; all: unknown[] } = { id: 1, all: [] };
    original.self = original;
    original.all.push(original.all);

    const copy = copyRecord(original);

    expect(copy.self).toBe(copy);
    expect(copy.all[0]).toBe(copy.all);
    expect(copy).not.toBe(original);
  });

  test("is no array without a prototype", () => {
    expect(storable(Object.setPrototypeOf([1], null))).toHaveProperty("problem");
  });

  test("of another realm, or without a prototype, becomes a plain one", () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 });

    expect(storable(runInNewContext("({ a: { b: [1] } })"))).toStrictEqual({ record: { a: { b: [1] } } });
    expect(storable(bare)).toStrictEqual({ record: { a: 1 } });
  });

  test("that names the same part in many places costs what it has parts", () => {
    let part: unknown = { leaf: true };
    for (let level = 0; level < 100; level++) part = [part, part];

    expect(storable(part).problem).toBeUndefined();
  });

  test("may be a proxy, of which what it shows is kept", () => {
    expect(storable({ row: new Proxy({ id: 1 }, {}) })).toStrictEqual({ record: { row: { id: 1 } } });
  });
});

describe("a record that cannot be kept is a problem that names the place:", () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  test.each<[what: string, record: unknown, problem: string]>([
    ["an object of a class", { lines: [{ id: new ObjectId() }] }, "lines.0.id is an ObjectId"],
    ["itself an object of a class", new ObjectId(), "it is an ObjectId"],
    ["a link", { link: new URL("https://example.com/") }, "link is an URL"],
    ["an error", { why: new Error("x") }, "why is an Error"],
    ["a date of a class", { at: new LateDate() }, "at is a LateDate"],
    ["an array of a class", { rows: new (class Rows extends Array {})() }, "rows is a Rows"],
    ["what inherits from data", { row: Object.create({ id: 1 }) as object }, "row is an object of a class"],
    ["a class instance in a map", { all: new Map([["a", new ObjectId()]]) }, "all.0 is an ObjectId"],
    ["a class instance as a map's key", { all: new Map([[new ObjectId(), 1]]) }, "all.key 0 is an ObjectId"],
    ["a class instance in a set", new Set([1, new ObjectId()]), "1 is an ObjectId"],
    ["a function", { run: () => 1 }, "run is a function"],
    ["a function in an array", [() => 1], "0 is a function"],
    ["a symbol", { tag: Symbol("s") }, "tag is a symbol"],
    ["a name that is a symbol", { in: { [Symbol("s")]: 1 } }, "in has a property whose name is a symbol"],
    ["a date with properties", { at: Object.assign(new Date(0), { zone: "UTC" }) }, "at is a Date"],
    ["a Blob", { file: new Blob(["text"]) }, "file is a Blob"],
    ["shared memory", { in: new SharedArrayBuffer(1) }, "in is a SharedArrayBuffer"],
    ["bytes in shared memory", { in: new Uint8Array(new SharedArrayBuffer(1)) }, "in is an Uint8Array"],
    ["a key", [createSecretKey("secret", "utf8")], "0 is a SecretKeyObject"],
    [
      "a getter that throws",
      {
        in: {
          get total() {
            return throwing();
          },
        },
      },
      "in.total cannot be read: hostile",
    ],
    ["a proxy that throws", { in: new Proxy({}, { getPrototypeOf: throwing }) }, "in cannot be read: hostile"],
    ["a proxy that is no more", [revoked.proxy], "0 cannot be read: "],
    ["501 levels", { id: 1, deep: nested(501, "leaf") }, "deep is nested more than 500 levels deep"],
    ["100,000 levels", { id: 1, deep: nested(100_000, "leaf") }, "deep is nested more than 500 levels deep"],
    ["more than 16 MB in one string", { id: 1, body: "x".repeat(16 * 1_024 * 1_024) }, "body is larger than 16 MB"],
    ["100 MB", { body: { text: "x".repeat(100_000_000) } }, "body is larger than 16 MB"],
    ["more than 16 MB of bytes", { file: Buffer.alloc(16 * 1_024 * 1_024 + 1) }, "file is larger than 16 MB"],
    ["an array that is longer than anything", { all: new Array(4_000_000_000) }, "all is larger than 16 MB"],
    ["a number of 20 million digits", { n: 1n << 300_000_000n }, "n is larger than 16 MB"],
    ["a proxy without an end", { in: endless() }, "in is nested more than 500 levels deep"],
    ["a name of megabytes", { ["x".repeat(10_000)]: () => 1 }, `${"x".repeat(200)}… is a function`],
  ])("%s", (_, given, problem) => {
    const result = storable(given);

    expect(result.problem?.slice(0, problem.length)).toBe(problem);
    expect(() => copyRecord(given)).toThrow(RangeError);
  });

  test("the place is also given by itself", () => {
    expect(storable({ lines: [{ id: new ObjectId() }] })).toStrictEqual({
      problem: "lines.0.id is an ObjectId",
      place: "lines.0.id",
    });
  });
});

describe("with a codec", () => {
  const codec = {
    encode: (value: unknown) => ({ id: (value as { id: ObjectId }).id.bytes.toString("hex") }),
    decode: (value: unknown) => value,
  };

  test("what it makes of the record is kept", () => {
    expect(storable({ id: new ObjectId() }, codec)).toStrictEqual({ record: { id: "507f1f77bcf86cd799439011" } });
  });

  test.each<[what: string, encode: () => unknown, problem: string]>([
    ["throws", throwing, "it cannot be encoded: hostile"],
    ["makes no JSON", () => ({ at: new Date(0) }), "it cannot be encoded: the encoded record.at is a Date"],
    ["makes too much", () => "x".repeat(17 * 1_024 * 1_024), "it is larger than 16 MB"],
  ])("one that %s is a problem", (_, encode, problem) => {
    expect(storable({ id: 1 }, { ...codec, encode: encode as () => string }).problem).toBe(problem);
  });
});

test("any data is kept deeply equal, or is a problem; nothing throws, and what is kept a file keeps, too", () => {
  fc.assert(
    fc.property(
      fc.anything({
        withBigInt: true,
        withDate: true,
        withMap: true,
        withSet: true,
        withTypedArray: true,
        withNullPrototype: true,
        withSparseArray: true,
      }),
      (value) => {
        const result = storable(value);

        if (result.problem !== undefined) return;
        expect(result.record).toEqual(value);
        expect(readValue(storeValue(result.record))).toEqual(value);
      },
    ),
    { numRuns: 500 },
  );
});

function endless(): unknown {
  return new Proxy(
    {},
    {
      ownKeys: () => ["next"],
      get: endless,
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    },
  );
}
