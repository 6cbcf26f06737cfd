import { itemAt } from "../../model/item-at.ts";

/** What a {@link Sequence} holds: its place never changes and orders it among the others. */
export interface NumberedEntry {
  readonly seq: number;
}

/**
 * Entries in ascending order of their place, walked from any place in either direction. Removing is lazy: the gaps
 * are closed once they are half of it, so that each operation costs O(log n) or better on average.
 */
export class Sequence<Entry extends NumberedEntry> {
  #entries: Entry[] = [];
  /** Entries that are still in the list, but removed. Most sequences never need one. */
  #gone: Set<Entry> | undefined;

  /** How many there are. */
  get size(): number {
    return this.#entries.length - (this.#gone?.size ?? 0);
  }

  /** Adds an entry whose place comes after all others. */
  add(entry: Entry): void {
    // Most have one or a few, and V8 makes room for 17 when the first one is pushed.
    if (this.#entries.length === 0) this.#entries = [entry];
    else this.#entries.push(entry);
  }

  /** Removes it; nothing happens if it is not there. */
  remove(entry: Entry): void {
    if (this.#entries[this.#firstAfter(entry.seq - 1)] !== entry) return;
    this.#gone = (this.#gone ?? new Set()).add(entry);
    if (this.#entries.length < 16 || this.size * 2 < this.#entries.length) this.#closeGaps();
  }

  /** Those after a place, ascending. */
  *after(seq: number): Iterable<Entry> {
    for (let index = this.#firstAfter(seq); index < this.#entries.length; index++) {
      const entry = this.#entries[index];
      if (entry !== undefined && this.#gone?.has(entry) !== true) yield entry;
    }
  }

  /** Those before a place, descending. */
  *before(seq: number): Iterable<Entry> {
    for (let index = this.#firstAfter(seq - 1) - 1; index >= 0; index--) {
      const entry = this.#entries[index];
      if (entry !== undefined && this.#gone?.has(entry) !== true) yield entry;
    }
  }

  #firstAfter(seq: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (itemAt(this.#entries, middle).seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #closeGaps(): void {
    this.#entries = this.#entries.filter((entry) => this.#gone?.has(entry) !== true);
    this.#gone = undefined;
  }
}
