import { itemAt } from "../../model/item-at.ts";

/** What a {@link Sequence} holds: its place never changes and orders it among the others. */
export interface NumberedEntry {
  readonly seq: number;
}

/**
 * Entries in ascending order of their place, walked from any place in either direction. Removing is lazy: the gaps
 * are closed once they are half of it, so that each operation costs O(log n) or better on average. The first ones are
 * removed without a look at the others, as many are when all of a flow goes.
 */
export class Sequence<Entry extends NumberedEntry> {
  #entries: (Entry | undefined)[] = [];
  /** How many at the beginning are removed, and undefined. */
  #first = 0;
  /** Entries that are still in the list, but removed. Most sequences never need one. */
  #gone: Set<Entry> | undefined;

  /** How many there are. */
  get size(): number {
    return this.#entries.length - this.#first - (this.#gone?.size ?? 0);
  }

  /** Adds an entry whose place comes after all others. */
  add(entry: Entry): void {
    // Most have one or a few, and V8 makes room for 17 when the first one is pushed.
    if (this.#entries.length === 0) this.#entries = [entry];
    else this.#entries.push(entry);
  }

  /** Removes it; nothing happens if it is not there. */
  remove(entry: Entry): void {
    const index = this.#firstAfter(entry.seq - 1);
    if (this.#entries[index] !== entry) return;
    if (index === this.#first) {
      this.#removeFirst();
      return;
    }
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
    for (let index = this.#firstAfter(seq - 1) - 1; index >= this.#first; index--) {
      const entry = this.#entries[index];
      if (entry !== undefined && this.#gone?.has(entry) !== true) yield entry;
    }
  }

  #firstAfter(seq: number): number {
    let low = this.#first;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = itemAt(this.#entries, middle);
      if (entry !== undefined && entry.seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #removeFirst(): void {
    this.#entries[this.#first++] = undefined;
    for (let entry = this.#entries[this.#first]; entry !== undefined; entry = this.#entries[++this.#first]) {
      if (this.#gone?.delete(entry) !== true) break;
      this.#entries[this.#first] = undefined;
    }
    if (this.#first * 2 < this.#entries.length) return;
    this.#entries.splice(0, this.#first);
    this.#first = 0;
  }

  #closeGaps(): void {
    const isLeft = (entry: Entry | undefined) => entry !== undefined && this.#gone?.has(entry) !== true;
    this.#entries = this.#entries.filter(isLeft);
    this.#first = 0;
    this.#gone = undefined;
  }
}
