import { types } from "node:util";
import { deserialize, serialize } from "node:v8";
import { freezeRecord } from "../model/record/copy.ts";

/** A value as a database keeps it: as JSON if that loses nothing of it, or else as the bytes of a structured clone. */
export interface StoredValue {
  readonly text: string | null;
  readonly bytes: Uint8Array | null;
}

/**
 * Most records are plain JSON, which every tool reads. Dates, maps, sets, big integers, bytes, NaN and the like take
 * V8's own format, which each newer Node reads, too.
 *
 * @throws Error for what cannot be copied, such as a function.
 * @throws RangeError for what is nested more than 1,000 levels deep.
 * @see https://nodejs.org/api/v8.html#serialization-api
 */
export function storeValue(value: unknown): StoredValue {
  if (isJson(value, 0)) return { text: JSON.stringify(value), bytes: null };
  if (isDeeper(value, deepest, new Set())) throw new RangeError(`nested more than ${deepest} levels deep`);
  return { text: null, bytes: serialize(value) };
}

/** What was stored, frozen. */
export function readValue({ text, bytes }: StoredValue): unknown {
  return freezeRecord(text !== null ? (JSON.parse(text) as unknown) : bytes !== null ? readBytes(bytes) : undefined);
}

/** Deeper than this, a value is left to V8, which also knows values that contain themselves. */
const deepestJson = 64;

/** V8 writes about twice as many levels as it can read, how many depends on its version and on how full the stack is. */
const deepest = 1_000;

// Strict: what this calls JSON is read back deeply equal.
function isJson(value: unknown, depth: number): boolean {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  return typeof value === "object" && depth < deepestJson && isJsonObject(value, depth + 1);
}

function isJsonObject(value: object, depth: number): boolean {
  if ("toJSON" in value) return false;
  if (Array.isArray(value)) {
    const { length } = value;
    // A hole, or a property beside the items, is not in the JSON.
    if (Object.keys(value).length !== length) return false;
    for (let index = 0; index < length; index++) if (!isJson(value[index], depth)) return false;
    return true;
  }
  if (!isPlainObject(value)) return false;
  for (const key of Object.keys(value))
    if (key === "__proto__" || !isJson((value as Record<string, unknown>)[key], depth)) return false;
  return true;
}

// What was seen before is not entered again, in V8's format neither.
function isDeeper(value: unknown, levels: number, seen: Set<unknown>): boolean {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || seen.has(value)) return false;
  if (levels === 0) return true;
  seen.add(value);
  const parts = types.isMap(value) ? [...value].flat() : types.isSet(value) ? value : Object.values(value);
  for (const part of parts) if (isDeeper(part, levels - 1, seen)) return true;
  return false;
}

// By its shape: each realm, such as a test runner's, has an `Object.prototype` of its own.
function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== null && Object.getPrototypeOf(prototype) === null;
}

// Some drivers answer an ArrayBuffer, others a view of memory that they go on using: this reads both, and copies the latter.
function readBytes(bytes: Uint8Array): unknown {
  return deserialize(new Uint8Array(bytes));
}
