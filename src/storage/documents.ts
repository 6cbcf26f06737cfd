import { InvalidRequestError } from "../errors.ts";
import { copyRecord } from "../model/record/storable.ts";

/** A frozen copy; the value itself if it is frozen already. */
export function own<T>(given: T): T {
  return Object.isFrozen(given) ? given : copyRecord(given);
}

/** A property that is there only with a value. */
export function optional<Key extends string, Value>(key: Key, value: Value | undefined): Partial<Record<Key, Value>> {
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<Key, Value>>);
}

// Instants come in bunches: now, a due time and the next one. Writing one out costs more than most of what is done with it.
const instants: { readonly at: number; readonly text: string }[] = [];

/** How many are remembered, each in a place of its own: a prime, so that those of a schedule do not share one. */
const places = 61;

/** An instant as documents carry it. */
export function isoOf(at: number): string {
  const place = Math.abs(Math.trunc(at)) % places;
  const known = instants[place];
  if (known?.at === at) return known.text;
  const text = new Date(at).toISOString();
  instants[place] = { at, text };
  return text;
}

/** How many names of flows one search looks at, and how many flows in some state: in SQLite about two milliseconds. */
export const mostNames = 6_000;
export const mostInState = 1_000;

/** How many failures one search looks at: in SQLite one to two milliseconds. */
export const mostExamined = 1_000;

/**
 * The place in a list that a `next` stands for, or `otherwise` without one.
 *
 * @throws `invalid_request` if it was never a `next`.
 */
export function placeOf(after: string | undefined, otherwise: number): number {
  if (after === undefined) return otherwise;
  if (/^\d{1,15}$/.test(after)) return Number(after);
  throw new InvalidRequestError("after", "the next of an earlier page", after);
}
