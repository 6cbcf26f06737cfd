/** What a checkpoint may be: anything that reads back the same after `JSON.stringify` and `JSON.parse`. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

/**
 * Where in `value` the first thing sits that JSON would lose or change (a Date, a class instance, NaN, a function, a
 * cycle); undefined if all of it is JSON. A property that is `undefined` counts as absent.
 */
export function notJson(
  value: unknown,
  path = "",
  above: ReadonlySet<object> = new Set(),
): string | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean")
    return undefined;
  if (typeof value === "number")
    return Number.isFinite(value) ? undefined : `${path || "it"} is ${value}`;
  if (typeof value !== "object")
    return `${path || "it"} is of type ${typeof value}`;
  if (above.has(value)) return `${path || "it"} contains itself`;
  const inside = new Set(above).add(value);
  if (Array.isArray(value)) return firstNotJson(value.entries(), path, inside);
  if (!isPlain(value)) return `${path || "it"} is a ${value.constructor.name}`;
  return firstNotJson(Object.entries(value), path, inside);
}

function firstNotJson(
  entries: Iterable<[string | number, unknown]>,
  path: string,
  above: ReadonlySet<object>,
) {
  for (const [key, value] of entries) {
    if (value === undefined && typeof key === "string") continue;
    const problem = notJson(
      value,
      path === "" ? String(key) : `${path}.${key}`,
      above,
    );
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A value as it may stand in a message: short, on one line, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null)
    return `an object (${Object.keys(value).slice(0, 5).join(", ")})`;
  return String(value);
}
