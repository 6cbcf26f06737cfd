import { setMaxListeners } from "node:events";

/** Lets a signal that a host gives many calls have a listener for each: they end with the calls, so they are no leak. */
export function allowManyListeners(signal: AbortSignal | undefined): void {
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
}
