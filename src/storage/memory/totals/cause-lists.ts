import { causeOf } from "../../../model/cause.ts";
import type { CauseCount, CauseList, CauseQuery, FailedFlows, OpenFailureQuery } from "../../storage.ts";
import { failuresOf, isWanted, upToThrough } from "../failures.ts";
import type { CauseEntry, MemoryState } from "../state.ts";

/** @see CauseStorage.listCauses */
export function listCauses(state: MemoryState, query: CauseQuery): CauseList {
  const { _flowId, _importId, _integrationId, disabled, limit } = query;
  const groups = new Map<string, CauseGroup>();
  for (const flowId of _flowId === undefined ? state.causes.keys() : [_flowId]) {
    if (disabled !== undefined && state.flows.get(flowId)?.disabled !== disabled) continue;
    for (const entry of state.causes.get(flowId)?.values() ?? []) {
      if (entry.open === 0) continue;
      if (_importId !== undefined && entry._importId !== _importId) continue;
      if (_integrationId !== undefined && entry._integrationId !== _integrationId) continue;
      const key = _flowId === undefined ? entry.cause : JSON.stringify([entry.cause, entry._importId]);
      const group = groups.get(key) ?? { entries: [], flowIds: [] };
      groups.set(key, group);
      group.entries.push(entry);
      if (group.flowIds.at(-1) !== flowId) group.flowIds.push(flowId);
    }
  }
  const items = [...groups.values()].map((group) => countOf(state, group, query));
  items.sort((one, other) => other.open - one.open || (one.cause < other.cause ? -1 : 1));
  return { items: items.slice(0, limit), complete: true };
}

interface CauseGroup {
  readonly entries: CauseEntry[];
  readonly flowIds: string[];
}

function countOf(state: MemoryState, { entries, flowIds }: CauseGroup, query: CauseQuery): CauseCount {
  const [first] = entries;
  if (first === undefined) throw new RangeError("a group without entries");
  const { _importId, cause, code, fault, pattern } = first;
  const times = { firstAt: first.firstAt, lastAt: first.lastAt, open: 0 };
  for (const entry of entries) {
    if (entry.firstAt < times.firstAt) times.firstAt = entry.firstAt;
    if (entry.lastAt > times.lastAt) times.lastAt = entry.lastAt;
    times.open += entry.open;
  }
  return Object.freeze<CauseCount>({
    ...{ cause, pattern, fault, ...(code === undefined ? {} : { code }) },
    ...(query._flowId === undefined ? {} : { _importId }),
    ...{ ...times, flows: flowIds.length, sample: sampleOf(state, first, { ...query, _flowId: flowIds[0] ?? "" }) },
  });
}

function sampleOf(state: MemoryState, { _importId, cause, sample }: CauseEntry, asked: CauseQuery): string {
  const known = state.failures.get(sample)?.failure;
  if (known?.status === "open" && causeOf(known).cause === cause) return sample;
  const query = { ...asked, _importId, status: "open" as const, cause, limit: 1 };
  for (const { failure } of failuresOf(state, { ...query, newestFirst: true }))
    if (isWanted(failure, query)) return failure._id;
  return sample;
}

/** @see CauseStorage.flowsOfFailures */
export function flowsOfFailures(state: MemoryState, query: OpenFailureQuery): FailedFlows {
  const { after = "", limit, ...filter } = query;
  const last = upToThrough(state, query.through);
  const wanted = { ...filter, status: "open" as const, limit: 1 };
  const items: string[] = [];
  for (const _flowId of [...state.causes.keys()].sort()) {
    if (items.length === limit) break;
    if (_flowId <= after || (query._flowId !== undefined && query._flowId !== _flowId)) continue;
    for (const { failure, seq } of failuresOf(state, { ...wanted, _flowId }))
      if (seq <= last && isWanted(failure, wanted)) {
        items.push(_flowId);
        break;
      }
  }
  return { items, complete: true };
}
