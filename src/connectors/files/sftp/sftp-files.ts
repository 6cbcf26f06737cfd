import { randomUUID } from "node:crypto";
import { InvalidOptionError } from "../../../errors.ts";
import { callable, string, v, validate } from "../../../model/validate.ts";
import type { FileEntry, FileSystem, WriteFileOptions } from "../file-system.ts";
import { codeOfFileError } from "../file-system.ts";
import { unusable } from "../file-error.ts";
import { type Session, Sessions, type SftpAttributes, type SftpSession } from "./session.ts";

/** Which files of which server. */
export interface SftpFilesOptions {
  /**
   * Connects, and resolves with the session, an `SFTPWrapper` of `ssh2`. Called when one is needed: first, and after the one
   * before has ended or failed. The connection is the host's to end.
   */
  readonly connect: () => Promise<SftpSession>;
  /** The topmost folder; paths are below it. @default where the server lets a session begin */
  readonly folder?: string;
}

const optionRules = {
  connect: callable,
  folder: v.optional(v.pipe(string, v.minLength(1, "the path of a folder"))),
};

/** The name of a file that is being written begins so; such files are not listed. */
const temporary = ".poundlock-";

/**
 * The files below a folder of an SFTP server: listed, read from any byte on, replaced as a whole, added to, moved and
 * removed.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function sftpFiles(options: SftpFilesOptions): FileSystem {
  validate(options, optionRules, InvalidOptionError, "sftpFiles.");
  const { connect, folder = "." } = options;
  const sessions = new Sessions(connect);
  const at = (path: string) => placeBelow(folder, path);
  return {
    list: (below, signal) => sessions.use(below, (session) => listFiles(session, folder, below, signal)),
    read: (path, start, end) => sessions.iterate(path, (session) => readChunks(session, at(path), { start, end })),
    write: (path, bytes, how) => sessions.use(path, (session) => replaceFile(session, at(path), bytes, how)),
    append: (path, from, bytes, how) =>
      sessions.use(path, (session) => appendBytes(session, at(path), from, { bytes, ...how })),
    sizeOf: (path) => sessions.use(path, async (session) => (await unlessGone(session.stat(at(path))))?.size),
    move: (from, to) => sessions.use(from, (session) => moveFile(session, at(from), at(to))),
    remove: (path) => sessions.use(path, (session) => session.unlink(at(path))),
  };
}

function placeBelow(folder: string, path: string): string {
  const parts = path.split("/");
  if (path === "" || path.includes("\0") || parts.some((part) => part === "" || part === ".." || part === "."))
    throw unusable(JSON.stringify(path), "EINVAL", "expected a path below the folder");
  return `${folder.replace(/\/+$/, "")}/${path}`;
}

async function listFiles(
  session: Session,
  root: string,
  below: string,
  signal: AbortSignal,
): Promise<readonly FileEntry[]> {
  const files: FileEntry[] = [];
  const folders = [below];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    const at = folder === "" ? root : placeBelow(root, folder);
    for (const { filename, attrs } of (await unlessGone(session.readdir(at))) ?? []) {
      const path = folder === "" ? filename : `${folder}/${filename}`;
      if (filename.startsWith(temporary) || filename === "." || filename === "..") continue;
      if (attrs.isDirectory()) folders.push(path);
      else if (attrs.isFile()) files.push(entryOf(path, attrs));
      else if (attrs.isSymbolicLink()) {
        const target = await unlessGone(session.stat(placeBelow(root, path)));
        if (target?.isFile() === true) files.push(entryOf(path, target));
      }
    }
  }
  return files;
}

function entryOf(path: string, { size, mtime }: SftpAttributes): FileEntry {
  return { path, size, modified: mtime * 1_000 };
}

// It may vanish between a listing and this.
async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (codeOfFileError(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Bytes that are read at once. */
const chunkBytes = 256 * 1024;

async function* readChunks(
  session: Session,
  at: string,
  { start, end = Infinity }: { readonly start: number; readonly end: number | undefined },
): AsyncGenerator<Uint8Array> {
  const handle = await session.open(at, "r");
  try {
    for (let from = start; from < end;) {
      const chunk = await session.read(handle, from, Math.min(chunkBytes, end - from));
      if (chunk.length === 0) return;
      from += chunk.length;
      yield chunk;
    }
  } finally {
    await session.close(handle).catch(() => undefined);
  }
}

async function replaceFile(session: Session, at: string, bytes: Uint8Array, { sync }: WriteFileOptions): Promise<void> {
  const folder = at.slice(0, at.lastIndexOf("/"));
  await makeFolders(session, folder);
  const draft = `${folder}/${temporary}${randomUUID()}`;
  try {
    await usingFile(session, draft, "wx", async (handle) => {
      await session.write(handle, bytes, 0);
      if (sync === "full") await session.sync(handle);
    });
    await session.replace(draft, at);
  } catch (error) {
    await session.unlink(draft).catch(() => undefined);
    throw error;
  }
}

async function appendBytes(
  session: Session,
  at: string,
  from: number,
  { bytes, sync }: WriteFileOptions & { readonly bytes: Uint8Array },
): Promise<void> {
  await makeFolders(session, at.slice(0, at.lastIndexOf("/")));
  // "r+" refuses a file that is not there, and "w" would empty one that is.
  if ((await unlessGone(session.stat(at))) === undefined) await usingFile(session, at, "a", async () => undefined);
  await usingFile(session, at, "r+", async (handle) => {
    await session.truncate(handle, from);
    await session.write(handle, bytes, from);
    if (sync === "full") await session.sync(handle);
  });
}

async function usingFile(
  session: Session,
  at: string,
  flags: "wx" | "a" | "r+",
  work: (handle: Buffer) => Promise<void>,
): Promise<void> {
  const handle = await session.open(at, flags);
  try {
    await work(handle);
  } finally {
    await session.close(handle);
  }
}

async function makeFolders(session: Session, folder: string): Promise<void> {
  if (folder === "" || (await unlessGone(session.stat(folder))) !== undefined) return;
  await makeFolders(session, folder.slice(0, Math.max(0, folder.lastIndexOf("/"))));
  try {
    await session.mkdir(folder);
  } catch (error) {
    // Somebody else may have made it meanwhile, which servers do not tell from other failures.
    if ((await unlessGone(session.stat(folder))) === undefined) throw error;
  }
}

// Servers disagree on whether a rename replaces what is there.
async function moveFile(session: Session, from: string, to: string): Promise<void> {
  if ((await unlessGone(session.stat(to))) !== undefined) throw unusable(to, "EEXIST", "there is a file already");
  await makeFolders(session, to.slice(0, to.lastIndexOf("/")));
  await session.rename(from, to);
}
