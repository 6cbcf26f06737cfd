import { constants } from "node:fs";
import { type FileHandle, copyFile, link, mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { InvalidOptionError } from "../../errors.ts";
import { type FileEntry, type FileSystem, type WriteFileOptions, codeOfFileError } from "./file-system.ts";

/** Bytes that are read at once. */
const chunkBytes = 256 * 1024;

/** The name of a file that is being written begins so; such files are not listed. */
const temporary = ".poundlock-";

/**
 * The files below a folder of this computer. Paths lead nowhere else, but symbolic links to files are followed.
 *
 * @throws `invalid_option` if `folder` is no path.
 */
export function localFiles(folder: string): FileSystem {
  if (typeof folder !== "string" || folder === "")
    throw new InvalidOptionError("localFiles", "the path of a folder", folder);
  const root = resolve(folder);
  return {
    list: (below, signal) => listFiles(root, below, signal),
    read: (path, start, end) => readChunks(pathBelow(root, path), start, end),
    write: (path, bytes, options) => replaceFile(pathBelow(root, path), bytes, options),
    append: (path, at, bytes, options) => appendBytes(pathBelow(root, path), at, bytes, options),
    sizeOf: (path) => sizeOfFile(pathBelow(root, path)),
    move: (from, to) => moveFile(pathBelow(root, from), pathBelow(root, to)),
    remove: (path) => unlink(pathBelow(root, path)),
  };
}

function pathBelow(root: string, path: string): string {
  const parts = path.split("/");
  if (path === "" || path.includes("\0") || parts.some((part) => part === "" || part === ".." || part === "."))
    throw Object.assign(new RangeError(`expected a path below the folder, found ${JSON.stringify(path)}`), {
      code: "EINVAL",
    });
  return join(root, ...parts);
}

async function listFiles(root: string, below: string, signal: AbortSignal): Promise<readonly FileEntry[]> {
  const files: FileEntry[] = [];
  const folders = [below];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    const at = folder === "" ? root : pathBelow(root, folder);
    for (const entry of await unlessGone(readdir(at, { withFileTypes: true }), [])) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) folders.push(path);
      else if (!entry.name.startsWith(temporary) && (entry.isFile() || entry.isSymbolicLink()))
        files.push(...(await entryOf(join(root, path), path)));
    }
  }
  return files;
}

// A file may vanish between the listing and this.
async function entryOf(at: string, path: string): Promise<readonly FileEntry[]> {
  const found = await unlessGone(stat(at), undefined);
  return found?.isFile() === true ? [{ path, size: found.size, modified: found.mtimeMs }] : [];
}

async function unlessGone<T, U>(work: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await work;
  } catch (error) {
    if (codeOfFileError(error) === "ENOENT") return otherwise;
    throw error;
  }
}

// A loop over a handle: a stream that is aborted before it is read throws where nobody listens.
async function* readChunks(path: string, start: number, end = Infinity): AsyncGenerator<Uint8Array> {
  const file = await open(path, "r");
  try {
    for (let at = start; at < end;) {
      const length = Math.min(chunkBytes, end - at);
      const buffer = Buffer.allocUnsafe(length);
      const { bytesRead } = await file.read(buffer, 0, length, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

let lastTemporary = 0;

async function replaceFile(path: string, bytes: Uint8Array, { sync }: WriteFileOptions): Promise<void> {
  const folder = dirname(path);
  const draft = join(folder, `${temporary}${process.pid}-${++lastTemporary}`);
  try {
    await usingNewFile(draft, "wx", async (file) => {
      await writeAll(file, bytes, 0);
      if (sync === "full") await file.sync();
    });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  if (sync === "full") await syncFolder(folder);
}

async function appendBytes(path: string, at: number, bytes: Uint8Array, { sync }: WriteFileOptions): Promise<void> {
  await usingNewFile(path, constants.O_RDWR | constants.O_CREAT, async (file) => {
    await file.truncate(at);
    await writeAll(file, bytes, at);
    if (sync === "full") await file.datasync();
  });
  if (sync === "full" && at === 0) await syncFolder(dirname(path));
}

// Its folders are there but for the first file in them.
async function usingNewFile(
  path: string,
  flags: string | number,
  work: (file: FileHandle) => Promise<void>,
): Promise<void> {
  try {
    await usingFile(path, flags, work);
  } catch (error) {
    if (codeOfFileError(error) !== "ENOENT") throw error;
    await mkdir(dirname(path), { recursive: true });
    await usingFile(path, flags, work);
  }
}

async function usingFile(
  path: string,
  flags: string | number,
  work: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags);
  try {
    await work(file);
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

// Some systems cannot open a folder, and need not: their renames are durable by themselves.
async function syncFolder(folder: string): Promise<void> {
  if (sep === "\\") return;
  await usingFile(folder, "r", (file) => file.sync());
}

async function sizeOfFile(path: string): Promise<number | undefined> {
  return (await unlessGone(stat(path), undefined))?.size;
}

/** What systems say that know no links, or none between these two places. */
const withoutLinks = new Set<unknown>(["EPERM", "ENOSYS", "EXDEV", "EOPNOTSUPP", "EMLINK"]);

// A link refuses to replace what is there, which a rename does not.
async function moveFile(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await link(from, to);
  } catch (error) {
    if (!withoutLinks.has(codeOfFileError(error))) throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL);
  }
  await unlink(from);
}
