/** When is a flow due? The contract, and the due times themselves: what a schedule names, on the clock of its zone. */
import { Cache } from "./cache.ts";
import { expressionOf, quoted } from "./expression.ts";
import { termsOf } from "./fields.ts";
import { dateDraws, slotsOf, withSlots } from "./hash.ts";
import { CALENDAR_CYCLE, DAY, MINUTE, Pattern } from "./pattern.ts";
import { type ClockChange, isZoneName, tzDataVersion, type Zone, zoneOf } from "./zone.ts";

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
 * Everything wrong with a schedule, at once. Empty if it is valid, and then for every seed: no flow is refused because
 * of the slot its `H` draws. A schedule that another process accepted can have problems here, where an older tz database
 * does not have its zone. Never throws, and its time is bounded, whatever the expression.
 *
 * @param expression At most 1,024 characters: five fields, six with seconds first, or a name such as `@daily`.
 * @param timezone A zone or link of the tz database, in upper or lower case.
 */
export function checkCron(expression: string, timezone: string): readonly CronProblem[] {
  const { problems, normalized } = expressionOf(expression);
  const refused = problems.map((message) => ({ field: "schedule" as const, message }));
  if (zoneOf(timezone) === undefined) return [...refused, { field: "timezone", message: zoneProblem(timezone) }];
  if (refused.length > 0 || comesInZone.get(cacheKey(timezone, normalized))) return refused;
  const never = `expected a time that comes in ${quoted(timezone)}, found ${quoted(expression)}, which its clock skips`;
  return [{ field: "schedule", message: never }];
}

/**
 * The due times of `expression` in `timezone`. Calls that mean the same get the same object, as long as it is among the
 * 2,048 last used, so they share one parse and one computation of each due time.
 *
 * @param seed The flow's `_id`. It decides what `H` means, always the same: one slot in each field's range, but 1 to 28
 * for the day of the month, as in Jenkins, so that no month lacks it.
 * @throws RangeError with the messages of {@link checkCron}, if it finds problems.
 */
export function cronOf(expression: string, timezone: string, seed: string): Cron {
  const problems = checkCron(expression, timezone);
  if (problems.length > 0) throw new RangeError(sentences(problems));
  return validCron(expression, timezone, seed);
}

/**
 * What due times of a schedule are computed from, to be stored beside one: the normal form of the expression, the zone
 * in force, and the version of the tz database of this runtime, such as `0 0 9 * 1-12 * america/new_york 2025c`. Two
 * processes of one version of poundlock whose strings are equal compute the same due times; a due time that was stored
 * with another string is to be computed anew. Expressions that name the same values in different ways share one normal
 * form; `H` is replaced by the slot it draws. At most 512 characters, however long the expression is.
 *
 * Undefined if {@link checkCron} finds problems: then this process cannot judge what is stored.
 *
 * @param timezone The zone in force: the flow's own, or else the registry's.
 * @param seed The flow's `_id`, as in {@link cronOf}.
 */
export function basisOf(expression: string, timezone: string, seed: string): string | undefined {
  return checkCron(expression, timezone).length > 0 ? undefined : validCron(expression, timezone, seed).basis;
}

/**
 * A valid expression as five fields, or six if it names another second than 0, for those who put it into words: `H` is
 * the slot that `seed` draws, and a name such as `@daily` is written out.
 *
 * @param seed The flow's `_id`, as in {@link cronOf}.
 */
export function resolvedExpression(expression: string, seed: string): string {
  const { fields, hashed } = expressionOf(expression);
  const [second = "0", ...others] = (hashed ? withSlots(fields, slotsOf(seed)) : fields).map((field) =>
    field === "?" ? "*" : field,
  );
  return second === "0" ? others.join(" ") : [second, ...others].join(" ");
}

function validCron(expression: string, timezone: string, seed: string): ZonedCron {
  const { fields, hashed, normalized } = expressionOf(expression);
  return crons.get(cacheKey(timezone, hashed ? withSlots(fields, slotsOf(seed)).join(" ") : normalized));
}

function sentences(problems: readonly CronProblem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join("; ");
}

function zoneProblem(timezone: string): string {
  const found = `found ${quoted(timezone)}`;
  if (isZoneName(timezone))
    return `expected an IANA time zone such as "Europe/Berlin", ${found}, which tz data ${tzDataVersion()} of this runtime lacks`;
  if (/^(?:UTC|GMT)?[+-]\d/i.test(timezone))
    return `expected an IANA time zone such as "Europe/Berlin", or "Etc/GMT-2" for the fixed offset +02:00, ${found}`;
  return `expected an IANA time zone such as "Europe/Berlin", ${found}`;
}

function cacheKey(timezone: string, fields: string): string {
  return `${timezone}\0${fields}`;
}

const crons = new Cache(2_048, (key) => {
  const [timezone = "", fields = ""] = key.split("\0");
  return zonedCron(patternOf(fields.split(" ")), timezone);
});

/**
 * Whether a schedule is ever due, whatever its `H` draws: a step whose hours are all in a gap, on days that are all such
 * days, never is. The present does not matter.
 */
const comesInZone = new Cache(2_048, (key): boolean => {
  const [timezone = "", normalized = ""] = key.split("\0");
  const fields = normalized.split(" ");
  return dateDraws(fields).every((draws) => {
    const pattern = patternOf(withSlots(fields, draws));
    return pattern.comesDespiteGaps || zonedCron(pattern, timezone).next(SETTLED) !== undefined;
  });
});

/** After the last change that the tz database lists by its date, which is in 2087: from here on its rules repeat. */
const SETTLED = Date.UTC(2100, 0);

function patternOf(fields: readonly string[]): Pattern {
  return new Pattern(fields.map(termsOf));
}

function zonedCron(pattern: Pattern, timezone: string): ZonedCron {
  const zone = zoneOf(timezone);
  if (zone === undefined) throw new RangeError(`unknown time zone ${quoted(timezone)}`);
  return new ZonedCron(pattern, zone, timezone);
}

/** The last instant of a `Date`, less what the arithmetic here may add to it. */
const END_OF_TIME = 8.64e15 - 500 * 366 * DAY;

/** False for NaN too. */
function isReachable(at: number): boolean {
  return Math.abs(at) <= END_OF_TIME;
}

class ZonedCron implements Cron {
  readonly #pattern: Pattern;
  readonly #zone: Zone;
  readonly #timezone: string;
  #basis: string | undefined;
  /** The first due time after `from` is `due`; nothing is due in between. */
  #ahead = { from: Infinity, due: -Infinity };
  /** `due` is due, and nothing after it before `until`. */
  #behind = { due: Infinity, until: -Infinity };

  constructor(pattern: Pattern, zone: Zone, timezone: string) {
    this.#pattern = pattern;
    this.#zone = zone;
    this.#timezone = timezone;
  }

  /** See {@link basisOf}. */
  get basis(): string {
    this.#basis ??= `${this.#pattern.normalForm()} ${this.#timezone.toLowerCase()} ${tzDataVersion()}`;
    return this.#basis;
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
  #dueAtGap(from: number, { at, before, after }: ClockChange): number | undefined {
    const skipped = this.#pattern.firstFixed(at + before);
    if (skipped === undefined || skipped >= at + after) return undefined;
    const due = this.#pattern.firstSecond(at + after) - after;
    return due >= from ? due : undefined;
  }
}

/** The wall time up to which the clock had come when it was moved. */
function shownBy(change: ClockChange | undefined): number {
  return change === undefined ? -Infinity : change.at + change.before;
}
