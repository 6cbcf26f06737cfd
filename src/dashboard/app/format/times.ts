import { address } from "../browser/address.ts";
import { currentTime } from "../browser/clock.ts";
import { type Signal, computed, signal } from "../view.ts";

const own = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The zone in which times are shown: the browser's, or the one in the address. */
export const zone = computed(() => {
  const given = address.value.query.get("zone");
  return given !== null && isZone(given) ? given : own;
});
/** The zone of the browser. */
export const browserZone = own;
/** The zone of the schedule of the flow that is shown. */
export const flowZone: Signal<string | undefined> = signal(undefined);

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone: name }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();

function format(timeZone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = timeZone + JSON.stringify(options);
  const known = formats.get(key) ?? new Intl.DateTimeFormat("en-GB", { ...options, timeZone });
  formats.set(key, known);
  return known;
}

const clock = { hour: "2-digit", minute: "2-digit" } as const;
const day = { day: "numeric", month: "short" } as const;

/** `26 Nov, 18:02`, with the year if it is another one, with seconds if they matter. */
export function absolute(at: string, timeZone: string = zone.value, seconds = false): string {
  const date = new Date(at);
  const year = date.getUTCFullYear() === new Date(currentTime()).getUTCFullYear() ? {} : ({ year: "numeric" } as const);
  const second = seconds ? ({ second: "2-digit" } as const) : {};
  return format(timeZone, { ...day, ...year, ...clock, ...second }).format(date);
}

/** `26 Nov`. */
export const dayOf = (at: string): string => format(zone.value, day).format(new Date(at));

/** `18:02`. */
export const clockOf = (at: string): string => format(zone.value, clock).format(new Date(at));

/** `4 min ago`, `in 3 h`. */
export function relative(at: string, now: number): string {
  const differenceMs = Date.parse(at) - now;
  if (Math.abs(differenceMs) < 1_000) return "now";
  return differenceMs < 0 ? `${span(-differenceMs)} ago` : `in ${span(differenceMs)}`;
}

/** `350 ms`, `12 s`, `4 min`, `3 h`, `5 d`: the largest unit that fits. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 90_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 90 * 60_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 36 * 3_600_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

/** `1 min 12 s`: two units, for how long something took. */
export function duration(ms: number): string {
  if (ms < 60_000) return ms < 10_000 && ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : span(ms);
  const [minutes, seconds] = [Math.floor(ms / 60_000), Math.floor((ms % 60_000) / 1_000)];
  if (minutes < 60) return `${minutes} min ${seconds} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
