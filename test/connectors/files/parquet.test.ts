import * as hyparquet from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { fileExport, fileImport, parquet } from "../../../src/connectors/files/index.ts";
import { ManualClock, exportCases } from "../../../src/testing/index.ts";
import { noon } from "../../support/harness.ts";
import { exportContext, readAll } from "../http/contexts.ts";
import { FilesInMemory } from "./files-in-memory.ts";

interface Sale {
  readonly id: number;
  readonly name: string;
}

/** Files of rows from one id up to another, in row groups of 10. */
function bytesOf(from: number, to: number): Buffer {
  const ids = Array.from({ length: to - from }, (_, index) => from + index);
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: "id", data: ids, type: "INT32" },
      { name: "name", data: ids.map((id) => `sale ${id}`), type: "STRING" },
      { name: "at", data: ids.map((id) => new Date(id * 1_000)), type: "TIMESTAMP" },
      { name: "big", data: ids.map((id) => 2n ** 60n + BigInt(id)), type: "INT64" },
    ],
    rowGroupSize: 10,
  });
  return Buffer.from(buffer);
}

const salesOf = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index): Sale => ({ id: from + index, name: `sale ${from + index}` }));

const read = ({ id, name }: Readonly<Record<string, unknown>>): Sale => ({ id: Number(id), name: String(name) });

function exportOf(files: FilesInMemory, how: Partial<Parameters<typeof parquet<Sale>>[0]> = {}) {
  const format = parquet<Sale>({ reader: hyparquet, read, ...how });
  return fileExport<Sale>({
    files,
    match: "in/*.parquet",
    format,
    key: ({ id }) => String(id),
    clock: new ManualClock(noon),
  });
}

/** Counts the bytes that are read, each time they are. */
class CountedFiles extends FilesInMemory {
  bytes = 0;

  override async *read(path: string, start: number, end = Infinity): AsyncGenerator<Uint8Array> {
    for await (const chunk of super.read(path, start)) {
      this.bytes += Math.min(chunk.length, end - start);
      yield chunk;
    }
  }
}

describe("Parquet", () => {
  const sources = new WeakMap<object, FilesInMemory>();
  const open = async (to: number) => {
    const files = new FilesInMemory(1_000);
    if (to > 0) files.set("in/a.parquet", bytesOf(0, to), 1);
    const from = exportOf(files);
    sources.set(from, files);
    return from;
  };
  const cases = exportCases(() => open(35), {
    pageSize: 4,
    empty: () => open(0),
    records: () => salesOf(0, 35),
    addLate(from) {
      sources.get(from)?.set("in/late.parquet", bytesOf(99, 100), 2);
      return { id: 99, name: "sale 99" };
    },
  });
  for (const { title, run } of cases) test(title, run);

  test("no case is skipped", () => expect(cases.skipped).toEqual([]));

  test("goes on at the row, and reads no row group that it is through with", async () => {
    const [files, again] = [new CountedFiles(1_000_000), new CountedFiles(1_000_000)];
    const bytes = bytesOf(0, 2_000);
    for (const each of [files, again]) each.set("in/a.parquet", bytes, 1);
    const { checkpoints } = await readAll(exportOf(files), { pageSize: 100 });

    const resumed = await readAll(exportOf(again), { pageSize: 100, checkpoint: checkpoints[18] });

    expect(resumed.records).toEqual(salesOf(1_900, 2_000));
    expect(resumed.checkpoints.at(-1)).toEqual(checkpoints.at(-1));
    // Both have read the end of the file, where it says what is where; as small as this one is, that is all of it.
    expect(again.bytes - bytes.length).toBeLessThan(0.1 * (files.bytes - bytes.length));
  });

  test("gives 64-bit integers as bigint and times as dates, and only the columns that are asked for", async () => {
    const files = new FilesInMemory();
    files.set("in/a.parquet", bytesOf(1, 2), 1);
    const rows = (columns?: readonly string[]) =>
      readAll(
        fileExport({
          ...{ files, match: "in/*.parquet", clock: new ManualClock(noon) },
          format: parquet({ reader: hyparquet, ...(columns === undefined ? {} : { columns }) }),
        }),
      );

    expect((await rows()).records).toEqual([{ id: 1, name: "sale 1", at: new Date(1_000), big: 2n ** 60n + 1n }]);
    expect((await rows(["name"])).records).toEqual([{ name: "sale 1" }]);
  });

  test("a row that cannot be read is unreadable by itself, with its number", async () => {
    const files = new FilesInMemory();
    files.set("in/a.parquet", bytesOf(0, 25), 1);
    const from = exportOf(files, {
      read(row) {
        if (row.id === 12) throw new Error("twelve");
        return read(row);
      },
    });

    const unreadable: unknown[] = [];
    const ids: number[] = [];
    for await (const page of from.pages?.(exportContext()) ?? []) {
      if (!("records" in page)) continue;
      ids.push(...page.records.map(({ id }) => id));
      unreadable.push(...(page.unreadable ?? []));
    }

    expect(ids).toHaveLength(24);
    expect(unreadable).toMatchObject([
      { raw: { id: 12 }, error: { message: "in/a.parquet, row 13: twelve" }, key: "in/a.parquet, line 13, 13" },
    ]);
  });

  test("ends the reading for a file that is none, cut off or packed, naming it", async () => {
    for (const [path, bytes] of [
      ["in/a.parquet", Buffer.from("this is no Parquet file")],
      ["in/a.parquet", bytesOf(0, 100).subarray(0, 500)],
      ["in/a.parquet.gz", bytesOf(0, 1)],
    ] as const) {
      const files = new FilesInMemory();
      files.set(path, bytes, 1);
      const format = parquet<Sale>({ reader: hyparquet, read });
      const from = fileExport<Sale>({ files, match: "in/*", format, clock: new ManualClock(noon) });

      await expect(readAll(from)).rejects.toThrow(path);
    }
  });

  test("is neither written nor read from a response, and takes its reader", async () => {
    const format = parquet({ reader: hyparquet });

    expect(() => fileImport({ files: new FilesInMemory(), format, path: () => "a" })).toThrow(
      /one that can be written/,
    );
    expect(() => format.write([{}], { first: true })).toThrow("Parquet is only read");
    expect(() => format.reader({ maxRecordBytes: 1 })).toThrow("only be read from a file");
    expect(() => parquet({ reader: {} as never })).toThrow(/parquet.reader.*hyparquet/);
  });
});
