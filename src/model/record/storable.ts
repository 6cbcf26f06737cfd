import { types } from "node:util";
import { copyLeaf, setField } from "./copy.ts";
import type { Codec } from "../host/export.ts";
import { copyJson, isPlainObject } from "./json.ts";
import { messageOf } from "../message.ts";

/** A record as storages keep it, or why it cannot be kept. */
export type Storable =
  | { readonly record: unknown; readonly problem?: undefined }
  | {
      /** Names the place, to follow "the record cannot be kept: ", such as `lines.0.id is an ObjectId`. */
      readonly problem: string;
      /** In the record, such as `lines.0.id`; empty for the record itself. */
      readonly place: string;
    };

/** Levels of a record that can be kept. */
const deepest = 500;
/** What a record that can be kept measures: characters of its strings and names, and eight for each value. */
const largest = 16 * 1_024 * 1_024;

/**
 * A frozen copy of a record that shares nothing with it and reads back deeply equal from every storage: plain objects,
 * arrays, dates, maps, sets, bytes (a `Buffer` stays one), patterns, big integers, `undefined` and `NaN`, also if it
 * contains itself. Anything else is a problem: an object of a class, a function, nesting over 500 levels, more than
 * 16 MB. With a codec the copy is what it makes of the record, which has to be JSON.
 *
 * Linear in the size of the record. Never throws, whatever getters, proxies and the codec do.
 */
export function storable(record: unknown, codec?: Codec): Storable {
  if (codec !== undefined) return encoded(record, codec);
  const quick = quickCopy(record);
  return quick === unfit ? new Copier().copy(record) : { record: quick };
}

/**
 * The same, for values that have to be storable.
 *
 * @throws RangeError naming the place that is not.
 */
export function copyRecord<T>(record: T): T {
  const result = storable(record);
  if (result.problem !== undefined) throw new RangeError(result.problem);
  return result.record as T;
}

function encoded(record: unknown, codec: Codec): Storable {
  try {
    const value = copyJson(codec.encode(record), "the encoded record");
    const size = new Copier().copy(value);
    return size.problem === undefined ? { record: value } : size;
  } catch (error) {
    return { problem: `it cannot be encoded: ${messageOf(error)}`, place: "" };
  }
}

const unfit = Symbol("unfit");

/** Values of a record that the quick way copies; with more, or if it meets anything but plain data, it gives up. */
const mostQuick = 10_000;
const deepestQuick = 32;

// Most records are small and plain.
function quickCopy(record: unknown): unknown {
  const left = { values: mostQuick, size: largest };
  try {
    return quickCopyOf(record, left, 0);
  } catch {
    return unfit;
  }
}

function quickCopyOf(value: unknown, left: { values: number; size: number }, depth: number): unknown {
  if (typeof value === "string") left.size -= value.length;
  if (left.values-- <= 0 || left.size < 0) return unfit;
  if (typeof value === "function" || typeof value === "symbol" || isHuge(value)) return unfit;
  if (typeof value !== "object" || value === null) return value;
  if (depth === deepestQuick) return unfit;
  if (Array.isArray(value)) return quickCopyOfArray(value, left, depth);
  if (Object.getPrototypeOf(value) !== Object.prototype) return quickCopyOfLeaf(value, left);
  if (hasSymbols(value)) return unfit;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const part = key === "__proto__" ? unfit : quickCopyOf((value as Record<string, unknown>)[key], left, depth + 1);
    if (part === unfit) return unfit;
    left.size -= key.length;
    copy[key] = part;
  }
  return Object.freeze(copy);
}

function quickCopyOfLeaf(value: object, left: { size: number }): unknown {
  if (hasFields(value)) return unfit;
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) left.size -= value.byteLength;
  return left.size < 0 ? unfit : (copyLeaf(value) ?? unfit);
}

function quickCopyOfArray(value: readonly unknown[], left: { values: number; size: number }, depth: number): unknown {
  // A hole, or a property beside the items.
  if (value.length > left.values || Object.keys(value).length !== value.length) return unfit;
  if (Object.getPrototypeOf(value) !== Array.prototype) return unfit;
  const copy: unknown[] = [];
  for (const item of value) {
    const part = quickCopyOf(item, left, depth + 1);
    if (part === unfit) return unfit;
    copy.push(part);
  }
  return Object.freeze(copy);
}

function hasSymbols(value: object): boolean {
  const symbols = Object.getOwnPropertySymbols(value);
  return symbols.length > 0 && symbols.some((symbol) => Object.prototype.propertyIsEnumerable.call(value, symbol));
}

/** Copies a record of any kind, and knows where it is. */
class Copier {
  /** Names from the record to the value being copied. */
  readonly #path: string[] = [];
  /** Copies by their originals: what stands in several places, or contains itself, does so in the copy. */
  readonly #copies = new Map<object, unknown>();
  #left = largest;
  #problem: string | undefined;

