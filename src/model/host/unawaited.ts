import { isInstance } from "./instance.ts";

/** Whether it is a promise: of what host code hands over where nothing is awaited. Never throws. */
export function isUnawaited(value: unknown): value is Promise<unknown> {
  return isInstance(value, Promise);
}

/**
 * Drops what a promise, or those of an array, will reject with: nobody waits for them, and a rejection that nobody handles
 * ends the process of the host. Takes as long as there are elements, whatever length the array says. Never throws.
 */
export function disown(value: unknown): void {
  try {
    if (isUnawaited(value)) void value.then(undefined, () => undefined);
    else if (isInstance(value, Array)) for (const place of Object.keys(value)) disownAt(value, place);
  } catch {
    // What cannot be looked at is left to whoever made it.
  }
}

function disownAt(list: object, place: string): void {
  try {
    const one: unknown = Reflect.get(list, place);
    if (isUnawaited(one)) void one.then(undefined, () => undefined);
  } catch {
    // The others are looked at all the same.
  }
}
