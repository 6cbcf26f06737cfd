import { freezeRecords } from "./copy.ts";
import { type Json, copyJson, formatValue } from "./json.ts";
import { messageOf } from "./message.ts";
import { didYouMean } from "./suggest.ts";

/** A batch of records that moves together, and where the export resumes once it is settled. */
export interface Page<T, C = Json> {
  /** May be empty: that moves the checkpoint and proves life. */
  readonly records: readonly T[];
  /** "Everything up to and including this page". Without one, the last committed checkpoint stays. */
  readonly checkpoint?: C;
  /** An estimate of all records of the run, for progress only. */
  readonly total?: number;
}

/** A page as it was read. */
export interface ReadPage extends Page<unknown> {
  readonly checkpoint?: Json;
  /** Whether a record may contain what cannot be frozen: dates, maps, sets, bytes. */
  readonly mutable: boolean;
}

const fields = ["records", "checkpoint", "total"];

/**
 * The page in `value`, where a plain array is a page without a checkpoint: a copy, since the export may go on using
 * its own array and checkpoint while the page waits to be written. With `freeze` its records are frozen, too; `shared`
 * says that several imports get them.
 *
 * @throws RangeError saying why it is no page.
 */
export function readPage(value: unknown, freeze: boolean, shared = false): ReadPage {
  if (Array.isArray(value)) return freezeRecords(value, { freeze, shared });
  if (typeof value !== "object" || value === null)
    throw new RangeError(`expected a page or an array, found ${formatValue(value)}`);
  for (const name in value)
    if (!fields.includes(name))
      throw new RangeError(`a page has no field ${formatValue(name)}${didYouMean(name, fields)}`);
  const { records, checkpoint, total } = value as Partial<Page<unknown>>;
  if (!Array.isArray(records))
    throw new RangeError(`expected page.records to be an array, found ${formatValue(records)}`);
  if (total !== undefined && typeof total !== "number")
    throw new RangeError(`expected page.total to be a number, found ${formatValue(total)}`);
  return {
    ...freezeRecords(records, { freeze, shared }),
    ...(checkpoint === undefined ? {} : { checkpoint: readCheckpoint(checkpoint) }),
    ...(total === undefined ? {} : { total }),
  };
}

function readCheckpoint(checkpoint: unknown): Json {
  try {
    return copyJson(checkpoint, "page.checkpoint");
  } catch (error) {
    throw new RangeError(`expected page.checkpoint to be JSON, but ${messageOf(error)}`);
  }
}
