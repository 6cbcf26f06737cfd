/** What a {@link Sequence} holds: its place never changes and orders it among the others. */
export interface Placed {
  readonly seq: number;
}

/**
 * Entries in ascending order of their place, walked from any place in either direction. Removing is lazy: the gaps
 * are closed once they are half of it, so that each operation costs O(log n) or better on average.
 */
export class Sequence<Entry extends Placed> {
  #entries: (Entry | undefined)[] = [];
  #places: number[] = [];
  #size = 0;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds an entry whose place comes after all others. */
  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#places.push(entry.seq);
    this.#size++;
  }

  /** Removes it; nothing happens if it is not there. */
  remove(entry: Entry): void {
    const index = this.#firstAfter(entry.seq - 1);
    if (this.#entries[index] !== entry) return;
    this.#entries[index] = undefined;
    this.#size--;
    if (this.#entries.length > 16 && this.#size * 2 < this.#entries.length) this.#closeGaps();
  }

  /** Those after a place, ascending. */
  *after(seq: number): Iterable<Entry> {
    for (let index = this.#firstAfter(seq); index < this.#entries.length; index++) {
      const entry = this.#entries[index];
      if (entry !== undefined) yield entry;
    }
  }

  /** Those before a place, descending. */
  *before(seq: number): Iterable<Entry> {
    for (let index = this.#firstAfter(seq - 1) - 1; index >= 0; index--) {
      const entry = this.#entries[index];
      if (entry !== undefined) yield entry;
    }
  }

  #firstAfter(seq: number): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#places[middle] ?? Infinity) <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #closeGaps(): void {
    this.#entries = this.#entries.filter((entry) => entry !== undefined);
    this.#places = this.#entries.map((entry) => entry?.seq ?? 0);
  }
}
