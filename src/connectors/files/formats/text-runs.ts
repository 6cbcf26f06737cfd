import { isAscii, isUtf8 } from "node:buffer";
import { messageOf } from "../../../model/message.ts";
import { type IntegerReading, parseJson as parseExactly } from "../../../model/record/json-integers.ts";
import { RecordFormatError } from "../format.ts";

/** Encodings in which a byte below 0x80 is never a part of another character, so that bytes can be searched. */
const searchable = /^(utf-8|windows-(125\d|874)|iso-8859-(\d|1[0-6]|8-i)|koi8-[ru]|ibm866|macintosh|x-mac-cyrillic)$/;

/** Turns bytes into a string; undefined if they are none in this encoding. */
export type Decode = (bytes: Buffer) => string | undefined;

/** The name of an encoding by one of its labels; undefined if the runtime does not know it. */
export function encodingOf(label: unknown): string | undefined {
  try {
    return typeof label === "string" ? new TextDecoder(label).encoding : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a newline is one byte in this encoding, and nothing else is that byte. */
export function isSearchable(encoding: string): boolean {
  return searchable.test(encoding);
}

/** For encodings that {@link isSearchable} takes. */
export function decoderOf(encoding: string): Decode {
  if (encoding === "utf-8") return decodeUtf8;
  if (encoding === "windows-1252") return decodeWindows1252;
  const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
  return (bytes) => {
    if (isAscii(bytes)) return bytes.toString("latin1");
    try {
      return decoder.decode(bytes);
    } catch {
      return undefined;
    }
  };
}

// What stands at 0x80 to 0x9F: `TextDecoder` of some versions of Node (20.20, say) reads these as control characters of Latin-1.
const windows1252 =
  "\u20AC\x81\u201A\u0192\u201E\u2026\u2020\u2021\u02C6\u2030\u0160\u2039\u0152\x8D\u017D\x8F" +
  "\x90\u2018\u2019\u201C\u201D\u2022\u2013\u2014\u02DC\u2122\u0161\u203A\u0153\x9D\u017E\u0178";

function decodeWindows1252(bytes: Buffer): string {
  const text = bytes.toString("latin1");
  return isAscii(bytes) ? text : text.replace(/[\x80-\x9F]/g, (each) => windows1252.charAt(each.charCodeAt(0) - 0x80));
}

function decodeUtf8(bytes: Buffer): string | undefined {
  if (isAscii(bytes)) return bytes.toString("latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : undefined;
}

/** The bytes that are not read yet. A chunk is copied only where a record goes on in the next one; then with room to grow. */
export class ByteQueue {
  /** What is not read yet. Views of it are not to be kept. */
  bytes: Buffer = Buffer.alloc(0);
  /** Where it begins in the file. */
  start = 0;
  readonly #maxRecordBytes: number;
  /** What `bytes` is the last part of, up to `#end`, if it is a copy. */
  #copy = Buffer.alloc(0);
  #end = 0;
  #atStart = true;

  constructor(maxRecordBytes: number) {
    this.#maxRecordBytes = maxRecordBytes;
  }

  /**
   * Adds a chunk; `line` is that of the record that comes next. At the start of a file a byte order mark of UTF-8 is passed over.
   *
   * @throws RangeError if what is not read yet is more than a record may have.
   */
  push(chunk: Uint8Array, line: number): void {
    this.check(this.bytes.length, line);
    const added = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.bytes.length === 0) this.bytes = added;
    else this.#append(added);
    if (this.#atStart && this.bytes.length >= 3) this.#passMark();
  }

  /** At the end of the file, when no more bytes come. */
  close(): void {
    if (this.#atStart) this.#passMark();
  }

  /** Whether what is there may still be the beginning of a byte order mark. */
  get isUndecided(): boolean {
    return this.#atStart;
  }

  /** The first `count` bytes are read. */
  read(count: number): void {
    this.bytes = this.bytes.subarray(count);
    this.start += count;
  }

  skipTo(byte: number): void {
    this.bytes = Buffer.alloc(0);
    this.start = byte;
    this.#atStart = byte === 0;
  }

  /** @throws RangeError if a record of so many bytes, which begins in this line, is longer than it may be. */
  check(length: number, line: number): void {
    if (length > this.#maxRecordBytes)
      throw new RangeError(`line ${line}: a record has more than ${this.#maxRecordBytes} bytes (maxRecordBytes)`);
  }

  #append(added: Buffer): void {
    const { length } = this.bytes;
    const isCopy = length > 0 && this.#copy.buffer === this.bytes.buffer;
    if (!isCopy || this.#end + added.length > this.#copy.length) {
      const grown = Buffer.alloc(2 * (length + added.length));
      this.bytes.copy(grown);
      this.#copy = grown;
      this.#end = length;
    }
    added.copy(this.#copy, this.#end);
    this.#end += added.length;
    this.bytes = this.#copy.subarray(this.#end - length - added.length, this.#end);
  }

  #passMark(): void {
    this.#atStart = false;
    if (this.bytes[0] === 0xef && this.bytes[1] === 0xbb && this.bytes[2] === 0xbf) this.read(3);
  }
}

/**
 * A record as JSON.
 *
 * @throws RecordFormatError if it is none.
 */
export function jsonOf(record: unknown, index: number): string {
  let text: unknown;
  try {
    text = JSON.stringify(record);
  } catch (error) {
    throw new RecordFormatError(`it is no JSON: ${messageOf(error)}`, { index });
  }
  if (typeof text === "string") return text;
  throw new RecordFormatError("it is no JSON", { index });
}

/** How a piece of JSON is read, and where it begins; with a column messages name the place of what is wrong. */
export interface JsonPlace {
  readonly line: number;
  readonly column?: number;
  /** Undefined: it has no large integers. */
  readonly integers: IntegerReading | undefined;
}

/**
 * The value of a piece of JSON.
 *
 * @throws RecordFormatError if it is none, or has integers that are refused. Quotes nothing of it, as the error of `JSON.parse` would.
 */
export function parseJson(text: string, { line, column, integers }: JsonPlace): unknown {
  let parsed: ReturnType<typeof parseExactly>;
  try {
    if (integers === undefined) return JSON.parse(text);
    parsed = parseExactly(text, integers);
  } catch (error) {
    if (error instanceof RangeError) throw new RecordFormatError(`it is ${error.message}`, { line });
    const [, position] = /at position (\d+)/.exec((error as Error).message) ?? [];
    const at = column === undefined || position === undefined ? {} : { column: column + Number(position) };
    throw new RecordFormatError("it is no JSON", { line, ...at });
  }
  if (parsed.unread === undefined) return parsed.value;
  throw new RecordFormatError("it has an integer whose digits a number would change: say how to read it (integers)", {
    line,
  });
}

/** Why something is no record, by what was thrown while it was read. */
export function formatErrorOf(error: unknown, line: number): RecordFormatError {
  return error instanceof RecordFormatError ? error : new RecordFormatError(messageOf(error), { line });
}

export const newline = 0x0a;

/** How many newlines a string has. */
export function newlinesIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
