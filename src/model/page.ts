import { type Json, notJson, shown } from "./json.ts";

/** A batch of records that moves together, and where the export resumes once it is settled. */
export interface Page<T, C extends Json = Json> {
  /** May be empty: that moves the checkpoint and proves life. */
  readonly records: readonly T[];
  /** "Everything up to and including this page". Without one, the last committed checkpoint stays. */
  readonly checkpoint?: C;
  /** An estimate of all records of the run, for progress only. */
  readonly total?: number;
}

/** The page in `value`, where a plain array is a page without a checkpoint; or, as a sentence, why it is none. */
export function readPage(value: unknown): Page<unknown> | string {
  if (Array.isArray(value)) return { records: value };
  if (typeof value !== "object" || value === null)
    return `expected a page or an array, found ${shown(value)}`;
  const { records, checkpoint, total } = value as Partial<Page<unknown>>;
  if (!Array.isArray(records))
    return `expected page.records to be an array, found ${shown(records)}`;
  if (total !== undefined && typeof total !== "number")
    return `expected page.total to be a number, found ${shown(total)}`;
  if (checkpoint === undefined) return value as Page<unknown>;
  const problem = notJson(checkpoint, "checkpoint");
  return problem === undefined
    ? (value as Page<unknown>)
    : `expected page.checkpoint to be JSON, but ${problem}`;
}

/**
 * Freezes a record and all it holds, so that no import can change what another one, or a later attempt, gets to see.
 * What its maker has frozen already is taken as frozen all the way down. Bytes cannot be frozen and stay as they are.
 */
export function freezeRecord<T>(record: T): T {
  if (
    typeof record !== "object" ||
    record === null ||
    Object.isFrozen(record) ||
    ArrayBuffer.isView(record)
  )
    return record;
  Object.freeze(record);
  for (const key in record) {
    const value = record[key];
    if (typeof value === "object" && value !== null) freezeRecord(value);
  }
  return record;
}

/**
 * A frozen copy that shares nothing with `record`, as storages keep it: dates, maps and big integers stay what they are.
 *
 * @throws DataCloneError for what cannot be copied, such as a function.
 * @see https://developer.mozilla.org/docs/Web/API/Web_Workers_API/Structured_clone_algorithm
 */
export function copyRecord<T>(record: T): T {
  return freezeRecord(structuredClone(record));
}
