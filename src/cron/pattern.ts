/** Which times a schedule names, on a calendar and a clock that never change. Knows neither zones nor how it is written. */

/** In milliseconds. */
export const MINUTE = 60_000;
/** In milliseconds; the days here have no clock changes. */
export const DAY = 86_400_000;
/** Days after which the calendar repeats, weekdays included: a date that does not come within them never does. */
export const CALENDAR_CYCLE = 146_097;

/** What one field of an expression means; its numbers are sorted. */
export interface Terms {
  /** Without those that only an `L` brings. */
  readonly values: readonly number[];
  /** Those of `values` that are named, not covered by a wildcard or by a step with more than one value. */
  readonly named: readonly number[];
  /** The field is `*` or `?`, which matters where day of month and day of week are combined. */
  readonly any: boolean;
  /** For the day of month: the last. */
  readonly last: boolean;
  /** For the day of week: those that `L` makes the last of the month. */
  readonly lasts: readonly number[];
  /** For the day of week: which one of the month, 1 to 5; 0 for all. */
  readonly nth: number;
}

/**
 * What an expression means on a clock that never changes. Times here are wall times: what the wall clock shows, as
 * milliseconds of a UTC clock that shows the same.
 */
export class Pattern {
  /** All 24 hours are named, in whatever way. */
  readonly everyHour: boolean;
  /** A single second is named. Where it is not, only the first one counts here. */
  readonly oncePerMinute: boolean;
  /**
   * No gap of a clock keeps it from being due on its days: an hour that is named is made up for after the gap, and one
   * of 24 is always outside of it.
   */
  readonly comesDespiteGaps: boolean;
  readonly #terms: SixTerms;
  readonly #second: number;
  readonly #minutes: readonly number[];
  readonly #hours: readonly number[];
  readonly #fixedHours: readonly number[];
  readonly #months: ReadonlySet<number>;
  readonly #isDay: (date: number, weekday: number, length: number) => boolean;

  /** @throws RangeError unless there are terms for six fields, seconds first. */
  constructor(terms: readonly Terms[]) {
    const [seconds, minutes, hours, days, months, weekdays] = terms;
    if (!seconds || !minutes || !hours || !days || !months || !weekdays)
      throw new RangeError("a schedule has six fields");
    this.oncePerMinute = seconds.values.length === 1;
    this.#second = Number(seconds.values[0]) * 1_000;
    this.#minutes = minutes.values;
    this.#hours = hours.values;
    this.everyHour = hours.values.length === 24;
    this.#fixedHours = this.everyHour ? [] : hours.named;
    this.comesDespiteGaps = this.everyHour || this.#fixedHours.length > 0;
    this.#months = new Set(months.values);
    this.#isDay = dayRule(days, weekdays);
    this.#terms = { seconds, minutes, hours, days, months, weekdays };
  }

  /**
   * The six fields as numbers, such as `0 0,30 9-17 * 1-12 1-5`: the same for expressions that name the same values in
   * different ways. Hours of which some come from a step end in `!` and those that do not, since clock changes treat
   * them differently. At most 400 characters, however long the expression is.
   */
  normalForm(): string {
    const { minutes, hours, days, months, weekdays } = this.#terms;
    const fixed = this.everyHour || hours.named.length === hours.values.length;
    return [
      this.#second / 1_000,
      ranges(minutes.values),
      fixed ? ranges(hours.values) : `${ranges(hours.values)}!${ranges(hours.named)}`,
      days.any ? "*" : list(ranges(days.values), days.last ? "L" : ""),
      ranges(months.values),
      weekdays.any ? "*" : list(ranges(weekdays.values), ...weekdays.lasts.map((day) => `${day}L`)) + nthOf(weekdays),
    ].join(" ");
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

/** The terms of the six fields. */
interface SixTerms {
  readonly seconds: Terms;
  readonly minutes: Terms;
  readonly hours: Terms;
  readonly days: Terms;
  readonly months: Terms;
  readonly weekdays: Terms;
}

/** Sorted numbers as a list with ranges: `1-5,7`. */
function ranges(values: readonly number[]): string {
  const starts = values.filter((value, i) => value !== (values[i - 1] ?? NaN) + 1);
  const ends = values.filter((value, i) => value !== (values[i + 1] ?? NaN) - 1);
  return starts.map((start, i) => (start === ends[i] ? `${start}` : `${start}-${String(ends[i])}`)).join(",");
}

function list(...items: readonly string[]): string {
  return items.filter((item) => item !== "").join(",");
}

function nthOf({ nth }: Terms): string {
  return nth === 0 ? "" : `#${nth}`;
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