  copy(record: unknown): Storable {
    try {
      const copy = this.#copy(record);
      if (copy !== unfit) return { record: copy };
    } catch (error) {
      this.#problem = `cannot be read: ${messageOf(error)}`;
    }
    const place = this.#path.join(".");
    return { problem: `${place === "" ? "it" : shortened(place)} ${this.#problem ?? "cannot be kept"}`, place };
  }

  #copy(value: unknown): unknown {
    this.#left -= sizeOf(value);
    if (this.#left < 0) return this.#refuseSize();
    if (typeof value === "function") return this.#refuse("is a function");
    if (typeof value === "symbol") return this.#refuse("is a symbol");
    if (typeof value !== "object" || value === null) return value;
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    if (this.#path.length > deepest)
      return this.#refuse(`is nested more than ${deepest} levels deep`, { ofRecord: true });
    return this.#copyObject(value);
  }

  #copyObject(value: object): unknown {
    if (types.isMap(value) && isBuiltIn(value)) return this.#copyMap(value);
    if (types.isSet(value) && isBuiltIn(value)) return this.#copySet(value);
    if (Array.isArray(value) ? isBuiltIn(value) : isPlainObject(value)) return this.#copyFields(value);
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) this.#left -= value.byteLength;
    if (this.#left < 0) return this.#refuseSize();
    const copy = hasFields(value) ? undefined : copyLeaf(value);
    if (copy === undefined) return this.#refuse(`is ${nameOf(value)}`);
    this.#copies.set(value, copy);
    return copy;
  }

  #copyFields(value: object): unknown {
    if (hasSymbols(value)) return this.#refuse("has a property whose name is a symbol");
    const isArray = Array.isArray(value);
    // Its length alone may be more than anything can keep.
    if (isArray) this.#left -= value.length;
    if (this.#left < 0) return this.#refuseSize();
    const copy: object = isArray ? new Array<unknown>(value.length) : {};
    this.#copies.set(value, copy);
    for (const key of Object.keys(value)) {
      this.#left -= key.length;
      const part = this.#copyPart(key, () => (value as Record<string, unknown>)[key]);
      if (part === unfit) return unfit;
      setField(copy, key, part);
    }
    return Object.freeze(copy);
  }

  #copyMap(value: ReadonlyMap<unknown, unknown>): unknown {
    const copy = new Map<unknown, unknown>();
    this.#copies.set(value, copy);
    let index = 0;
    for (const [key, item] of value) {
      const keyCopy = this.#copyPart(`key ${index}`, () => key);
      const itemCopy = keyCopy === unfit ? unfit : this.#copyPart(String(index++), () => item);
      if (itemCopy === unfit) return unfit;
      copy.set(keyCopy, itemCopy);
    }
    return copy;
  }

  #copySet(value: ReadonlySet<unknown>): unknown {
    const copy = new Set<unknown>();
    this.#copies.set(value, copy);
    let index = 0;
    for (const item of value) {
      const part = this.#copyPart(String(index++), () => item);
      if (part === unfit) return unfit;
      copy.add(part);
    }
    return copy;
  }

  // The path stays where it is if the part is refused, or throws.
  #copyPart(name: string, read: () => unknown): unknown {
    this.#path.push(name);
    const copy = this.#copy(read());
    if (copy !== unfit) this.#path.pop();
    return copy;
  }

  #refuseSize(): typeof unfit {
    return this.#refuse(`is larger than ${largest / 1_024 / 1_024} MB`, { ofRecord: true });
  }

  #refuse(problem: string, { ofRecord = false } = {}): typeof unfit {
    this.#problem = problem;
    // Where exactly the record got too large says nothing; the field of the record that it lies in does.
    if (ofRecord) this.#path.splice(1);
    return unfit;
  }
}

function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  return isHuge(value) ? value.toString(16).length / 2 : 8;
}

function isHuge(value: unknown): value is bigint {
  return typeof value === "bigint" && BigInt.asIntN(64, value) !== value;
}

/** Whether an array, map or set is of its own class and has nothing else. */
function isBuiltIn(value: object): boolean {
  const above: unknown = Object.getPrototypeOf(value);
  const further: unknown = above === null ? null : Object.getPrototypeOf(above);
  return further !== null && Object.getPrototypeOf(further) === null && (Array.isArray(value) || !hasFields(value));
}

function hasFields(value: object): boolean {
  return !ArrayBuffer.isView(value) && Object.keys(value).length > 0;
}

function nameOf(value: object): string {
  const { name } = value.constructor as { name?: unknown };
  if (typeof name !== "string" || name === "" || name === "Object") return "an object of a class";
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${shortened(name)}`;
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
