import { freezeRecords } from "../record/copy.ts";
import { type Json, copyJson, formatValue } from "../record/json.ts";
import { messageOf } from "../message.ts";
import { didYouMean } from "../suggest.ts";
import { isKey, keyForm } from "../validate.ts";
import { disown, isPromise } from "./awaitable.ts";

/** A batch of records that moves together, and where the export resumes once it is settled. */
export interface Page<T, C = Json> {
  /** May be empty: that moves the checkpoint and proves life. At most 10,000,000. */
  readonly records: readonly T[];
  /** "Everything up to and including this page". Without one, the last committed checkpoint stays. */
  readonly checkpoint?: C;
  /** An estimate of all records of the run, for progress only. */
  readonly total?: number;
  /**
   * What was found at the source and is no record: a line that cannot be parsed, say. For each import it is one record
   * read and one failure with fault `reject`, under `key`; no `filter`, `map` or `write` is given it.
   */
  readonly unreadable?: readonly UnreadableRecord[];
}

/** Something found at the source that is no record. */
export interface UnreadableRecord {
  /** As it was found. */
  readonly raw: unknown;
  readonly error: unknown;
  /** Whose failure it is. @default made of run, page and place */
  readonly key?: string;
}

/** A page as it was read. */
export interface ReadPage extends Page<unknown> {
  readonly checkpoint?: Json;
  /** Absent if there is none. */
  readonly unreadable?: readonly UnreadableRecord[];
  /** Places of records that are promises; absent if there is none. Without `freeze` only looked for if the first is one. */
  readonly promises?: readonly number[];
  /** Whether a record may contain what cannot be frozen: dates, maps, sets, bytes, promises. */
  readonly mutable: boolean;
}

/** Records of a page, at most. An array may say that it is longer than any memory. */
const mostRecords = 10_000_000;

const fields = ["records", "checkpoint", "total", "unreadable"];

/**
 * The page in `value`, where a plain array is a page without a checkpoint: a copy, since the export may go on using
 * its own array and checkpoint while the page waits to be written. With `freeze` its records are frozen, too; `shared`
 * says that several imports get them.
 *
 * @throws RangeError saying why it is no page.
 */
export function readPage(value: unknown, freeze: boolean, shared = false): ReadPage {
  if (Array.isArray(value)) return readRecords(value, freeze, shared);
  if (typeof value !== "object" || value === null)
    throw new RangeError(`expected a page or an array, found ${formatValue(value)}`);
  for (const name in value)
    if (!fields.includes(name))
      throw new RangeError(`a page has no field ${formatValue(name)}${didYouMean(name, fields)}`);
  const { records, checkpoint, total, unreadable } = value as Partial<Page<unknown>>;
  if (!Array.isArray(records)) {
    disown(records);
    throw new RangeError(`expected page.records to be an array, found ${formatValue(records)}`);
  }
  if (total !== undefined && typeof total !== "number")
    throw new RangeError(`expected page.total to be a number, found ${formatValue(total)}`);
  const page = readRecords(records, freeze, shared);
  if (checkpoint !== undefined) page.checkpoint = readCheckpoint(checkpoint);
  if (total !== undefined) page.total = total;
  if (unreadable !== undefined && !isEmptyList(unreadable)) page.unreadable = unreadable.map(readOne);
  return page;
}

function readRecords(given: readonly unknown[], freeze: boolean, shared: boolean): WrittenPage {
  if (given.length > mostRecords) {
    disown(given);
    throw new RangeError(`expected at most ${mostRecords} records in a page, found an array of ${given.length}`);
  }
  const page: WrittenPage = freezeRecords(given, { freeze, shared });
  // What freezes has seen every record. Without, a look at each would cost a tenth of all that is done with it.
  const promises = page.mutable || isPromise(page.records[0]) ? placesOfPromises(page.records) : none;
  if (promises.length === 0) return page;
  disown(page.records);
  if (promises.length === page.records.length)
    throw new RangeError("expected records, found promises of them: await them all before the page is yielded");
  page.promises = promises;
  return page;
}

type WrittenPage = { -readonly [Field in keyof ReadPage]: ReadPage[Field] };

const none: readonly number[] = Object.freeze([]);

function placesOfPromises(records: readonly unknown[]): readonly number[] {
  let places: number[] | undefined;
  for (let place = 0; place < records.length; place++) if (isPromise(records[place])) (places ??= []).push(place);
  return places ?? none;
}

function isEmptyList(given: unknown): boolean {
  if (Array.isArray(given)) return given.length === 0;
  throw new RangeError(`expected page.unreadable to be an array, found ${formatValue(given)}`);
}

function readOne(given: unknown, index: number): UnreadableRecord {
  const place = `page.unreadable.${index}`;
  if (typeof given !== "object" || given === null || !("raw" in given))
    throw new RangeError(`expected ${place} to be an object with raw and error, found ${formatValue(given)}`);
  const { raw, error, key } = given as UnreadableRecord;
  disown(raw);
  if (key === undefined) return { raw, error };
  if (isKey(key)) return { raw, error, key };
  throw new RangeError(`expected ${place}.key to be a string of ${keyForm}, found ${formatValue(key)}`);
}

function readCheckpoint(checkpoint: unknown): Json {
  try {
    return copyJson(checkpoint, "page.checkpoint");
  } catch (error) {
    throw new RangeError(`expected page.checkpoint to be JSON, but ${messageOf(error)}`);
  }
}
