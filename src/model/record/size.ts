/** What the records of one page of a list, or of an inbox, measure at most, beyond the first of them: about 16 MB. */
export const mostListed = 16 * 2 ** 20;

/** What a value measures, roughly: strings and bytes make it large, all else is small. Stops counting at `limit`. */
export function roughSize(value: unknown, limit: number): number {
  let size = 0;
  const left: unknown[] = [value];
  const seen = new Set<object>();
  while (left.length > 0 && size <= limit) {
    const next = left.pop();
    size += 8;
    // It may contain itself.
    if (typeof next === "object" && next !== null) {
      if (seen.has(next)) continue;
      seen.add(next);
    }
    if (typeof next === "string") size += next.length;
    else if (ArrayBuffer.isView(next)) size += next.byteLength;
    else if (Array.isArray(next)) for (const item of next) left.push(item);
    else if (next instanceof Map || next instanceof Set) for (const item of next) left.push(item);
    else if (typeof next === "object" && next !== null) for (const item of Object.values(next)) left.push(item);
  }
  return size;
}
