import { mostListed, roughSize } from "../../model/record/size.ts";
import { Sequence } from "./sequence.ts";
import type { Arrival, ImportPlace, InboxDrop, InboxPage, InboxQuery } from "../storage.ts";

/** One flow's inbox and the event ids it has seen. */
export class Inbox {
  readonly pages = new Sequence<InboxEntry>();
  readonly #arrivals = new Map<string, InboxEntry>();
  /** Pages that an import is not to get. */
  readonly #dropped = new Set<InboxEntry>();
  /** Event id → when it came. Map order is age, since ids are only ever added. */
  readonly #seen = new Map<string, number>();

  /** The cursor of its newest page, if it holds any. */
  get lastCursor(): string | undefined {
    for (const { page } of this.pages.before(Infinity)) return page.cursor;
    return undefined;
  }

  /** An arrival that it holds already adds nothing, so it always fits. */
  isFullFor(arrival: Arrival, maxPages: number): boolean {
    return this.pages.size >= maxPages && !this.#arrivals.has(arrival._id);
  }

  /** Adds what is new of the arrival; returns how many were not. */
  add(arrival: Arrival, seq: number, dedupeAfter: number): number {
    if (this.#arrivals.has(arrival._id)) return 0;
    this.#forget(dedupeAfter);
    const fresh = arrival.records.flatMap((_, index) => (this.#isNew(arrival, index) ? [index] : []));
    if (fresh.length === 0) return arrival.records.length;
    const page: InboxPage = Object.freeze({
      _id: arrival._id,
      cursor: String(seq),
      at: arrival.at,
      records: Object.freeze(fresh.map((index) => arrival.records[index])),
      keys: Object.freeze(fresh.map((index) => arrival.ids?.[index] ?? `${arrival._id}/${index}`)),
      ...(arrival.origin === undefined ? {} : { origin: arrival.origin }),
    });
    const entry = { seq, page };
    this.pages.add(entry);
    this.#arrivals.set(arrival._id, entry);
    return arrival.records.length - fresh.length;
  }

  /** @see InboxStorage.readInbox */
  read(after: number, { maxRecords, _importId }: InboxQuery): readonly InboxPage[] {
    const pages: InboxPage[] = [];
    let records = 0;
    let bytes = 0;
    for (const { page } of this.pages.after(after)) {
      if (_importId !== undefined && page.droppedFor?.includes(_importId) === true) continue;
      bytes += roughSize(page.records, mostListed);
      if (pages.length > 0 && bytes > mostListed) break;
      pages.push(page);
      records += page.records.length;
      if (records >= maxRecords) break;
    }
    return pages;
  }

  /** @see InboxStorage.dropInbox */
  drop({ _ids, _importId }: InboxDrop, places: ReadonlyMap<string, ImportPlace>, importIds: readonly string[]) {
    const dropped: string[] = [];
    for (const _id of new Set(_ids)) {
      const entry = this.#arrivals.get(_id);
      if (entry === undefined) continue;
      dropped.push(_id);
      const droppedFor = [
        ...new Set([...(entry.page.droppedFor ?? []), ...(_importId === undefined ? [] : [_importId])]),
      ];
      entry.page = Object.freeze({ ...entry.page, droppedFor: Object.freeze(droppedFor) });
      this.#dropped.add(entry);
      if (_importId === undefined || !importIds.some((one) => isUnread(entry, one, places.get(one))))
        this.#remove(entry);
    }
    return dropped;
  }

  /** True if there is a page that this import has not settled, and that was not dropped for it. */
  isUnreadBy(_importId: string, place: ImportPlace | undefined): boolean {
    for (const entry of this.pages.after(Number(place?.inbox ?? 0))) if (isUnread(entry, _importId, place)) return true;
    return false;
  }

  /** Removes the pages that each of these imports has settled or is not to get. */
  removeSettled(_importIds: readonly string[], places: ReadonlyMap<string, ImportPlace> | undefined): void {
    const through = Math.min(..._importIds.map((_importId) => Number(places?.get(_importId)?.inbox ?? 0)));
    for (const entry of [...this.pages.after(0)]) {
      if (entry.seq > through) break;
      this.#remove(entry);
    }
    for (const entry of this.#dropped)
      if (!_importIds.some((_importId) => isUnread(entry, _importId, places?.get(_importId)))) this.#remove(entry);
  }

  #remove(entry: InboxEntry): void {
    this.pages.remove(entry);
    this.#dropped.delete(entry);
    this.#arrivals.delete(entry.page._id);
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
  page: InboxPage;
}

function isUnread({ seq, page }: InboxEntry, _importId: string, place: ImportPlace | undefined): boolean {
  return seq > Number(place?.inbox ?? 0) && page.droppedFor?.includes(_importId) !== true;
}
