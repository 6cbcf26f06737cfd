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

/** A reading of the pages `base` to `end`, the last one first, `at` of them so far. */
export type UnorderedCursor = Readonly<Record<"base" | "end" | "at", number>>;

/** Numbers of events begin after this; those of pages are below. */
export const firstEvent = 1_000_000;

/** Things that records are states of, if the export's keys are not unique. */
const things = 5;

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

  /** The pages that are read from one cursor to another, in the order in which they are read. */
  between(from: Cursor | undefined, to: Cursor): number[] {
    const pages: number[] = [];
    if ("page" in to) for (let page = pagesBefore(from); page < to.page; page++) pages.push(page);
    else for (let at = goesOn(from, to) ? from.at : 0; at < to.at; at++) pages.push(to.end - 1 - at);
    return pages;
  }
}

function goesOn(from: Cursor | undefined, to: UnorderedCursor): from is UnorderedCursor {
  return from !== undefined && "at" in from && from.base === to.base && from.end === to.end;
}

/** How many pages a cursor has behind it, all of them settled. */
export function pagesBefore(cursor: Cursor | undefined): number {
  if (cursor === undefined) return 0;
  if ("page" in cursor) return cursor.page;
  return isThrough(cursor) ? cursor.end : cursor.base;
}

/** True if a reading with this cursor has nothing left. */
export function isThrough({ base, end, at }: UnorderedCursor): boolean {
  return at >= end - base;
}

/** True if it is one that this export makes. */
export function isCursor(plan: ExportPlan, value: unknown): value is Cursor {
  if (typeof value !== "object" || value === null) return false;
  return plan.order === "ordered" ? "page" in value : "end" in value && "at" in value;
}

/** Where a reading goes next. */
export interface Step {
  readonly page: number;
  readonly cursor: Cursor;
}

/** The next page from a cursor on; undefined at the end. `pages`: how many there were when the reading began. */
export function nextStep(plan: ExportPlan, cursor: Cursor | undefined, pages: number): Step | undefined {
  if (plan.order === "ordered") {
    const page = pagesBefore(cursor);
    return page >= pages ? undefined : { page, cursor: { page: page + 1 } };
  }
  // The newest first, so that a cursor on the way says nothing of the pages before it.
  const isNew = cursor === undefined || !("at" in cursor) || isThrough(cursor);
  const { base, end, at } = isNew ? { base: pagesBefore(cursor), end: pages, at: 0 } : cursor;
  return at >= end - base ? undefined : { page: end - 1 - at, cursor: { base, end, at: at + 1 } };
}

/** The record as its source makes it: a new object each time. */
export function recordOf(_exportId: string, n: number): SourceRecord {
  return { n, of: _exportId, words: ["record", String(n)], box: { total: n * 10 } };
}

/** Its key, if the export has keys: its own, or that of the thing of which it is a state. */
export function keyOf({ keys }: ExportPlan, n: number): string {
  return keys === "things" ? `${n > firstEvent ? "event" : "thing"}-${n % things}` : `key-${n}`;
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
  return plan.maps && plan.cannotMap > 0 && n % plan.cannotMap === 2;
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
