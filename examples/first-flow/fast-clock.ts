import { type Clock, systemClock } from "poundlock";

/** A clock that begins at `start` and runs `speed` times as fast as ours. */
export function fastClock(start: number, speed: number): Clock {
  const began = Date.now();
  return {
    now: () => start + (Date.now() - began) * speed,
    setTimer: (callback, delayMs) => systemClock.setTimer(callback, delayMs / speed),
    yieldToEventLoop: () => systemClock.yieldToEventLoop(),
  };
}
