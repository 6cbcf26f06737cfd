import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type IntegerReading, parseJson } from "../../../src/model/record/json-integers.ts";

const readings: readonly IntegerReading[] = ["refuse", "string", "bigint"];
const read = (text: string, integers: IntegerReading) => {
  const result = parseJson(text, integers);
  return result.unread === undefined ? { value: result.value } : { places: result.unread.map(({ place }) => place) };
};

describe("an integer that JavaScript does not represent", () => {
  test.each<[string, string]>([
    ["7615917337495251231", "7615917337495251231"],
    ["-7615917337495251231", "-7615917337495251231"],
    ["9007199254740993", "9007199254740993"],
    ["-9007199254740993", "-9007199254740993"],
    ["18446744073709551616", "18446744073709551616"],
    ["7615917337495251231.0", "7615917337495251231"],
    ["7615917337495251231e0", "7615917337495251231"],
    ["7.615917337495251231E+18", "7615917337495251231"],
    ["76159173374952512310e-1", "7615917337495251231"],
    ["-0.7615917337495251231e19", "-7615917337495251231"],
    ["7.615917337495251231e20", "761591733749525123100"],
    ["9".repeat(1_000), "9".repeat(1_000)],
  ])("%s is refused, or read with all its digits", (text, digits) => {
    expect(read(text, "refuse")).toEqual({ places: [""] });
    expect(read(text, "string")).toEqual({ value: digits });
    expect(read(text, "bigint")).toEqual({ value: BigInt(digits) });
  });

  test.each<[string, string]>([
    ["in a field", '{"id":#}'],
    ["in an array", "[1,#,2]"],
    ["deep down", '{"a":[{"b":[[#]]}],"c":1}'],
    ["before a space", '{ "id" : # }'],
    ["after a string with escapes", '{"a\\\\":"\\\\\\"","id":#}'],
    ["after a string that looks like the rest", '["\\",7615917337495251231,\\"",#]'],
    ["in a field named __proto__", '{"__proto__":{"__proto__":#}}'],
    ["after a name without a character", '{"":#}'],
  ])("%s: the place is named, and nothing else is changed", (_where, template) => {
    const text = template.replace("#", "7615917337495251231");
    const expected: unknown = JSON.parse(template.replace("#", '"digits"'));
    const names = placeOf(expected);

    expect(read(text, "refuse")).toEqual({ places: [names.join(".")] });
    expect(read(text, "string")).toEqual({
      value: JSON.parse(template.replace("#", '"7615917337495251231"')) as unknown,
    });
    expect(valueAt((read(text, "bigint") as { value: unknown }).value, names)).toBe(7_615_917_337_495_251_231n);
  });

  test.each(["9007199254740992", "-9007199254740992", "7615917337495251000", "100000000000000000000"])(
    "and one that happens to keep its digits are read alike, though it is not refused: %s",
    (text) => {
      expect(read(text, "refuse")).toEqual({ value: Number(text) });
      expect(read(text, "string")).toEqual({ value: text });
      expect(read(text, "bigint")).toEqual({ value: BigInt(text) });
    },
  );

  test.each(["1e400", "-1e400", "1.5e309", `1e${"9".repeat(1_000)}`, "9".repeat(1_001), `[${"9".repeat(1_001)}]`])(
    "that would become infinite, or is too long, is refused however integers are read: %.20s",
    (text) => {
      for (const integers of readings) expect(read(text, integers)).toHaveProperty("places");
    },
  );

  test("that cannot be read does not hide that others can: only it is named", () => {
    expect(read('{"a":7615917337495251231,"b":1e400}', "bigint")).toEqual({ places: ["b"] });
    expect(read('{"a":7615917337495251231,"b":1e400}', "string")).toEqual({ places: ["b"] });
  });

  test("among more than a hundred is counted, and a hundred are named", () => {
    const result = parseJson(`[${Array<string>(250).fill("7615917337495251231").join()}]`, "refuse");

    expect(result).toMatchObject({ count: 250 });
    expect(result.unread).toHaveLength(100);
    expect(result.unread?.at(-1)).toEqual({ place: "99", text: "7615917337495251231" });
  });

  test("is refused also where a later value of the same name replaces it", () => {
    expect(parseJson('{"a":7615917337495251231,"a":1}', "refuse")).toEqual({
      unread: [{ place: "", text: "7615917337495251231" }],
      count: 1,
    });
  });
});

describe("JSON of more than a thousand levels", () => {
  const arrays = (levels: number, within = "") => `${"[".repeat(levels)}${within}${"]".repeat(levels)}`;
  const objects = (levels: number, within = "0") => `${'{"a":'.repeat(levels)}${within}${"}".repeat(levels)}`;

  test("is refused as too deep, however it is nested and whatever is in it", () => {
    for (const integers of readings)
      for (const nested of [arrays, objects])
        for (const within of ["0", "7615917337495251231"]) {
          expect(() => parseJson(nested(1_001, within), integers)).toThrow("nested more than 1000 levels deep");
          expect(() => parseJson(nested(1_000_000, within), integers)).toThrow("nested more than 1000 levels deep");
          expect(() => parseJson(nested(1_000, within), integers)).not.toThrow();
        }
    expect(() => parseJson(`[${`${arrays(500)},`.repeat(10)}${objects(998, '{"[":[]}')}]`, "refuse")).toThrow(
      RangeError,
    );
  });

  test("is not what has brackets in strings, or many values of few levels", () => {
    const brackets = JSON.stringify("[".repeat(5_000));

    for (const text of [
      brackets,
      `{${brackets}:[${JSON.stringify('"[[')},${brackets}]}`,
      `[${"[[]],{},".repeat(5_000)}0]`,
    ])
      expect(read(text, "refuse")).toStrictEqual({ value: JSON.parse(text) as unknown });
  });

  test.each([`"`, `"\\"`, `"\\`, "]", "]]]"])("is not what is no JSON: %s", (end) => {
    expect(() => parseJson("[1],".repeat(1_000) + end, "refuse")).toThrow(SyntaxError);
  });
});

