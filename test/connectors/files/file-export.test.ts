import { gzipSync, brotliCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type FileExportOptions,
  type FilesCheckpoint,
  csv,
  fileExport,
  jsonArray,
  ndjson,
} from "../../../src/connectors/files/index.ts";
import type { Page } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { sampleFlow, sampleRun } from "../../../src/testing/connector-harness.ts";
import { ManualClock, collectingImport, exportCases, scriptedImport } from "../../../src/testing/index.ts";
import { retryLater } from "../../../src/index.ts";
import { Harness, hour, noon } from "../../support/harness.ts";
import { fateOf, readAll } from "../http/contexts.ts";
import { FilesInMemory } from "./files-in-memory.ts";

interface Line {
  readonly id: number;
}

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `{"id":${from + index}}\n`).join("");

function exportOf(files: FilesInMemory, options: Partial<FileExportOptions<Line>> = {}) {
  return fileExport<Line>({
    ...{ files, match: "in/*.ndjson", format: ndjson<Line>(), key: ({ id }: Line) => String(id) },
    ...{ clock: new ManualClock(noon) },
    ...options,
  });
}

/** The pages of one reading. */
async function read(
  files: FilesInMemory,
  how: { checkpoint?: FilesCheckpoint | undefined; until?: FilesCheckpoint | undefined; pageSize?: number } = {},
  options: Partial<FileExportOptions<Line>> = {},
) {
  const { checkpoint, until, pageSize = 2 } = how;
  const pages: Page<Line, FilesCheckpoint>[] = [];
  const reading = exportOf(files, options).pages?.({
    ...{ checkpoint, run: sampleRun(), flow: sampleFlow, pageSize, log: silentLogger },
    ...(until === undefined ? {} : { until }),
    signal: new AbortController().signal,
  });
  for await (const page of reading ?? []) pages.push(page as Page<Line, FilesCheckpoint>);
  return pages;
}

const idsOf = (pages: readonly Page<Line, FilesCheckpoint>[]) =>
  pages.flatMap(({ records }) => records.map(({ id }) => id));
const lastOf = (pages: readonly Page<Line, FilesCheckpoint>[]) => pages.at(-1)?.checkpoint;

const packings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  "": (bytes) => bytes,
  ".gz": (bytes) => gzipSync(bytes),
  ".br": (bytes) => brotliCompressSync(bytes),
};
const formats = {
  "csv in UTF-8": [
    csv({ read: ({ id }): Line => ({ id: Number(id) }) }),
    (ids: string[]) => Buffer.from(`id\n${ids.join("\n")}\n`),
  ],
  "csv in UTF-16": [
    csv({ encoding: "utf-16le", read: ({ id }): Line => ({ id: Number(id) }) }),
    (ids: string[]) => Buffer.from(`id\n${ids.join("\n")}\n`, "utf16le"),
  ],
  ndjson: [ndjson<Line>(), (ids: string[]) => Buffer.from(ids.map((id) => `{"id":${id}}\n`).join(""))],
  "an array of JSON": [
    jsonArray<Line>(),
    (ids: string[]) => Buffer.from(`[${ids.map((id) => `{"id":${id}}`).join(",")}]`),
  ],
} as const;

describe.each(
  Object.keys(formats).flatMap((format) => Object.keys(packings).map((suffix) => [format, suffix] as const)),
)("files of %s%s", (name, suffix) => {
  const [format, write] = formats[name as keyof typeof formats];
  const pack = packings[suffix] ?? ((bytes: Buffer) => bytes);
  const numbers = (from: number, count: number) => Array.from({ length: count }, (_, index) => String(from + index));
  const make = (...counts: readonly number[]) => {
    const files = new FilesInMemory();
    let from = 0;
    for (const [nth, count] of counts.entries()) {
      files.set(`in/${nth}${suffix}`, pack(write(numbers(from, count))), 1_000 * nth);
      from += count;
    }
    return files;
  };
  const sources = new WeakMap<object, FilesInMemory>();
  const open = (...counts: readonly number[]) => {
    const files = make(...counts);
    const from = exportOf(files, { match: `in/*${suffix}`, format });
    sources.set(from, files);
    return from;
  };
  const cases = exportCases(() => open(5, 3, 1), {
    pageSize: 2,
    empty: () => open(),
    records: () => Array.from({ length: 9 }, (_, id) => ({ id })),
    addLate(from) {
      sources.get(from)?.set(`in/late${suffix}`, pack(write(["99"])), 0);
      return { id: 99 };
    },
  });
  for (const { title, run } of cases) test(title, run);

  test("no case is skipped", () => expect(cases.skipped).toEqual([]));
});

