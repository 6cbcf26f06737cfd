import type { CauseCount, CauseList, CauseQuery, FailedFlows, OpenFailureQuery } from "../../storage.ts";
import { type ReadRows, placeOfThrough } from "../search/failure-list.ts";
import { type CauseRow, anyUncounted, causeCountOf, causesMatching, failedFlows, sampleOf } from "./causes.ts";

/** @see CauseStorage.listCauses */
export async function listCauses(read: ReadRows, query: CauseQuery): Promise<CauseList> {
  const items: CauseCount[] = [];
  for (const row of await read<CauseRow>(causesMatching(query))) {
    const [isOpen, another] = sampleOf(row, query._integrationId);
    const [sample] = await read<{ readonly id: string }>(isOpen);
    const [other] = sample === undefined ? await read<{ readonly id: string }>(another) : [sample];
    items.push(causeCountOf(row, other?.id ?? row.sample));
  }
  return { items, complete: await isComplete(read) };
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
