import { CronExpressionParser } from "cron-parser";

/** Why a schedule is refused: the field at fault, and a sentence saying what was expected and what was found. */
export interface CronProblem {
  readonly field: "schedule" | "timezone";
  readonly message: string;
}

/**
 * The due times of one expression in one zone, in epoch milliseconds and on whole seconds: on whole minutes too, unless
 * a six-field expression names another second than 0. No two are in the same minute.
 *
 * Where clocks change, an hour that is named (`2`, `9-17`, `2,14`) is a fixed local time and fires exactly once a day:
 * if the clock skips it, in the first minute after the gap, where several skipped times make one due time; if the
 * clock shows it twice, at the first. An hour that comes from a step (`0-23/2`) follows the clock on the wall: not at
 * all if the clock skips it, and once if the clock shows it twice. Where all 24 hours are named (`*`), the clock on the
 * wall decides alone: each time it shows a matching time is due.
 *
 * @see cron(8) of Vixie cron, which treats fixed times and wildcards so; there a wildcard minute is a wildcard too.
 */
export interface Cron {
  /** First due time strictly after `after`; undefined if there is none in the 400 years that follow. */
  readonly next: (after: number) => number | undefined;
  /** Newest due time from `notBefore` to `at`, both included; undefined if there is none. */
  readonly latest: (at: number, notBefore: number) => number | undefined;
}

/**
 * Everything wrong with a schedule, at once. Empty if it is fine, and then for every seed: no flow is refused because
 * of the slot its `H` draws.
 */
export function checkCron(expression: string, timezone: string): readonly CronProblem[] {
  const { problems } = readingOf(expression);
  if (zones.get(timezone) !== undefined) return problems;
  const message = `expected an IANA time zone such as "Europe/Berlin", found ${quoted(timezone)}`;
  return [...problems, { field: "timezone", message }];
}

/**
 * The due times of `expression` in `timezone`. Calls that mean the same get the same object, as long as it is among the
 * 2,048 last asked for, so they share one parse and one computation of each due time.
 *
 * `seed` (the flow's `_id`) decides what `H` stands for, for good: one slot in each field's range, but 1 to 28 for the
 * day of the month, as in Jenkins, so that no month lacks it.
 *
 * @throws RangeError with the messages of {@link checkCron}, if it finds problems.
 */
export function cronOf(expression: string, timezone: string, seed: string): Cron {
  const { fields, hashed, problems, text } = readingOf(expression);
  if (problems.length > 0 || zones.get(timezone) === undefined)
    throw new RangeError(sentences(checkCron(expression, timezone)));
  return crons.get(`${timezone}\0${hashed ? withSlots(fields, slotsOf(seed)).join(" ") : text}`);
}

const MINUTE = 60_000;
const DAY = 86_400_000;
/** Days after which the calendar repeats, weekdays included: a date that does not come within them never does. */
const CALENDAR_CYCLE = 146_097;
/** The last instant of a `Date`, less what the arithmetic here may add to it. */
const END_OF_TIME = 8.64e15 - 500 * 366 * DAY;
/** cron-parser's own limit, which parsing item by item would get round. */
const MAX_LENGTH = 1_024;

/**
 * Keeps the values last asked for, at least `limit` and less than twice as many: hosts that make up schedules without
 * end do not fill the memory. Two generations, because a hit then moves nothing.
 */
class Memo<V> {
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  readonly #limit: number;
  readonly #make: (key: string) => V;

  constructor(limit: number, make: (key: string) => V) {
    this.#limit = limit;
    this.#make = make;
  }

