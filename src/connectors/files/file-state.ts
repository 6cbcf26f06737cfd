import type { FileEntry } from "./file-system.ts";

/** How far one file is read. */
export type FileProgress = readonly [
  size: number,
  modified: number,
  /** The byte after the last record, or, where none can be gone to, how many records are read. */
  read: number,
  /** Line ends before that. */
  line: number,
  /** 1: to its end. */
  done: 0 | 1,
];

/** Where the reading of files goes on. */
export interface FilesCheckpoint {
  /** Files up to here, by time of change and path, are read, but for those in `files`. */
  readonly before?: readonly [modified: number, path: string];
  readonly files: Readonly<Record<string, FileProgress>>;
}

/** Which files are read, and how far; folds the oldest once there are more than `remember`. */
export class FilesState {
  readonly #remember: number;
  readonly #files: Map<string, FileProgress>;
  #before: FilesCheckpoint["before"];

  constructor(checkpoint: FilesCheckpoint | undefined, remember: number) {
    this.#remember = remember;
    this.#files = new Map(Object.entries(checkpoint?.files ?? {}));
    this.#before = checkpoint?.before;
  }

  /** Where reading the file goes on; undefined if it is read as it is. */
  placeIn(file: FileEntry, grows: boolean): { readonly read: number; readonly line: number } | undefined {
    const known = this.#files.get(file.path);
    if (known === undefined) return this.#isFolded(file) ? undefined : { read: 0, line: 0 };
    const [size, modified, read, line, done] = known;
    const isSame = size === file.size && modified === file.modified;
    if (isSame && done === 1) return undefined;
    return isSame || (grows && file.size >= size && file.size >= read) ? { read, line } : { read: 0, line: 0 };
  }

  /** Whether the file, as it is, has been read to its end. */
  isDone({ path, size, modified }: FileEntry): boolean {
    const known = this.#files.get(path);
    return known?.[0] === size && known[1] === modified && known[4] === 1;
  }

  set({ path, size, modified }: FileEntry, read: number, line: number, isDone: boolean): void {
    this.#files.delete(path);
    this.#files.set(path, [size, modified, read, line, isDone ? 1 : 0]);
  }

  /** Forgets files that are not there any more, if there are too many, and folds the oldest of the others. */
  trim(present: ReadonlySet<string>): void {
    if (this.#files.size <= this.#remember) return;
    for (const path of this.#files.keys()) if (!present.has(path)) this.#files.delete(path);
    const surplus = this.#files.size - this.#remember;
    if (surplus <= 0) return;
    const oldest = [...this.#files].sort(
      ([path, [, at]], [other, [, otherAt]]) => at - otherAt || compare(path, other),
    );
    for (const [path, [, modified, , , done]] of oldest.slice(0, surplus)) {
      // What is older than a file that is not read to its end cannot be folded without it.
      if (done === 0) return;
      this.#before = [modified, path];
      this.#files.delete(path);
    }
  }

  checkpoint(): FilesCheckpoint {
    const before = this.#before === undefined ? {} : { before: this.#before };
    return { ...before, files: Object.fromEntries(this.#files) };
  }

  #isFolded({ modified, path }: FileEntry): boolean {
    if (this.#before === undefined) return false;
    const [at, last] = this.#before;
    return modified < at || (modified === at && compare(path, last) <= 0);
  }
}

/** By time of change, then by path. */
export function inOrder(one: FileEntry, other: FileEntry): number {
  return one.modified - other.modified || compare(one.path, other.path);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
