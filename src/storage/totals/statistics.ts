import type { Statistics } from "../../model/statistics.ts";

/** What was moved, hour by hour: for charts, and exact but for what a process had not saved when it was killed. */
export interface StatisticsStorage {
  /**
   * Keeps what a process has counted so far of an hour and an integration. It replaces what the same process saved of them
   * before, so that repeating it is harmless and no process waits for another.
   */
  saveStatistics(hours: readonly ProcessHour[]): Promise<void>;
  /** The sums of all processes, by ascending hour; hours of which nothing is known are left out. */
  listStatistics(query: StatisticsQuery): Promise<readonly HourStatistics[]>;
  /**
   * Adds up what processes saved of hours that began before `foldBefore`, which no process changes any more, and removes
   * hours that began before `forgetBefore`; at most `limit` rows. Returns how many; 0: nothing is left to do.
   */
  compactStatistics(rule: CompactRule): Promise<number>;
}

/** What was moved in one hour. */
export interface HourStatistics extends Statistics {
  /** When it began: a whole hour of UTC. */
  readonly hour: number;
}

/** What one process counted. */
export interface ProcessHour extends HourStatistics {
  /** The process's own id; not empty. */
  readonly process: string;
  /** The integration whose runs they were; absent: of none. */
  readonly _integrationId?: string;
}

/** Which hours, and whose. */
export interface StatisticsQuery {
  /** The first hour. */
  readonly from: number;
  /** The hour after the last one. */
  readonly until: number;
  readonly _integrationId?: string;
}

/** What becomes of hours that have passed. */
export interface CompactRule {
  readonly foldBefore: number;
  readonly forgetBefore: number;
  readonly limit: number;
}