  get(key: string): V {
    const known = this.#young.get(key);
    if (known !== undefined) return known;
    const value = this.#old.get(key) ?? this.#make(key);
    this.#young.set(key, value);
    if (this.#young.size >= this.#limit) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    return value;
  }
}

const parsedItems = new Memo(2_048, parse);
const readings = new Memo(2_048, read);
const zones = new Memo(256, zoneOf);
const crons = new Memo(2_048, (key): Cron => {
  const [timezone = "", text = ""] = key.split("\0");
  const zone = zones.get(timezone);
  if (zone === undefined) throw new RangeError(`unknown time zone ${quoted(timezone)}`);
  return new ZonedCron(new Pattern(text.split(" ").map(termsOf)), zone);
});

interface Field {
  readonly key: "second" | "minute" | "hour" | "dayOfMonth" | "month" | "dayOfWeek";
  readonly name: string;
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

/** An expression as six fields, seconds first. */
interface Reading {
  readonly fields: readonly string[];
  readonly text: string;
  /** Some field holds an `H`. */
  readonly hashed: boolean;
  readonly problems: readonly CronProblem[];
}

function readingOf(expression: string): Reading {
  return expression.length > MAX_LENGTH ? read(expression) : readings.get(expression);
}

function read(expression: string): Reading {
  const fields = fieldsOf(expression);
  const count = countProblem(expression, fields.length);
  const problems = count === undefined ? fieldProblems(fields) : [count];
  return {
    fields,
    text: fields.join(" "),
    hashed: fields.some((field) => itemsOf(field).some(isHashed)),
    problems: problems.map((message) => ({ field: "schedule", message })),
  };
}

/** Six fields if there are five or six or a known `@name`; else as many as there are. */
function fieldsOf(expression: string): readonly string[] {
  if (expression.length > MAX_LENGTH) return [];
  const fields = expression.split(/\s+/).filter((field) => field !== "");
  if (fields.length === 1) return namedFields(fields[0] ?? "");
  if (fields.length === 5) return ["0", ...fields];
  return fields.length === 6 && fields[0] === "?" ? ["0", ...fields.slice(1)] : fields;
}

function namedFields(name: string): readonly string[] {
  if (!name.startsWith("@")) return [name];
  try {
    return CronExpressionParser.parse(name).stringify(true).split(" ");
  } catch {
    return [name];
  }
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
    parseItem(item, index);
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

function fieldAt(index: number): Field {
  const field = FIELDS[index];
  if (field === undefined) throw new RangeError(`a schedule has no field ${index}`);
  return field;
}

function sentences(problems: readonly CronProblem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join("; ");
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** cron-parser reads `#` only in a field of one item; what it says of lists with `#` is for it to say. */
function itemsOf(field: string): readonly string[] {
  return field.includes("#") ? [field] : field.split(",");
}

const HASHED = /^H(?:\((\d+)-(\d+)\))?(?:\/(\d+)|(L|#[1-5]))?$/;

function isHashed(item: string): boolean {
  return item.startsWith("H");
}

/** What a well-formed `H` item draws from, and the step in which it goes on from there. */
function slotRange(item: string, field: Field): { from: number; to: number; step: number; rest: string } | undefined {
  const match = HASHED.exec(item);
  if (match === null) return undefined;
  const [, from = field.slots[0], to = field.slots[1], step = 0, rest = ""] = match;
  const range = { from: Number(from), to: Number(to), step: Number(step), rest };
  const fits = field.slots[0] <= range.from && range.from <= range.to && range.to <= field.slots[1];
  const steps = match[3] === undefined || (range.step > 0 && range.step <= range.to - range.from + 1);
  return fits && steps ? range : undefined;
}

/** `item` with its `H` replaced by the slot at `draw`, which is from 0 up to but not including 1. */
function withSlot(item: string, index: number, draw: number): string {
  const range = isHashed(item) ? slotRange(item, fieldAt(index)) : undefined;
  if (range === undefined) return item;
  const { from, to, step, rest } = range;
  if (step === 0) return `${from + Math.floor(draw * (to - from + 1))}${rest}`;
  const first = Math.floor(from / step) * step + Math.floor(draw * step);
  return `${first < from ? first + step : first}-${to}/${step}`;
}

function withSlots(fields: readonly string[], draws: readonly number[]): readonly string[] {
  return fields.map((field, index) =>
    itemsOf(field)
      .map((item) => withSlot(item, index, draws[index] ?? 0))
      .join(","),
  );
}

/**
 * One draw per field: FNV-1a of the seed into mulberry32, in cron-parser's order, so that seconds, minute, hour and
 * month get the slots it gives. Kept here because a flow's slot may not move when the parser is upgraded.
 */
function slotsOf(seed: string): readonly number[] {
  let state = 0x811c9dc5;
  for (let i = 0; i < seed.length; i++) state = Math.imul(state ^ seed.charCodeAt(i), 0x01000193);
  const draw = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const [second, minute, hour, month, day, weekday] = [draw(), draw(), draw(), draw(), draw(), draw()];
  return [second, minute, hour, day, month, weekday];
}

/** What one item of a field means. */
interface Item {
  /** Without those that only an `L` brings. */
  readonly values: readonly number[];
  /** For the day of month: the last. */
  readonly last: boolean;
  /** For the day of week: those that `L` makes the last of the month. */
  readonly lasts: readonly number[];
  /** For the day of week: which one of the month, 1 to 5; 0 for all. */
  readonly nth: number;
}

/** What a whole field means; its numbers are sorted. */
interface Terms extends Item {
  /** Those of `values` that are named, not covered by a wildcard or by a step with more than one value. */
  readonly named: readonly number[];
  /** The field is `*` or `?`, which matters where day of month and day of week are combined. */
  readonly any: boolean;
}

/** cron-parser refuses a field that names a value twice, such as `30,30` or `1-5,3`; by item there is nothing wrong. */
function termsOf(text: string, index: number): Terms {
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

/**
 * What an expression means on a clock that never changes. Times here are wall times: what the wall clock shows, as
 * milliseconds of a UTC clock that shows the same.
 */
class Pattern {
  /** All 24 hours are named, in whatever way. */
  readonly everyHour: boolean;
  readonly oncePerMinute: boolean;
  readonly #second: number;
  readonly #minutes: readonly number[];
  readonly #hours: readonly number[];
  readonly #fixedHours: readonly number[];
  readonly #months: ReadonlySet<number>;
  readonly #isDay: (date: number, weekday: number, length: number) => boolean;

  constructor(terms: readonly Terms[]) {
    const [seconds, minutes, hours, days, months, weekdays] = terms;
    if (!seconds || !minutes || !hours || !days || !months || !weekdays)
      throw new RangeError("a schedule has six fields");
    this.oncePerMinute = seconds.values.length === 1;
    this.#second = (seconds.values[0] ?? 0) * 1_000;
    this.#minutes = minutes.values;
    this.#hours = hours.values;
    this.everyHour = hours.values.length === 24;
    this.#fixedHours = this.everyHour ? [] : hours.named;
    this.#months = new Set(months.values);
    this.#isDay = dayRule(days, weekdays);
  }

  /** False for 31 February and its like. */
  everComes(): boolean {
    return this.#dayFrom(0) !== undefined;
  }

  /** First matching wall time at or after `wall`. */
  first(wall: number): number | undefined {
    return this.#first(wall, this.#hours);
  }

  /** As `first`, of those in hours that are named. */
  firstFixed(wall: number): number | undefined {
    return this.#fixedHours.length === 0 ? undefined : this.#first(wall, this.#fixedHours);
  }

  /** First wall time at or after `wall` that shows the right second. */
  firstSecond(wall: number): number {
    return Math.ceil((wall - this.#second) / MINUTE) * MINUTE + this.#second;
  }

  #first(wall: number, hours: readonly number[]): number | undefined {
    const today = Math.floor(wall / DAY);
    const day = this.#dayFrom(today);
    const time = day === today ? this.#timeFrom(wall - today * DAY, hours) : undefined;
    if (time !== undefined) return today * DAY + time;
    const later = day === today ? this.#dayFrom(today + 1) : day;
    return later === undefined ? undefined : later * DAY + (this.#timeFrom(0, hours) ?? 0);
  }

  /** Milliseconds since midnight. */
  #timeFrom(from: number, hours: readonly number[]): number | undefined {
    for (const hour of hours) {
      if ((hour + 1) * 60 * MINUTE <= from) continue;
      for (const minute of this.#minutes) {
        const time = (hour * 60 + minute) * MINUTE + this.#second;
        if (time >= from) return time;
      }
    }
    return undefined;
  }

  /** Days since 1 January 1970. */
  #dayFrom(from: number): number | undefined {
    const start = new Date(from * DAY);
    let date = start.getUTCDate();
    for (let month = start.getUTCMonth(), first = from - date + 1; first < from + CALENDAR_CYCLE; month++) {
      const length = monthLength(start.getUTCFullYear(), month);
      for (; this.#months.has((month % 12) + 1) && date <= length; date++)
        if (this.#isDay(date, weekdayOf(first + date - 1), length)) return first + date - 1;
      first += length;
      date = 1;
    }
    return undefined;
  }
}

/** 0 is Sunday; day 0, 1 January 1970, was a Thursday. */
function weekdayOf(day: number): number {
  return (((day + 4) % 7) + 7) % 7;
}

/** `month` counts from January of `year`, and may go beyond December. */
function monthLength(year: number, month: number): number {
  const inYear = month % 12;
  if (inYear !== 1) return inYear === 3 || inYear === 5 || inYear === 8 || inYear === 10 ? 30 : 31;
  const years = year + Math.floor(month / 12);
  return years % 4 === 0 && (years % 100 !== 0 || years % 400 === 0) ? 29 : 28;
}

/** Day of month or day of week if both are restricted, as in every cron; else the one that is. */
function dayRule(days: Terms, weekdays: Terms): (date: number, weekday: number, length: number) => boolean {
  const dates = new Set(days.values);
  const byDate = (date: number, length: number) => dates.has(date) || (days.last && date === length);
  const byWeekday = (date: number, weekday: number, length: number) =>
    (weekdays.values.includes(weekday) && (weekdays.nth === 0 || Math.ceil(date / 7) === weekdays.nth)) ||
    (weekdays.lasts.includes(weekday) && date > length - 7);
  if (weekdays.any) return (date, _, length) => byDate(date, length);
  if (days.any) return byWeekday;
  return (date, weekday, length) => byDate(date, length) || byWeekday(date, weekday, length);
}

/** The zone's clock is moved at the instant `at`; the offsets are wall time minus UTC. */
interface Change {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/** A UTC day, midnight included, with the change during it, if any: no two in the tz database are less than three days apart. */
interface ZoneDay {
  /** Up to the change; if that is at midnight, the offset of the day before. */
  readonly offset: number;
  readonly change: Change | undefined;
}

class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #days = new Map<number, ZoneDay>();

  constructor(format: Intl.DateTimeFormat) {
    this.#format = format;
  }

  /** `day` counts UTC days since 1 January 1970. */
  day(day: number): ZoneDay {
    let known = this.#days.get(day);
    if (known === undefined) {
      if (this.#days.size >= 512) this.#days.clear();
      known = this.#observe(day * DAY);
      this.#days.set(day, known);
    }
    return known;
  }

  #observe(start: number): ZoneDay {
    const before = this.#offset(start - 1_000);
    const after = this.#offset(start + DAY - 1_000);
    if (before === after) return { offset: before, change: undefined };
    let [low, high] = [start - 1_000, start + DAY - 1_000];
    while (high - low > 1_000) {
      const middle = low + Math.floor((high - low) / 2_000) * 1_000;
      if (this.#offset(middle) === before) low = middle;
      else high = middle;
    }
    return { offset: before, change: { at: high, before, after } };
  }

  #offset(at: number): number {
    const [, sign, hours, minutes, seconds = 0] =
      /GMT([+-])(\d+):(\d+)(?::(\d+))?$/.exec(this.#format.format(at)) ?? [];
    const size = Number(hours ?? 0) * 3_600 + Number(minutes ?? 0) * 60 + Number(seconds);
    return (sign === "-" ? -size : size) * 1_000;
  }
}

/** Undefined if the runtime does not know it. "+02:00" is no zone but an offset, which only newer runtimes take. */
function zoneOf(timezone: string): Zone | undefined {
  if (!/^[A-Za-z]/.test(timezone)) return undefined;
  try {
    return new Zone(new Intl.DateTimeFormat("en-US", { timeZone: timezone, timeZoneName: "longOffset" }));
  } catch {
    return undefined;
  }
}

/** False for NaN too. */
function isReachable(at: number): boolean {
  return Math.abs(at) <= END_OF_TIME;
}

class ZonedCron implements Cron {
  readonly #pattern: Pattern;
  readonly #zone: Zone;
  /** The first due time after `from` is `due`; nothing is due in between. */
  #ahead = { from: Infinity, due: -Infinity };
  /** `due` is due, and nothing after it before `until`. */
  #behind = { due: Infinity, until: -Infinity };

  constructor(pattern: Pattern, zone: Zone) {
    this.#pattern = pattern;
    this.#zone = zone;
  }

  readonly next = (after: number): number | undefined => {
    if (!isReachable(after)) return undefined;
    if (!(after >= this.#ahead.from && after < this.#ahead.due))
      this.#ahead = { from: after, due: this.#dueFrom(Math.floor(after) + 1) };
    return Number.isFinite(this.#ahead.due) ? this.#ahead.due : undefined;
  };

  readonly latest = (at: number, notBefore: number): number | undefined => {
    if (!(at >= this.#behind.due && at < this.#behind.until)) {
      const some = isReachable(at) ? this.#someDue(Math.floor(at), notBefore) : undefined;
      if (some === undefined) return undefined;
      this.#behind = this.#lastDue(some, Math.floor(at));
    }
    return this.#behind.due >= notBefore ? this.#behind.due : undefined;
  };

  /** A due time up to `at`, found in windows that double: near the newest, without passing all the others. */
  #someDue(at: number, notBefore: number): number | undefined {
    const earliest = this.#dueFrom(Math.max(Math.ceil(notBefore), -END_OF_TIME));
    if (earliest > at) return undefined;
    for (let width = MINUTE; ; width *= 2) {
      const due = this.#dueFrom(Math.max(at - width, earliest));
      if (due <= at) return due;
    }
  }

  /** The newest due time up to `at`, when `some` is one: a step forward, then half of what is left. */
  #lastDue(some: number, at: number): { due: number; until: number } {
    let due = some;
    let until = this.#dueFrom(due + 1);
    let end = at;
    while (until <= at) {
      due = until;
      const middle = Math.ceil((due + end) / 2);
      const later = this.#dueFrom(middle);
      if (later <= at) due = later;
      else end = middle;
      until = this.#dueFrom(due + 1);
    }
    return { due, until };
  }

  /** First due time at or after `from`; Infinity if there is none in the next 400 years. */
  #dueFrom(from: number): number {
    if (!isReachable(from)) return Infinity;
    const end = from + CALENDAR_CYCLE * DAY;
    for (let at = from; at < end; at = (Math.floor(at / DAY) + 1) * DAY) {
      // No wall clock is a day away from UTC, so what is due now or later shows on it after yesterday at this time.
      const wall = this.#pattern.first(at - DAY);
      if (wall === undefined) break;
      at = Math.max(at, wall - DAY);
      const due = this.#dueInDay(Math.floor(at / DAY), at);
      if (due !== undefined) return due;
    }
    return Infinity;
  }

  /** First due time at or after `from`, if it is in the same UTC day, which is `day`. */
  #dueInDay(day: number, from: number): number | undefined {
    const { offset, change } = this.#zone.day(day);
    const shown = shownBy(this.#zone.day(day - 1).change);
    const end = (day + 1) * DAY;
    if (change === undefined) return this.#dueIn(from, end, offset, shown);
    return (
      this.#dueIn(from, change.at, offset, shown) ??
      this.#dueAtGap(from, change) ??
      this.#dueIn(Math.max(from, change.at), end, change.after, shownBy(change))
    );
  }

  /** From `from` up to `until`, in which the offset stays the same; `shown` is how far the wall clock had come before. */
  #dueIn(from: number, until: number, offset: number, shown: number): number | undefined {
    const start = this.#pattern.everyHour ? from + offset : Math.max(from + offset, shown);
    const wall = this.#pattern.first(start);
    return wall !== undefined && wall < until + offset ? wall - offset : undefined;
  }

  /** The due time that makes up for fixed times in the gap, if there is a gap with any, and it is not before `from`. */
  #dueAtGap(from: number, { at, before, after }: Change): number | undefined {
    const skipped = this.#pattern.firstFixed(at + before);
    if (skipped === undefined || skipped >= at + after) return undefined;
    const due = this.#pattern.firstSecond(at + after) - after;
    return due >= from ? due : undefined;
  }
}

/** The wall time up to which the clock had come when it was moved. */
function shownBy(change: Change | undefined): number {
  return change === undefined ? -Infinity : change.at + change.before;
}
