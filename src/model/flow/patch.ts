import { type Flow, definitionOf } from "./flow.ts";

/** The fields that a patch names; one that is undefined is not named. */
export function namedFields(changes: unknown): ReadonlySet<string> {
  if (typeof changes !== "object" || changes === null) return new Set();
  return new Set(Object.keys(changes).filter((field) => (changes as Record<string, unknown>)[field] !== undefined));
}

/**
 * What an update must be given so that only the fields `changes` names change; `null` takes an optional field away,
 * and one that is undefined is not named. Naming one of `_importId` and `_importIds` replaces both.
 */
export function patched(flow: Flow, changes: unknown): unknown {
  if (typeof changes !== "object" || changes === null || Array.isArray(changes)) return changes;
  const { _importIds, ...fields } = definitionOf(flow);
  const named = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  const renamesImports = "_importId" in named || "_importIds" in named;
  return { ...fields, ...(renamesImports ? {} : { _importIds }), ...named };
}

/** Levels below this are replaced as a whole; settings are refused before they are so deep. */
const deepestMerge = 101;

/**
 * What a JSON merge patch makes of `target`: objects are merged at every level, `null` takes a member away, and anything
 * else replaces what is there.
 *
 * @see RFC 7396
 */
export function mergeJson(target: unknown, patch: unknown, depth = 0): unknown {
  if (!isObject(patch) || depth > deepestMerge) return patch;
  const merged = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch))
    if (value === null) merged.delete(key);
    else merged.set(key, mergeJson(merged.get(key), value, depth + 1));
  return Object.fromEntries(merged);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
