/** What a part of a batch comes to: nothing, or an error of some record in it. */
type Attempt = (from: number, to: number) => Promise<unknown>;

/** Parts that what has failed is tried in: as many attempts as by halves for one record at fault, and less is written again. */
const parts = 4;

/**
 * Finds the records at fault in a batch: tries what fails in smaller parts until each stands alone. About twice the binary logarithm
 * of the batch's size in attempts for one record, and four attempts for three if all are. `attempt` returns the error of the records
 * from `from` up to `to`, having undone what it did.
 */
export async function findAtFault(size: number, attempt: Attempt): Promise<ReadonlyMap<number, unknown>> {
  const atFault = new Map<number, unknown>();
  const open: (readonly [from: number, to: number])[] = size === 0 ? [] : [[0, size]];
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    const [from, to] = part;
    const error = await attempt(from, to);
    if (error === undefined) continue;
    if (to - from === 1) atFault.set(from, error);
    else {
      const step = Math.ceil((to - from) / parts);
      const first = open.length;
      // The last part lies lowest, so that rows are written in their order.
      for (let start = from; start < to; start += step) open.splice(first, 0, [start, Math.min(start + step, to)]);
    }
  }
  return atFault;
}
