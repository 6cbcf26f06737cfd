/** How records stand in a file, or in the body of a response. */
export interface Format<T> {
  /** Whether reading may begin at the byte after any record. False: only at the start, and records are counted. */
  readonly seeks: boolean;
  /** Whether records may be added to a file that has some. */
  readonly appends: boolean;
  /** A reader of one file; `maxRecordBytes` is the most that one record may have. @throws RangeError from `push` beyond it. */
  reader(options: ReaderOptions): FormatReader<T>;
  /**
   * The bytes of records. `first`: at the start of a file; otherwise they follow those of another call.
   *
   * @throws RecordFormatError for a record that cannot be written.
   */
  write(records: readonly T[], options: { readonly first: boolean }): Uint8Array;
  /**
   * For a format that begins with its end, such as Parquet: reads a file in groups of records, in order, without the first
   * `skip` records, and is asked instead of `reader`. Each group is a function that adds its records.
   */
  readonly groups?: (file: RandomFile, skip: number) => AsyncIterable<(into: FoundRecords<T>) => void>;
}

/** A file any part of which can be read. */
export interface RandomFile {
  /** Bytes. */
  readonly size: number;
  /** The bytes from `start` up to `end`. */
  slice(start: number, end: number): Promise<Uint8Array>;
}

/** How a file is read. */
export interface ReaderOptions {
  /** Bytes of one record, at most. */
  readonly maxRecordBytes: number;
}

/** Reads one file, chunk by chunk, wherever it is cut. */
export interface FormatReader<T> {
  /** Whether `skipTo` may be called: what stands before the records, such as a line of column names, has been read. */
  readonly isReady: boolean;
  /** Reads what is complete with `chunk`; the chunk's bytes may be kept until the next call. */
  push(chunk: Uint8Array, into: FoundRecords<T>): void;
  /** Reads what is left at the end of the file. */
  end(into: FoundRecords<T>): void;
  /** Forgets what was pushed: the next chunk begins at this place, which is the end of a record. */
  skipTo(place: FilePlace): void;
}

/** The end of a record in a file. */
export interface FilePlace {
  /** Bytes before it. */
  readonly byte: number;
  /** Line ends before it. */
  readonly line: number;
}

/** What a reader has found. Arrays side by side, so that a record costs no object. */
export class FoundRecords<T> {
  /** In order. */
  readonly records: T[];
  /** Bytes of the file up to the end of each record. */
  readonly ends: number[];
  /** Line ends of the file up to the end of each record. */
  readonly lines: number[];
  /** Of those, what is no record: by place in `records`, where the raw text stands. */
  readonly unreadable = new Map<number, RecordFormatError>();

  constructor(records: T[] = [], ends: number[] = [], lines: number[] = []) {
    this.records = records;
    this.ends = ends;
    this.lines = lines;
  }

  add(record: T, end: number, line: number): void {
    this.records.push(record);
    this.ends.push(end);
    this.lines.push(line);
  }

  addUnreadable(raw: unknown, error: RecordFormatError, end: number, line: number): void {
    this.unreadable.set(this.records.length, error);
    this.add(raw as T, end, line);
  }
}

/** Why something is no record; or why a record cannot be written, `index` being its place. */
export class RecordFormatError extends Error {
  override readonly name = "RecordFormatError";
  /** From 1 on. */
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly index: number | undefined;

  constructor(problem: string, at: RecordPlace) {
    const { line, column, row } = at;
    const place = line === undefined ? "" : `line ${line}${column === undefined ? "" : `, column ${column}`}: `;
    super((row === undefined ? place : `row ${row}: `) + problem);
    this.line = line ?? row;
    this.column = column;
    this.index = at.index;
  }
}

/** Where a record stands: in a file of lines, in one of rows, both from 1 on, or in what is written. */
export interface RecordPlace {
  readonly line?: number;
  readonly column?: number;
  readonly row?: number;
  readonly index?: number;
}