describe("which files are read", () => {
  test("those that match, in the order in which they were changed, and not the youngest", async () => {
    const files = new FilesInMemory();
    files.set("in/b.ndjson", lines(1, 1), 200);
    files.set("in/a.ndjson", lines(2, 2), 300);
    files.set("in/a2.ndjson", lines(3, 3), 300);
    files.set("in/other.txt", lines(4, 4), 100);
    files.set("elsewhere/a.ndjson", lines(5, 5), 100);
    files.set("in/young.ndjson", lines(6, 6), noon - 999);

    const first = await read(files);
    const next = await read(files, { checkpoint: lastOf(first) }, { clock: new ManualClock(noon + 1) });

    expect([idsOf(first), idsOf(next)]).toEqual([[1, 2, 3], [6]]);
  });

  test.each(["in/only.ndjson", "only.ndjson"])("the one that is named without a pattern: %s", async (match) => {
    const files = new FilesInMemory();
    files.set(match, lines(1, 2), 1);
    files.set(`${match}.old`, lines(3, 4), 1);
    files.set("in/other.ndjson", lines(5, 6), 1);

    expect(idsOf(await read(files, {}, { match }))).toEqual([1, 2]);
  });

  test("a file that was changed is read anew, or on from its end if it grows", async () => {
    const files = new FilesInMemory();
    files.set("in/a.ndjson", `${lines(1, 3)}{"id"`, 100);
    const grows = await read(files, {}, { grows: true });
    files.set("in/a.ndjson", lines(1, 2), 100);
    const anew = await read(files);

    files.set("in/a.ndjson", `${lines(1, 3)}{"id":4}\n`, 200);

    expect(idsOf(grows)).toEqual([1, 2, 3]);
    expect(idsOf(await read(files, { checkpoint: lastOf(grows) }, { grows: true }))).toEqual([4]);
    expect(idsOf(await read(files, { checkpoint: lastOf(anew) }))).toEqual([1, 2, 3, 4]);
    files.set("in/a.ndjson", lines(7, 7), 300);
    expect(idsOf(await read(files, { checkpoint: lastOf(grows) }, { grows: true }))).toEqual([7]);
  });

  test("beyond `remember` the oldest are folded, and none is read twice", async () => {
    const files = new FilesInMemory();
    for (let nth = 0; nth < 6; nth++) files.set(`in/${nth}.ndjson`, lines(nth, nth), nth);
    const first = await read(files, {}, { remember: 2 });
    files.set("in/new.ndjson", lines(9, 9), 10);

    expect(Object.keys(lastOf(first)?.files ?? {})).toEqual(["in/4.ndjson", "in/5.ndjson"]);
    expect(lastOf(first)?.before).toEqual([3, "in/3.ndjson"]);
    expect(idsOf(await read(files, { checkpoint: lastOf(first) }, { remember: 2 }))).toEqual([9]);
  });

  test("one that vanishes after it was listed is passed over", async () => {
    const files = new FilesInMemory();
    files.set("in/a.ndjson", lines(1, 1), 1);
    files.set("in/b.ndjson", lines(2, 2), 2);
    files.onRead = (path) => {
      if (path === "in/a.ndjson") files.delete(path);
    };

    expect(idsOf(await read(files))).toEqual([2]);
  });
});

