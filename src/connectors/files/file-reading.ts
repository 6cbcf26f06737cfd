import { isAborted } from "../../clock.ts";
import { messageOf } from "../../model/message.ts";
import type { UnreadableRecord } from "../../model/host/page.ts";
import { itemAt } from "../../model/item-at.ts";
import { outOfReach } from "./file-error.ts";
import type { FileEntry, FileSystem } from "./file-system.ts";
import { type Format, type FormatReader, FoundRecords, type RandomFile } from "./format.ts";
import { isPacked, unpacked } from "./packed.ts";

/** Which part of which file is read. */
export interface ReadPlace {
  readonly file: FileEntry;
  /** The byte to begin at, or, where none can be gone to, how many records to skip. */
  readonly read: number;
  readonly line: number;
  /** Where to end, as `read`; undefined: at the end of the file. */
  readonly end: number | undefined;
  readonly grows: boolean;
  readonly maxRecordBytes: number;
}

/** Records of a file that make a page. */
export interface FilePart<T> {
  readonly records: readonly T[];
  readonly unreadable: readonly UnreadableRecord[];
  /** Where reading goes on after them, as in {@link ReadPlace}. */
  readonly read: number;
  readonly line: number;
  /** Whether the file ends with them. */
  readonly isLast: boolean;
}

/** One file, from a place on. */
export class FileReading<T> {
  readonly #files: FileSystem;
  readonly #format: Format<T>;
  readonly #place: ReadPlace;
  readonly #seeks: boolean;
  /** Records that are to be skipped, where no byte can be gone to. */
  #toSkip: number;
  /** Records of the file up to where reading ends, where no byte can be gone to. */
  readonly #countAtEnd: number;
  /** Records so far, those before this reading included. */
  #count: number;
  #read: number;
  #line: number;

  constructor(files: FileSystem, format: Format<T>, place: ReadPlace) {
    this.#files = files;
    this.#format = format;
    this.#place = place;
    this.#seeks = format.seeks && !isPacked(place.file.path);
    this.#toSkip = this.#seeks ? 0 : place.read;
    this.#countAtEnd = this.#seeks || place.end === undefined ? Infinity : place.end;
    this.#count = place.read;
    this.#read = place.read;
    this.#line = place.line;
  }

  /** Its records in parts of `size`, and at least one part, which says that the file is read. */
  parts(size: number, signal: AbortSignal): AsyncGenerator<FilePart<T>> {
    return this.#format.groups === undefined ? this.#readParts(size, signal) : this.#groupParts(size, signal);
  }

  async *#groupParts(size: number, signal: AbortSignal): AsyncGenerator<FilePart<T>> {
    const { file, read } = this.#place;
    if (isPacked(file.path)) throw new Error("Parquet is packed inside, and cannot be read in a packed file");
    this.#toSkip = 0;
    let found = new FoundRecords<T>();
    for await (const addTo of this.#format.groups?.(sliced(this.#files, file), read) ?? []) {
      if (isAborted(signal)) return;
      addTo(found);
      found = this.#wanted(found);
      let from = 0;
      for (; found.records.length - from > size; from += size) yield this.#part(found, from, from + size, false);
      if (from > 0) found = rest(found, from);
      if (this.#count + found.records.length >= this.#countAtEnd) break;
    }
    yield this.#part(found, 0, found.records.length, true);
  }

