import { randomBytes } from "node:crypto";

/** How integers that JavaScript's numbers do not represent are read. */
export type IntegerReading = "refuse" | "string" | "bigint";

/** An integer that could not be read. */
export interface UnreadInteger {
  /** In the parsed value, such as `lines.0.id`; empty for the value itself. */
  readonly place: string;
  /** As it was written, at most 80 characters. */
  readonly text: string;
}

/** What JSON says, or which of its integers could not be read: at most 100 of them, and how many there are. */
export type ParsedJson =
  | { readonly value: unknown; readonly unread?: undefined }
  | { readonly unread: readonly UnreadInteger[]; readonly count: number };

/** Digits of an integer that is read as a string or a `bigint`; what is longer is refused. */
const mostDigits = 1_000;
/** Levels of JSON that is read. */
const deepest = 1_000;
const mostUnread = 100;

/**
 * `JSON.parse`, which rounds large integers: here one whose digits would change is refused. Or every one beyond ±(2^53 - 1)
 * is read as a string or as `bigint`; one with a fraction or an exponent (`1.5e30`) only if its digits would change. Numbers
 * that are too large for JavaScript, and integers of more than 1,000 digits, are always refused. Other numbers, and
 * everything within strings, are read as `JSON.parse` reads them.
 *
 * Linear in the length of the text.
 *
 * @throws SyntaxError if it is not JSON; RangeError if it has more than 1,000 levels.
 */
export function parseJson(text: string, integers: IntegerReading): ParsedJson {
  // Millions of levels are read in seconds, and in hundreds of megabytes.
  if (isTooDeep(text)) throw new RangeError(`nested more than ${deepest} levels deep`);
  const value: unknown = JSON.parse(text);
  // Fewer digits and smaller exponents are always read as they were written.
  if (!/[\d.]{16}|[eE]\+?\d{3}/.test(text)) return { value };
  const marking = new Marking(integers);
  const marked = marking.of(text);
  if (marked === undefined) return { value };
  const parsed: unknown = JSON.parse(marked);
  if (marking.refused > 0) return refusedIn(parsed, marking);
  return integers === "string" ? { value: parsed } : { value: withBigInts(parsed, marking.mark) };
}

/**
 * Whether `parseJson` might read something else of this JSON than `JSON.parse` does; of several values that follow each
 * other, whether it might of one. Much quicker than reading it, and most JSON holds nothing of the kind.
 */
export function mayHaveLargeIntegers(text: string): boolean {
  return /\d{16}|\d[eE]\+?\d+(?:[\s,}\]]|$)/.test(text);
}

function refusedIn(parsed: unknown, { mark, refused: count, first }: Marking): ParsedJson {
  const unread: UnreadInteger[] = [];
  visitMarked(parsed, `${mark}!`, ({ place, text }) => void unread.push({ place: place(), text }));
  // What a later value of the same name replaces has no place.
  return { unread: unread.length > 0 ? unread : [{ place: "", text: first }], count };
}

function withBigInts(parsed: unknown, mark: string): unknown {
  const outermost: Record<string, unknown> = { parsed };
  // Properties of their own: also one named `__proto__` is set like any other.
  visitMarked(outermost, mark, ({ container, name, text }) => void (container[name] = BigInt(text)));
  return outermost.parsed;
}

/** Writes strings in the place of integers that JavaScript does not represent. */
class Marking {
  /** What a string begins with that is to be a `bigint`. With `!` after it, it is refused. Nobody can have put it into the text. */
  readonly mark = randomBytes(12).toString("base64");
  refused = 0;
  /** The first integer that is refused. */
  first = "";
  readonly #integers: IntegerReading;

  constructor(integers: IntegerReading) {
    this.#integers = integers;
  }

