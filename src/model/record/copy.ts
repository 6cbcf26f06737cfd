import { types } from "node:util";
import { isPlainObject } from "./json.ts";

/** The records of a page, in an array that cannot be changed. */
export interface FrozenRecords {
  readonly records: readonly unknown[];
  /** Whether a record may contain what cannot be frozen: dates, maps, sets, bytes, promises. Not looked for without `freeze`. */
  readonly mutable: boolean;
}

/** How {@link freezeRecords} treats records. */
export interface FreezeOptions {
  /** False leaves the records as they are, and trusts host code to do so, too. */
  readonly freeze: boolean;
  /** Whether several imports get them: then those that are frozen already are searched for what cannot be, too. */
  readonly shared?: boolean;
}

/** A frozen copy of the array, with its records frozen. Never throws, whatever the records do. */
export function freezeRecords(records: readonly unknown[], { freeze, shared = false }: FreezeOptions): FrozenRecords {
  // A slice of an array that is frozen takes several times as long.
  const copy = [...records];
  let mutable = false;
  if (freeze) for (const record of copy) mutable = freezeAndSearch(record, shared) || mutable;
  return { records: Object.freeze(copy), mutable };
}

/**
 * Freezes a record as {@link freezeRecord} does. True if it may contain what cannot be frozen; with `thorough`, also what is
 * frozen already is searched for that.
 */
export function freezeAndSearch(record: unknown, thorough: boolean): boolean {
  if (typeof record !== "object" || record === null) return false;
  try {
    return freezeDeep(record, thorough, 0);
  } catch {
    // A getter of its own threw: what was reached is frozen.
    return true;
  }
}

/**
 * Freezes a record and all it holds, so that no import can change what another one, or a later attempt, gets to see.
 * What is frozen already is taken as frozen all the way down. Dates, maps, sets and bytes cannot be frozen.
 */
export function freezeRecord<T>(record: T): T {
  freezeAndSearch(record, false);
  return record;
}

/** Deeper than this, freezing goes on with a stack of its own: a record may be nested deeper than calls can be. */
const deepestCalls = 64;

// Whether it holds what cannot be frozen.
function freezeDeep(value: object, thorough: boolean, depth: number): boolean {
  if (Object.isFrozen(value)) return thorough && holdsMutable(value);
  if (ArrayBuffer.isView(value)) return true;
  Object.freeze(value);
  if (depth === deepestCalls) return freezeFlat(value, thorough);
  let mutable = isMutable(value);
  for (const key in value) {
    const part: unknown = (value as Record<string, unknown>)[key];
    if (typeof part === "object" && part !== null) mutable = freezeDeep(part, thorough, depth + 1) || mutable;
  }
  return mutable;
}

function freezeFlat(frozen: object, thorough: boolean): boolean {
  let mutable = false;
  const open = [frozen];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    mutable ||= isMutable(value);
    for (const key in value) {
      const part: unknown = (value as Record<string, unknown>)[key];
      if (typeof part !== "object" || part === null) continue;
      if (Object.isFrozen(part)) mutable ||= thorough;
      else if (ArrayBuffer.isView(part)) mutable = true;
      else open.push(Object.freeze(part));
    }
  }
  return mutable;
}

/** Parts of a record that are looked at; with more it counts as one that may contain anything. */
const mostParts = 10_000;

/** Whether a record holds what cannot be frozen. Linear in its size; a very large one is said to. */
export function holdsMutable(record: unknown): boolean {
  const open: unknown[] = [record];
  try {
    for (let parts = 0; open.length > 0; parts++) {
      const value = open.pop();
      if (typeof value !== "object" || value === null) continue;
      if (parts === mostParts || isMutable(value)) return true;
      for (const key in value) {
        const part: unknown = (value as Record<string, unknown>)[key];
        if (typeof part === "object" && part !== null) open.push(part);
      }
    }
  } catch {
    return true;
  }
  return false;
}

function isMutable(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === Array.prototype) return false;
  return (
    types.isDate(value) ||
    types.isMap(value) ||
    types.isSet(value) ||
    types.isAnyArrayBuffer(value) ||
    ArrayBuffer.isView(value) ||
    value instanceof Promise
  );
}

/** Levels of a record that are copied for an import, and that can be kept. */
const deepest = 500;

/**
 * A record as one call of one import gets to see it: equal, with dates, maps, sets and bytes of its own, the rest frozen.
 * Objects of other classes are shared. Never throws: what cannot be copied is shared, too.
 */
export function copyForImport(record: unknown): unknown {
  try {
    return copyView(record, new Map(), 0);
  } catch {
    return record;
  }
}

function copyView(value: unknown, seen: Map<object, object>, depth: number): unknown {
  if (typeof value !== "object" || value === null || depth > deepest) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  const copyOf = (part: unknown) => copyView(part, seen, depth + 1);
  if (types.isMap(value))
    return fill(value, new Map<unknown, unknown>(), seen, (copy) => {
      for (const [key, item] of value) copy.set(copyOf(key), copyOf(item));
    });
  if (types.isSet(value))
    return fill(value, new Set<unknown>(), seen, (copy) => {
      for (const item of value) copy.add(copyOf(item));
    });
  if (!Array.isArray(value) && !isPlainObject(value)) return copyLeaf(value) ?? value;
  const container: object = Array.isArray(value) ? new Array<unknown>(value.length) : {};
  return Object.freeze(
    fill(value, container, seen, (copy) => {
      for (const key of Object.keys(value)) setField(copy, key, copyOf((value as Record<string, unknown>)[key]));
    }),
  );
}

// Known before it is filled, since it may contain itself.
function fill<T extends object>(original: object, copy: T, seen: Map<object, object>, put: (copy: T) => void): T {
  seen.set(original, copy);
  put(copy);
  return copy;
}

/** Sets a property of any name; assigning to `__proto__` would set the prototype. */
export function setField(target: object, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else (target as Record<string, unknown>)[key] = value;
}

/** A copy of an object that has no parts: a date, bytes, a pattern. Undefined for any other. */
export function copyLeaf(value: object): object | undefined {
  const levels = levelsAbove(value);
  if (types.isDate(value)) return levels === 2 ? new Date(value.getTime()) : undefined;
  if (types.isRegExp(value)) return levels === 2 ? copyPattern(value) : undefined;
  if (types.isArrayBuffer(value)) return levels === 2 ? value.slice(0) : undefined;
  if (!ArrayBuffer.isView(value) || types.isSharedArrayBuffer(value.buffer)) return undefined;
  if (Buffer.isBuffer(value)) return levels === 4 ? Buffer.from(value) : undefined;
  return levels === (types.isDataView(value) ? 2 : 3) ? copyViewOfBytes(value) : undefined;
}

function copyPattern(pattern: RegExp): RegExp {
  const copy = new RegExp(pattern.source, pattern.flags);
  copy.lastIndex = pattern.lastIndex;
  return copy;
}

function copyViewOfBytes(view: ArrayBufferView): object | undefined {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const name = Object.prototype.toString.call(view).slice(8, -1);
  const View = Reflect.get(globalThis, name) as (new (bytes: ArrayBufferLike) => object) | undefined;
  return View === undefined ? undefined : new View(bytes);
}

// 1 for a plain object, 2 for a date, more for an object of a class of the host's: by its shape, since each realm has
// classes of its own.
function levelsAbove(value: object): number {
  let levels = 0;
  for (let above: unknown = Object.getPrototypeOf(value); above !== null && levels < 10; levels++)
    above = Object.getPrototypeOf(above);
  return levels;
}
