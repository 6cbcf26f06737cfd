import { itemAt } from "../../../model/item-at.ts";
import { type FilePlace, type FormatReader, type FoundRecords, RecordFormatError } from "../format.ts";
import { ByteQueue, type Decode, decoderOf, formatErrorOf, newline, newlinesIn } from "./text-runs.ts";

/** The fields of a row, by the names of the columns. */
export type CsvRow = Readonly<Record<string, string>>;

/** What a {@link CsvReader} goes by. */
export interface CsvRule<T> {
  readonly delimiter: string;
  /** One whose bytes can be searched. */
  readonly encoding: string;
  readonly header: boolean;
  readonly columns: readonly string[] | undefined;
  readonly read: (row: CsvRow) => T;
  readonly maxRecordBytes: number;
}

const quote = 0x22;
const carriageReturn = 0x0d;

const strayQuote = "a quote stands within a field, or text after its closing quote";
const strayReturn = "expected LF or CRLF at the end of a line, found CR alone; within a field it has to be in quotes";

/**
 * Reads runs of lines without a quote at once, and a record with quotes by itself. Each byte is searched a bounded number of
 * times, however the file is cut.
 */
export class CsvReader<T> implements FormatReader<T> {
  readonly #rule: CsvRule<T>;
  readonly #decode: Decode;
  readonly #delimiter: number;
  readonly #queue: ByteQueue;
  #columns: readonly string[] | undefined;
  /** Line ends before the record that comes next. */
  #line = 0;
  /** How far the search for the end of that record has got, and whether it is within quotes there. */
  #searched = 0;
  #inQuotes = false;

  constructor(rule: CsvRule<T>) {
    this.#rule = rule;
    this.#queue = new ByteQueue(rule.maxRecordBytes);
    this.#decode = decoderOf(rule.encoding);
    this.#delimiter = rule.delimiter.charCodeAt(0);
    if (!rule.header) this.#columns = rule.columns;
  }

  get isReady(): boolean {
    return this.#columns !== undefined;
  }

  push(chunk: Uint8Array, into: FoundRecords<T>): void {
    this.#queue.push(chunk, this.#line + 1);
    if (!this.#queue.isUndecided) this.#readComplete(into);
  }

  end(into: FoundRecords<T>): void {
    this.#queue.close();
    this.#readComplete(into);
    const { length } = this.#queue.bytes;
    // Where the last byte is a quote that is not doubled, the search has stopped at it.
    if (length > 0) this.#readRecord(length, into, this.#inQuotes && this.#searched === length);
  }

  skipTo({ byte, line }: FilePlace): void {
    this.#queue.skipTo(byte);
    this.#line = line;
    this.#searched = 0;
    this.#inQuotes = false;
  }

  #readComplete(into: FoundRecords<T>): void {
    let nextQuote = -1;
    for (;;) {
      const { bytes } = this.#queue;
      if (this.#searched === 0 && this.#columns !== undefined) {
        nextQuote = bytes.indexOf(quote);
        const last =
          nextQuote < 0 ? bytes.lastIndexOf(newline) : nextQuote === 0 ? -1 : bytes.lastIndexOf(newline, nextQuote);
        if (last >= 0) this.#readRun(last + 1, into);
        if (nextQuote < 0) {
          this.#searched = this.#queue.bytes.length;
          return;
        }
      }
      const end = this.#findEnd();
      if (end < 0) return;
      this.#readRecord(end, into, false);
    }
  }

  // The bytes of the next record with its line end; -1 if it is not complete.
  #findEnd(): number {
    const { bytes } = this.#queue;
    let at = this.#searched;
    for (;;) {
      if (this.#inQuotes) {
        const closing = bytes.indexOf(quote, at);
        // Whether it is doubled shows with the byte that follows.
        if (closing < 0 || closing + 1 >= bytes.length) {
          this.#searched = closing < 0 ? bytes.length : closing;
          return -1;
        }
        this.#inQuotes = bytes[closing + 1] === quote;
        at = closing + (this.#inQuotes ? 2 : 1);
        continue;
      }
      const lineEnd = bytes.indexOf(newline, at);
      const opening = this.#findOpening(at, lineEnd < 0 ? bytes.length : lineEnd);
      if (opening < 0) {
        this.#searched = lineEnd < 0 ? bytes.length : 0;
        return lineEnd < 0 ? -1 : lineEnd + 1;
      }
      this.#inQuotes = true;
      at = opening + 1;
    }
  }

  // A quote opens a field only at its beginning.
  #findOpening(from: number, to: number): number {
    const { bytes } = this.#queue;
    for (let at = bytes.indexOf(quote, from); at >= 0 && at < to; at = bytes.indexOf(quote, at + 1))
      if (at === 0 || bytes[at - 1] === this.#delimiter) return at;
    return -1;
  }

