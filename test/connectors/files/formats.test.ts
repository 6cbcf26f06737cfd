import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { csv } from "../../../src/connectors/files/formats/csv-format.ts";
import { type Format, FoundRecords } from "../../../src/connectors/files/format.ts";
import { jsonArray } from "../../../src/connectors/files/formats/json-format.ts";
import { ndjson } from "../../../src/connectors/files/formats/ndjson-format.ts";

const maxRecordBytes = 2 ** 20;

/** Where the bytes are cut into chunks: after each of these, modulo what is left. */
function cutInto(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, nth = 0; at < bytes.length; nth++) {
    const size = cuts.length === 0 ? bytes.length : 1 + (cuts[nth % cuts.length] ?? 0);
    // A chunk of its own, which nobody else keeps.
    chunks.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return chunks;
}

function read<T>(format: Format<T>, content: string | Buffer, cuts: readonly number[] = [], max = maxRecordBytes) {
  const found = new FoundRecords<T>();
  const reader = format.reader({ maxRecordBytes: max });
  for (const chunk of cutInto(Buffer.from(content), cuts)) reader.push(chunk, found);
  reader.end(found);
  return found;
}

/** What is read from the end of record `after` on, as a run that resumes there does. */
function readFrom<T>(
  format: Format<T>,
  content: Buffer,
  whole: FoundRecords<T>,
  after: number,
  cuts: readonly number[],
) {
  const found = new FoundRecords<T>();
  const reader = format.reader({ maxRecordBytes });
  const unused = new FoundRecords<T>();
  for (const chunk of cutInto(content, cuts)) {
    if (reader.isReady) break;
    reader.push(chunk, unused);
  }
  const [byte = 0, line = 0] = [whole.ends[after], whole.lines[after]];
  reader.skipTo({ byte, line });
  for (const chunk of cutInto(content.subarray(byte), cuts)) reader.push(chunk, found);
  reader.end(found);
  return found;
}

const cuts = fc.array(fc.nat(12), { minLength: 1, maxLength: 8 });
const problems = <T>(found: FoundRecords<T>) =>
  [...found.unreadable].map(([place, { message }]) => [found.records[place], message]);

