/** Where the first value after `value` stands in an ascending array. */
export function indexAfter<T extends string | number>(sorted: readonly T[], value: T): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = sorted[middle];
    if (found !== undefined && found <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts a value in its place in an ascending array. */
export function insertSorted<T extends string | number>(sorted: T[], value: T): void {
  sorted.splice(indexAfter(sorted, value), 0, value);
}
