import type { CauseCount, CauseList, CauseQuery, FailedFlows, OpenFailureQuery } from "../../storage.ts";
import { type ReadRows, placeOfThrough } from "../search/failure-list.ts";
import { anyUncounted, causeCountOf, failedFlows } from "./causes.ts";
import {
  type CausePlace,
  type CauseRow,
  causesBetween,
  causesMatching,
  endOfPortion,
  sampleOf,
  sumOf,
} from "./cause-rows.ts";

/** Counts that are looked at in one statement: in SQLite about a millisecond. */
const mostCounted = 1_500;

/** @see CauseStorage.listCauses */
export async function listCauses(read: ReadRows, query: CauseQuery): Promise<CauseList> {
  const { _flowId, _importId, _integrationId } = query;
  const isAll = [_flowId, _importId, _integrationId].every((one) => one === undefined);
  const rows = isAll ? await allCauses(read, query) : await read<CauseRow>(causesMatching(query));
  const items: CauseCount[] = [];
  for (const row of rows) {
    const [isOpen, another] = sampleOf(row, query._integrationId);
    const [sample] = await read<{ readonly id: string }>(isOpen);
    const [other] = sample === undefined ? await read<{ readonly id: string }>(another) : [sample];
    items.push(causeCountOf(row, other?.id ?? row.sample));
  }
  return { items, complete: await isComplete(read) };
}

// One after the other in the order of causes, so that of those that are counted only the ones with most need to be kept.
async function allCauses(read: ReadRows, query: CauseQuery): Promise<readonly CauseRow[]> {
  const { limit } = query;
  const most: CauseRow[] = [];
  let open: CauseRow | undefined;
  let after: CausePlace | undefined;
  do {
    const [end] = await read<CausePlace>(endOfPortion(after, mostCounted));
    for (const row of await read<CauseRow>(causesBetween(after, end, query))) {
      if (open?.cause === row.cause) {
        open = sumOf(open, row);
        continue;
      }
      if (open !== undefined) most.push(open);
      open = row;
      if (most.length > 2 * limit + mostCounted) keepMost(most, limit);
    }
    after = end;
  } while (after !== undefined);
  if (open !== undefined) most.push(open);
  keepMost(most, limit);
  return most;
}

function keepMost(rows: CauseRow[], limit: number): void {
  // By code points, as databases compare them: both are hexadecimal digits.
  rows.sort((one, other) => other.size - one.size || (one.cause < other.cause ? -1 : 1));
  rows.splice(limit);
}

/** @see CauseStorage.flowsOfFailures */
export async function flowsOfFailures(read: ReadRows, query: OpenFailureQuery): Promise<FailedFlows> {
  const { through } = query;
  const last = through === undefined ? undefined : await placeOfThrough(read, through);
  const rows = await read<{ readonly flow_id: string }>(failedFlows(query, last));
  return { items: rows.map(({ flow_id }) => flow_id), complete: await isComplete(read) };
}

async function isComplete(read: ReadRows): Promise<boolean> {
  return (await read(anyUncounted())).length === 0;
}