  async *#readParts(size: number, signal: AbortSignal): AsyncGenerator<FilePart<T>> {
    const { maxRecordBytes, grows } = this.#place;
    const reader = this.#format.reader({ maxRecordBytes });
    let found = new FoundRecords<T>();
    for await (const chunk of this.#chunks(reader)) {
      if (isAborted(signal)) return;
      this.#call(() => reader.push(chunk, found));
      found = this.#wanted(found);
      let from = 0;
      for (; found.records.length - from > size; from += size) yield this.#part(found, from, from + size, false);
      if (from > 0) found = rest(found, from);
      if (this.#count + found.records.length >= this.#countAtEnd) break;
    }
    if (!grows || !this.#seeks) this.#call(() => reader.end(found));
    found = this.#wanted(found);
    let from = 0;
    for (; found.records.length - from > size; from += size) yield this.#part(found, from, from + size, false);
    yield this.#part(found, from, found.records.length, true);
  }

  // What the reader is to be given. Before a place in the middle comes what a reader needs of the beginning.
  async *#chunks(reader: FormatReader<T>): AsyncGenerator<Uint8Array> {
    const { file, read, line, end = file.size } = this.#place;
    const { path } = file;
    if (!this.#seeks || read === 0) {
      yield* unpacked(path, upTo(this.#files.read(path, 0), this.#seeks ? end : file.size, path));
      return;
    }
    const unused = new FoundRecords<T>();
    if (!reader.isReady)
      for await (const chunk of this.#files.read(path, 0)) {
        this.#call(() => reader.push(chunk, unused));
        if (isReady(reader)) break;
      }
    reader.skipTo({ byte: read, line });
    yield* upTo(this.#files.read(path, read), end - read, path);
  }

  #part(found: FoundRecords<T>, from: number, to: number, isLast: boolean): FilePart<T> {
    const { path } = this.#place.file;
    const hasProblems = found.unreadable.size > 0;
    const records = hasProblems ? [] : found.records.slice(from, to);
    const unreadable: UnreadableRecord[] = [];
    for (let index = from; hasProblems && index < to; index++) {
      const problem = found.unreadable.get(index);
      if (problem === undefined) records.push(found.records[index] as T);
      else {
        const error = new Error(`${path}, ${problem.message}`);
        const key = `${path}, line ${problem.line ?? 0}, ${itemAt(found.ends, index)}`;
        unreadable.push({ raw: found.records[index], error, ...(key.length > 1_000 ? {} : { key }) });
      }
    }
    this.#count += to - from;
    if (to > from) {
      this.#line = itemAt(found.lines, to - 1);
      this.#read = this.#seeks ? itemAt(found.ends, to - 1) : this.#count;
    }
    return { records, unreadable, read: this.#read, line: this.#line, isLast };
  }

  // Without those that were read before, and those that are not to be read.
  #wanted(found: FoundRecords<T>): FoundRecords<T> {
    const skipped = Math.min(this.#toSkip, found.records.length);
    this.#toSkip -= skipped;
    const most = this.#countAtEnd - this.#count;
    return skipped === 0 && found.records.length <= most ? found : rest(found, skipped, skipped + most);
  }

  #call(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw new Error(`${this.#place.file.path}, ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Parts of a file, each of which is read by itself. */
function sliced(files: FileSystem, { path, size }: FileEntry): RandomFile {
  return {
    size,
    async slice(start, end) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of upTo(files.read(path, start, end), end - start, path)) chunks.push(chunk);
      return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    },
  };
}

// A call, as it changes with each chunk.
function isReady(reader: FormatReader<unknown>): boolean {
  return reader.isReady;
}

// As long as it was when it was listed: what is added meanwhile is for the next run. One that ends sooner is another file by
// now, or was cut off on its way.
async function* upTo(chunks: AsyncIterable<Uint8Array>, bytes: number, path: string): AsyncGenerator<Uint8Array> {
  let left = bytes;
  if (left <= 0) return;
  for await (const chunk of chunks) {
    yield chunk.length > left ? chunk.subarray(0, left) : chunk;
    left -= chunk.length;
    if (left <= 0) return;
  }
  throw outOfReach(path, new Error(`it ends ${left} bytes before its size`));
}

function rest<T>(found: FoundRecords<T>, from: number, to = Infinity): FoundRecords<T> {
  const left = new FoundRecords<T>(
    found.records.slice(from, to),
    found.ends.slice(from, to),
    found.lines.slice(from, to),
  );
  for (const [index, problem] of found.unreadable)
    if (index >= from && index < to) left.unreadable.set(index - from, problem);
  return left;
}
