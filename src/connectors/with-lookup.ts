import { type Clock, systemClock } from "../clock.ts";
import { InvalidOptionError, retryLater } from "../errors.ts";
import { itemAt } from "../model/item-at.ts";
import type { ImportContext, ImportMembers, Result } from "../model/host/import.ts";
import { outcomeOf } from "../model/host/outcome.ts";
import { type Shape, callable, duration, objectWith, oneOf, v, validate, wholeNumber } from "../model/validate.ts";
import { type WritingImport, refuseShaping, rejected, settingsOf, writeEach } from "./composed.ts";
import { FoundCache } from "./found-cache.ts";
import { PartContext } from "./part-context.ts";

/** How records are looked up before they are written. */
export interface LookupOptions<In, Out, F> {
  /** What a record is looked up by. Undefined: nothing, as if it were not found. A throw is a reject. */
  readonly keyOf: (record: In) => string | undefined;
  /**
   * What is found, by key; asked once a batch, for distinct keys that the cache does not have. What it throws makes the
   * batch wait, as `retryLater` does, since nothing was written; `reject` and `stop` are heeded.
   */
  readonly find: (keys: readonly string[], context: ImportContext) => Promise<ReadonlyMap<string, F>>;
  /** The record as it is written; `found` is undefined only with `missing: "pass"`. A throw is a reject. */
  readonly merge: (record: In, found: F | undefined) => Out;
  /** What becomes of a record that nothing is found for: a failure, left out (`numIgnore`), or written. @default "reject" */
  readonly missing?: "reject" | "ignore" | "pass";
  /** What becomes of a record that something is found for; `ignore` leaves out what exists already. @default "write" */
  readonly found?: "write" | "ignore";
  /** Keeps what was found, for all batches of this process; what was not found is always asked for again. @default none */
  readonly cache?: LookupCache;
  /** @default the clock of this computer */
  readonly clock?: Clock;
}

/** How long found values are kept. */
export interface LookupCache {
  /** Most values that are kept, those used last; 1 or more. */
  readonly max: number;
  /** Milliseconds for which a value is kept. */
  readonly ttlMs: number;
}

const optionRules: Shape<LookupOptions<never, unknown, unknown>> = {
  keyOf: callable,
  find: callable,
  merge: callable,
  missing: v.optional(oneOf("reject", "ignore", "pass")),
  found: v.optional(oneOf("write", "ignore")),
  cache: v.optional(v.looseObject({}, "an object with max and ttlMs")),
  clock: v.optional(objectWith(["now", "setTimer"], "a clock")),
};
const cacheRules: Shape<LookupCache> = { max: wholeNumber(1), ttlMs: duration };

/**
 * An import that looks its records up, once a batch, and writes what `merge` makes of a record and what was found into
 * another import.
 *
 * @throws `invalid_option` for an option that is missing or out of range, and for an `into` with `filter`, `map` or `schema`.
 */
export function withLookup<In, Out, F, R = unknown>(
  into: WritingImport<Out, R>,
  options: LookupOptions<In, Out, F>,
): ImportMembers<In, In, R> {
  validate(options, optionRules, InvalidOptionError, "withLookup.");
  if (options.cache !== undefined) validate(options.cache, cacheRules, InvalidOptionError, "withLookup.cache.");
  refuseShaping("withLookup.into", into);
  const lookup = new Lookup(options);
  return {
    ...settingsOf(into),
    async write(records, context) {
      const { found, results, origins } = await lookup.merged<R>(records, context);
      const written = await writeEach(into, found, new PartContext(context, origins));
      for (const [place, { index }] of origins.entries()) results[index] = itemAt(written, place);
      return results as readonly Result<R>[];
    },
    ...(into.find === undefined ? {} : { find: findThrough(into, lookup) }),
  };
}

function findThrough<In, Out, F, R>(into: WritingImport<Out, R>, lookup: Lookup<In, Out, F>) {
  return async (records: readonly In[], context: ImportContext): Promise<readonly (R | undefined)[]> => {
    const { found, origins } = await lookup.merged(records, context);
    const there = new Array<R | undefined>(records.length).fill(undefined);
    if (found.length === 0) return there;
    const values = await into.find?.(Object.freeze(found), new PartContext(context, origins));
    for (const [place, { index }] of origins.entries()) there[index] = values?.[place];
    return there;
  };
}

interface MergedBatch<Out, R> {
  readonly found: Out[];
  readonly origins: readonly { readonly index: number }[];
  /** Of each record of the batch that is not to be written. */
  readonly results: (Result<R> | undefined)[];
}

class Lookup<In, Out, F> {
  readonly #options: LookupOptions<In, Out, F>;
  readonly #cache: FoundCache<F> | undefined;

  constructor(options: LookupOptions<In, Out, F>) {
    const { cache, clock = systemClock } = options;
    this.#options = options;
    if (cache !== undefined) this.#cache = new FoundCache({ ...cache, clock });
  }

  async merged<R>(records: readonly In[], context: ImportContext): Promise<MergedBatch<Out, R>> {
    const results = new Array<Result<R> | undefined>(records.length).fill(undefined);
    const keys = records.map((record, index) => {
      try {
        return this.#options.keyOf(record);
      } catch (error) {
        results[index] = rejected(error);
        return undefined;
      }
    });
    const values = await this.#find(keys, context);
    const batch: MergedBatch<Out, R> = { found: [], origins: [], results };
    for (const [index, record] of records.entries())
      if (results[index] === undefined) this.#merge(batch, { record, index, key: keys[index] }, values);
    return batch;
  }

  #merge<R>(
    { found, origins, results }: MergedBatch<Out, R>,
    { record, index, key }: { readonly record: In; readonly index: number; readonly key: string | undefined },
    values: ReadonlyMap<string, F>,
  ): void {
    const { missing = "reject", found: whenFound = "write", merge } = this.#options;
    const value = key === undefined ? undefined : values.get(key);
    if (value === undefined && missing === "reject") results[index] = rejected(notFound(key));
    else if (value === undefined ? missing === "ignore" : whenFound === "ignore")
      results[index] = { ok: true, ignored: true };
    else
      try {
        found.push(merge(record, value));
        (origins as { index: number }[]).push({ index });
      } catch (error) {
        results[index] = rejected(error);
      }
  }

  async #find(keys: readonly (string | undefined)[], context: ImportContext): Promise<ReadonlyMap<string, F>> {
    const values = new Map<string, F>();
    const asked = new Set<string>();
    for (const key of keys) {
      if (key === undefined || values.has(key) || asked.has(key)) continue;
      const known = this.#cache?.get(key);
      if (known === undefined) asked.add(key);
      else values.set(key, known);
    }
    if (asked.size === 0) return values;
    for (const [key, value] of await this.#ask([...asked], context)) {
      if (!asked.has(key) || (value as unknown) === undefined) continue;
      values.set(key, value);
      this.#cache?.set(key, value);
    }
    return values;
  }

  async #ask(keys: readonly string[], context: ImportContext): Promise<ReadonlyMap<string, F>> {
    try {
      const found: unknown = await this.#options.find(Object.freeze(keys), context);
      if (found instanceof Map) return found as ReadonlyMap<string, F>;
    } catch (error) {
      throw outcomeOf(error) === undefined ? retryLater(error) : error;
    }
    throw retryLater(new TypeError("withLookup.find: expected a Map of what was found by key"));
  }
}

function notFound(key: string | undefined): Error {
  return new Error(
    key === undefined ? "there is no key to look up by" : `nothing was found for ${JSON.stringify(key)}`,
  );
}