  // Whole lines without a quote.
  #readRun(length: number, into: FoundRecords<T>): void {
    const bytes = this.#queue.bytes.subarray(0, length);
    const text = this.#decode(bytes);
    if (text === undefined) {
      // Some line is no text in this encoding: the others are.
      for (let left = length; left > 0;) {
        const end = this.#queue.bytes.indexOf(newline) + 1;
        this.#readRecord(end, into, false);
        left -= end;
      }
      return;
    }
    const isSingle = text.length === length;
    const hasReturn = text.includes("\r");
    let end = this.#queue.start;
    for (let start = 0; start < text.length;) {
      const found = text.indexOf("\n", start);
      const isCrLf = text.charCodeAt(found - 1) === carriageReturn && found > start;
      const line = text.slice(start, isCrLf ? found - 1 : found);
      end += (isSingle ? line.length : Buffer.byteLength(line)) + (isCrLf ? 2 : 1);
      this.#line++;
      this.#queue.check(line.length, this.#line);
      if (hasReturn && line.includes("\r")) this.#addStray(line, line.indexOf("\r"), { line: this.#line, end }, into);
      else if (line !== "") this.#readFields(line.split(this.#rule.delimiter), line, end, this.#line, into);
      start = found + 1;
    }
    this.#queue.read(length);
  }

  #readRecord(length: number, into: FoundRecords<T>, isOpen: boolean): void {
    this.#queue.check(length, this.#line + 1);
    const bytes = this.#queue.bytes.subarray(0, length);
    const end = this.#queue.start + length;
    const line = this.#line + 1;
    const text = this.#decode(bytes);
    this.#line += text === undefined ? newlinesIn(bytes.toString("latin1")) : newlinesIn(text);
    if (bytes[length - 1] !== newline) this.#line++;
    this.#queue.read(length);
    this.#searched = 0;
    this.#inQuotes = false;
    // At the end of a file the second half of CRLF may be missing.
    const record = text?.replace(/\r?\n$|\r$/, "");
    if (record === "") return;
    if (record === undefined || isOpen) {
      const problem = isOpen ? "a quote is never closed" : `it is not ${this.#rule.encoding}`;
      this.#addUnreadable(record ?? bytes.toString(), new RecordFormatError(problem, { line }), end, into);
      return;
    }
    const fields = splitQuoted(record, this.#rule.delimiter);
    if (typeof fields === "number") this.#addStray(record, fields, { line, end }, into);
    else this.#readFields(fields, record, end, line, into);
  }

  #addStray(record: string, at: number, place: { line: number; end: number }, into: FoundRecords<T>): void {
    const before = record.slice(0, at);
    const line = place.line + newlinesIn(before);
    const column = at - before.lastIndexOf("\n");
    const problem = record[at] === "\r" ? strayReturn : strayQuote;
    this.#addUnreadable(record, new RecordFormatError(problem, { line, column }), place.end, into);
  }

  // Without the names of the columns no row can be read, and the next line is not where they are.
  #addUnreadable(raw: string, error: RecordFormatError, end: number, into: FoundRecords<T>): void {
    if (this.#columns === undefined) throw error;
    into.addUnreadable(raw, error, end, this.#line);
  }

  #readFields(fields: readonly string[], raw: string, end: number, line: number, into: FoundRecords<T>): void {
    const columns = this.#columns;
    if (columns === undefined) {
      this.#readHead(fields);
      return;
    }
    if (fields.length !== columns.length) {
      const problem = `expected ${columns.length} fields, found ${fields.length}`;
      into.addUnreadable(raw, new RecordFormatError(problem, { line }), end, this.#line);
      return;
    }
    let record: T;
    try {
      const row: Record<string, string> = {};
      for (let index = 0; index < columns.length; index++) row[itemAt(columns, index)] = itemAt(fields, index);
      record = this.#rule.read(row);
    } catch (error) {
      into.addUnreadable(raw, formatErrorOf(error, line), end, this.#line);
      return;
    }
    into.add(record, end, this.#line);
  }

  #readHead(names: readonly string[]): void {
    const { columns } = this.#rule;
    const missing = columns?.filter((name) => !names.includes(name)) ?? [];
    if (missing.length > 0) throw new RangeError(`the first line lacks ${missing.join(", ")}`);
    const repeated = names.findIndex((name, index) => names.indexOf(name) !== index);
    // Not by its name: where the line of names is missing that is data.
    if (repeated >= 0) {
      const first = names.indexOf(itemAt(names, repeated));
      throw new RangeError(`columns ${first + 1} and ${repeated + 1} of the first line have the same name`);
    }
    if (names.includes("__proto__")) throw new RangeError("a column cannot be called __proto__");
    this.#columns = names;
  }
}

// The fields of a record, or the place of a quote or a carriage return that stands where none may.
function splitQuoted(record: string, delimiter: string): string[] | number {
  const fields: string[] = [];
  for (let start = 0; ;) {
    let end: number;
    if (record.charCodeAt(start) === quote) {
      const closing = closingQuote(record, start + 1);
      fields.push(record.slice(start + 1, closing).replaceAll('""', '"'));
      end = closing + 1;
      if (end < record.length && record[end] !== delimiter) return end;
    } else {
      const found = record.indexOf(delimiter, start);
      end = found < 0 ? record.length : found;
      const field = record.slice(start, end);
      const stray = field.search(/["\r]/);
      if (stray >= 0) return start + stray;
      fields.push(field);
    }
    if (end >= record.length) return fields;
    start = end + 1;
    if (start === record.length) return [...fields, ""];
  }
}

function closingQuote(record: string, from: number): number {
  for (let at = record.indexOf('"', from); at >= 0; at = record.indexOf('"', at + 2))
    if (record.charCodeAt(at + 1) !== quote) return at;
  return record.length;
}
