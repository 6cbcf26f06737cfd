/** Reads an expression, and finds everything wrong with it. Knows neither zones nor the present. */
import { Cache } from "./cache.ts";
import { type Field, fieldAt, fieldsOfName, isReadable, itemsOf, termsOf } from "./fields.ts";
import { isHashed, slotRange, withSlot, withSlots } from "./hash.ts";
import { Pattern } from "./pattern.ts";

/** In characters. The limit is cron-parser's own; reading item by item would evade it. */
const MAX_LENGTH = 1_024;

/** How many problems of one field are listed: a hostile expression must not make a message many times its size. */
const MAX_PROBLEMS = 5;

/** An expression as six fields, seconds first. */
export interface Expression {
  /** Six if there are no problems. */
  readonly fields: readonly string[];
  /** The fields with one space between them: expressions that differ only in spaces have the same. */
  readonly normalized: string;
  /** Some field has an `H`. */
  readonly hashed: boolean;
  /** Whatever is wrong in any zone, for whichever slots `H` draws: what was expected, and what was found. */
  readonly problems: readonly string[];
}

/** Reads an expression. Those without problems are cached, at least 2,048 of them. */
export function expressionOf(written: string): Expression {
  return written.length > MAX_LENGTH ? read(written) : expressions.get(written);
}

const expressions = new Cache(2_048, read, ({ problems }) => problems.length === 0);

function read(written: string): Expression {
  const fields = fieldsOf(written);
  const count = countProblem(written, fields);
  return {
    fields,
    normalized: fields.join(" "),
    hashed: fields.some(hasHash),
    problems: count === undefined ? fieldProblems(fields) : [count],
  };
}

function hasHash(field: string | undefined): boolean {
  return field !== undefined && itemsOf(field).some(isHashed);
}

/** Six fields if there are five or six or a known `@name`; else as many as there are. */
function fieldsOf(written: string): readonly string[] {
  if (written.length > MAX_LENGTH) return [];
  const fields = written.split(/\s+/).filter((field) => field !== "");
  if (fields.length === 1) return fieldsOfName(fields.join("")) ?? fields;
  if (fields.length === 5) return ["0", ...fields];
  return fields.length === 6 && fields[0] === "?" ? ["0", ...fields.slice(1)] : fields;
}

function countProblem(written: string, fields: readonly string[]): string | undefined {
  if (fields.length === 6) return undefined;
  const expected = "expected five fields (minute, hour, day of month, month, day of week), or six with seconds first";
  if (written.length > MAX_LENGTH)
    return `${expected}, in at most ${MAX_LENGTH} characters, found ${written.length} characters`;
  if (fields[0] === undefined) return `${expected}, found an empty schedule`;
  if (fields.length === 1 && fields[0].startsWith("@"))
    return `expected a name such as "@hourly", "@daily", "@weekly", "@monthly" or "@yearly", found ${quoted(fields[0])}`;
  return `${expected}, found ${fields.length === 1 ? "only one" : fields.length} in ${quoted(written)}`;
}

function fieldProblems(fields: readonly string[]): readonly string[] {
  const malformed = fields.flatMap(itemProblems);
  return malformed.length > 0 ? malformed : meaningProblems(fields);
}

/** What is wrong with the items of one field, each different item once. */
function itemProblems(written: string, index: number): readonly string[] {
  const field = fieldAt(index);
  const problems: string[] = [];
  let more = 0;
  for (const item of new Set(itemsOf(written))) {
    const expected = expectedInstead(item, written, index);
    if (expected === undefined) continue;
    if (problems.length === MAX_PROBLEMS) more++;
    else problems.push(`${field.name}: expected ${expected}, found ${foundIn(written, item)}`);
  }
  if (more > 0) problems.push(`${field.name}: found ${more} more that cannot be read`);
  return problems;
}

/** An empty item is seen only in what surrounds it. */
function foundIn(written: string, item: string): string {
  return item === "" || item === written ? quoted(written) : `${quoted(item)} in ${quoted(written)}`;
}