test("a reading that catches up gives exactly what the others have read, part of a file too, and ends where they are", async () => {
  const files = new FilesInMemory();
  files.set("in/a.ndjson", lines(1, 3), 1);
  files.set("in/b.ndjson", lines(4, 9), 2);
  const others = await read(files);
  const until = others[2]?.checkpoint;
  files.set("in/late.ndjson", lines(10, 10), 0);

  const behind = await read(files, { until });

  expect(idsOf(others.slice(0, 3))).toEqual([1, 2, 3, 4, 5]);
  expect(idsOf(behind)).toEqual([1, 2, 3, 4, 5]);
  expect(lastOf(behind)).toEqual(until);
  expect(idsOf(await read(files, { checkpoint: until }))).toEqual([10, 6, 7, 8, 9]);
});

test("a reading that catches up ends within a file that is packed, as one in the open", async () => {
  const files = new FilesInMemory(16);
  files.set("in/a.ndjson.gz", gzipSync(lines(1, 9)), 1);
  const match = "in/*";
  const others = await read(files, {}, { match });
  const until = others[1]?.checkpoint;

  const behind = await read(files, { until }, { match });

  expect(idsOf(behind)).toEqual([1, 2, 3, 4]);
  expect(lastOf(behind)).toEqual(until);
});

test("reading goes on in an array of JSON whose beginning fills many chunks", async () => {
  const files = new FilesInMemory(8);
  const format = jsonArray<Line>({ at: ["deep", "items"] });
  const items = Array.from({ length: 6 }, (_, index) => ({ id: index + 1 }));
  files.set("in/a.json", JSON.stringify({ head: "x".repeat(50), deep: { items } }), 1);
  const [first] = await read(files, {}, { match: "in/*", format });

  const rest = await read(files, { checkpoint: first?.checkpoint }, { match: "in/*", format });

  expect(idsOf(rest)).toEqual([3, 4, 5, 6]);
});

describe("what cannot be read", () => {
  test("is a failure of the page that it is on, also of the last record of a part", async () => {
    const files = new FilesInMemory();
    files.set("in/a.ndjson", `${lines(1, 4)}broken\n${lines(6, 6)}`, 1);

    const pages = await read(files);

    expect(pages.map(({ unreadable = [] }) => unreadable.map(({ raw }) => raw))).toEqual([[], [], ["broken"]]);
    expect(idsOf(pages)).toEqual([1, 2, 3, 4, 6]);
  });

  test("is a failure with its file and line, and the rest of the file is delivered", async () => {
    const files = new FilesInMemory();
    files.set("prices/a.csv", 'sku,price\na,1\nb,2\n"c,3\n', 1);
    const from = fileExport({ files, match: "prices/*.csv", format: csv(), clock: new ManualClock(noon) });
    const into = collectingImport<object>();
    const harness = new Harness({ exports: { from }, imports: { into } });

    expect(await harness.move()).toMatchObject({ numSuccess: 2, numError: 1 });
    expect(await harness.failures()).toMatchObject([
      { message: "prices/a.csv, line 4: a quote is never closed", record: '"c,3', unreadable: true },
    ]);
  });

  test.each([
    ["a.ndjson", `"${"x".repeat(100)}`, "in/a.ndjson, line 1: a record has more than 50 bytes (maxRecordBytes)"],
    ["a.ndjson.gz", "no gzip", "in/a.ndjson.gz, incorrect header check"],
  ])("ends the reading of %s with its name", async (name, content, message) => {
    const files = new FilesInMemory();
    files.set(`in/${name}`, content, 1);

    await expect(read(files, {}, { match: "in/*", maxRecordBytes: 50 })).rejects.toThrow(message);
  });
});

