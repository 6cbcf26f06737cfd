/**
 * `items[index]`, where there is one by construction: a fallback would hide a mistake, an assertion would not find it.
 *
 * @throws RangeError if there is none.
 */
export function itemAt<T>(items: ArrayLike<T>, index: number): T {
  if (!(index >= 0 && index < items.length)) throw new RangeError(`there is no item ${index} among ${items.length}`);
  return items[index] as T;
}
