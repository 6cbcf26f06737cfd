import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import {
  copyForImport,
  copyLeaf,
  freezeAndSearch,
  freezeRecord,
  freezeRecords,
  holdsMutable,
} from "../../../src/model/record/copy.ts";

const throwing = () => {
  throw new Error("hostile");
};

function nested(levels: number, leaf: unknown): Record<string, unknown> {
  let record: Record<string, unknown> = { leaf };
  for (let level = 0; level < levels; level++) record = { reply: record };
  return record;
}

describe("freezing a record", () => {
  test("reaches all it holds, and returns the record itself", () => {
    const record = { lines: [{ sku: { id: 1 } }], at: new Date(0) };

    const frozen = freezeRecord(record);

    expect(frozen).toBe(record);
    expect([record, record.lines, record.lines[0], record.lines[0]?.sku, record.at].every(Object.isFrozen)).toBe(true);
  });

  test("ends for a record that contains itself", () => {
    const record: { self?: unknown } = {};
    record.self = record;

    expect(Object.isFrozen(freezeRecord(record))).toBe(true);
  });

  test("reaches the last of 100,000 levels", () => {
    const leaf = { id: 1 };

    freezeRecord(nested(100_000, leaf));

    expect(Object.isFrozen(leaf)).toBe(true);
  });

  test.each([["text"], [5], [null], [undefined], [true]])("leaves %j as it is", (value) => {
    expect(freezeRecord(value)).toBe(value);
  });

  test("leaves bytes as they are, wherever they stand", () => {
    const record = { bytes: new Uint8Array([1]) };

    freezeRecord(record);
    record.bytes[0] = 2;

    expect([Object.isFrozen(record), record.bytes[0]]).toEqual([true, 2]);
    expect(() => freezeRecord(new Uint8Array([1]))).not.toThrow();
  });

  test.each([
    ["a getter that throws", Object.defineProperty({ id: 1 }, "total", { get: throwing, enumerable: true })],
    [
      "a proxy that refuses everything",
      new Proxy({}, { get: throwing, preventExtensions: throwing, ownKeys: throwing }),
    ],
  ])("survives %s", (_, record) => {
    expect(freezeRecord(record)).toBe(record);
  });
});

describe("the records of a page", () => {
  const frozenDate = Object.freeze({ at: new Date(0) });

  test.each<[what: string, record: unknown, mutable: boolean]>([
    ["plain data", { id: 1, lines: [{ sku: "a", none: null }] }, false],
    ["a date", { at: new Date(0) }, true],
    ["a date deep inside", nested(300, new Date(0)), true],
    ["a map", { in: [new Map()] }, true],
    ["a set", new Set(), true],
    ["bytes", { bytes: Buffer.from("a") }, true],
    ["a buffer of an array", { bytes: new ArrayBuffer(1) }, true],
    ["a date of another realm", runInNewContext("({ at: new Date() })"), true],
    ["plain data of another realm", runInNewContext("({ at: [1, { b: 2 }] })"), false],
    ["a getter that throws", Object.defineProperty({}, "at", { get: throwing, enumerable: true }), true],
  ])("are known to contain what cannot be frozen: %s", (_, record, mutable) => {
    expect(freezeRecords([{ id: 0 }, record, 5, null], { freeze: true }).mutable).toBe(mutable);
  });

  test("are searched although they are frozen only if several imports share them", () => {
    expect(freezeRecords([frozenDate], { freeze: true }).mutable).toBe(false);
    expect(freezeRecords([frozenDate], { freeze: true, shared: true }).mutable).toBe(true);
    expect(freezeRecords([{ in: frozenDate }], { freeze: true, shared: true }).mutable).toBe(true);
  });

  test("stand in an array that nobody can change, whether they are frozen themselves or not", () => {
    for (const freeze of [true, false]) {
      const given = [{ id: 1 }];

      const { records } = freezeRecords(given, { freeze });

      expect(records).not.toBe(given);
      expect([Object.isFrozen(records), Object.isFrozen(given), Object.isFrozen(given[0])]).toEqual([
        true,
        false,
        freeze,
      ]);
    }
  });
});

test("a frozen record that contains itself over and over is searched in linear time", () => {
  const record: Record<string, unknown> = {};
  for (const name of ["a", "b", "c"]) record[name] = record;

  expect(holdsMutable(Object.freeze(record))).toBe(true);
  expect(holdsMutable(Object.freeze([{ id: 1 }]))).toBe(false);
});

