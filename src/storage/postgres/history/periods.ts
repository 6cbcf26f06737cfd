/** How much time one partition of the history has: a day or a month of UTC, or a week from its Monday. */
export type Period = "day" | "week" | "month";

/** Instants from one up to, and without, another one; in epoch milliseconds. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Periods that have a partition before any run ends in them. */
const numAhead = 2;

const dayMs = 86_400_000;
/** The first of January 1970 was a Thursday. */
const daysFromMonday = 3;

/** The period that an instant is in. */
export function periodAt(at: number, period: Period): Range {
  const day = Math.floor(at / dayMs);
  if (period === "day") return { from: day * dayMs, to: (day + 1) * dayMs };
  if (period === "week") {
    const monday = Math.floor((day + daysFromMonday) / 7) * 7 - daysFromMonday;
    return { from: monday * dayMs, to: (monday + 7) * dayMs };
  }
  const date = new Date(at);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return { from: Date.UTC(year, month), to: Date.UTC(year, month + 1) };
}

/**
 * The ranges that lack a partition, of the period of `now` and of those that follow. Whatever has one already, perhaps of
 * another length, is left out of them.
 */
export function missingRanges(now: number, period: Period, known: readonly Range[]): readonly Range[] {
  const missing: Range[] = [];
  for (let at = now, nth = 0; nth <= numAhead; nth++) {
    const covering = known.find(({ from, to }) => from <= at && at < to);
    const range = covering ?? between(at, periodAt(at, period), known);
    if (covering === undefined) missing.push(range);
    at = range.to;
  }
  return missing;
}

function between(at: number, { from, to }: Range, known: readonly Range[]): Range {
  const ends = known.map((range) => range.to).filter((end) => end <= at);
  const begins = known.map((range) => range.from).filter((begin) => begin > at);
  return { from: Math.max(from, ...ends), to: Math.min(to, ...begins) };
}
