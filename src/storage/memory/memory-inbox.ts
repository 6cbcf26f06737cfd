import { Sequence } from "./sequence.ts";
import type { Arrival, InboxPage } from "../storage.ts";

/** One flow's inbox and the event ids it has seen. */
export class MemoryInbox {
  readonly pages = new Sequence<InboxEntry>();
  readonly #arrivals = new Set<string>();
  /** Event id → when it came. Map order is age, since ids are only ever added. */
  readonly #seen = new Map<string, number>();

  /** An arrival that it holds already adds nothing, so it always fits. */
  isFullFor(arrival: Arrival, maxPages: number): boolean {
    return this.pages.size >= maxPages && !this.#arrivals.has(arrival._id);
  }

  /** Adds what is new of the arrival; answers how many were not. */
  add(arrival: Arrival, seq: number, dedupeAfter: number): number {
    if (this.#arrivals.has(arrival._id)) return 0;
    this.#forget(dedupeAfter);
    const fresh = arrival.records.flatMap((_, index) => (this.#isNew(arrival, index) ? [index] : []));
    if (fresh.length === 0) return arrival.records.length;
    const page: InboxPage = Object.freeze({
      cursor: String(seq),
      records: Object.freeze(fresh.map((index) => arrival.records[index])),
      keys: Object.freeze(fresh.map((index) => arrival.ids?.[index] ?? `${arrival._id}/${index}`)),
    });
    this.pages.add({ seq, _id: arrival._id, page });
    this.#arrivals.add(arrival._id);
    return arrival.records.length - fresh.length;
  }

  /** Removes the pages up to and including this one. */
  removeThrough(seq: number): void {
    for (const entry of [...this.pages.after(0)]) {
      if (entry.seq > seq) return;
      this.pages.remove(entry);
      this.#arrivals.delete(entry._id);
    }
  }

  #isNew(arrival: Arrival, index: number): boolean {
    const id = arrival.ids?.[index];
    if (id === undefined) return true;
    if (this.#seen.has(id)) return false;
    this.#seen.set(id, arrival.at);
    return true;
  }

  #forget(dedupeAfter: number): void {
    for (const [id, at] of this.#seen) {
      if (at >= dedupeAfter) return;
      this.#seen.delete(id);
    }
  }
}

interface InboxEntry {
  readonly seq: number;
  readonly _id: string;
  readonly page: InboxPage;
}