/** What was expected instead of `item`, an item of the field `written`; undefined if it is valid. */
function expectedInstead(item: string, written: string, index: number): string | undefined {
  const field = fieldAt(index);
  if (item === "") return "a value before and after each comma";
  if (item.includes("?"))
    return written === "?" && field.unspecified
      ? undefined
      : '"?" only alone and only for seconds, day of month or day of week';
  if (isHashed(item))
    return slotRange(item, field) === undefined
      ? `H, H/step, H(from-to) or H(from-to)/step in ${field.slots.join("-")}`
      : unreadable(withSlot(item, index, 0), index);
  if (isSpecial(item, field)) return unreadable(item, index);
  if (item.includes("#") && field.key === "dayOfWeek") return '"#" only alone in its field, as in "MON#2"';
  return expectedRange(item, field) ?? unreadable(item, index);
}

/** Whether it is an item that only days have: `L`, `5L` or `5#2`, without leading zeros, which cron-parser refuses. */
function isSpecial(item: string, field: Field): boolean {
  if (field.key === "dayOfMonth") return item === "L";
  if (field.key !== "dayOfWeek") return false;
  const suffix = item.endsWith("L") ? 1 : 2;
  const day = item.slice(0, -suffix);
  return (suffix === 1 || /^#[1-5]$/.test(item.slice(-2))) && day.length !== 2 && numberOf(day, field) !== undefined;
}

/** What was expected instead of a value, a range or a step; undefined if it is one of these. */
function expectedRange(item: string, field: Field): string | undefined {
  const generally = `${field.expects}, or "*", lists, ranges or steps of these`;
  const [span = "", step, ...others] = item.split("/");
  const [start = "", end = start, ...ends] = span.split("-");
  if (others.length > 0 || ends.length > 0) return generally;
  const [min, max] = field.range;
  const from = span === "*" ? min : numberOf(start, field);
  const to = span === "*" || (step !== undefined && !span.includes("-")) ? max : numberOf(end, field);
  if (from === undefined || to === undefined) return generally;
  if (from > to) return "a range from a smaller value to a larger one, or a list of two ranges";
  const longest = Math.min(to - from + 1, field.count);
  if (step === undefined || isStep(step, longest)) return undefined;
  return longest === 1 ? "a step only in a range of several values" : `a step from 1 to ${longest} in ${from}-${to}`;
}

function isStep(step: string, longest: number): boolean {
  return /^\d{1,2}$/.test(step) && Number(step) >= 1 && Number(step) <= longest;
}

/** The number that is written with one or two digits or as a name; undefined if it is none of this field. */
function numberOf(value: string, { range, names }: Field): number | undefined {
  if (/^[A-Za-z]{3}$/.test(value)) {
    const place = names.indexOf(value.toUpperCase());
    return place < 0 ? undefined : range[0] + place;
  }
  const number = /^\d{1,2}$/.test(value) ? Number(value) : NaN;
  return number >= range[0] && number <= range[1] ? number : undefined;
}

/** What was expected if cron-parser does not read the item. It reads all that is accepted here, until an upgrade. */
function unreadable(item: string, index: number): string | undefined {
  return isReadable(item, index) ? undefined : fieldAt(index).expects;
}

/**
 * The seconds and the month are where it depends on the slot drawn whether there is a problem, and neither has more
 * than 60 slots: then all are tried.
 */
function meaningProblems(fields: readonly string[]): readonly string[] {
  const draws = hasHash(fields[0]) || hasHash(fields[4]) ? 60 : 1;
  for (let draw = 0; draw < draws; draw++) {
    const slot = (draw + 0.5) / draws;
    const problems = drawnProblems(fields, withSlots(fields, [slot, slot, slot, slot, slot, slot]));
    if (problems.length > 0) return problems;
  }
  return [];
}

function drawnProblems(written: readonly string[], fields: readonly string[]): readonly string[] {
  const pattern = new Pattern(fields.map(termsOf));
  const [seconds = "", , , days = "", months = ""] = written;
  const once = `seconds: expected a single one, as a flow is due at most once a minute, found ${quoted(seconds)}`;
  const never = `expected a date that comes, found day of month ${quoted(days)} in month ${quoted(months)}`;
  return [...(pattern.oncePerMinute ? [] : [once]), ...(pattern.everComes() ? [] : [never])];
}

/**
 * As it is shown in a message: in quotes, cut after 80 characters, and with escapes for what is not ASCII, so that a
 * full-width digit or an invisible space is seen to be one.
 */
export function quoted(found: string): string {
  const json = JSON.stringify(found.length > 80 ? `${found.slice(0, 80)}...` : found);
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
