import { InvalidOptionError } from "../../../errors.ts";
import { messageOf } from "../../../model/message.ts";
import { callable, objectWith, string, v, validate } from "../../../model/validate.ts";
import { type Format, type FoundRecords, type RandomFile, RecordFormatError } from "../format.ts";

/** What is used of `hyparquet`. */
export interface ParquetReader {
  parquetMetadataAsync(file: ParquetBuffer): Promise<ParquetMetadata>;
  parquetReadObjects(options: ParquetReadOptions): Promise<Record<string, unknown>[]>;
}

/** Which rows are read. */
export interface ParquetReadOptions {
  file: ParquetBuffer;
  metadata?: ParquetMetadata;
  rowStart?: number;
  rowEnd?: number;
  columns?: string[];
  compressors?: object;
}

/** What a reader is given. */
export interface ParquetBuffer {
  byteLength: number;
  slice(start: number, end?: number): ArrayBuffer | Promise<ArrayBuffer>;
}

/** What is used of a file's metadata. */
export interface ParquetMetadata {
  row_groups: { num_rows: bigint | number }[];
}

/** How Parquet files are read. */
export interface ParquetOptions<T> {
  /** The module `hyparquet`: `import * as hyparquet from "hyparquet"`. */
  readonly reader: ParquetReader;
  /** Decompressors beside Snappy, as `hyparquet-compressors` has them. @default none: files with another compression are an error */
  readonly compressors?: object;
  /** The columns that are read. @default all */
  readonly columns?: readonly string[];
  /** The record in a row. What it throws makes the row unreadable. @default the row itself */
  readonly read?: (row: Readonly<Record<string, unknown>>) => T;
}

const rules = {
  reader: objectWith(["parquetMetadataAsync", "parquetReadObjects"], "the module hyparquet"),
  compressors: v.optional(v.looseObject({}, "an object of decompressors")),
  columns: v.optional(v.pipe(v.array(string, "an array of names"), v.minLength(1, "an array of names"))),
  read: v.optional(callable),
};

/**
 * Parquet, for reading: one row group after the other, of which each is in memory as a whole. 64-bit integers are `bigint`,
 * times are `Date`.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function parquet<T = Readonly<Record<string, unknown>>>(options: ParquetOptions<T>): Format<T> {
  validate(options, rules, InvalidOptionError, "parquet.");
  return {
    seeks: false,
    appends: false,
    reader() {
      throw new TypeError("Parquet can only be read from a file, since it begins with its end");
    },
    write() {
      throw new RecordFormatError("Parquet is only read", {});
    },
    groups: (file, skip) => readGroups(options, file, skip),
  };
}

async function* readGroups<T>(
  { reader, compressors, columns, read }: ParquetOptions<T>,
  file: RandomFile,
  skip: number,
): AsyncGenerator<(into: FoundRecords<T>) => void> {
  const buffer = bufferOf(file);
  const metadata = await reader.parquetMetadataAsync(buffer);
  let first = 0;
  for (const { num_rows } of metadata.row_groups) {
    const [rowStart, rowEnd] = [Math.max(first, skip), first + Number(num_rows)];
    first = rowEnd;
    if (rowStart >= rowEnd) continue;
    const rows = await reader.parquetReadObjects({
      ...{ file: buffer, metadata, rowStart, rowEnd },
      ...(columns === undefined ? {} : { columns: [...columns] }),
      ...(compressors === undefined ? {} : { compressors }),
    });
    yield (into) => addRows(rows, { rowStart, read }, into);
  }
}

function addRows<T>(
  rows: readonly Record<string, unknown>[],
  { rowStart, read }: { readonly rowStart: number; readonly read: ParquetOptions<T>["read"] },
  into: FoundRecords<T>,
): void {
  for (const [index, row] of rows.entries()) {
    const number = rowStart + index + 1;
    try {
      into.add(read === undefined ? (row as T) : read(row), number, number);
    } catch (error) {
      into.addUnreadable(row, new RecordFormatError(messageOf(error), { row: number }), number, number);
    }
  }
}

function bufferOf(file: RandomFile): ParquetBuffer {
  return {
    byteLength: file.size,
    async slice(start, end = file.size) {
      const bytes = await file.slice(start, end);
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    },
  };
}
