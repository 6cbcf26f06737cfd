/** What the clocks of a time zone show: its offset on each day, and the instants at which they are moved. */
import { Cache } from "./cache.ts";

const DAY = 86_400_000;

/** The zone's clock is moved at the instant `at`; the offsets are wall time minus UTC. */
export interface ClockChange {
  /** The first instant after it, in epoch milliseconds on a whole second. */
  readonly at: number;
  /** Offset up to it, in milliseconds. */
  readonly before: number;
  /** Offset from it on, in milliseconds. */
  readonly after: number;
}

/** A UTC day, midnight included. It has one change at most: no two in the tz database are less than three days apart. */
export interface ZoneDay {
  /** In milliseconds, up to the change; if that is at midnight, the offset of the day before. */
  readonly offset: number;
  /** Undefined on most days. */
  readonly change: ClockChange | undefined;
}

/** The wall clock of one time zone, as the runtime's own tz database has it. Days that were read are cached. */
export class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #days = new Map<number, ZoneDay>();

  /** @param format Shows the offset of the zone at its end, as `timeZoneName: "longOffset"` does. */
  constructor(format: Intl.DateTimeFormat) {
    this.#format = format;
  }

  /** The offsets of a UTC day; `day` counts from 1 January 1970. */
  day(day: number): ZoneDay {
    let known = this.#days.get(day);
    if (known === undefined) {
      if (this.#days.size >= 512) this.#days.clear();
      known = this.#read(day * DAY);
      this.#days.set(day, known);
    }
    return known;
  }

  #read(start: number): ZoneDay {
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
 * The zone of an IANA name, in upper or lower case; undefined if it is none, or if this runtime's tz database does not
 * have it (yet).
 */
export function zoneOf(timezone: string): Zone | undefined {
  return isZoneName(timezone) ? zones.get(timezone) : undefined;
}

const zones = new Cache(256, (timezone: string): Zone | undefined => {
  try {
    return new Zone(new Intl.DateTimeFormat("en-US", { timeZone: timezone, timeZoneName: "longOffset" }));
  } catch {
    return undefined;
  }
});

/** The names without a "/" in the tz database, which adds no more of them. Not `Factory`, which has no clock. */
const PLAIN_NAMES = new Set(
  `cet cst6cdt cuba eet egypt eire est est5edt gb gb-eire gmt gmt+0 gmt-0 gmt0 greenwich hongkong hst iceland iran
  israel jamaica japan kwajalein libya met mst mst7mdt navajo nz nz-chat poland portugal prc pst8pdt roc rok singapore
  turkey uct universal utc w-su wet zulu`.split(/\s+/),
);

/** What stands before the first "/" of all other names in the tz database: continents, oceans, and older links. */
const AREAS = new Set(
  `africa america antarctica arctic asia atlantic australia brazil canada chile etc europe indian mexico pacific
  us`.split(/\s+/),
);

/** Names that look like those of the tz database but are not, or no longer, in it. */
const FORMER_NAMES = new Set(["canada/east-saskatchewan", "etc/unknown", "us/pacific-new"]);

/**
 * Whether a name has the form of a zone or link of the tz database. `Intl` accepts more: offsets such as `+02:00` in
 * newer runtimes, and names that ICU keeps from before the tz database, whose meaning surprises (`BST` is Bangladesh).
 */
export function isZoneName(timezone: string): boolean {
  if (timezone.length > 64 || !/^[A-Za-z0-9_+/-]+$/.test(timezone)) return false;
  const name = timezone.toLowerCase();
  const slash = name.indexOf("/");
  return slash < 0 ? PLAIN_NAMES.has(name) : AREAS.has(name.slice(0, slash)) && !FORMER_NAMES.has(name);
}

/** The version of the runtime's tz database, such as "2025c"; "unknown" where the runtime does not have it. */
export function tzDataVersion(): string {
  return (typeof process === "undefined" ? undefined : process.versions.tz) ?? "unknown";
}
