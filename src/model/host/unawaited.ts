import { isInstance } from "./instance.ts";

/** Whether it is a promise: of what host code hands over where nothing is awaited. Never throws. */
export function isUnawaited(value: unknown): value is Promise<unknown> {
  return isInstance(value, Promise);
}

/**
 * Drops what a promise, or those of an array, will reject with: nobody waits for them, and a rejection that nobody handles
 * ends the process of the host. Never throws.
 */
export function disown(value: unknown): void {
  if (isUnawaited(value)) void value.catch(() => undefined);
  else if (isInstance(value, Array)) for (const one of value) if (isUnawaited(one)) void one.catch(() => undefined);
}
