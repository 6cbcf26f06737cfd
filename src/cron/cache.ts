/**
 * Keeps the values last asked for, at least `limit` and less than twice as many: hosts that make up schedules without
 * end do not fill the memory. Two generations, because a hit then moves nothing.
 */
export class Cache<V> {
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  readonly #limit: number;
  readonly #make: (key: string) => V;

  /** `make` gives the value of a key that is not known, or not any more. */
  constructor(limit: number, make: (key: string) => V) {
    this.#limit = limit;
    this.#make = make;
  }

  /** Made now if it is not kept; an undefined value never is. Whatever `make` throws is thrown here, and not kept. */
  get(key: string): V {
    const known = this.#young.get(key);
    if (known !== undefined) return known;
    const value = this.#old.get(key) ?? this.#make(key);
    this.#young.set(key, value);
    if (this.#young.size >= this.#limit) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    return value;
  }
}
