// What file systems and their hosts do rarely.
import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  type FileImportOptions,
  type FileSystem,
  fileExport,
  fileImport,
  localFiles,
  ndjson,
} from "../../../src/connectors/files/index.ts";
import { retryLater } from "../../../src/index.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness } from "../../support/harness.ts";
import { errorOf, exportContext, fateOf, importContext, kindOf, readAll } from "../http/contexts.ts";
import { FilesInMemory } from "./files-in-memory.ts";

interface Line {
  readonly id: number;
}

const withCode = (code: string) => Object.assign(new Error(code), { code });

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "poundlock-files-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

describe("an import into files", () => {
  const write = (options: Partial<FileImportOptions<Line>>, files: FileSystem = new FilesInMemory()) =>
    fateOf(
      (async () => fileImport<Line>({ files, format: ndjson(), ...options }).write([{ id: 1 }], importContext(1)))(),
    );

  test("stops if the host's path is none, or throws", async () => {
    const throwing = () => {
      throw new Error("no run");
    };

    expect(await write({ path: () => 7 as never })).toBe("stop");
    expect(await write({ path: throwing })).toBe("stop");
  });

  test("waits for what passes, with or without a code, and leaves an outcome as it is", async () => {
    const failing = (error: Error) => {
      const files = new FilesInMemory();
      files.onChange = () => {
        throw error;
      };
      return files;
    };

    expect(await write({ path: () => "a" }, failing(new Error("without a code")))).toBe("retryLater");
    expect(await write({ path: () => "a" }, failing(withCode("EACCES")))).toBe("stop");
    const error = await errorOf(
      (async () =>
        fileImport<Line>({
          ...{ files: failing(retryLater("busy", { afterMs: 7 })), format: ndjson(), path: () => "a" },
        }).write([{ id: 1 }], importContext(1)))(),
    );
    expect([kindOf(error), error.afterMs]).toEqual(["retryLater", 7]);
  });

  test("cannot be added to where the file system cannot", () => {
    const memory = new FilesInMemory();
    const files: FileSystem = {
      list: (folder) => memory.list(folder),
      read: (path, start) => memory.read(path, start),
      write: (path, bytes) => memory.write(path, bytes),
    };
    const options = { files, format: ndjson<Line>(), append: "a" };

    expect(() => fileImport(options)).toThrow("fileImport.files: expected a file system with append and sizeOf");
  });

  test("does not add to a file whose note it may not read", async () => {
    const files = new FilesInMemory();
    files.onRead = () => {
      throw withCode("EACCES");
    };

    expect(await write({ append: "out/a" }, files)).toBe("stop");
    expect(files.text("out/a")).toBe("");
  });

  test.each(["7", "null", '{"run":'])("takes the note %s for none, as after a loss of power", async (note) => {
    const files = new FilesInMemory();
    files.set("out/.a.page", note);

    expect(await write({ append: "out/a" }, files)).toBe("ok");
    expect(files.text("out/a")).toBe('{"id":1}\n');
  });

  test("is packed with Zstandard where Node has it, and refused where it does not", async () => {
    const files = new FilesInMemory();
    const path = () => "a.ndjson.zst";
    const from = () => fileExport<Line>({ files, match: "*.zst", format: ndjson<Line>(), settleMs: 0 });

    if ("createZstdDecompress" in zlib) {
      expect(await write({ path }, files)).toBe("ok");
      expect((await readAll(from())).records).toEqual([{ id: 1 }]);
    } else expect(await write({ path }, files)).not.toBe("ok");
  });
});

describe("an export of files", () => {
  const exportOf = (files: FileSystem, options: object = {}) =>
    fileExport<Line>({ files, match: "**/*.ndjson", format: ndjson<Line>(), settleMs: 0, ...options });

  test("gives no key to an unreadable line of a file with a very long name", async () => {
    const files = new FilesInMemory();
    files.set(`${"x".repeat(1_100)}.ndjson`, "nonsense\n");
    files.set("short.ndjson", "nonsense\n");
    const unreadable: unknown[] = [];

    for await (const page of exportOf(files).pages?.(exportContext() as never) ?? [])
      if ("records" in page) for (const { key } of page.unreadable ?? []) unreadable.push(key);

    expect(unreadable).toEqual([undefined, "short.ndjson, line 1, 9"]);
  });

  test("ends between two chunks once its signal has aborted", async () => {
    const abort = new AbortController();
    const files = new FilesInMemory(4);
    files.set("a.ndjson", '{"id":1}\n{"id":2}\n');
    const read = files.read.bind(files);
    files.read = async function* (path, start) {
      for await (const chunk of read(path, start)) {
        yield chunk;
        abort.abort();
      }
    };
    const records: unknown[] = [];

    const reading = (async () => {
      for await (const page of exportOf(files).pages?.(exportContext({ signal: abort.signal }) as never) ?? [])
        records.push(page);
    })();
    await reading.catch(() => undefined);

    expect(records).toEqual([]);
  });

  test.each([
    ["removed", "remove" as const],
    ["moved", { moveTo: "done" }],
  ])("logs that a file could not be %s, and the run completes", async (_title, done) => {
    const files = new FilesInMemory();
    files.set("a.ndjson", '{"id":1}\n');
    files.remove = files.move = () => Promise.reject(withCode("EACCES"));
    const into = collectingImport<Line>();
    const lines: unknown[] = [];
    const silent = () => undefined;
    const logger = { debug: silent, info: silent, error: silent, warn: (...line: unknown[]) => lines.push(line) };
    const from = exportOf(files, { done });
    const harness = new Harness({ exports: { from }, imports: { into }, options: { logger } });

    expect((await harness.move()).status).toBe("completed");

    expect(into.written).toEqual([{ id: 1 }]);
    expect(JSON.stringify(lines)).toContain("EACCES");
    expect(files.paths).toEqual(["a.ndjson"]);
  });
});

describe("files of this computer", () => {
  test.each(["", 7])("are not those below %j", (path) => {
    expect(() => localFiles(path as string)).toThrow("localFiles: expected the path of a folder");
  });

  test("are none where a socket is, and cannot be listed below a file", async () => {
    const path = folder();
    writeFileSync(join(path, "a.txt"), "a");
    const server = createServer().listen(join(path, "socket"));
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => void server.close());
    const { signal } = new AbortController();
    const files = localFiles(path);

    expect((await files.list("", signal)).map((file) => file.path)).toEqual(["a.txt"]);
    expect(await files.list("none", signal)).toEqual([]);
    expect(await errorOf(files.list("a.txt", signal) as Promise<unknown>)).toMatchObject({ code: "ENOTDIR" });
  });

  test("are not moved over what is there", async () => {
    const path = folder();
    for (const name of ["a.txt", "b.txt"]) writeFileSync(join(path, name), name);
    const files = localFiles(path);

    expect(await errorOf(files.move?.("a.txt", "b.txt") as Promise<unknown>)).toMatchObject({ code: "EEXIST" });
    expect((await files.list("", new AbortController().signal)).map((file) => file.path).sort()).toEqual(["a.txt", "b.txt"]); // prettier-ignore
  });
});
