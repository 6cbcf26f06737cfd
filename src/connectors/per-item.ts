import { InvalidOptionError } from "../errors.ts";
import { itemAt } from "../model/item-at.ts";
import type { ImportContext, ImportMembers, Result } from "../model/host/import.ts";
import { outcomeOf } from "../model/host/outcome.ts";
import { callable, objectWith, validate } from "../model/validate.ts";
import { type BadResult, type WritingImport, refuseShaping, rejected, settingsOf, writeEach } from "./composed.ts";
import { type Origin, PartContext } from "./part-context.ts";

const rules = { into: objectWith(["write"], "an import"), itemsOf: callable };

/**
 * An import that writes the items of each record, such as the lines of an order, into another import, under the keys
 * `key/0`, `key/1` and so on. A record fares as its worst item does; one without items is left out (`numIgnore`).
 * Its value is the values of its items.
 *
 * @throws `invalid_option` for an `into` with `filter`, `map` or `schema`.
 */
export function perItem<In, Item, R = unknown>(
  into: WritingImport<Item, R>,
  itemsOf: (record: In) => readonly Item[],
): ImportMembers<In, In, readonly (R | undefined)[]> {
  validate({ into, itemsOf }, rules, InvalidOptionError, "perItem.");
  refuseShaping("perItem.into", into);
  return {
    ...settingsOf(into),
    async write(records, context) {
      const { items, origins, broken } = itemsIn(records, itemsOf);
      const results = await writeItems(into, { items, origins }, context);
      const byRecord = records.map((): Result<R>[] => []);
      for (const [place, { index }] of origins.entries()) itemAt(byRecord, index).push(itemAt(results, place));
      return byRecord.map((each, index) => broken.get(index) ?? worstOf(each, into.idempotent));
    },
    ...(into.find === undefined ? {} : { find: findItems(into, itemsOf) }),
  };
}

interface Items<Item> {
  readonly items: readonly Item[];
  readonly origins: readonly Origin[];
}

function itemsIn<In, Item>(records: readonly In[], itemsOf: (record: In) => readonly Item[]) {
  const items: Item[] = [];
  const origins: Origin[] = [];
  const broken = new Map<number, BadResult>();
  for (const [index, record] of records.entries()) {
    try {
      for (const [item, each] of itemsOf(record).entries()) {
        items.push(each);
        origins.push({ index, item });
      }
    } catch (error) {
      broken.set(index, rejected(error));
    }
  }
  return { items, origins, broken };
}

async function writeItems<Item, R>(
  into: WritingImport<Item, R>,
  { items, origins }: Items<Item>,
  context: ImportContext,
): Promise<readonly Result<R>[]> {
  const { batchSize = Infinity } = into;
  const results: Result<R>[] = [];
  for (let start = 0; start < items.length; start += batchSize) {
    const part = { items: items.slice(start, start + batchSize), origins: origins.slice(start, start + batchSize) };
    results.push(...(await writeOrHalve(into, part, context)));
  }
  return results;
}

// As a run does with a batch that is rejected as a whole: until the item at fault stands alone.
async function writeOrHalve<Item, R>(
  into: WritingImport<Item, R>,
  { items, origins }: Items<Item>,
  context: ImportContext,
): Promise<readonly Result<R>[]> {
  try {
    return await writeEach(into, items, new PartContext(context, origins));
  } catch (error) {
    if (outcomeOf(error)?.kind !== "reject") throw error;
    if (items.length === 1) return [rejected(error)];
  }
  const middle = Math.ceil(items.length / 2);
  const halves = [
    { items: items.slice(0, middle), origins: origins.slice(0, middle) },
    { items: items.slice(middle), origins: origins.slice(middle) },
  ];
  const results: Result<R>[] = [];
  for (const half of halves) results.push(...(await writeOrHalve(into, half, context)));
  return results;
}

const severity = { retry: 1, unknown: 2, reject: 3 } as const;

function worstOf<R>(results: readonly Result<R>[], idempotent: boolean): Result<readonly (R | undefined)[]> {
  const bad = results.filter((result) => !result.ok);
  const [worst] = bad.sort((one, other) => severity[other.fault] - severity[one.fault]);
  if (worst === undefined) {
    if (results.every((result) => result.ok && result.ignored === true)) return { ok: true, ignored: true };
    return { ok: true, value: (results as readonly { readonly value?: R }[]).map(({ value }) => value) };
  }
  // Another attempt would write again the items that were written.
  if (!idempotent && (bad.length < results.length || bad.some(({ fault }) => fault === "unknown")))
    return { ok: false, fault: "unknown", error: worst.error };
  return worst;
}

function findItems<In, Item, R>(into: WritingImport<Item, R>, itemsOf: (record: In) => readonly Item[]) {
  return async (records: readonly In[], context: ImportContext) => {
    const { items, origins } = itemsIn(records, itemsOf);
    const found = items.length === 0 ? [] : await into.find?.(Object.freeze(items), new PartContext(context, origins));
    const byRecord = records.map((): (R | undefined)[] => []);
    for (const [place, { index }] of origins.entries()) byRecord[index]?.push(found?.[place]);
    return byRecord.map((each) => (each.length > 0 && each.every((one) => one !== undefined) ? each : undefined));
  };
}
