import { type Counts, hasOwnPosition } from "../../../../model/run.ts";
import type { Delivery, ShownRun } from "../../api/documents.ts";

const [minuteMs, hourMs] = [60_000, 3_600_000];

/** The newest runs of a flow, the newest first. */
export interface KnownRuns {
  readonly runs: readonly ShownRun[];
  /** There are older ones. */
  readonly isPart: boolean;
}

/** It has begun and has not ended. */
export const isActive = ({ status }: Pick<ShownRun, "status">): boolean =>
  status === "running" || status === "canceling";

/** Records an hour that were delivered to an import: the average of the known runs, and of the last day at most. */
export function perHour(runs: readonly ShownRun[], _importId: string, now: number): number {
  const times = runs.flatMap(({ endedAt, imports, startedAt }) => {
    const records = imports[_importId]?.numSuccess ?? 0;
    if (startedAt === undefined) return [];
    return [{ records, start: Date.parse(startedAt), end: endedAt === undefined ? now : Date.parse(endedAt) }];
  });
  const from = Math.max(now - 24 * hourMs, Math.min(...times.map(({ start }) => start)));
  const delivered = times.reduce((sum, { end, records, start }) => {
    // Of a run that began before, the part of it that is within.
    const share = start >= from ? 1 : Math.max(0, (end - from) / (end - start));
    return sum + records * share;
  }, 0);
  return (delivered * hourMs) / Math.max(minuteMs, now - from);
}

/** How many records an import has not been given that another one of its flow has. */
export interface Lag {
  readonly records: number;
  /** It may be more: it stays behind for longer than runs are known. */
  readonly isLeast: boolean;
}

/** How far an import is behind the one that is ahead. */
export function lagOf({ runs, isPart }: KnownRuns, { _importId, paused }: Delivery): Lag {
  const read = new Map<string, number>([[_importId, 0]]);
  for (const run of runs)
    if (!hasOwnPosition(run))
      for (const [name, counts] of Object.entries(run.imports)) read.set(name, (read.get(name) ?? 0) + settled(counts));
  const oldest = runs.at(-1)?.queuedAt ?? "";
  return {
    records: Math.max(...read.values()) - (read.get(_importId) ?? 0),
    isLeast: isPart && (paused === undefined || paused.since < oldest),
  };
}

const settled = ({ numError, numIgnore, numSuccess }: Counts) => numError + numIgnore + numSuccess;
