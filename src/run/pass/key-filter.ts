/** Places for each key: one key in sixteen that was never added looks as if it was. */
const placesPerKey = 16;

/** Characters at the end of a key that are looked at: keys that are counted differ there. */
const lastCharacters = 6;

/**
 * Says of most keys that were never added that they were not, for a part of what a map takes, which reads each key as a
 * whole. What was removed may still look as if it was there.
 */
export class KeyFilter {
  #places: Uint8Array;
  readonly #keys: () => Iterable<string>;

  /** `keys`: all that are to be found, read anew when there are too many for the places. */
  constructor(size: number, keys: () => Iterable<string>) {
    this.#keys = keys;
    this.#places = this.#filled(size);
  }

  /** A key that `keys` returns from now on; `size`: how many that are. */
  add(key: string, size: number): void {
    if (size * placesPerKey > this.#places.length * 2) this.#places = this.#filled(size);
    else this.#places[placeOf(key, this.#places.length - 1)] = 1;
  }

  /** False: it was never added. */
  mayHave(key: string): boolean {
    return this.#places[placeOf(key, this.#places.length - 1)] === 1;
  }

  #filled(size: number): Uint8Array {
    const places = new Uint8Array(2 ** Math.ceil(Math.log2(Math.max(64, size) * placesPerKey)));
    for (const key of this.#keys()) places[placeOf(key, places.length - 1)] = 1;
    return places;
  }
}

function placeOf(key: string, mask: number): number {
  let hash = key.length;
  for (let index = Math.max(0, key.length - lastCharacters); index < key.length; index++)
    hash = (Math.imul(hash, 31) + key.charCodeAt(index)) | 0;
  return hash & mask;
}
