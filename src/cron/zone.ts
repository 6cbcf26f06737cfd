/** What the clocks of a time zone show: its offset on each day, and the instants at which they are moved. */
import { Cache } from "./cache.ts";

const DAY = 86_400_000;

/** The zone's clock is moved at the instant `at`; the offsets are wall time minus UTC. */
export interface Change {
  /** The first instant after it, in epoch milliseconds on a whole second. */
  readonly at: number;
  /** Offset up to it, in milliseconds. */
  readonly before: number;
  /** Offset from it on, in milliseconds. */
  readonly after: number;
}

/** A UTC day, midnight included. It has one change at most: no two in the tz database are less than three days apart. */
export interface ZoneDay {
  /** Up to the change; if that is at midnight, the offset of the day before. */
  readonly offset: number;
  /** Undefined on most days. */
  readonly change: Change | undefined;
}

/** The clock on the wall of one time zone, as the runtime's own tz database has it. Days looked at are remembered. */
export class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #days = new Map<number, ZoneDay>();

  constructor(format: Intl.DateTimeFormat) {
    this.#format = format;
  }

  /** The offsets of a UTC day; `day` counts from 1 January 1970. */
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

/**
 * The zone of an IANA name; undefined if the runtime does not know it. "+02:00" is no zone but an offset, which only
 * newer runtimes take.
 */
export function zoneOf(timezone: string): Zone | undefined {
  return zones.get(timezone);
}

const zones = new Cache(256, (timezone: string): Zone | undefined => {
  if (!/^[A-Za-z]/.test(timezone)) return undefined;
  try {
    return new Zone(new Intl.DateTimeFormat("en-US", { timeZone: timezone, timeZoneName: "longOffset" }));
  } catch {
    return undefined;
  }
});