describe("a file that is settled", () => {
  test("is moved once every import has all of it, and what a crash left is moved by the next run", async () => {
    let isDown = true;
    const files = new FilesInMemory();
    files.set("in/a.ndjson", lines(1, 3), 1);
    files.set("in/b.ndjson", lines(4, 4), 2);
    const flaky = scriptedImport<Line>(({ records }) => {
      if (isDown && records.some(({ id }) => id === 4)) throw retryLater("503");
      return undefined;
    });
    const harness = new Harness({
      exports: { from: exportOf(files, { match: "**/*.ndjson", done: { moveTo: "done" } }) },
      imports: { steady: collectingImport<Line>(), flaky },
    });

    const { _flowId } = await harness.move();
    expect(files.paths).toEqual(["done/in/a.ndjson", "in/b.ndjson"]);
    isDown = false;
    await harness.clock.advance(hour);
    expect(files.paths).toEqual(["done/in/a.ndjson", "in/b.ndjson"]);
    files.set("in/a.ndjson", lines(5, 5), 3);
    await harness.run(_flowId);

    expect(files.paths).toEqual(["done/in/a.ndjson", "done/in/a.ndjson.3", "done/in/b.ndjson"]);
    expect(flaky.written.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
  });

  test("is removed, and one that vanished harms nothing", async () => {
    const files = new FilesInMemory();
    files.set("in/a.ndjson", lines(1, 3), 1);
    const vanishing = scriptedImport<Line>(() => {
      files.delete("in/a.ndjson");
      return undefined;
    });
    const harness = new Harness({
      exports: { from: exportOf(files, { done: "remove" }) },
      imports: { into: vanishing },
    });

    expect((await harness.move()).status).toBe("completed");
    expect(files.paths).toEqual([]);
  });
});

test("a file that is still to be moved makes no page of its own where there are others, whose numbers would be new ones", async () => {
  const files = new FilesInMemory();
  files.set("in/a.ndjson", lines(1, 2), 1);
  files.set("in/b.ndjson", lines(3, 4), 2);
  const done = { moveTo: "done" };
  const [first] = await read(files, {}, { done });

  const rest = await read(files, { checkpoint: first?.checkpoint }, { done });
  const over = await read(files, { checkpoint: lastOf(rest) }, { done });

  expect([rest, over].map((pages) => pages.map(({ records }) => records.map(({ id }) => id)))).toEqual([
    [[3, 4]],
    [[]],
  ]);
});

test.each(["a.ndjson", "a.ndjson.gz"])("%s is read again later if it ends before its size", async (name) => {
  const files = new FilesInMemory();
  const content = Buffer.from(lines(1, 500));
  files.set(`in/${name}`, name.endsWith(".gz") ? gzipSync(content) : content);
  const bytes = (await files.list("in"))[0]?.size ?? 0;
  // It is one chunk.
  const from = (left: number) =>
    exportOf(
      {
        list: (folder: string) => files.list(folder),
        async *read(path: string, start: number) {
          for await (const chunk of files.read(path, start)) yield chunk.subarray(0, bytes - left);
        },
      } as unknown as FilesInMemory,
      { match: "in/*" },
    );

  expect(await fateOf(readAll(from(0)))).toBe("ok");
  expect(await fateOf(readAll(from(14)))).toBe("retryLater");
});

test("what is read after a resume from any page is exactly the rest, for any sizes of pages and chunks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(6), { maxLength: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 20 }),
      async (counts, pageSize, chunkBytes) => {
        const files = new FilesInMemory(chunkBytes);
        let from = 1;
        for (const [nth, count] of counts.entries()) {
          files.set(`in/${nth}.ndjson`, lines(from, from + count - 1), nth);
          from += count;
        }
        const pages = await read(files, { pageSize });

        expect(idsOf(pages)).toEqual(Array.from({ length: from - 1 }, (_, index) => index + 1));
        for (const [index, { checkpoint }] of pages.entries()) {
          const rest = await read(files, { checkpoint, pageSize });
          expect(idsOf(rest)).toEqual(idsOf(pages.slice(index + 1)));
          // A reading that is resumed can be resumed again.
          expect(rest.map((page) => page.checkpoint)).toEqual(pages.slice(index + 1).map((page) => page.checkpoint));
        }
      },
    ),
    { numRuns: 100 },
  );
});

test.each([
  [{ match: "" }, "fileExport.match: expected a glob"],
  [{ settleMs: -1 }, "fileExport.settleMs"],
  [{ remember: 0 }, "fileExport.remember"],
  [{ done: { moveto: "x" } }, "fileExport.done: expected a folder as { moveTo }"],
  [{ files: {} }, "fileExport.files: expected a file system"],
  [{ macht: "*" }, "match"],
])("refuses %o", (options, message) => {
  expect(() => exportOf(new FilesInMemory(), options as object)).toThrow(message);
});
