import type { Export } from "../model/export.ts";
import type { PageKeys } from "./batch.ts";

/**
 * The keys and versions of a page's records: the export's own, made at once, so that one it cannot make is known before
 * anything is written; without `key`, those of `defaultKeyOf`. A record whose key or version cannot be made is one of
 * `problems`, under its default key.
 */
export function pageKeys(
  records: readonly unknown[],
  from: Export<unknown>,
  defaultKeyOf: (index: number) => string,
): PageKeys {
  if (from.key === undefined && from.version === undefined) return { keyOf: defaultKeyOf };
  const keys: string[] = [];
  const versions: (string | number)[] = [];
  const problems = new Map<number, unknown>();
  for (let index = 0; index < records.length; index++) {
    try {
      if (from.key !== undefined) keys[index] = readKey(from.key(records[index]));
      if (from.version !== undefined) versions[index] = readVersion(from.version(records[index]));
    } catch (error) {
      problems.set(index, new Error(`its key cannot be made, at place ${index} of its page`, { cause: error }));
    }
  }
  return {
    keyOf: (index) => (problems.has(index) ? undefined : keys[index]) ?? defaultKeyOf(index),
    ...(from.version === undefined ? {} : { versionOf: (index) => versions[index] }),
    ...(from.key === undefined ? {} : { mayRepeat: new Set(keys).size < records.length }),
    ...(problems.size === 0 ? {} : { problems }),
  };
}

function readKey(key: unknown): string {
  if (typeof key === "string" && key !== "") return key;
  throw new TypeError(`expected a string that is not empty, found ${typeof key}`);
}

function readVersion(version: unknown): string | number {
  if (typeof version === "string" || (typeof version === "number" && Number.isFinite(version))) return version;
  throw new TypeError(`expected a string or a finite number as version, found ${typeof version}`);
}
