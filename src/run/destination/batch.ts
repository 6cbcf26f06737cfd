import { type RecordIdentity, idempotencyKey } from "../../model/record/idempotency-key.ts";
import { haveRepeats } from "./repeats.ts";

/** What identifies the records of one page; `position` is a record's place in the page. Made by the source. */
export interface PageKeys {
  /** The same over attempts and resumes. */
  readonly keyOf: (position: number) => string;
  /** The same, if the export makes keys; of what follows the last of these, `keyOf` makes them. */
  readonly own?: readonly string[];
  /** Which state of the thing, if the export says so. */
  readonly versionOf?: (position: number) => string | number | undefined;
  /** Whether two records may have the same key. @default false */
  readonly mayRepeat?: boolean;
  /** Why a record is at fault before any import sees it, by position. Such a record is rejected, never sent. */
  readonly problems?: ReadonlyMap<number, Error>;
  /** Which page of its run it is, from 1 on. @default 1 */
  readonly page?: number;
  /** From this position on the page has what was found at the source, and is no record: each is among the problems. */
  readonly unreadableFrom?: number;
  /** Whether a record holds what cannot be frozen: dates, maps, sets, bytes. @default false */
  readonly mutable?: boolean;
}

/**
 * Records that move together, and where each stands in its page. A page is a batch; every other one is a part of it,
 * in its own order, perhaps as an import's `map` made it. Keys are made when asked for.
 */
export class Batch {
  /** Frozen, and never longer or shorter than when it was made. */
  readonly records: readonly unknown[];
  readonly keys: PageKeys;
  /** Whether a record holds what cannot be frozen. */
  readonly mutable: boolean;
  readonly #page: Batch | undefined;
  #positions: readonly number[] | undefined;
  readonly #leftOut: readonly number[] | undefined;
  #repeats: boolean | undefined;

  /** A page; with `page`, a part of it. */
  constructor(records: readonly unknown[], keys: PageKeys, part?: BatchPart, page?: Batch) {
    this.records = Object.freeze(records);
    this.keys = keys;
    this.mutable = part?.mutable ?? keys.mutable === true;
    this.#page = page;
    this.#positions = part?.positions;
    this.#leftOut = part?.leftOut;
  }

  /** Ascending places in the page; undefined: `records[index]` stands at `index`. */
  get positions(): readonly number[] | undefined {
    return (this.#positions ??= this.#leftOut && placesWithout(this.#leftOut, this.size + this.#leftOut.length));
  }

  get size(): number {
    return this.records.length;
  }

  /** Whether two of the records have the same key. */
  get repeats(): boolean {
    return (this.#repeats ??= this.#findRepeats());
  }

  /** Where `records[index]` stands in the page. */
  positionOf(index: number): number {
    return this.positions?.[index] ?? index;
  }

  /** Identity of the thing that `records[index]` is about. */
  keyOf(index: number): string {
    return this.keys.keyOf(this.positionOf(index));
  }

  /** The indexes of records whose key is one of these, ascending. */
  indexesOf(keys: { has(key: string): boolean }): readonly number[] {
    const { keyOf, own } = this.keys;
    const found: number[] = [];
    for (let index = 0; index < this.size; index++) {
      const position = this.positionOf(index);
      if (keys.has(own?.[position] ?? keyOf(position))) found.push(index);
    }
    return found;
  }

  /** The same for every time this state of the record goes to this import, and another one for another state. */
  idempotencyKeyOf(index: number, to: Pick<RecordIdentity, "_flowId" | "_importId">): string {
    const position = this.positionOf(index);
    const version = this.keys.versionOf?.(position);
    const { _flowId, _importId } = to;
    return idempotencyKey({
      _flowId,
      _importId,
      key: this.keys.keyOf(position),
      version,
      record: (this.#page ?? this).records[position],
    });
  }

  /** Only these records, in this order; the batch itself if that is all of them. */
  select(indexes: readonly number[]): Batch {
    if (indexes.length === this.size) return this;
    return this.part({
      records: indexes.map((index) => this.records[index]),
      positions: indexes.map((index) => this.positionOf(index)),
    });
  }

  /** From `start` up to but not including `end`. */
  slice(start: number, end: number): Batch {
    if (start === 0 && end >= this.size) return this;
    const records = this.records.slice(start, end);
    return this.part({ records, positions: records.map((_, index) => this.positionOf(start + index)) });
  }

  /**
   * The batch itself if no key repeats; else in parts of which each has a key once: the first records of all keys, then
   * the second ones, and so on.
   */
  byOccurrence(): readonly Batch[] {
    if (!this.repeats) return [this];
    const occurrences = new Map<string, number>();
    const parts: number[][] = [];
    for (let index = 0; index < this.size; index++) {
      const key = this.keyOf(index);
      const nth = occurrences.get(key) ?? 0;
      occurrences.set(key, nth + 1);
      (parts[nth] ??= []).push(index);
    }
    return parts.map((indexes) => this.select(indexes));
  }

  /** A part of the same page. */
  part(part: BatchPart): Batch {
    const { leftOut, mutable = this.mutable, positions, records } = part;
    return new Batch(records, this.keys, { leftOut, mutable, positions, records }, this.#page ?? this);
  }

  // Where no key of the page repeats, none of a part does: it is looked for once, whatever imports make of the page.
  #findRepeats(): boolean {
    if (this.keys.mayRepeat !== true || this.size < 2 || this.#page?.repeats === false) return false;
    return haveRepeats(this.#allKeys());
  }

  #allKeys(): readonly string[] {
    const { keyOf, own } = this.keys;
    if (this.#page === undefined && own?.length === this.size) return own;
    const keys = new Array<string>(this.size);
    for (let index = 0; index < this.size; index++) {
      const position = this.positionOf(index);
      keys[index] = own?.[position] ?? keyOf(position);
    }
    return keys;
  }
}

/** Some records of a page, and where they stand in it. */
export interface BatchPart {
  readonly records: readonly unknown[];
  readonly positions?: readonly number[] | undefined;
  /** Instead of positions, of a part of the page as a whole: the places that are left out, ascending. */
  readonly leftOut?: readonly number[] | undefined;
  readonly mutable?: boolean | undefined;
}

function placesWithout(leftOut: readonly number[], size: number): readonly number[] {
  const places: number[] = [];
  let next = 0;
  for (let place = 0; place < size; place++)
    if (leftOut[next] === place) next++;
    else places.push(place);
  return places;
}
