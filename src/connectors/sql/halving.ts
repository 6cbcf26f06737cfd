/** What a part of a batch comes to: nothing, or an error of some record in it. */
type Attempt = (from: number, to: number) => Promise<unknown>;

/**
 * Finds the records at fault in a batch: halves what fails until each stands alone. About twice the logarithm of the
 * batch's size in attempts for each of them. `attempt` returns the error of the records from `from` up to `to`, having undone what it did.
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
      const middle = from + Math.ceil((to - from) / 2);
      // The first half comes first, so that rows are written in their order.
      open.push([middle, to], [from, middle]);
    }
  }
  return atFault;
}
