import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { fileExport, fileImport, ndjson } from "../../../src/connectors/files/index.ts";
import { ManualClock } from "../../../src/testing/index.ts";
import { noon } from "../../support/harness.ts";
import { fateOf, importContext, readAll } from "../http/contexts.ts";
import { FilesInMemory } from "./files-in-memory.ts";

const hasZstd = "createZstdDecompress" in zlib;

/** Writes a file, and reads it again. */
function both(path: string) {
  const files = new FilesInMemory();
  const format = ndjson<{ id: number }>();
  const into = fileImport({ files, format, path: () => path });
  const from = fileExport({ files, match: "in/*", format, clock: new ManualClock(noon) });
  return { files, into, from };
}

describe("Zstandard", () => {
  test.skipIf(!hasZstd)(`is written and read from Node 22.15 on (this is ${process.versions.node})`, async () => {
    const { into, from } = both("in/a.ndjson.zst");

    await into.write([{ id: 1 }, { id: 2 }], importContext(2));

    expect((await readAll(from)).records).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test.skipIf(hasZstd)(`stops an import where Node has none, and ends a reading, saying what it takes`, async () => {
    const { files, into, from } = both("in/a.ndjson.zst");
    files.set("in/a.ndjson.zst", "x");
    const words = `in/a.ndjson.zst: .zst takes Node 22.15 or newer, and this is ${process.versions.node}`;

    const written = Promise.resolve(into.write([{ id: 1 }], importContext(1)));

    expect(await fateOf(written)).toBe("stop");
    await expect(written).rejects.toThrow(words);
    await expect(readAll(from)).rejects.toThrow(words);
  });

  test.each([".zst", ".br"])("a file of %s cannot be added to", (suffix) => {
    const files = new FilesInMemory();

    expect(() => fileImport({ files, format: ndjson(), append: `all.ndjson${suffix}` })).toThrow(
      /fileImport.append.*not packed, or one of .gz/,
    );
  });
});