describe("everything else is read as JSON.parse reads it", () => {
  test.each([
    ...["0", "-0", "-0.0", "0e400", "1e22", "1e23", "1e308", "5e-324", "1e-400", "123456789012345e99"],
    ...["9007199254740991", "-9007199254740991", "9007199254740991.0", "900719925474099100e-2", "1.50e1"],
    ...["0.12345678901234567890123", "3.14159265358979323846", "1234567890123456.5", "100000000000000000000e-5"],
    ...['"7615917337495251231"', '"1e400"', '{"7615917337495251231":1}', '"\\"7615917337495251231"', '"\\\\"'],
    ...["true", "null", '["false","1e400",null]', '{"a":1,"a":2}', '{"__proto__":{"x":1}}'],
  ])("%s", (text) => {
    for (const integers of readings) expect(read(text, integers)).toStrictEqual({ value: JSON.parse(text) as unknown });
  });

  test.each(["", "{", "01", "7615917337495251231,", '{"a":7615917337495251231', "[1e400", "+1", "1e", "'a'"])(
    "no JSON: %s",
    (text) => {
      for (const integers of readings) expect(() => parseJson(text, integers)).toThrow(SyntaxError);
    },
  );

  test("of any shape, with integers of any size in it", () => {
    const anything = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom(null, true, false),
        fc.string({ unit: "grapheme" }),
        fc.constantFrom('"', "\\", '\\"7615917337495251231', "e999", "7615917337495251231"),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
        fc.array(tie("value"), { maxLength: 5 }),
        fc.dictionary(fc.string(), tie("value"), { maxKeys: 5 }),
      ),
    })).value;

    fc.assert(
      fc.property(anything, (value) => {
        const safe = (integer: bigint) =>
          BigInt.asIntN(54, integer) === integer && Number.isSafeInteger(Number(integer));
        expect(read(written(value), "bigint")).toEqual({
          value: mapped(value, (integer) => (safe(integer) ? Number(integer) : integer)),
        });
        expect(read(written(value), "string")).toEqual({
          value: mapped(value, (integer) => (safe(integer) ? Number(integer) : String(integer))),
        });
      }),
      { numRuns: 500 },
    );
  });
});

test("takes time in proportion to the text, whatever is in it", () => {
  const size = 2 ** 20;
  const samples: Readonly<Record<string, (length: number) => string>> = {
    digits: (length) => "7".repeat(length),
    zeros: (length) => `1${"0".repeat(length)}1.0`,
    fraction: (length) => `0.${"0".repeat(length)}1e999`,
    backslashes: (length) => `["${"\\\\".repeat(length / 2)}",7615917337495251231]`,
    quotes: (length) => `["${'\\"'.repeat(length / 2)}",7615917337495251231]`,
    integers: (length) => `[${"7615917337495251231,".repeat(length / 20)}1]`,
    "short numbers": (length) => `[${"123456789012345,".repeat(length / 16)}1e400]`,
    exponents: (length) => `[${"1e400,".repeat(length / 6)}1]`,
    names: (length) => `{${'"a":1e400,'.repeat(length / 10)}"a":1}`,
  };
  for (const [name, make] of Object.entries(samples)) {
    const seconds = (length: number) => {
      const text = make(length);
      const start = process.cpuUsage();
      for (const integers of readings) parseJson(text, integers);
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1e6;
    };
    seconds(size / 8);
    // Quadratic, it would take minutes.
    expect(seconds(size), name).toBeLessThan(10);
  }
});

function placeOf(value: unknown): string[] {
  for (const [name, part] of Object.entries(value as object)) {
    if (part === "digits") return [name];
    const below = typeof part === "object" && part !== null ? placeOf(part) : [];
    if (below.length > 0) return [name, ...below];
  }
  return [];
}

function valueAt(value: unknown, names: readonly string[]): unknown {
  return names.reduce<unknown>((at, name) => Object.getOwnPropertyDescriptor(at, name)?.value, value);
}

function written(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(written).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, part]) => `${JSON.stringify(name)}: ${written(part)}`)
    .join()}}`;
}

function mapped(value: unknown, replace: (integer: bigint) => unknown): unknown {
  if (typeof value === "bigint") return replace(value);
  if (typeof value === "number" && /^-?\d{16,}$/.test(String(value))) return replace(BigInt(String(value)));
  // As it is after it was written as JSON.
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map((part) => mapped(part, replace));
  if (typeof value !== "object" || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, part] of Object.entries(value))
    Object.defineProperty(copy, name, {
      value: mapped(part, replace),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  return copy;
}
