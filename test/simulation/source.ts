import type { ExportPlan, ImportPlan } from "./plan.ts";

/** What a source gives. */
export interface SourceRecord {
  /** Its number: unique in its export. */
  n: number;
  of: string;
  words: string[];
  box: { total: number };
}

/** A page of a source; it never changes once it is there. */
export interface SourcePage {
  readonly first: number;
  readonly count: number;
  readonly hasCheckpoint: boolean;
}

/** Where an export of the simulation resumes. */
export type Cursor = OrderedCursor | UnorderedCursor;

/** Everything before page `page` is read. */
export type OrderedCursor = Readonly<Record<"page", number>>;

/**
 * Run `run` reads pages `base` to `end` backwards, `at` of them so far. For any other run it means: everything before
 * page `end` is read. So it may become the flow's only when its run has completed.
 */
export type UnorderedCursor = Readonly<Record<"run", string> & Record<"base" | "end" | "at", number>>;

/** Numbers of events begin after this; those of pages are below. */
export const firstEvent = 1_000_000;

/** What an export reads from: pages of records, and events that arrive. */
export class Source {
  readonly plan: ExportPlan;
  readonly pages: SourcePage[] = [];
  #records = 0;
  #events = firstEvent;

  constructor(plan: ExportPlan) {
    this.plan = plan;
  }

  /** Adds a page of `count` records. */
  append(count: number, hasCheckpoint: boolean): void {
    this.pages.push({ first: this.#records + 1, count, hasCheckpoint });
    this.#records += count;
  }

  /** Records of events that were never there before. */
  newEvents(count: number): SourceRecord[] {
    return Array.from({ length: count }, () => recordOf(this.plan._id, ++this.#events));
  }

  /** An event that was there before; undefined if there was none. */
  oldEvent(back: number): SourceRecord | undefined {
    const n = this.#events - back;
    return n > firstEvent ? recordOf(this.plan._id, n) : undefined;
  }

  /** The numbers of a page's records. */
  numbers(page: number): number[] {
    const { first = 0, count = 0 } = this.pages[page] ?? {};
    return Array.from({ length: count }, (_, index) => first + index);
  }
}

/** The record as its source makes it: a new object each time. */
export function recordOf(_exportId: string, n: number): SourceRecord {
  return { n, of: _exportId, words: ["record", String(n)], box: { total: n * 10 } };
}

/** Its key, if the export has keys. */
export function keyOf(record: { readonly n: number }): string {
  return `key-${record.n}`;
}

/** The event id its sender gives it. */
export function eventIdOf(record: { readonly n: number }): string {
  return `event-${record.n}`;
}

/** What an import wants of a record; it shares the record's own words. */
export function mappedOf(plan: ImportPlan, record: SourceRecord): unknown {
  return { n: record.n, for: plan._id, words: record.words, box: record.box };
}

/** False if the import leaves it out. */
export function keeps(plan: ImportPlan, n: number): boolean {
  return plan.leavesOut === 0 || n % plan.leavesOut !== 0;
}

/** True if the import refuses it for good. */
export function isRefused(plan: ImportPlan, n: number): boolean {
  return plan.refuses > 0 && n % plan.refuses === 1;
}

/** True if the import's map throws for it. */
export function isUnmappable(plan: ImportPlan, n: number): boolean {
  return plan.cannotMap > 0 && n % plan.cannotMap === 2;
}

/** True if this is what the source gave, unchanged. */
export function isOriginal(_exportId: string, record: unknown): record is SourceRecord {
  return hasContents(record, _exportId, "of");
}

/** True if this is what the import is to be given. */
export function isExpected(plan: ImportPlan, _exportId: string, record: unknown): boolean {
  return plan.maps ? hasContents(record, plan._id, "for") : isOriginal(_exportId, record);
}

// Field by field, since it is done for each record of each write.
function hasContents(record: unknown, owner: string, field: "of" | "for"): boolean {
  if (typeof record !== "object" || record === null || Object.keys(record).length !== 4) return false;
  const { n, words, box, [field]: of } = record as Partial<SourceRecord & { readonly for: string }>;
  if (typeof n !== "number" || of !== owner || !Array.isArray(words) || words.length !== 2) return false;
  if (words[0] !== "record" || words[1] !== String(n)) return false;
  return typeof box === "object" && Object.keys(box).length === 1 && box.total === n * 10;
}

/** A record's number; undefined if it has none. */
export function numberOf(record: unknown): number | undefined {
  if (typeof record !== "object" || record === null || !("n" in record)) return undefined;
  return typeof record.n === "number" ? record.n : undefined;
}
