import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutation } from "./mutations.ts";

/** The root of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** What no test reads, or what is linked instead of copied. */
const left = new Set([".git", ".work", "coverage", "dist", "node_modules"]);

/**
 * The file's contents with the mutation in place.
 *
 * @throws Error naming the mutation if its text does not stand exactly once in its file.
 */
export function mutate(contents: string, { promise, file, find, replace }: Mutation): string {
  const times = contents.split(find).length - 1;
  if (times !== 1)
    throw new Error(
      `mutation "${promise}": expected this once in ${file}, found it ${times} times; correct test/mutations/mutations.ts:\n${find}`,
    );
  return contents.replace(find, () => replace);
}

/** A copy of the working tree, in which one mutation after another is put in place and removed again. */
export class ScratchTree {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<ScratchTree> {
    const folder = await mkdtemp(join(tmpdir(), "poundlock-mutations-"));
    await cp(root, folder, { recursive: true, filter: (path) => !left.has(basename(path)) });
    await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
    return new ScratchTree(folder);
  }

  /** Calls `work` while the mutation is in place. */
  async with<T>(mutation: Mutation, work: () => Promise<T>): Promise<T> {
    const path = join(this.folder, mutation.file);
    const contents = await readFile(path, "utf8");
    await writeFile(path, mutate(contents, mutation));
    try {
      return await work();
    } finally {
      await writeFile(path, contents);
    }
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