describe("a CSV file", () => {
  const field = fc.oneof(
    fc.constantFrom("", "a", "ü", "😀", '"', "\n", "\r\n", ",", ";", " ", "x\ry", '"\n', 'a"",\n"'),
    fc.string({ maxLength: 6 }),
    fc.string({ unit: "grapheme", maxLength: 4 }),
  );
  const files = fc.record({
    rows: fc.array(fc.tuple(field, field, field), { maxLength: 8 }),
    quoteAll: fc.boolean(),
    lineEnd: fc.constantFrom("\n", "\r\n"),
    endsWithLineEnd: fc.boolean(),
    mark: fc.boolean(),
    cuts,
  });
  const quoted = (text: string, always: boolean) =>
    always || /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

  test("has the rows that csv-parse finds, however it is cut, and from every offset on exactly the rest", () => {
    fc.assert(
      fc.property(files, ({ rows, quoteAll, lineEnd, endsWithLineEnd, mark, cuts }) => {
        const lines = [["a", "b", "c"], ...rows].map((row) => row.map((each) => quoted(each, quoteAll)).join(","));
        const text = (mark ? "\uFEFF" : "") + lines.join(lineEnd) + (endsWithLineEnd ? lineEnd : "");
        const expected: unknown[] = parse(text, { columns: true, bom: true, record_delimiter: ["\r\n", "\n"] });
        const bytes = Buffer.from(text);

        const found = read(csv(), bytes, cuts);

        expect(problems(found)).toEqual([]);
        expect(found.records).toEqual(expected);
        for (let after = 0; after < expected.length; after++) {
          const rest = readFrom(csv(), bytes, found, after, cuts);
          expect(rest.records).toEqual(expected.slice(after + 1));
          expect(rest.ends).toEqual(found.ends.slice(after + 1));
          expect(rest.lines).toEqual(found.lines.slice(after + 1));
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test("reads back what was written", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ a: field, b: field }), { minLength: 1 }), cuts, (rows, cuts) => {
        const format = csv({ columns: ["a", "b"] });
        const [one, other] = [
          format.write(rows.slice(0, 1), { first: true }),
          format.write(rows.slice(1), { first: false }),
        ];

        expect(read(csv(), Buffer.concat([one, other]), cuts).records).toEqual(rows);
      }),
    );
  });

  test.each([
    ['a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote is never closed", '3,"4\n5,6'],
    [
      'a,b\n1,2\n3,4"5\n6,7\n',
      "line 3, column 4: a quote stands within a field, or text after its closing quote",
      '3,4"5',
    ],
    [
      'a,b\n1,2\n"3"x,4\n6,7\n',
      "line 3, column 4: a quote stands within a field, or text after its closing quote",
      '"3"x,4',
    ],
    ["a,b\n1,2\n3\n6,7\n", "line 3: expected 2 fields, found 1", "3"],
    ['a,b\n1,2\n"3\n",4,5\n6,7\n', "line 3: expected 2 fields, found 3", '"3\n",4,5'],
  ])("goes on after what is no row: %j", (text, message, raw) => {
    for (const cut of [[], [0], [1], [2, 3]]) {
      const found = read(csv(), text, cut);

      expect(problems(found)).toEqual([[raw, message]]);
      expect(found.records.filter((record) => typeof record !== "string")).toEqual(
        message.includes("never") ? [{ a: "1", b: "2" }] : [{ a: "1", b: "2" }, { a: "6", b: "7" }], // prettier-ignore
      );
    }
  });

  test("has lines that are not of its encoding as what is no row, and goes on", () => {
    const content = Buffer.concat([
      Buffer.from("a\n1\n"),
      Buffer.from([0xff]),
      Buffer.from("\nü\n"),
      Buffer.from([0xff]),
    ]);

    const found = read(csv(), content);

    expect(problems(found).map(([, message]) => message)).toEqual([
      "line 3: it is not utf-8",
      "line 5: it is not utf-8",
    ]);
    expect(found.records.filter((record) => typeof record !== "string")).toEqual([{ a: "1" }, { a: "ü" }]);
    expect(found.ends).toEqual([4, 6, 9, 10]);
  });

  test.each([
    ["windows-1252", Buffer.from("preis\n5 \x80\n", "latin1"), "5 €"],
    ["latin1", Buffer.from("preis\n5 \x80\n", "latin1"), "5 €"],
    ["iso-8859-2", Buffer.from("a\n\xa3\n", "latin1"), "Ł"],
    ["utf-16le", Buffer.from("\uFEFFpreis\n5 €\n", "utf16le"), "5 €"],
    ["shift_jis", Buffer.from([0x61, 0x0a, 0x83, 0x7c, 0x0a]), "ポ"],
  ])("is read in %s", (encoding, content, expected) => {
    for (const cut of [[], [0], [1, 2]])
      expect(Object.values(read(csv({ encoding }), content, cut).records[0] ?? {})).toEqual([expected]);
  });

  test("has other delimiters, columns of its own, and records that read makes of rows", () => {
    const format = csv({
      delimiter: ";",
      header: false,
      columns: ["sku", "price"],
      read: ({ sku, price }) => {
        if (Number.isNaN(Number(price))) throw new TypeError(`${price} is no price`);
        return { sku, price: Number(price) };
      },
    });

    const found = read(format, "a;1,5\nb;2\n");

    expect(found.records[1]).toEqual({ sku: "b", price: 2 });
    expect(problems(found)).toEqual([["a;1,5", "line 1: 1,5 is no price"]]);
  });

  test.each([
    [csv({ columns: ["b", "c"] }), "a,b\n", "the first line lacks c"],
    [csv(), "a,b,a\n", "columns 1 and 3 of the first line have the same name"],
    [csv(), "a,__proto__\n", "a column cannot be called __proto__"],
    [csv(), `a\n${"x".repeat(50)}\n`, "line 2: a record has more than 20 bytes (maxRecordBytes)"],
    [csv(), `a\n"${"x".repeat(50)}`, "line 2: a record has more than 20 bytes (maxRecordBytes)"],
  ])("ends the reading where nothing of it can be read", (format, content, message) => {
    expect(() => read(format, content, [9], 20)).toThrow(message);
  });

  test("is written with its columns, in quotes where it has to be", () => {
    const records = [
      { id: 1, at: new Date(0), note: 'say "hi",\nthen', more: { deep: true } },
      { id: 2n, note: null },
    ];

    const text = Buffer.from(csv<object>().write(records, { first: true })).toString();

    expect(text).toBe('id,at,note,more\n1,1970-01-01T00:00:00.000Z,"say ""hi"",\nthen","{""deep"":true}"\n2,,,\n');
    expect(() => csv<unknown>().write([{ a: 1 }, "text"], { first: true })).toThrow(
      "it is no object, so it has no columns",
    );
    expect(() => csv<object>().write([{ a: () => 1 }], { first: true })).toThrow("a cannot be written as text");
  });

  test("is written of the rows that `write` makes, and one empty field stays a row", () => {
    const format = csv<number>({ columns: ["n"], write: (n) => ({ n: n === 0 ? "" : n }) });

    const text = Buffer.from(format.write([1, 0, 2], { first: true })).toString();

    expect(text).toBe('n\n1\n""\n2\n');
    expect(read(csv(), text).records).toEqual([{ n: "1" }, { n: "" }, { n: "2" }]);
  });

  test.each([[[]], [[0]], [[4]]])("has no rows in empty lines, beside rows in quotes or not, cut at %j", (cutAt) => {
    const rows = ["1", "3", "5"].map((a) => ({ a, b: "2" }));

    expect(read(csv(), "a,b\n\n1,2\n\n\n3,2\n5,2\n\n", cutAt).records).toEqual(rows);
    expect(read(csv(), 'a,b\r\n"1","2"\r\n\r\n"3",2\r\n\n5,"2"\n\n', cutAt).records).toEqual(rows);
  });

  test.each([
    ['a"b,c\n1,2\n', "line 1, column 2: a quote stands within a field"],
    ['"a,b\n1,2\n', "line 1: a quote is never closed"],
    [Buffer.from("gr\xf6\xdfe,b\n1,2\n3,4\n", "latin1"), "line 1: it is not utf-8"],
    ["a,b\r1,2\r3,4\r", "line 1, column 4: expected LF or CRLF at the end of a line, found CR alone"],
    ["a,b\r\r\n1,2\r\r\n", "line 1, column 4: expected LF or CRLF at the end of a line, found CR alone"],
  ])("whose names of columns cannot be read is refused as a whole: %j", (content, message) => {
    for (const cut of [[], [0], [1, 2]]) expect(() => read(csv(), content, cut)).toThrow(message);
  });

  test.each([
    ["a,b\n1,2\r3,4\n5,6\r\n", "1,2\r3,4", "line 2, column 4"],
    ['a,b\n1,"2"\r3,4\n5,6\r\n', '1,"2"\r3,4', "line 2, column 6"],
    ['a,b\n"1",x\ry\n5,6\r', '"1",x\ry', "line 2, column 6"],
    ["a\nx\ry\n5\r", "x\ry", "line 2, column 2"],
  ])("has what holds a carriage return alone outside of quotes as what is no row: %j", (content, raw, place) => {
    for (const cut of [[], [0], [1, 2]]) {
      const found = read(csv(), content, cut);

      expect(problems(found)).toEqual([[raw, expect.stringContaining(`${place}: expected LF or CRLF`)]]);
      expect(Object.values(found.records[1] ?? {}).join()).toMatch(/^5(,6)?$/);
      expect(found.ends.at(-1)).toBe(content.length);
    }
  });

  test.each([
    [{ delimiter: ", " }, "csv.delimiter"],
    [{ delimiter: '"' }, "csv.delimiter"],
    [{ encoding: "klingon" }, "csv.encoding"],
    [{ columns: ["a", "a"] }, "csv.columns"],
    [{ header: false }, "csv.columns: expected the names of the columns, since there is no header"],
    [{ delimeter: ";" }, "delimiter"],
  ])("refuses %o", (options, message) => {
    expect(() => csv(options as object)).toThrow(message);
  });
});

describe.each([
  ["NDJSON", ndjson(), (values: readonly unknown[]) => values.map((value) => JSON.stringify(value) + "\n").join("")],
  ["an array of JSON", jsonArray(), (values: readonly unknown[]) => JSON.stringify(values, null, 1)],
  [
    "an array of JSON within objects",
    jsonArray({ at: ["data", "it\u00e9ms"] }),
    (values: readonly unknown[]) =>
      JSON.stringify({ items: [1], data: { more: [{ itéms: [] }], itéms: values, after: [1] }, rest: '"]' }),
  ],
])("%s", (_, format, write) => {
  test("has the values that JSON.parse finds, however it is cut, and from every offset on exactly the rest", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 6 }), cuts, (values, cuts) => {
        const bytes = Buffer.from(write(values));
        const expected = JSON.parse(JSON.stringify(values)) as unknown[];

        const found = read(format, bytes, cuts);

        expect(problems(found)).toEqual([]);
        expect(found.records).toEqual(expected);
        for (let after = 0; after < expected.length; after++) {
          const rest = readFrom(format, bytes, found, after, cuts);
          expect(rest.records).toEqual(expected.slice(after + 1));
          expect(rest.ends).toEqual(found.ends.slice(after + 1));
        }
      }),
      { numRuns: 500 },
    );
  });

  test("reads back what was written, and refuses what is no JSON", () => {
    const values = [{ a: "ü\n" }, [1], "x"];

    expect(read(format, Buffer.from(format.write(values, { first: true })), [3]).records).toEqual(values);
    expect(() => format.write([1, undefined], { first: true })).toThrow("it is no JSON");
    expect(() => format.write([1n], { first: true })).toThrow("it is no JSON: ");
  });
});

