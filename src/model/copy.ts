import { messageOf } from "./message.ts";
import { types } from "node:util";
import { isPlainObject } from "./json.ts";

/** A frozen copy of an array. With `freeze` its records are frozen, too. */
export function freezeRecords(records: readonly unknown[], freeze: boolean): readonly unknown[] {
  const copy = records.slice();
  if (freeze) for (const record of copy) freezeRecord(record);
  return Object.freeze(copy);
}

/** A record as one import gets to see it: what cannot be frozen is its own. */
export function copyForImport(record: unknown): unknown {
  return record;
}

/**
 * Freezes a record and all it holds, so that no import can change what another one, or a later attempt, gets to see.
 * What its maker has frozen already is taken as frozen all the way down. Bytes cannot be frozen and stay as they are.
 */
export function freezeRecord<T>(record: T): T {
  if (typeof record !== "object" || record === null || Object.isFrozen(record) || ArrayBuffer.isView(record))
    return record;
  Object.freeze(record);
  for (const key in record) {
    const value = record[key];
    if (typeof value === "object" && value !== null) freezeRecord(value);
  }
  return record;
}

/**
 * A frozen copy that shares nothing with `record`, as storages keep it: dates, maps and big integers stay what they
 * are, and an object of a class becomes a plain one.
 *
 * @throws DataCloneError for what cannot be copied, or not be kept, such as a function or a Blob.
 * @see https://developer.mozilla.org/docs/Web/API/Web_Workers_API/Structured_clone_algorithm
 */
export function copyRecord<T>(record: T): T {
  return freezeRecord(isPlainData(record, 0) ? copyPlain(record) : copyRich(record));
}

function copyRich<T>(record: T): T {
  const copy = structuredClone(record);
  expectData(copy, new Set());
  return copy;
}

// What stands for something outside of it (a Blob, a key, shared memory) can be cloned, but no storage can keep it.
function expectData(value: unknown, seen: Set<unknown>): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (types.isMap(value) || types.isSet(value)) for (const item of [...value].flat()) expectData(item, seen);
  else if (Array.isArray(value) || isPlainObject(value))
    for (const item of Object.values(value)) expectData(item, seen);
  else if (!isValue(value) || types.isSharedArrayBuffer(ArrayBuffer.isView(value) ? value.buffer : value))
    throw new DOMException(`${value.constructor.name} could not be cloned`, "DataCloneError");
}

function isValue(value: object): boolean {
  const { isDate, isRegExp, isNativeError, isAnyArrayBuffer, isArrayBufferView, isBoxedPrimitive } = types;
  return [isDate, isRegExp, isNativeError, isAnyArrayBuffer, isBoxedPrimitive, isArrayBufferView].some((is) =>
    is(value),
  );
}

/** Deeper than this, a record is left to `structuredClone`, which also knows records that contain themselves. */
const deepestPlain = 32;

// Most records are plain data, and copying that by hand is many times faster.
function isPlainData(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "function" && typeof value !== "symbol";
  if (depth === deepestPlain) return false;
  if (Array.isArray(value)) return value.every((item) => isPlainData(item, depth + 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  // Assigning to this key would set the prototype.
  if (Object.hasOwn(value, "__proto__")) return false;
  return Object.values(value).every((item) => isPlainData(item, depth + 1));
}

function copyPlain<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyPlain) as T;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) copy[key] = copyPlain((value as Record<string, unknown>)[key]);
  return copy as T;
}

/** A record as a storage keeps it, or why it cannot be kept. */
export type Storable = { readonly record: unknown } | { readonly problem: string };

/** The record as a storage keeps it: encoded by `codec` if there is one, frozen, and nobody else's. Never throws. */
export function storableRecord(record: unknown, codec?: { encode(record: unknown): unknown }): Storable {
  try {
    return { record: copyRecord(codec === undefined ? record : codec.encode(record)) };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
