/** Where files are. What a method throws has the file system's own `code`. Paths have `/` between their parts, and no `..`. */
export interface FileSystem {
  /** The files below a folder, "" being the topmost, however deep, in any order; none if there is no such folder. */
  list(folder: string, signal: AbortSignal): Promise<readonly FileEntry[]>;
  /**
   * The bytes from `start` on; those from `end` on may be left out. A chunk is not changed later.
   *
   * @throws an error with the code `ENOENT` if there is no such file.
   */
  read(path: string, start: number, end?: number): AsyncIterable<Uint8Array>;
  /** Makes or replaces a file, with its folders: afterwards it is either as it was, or has all of these bytes. */
  write(path: string, bytes: Uint8Array, options: WriteFileOptions): Promise<void>;
  /** Cuts a file back to `at` bytes, or makes it, and adds these. */
  append?(path: string, at: number, bytes: Uint8Array, options: WriteFileOptions): Promise<void>;
  /** Its bytes; undefined if there is no such file. Required for appending. */
  sizeOf?(path: string): Promise<number | undefined>;
  /** Moves a file, making folders. @throws an error with the code `EEXIST` if there is one at `to`, `ENOENT` if there is none at `from`. */
  move?(from: string, to: string): Promise<void>;
  /** Removes a file. @throws an error with the code `ENOENT` if there is none. */
  remove?(path: string): Promise<void>;
}

/** One file. */
export interface FileEntry {
  /** Below the topmost folder, with `/` between its parts. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** When it was changed last, in epoch milliseconds, as the file system says. */
  readonly modified: number;
}

/** How a file is written. */
export interface WriteFileOptions {
  /** `full`: durable once it resolves. `none`: when the operating system gets to it; a loss of power may take it. */
  readonly sync: "full" | "none";
}

/** The code of a file system's error. */
export function codeOfFileError(error: unknown): string | undefined {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
