import { expect } from "vitest";
import { type FileSystem, csv, fileExport, fileImport, ndjson } from "../../../src/connectors/files/index.ts";
import { type Page, retryLater } from "../../../src/index.ts";
import { ManualClock, exportCases, importCases } from "../../../src/testing/index.ts";
import { exportContext } from "../http/contexts.ts";

/** A file system for tests, empty to begin with. */
export interface OpenFiles {
  readonly files: FileSystem;
  /** Lets the next change fail for now. */
  goDown?(): void;
}

/** A file system whose next change of a file fails for now, when that is asked for. */
export function fallible(files: FileSystem): OpenFiles {
  let isDown = false;
  const fail = () => {
    if (!isDown) return;
    isDown = false;
    throw retryLater("it is down");
  };
  return {
    files: {
      ...files,
      async write(...given) {
        fail();
        await files.write(...given);
      },
      async append(...given) {
        if (!given[0].endsWith(".page")) fail();
        await files.append?.(...given);
      },
    },
    goDown: () => (isDown = true),
  };
}

interface Case {
  readonly title: string;
  readonly run: () => Promise<void>;
}

const { signal } = new AbortController();

export async function textOf(files: FileSystem, path: string, start = 0): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of files.read(path, start)) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

async function pathsIn(files: FileSystem, folder = ""): Promise<string[]> {
  return (await files.list(folder, signal)).map(({ path }) => path).sort();
}

/** What every file system has to do, whatever it is. */
export function fileSystemCases(open: () => Promise<OpenFiles>): readonly Case[] {
  const sync = { sync: "full" } as const;
  const cases: Record<string, (files: FileSystem) => Promise<void>> = {
    "lists files however deep, with their sizes and times, and none of a folder that is not there": async (files) => {
      await files.write("a/b/c.txt", Buffer.from("12345"), sync);
      await files.write("a/d e+ü%.txt", Buffer.from("1"), sync);
      await files.write("ab/e.txt", Buffer.from("1"), sync);

      const listed = [...(await files.list("a", signal))].sort((one, other) => (one.path < other.path ? -1 : 1));

      expect(listed.map(({ path, size }) => [path, size])).toEqual([
        ["a/b/c.txt", 5],
        ["a/d e+ü%.txt", 1],
      ]);
      for (const { modified } of listed) expect(Math.abs(Date.now() - modified)).toBeLessThan(120_000);
      expect(await pathsIn(files)).toHaveLength(3);
      expect(await pathsIn(files, "none")).toEqual([]);
      expect(await textOf(files, "a/d e+ü%.txt")).toBe("1");
    },
    "reads from any byte on, nothing at the end, and says ENOENT of what is not there": async (files) => {
      await files.write("a.txt", Buffer.from("0123456789"), sync);

      expect(await Promise.all([0, 3, 10].map((start) => textOf(files, "a.txt", start)))).toEqual([
        "0123456789",
        "3456789",
        "",
      ]);
      await expect(textOf(files, "b.txt")).rejects.toMatchObject({ code: "ENOENT" });
      expect([await files.sizeOf?.("a.txt"), await files.sizeOf?.("b.txt")]).toEqual([10, undefined]);
    },
    "replaces a file as a whole, with a shorter or larger one, and leaves no other": async (files) => {
      const large = Buffer.alloc(5_000_000, "0123456789");
      for (const bytes of [large, Buffer.from("two"), Buffer.alloc(0), large]) {
        await files.write("x/a.bin", bytes, sync);
        const parts: Uint8Array[] = [];
        for await (const chunk of files.read("x/a.bin", 0)) parts.push(chunk);
        expect(Buffer.concat(parts).equals(bytes)).toBe(true);
      }
      expect(await pathsIn(files)).toEqual(["x/a.bin"]);
    },
    "moves and removes files, and neither replaces one nor takes one that is not there for moved": async (files) => {
      await files.write("a.txt", Buffer.from("a"), sync);
      await files.write("b.txt", Buffer.from("b"), sync);

      await files.move?.("a.txt", "deep/er/a.txt");
      await expect(files.move?.("b.txt", "deep/er/a.txt")).rejects.toMatchObject({ code: "EEXIST" });
      await expect(files.move?.("gone.txt", "c.txt")).rejects.toMatchObject({ code: "ENOENT" });
      await files.remove?.("b.txt");
      await expect(files.remove?.("b.txt")).rejects.toMatchObject({ code: "ENOENT" });

      expect(await pathsIn(files)).toEqual(["deep/er/a.txt"]);
      expect(await textOf(files, "deep/er/a.txt")).toBe("a");
    },
    "adds to a file at a byte, cutting off what stood there": async (files) => {
      if (files.append === undefined) return;
      await files.append("x/a.txt", 0, Buffer.from("one"), sync);
      await files.append("x/a.txt", 3, Buffer.from(", two"), sync);
      await files.append("x/a.txt", 3, Buffer.from("!"), { sync: "none" });

      expect(await textOf(files, "x/a.txt")).toBe("one!");
    },
    "lets a reading of CSV that was interrupted go on at the byte": async (files) => {
      const rows = Array.from({ length: 900 }, (_, index) => `${index},"line ${index}\nü"`);
      await files.write("in/a.csv", Buffer.from(["id,text", ...rows].join("\n")), sync);
      const from = fileExport({ files, match: "in/*.csv", format: csv(), settleMs: 0, clock: later });

      const pages = await pagesOf(from.pages?.(exportContext({ pageSize: 200 })));
      const resumed = await pagesOf(from.pages?.(exportContext({ pageSize: 200, checkpoint: pages[1]?.checkpoint })));

      expect(pages.flatMap(({ records }) => records)).toHaveLength(900);
      expect(resumed).toEqual(pages.slice(2));
    },
  };
  return Object.entries(cases).map(([title, run]) => ({ title, run: async () => run((await open()).files) }));
}

