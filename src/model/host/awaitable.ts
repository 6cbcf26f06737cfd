import { isInstance } from "./instance.ts";

/** Whether it is a promise, where host code hands over data: an object with a method `then` is data as any other. Never throws. */
export function isPromise(value: unknown): value is Promise<unknown> {
  return isInstance(value, Promise);
}

/** Whether `await` waits for it, where a function of the host's has to return at once, or was not awaited. */
export function isAwaitable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/**
 * Drops what a promise, or those of an array, will reject with: nobody waits for them, and a rejection that nobody handles
 * ends the process of the host. Takes as long as there are elements, whatever length the array says. Never throws.
 */
export function disown(value: unknown): void {
  try {
    if (isPromise(value)) void value.then(undefined, () => undefined);
    else if (isInstance(value, Array)) for (const place of Object.keys(value)) disownAt(value, place);
  } catch {
    // What cannot be looked at is left to whoever made it.
  }
}

function disownAt(list: object, place: string): void {
  try {
    const one: unknown = Reflect.get(list, place);
    if (isPromise(one)) void one.then(undefined, () => undefined);
  } catch {
    // The others are looked at all the same.
  }
}
