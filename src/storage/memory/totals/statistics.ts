import { addStatistics, noStatistics } from "../../../model/statistics.ts";
import { own } from "../../documents.ts";
import type { CompactRule, HourStatistics, ProcessHour, StatisticsQuery } from "../../storage.ts";
import type { MemoryState } from "../state.ts";

/** The process under which hours stand that no process changes any more. */
const folded = "";

function keyOf({ hour, _integrationId = "", process }: Pick<ProcessHour, "hour" | "_integrationId" | "process">) {
  return JSON.stringify([hour, _integrationId, process]);
}

/** @see StatisticsStorage.saveStatistics */
export function saveStatistics(state: MemoryState, hours: readonly ProcessHour[]): void {
  for (const hour of hours) state.statistics.set(keyOf(hour), own(hour));
}

/** @see StatisticsStorage.listStatistics */
export function listStatistics(
  state: MemoryState,
  { _integrationId, from, until }: StatisticsQuery,
): readonly HourStatistics[] {
  const hours = new Map<number, HourStatistics>();
  for (const one of state.statistics.values()) {
    if (one.hour < from || one.hour >= until) continue;
    if (_integrationId !== undefined && one._integrationId !== _integrationId) continue;
    const sum = addStatistics(hours.get(one.hour) ?? noStatistics, one);
    hours.set(one.hour, { ...sum, hour: one.hour });
  }
  return [...hours.values()].sort((one, other) => one.hour - other.hour);
}

/** @see StatisticsStorage.compactStatistics */
export function compactStatistics(
  { statistics }: MemoryState,
  { foldBefore, forgetBefore, limit }: CompactRule,
): number {
  let changed = 0;
  for (const [key, one] of statistics) {
    if (changed === limit) break;
    const isForgotten = one.hour < forgetBefore;
    if (!isForgotten && (one.process === folded || one.hour >= foldBefore)) continue;
    statistics.delete(key);
    changed++;
    if (isForgotten) continue;
    const sum = { ...one, process: folded };
    const known = statistics.get(keyOf(sum));
    statistics.set(keyOf(sum), { ...sum, ...(known === undefined ? {} : addStatistics(known, one)) });
  }
  return changed;
}