test("NDJSON goes on after a line that is none, names it, and passes over empty ones", () => {
  const content = Buffer.concat([
    Buffer.from('{"a":1}\n\n{"a":\r\n \r\n2\r\n"'),
    Buffer.from([0xff]),
    Buffer.from('"\n3'),
  ]);

  for (const cut of [[], [0], [4]]) {
    const found = read(ndjson(), content, cut);

    expect(found.records.filter((_, place) => !found.unreadable.has(place))).toEqual([{ a: 1 }, 2, 3]);
    expect(problems(found)).toEqual([
      ['{"a":', "line 3: it is no JSON"],
      ['"\uFFFD"', "line 6: it is not UTF-8"],
    ]);
  }
});

test("NDJSON may end without a line end, in letters of any script, and in what is no UTF-8", () => {
  const broken = Buffer.concat([Buffer.from('{"a":1}\n'), Buffer.from([0xff])]);

  expect(read(ndjson(), '{"a":"ü"}\n{"a":"😀"}').records).toEqual([{ a: "ü" }, { a: "😀" }]);
  expect(problems(read(ndjson(), broken))).toEqual([["\ufffd", expect.stringContaining("UTF-8")]]);
});

test("an array of JSON is found behind keys and values with quotes, braces and escapes in them", () => {
  const text = '{"a\\"b":"]\\\\","x":{"items":[9]},"items":[1,"\\u00e9"]}';

  expect(read(jsonArray({ at: ["items"] }), text).records).toEqual([1, "é"]);
  expect(read(jsonArray({ at: ["items"] }), text, [0, 2]).records).toEqual([1, "é"]);
  expect(() => read(jsonArray(), '{"items":[1]}')).toThrow("there is no array at the top");
});

