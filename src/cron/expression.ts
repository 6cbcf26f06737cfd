/** Reads an expression, and finds everything wrong with it. Knows neither zones nor the present. */
import { fieldAt, fieldsOfName, itemsOf, termsOf } from "./fields.ts";
import { Cache } from "./cache.ts";
import { Pattern } from "./pattern.ts";
import { isHashed, slotRange, withSlot, withSlots } from "./hash.ts";

/** cron-parser's own limit, which parsing item by item would get round. */
const MAX_LENGTH = 1_024;

/** An expression as six fields, seconds first. */
export interface Reading {
  /** Six if there are no problems. */
  readonly fields: readonly string[];
  /** The fields with one space between them, so that expressions that differ in spaces only have the same. */
  readonly text: string;
  /** Some field holds an `H`. */
  readonly hashed: boolean;
  /** Whatever is wrong in any zone, for whichever slots `H` draws: what was expected, and what was found. */
  readonly problems: readonly string[];
}

/** Reads an expression; the 2,048 last read are remembered. */
export function readingOf(expression: string): Reading {
  return expression.length > MAX_LENGTH ? read(expression) : readings.get(expression);
}

const readings = new Cache(2_048, read);

function read(expression: string): Reading {
  const fields = fieldsOf(expression);
  const count = countProblem(expression, fields.length);
  return {
    fields,
    text: fields.join(" "),
    hashed: fields.some((field) => itemsOf(field).some(isHashed)),
    problems: count === undefined ? fieldProblems(fields) : [count],
  };
}

/** Six fields if there are five or six or a known `@name`; else as many as there are. */
function fieldsOf(expression: string): readonly string[] {
  if (expression.length > MAX_LENGTH) return [];
  const fields = expression.split(/\s+/).filter((field) => field !== "");
  if (fields.length === 1) return fieldsOfName(fields[0] ?? "") ?? fields;
  if (fields.length === 5) return ["0", ...fields];
  return fields.length === 6 && fields[0] === "?" ? ["0", ...fields.slice(1)] : fields;
}

function countProblem(expression: string, count: number): string | undefined {
  if (count === 6) return undefined;
  const expected = "expected five fields (minute, hour, day of month, month, day of week), or six with seconds first";
  if (expression.length > MAX_LENGTH)
    return `${expected}, in at most ${MAX_LENGTH} characters, found ${expression.length} characters`;
  if (count === 0) return `${expected}, found an empty schedule`;
  return `${expected}, found ${count === 1 ? "only one" : count} in ${quoted(expression)}`;
}

/**
 * The seconds and the month are where it depends on the slot drawn whether there is a problem, and neither has more
 * than 60 slots: then all are tried.
 */
function fieldProblems(fields: readonly string[]): readonly string[] {
  const malformed = fields.flatMap((text, index) => itemsOf(text).flatMap((item) => itemProblem(item, text, index)));
  if (malformed.length > 0) return malformed;
  const draws = [fields[0], fields[4]].some((text) => itemsOf(text ?? "").some(isHashed)) ? 60 : 1;
  for (let draw = 0; draw < draws; draw++) {
    const slot = (draw + 0.5) / draws;
    const problems = meaningProblems(fields, withSlots(fields, [slot, slot, slot, slot, slot, slot]));
    if (problems.length > 0) return problems;
  }
  return [];
}

function itemProblem(item: string, text: string, index: number): readonly string[] {
  const field = fieldAt(index);
  const found = `found ${quoted(item)}${item === text ? "" : ` in ${quoted(text)}`}`;
  if (item.includes("?") && !(text === "?" && field.unspecified))
    return [`${field.name}: expected "?" only alone and only for seconds, day of month or day of week, ${found}`];
  if (isHashed(item) && slotRange(item, field) === undefined)
    return [`${field.name}: expected H, H/step, H(from-to) or H(from-to)/step in ${field.slots.join("-")}, ${found}`];
  if (parses(withSlot(item, index, 0), index)) return [];
  return [`${field.name}: expected ${field.expects}, or "*", lists, ranges or steps of these, ${found}`];
}

/** An `H` that is left now is in no place where we know what it means, and cron-parser would draw it at random. */
function parses(item: string, index: number): boolean {
  if (/(?<!T)H|H(?!U)/i.test(item)) return false;
  try {
    termsOf(item, index);
    return true;
  } catch {
    return false;
  }
}

function meaningProblems(written: readonly string[], fields: readonly string[]): readonly string[] {
  const pattern = new Pattern(fields.map(termsOf));
  const [seconds = "", , , days = "", months = ""] = written;
  const once = `seconds: expected a single one, as a flow is due at most once a minute, found ${quoted(seconds)}`;
  const never = `expected a date that comes, found day of month ${quoted(days)} in month ${quoted(months)}`;
  return [...(pattern.oncePerMinute ? [] : [once]), ...(pattern.everComes() ? [] : [never])];
}

/** As it is shown in a message: in quotes, and cut after 80 characters. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
