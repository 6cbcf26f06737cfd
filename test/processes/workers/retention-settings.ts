import type pg from "pg";
import type { Clock } from "../../../src/index.ts";
import { systemClock } from "../../../src/clock.ts";

/** A time that passes faster than that of the database, from an instant that all processes know. */
export interface FastTime {
  /** What the database shows when it begins, in epoch milliseconds. */
  readonly beginsAt: number;
  /** What it shows then. */
  readonly showsAt: number;
  /** How much of it passes while one millisecond does. */
  readonly speed: number;
}

/** What a worker of the soak is to do. */
export interface RetentionSetting {
  readonly name: string;
  readonly connection: pg.PoolConfig;
  readonly time: FastTime;
  /** Of {@link FastTime}. */
  readonly retentionDays: number;
}

/** What it reports. */
export type RetentionReport =
  | { readonly what: "ready" | "closed" }
  | { readonly what: "failed" | "background:error" | "unhandled"; readonly message: string };

/** Runs are never reclaimed here: a lease lasts for days of a time that passes fast. */
export const leaseMs = 3 * 86_400_000;

/** That time; timers wait as long as they say, by the real one. */
export function fastClock(database: Clock, { beginsAt, showsAt, speed }: FastTime): Clock {
  return {
    now: () => Math.floor(showsAt + (database.now() - beginsAt) * speed),
    setTimer: (callback, delayMs) => systemClock.setTimer(callback, delayMs),
    yieldToEventLoop: () => systemClock.yieldToEventLoop(),
  };
}
