import { InvalidOptionError } from "../../../errors.ts";
import { type IntegerReading, mayHaveLargeIntegers } from "../../../model/record/json-integers.ts";
import { callable, oneOf, v, validate } from "../../../model/validate.ts";
import { type FilePlace, type Format, type FormatReader, type FoundRecords, RecordFormatError } from "../format.ts";
import { ByteQueue, decoderOf, formatErrorOf, jsonOf, newline, parseJson } from "./text-runs.ts";

/** How lines of JSON become records. */
export interface NdjsonOptions<T> {
  /** The record in the value of a line. What it throws makes the line unreadable. @default the value itself */
  readonly read?: (value: unknown) => T;
  /**
   * `refuse`: a line with an integer whose digits a JavaScript number would change is unreadable. `string`, `bigint`: integers
   * beyond ±(2^53 - 1) are read so, the others as numbers.
   *
   * @default "refuse"
   */
  readonly integers?: "refuse" | "string" | "bigint";
}

const rules = { read: v.optional(callable), integers: v.optional(oneOf("refuse", "string", "bigint")) };

/**
 * One JSON value a line, in UTF-8; empty lines are passed over.
 *
 * @throws `invalid_option` for an option that is unknown or out of range.
 */
export function ndjson<T = unknown>(options: NdjsonOptions<T> = {}): Format<T> {
  validate(options, rules, InvalidOptionError, "ndjson.");
  return {
    seeks: true,
    appends: true,
    reader: ({ maxRecordBytes }) =>
      new NdjsonReader<T>({
        maxRecordBytes,
        read: options.read ?? ((value) => value as T),
        integers: options.integers ?? "refuse",
      }),
    write(records) {
      let text = "";
      for (let index = 0; index < records.length; index++) text += `${jsonOf(records[index], index)}\n`;
      return Buffer.from(text);
    },
  };
}

const decode = decoderOf("utf-8");
const openBrace = 0x7b;

interface NdjsonRule<T> {
  readonly maxRecordBytes: number;
  readonly read: (value: unknown) => T;
  readonly integers: IntegerReading;
}

class NdjsonReader<T> implements FormatReader<T> {
  readonly isReady = true;
  readonly #queue: ByteQueue;
  readonly #rule: NdjsonRule<T>;
  #line = 0;
  /** Bytes of the queue in which no newline was found. */
  #searched = 0;

  constructor(rule: NdjsonRule<T>) {
    this.#queue = new ByteQueue(rule.maxRecordBytes);
    this.#rule = rule;
  }

  push(chunk: Uint8Array, into: FoundRecords<T>): void {
    this.#queue.push(chunk, this.#line + 1);
    if (this.#queue.isUndecided) return;
    const { bytes } = this.#queue;
    if (bytes.includes(newline, this.#searched)) this.#lines(bytes.subarray(0, bytes.lastIndexOf(newline) + 1), into);
    this.#searched = this.#queue.bytes.length;
  }

  end(into: FoundRecords<T>): void {
    this.#queue.close();
    const { bytes } = this.#queue;
    if (bytes.length > 0) this.#lines(bytes, into);
    this.#searched = 0;
  }

  skipTo({ byte, line }: FilePlace): void {
    this.#queue.skipTo(byte);
    this.#line = line;
    this.#searched = 0;
  }

  #lines(bytes: Buffer, into: FoundRecords<T>): void {
    const text = decode(bytes);
    if (text === undefined) this.#linesOneByOne(bytes, into);
    else this.#linesOf(text, text.length === bytes.length, into);
    this.#queue.read(bytes.length);
  }

  #linesOf(text: string, isAscii: boolean, into: FoundRecords<T>): void {
    let end = this.#queue.start;
    const isPlain = !mayHaveLargeIntegers(text);
    for (let start = 0; start < text.length;) {
      const found = text.indexOf("\n", start);
      const after = found < 0 ? text.length : found + 1;
      const line = text.slice(start, found < 0 ? after : found);
      end += isAscii ? after - start : Buffer.byteLength(line) + (found < 0 ? 0 : 1);
      this.#line++;
      this.#parse(line, end, isPlain, into);
      start = after;
    }
  }

  // Some line is no UTF-8: the others are.
  #linesOneByOne(bytes: Buffer, into: FoundRecords<T>): void {
    for (let start = 0; start < bytes.length;) {
      const found = bytes.indexOf(newline, start);
      const after = found < 0 ? bytes.length : found + 1;
      const line = bytes.subarray(start, found < 0 ? after : found);
      const end = this.#queue.start + after;
      const text = decode(line);
      this.#line++;
      if (text === undefined)
        into.addUnreadable(
          line.toString(),
          new RecordFormatError("it is not UTF-8", { line: this.#line }),
          end,
          this.#line,
        );
      else this.#parse(text, end, false, into);
      start = after;
    }
  }

  // Plain: without large integers.
  #parse(line: string, end: number, isPlain: boolean, into: FoundRecords<T>): void {
    this.#queue.check(line.length, this.#line);
    // Most begin with a brace, and are not looked through for blanks.
    if (line.charCodeAt(0) !== openBrace && line.trim() === "") return;
    let record: T;
    try {
      const integers = isPlain || !mayHaveLargeIntegers(line) ? undefined : this.#rule.integers;
      record = this.#rule.read(parseJson(line, { line: this.#line, column: 1, integers }));
    } catch (error) {
      into.addUnreadable(line.trimEnd(), formatErrorOf(error, this.#line), end, this.#line);
      return;
    }
    into.add(record, end, this.#line);
  }
}
