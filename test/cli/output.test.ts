import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { Output } from "../../src/cli/output/output.ts";
import { type Column, tableLines } from "../../src/cli/output/table.ts";
import { cutTo, escaped, jsonBlock, jsonLine, widthOf } from "../../src/cli/output/text.ts";
import { countOf, durationOf, shellWord, timeOf } from "../../src/cli/output/words.ts";

/** Clears the screen, by both sets of control characters; turns writing; ends lines; hides. */
const hostile = "\x1b[2J\x9b2J\x07\r\n\t\x7f\u202e\u2066\u2028\u200b\ufeff\u{e0041}\ud800";

const obeyed =
  /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}\ud800-\udfff]/u;

describe("what is stored drives no terminal", () => {
  test("as text it is escaped, and stays on its line", () => {
    expect(escaped(hostile)).toBe(
      "\\x1b[2J\\x9b2J\\x07\\r\\n\\t\\x7f\\u202e\\u2066\\u2028\\u200b\\ufeff\\u{e0041}\\ud800",
    );
    expect(escaped("Blåbær 東京 🚢 <b>")).toBe("Blåbær 東京 🚢 <b>");
  });

  test("as JSON it is escaped, and reads back the same", () => {
    const line = jsonLine({ [hostile]: hostile });

    expect(line).not.toMatch(obeyed);
    expect(JSON.parse(line)).toEqual({ [hostile]: hostile });
    expect(JSON.parse(jsonBlock([hostile, { a: 1 }]).join("\n"))).toEqual([hostile, { a: 1 }]);
  });

  test.each([true, false])("nor does it by any way to write, at a terminal: %s", (isTTY) => {
    const stream = () => Object.assign(new PassThrough(), { isTTY, columns: 80 });
    const [stdout, stderr] = [stream(), stream()];
    const output = new Output({ stdout, stderr, env: { NO_COLOR: "1" } }, false);

    output.line(hostile, { text: hostile, style: "red" });
    output.fields([["name", hostile]]);
    output.table([hostile], [{ title: "name", value: (item) => item }], "");
    output.block({ [hostile]: hostile }, 1_000);
    output.document(hostile);
    output.notice(hostile);

    for (const written of [stdout.read(), stderr.read()] as Buffer[]) {
      expect(written.length).toBeGreaterThan(0);
      expect(written.toString().replaceAll("\n", "")).not.toMatch(obeyed);
    }
  });
});

describe("a table", () => {
  interface Row {
    readonly id: string;
    readonly name: string;
    readonly count: number | undefined;
  }
  const columns: readonly Column<Row>[] = [
    { title: "id", value: ({ id }) => id },
    { title: "count", value: ({ count }) => count },
    { title: "name", value: ({ name }) => name, least: 6 },
    { title: "also", value: ({ name }) => name, least: 4, optional: true },
  ];
  const rows: readonly Row[] = [
    { id: "a", name: "東京 to shop", count: 7 },
    { id: "bcd", name: "x", count: 1_234 },
  ];
  const lines = (width: number, items = rows) => tableLines(items, columns, { width, colors: false });

  test("has what is below each other in columns, numbers to the right", () => {
    expect(lines(100)).toEqual([
      "id   count  name          also",
      "a        7  東京 to shop  東京 to shop",
      "bcd   1234  x             x",
    ]);
  });

  test("is cut where a column may be, and leaves out what may be left out, but never an id", () => {
    expect(lines(37)).toEqual(["id   count  name", "a        7  東京 to shop", "bcd   1234  x"]);
    expect(lines(21)).toEqual(["id   count  name", "a        7  東京 to …", "bcd   1234  x"]);
    expect(lines(1)).toEqual(["id   count  name", "a        7  東京 …", "bcd   1234  x"]);
  });

  test("has empty cells", () => {
    expect(lines(100, [{ id: "", name: "", count: undefined }])).toEqual(["id  count  name  also", ""]);
  });

  test("is as wide as the terminal, or as COLUMNS says, or 80", () => {
    const width = (isTTY: boolean, own: number | undefined, env: Record<string, string>) => {
      const stdout = Object.assign(new PassThrough(), { isTTY, ...(own === undefined ? {} : { columns: own }) });
      new Output({ stdout, stderr: stdout, env: { ...env, NO_COLOR: "1" } }, false).table(
        ["x".repeat(150)],
        [{ title: "name", value: (item: string) => item, least: 1 }],
        "",
      );
      return (stdout.read() as Buffer).toString().split("\n")[1]?.length;
    };

    expect(width(true, 120, {})).toBe(120);
    expect(width(false, undefined, {})).toBe(80);
    expect(width(false, undefined, { COLUMNS: "100" })).toBe(100);
    expect(width(false, undefined, { COLUMNS: "many" })).toBe(80);
  });
});

