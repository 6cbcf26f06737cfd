/** The six fields of an expression, and what is in each, as cron-parser reads it. Alone in knowing cron-parser. */
import { CronExpressionParser } from "cron-parser";
import { Cache } from "./cache.ts";
import type { Terms } from "./pattern.ts";

/** One of the six fields of an expression. */
export interface Field {
  /** What cron-parser calls it. */
  readonly key: "second" | "minute" | "hour" | "dayOfMonth" | "month" | "dayOfWeek";
  /** What messages call it. */
  readonly name: string;
  /** What is accepted here, to follow "expected". */
  readonly expects: string;
  /** The smallest and the largest number that is accepted here. */
  readonly range: readonly [number, number];
  /** Names of the numbers from the smallest on, in upper case; none in most fields. */
  readonly names: readonly string[];
  /** How many different values there are: fewer than numbers where 0 and 7 are both Sunday. */
  readonly count: number;
  /** `?`, "no specific value", is accepted here. In an hour cron-parser would read it as "every". */
  readonly unspecified: boolean;
  /** The smallest and the largest number that `H` draws from. */
  readonly slots: readonly [number, number];
}

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const SIXTY = { expects: "0-59", range: [0, 59], names: [], count: 60, unspecified: false, slots: [0, 59] } as const;

const FIELDS: readonly Field[] = [
  { ...SIXTY, key: "second", name: "seconds", expects: '0-59 or "?"', unspecified: true },
  { ...SIXTY, key: "minute", name: "minute" },
  { ...SIXTY, key: "hour", name: "hour", expects: "0-23", range: [0, 23], count: 24, slots: [0, 23] },
  {
    key: "dayOfMonth",
    name: "day of month",
    expects: '1-31, "L" or "?"',
    range: [1, 31],
    names: [],
    count: 31,
    unspecified: true,
    slots: [1, 28],
  },
  {
    key: "month",
    name: "month",
    expects: "1-12 or JAN-DEC",
    range: [1, 12],
    names: MONTHS,
    count: 12,
    unspecified: false,
    slots: [1, 12],
  },
  {
    key: "dayOfWeek",
    name: "day of week",
    expects: '0-7 or SUN-SAT (also with "L" or "#1" to "#5") or "?"',
    range: [0, 7],
    names: WEEKDAYS,
    count: 7,
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
 * The parts of a field between its commas. A field with `#` is one item: cron-parser does not read `#` in lists, so nor
 * do we.
 */
export function itemsOf(field: string): readonly string[] {
  return field.includes("#") ? [field] : field.split(",");
}

/** What one item of a field means, in the words of {@link Terms}. */
type Item = Pick<Terms, "values" | "last" | "lasts" | "nth">;

/** Whether cron-parser reads an item in the field at `index`. */
export function isReadable(item: string, index: number): boolean {
  try {
    items.get(`${index} ${item}`);
    return true;
  } catch {
    return false;
  }
}

/**
 * What the field at `index` means. It is read item by item, because cron-parser refuses a field that names a value twice,
 * such as `30,30` or `1-5,3`.
 *
 * @throws Error if cron-parser refuses an item.
 */
export function termsOf(field: string, index: number): Terms {
  return terms.get(`${index} ${field}`);
}

/** By the index of a field, a space, and the field as it is written. */
const terms = new Cache(2_048, (place): Terms => {
  const [index = "", field = ""] = place.split(" ");
  const read = itemsOf(field).map((item) => ({ item, ...items.get(`${index} ${item}`) }));
  const isNamed = (item: string, values: readonly number[]) =>
    !item.includes("*") && !(item.includes("/") && values.length > 1);
  return {
    values: sorted(read.flatMap(({ values }) => values)),
    named: sorted(read.flatMap(({ item, values }) => (isNamed(item, values) ? values : []))),
    any: field === "*" || field === "?",
    last: read.some(({ last }) => last),
    lasts: sorted(read.flatMap(({ lasts }) => lasts)),
    nth: read[0]?.nth ?? 0,
  };
});

function sorted(values: readonly number[]): readonly number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** By the index of a field, a space, and an item of it. */
const items = new Cache(2_048, (place): Item => {
  const [index = "", item = ""] = place.split(" ");
  const { key } = fieldAt(Number(index));
  const expression = ["0", "*", "*", "*", "*", "*"].with(Number(index), item).join(" ");
  const parsed = CronExpressionParser.parse(expression).fields;
  const values: readonly (number | string)[] = parsed[key].values;
  const symbols = values.filter((value) => typeof value === "string");
  const numbers = values.filter((value) => typeof value === "number");
  return {
    values: key === "dayOfWeek" ? numbers.map((weekday) => weekday % 7) : numbers,
    last: symbols.includes("L"),
    lasts: symbols.filter((symbol) => symbol !== "L").map((symbol) => parseInt(symbol) % 7),
    nth: parsed.dayOfWeek.nthDay,
  };
});
