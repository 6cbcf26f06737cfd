import { mkdtemp, mkdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fileExport, fileImport, localFiles, ndjson } from "../../../src/connectors/files/index.ts";
import { FlowRegistry, Scheduler } from "../../../src/index.ts";
import { fallible, fileExportCases, fileImportCases } from "./file-system-cases.ts";
import { collectingImport } from "../../../src/testing/index.ts";

const { signal } = new AbortController();
let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "poundlock-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

describe("files of this computer", () => {
  test("are listed however deep, through links to files, with their sizes and times", async () => {
    await mkdir(join(folder, "a/b"), { recursive: true });
    await writeFile(join(folder, "a/b/one.txt"), "12345");
    await writeFile(join(folder, "a/two.txt"), "1");
    await symlink(join(folder, "a/two.txt"), join(folder, "a/b/link.txt"));
    await symlink(join(folder, "gone"), join(folder, "a/dangling"));
    await utimes(join(folder, "a/two.txt"), 1, 1);
    const files = localFiles(folder);

    const listed = [...(await files.list("a", signal))].sort((one, other) => (one.path < other.path ? -1 : 1));

    expect(listed.map(({ path, size }) => [path, size])).toEqual([
      ["a/b/link.txt", 1],
      ["a/b/one.txt", 5],
      ["a/two.txt", 1],
    ]);
    expect(listed[2]?.modified).toBe(1_000);
    expect(await files.list("none", signal)).toEqual([]);
  });

  test("are read from a byte on, replaced as a whole, added to and cut back, moved and removed", async () => {
    const files = localFiles(folder);

    await files.write("x/a.txt", Buffer.from("one"), { sync: "full" });
    await files.write("x/a.txt", Buffer.from("two, longer"), { sync: "full" });
    await files.append?.("x/a.txt", 3, Buffer.from("!"), { sync: "full" });
    await files.append?.("x/b.txt", 0, Buffer.from("b"), { sync: "none" });
    await expect(files.move?.("x/b.txt", "x/a.txt")).rejects.toMatchObject({ code: "EEXIST" });
    await files.move?.("x/a.txt", "y/a.txt");

    expect(await textOf(files.read("y/a.txt", 1))).toBe("wo!");
    expect(await files.sizeOf?.("y/a.txt")).toBe(4);
    expect(await files.sizeOf?.("x/a.txt")).toBeUndefined();
    await files.remove?.("x/b.txt");
    await expect(textOf(files.read("x/b.txt", 0))).rejects.toMatchObject({ code: "ENOENT" });
    expect((await files.list("", signal)).map(({ path }) => path)).toEqual(["y/a.txt"]);
  });

  test("are not made below what is a file", async () => {
    const files = localFiles(folder);
    await files.write("a.txt", Buffer.from("a"), { sync: "none" });

    await expect(files.append?.("a.txt/b.txt", 0, Buffer.from("b"), { sync: "none" })).rejects.toMatchObject({
      code: "ENOTDIR",
    });
    expect((await files.list("", signal)).map(({ path }) => path)).toEqual(["a.txt"]);
  });

  test.each(["../a", "/etc/passwd", "a/../../b", "", "a//b", "./a", "a\0b"])("%j leads nowhere else", async (path) => {
    const files = localFiles(folder);

    await expect(async () => files.write(path, Buffer.from(""), { sync: "none" })).rejects.toMatchObject({
      code: "EINVAL",
    });
  });

  test("keep the file as it was if replacing it fails, without a trace", async () => {
    const files = localFiles(folder);
    await mkdir(join(folder, "a.txt"));

    await expect(files.write("a.txt", Buffer.from("x"), { sync: "full" })).rejects.toThrow();

    expect((await stat(join(folder, "a.txt"))).isDirectory()).toBe(true);
    expect(await files.list("", signal)).toEqual([]);
  });
});

describe("an export of files of this computer", () => {
  let nth = 0;
  // That of a test is removed after it.
  let shared = "";
  beforeAll(async () => {
    shared = await mkdtemp(join(tmpdir(), "poundlock-files-"));
  });
  afterAll(() => rm(shared, { recursive: true, force: true }));
  const cases = fileExportCases(async () => ({ files: localFiles(join(shared, String(++nth))) }));
  for (const { title, run } of cases) test(title, run);

  test("no case is skipped", () => expect(cases.skipped).toEqual([]));
});

describe.each([
  ["a file for each page", { path: true }],
  ["one file", { append: "all.ndjson" }],
] as const)("an import into %s of this computer", (_, place) => {
  let nth = 0;
  const cases = fileImportCases(async () => fallible(localFiles(join(folder, `import-${++nth}`))), place);
  for (const { title, run } of cases) test(title, run);
});

test("files move from folder to folder, through pages that are packed", async () => {
  const files = localFiles(folder);
  const records = Array.from({ length: 250 }, (_, id) => ({ id }));
  await files.write("in/a.ndjson.gz", (await import("node:zlib")).gzipSync(ndjson().write(records, { first: true })), { sync: "none" }); // prettier-ignore
  const from = fileExport<{ id: number }>({
    files,
    match: "in/*.gz",
    format: ndjson(),
    settleMs: 0,
    done: { moveTo: "done" },
  });
  const into = fileImport<{ id: number }>({ files, format: ndjson(), append: "out.ndjson" });
  const registry = new FlowRegistry({
    exports: { from },
    imports: { into, other: collectingImport<{ id: number }>() },
  });
  await using scheduler = new Scheduler(registry);
  await scheduler.start();
  const flow = await registry.create({ name: "files", _exportId: "from", _importIds: ["into", "other"] });

  const run = await scheduler.waitFor((await scheduler.run(flow._id))._id);

  expect(run).toMatchObject({ status: "completed", numSuccess: 500 });
  expect((await readFile(join(folder, "out.ndjson"), "utf8")).split("\n").slice(0, 2)).toEqual([
    '{"id":0}',
    '{"id":1}',
  ]);
  expect((await files.list("done", signal)).map(({ path }) => path)).toEqual(["done/in/a.ndjson.gz"]);
});
