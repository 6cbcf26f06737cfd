/**
 * A cache of computed values. It keeps at least the `limit` most recently used and fewer than twice as many, so memory
 * stays bounded however many different keys are looked up. Two generations, so that a hit moves nothing.
 */
export class Cache<V> {
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  readonly #limit: number;
  readonly #compute: (key: string) => V;
  readonly #isKept: (value: V) => boolean;

  /**
   * @param compute Returns the value of a key that is not cached.
   * @param isKept Which values are worth keeping; `undefined` is never kept. @default all of them
   */
  constructor(limit: number, compute: (key: string) => V, isKept: (value: V) => boolean = () => true) {
    this.#limit = limit;
    this.#compute = compute;
    this.#isKept = isKept;
  }

  /** The cached value, or else a computed one. What `compute` throws is thrown here, and not cached. */
  get(key: string): V {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const value = this.#old.get(key) ?? this.#compute(key);
    if (value !== undefined && this.#isKept(value)) this.#keep(key, value);
    return value;
  }

  #keep(key: string, value: V): void {
    this.#young.set(key, value);
    if (this.#young.size < this.#limit) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}
