/** What a checkpoint may be: anything that reads back the same after `JSON.stringify` and `JSON.parse`. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** Levels that a checkpoint may have. */
const deepest = 500;
/** Values that it may have. */
const mostValues = 1_000_000;

/** Where a copy has got to. */
interface Progress {
  /** Names of the values that the current one is in, from the outermost. */
  readonly path: string[];
  /** Objects that it is in, from the outermost. */
  readonly above: object[];
  values: number;
}

/**
 * A frozen copy of `value`, so that its maker can go on using its own. A property that is `undefined` counts as absent.
 *
 * @throws RangeError naming the first thing JSON would lose or change: a Date, a class instance, NaN, a function, a cycle.
 */
export function copyJson(value: unknown, name = "it"): Json {
  return copyPart(value, { path: [name], above: [], values: 0 });
}

function copyPart(value: unknown, progress: Progress): Json {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value === 0 ? 0 : value; // JSON has no -0
  if (typeof value !== "object") throw refusal(progress, `is ${formatValue(value)}`);
  const { above, path } = progress;
  if (above.includes(value)) throw refusal(progress, "contains itself");
  if (path.length > deepest) throw refusal(progress, `is nested more than ${deepest} levels deep`);
  if (progress.values++ > mostValues) throw refusal(progress, `is one of more than ${mostValues} values`);
  above.push(value);
  const copy = Array.isArray(value) ? copyItems(value, progress) : copyFields(value, progress);
  above.pop();
  return copy;
}

function copyItems(items: readonly unknown[], progress: Progress): Json {
  const copy: Json[] = [];
  for (let index = 0; index < items.length; index++) copy.push(copyNamed(String(index), items[index], progress));
  return Object.freeze(copy);
}

function copyFields(value: object, progress: Progress): Json {
  if (!isPlainObject(value)) throw refusal(progress, `is a ${value.constructor.name}`);
  const copy: Record<string, Json> = {};
  for (const name of Object.keys(value)) {
    const item: unknown = (value as Record<string, unknown>)[name];
    if (item === undefined) continue;
    const part = copyNamed(name, item, progress);
    // Assigning to it would set the prototype.
    if (name === "__proto__") Object.defineProperty(copy, name, { value: part, enumerable: true });
    else copy[name] = part;
  }
  return Object.freeze(copy);
}

function copyNamed(name: string, value: unknown, progress: Progress): Json {
  progress.path.push(name);
  const copy = copyPart(value, progress);
  progress.path.pop();
  return copy;
}

function refusal({ path }: Progress, problem: string): RangeError {
  return new RangeError(`${shorten(path.join("."), 200)} ${problem}`);
}

/** True for an object of no class. By its shape: each realm, such as a test runner's, has an `Object.prototype` of its own. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** A value as it may stand in a message: short, on one line, whatever it is. Never throws. */
export function formatValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(shorten(value, 80));
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return formatObject(value);
  return typeof value === "bigint" ? `${shorten(String(value), 80)}n` : shorten(String(value), 80);
}

// Undefined for plain objects. The name of a class says more of what shows no fields, such as a Response.
function classOf(value: object): string | undefined {
  if (isPlainObject(value)) return undefined;
  const { name } = value.constructor;
  return typeof name === "string" && name !== "" && name !== "Object" ? name : undefined;
}

// Reading anything of an object may run foreign code.
function formatObject(value: object): string {
  try {
    if (Array.isArray(value)) return `an array of ${value.length}`;
    if (value instanceof Promise) return "a Promise";
    const name = ArrayBuffer.isView(value) || Object.keys(value).length === 0 ? classOf(value) : undefined;
    if (name !== undefined) return `${/^[AEIO]/.test(name) ? "an" : "a"} ${shorten(name, 40)}`;
    const names = Object.keys(value).slice(0, 5);
    return `an object (${names.map((name) => shorten(name, 40)).join(", ")})`;
  } catch {
    return "an object";
  }
}

function shorten(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest).replace(/[\uD800-\uDBFF]$/, "")}…` : text;
}

/** Without the fields that are undefined. */
export function omitUndefined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
