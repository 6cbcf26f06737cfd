import { describe, expect, test } from "vitest";
import { readPage } from "../../../src/model/host/page.ts";

describe("a page that an export gives", () => {
  test("may be a plain array, which has no checkpoint", () => {
    expect(readPage([1, 2], true)).toStrictEqual({ records: [1, 2], mutable: false });
  });

  test("keeps its checkpoint and its total", () => {
    const page = readPage({ records: ["a"], checkpoint: { after: 1 }, total: 9 }, true);

    expect(page).toStrictEqual({ records: ["a"], mutable: false, checkpoint: { after: 1 }, total: 9 });
  });

  test("may be empty, and may have null as its checkpoint", () => {
    expect(readPage({ records: [], checkpoint: null }, true)).toStrictEqual({
      records: [],
      mutable: false,
      checkpoint: null,
    });
  });

  test.each([true, false])("is not affected when its export goes on using its own (frozen: %s)", (freeze) => {
    const records = [1, 2];
    const checkpoint = { after: 2 };

    const page = readPage({ records, checkpoint }, freeze);
    records.push(3);
    checkpoint.after = 3;

    expect(page).toEqual({ records: [1, 2], mutable: false, checkpoint: { after: 2 } });
  });

  test("has frozen records if that is asked for", () => {
    const page = readPage([{ lines: [{ sku: "a" }] }], true);

    const [record] = page.records as [{ lines: [{ sku: string }] }];
    expect([page.records, record, record.lines, record.lines[0]].every(Object.isFrozen)).toBe(true);
  });

  test("has records as they came if not", () => {
    const record = { id: 1 };

    const page = readPage([record], false);

    expect(page.records[0]).toBe(record);
    expect(Object.isFrozen(record)).toBe(false);
  });

  test.each<[what: string, value: unknown, message: string]>([
    ["nothing", undefined, "expected a page or an array, found undefined"],
    ["null", null, "expected a page or an array, found null"],
    ["a string", "page", 'expected a page or an array, found "page"'],
    ["an object without records", {}, "expected page.records to be an array, found undefined"],
    [
      "an object with a field that pages do not have",
      { records: [], checkpiont: 1 },
      'a page has no field "checkpiont"; did you mean "checkpoint"?',
    ],
    ["an object with a field of its own", { records: [], nextToken: undefined }, 'a page has no field "nextToken"'],
    ["records that are no array", { records: "abc" }, 'expected page.records to be an array, found "abc"'],
    ["a total of another type", { records: [], total: "9" }, 'expected page.total to be a number, found "9"'],
    [
      "a checkpoint that is no JSON",
      { records: [], checkpoint: { at: new Date(0) } },
      "expected page.checkpoint to be JSON, but page.checkpoint.at is a Date",
    ],
  ])("is none if it is %s", (_what, value, message) => {
    expect(() => readPage(value, true)).toThrow(new RangeError(message));
  });
});