describe("colors are shown", () => {
  test.each([
    ["at a terminal", true, {}, true],
    ["not where the output goes elsewhere", false, {}, false],
    ["not with NO_COLOR", true, { NO_COLOR: "1" }, false],
    ["also with an empty NO_COLOR, as its rule has it", true, { NO_COLOR: "" }, true],
    ["not at a terminal that has none", true, { TERM: "dumb" }, false],
  ])("%s", (_where, isTTY, env, expected) => {
    const stdout = Object.assign(new PassThrough(), { isTTY, columns: 80 });

    new Output({ stdout, stderr: stdout, env }, false).line({ text: "x", style: "red" });

    expect((stdout.read() as Buffer).toString()).toBe(expected ? "\x1b[31mx\x1b[39m\n" : "x\n");
  });
});

test("how far a search has got is shown to people only", () => {
  const shown = (isTTY: boolean) => {
    const stderr = Object.assign(new PassThrough(), { isTTY });
    new Output({ stdout: stderr, stderr, env: {} }, false).progress("looked at 7\x1b");
    return (stderr.read() as Buffer | null)?.toString();
  };

  expect(shown(true)).toBe("\r\x1b[Klooked at 7\\x1b");
  expect(shown(false)).toBeUndefined();
});

test("a long record is cut, and says so", () => {
  const stdout = new PassThrough();
  new Output({ stdout, stderr: stdout, env: {} }, false).block(["aaaa", "bbbb"], 10);

  expect((stdout.read() as Buffer).toString()).toBe('[\n  "aaaa",\n… the rest is left out; --json shows all of it\n');
});

describe("words", () => {
  test.each([
    ["plain", 5],
    ["東京", 4],
    ["é", 1],
    ["🚢", 2],
  ])("%s takes %i columns", (text, width) => {
    expect(widthOf(text)).toBe(width);
  });

  test("are cut between characters as people see them", () => {
    expect([cutTo("abcdef", 6), cutTo("abcdef", 4), cutTo("東京都", 4), cutTo("e\u0301e\u0301e\u0301", 2)]).toEqual([
      "abcdef",
      "abc…",
      "東…",
      "e\u0301…",
    ]);
  });

  test("say durations in two units", () => {
    expect([0, 12, 1_000, 61_000, 3_600_000, 90_061_000, -5].map(durationOf)).toEqual([
      "0 ms",
      "12 ms",
      "1 s",
      "1 min 1 s",
      "1 h",
      "1 d 1 h",
      "0 ms",
    ]);
  });

  test("say counts, times and words of a shell", () => {
    expect([countOf(1, "run"), countOf(1_341, "flow"), countOf(2, "more", "more")]).toEqual([
      "1 run",
      "1,341 flows",
      "2 more",
    ]);
    expect([timeOf("2026-11-26T18:02:11.123Z"), timeOf(undefined)]).toEqual(["2026-11-26 18:02:11", undefined]);
    expect(["orders", "a b", "it's; rm", "-x"].map(shellWord)).toEqual(["orders", "'a b'", "'it'\\''s; rm'", "'-x'"]);
  });
});