test("an array of JSON goes on after an element that is no UTF-8", () => {
  const found = read(jsonArray(), Buffer.concat([Buffer.from('[1,"'), Buffer.from([0xff]), Buffer.from('",2]')]));

  expect(problems(found)).toEqual([['"\ufffd"', "line 1: it is not UTF-8"]]);
  expect(found.records).toEqual([1, '"\ufffd"', 2]);
});

describe.each([
  ["a line of JSON", ndjson, (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("")],
  ["an element of an array of JSON", jsonArray, (lines: readonly string[]) => `[${lines.join(",\n")}]`],
])("%s with integers that JavaScript's numbers would round", (_, format, fileOf) => {
  const lines = [
    '{"id":1,"t":1764288000123}',
    '{"id":9007199254740993}',
    '{"id":-12345678901234567890}',
    '{"id":"9007199254740993","f":0.30000000000000004,"e":1e21}',
    '{"id":9007199254740992.0}',
    '{"n":[1234567890123456.7e10]}',
    '{"id":1e400}',
    "9007199254740995",
  ];
  const problem = "it has an integer whose digits a number would change: say how to read it (integers)";

  test("is none, and the others are read", () => {
    for (const cut of [[], [0], [7]]) {
      const found = read(format(), fileOf(lines), cut);

      expect(problems(found).map(([raw]) => raw)).toEqual([1, 2, 5, 6, 7].map((index) => lines[index]));
      expect(problems(found)[0]?.[1]).toBe(`line 2: ${problem}`);
      expect(found.records[3]).toEqual({ id: "9007199254740993", f: 0.30000000000000004, e: 1e21 });
    }
  });

  test.each([
    ["string" as const, ["9007199254740993", "-12345678901234567890", "9007199254740995"]],
    ["bigint" as const, [9007199254740993n, -12345678901234567890n, 9007199254740995n]],
  ])("is read as %s", (integers, [first, second, third]) => {
    const found = read(format({ integers }), fileOf(lines));

    expect(problems(found)).toEqual([['{"id":1e400}', `line 7: ${problem}`]]);
    expect([found.records[1], found.records[2], found.records[7]]).toEqual([{ id: first }, { id: second }, third]);
    expect(found.records[0]).toEqual({ id: 1, t: 1764288000123 });
  });
});

test("an array of JSON goes on after an element that is none, and says where it is never closed", () => {
  const found = read(jsonArray(), '[{"a":1},\n{a:2},3,\n{"b":', [2]);

  expect(found.records.filter((_, place) => !found.unreadable.has(place))).toEqual([{ a: 1 }, 3]);
  expect(problems(found)).toEqual([
    ["{a:2}", "line 2: it is no JSON"],
    ['{"b":', "line 3: the array is never closed"],
  ]);
  expect(() => read(jsonArray({ at: ["items"] }), '{"item":[1]}')).toThrow("there is no array at items");
});

test("a record in thousands of chunks costs no more than its bytes", () => {
  const long = JSON.stringify("x".repeat(500_000));
  const started = process.cpuUsage().user;

  for (const [format, text] of [
    [ndjson(), `${long}\n`],
    [jsonArray(), `[${long}]`],
    [csv(), `a\n${long}\n`],
  ] as const)
    // prettier-ignore
    expect(read<unknown>(format as Format<unknown>, text, [15]).records).toHaveLength(1);

  expect(process.cpuUsage().user - started).toBeLessThan(5_000_000);
});
