import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type FileImportOptions, csv, fileImport, jsonArray, ndjson } from "../../../src/connectors/files/index.ts";
import { type Export, MemoryStorage } from "../../../src/index.ts";
import { importCases } from "../../../src/testing/index.ts";
import { Harness, faltering } from "../../support/harness.ts";
import { importContext } from "../http/contexts.ts";
import { FilesInMemory } from "./files-in-memory.ts";

interface Line {
  readonly id: number;
}

const places = {
  "into a file for each page": { path: ({ run, page }) => `${run._id}/${page}.ndjson` },
  "into one file": { append: "out/all.ndjson" },
} satisfies Record<string, Partial<FileImportOptions<Line>>>;

const contentsOf = (files: FilesInMemory) =>
  files.paths
    .filter((path) => !path.endsWith(".page"))
    .flatMap((path) => files.text(path).split("\n"))
    .filter((line) => line !== "");

const failing = (code: string) => Object.assign(new Error(code), { code });

describe.each(Object.entries<Partial<FileImportOptions<Line>>>(places))("an import %s", (_, place) => {
  const destinations = new WeakMap<object, FilesInMemory>();
  const make = (files = new FilesInMemory()) => {
    const into = fileImport<Line>({ files, format: ndjson<Line>(), ...place });
    destinations.set(into, files);
    return into;
  };
  const once = (into: object, when: "before" | "after", error: Error) => {
    const files = destinations.get(into);
    let calls = 0;
    if (files !== undefined)
      files.onChange = (path, now) => {
        if (now === when && !path.endsWith(".page") && calls++ === 0) throw error;
      };
  };
  const cases = importCases(() => make(), {
    record: (id) => ({ id }),
    changed: (id) => ({ id: id + 100 }),
    rewrites: true,
    poison: (nth) => ({ id: BigInt(nth) as unknown as number }),
    read: (into) => contentsOf(destinations.get(into) ?? new FilesInMemory()).sort(),
    goDown: (into) => once(into, "before", failing("ENOSPC")),
  });
  for (const { title, run } of cases) test(title, run);

  test("has each record once, in order, wherever the process crashes between a write and its commit", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(12), fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), async (last, crashes) => {
        const files = new FilesInMemory();
        const from: Export<Line, { at: number }> = {
          order: "ordered",
          async *pages({ checkpoint }) {
            for (let at = checkpoint?.at ?? 0; at < last; at += 2)
              yield {
                records: [at, at + 1].filter((id) => id < last).map((id) => ({ id })),
                checkpoint: { at: at + 2 },
              };
          },
        };
        let commits = 0;
        const fails = () => crashes[commits++] ?? false;
        const storage = faltering(new MemoryStorage(), { method: "commitPage", fails });
        // A commit that fails leaves the run to be taken over, as a crash does, by this process or another one.
        const harness = new Harness({
          exports: { from },
          imports: { into: make(files) },
          storage,
          options: { maxCrashes: 50 },
        });

        await harness.move();

        const ids = contentsOf(files).map((line) => (JSON.parse(line) as Line).id);
        if (!("append" in place)) ids.sort((one, other) => one - other);
        expect(ids).toEqual(Array.from({ length: last }, (_, id) => id));
      }),
      { numRuns: 60 },
    );
  });

  test("stops for what somebody has to put right, and waits for what passes", async () => {
    for (const [code, expected] of [
      ["EACCES", "stopped_by_import"],
      ["EIO", "import_unavailable"],
    ] as const) {
      // prettier-ignore
      const files = new FilesInMemory();
      files.onChange = () => {
        throw failing(code);
      };
      const from: Export<Line> = {
        async *pages() {
          yield [{ id: 1 }];
        },
      };
      const harness = new Harness({ exports: { from }, imports: { into: make(files) } });

      expect((await harness.move()).error?.code).toBe(expected);
    }
  });
});

/** Writes pages of one run. Without a scheduler: its clock would not wait for what packs. */
async function write<T>(options: FileImportOptions<T>, pages: readonly (readonly T[])[], _id = "run") {
  const into = fileImport(options);
  const { run } = importContext(0);
  for (const [index, records] of pages.entries())
    await into.write(records, importContext(records.length, { page: index + 1, run: { ...run, _id } }));
}

describe("a file that is written", () => {
  test("has its head once, and is packed by its name, also when it is added to", async () => {
    const files = new FilesInMemory();
    const format = csv<Line>({ columns: ["id"] });

    await write({ files, format, append: "all.csv" }, [[{ id: 1 }], [{ id: 2 }]]);
    await write({ files, format, append: "all.csv.gz" }, [[{ id: 1 }], [{ id: 2 }]]);
    await write({ files, format: jsonArray<Line>(), path: ({ page }) => `${page}.json.gz` }, [[{ id: 1 }, { id: 2 }]]);

    const read = async (path: string) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of files.read(path, 0)) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    expect(files.text("all.csv")).toBe("id\n1\n2\n");
    expect(gunzipSync(await read("all.csv.gz")).toString()).toBe("id\n1\n2\n");
    expect(JSON.parse(gunzipSync(await read("1.json.gz")).toString())).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test("goes on where it is after a process that died while it wrote the note of a page", async () => {
    const files = new FilesInMemory();
    const options = { files, format: ndjson<Line>(), append: "all.ndjson" };
    await write(options, [[{ id: 1 }], [{ id: 2 }]]);

    for (const torn of ["", '{"run":"run","pa', "null"]) {
      files.set(".all.ndjson.page", torn);
      const into = fileImport(options);
      await into.write([{ id: 3 }], importContext(1, { page: 3 }));
      await into.write([{ id: 4 }], importContext(1, { page: 3 }));
    }

    expect(contentsOf(files)).toEqual(['{"id":1}', '{"id":2}', '{"id":4}', '{"id":4}', '{"id":4}']);
  });

  test("is cut back when adding a page fails, so that another run leaves nothing twice", async () => {
    const files = new FilesInMemory();
    files.onChange = (path, when) => {
      if (path === "all.ndjson" && when === "after") throw failing("EIO");
    };
    const options = { files, format: ndjson<Line>(), append: "all.ndjson" };

    await expect(write(options, [[{ id: 1 }]])).rejects.toThrow("EIO");
    files.onChange = () => undefined;
    await write(options, [[{ id: 1 }]], "another run");

    expect(contentsOf(files)).toEqual(['{"id":1}']);
  });
});

test.each([
  [{}, 'fileImport: expected exactly one of path and append, found "none"'],
  [{ path: () => "a", append: "b" }, "exactly one of path and append"],
  [{ append: "a.json", format: jsonArray() }, "fileImport.format: expected one that can be added to"],
  [{ append: "a.csv", format: csv() }, "fileImport.format: expected one that can be added to"],
  [{ append: "a.ndjson.br" }, "fileImport.append: expected a file that is not packed"],
  [{ append: "a.ndjson", sync: "half" }, "fileImport.sync"],
])("refuses %o", (options, message) => {
  expect(() =>
    fileImport({ files: new FilesInMemory(), format: ndjson(), ...options } as FileImportOptions<unknown>),
  ).toThrow(message);
});