/** What files are read by has a clock of its own: none of them is too young for it. */
const later = new ManualClock(Date.now() + 86_400_000);

async function pagesOf<T, C>(pages: AsyncIterable<Page<T, C> | readonly T[]> | undefined): Promise<Page<T, C>[]> {
  const all: Page<T, C>[] = [];
  for await (const page of pages ?? []) all.push(page as Page<T, C>);
  return all;
}

/** The published cases of exports, for files that are read there. */
export function fileExportCases(open: () => Promise<OpenFiles>) {
  const lines = (from: number, count: number) =>
    Array.from({ length: count }, (_, nth) => `{"id":${from + nth}}\n`).join("");
  const put = (files: FileSystem, name: string, text: string) =>
    files.write(`in/${name}.ndjson`, Buffer.from(text), { sync: "none" });
  const fill = async () => {
    const { files } = await open();
    for (const [nth, [from, count]] of [[0, 5] as const, [5, 3] as const, [8, 1] as const].entries())
      await put(files, String(nth), lines(from, count));
    return files;
  };
  const exportOf = (files: FileSystem) =>
    fileExport<{ id: number }>({
      ...{ files, match: "in/*.ndjson", format: ndjson<{ id: number }>(), clock: later },
      key: ({ id }) => String(id),
    });
  // Files that were written again would be other ones.
  let filled: Promise<FileSystem> | undefined;
  const full = async () => {
    const files = await (filled ??= fill());
    await files.remove?.("in/late.ndjson").catch(() => undefined);
    return files;
  };
  return exportCases(async () => exportOf(await full()), {
    pageSize: 2,
    empty: async () => exportOf((await open()).files),
    records: () => Array.from({ length: 9 }, (_, id) => ({ id })),
    async addLate() {
      await put(await full(), "late", lines(99, 1));
      return { id: 99 };
    },
  });
}

/** The published cases of imports, for files that are written there. */
export function fileImportCases(open: () => Promise<OpenFiles>, place: { append: string } | { path: true }) {
  const opened = new WeakMap<object, OpenFiles>();
  const make = async () => {
    const there = await open();
    const where = "append" in place ? place : { path: pageOfRun };
    const into = fileImport<{ id: number }>({ files: there.files, format: ndjson<{ id: number }>(), ...where });
    opened.set(into, there);
    return into;
  };
  return importCases<{ id: number }>(make, {
    record: (id) => ({ id }),
    changed: (id) => ({ id: id + 100 }),
    rewrites: true,
    poison: (nth) => ({ id: BigInt(nth) as unknown as number }),
    async read(into) {
      const files = opened.get(into)?.files;
      if (files === undefined) return [];
      const lines: string[] = [];
      for (const path of await pathsIn(files))
        if (!path.endsWith(".page")) lines.push(...(await textOf(files, path)).split("\n"));
      return lines.filter((line) => line !== "").sort();
    },
    goDown: (into) => opened.get(into)?.goDown?.(),
  });
}

const pageOfRun: NonNullable<Parameters<typeof fileImport>[0]["path"]> = ({ run, page }) => `${run._id}/${page}.ndjson`;
