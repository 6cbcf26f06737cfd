import { createSecretKey } from "node:crypto";
import { describe, expect, test } from "vitest";
import { copyRecord, freezeRecord } from "../../src/model/copy.ts";

describe("freezing a record", () => {
  test("reaches all it holds, and answers the record itself", () => {
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
});

describe("a copy of a record", () => {
  const record = () => ({
    id: 1,
    at: new Date(0),
    tags: new Set(["a"]),
    prices: new Map([["EUR", 5n]]),
    bytes: new Uint8Array([1, 2]),
    lines: [{ sku: "a", note: undefined, none: null }],
    pattern: /a+/g,
    nothing: NaN,
  });

  test("is deeply equal, dates, maps, sets, bytes and big integers included", () => {
    expect(copyRecord(record())).toStrictEqual(record());
  });

  test("shares nothing with the original", () => {
    const original = record();

    const copy = copyRecord(original);
    original.at.setTime(1);
    original.tags.add("b");
    original.prices.set("USD", 6n);
    original.bytes[0] = 9;
    Object.assign(original.lines[0] ?? {}, { sku: "b" });

    expect(copy).toStrictEqual(record());
  });

  test("is frozen", () => {
    const copy = copyRecord({ lines: [{ sku: "a" }] });

    expect([copy, copy.lines, copy.lines[0]].every(Object.isFrozen)).toBe(true);
  });

  test("of plain data shares nothing either, and keeps what it holds", () => {
    const original = { id: 1, lines: [{ sku: "a", none: null, gone: undefined }] };

    const copy = copyRecord(original);
    Object.assign(original.lines[0] ?? {}, { sku: "b" });

    expect(copy).toStrictEqual({ id: 1, lines: [{ sku: "a", none: null, gone: undefined }] });
  });

  test("keeps a record that contains itself one", () => {
    const original: { id: number; self?: unknown } = { id: 1 };
    original.self = original;

    const copy = copyRecord(original);

    expect(copy.self).toBe(copy);
    expect(copy).not.toBe(original);
  });

  test.each([["text"], [5], [null], [undefined]])("of %j is itself", (value) => {
    expect(copyRecord(value)).toBe(value);
  });

  test.each([
    ["itself", () => 1],
    ["in a field", { run: () => 1 }],
    ["in an array", [() => 1]],
  ])("is refused for a function %s", (_where, value) => {
    expect(() => copyRecord(value)).toThrow(expect.objectContaining({ name: "DataCloneError" }));
  });

  test.each<[what: string, make: () => unknown]>([
    ["a Blob", () => new Blob(["text"])],
    ["shared memory", () => new SharedArrayBuffer(1)],
    ["bytes in shared memory", () => new Uint8Array(new SharedArrayBuffer(1))],
    ["a key", () => createSecretKey("secret", "utf8")],
  ])("is refused for %s, which no storage can keep, wherever it is", (_what, make) => {
    for (const record of [make(), { in: make() }, [make()], new Map([["in", make()]]), new Set([make()])])
      expect(() => copyRecord(record)).toThrow(expect.objectContaining({ name: "DataCloneError" }));
  });
});
