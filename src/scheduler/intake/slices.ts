import { itemAt } from "../../model/item-at.ts";
import type { Arrival } from "../../storage/storage.ts";

/** Event ids that one transaction remembers, in all inboxes together. More would keep other processes waiting. */
const idsAtOnce = 5_000;

/** Records of a slice at least: each slice is a page of each inbox. */
const smallestSlice = 100;

/**
 * Cuts an arrival that has many event ids into several, to be appended one after the other. Without ids it is appended as
 * it is: then it costs little, and sent again it would be taken in twice.
 *
 * Records whose id is that of an earlier one of the arrival are left out, and counted.
 */
export function slicesOf(
  arrival: Arrival,
  newId: () => string,
): { readonly slices: readonly Arrival[]; readonly repeated: number } {
  const { failures, ids, records, starts, ...rest } = arrival;
  const size = Math.max(smallestSlice, Math.floor(idsAtOnce / starts.length));
  if (ids === undefined || ids.length <= size) return { slices: [arrival], repeated: 0 };
  const places = [...new Map(ids.map((id, index) => [id, index] as const).reverse()).values()].sort((a, b) => a - b);
  const slices: Arrival[] = [];
  for (let start = 0; start < places.length; start += size) {
    const some = places.slice(start, start + size);
    const isFirst = start === 0;
    slices.push({
      ...rest,
      _id: isFirst ? arrival._id : newId(),
      records: some.map((index) => records[index]),
      ids: some.map((index) => itemAt(ids, index)),
      starts: isFirst ? starts : starts.map((one) => ({ ...one, _id: newId() })),
      ...(isFirst && failures !== undefined ? { failures } : {}),
    });
  }
  return { slices, repeated: records.length - places.length };
}
