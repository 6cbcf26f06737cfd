/** The six fields of an expression, and what stands in each, as cron-parser reads it. Alone in knowing cron-parser. */
import { CronExpressionParser } from "cron-parser";
import { Cache } from "./cache.ts";
import type { Terms } from "./pattern.ts";

/** One of the six fields of an expression. */
export interface Field {
  /** What cron-parser calls it. */
  readonly key: "second" | "minute" | "hour" | "dayOfMonth" | "month" | "dayOfWeek";
  /** What we call it in messages. */
  readonly name: string;
  /** What may stand here, to follow "expected". */
  readonly expects: string;
  /** `?`, "no specific value", may stand here. In an hour cron-parser would read it as "every". */
  readonly unspecified: boolean;
  /** What `H` draws from. */
  readonly slots: readonly [number, number];
}

const FIELDS: readonly Field[] = [
  { key: "second", name: "seconds", expects: '0-59 or "?"', unspecified: true, slots: [0, 59] },
  { key: "minute", name: "minute", expects: "0-59", unspecified: false, slots: [0, 59] },
  { key: "hour", name: "hour", expects: "0-23", unspecified: false, slots: [0, 23] },
  { key: "dayOfMonth", name: "day of month", expects: '1-31, "L" or "?"', unspecified: true, slots: [1, 28] },
  { key: "month", name: "month", expects: "1-12 or JAN-DEC", unspecified: false, slots: [1, 12] },
  {
    key: "dayOfWeek",
    name: "day of week",
    expects: '0-7 or SUN-SAT (also with "L" or "#1" to "#5") or "?"',
    unspecified: true,
    slots: [0, 6],
  },
];

/** By its place in an expression of six fields: 0 for the seconds to 5 for the day of week. */
export function fieldAt(index: number): Field {
  const field = FIELDS[index];
  if (field === undefined) throw new RangeError(`a schedule has no field ${index}`);
  return field;
}

/** The six fields that a name such as `@daily` stands for; undefined if there is no such name. */
export function fieldsOfName(name: string): readonly string[] | undefined {
  if (!name.startsWith("@")) return undefined;
  try {
    return CronExpressionParser.parse(name).stringify(true).split(" ");
  } catch {
    return undefined;
  }
}

/**
 * The parts of a field that its commas separate. cron-parser reads `#` only in a field of one item; what it says of lists
 * with `#` is for it to say.
 */
export function itemsOf(field: string): readonly string[] {
  return field.includes("#") ? [field] : field.split(",");
}

/** What one item of a field means, in the words of {@link Terms}. */
type Item = Pick<Terms, "values" | "last" | "lasts" | "nth">;

/**
 * What the field at `index` means. cron-parser refuses a field that names a value twice, such as `30,30` or `1-5,3`; by
 * item there is nothing wrong.
 *
 * @throws Error if cron-parser refuses an item.
 */
export function termsOf(text: string, index: number): Terms {
  const items = itemsOf(text).map((item) => ({ item, ...parseItem(item, index) }));
  const isNamed = (item: string, values: readonly number[]) =>
    !item.includes("*") && !(item.includes("/") && values.length > 1);
  return {
    values: sorted(items.flatMap(({ values }) => values)),
    named: sorted(items.flatMap(({ item, values }) => (isNamed(item, values) ? values : []))),
    any: text === "*" || text === "?",
    last: items.some(({ last }) => last),
    lasts: sorted(items.flatMap(({ lasts }) => lasts)),
    nth: items[0]?.nth ?? 0,
  };
}

function sorted(values: readonly number[]): readonly number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** @throws Error if cron-parser refuses the item in the place of that field. */
function parseItem(item: string, index: number): Item {
  return parsedItems.get(`${index} ${item}`);
}

const parsedItems = new Cache(2_048, parse);

function parse(place: string): Item {
  const [index = "", item = ""] = place.split(" ");
  const { key } = fieldAt(Number(index));
  const frame = ["0", "*", "*", "*", "*", "*"].with(Number(index), item).join(" ");
  const parsed = CronExpressionParser.parse(frame).fields;
  const values: readonly (number | string)[] = parsed[key].values;
  const texts = values.filter((value) => typeof value === "string");
  const numbers = values.filter((value) => typeof value === "number");
  return {
    values: key === "dayOfWeek" ? numbers.map((weekday) => weekday % 7) : numbers,
    last: texts.includes("L"),
    lasts: texts.filter((text) => text !== "L").map((text) => parseInt(text) % 7),
    nth: parsed.dayOfWeek.nthDay,
  };
}
