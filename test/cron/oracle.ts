/**
 * Due times without any calendar arithmetic over zones: a wall clock is read minute by minute, as Intl shows it,
 * and the rules for clock changes are applied to what has and has not been shown. Knows neither cron.ts nor cron-parser.
 */

const MINUTE = 60_000;

/** What the wall clock must show for a schedule to be due, written by hand for each expression. */
export interface Rule {
  readonly minute: (minute: number) => boolean;
  readonly hour: (hour: number) => boolean;
  /** `weekday` 0 is Sunday; `length` is the number of days of the month. */
  readonly day: (date: number, weekday: number, month: number, length: number) => boolean;
  /** Where the hours come from: names fire once a day whatever happens, steps at most once, `*` as often as shown. */
  readonly hours: "named" | "step" | "every";
}

/** What the wall clock of a zone shows in each UTC minute from `from` on, as minutes of a clock that never changes. */
export interface WallClock {
  readonly from: number;
  readonly shown: Int32Array;
}

/** Reads the wall clock every hour, and in an hour that does not end as it should, every minute. */
export function readClock(timeZone: string, from: number, until: number): WallClock {
  const show = reader(timeZone);
  const shown = new Int32Array((until - from) / MINUTE);
  let first = show(from);
  for (let start = 0; start < shown.length; start += 60) {
    const next = show(from + (start + 60) * MINUTE);
    for (let i = 0; i < 60; i++) shown[start + i] = next === first + 60 ? first + i : show(from + (start + i) * MINUTE);
    first = next;
  }
  return { from, shown };
}

function reader(timeZone: string): (at: number) => number {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
  return (at) => {
    const [day, month, year, hour, minute] = format.format(at).split(/\D+/).map(Number) as [number, ...number[]];
    return Date.UTC(year ?? NaN, (month ?? NaN) - 1, day, hour, minute) / MINUTE;
  };
}

/** Every due time on that clock of each of at most 31 rules, in order, in epoch milliseconds. */
export function dueTimes({ from, shown }: WallClock, rules: readonly Rule[]): readonly (readonly number[])[] {
  const due = rules.map((): number[] => []);
  const matches = matcher(rules);
  const named = bits(rules, ({ hours }) => hours === "named");
  const every = bits(rules, ({ hours }) => hours === "every");
  let highest = (shown[0] ?? 0) - 1;
  shown.forEach((now, i) => {
    let found = matches(now) & (now > highest ? -1 : every);
    for (let skipped = highest + 1; skipped < now; skipped++) found |= matches(skipped) & named;
    highest = Math.max(highest, now);
    for (let rule = 0; found !== 0; rule++, found >>>= 1) if (found & 1) due[rule]?.push(from + i * MINUTE);
  });
  return due;
}

/** A function from what is shown to the rules that match it, one bit for each. */
function matcher(rules: readonly Rule[]): (shown: number) => number {
  const minutes = Array.from({ length: 60 }, (_, minute) => bits(rules, (rule) => rule.minute(minute)));
  const hours = Array.from({ length: 24 }, (_, hour) => bits(rules, (rule) => rule.hour(hour)));
  let [today, days] = [NaN, 0];
  return (shown) => {
    const day = Math.floor(shown / 1_440);
    if (day !== today) {
      const date = new Date(day * 1_440 * MINUTE);
      const length = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
      days = bits(rules, (rule) => rule.day(date.getUTCDate(), date.getUTCDay(), date.getUTCMonth() + 1, length));
      today = day;
    }
    const minute = shown - day * 1_440;
    return days & (hours[Math.floor(minute / 60)] ?? 0) & (minutes[minute % 60] ?? 0);
  };
}

function bits(rules: readonly Rule[], isSet: (rule: Rule) => boolean): number {
  return rules.reduce((all, rule, i) => (isSet(rule) ? all | (1 << i) : all), 0);
}
