import { InvalidOptionError } from "../../../errors.ts";
import { type IntegerReading, mayHaveLargeIntegers } from "../../../model/record/json-integers.ts";
import { callable, oneOf, strings, v, validate } from "../../../model/validate.ts";
import { type FilePlace, type Format, type FormatReader, type FoundRecords, RecordFormatError } from "../format.ts";
import { JsonPath } from "./json-path.ts";
import { ByteQueue, decoderOf, formatErrorOf, jsonOf, newline, parseJson } from "./text-runs.ts";

/** How an array of JSON becomes records. */
export interface JsonArrayOptions<T> {
  /** The keys that lead to the array, from the outermost object on. @default the value is the array */
  readonly at?: readonly string[];
  /** The record in an element. What it throws makes the element unreadable. @default the element itself */
  readonly read?: (value: unknown) => T;
  /**
   * `refuse`: an element with an integer whose digits a JavaScript number would change is unreadable. `string`, `bigint`:
   * integers beyond ±(2^53 - 1) are read so, the others as numbers.
   *
   * @default "refuse"
   */
  readonly integers?: "refuse" | "string" | "bigint";
}

const rules = {
  at: v.optional(strings),
  read: v.optional(callable),
  integers: v.optional(oneOf("refuse", "string", "bigint")),
};

/**
 * An array of JSON, in UTF-8, that is read element by element: alone, or within objects (`at`). What comes after the
 * array is not read.
 *
 * @throws `invalid_option` for an option that is unknown or out of range.
 */
export function jsonArray<T = unknown>(options: JsonArrayOptions<T> = {}): Format<T> {
  validate(options, rules, InvalidOptionError, "jsonArray.");
  const { at = [], integers = "refuse" } = options;
  const read = options.read ?? ((value) => value as T);
  return {
    seeks: true,
    appends: false,
    reader: ({ maxRecordBytes }) => new JsonArrayReader<T>({ at, read, integers, maxRecordBytes }),
    write(records) {
      const [before, after] = [at.map((key) => `{${JSON.stringify(key)}:`).join(""), "}".repeat(at.length)];
      return Buffer.from(`${before}[${records.map(jsonOf).join(",\n")}]${after}\n`);
    },
  };
}

const decode = decoderOf("utf-8");

const code = { quote: 0x22, comma: 0x2c, open: 0x5b, close: 0x5d, openBrace: 0x7b, closeBrace: 0x7d, backslash: 0x5c };

interface JsonArrayRule<T> {
  readonly at: readonly string[];
  readonly read: (value: unknown) => T;
  readonly integers: IntegerReading;
  readonly maxRecordBytes: number;
}

class JsonArrayReader<T> implements FormatReader<T> {
  readonly #rule: JsonArrayRule<T>;
  readonly #queue: ByteQueue;
  readonly #path: JsonPath;
  #state: "before" | "between" | "element" | "after" = "before";
  #line = 0;
  /** Of the element that is being searched for its end, which begins the queue. */
  #searched = 0;
  #depth = 0;
  #inString = false;

  constructor(rule: JsonArrayRule<T>) {
    this.#rule = rule;
    this.#queue = new ByteQueue(rule.maxRecordBytes);
    this.#path = new JsonPath(rule.at);
  }

  get isReady(): boolean {
    return this.#state !== "before";
  }

  push(chunk: Uint8Array, into: FoundRecords<T>): void {
    if (this.#state === "after") return;
    this.#queue.push(chunk, this.#line + 1);
    if (!this.#queue.isUndecided) this.#readComplete(into);
  }

  end(into: FoundRecords<T>): void {
    this.#queue.close();
    this.#readComplete(into);
    if (this.#state === "before") throw new RangeError(`there is no array ${this.#path.name}`);
    if (this.#state === "after") return;
    const rest = this.#queue.bytes.toString();
    const error = new RecordFormatError("the array is never closed", { line: this.#line + 1 });
    into.addUnreadable(rest, error, this.#queue.start + this.#queue.bytes.length, this.#line);
  }

  skipTo({ byte, line }: FilePlace): void {
    this.#queue.skipTo(byte);
    this.#line = line;
    this.#state = "between";
    this.#searched = 0;
    this.#depth = 0;
    this.#inString = false;
  }

  #readComplete(into: FoundRecords<T>): void {
    if (this.#state === "before") this.#findArray();
    while (this.#state === "between" || this.#state === "element") {
      if (this.#state === "between" && !this.#findStart()) return;
      const end = this.#findEnd();
      if (end < 0) return;
      this.#add(end, into);
    }
  }

  #findArray(): void {
    const read = this.#path.search(this.#queue.bytes);
    this.#skip(read);
    if (this.#path.isFound) this.#state = "between";
  }

  // False: no element begins in what is there.
  #findStart(): boolean {
    const { bytes } = this.#queue;
    let at = 0;
    while (at < bytes.length && (isSpace(bytes[at]) || bytes[at] === code.comma)) at++;
    const isOver = bytes[at] === code.close;
    this.#skip(isOver ? at + 1 : at);
    if (isOver) this.#state = "after";
    if (isOver || this.#queue.bytes.length === 0) return false;
    this.#state = "element";
    return true;
  }

  // Bytes of the element; -1 if it is not complete.
  #findEnd(): number {
    const { bytes } = this.#queue;
    let at = this.#searched;
    while (at < bytes.length) {
      if (this.#inString) {
        at = this.#stringEnd(at);
        if (at < 0) return -1;
        continue;
      }
      const byte = bytes[at];
      const closes = byte === code.close || byte === code.closeBrace;
      if (this.#depth === 0 && at > 0 && (closes || byte === code.comma || isSpace(byte))) return at;
      at++;
      if (byte === code.quote) this.#inString = true;
      else if (byte === code.open || byte === code.openBrace) this.#depth++;
      else if (closes && --this.#depth === 0) return at;
    }
    this.#searched = at;
    return -1;
  }

  // After the closing quote of a string that `from` is within; -1 if it is not there.
  #stringEnd(from: number): number {
    const { bytes } = this.#queue;
    for (let at = bytes.indexOf(code.quote, from); at >= 0; at = bytes.indexOf(code.quote, at + 1)) {
      let slashes = 0;
      while (bytes[at - 1 - slashes] === code.backslash) slashes++;
      if (slashes % 2 === 1) continue;
      this.#inString = false;
      return at + 1;
    }
    this.#searched = bytes.length;
    return -1;
  }

  #add(length: number, into: FoundRecords<T>): void {
    const bytes = this.#queue.bytes.subarray(0, length);
    const line = this.#line + 1;
    this.#queue.check(length, line);
    this.#skip(length);
    this.#state = "between";
    this.#searched = 0;
    this.#depth = 0;
    const text = decode(bytes);
    try {
      if (text === undefined) throw new RecordFormatError("it is not UTF-8", { line });
      const integers = mayHaveLargeIntegers(text) ? this.#rule.integers : undefined;
      into.add(this.#rule.read(parseJson(text, { line, integers })), this.#queue.start, this.#line);
    } catch (error) {
      into.addUnreadable(text ?? bytes.toString(), formatErrorOf(error, line), this.#queue.start, this.#line);
    }
  }

  #skip(count: number): void {
    const { bytes } = this.#queue;
    for (let at = bytes.indexOf(newline); at >= 0 && at < count; at = bytes.indexOf(newline, at + 1)) this.#line++;
    this.#queue.read(count);
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
