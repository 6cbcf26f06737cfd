import { InvalidOptionError } from "../../../errors.ts";
import { boolean, callable, oneOf, v, validate } from "../../../model/validate.ts";
import { CsvReader, type CsvRow } from "./csv-reader.ts";
import { type Format, type FormatReader, type FoundRecords, RecordFormatError } from "../format.ts";
import { encodingOf, isSearchable } from "./text-runs.ts";

/** How a file of separated values is read and written. */
export interface CsvOptions<T> {
  /** One ASCII character. @default "," */
  readonly delimiter?: string;
  /** What the file is read in: a label that `TextDecoder` knows. Files are written in UTF-8. @default "utf-8" */
  readonly encoding?: string;
  /** Whether the first line has the names of the columns. @default true */
  readonly header?: boolean;
  /**
   * The columns, in their order. Required without `header`. With it, a file has to have them, and may have more and in
   * another order; and they are what is written, where one that a record does not have stays empty.
   *
   * @default those of the first line; to write, the fields of the records of the first page
   */
  readonly columns?: readonly string[];
  /** Where a line ends when it is written. @default "\n" */
  readonly lineEnd?: "\n" | "\r\n";
  /** The record in a row. What it throws makes the row unreadable. @default the row itself */
  readonly read?: (row: CsvRow) => T;
  /** The row of a record. @default the record itself */
  readonly write?: (record: T) => Readonly<Record<string, unknown>>;
}

const rules = {
  delimiter: v.optional(
    v.custom(
      (value) => typeof value === "string" && /^[\t !#-~]$/.test(value),
      "one ASCII character other than a quote",
    ),
  ),
  encoding: v.optional(
    v.custom((label) => encodingOf(label) !== undefined, "the label of an encoding that TextDecoder knows"),
  ),
  header: v.optional(boolean),
  columns: v.optional(
    v.custom(
      (names) =>
        Array.isArray(names) && names.length > 0 && new Set(names).size === names.length && names.every(isName),
      "names, all different",
    ),
  ),
  lineEnd: v.optional(oneOf("\n", "\r\n")),
  read: v.optional(callable),
  write: v.optional(callable),
};

/**
 * Comma separated values (RFC 4180): fields in quotes may contain delimiters, line ends and doubled quotes; lines end
 * with LF or CRLF; empty lines are passed over. A row with more or fewer fields than there are columns is unreadable, and
 * so is one with a carriage return alone outside of quotes. A first line that cannot be read ends the reading.
 *
 * @see https://www.rfc-editor.org/rfc/rfc4180
 * @throws `invalid_option` for an option that is unknown or out of range.
 */
export function csv<T = CsvRow>(options: CsvOptions<T> = {}): Format<T> {
  validate(options, rules, InvalidOptionError, "csv.");
  const { delimiter = ",", header = true, columns, lineEnd = "\n" } = options;
  if (!header && columns === undefined)
    throw new InvalidOptionError("csv.columns", "the names of the columns, since there is no header", columns);
  const encoding = encodingOf(options.encoding) ?? "utf-8";
  const seeks = isSearchable(encoding);
  const read = options.read ?? ((row) => row as T);
  return {
    seeks,
    appends: columns !== undefined,
    reader({ maxRecordBytes }) {
      const rule = { delimiter, encoding: seeks ? encoding : "utf-8", header, columns, read, maxRecordBytes };
      return seeks ? new CsvReader(rule) : new TranscodingReader(new CsvReader(rule), encoding);
    },
    write: (records, { first }) => writeRows(records, options, { delimiter, lineEnd, head: first && header }),
  };
}

function isName(name: unknown): boolean {
  return typeof name === "string" && name !== "" && name !== "__proto__";
}

/** For encodings whose bytes cannot be searched: what it reads is UTF-8. */
class TranscodingReader<T> implements FormatReader<T> {
  readonly isReady = false;
  readonly #reader: FormatReader<T>;
  readonly #decoder: InstanceType<typeof TextDecoder>;

  constructor(reader: FormatReader<T>, encoding: string) {
    this.#reader = reader;
    this.#decoder = new TextDecoder(encoding, { fatal: true });
  }

  push(chunk: Uint8Array, into: FoundRecords<T>): void {
    this.#reader.push(Buffer.from(this.#decoder.decode(chunk, { stream: true })), into);
  }

  end(into: FoundRecords<T>): void {
    this.#reader.push(Buffer.from(this.#decoder.decode()), into);
    this.#reader.end(into);
  }

  skipTo(): void {
    throw new TypeError("a file in this encoding is read from its start");
  }
}

interface WriteRule {
  readonly delimiter: string;
  readonly lineEnd: string;
  readonly head: boolean;
}

function writeRows<T>(records: readonly T[], options: CsvOptions<T>, { delimiter, lineEnd, head }: WriteRule): Buffer {
  const rows = records.map((record, index) => rowOf(record, index, options.write));
  const columns = options.columns ?? [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const special = new RegExp(`["\\r\\n${delimiter.replace(/[\\\]^-]/, "\\$&")}]|^\\s|\\s$`);
  const quoted = (text: string) => (special.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = head ? [columns.map(quoted).join(delimiter)] : [];
  for (const [index, row] of rows.entries()) {
    const line = columns.map((column) => quoted(fieldOf(row[column], column, index))).join(delimiter);
    // An empty line would be passed over.
    lines.push(line === "" ? '""' : line);
  }
  return Buffer.from(lines.map((line) => line + lineEnd).join(""));
}

function rowOf<T>(record: T, index: number, write: CsvOptions<T>["write"]): Readonly<Record<string, unknown>> {
  const row: unknown = write === undefined ? record : write(record);
  if (typeof row === "object" && row !== null) return row as Readonly<Record<string, unknown>>;
  throw new RecordFormatError("it is no object, so it has no columns", { index });
}

function fieldOf(value: unknown, column: string, index: number): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  const text = typeof value === "object" ? (JSON.stringify(value) as string | undefined) : undefined;
  if (text === undefined) throw new RecordFormatError(`${column} cannot be written as text`, { index });
  return text;
}
