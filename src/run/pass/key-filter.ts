/** Places for each key, at least half of them: of keys that were never added one in thirty looks as if it was, or fewer. */
const placesPerKey = 64;

/** Places in one element. */
const placesTogether = 32;

/** Characters at the end of a key that are looked at: keys that are counted differ there. */
const lastCharacters = 6;

/**
 * Says of most keys that were never added that they were not, for a part of what a map takes, which reads each key as a
 * whole. What was removed may still look as if it was there.
 */
export class KeyFilter {
  #places: Uint32Array;
  readonly #keys: () => Iterable<string>;

  /** `keys`: all that are to be found, read anew when there are too many for the places. */
  constructor(size: number, keys: () => Iterable<string>) {
    this.#keys = keys;
    this.#places = this.#filled(size);
  }

  /** A key that `keys` returns from now on; `size`: how many that are. */
  add(key: string, size: number): void {
    if (size * placesPerKey > this.#places.length * placesTogether * 2) this.#places = this.#filled(size);
    else take(this.#places, hashOf(key));
  }

  /** False: it was never added. */
  mayHave(key: string): boolean {
    const hash = hashOf(key);
    const together = this.#places[(hash >>> 5) & (this.#places.length - 1)] ?? 0;
    return ((together >>> (hash & 31)) & 1) === 1;
  }

  #filled(size: number): Uint32Array {
    const places = new Uint32Array(2 ** Math.ceil(Math.log2((Math.max(64, size) * placesPerKey) / placesTogether)));
    for (const key of this.#keys()) take(places, hashOf(key));
    return places;
  }
}

function take(places: Uint32Array, hash: number): void {
  const index = (hash >>> 5) & (places.length - 1);
  places[index] = (places[index] ?? 0) | (1 << (hash & 31));
}

// Mixed at the end, or keys that end in digits would share places.
function hashOf(key: string): number {
  let hash = key.length;
  for (let index = Math.max(0, key.length - lastCharacters); index < key.length; index++)
    hash = (Math.imul(hash, 31) + key.charCodeAt(index)) | 0;
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 13);
}
