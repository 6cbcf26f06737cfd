/** `H`: which slots an item may draw from, and which of them a flow gets. */
import { type Field, fieldAt, itemsOf } from "./fields.ts";

const HASHED = /^H(?:\((\d{1,2})-(\d{1,2})\))?(?:\/(\d{1,2})|(L|#[1-5]))?$/;

/** What an `H` item draws from. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
  /** The values go on in this step from the slot drawn; 0 if the slot is the only value. */
  readonly step: number;
  /** `L` or `#1` to `#5`, for the day of week; else empty. */
  readonly suffix: string;
}

/** Whether it is an `H`, well-formed or not. */
export function isHashed(item: string): boolean {
  return item.startsWith("H");
}

/** What an `H` item of a field draws from; undefined if it is not well-formed. */
export function slotRange(item: string, { key, slots }: Field): SlotRange | undefined {
  const match = HASHED.exec(item);
  if (match === null) return undefined;
  const [, start = slots[0], end = slots[1], written, suffix = ""] = match;
  const [from, to, step] = [Number(start), Number(end), Number(written ?? 0)];
  const fits = slots[0] <= from && from <= to && to <= slots[1];
  const steps = written === undefined || (step > 0 && step <= to - from + 1);
  return fits && steps && (suffix === "" || key === "dayOfWeek") ? { from, to, step, suffix } : undefined;
}

/**
 * `item` of the field at `index`, with its `H` replaced by the slot at `draw`, which is from 0 up to but not including
 * 1; unchanged if it has no `H`, or one that is not well-formed.
 */
export function withSlot(item: string, index: number, draw: number): string {
  const range = isHashed(item) ? slotRange(item, fieldAt(index)) : undefined;
  if (range === undefined) return item;
  const { from, to, step, suffix } = range;
  if (step === 0) return `${from + Math.floor(draw * (to - from + 1))}${suffix}`;
  const first = Math.floor(from / step) * step + Math.floor(draw * step);
  return `${first < from ? first + step : first}-${to}/${step}`;
}

/** The six fields with each `H` replaced by the slot at its field's draw. */
export function withSlots(fields: readonly string[], draws: readonly number[]): readonly string[] {
  return fields.map((field, index) =>
    itemsOf(field)
      .map((item) => withSlot(item, index, Number(draws[index])))
      .join(","),
  );
}

/**
 * Draws that combine each slot of the month with each slot of the day of week, which together can pin a schedule to the
 * days on which a zone moves its clock; one draw if neither has an `H`. The other fields get their middle slot.
 */
export function dateDraws(fields: readonly string[]): readonly (readonly number[])[] {
  const [, , , , months = "", weekdays = ""] = fields;
  return slotDraws(months, 12).flatMap((month) =>
    slotDraws(weekdays, 7).map((weekday) => [0.5, 0.5, 0.5, 0.5, month, weekday]),
  );
}

function slotDraws(field: string, slots: number): readonly number[] {
  if (!itemsOf(field).some(isHashed)) return [0.5];
  return Array.from({ length: slots }, (_, slot) => (slot + 0.5) / slots);
}

/**
 * What `seed` draws for each of the six fields, from 0 up to but not including 1: FNV-1a of the seed into mulberry32, in
 * cron-parser's order, so that seconds, minute, hour and month get the same slots as there. Ours,
 * because the slot of a flow must not move when the parser is upgraded.
 */
export function slotsOf(seed: string): readonly number[] {
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