  /** The text with strings in place of such integers; undefined if there are none. */
  of(text: string): string | undefined {
    // The text is JSON. So a quotation mark begins a string, and everything else here is all or a part of one number.
    const part = /"|[\d.eE+-]{16,}|-?\d[\d.]*[eE]\+?\d{3,}/g;
    const parts: string[] = [];
    let copied = 0;
    for (let match = part.exec(text); match !== null; match = part.exec(text)) {
      const [found] = match;
      if (found === '"') part.lastIndex = endOfString(text, match.index);
      else if (!isReadAsWritten(found, this.#integers)) {
        parts.push(text.slice(copied, match.index), this.#replacement(found));
        copied = part.lastIndex;
      }
    }
    return parts.length === 0 ? undefined : parts.join("") + text.slice(copied);
  }

  #replacement(found: string): string {
    const integer = this.#integers === "refuse" ? undefined : integerOf(found);
    if (integer !== undefined) return this.#integers === "string" ? `"${integer}"` : `"${this.mark}${integer}"`;
    // Nothing is made of the value any more: what is beyond the places that are listed is only counted.
    if (this.refused++ === 0) this.first = shortened(found);
    return this.refused <= mostUnread ? `"${this.mark}!${shortened(found)}"` : "0";
  }
}

function isTooDeep(text: string): boolean {
  // What is that deep is longer.
  if (text.length <= 2 * deepest) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === quotationMark) at = endOfString(text, at) - 1;
    else if (character === openingBracket || character === openingBrace) depth++;
    else if (character === closingBracket || character === closingBrace) depth--;
    if (depth > deepest) return true;
  }
  return false;
}

const quotationMark = 0x22;
const [openingBracket, closingBracket, openingBrace, closingBrace] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Where the string that begins at `start` has ended. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
  return text.length;
}

/** Whether the number can be left to JavaScript. */
function isReadAsWritten(text: string, integers: IntegerReading): boolean {
  const number = Number(text);
  if (!Number.isFinite(number)) return false;
  // What an integer is read as depends on its size, not on whether it happens to keep its digits.
  if (integers !== "refuse" && isInteger(text)) return Number.isSafeInteger(number);
  const { digits, zeros } = decimal(text);
  return zeros < 0 || digits === decimal(number.toExponential()).digits;
}

/** The integer, written as digits alone; undefined if it is too long. */
function integerOf(text: string): string | undefined {
  if (isInteger(text)) return text.length > mostDigits ? undefined : text;
  // A few characters must not become hundreds of digits.
  if (!Number.isFinite(Number(text))) return undefined;
  const { sign, digits, zeros } = decimal(text);
  return sign + digits + "0".repeat(zeros);
}

function isInteger(text: string): boolean {
  return /^-?\d+$/.test(text);
}

interface Decimal {
  readonly sign: string;
  /** Without zeros at the beginning and at the end. */
  readonly digits: string;
  /** How many zeros follow the digits; negative if the number has a fraction. */
  readonly zeros: number;
}

function decimal(text: string): Decimal {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const all = whole + fraction;
  let end = all.length;
  while (all[end - 1] === "0") end--;
  const zeros = Number(exponent) - fraction.length + all.length - end;
  return { sign, digits: all.slice(0, end).replace(/^0+/, ""), zeros };
}

/** A container that is being searched, and where in it. */
interface Level {
  readonly container: object;
  readonly names: readonly string[];
  next: number;
}

/** A string that begins with the mark, and where it is. */
interface MarkedString {
  readonly container: Record<string, unknown>;
  readonly name: string;
  /** Without the mark. */
  readonly text: string;
  /** The names that lead to it, with dots between them. */
  readonly place: () => string;
}

/** Calls `visit` for each such string below `value`. */
function visitMarked(value: unknown, mark: string, visit: (marked: MarkedString) => void): void {
  // From the outermost.
  const levels: Level[] = [{ container: { value }, names: ["value"], next: 0 }];
  const place = () => levels.slice(1).map(({ names, next }) => names[next - 1]);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const name = level.names[level.next++];
    if (name === undefined) {
      levels.pop();
      continue;
    }
    const container = level.container as Record<string, unknown>;
    const part = container[name];
    if (typeof part === "object" && part !== null) levels.push({ container: part, names: Object.keys(part), next: 0 });
    else if (typeof part === "string" && part.startsWith(mark))
      visit({ container, name, text: part.slice(mark.length), place: () => shortened(place().join("."), 300) });
  }
}

function shortened(text: string, longest = 80): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}