describe("a copy for one import", () => {
  const record = () => ({
    id: 1,
    at: new Date(0),
    tags: new Set(["a", new Date(1)]),
    prices: new Map([[{ EUR: 1 }, new Date(2)]]),
    bytes: new Uint8Array([1, 2]),
    file: Buffer.from("hello"),
    view: new DataView(new ArrayBuffer(2)),
    lines: [{ sku: "a", note: undefined, none: null }],
  });

  test("is deeply equal, and a Buffer is still one", () => {
    const copy = copyForImport(record()) as ReturnType<typeof record>;

    expect(copy).toStrictEqual(record());
    expect(Buffer.isBuffer(copy.file)).toBe(true);
  });

  test("has all of its own that could be changed, and the rest frozen", () => {
    const original = record();

    const copy = copyForImport(original) as ReturnType<typeof record>;
    copy.at.setTime(9);
    copy.tags.clear();
    copy.prices.clear();
    copy.bytes[0] = 9;
    copy.file.write("x");
    copy.view.setInt8(0, 9);

    expect(original).toStrictEqual(record());
    expect([copy, copy.lines, copy.lines[0]].every(Object.isFrozen)).toBe(true);
  });

  test("shares objects of classes, which are more than their properties", () => {
    class ObjectId {
      readonly bytes = Buffer.from("a");
    }
    const original = { id: new ObjectId(), link: new URL("https://example.com/") };

    const copy = copyForImport(original) as typeof original;

    expect([copy.id, copy.link]).toEqual([original.id, original.link]);
    expect(copy.id).toBe(original.id);
    expect(copy.link).toBe(original.link);
  });

  test("of a record that contains itself does so, too", () => {
    const original: { at: Date; self?: unknown } = { at: new Date(0) };
    original.self = original;

    const copy = copyForImport(original) as typeof original;

    expect(copy.self).toBe(copy);
    expect(copy.at).not.toBe(original.at);
  });

  test("of what cannot be copied is the record itself", () => {
    const hostile = Object.defineProperty({}, "at", { get: throwing, enumerable: true });

    expect(copyForImport(hostile)).toBe(hostile);
    expect(copyForImport(5)).toBe(5);
    expect(() => copyForImport(nested(100_000, new Date(0)))).not.toThrow();
  });

  test("keeps a property named __proto__ a property", () => {
    const copy = copyForImport(JSON.parse('{"__proto__": {"polluted": true}}')) as object;

    expect(Object.keys(copy)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
  });
});

describe("a copy of what has no parts", () => {
  const withoutClass = (value: object) => Object.setPrototypeOf(value, null) as object;

  test.each([
    new Date(7),
    /a+/g,
    new Uint8Array([1, 2]).buffer,
    Buffer.from("ab"),
    new Uint16Array([1, 2]),
    new DataView(new ArrayBuffer(2)),
  ])("is equal to %o, and another one", (value) => {
    const copy = copyLeaf(value);

    expect(copy).toStrictEqual(value);
    expect(copy).not.toBe(value);
  });

  class Times extends Date {}
  class Bytes extends Uint8Array {}
  class Pattern extends RegExp {}
  test.each<[title: string, value: object]>([
    ["a date of a class of the host's", new Times()],
    ["bytes of one", new Bytes(2)],
    ["a pattern of one", new Pattern("a")],
    [
      "a Buffer of one",
      Object.setPrototypeOf(Buffer.from("a"), Object.create(Buffer.prototype as object) as object) as object,
    ],
    ["a buffer without a class", withoutClass(new ArrayBuffer(1))],
    ["a Buffer without a class", withoutClass(Buffer.from("a"))],
    ["memory that is shared", new Uint8Array(new SharedArrayBuffer(2))],
    ["a plain object", {}],
  ])("is not made of %s", (_title, value) => {
    expect(copyLeaf(value)).toBeUndefined();
  });
});

describe("far below the levels that are frozen one call each", () => {
  test.each<[title: string, leaf: unknown, thorough: boolean, mutable: boolean]>([
    ["bytes can be changed", new Uint8Array(1), false, true],
    ["what was frozen before may contain anything, where that matters", Object.freeze({}), true, true],
    ["and does not count where it does not", Object.freeze({}), false, false],
    ["plain objects are frozen", { a: { b: 1 } }, true, false],
  ])("%s", (_title, leaf, thorough, mutable) => {
    const record = nested(3_000, leaf);

    expect(freezeAndSearch(record, thorough)).toBe(mutable);
    expect(Object.isFrozen(record.reply)).toBe(true);
  });
});
