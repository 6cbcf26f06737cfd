import { InvalidOptionError } from "../errors.ts";
import { itemAt } from "../model/item-at.ts";
import type { ImportMembers, Result } from "../model/host/import.ts";
import { callable, objectWith, validate } from "../model/validate.ts";
import { type WritingImport, refuseShaping, rejected, settingsOf, writeEach } from "./composed.ts";
import { PartContext } from "./part-context.ts";

const importRule = objectWith(["write"], "an import");
const rules = { first: importRule, next: callable, then: importRule };

/**
 * An import that writes each record into `first`, and then what `next` makes of the record and of what `first` returned
 * for it into `then`: the number that an API gives an invoice goes back to the order, say. It returns what `then` does.
 *
 * `first` is called again when `then` fails, so it has to be idempotent.
 *
 * @throws `invalid_option` for a `first` that is not idempotent, and for one of the two with `filter`, `map` or `schema`.
 */
export function inSequence<In, Mid, R = unknown, S = unknown>(
  first: WritingImport<In, R>,
  next: (record: In, value: R | undefined) => Mid,
  then: WritingImport<Mid, S>,
): ImportMembers<In, In, S> {
  validate({ first, next, then }, rules, InvalidOptionError, "inSequence.");
  if (!first.idempotent) throw new InvalidOptionError("inSequence.first.idempotent", "true", first.idempotent);
  refuseShaping("inSequence.first", first);
  refuseShaping("inSequence.then", then);
  return {
    ...togetherOf(first, then),
    async write(records, context) {
      const results: Result<S>[] = [];
      const following: Mid[] = [];
      const origins: { readonly index: number }[] = [];
      for (const [index, result] of (await writeEach(first, records, context)).entries()) {
        const made = advance(records[index] as In, result, next);
        if ("result" in made) results[index] = made.result;
        else {
          following.push(made.record);
          origins.push({ index });
        }
      }
      const written = await writeEach(then, following, new PartContext(context, origins));
      for (const [place, { index }] of origins.entries()) results[index] = itemAt(written, place);
      return results;
    },
  };
}

function advance<In, Mid, R>(
  record: In,
  result: Result<R>,
  next: (record: In, value: R | undefined) => Mid,
): { readonly record: Mid } | { readonly result: Result<never> } {
  // It may be written again, and nothing has come after it.
  if (!result.ok) return { result: result.fault === "unknown" ? { ...result, fault: "retry" } : result };
  if (result.ignored === true) return { result: { ok: true, ignored: true } };
  try {
    return { record: next(record, result.value) };
  } catch (error) {
    return { result: rejected(error) };
  }
}

const defaultTimeoutMs = 300_000;

function togetherOf(first: WritingImport<never, unknown>, then: WritingImport<never, unknown>) {
  const batchSize = least(first.batchSize, then.batchSize);
  const concurrency = Math.min(first.concurrency ?? 1, then.concurrency ?? 1);
  const timeouts = [first.writeTimeoutMs, then.writeTimeoutMs];
  const finishes = [first, then].filter(({ finish }) => finish !== undefined);
  const { sameKey } = settingsOf(then);
  return {
    idempotent: then.idempotent,
    concurrency,
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(timeouts.every((each) => each === undefined)
      ? {}
      : { writeTimeoutMs: timeouts.reduce<number>((sum, each) => sum + (each ?? defaultTimeoutMs), 0) }),
    ...(sameKey === "together" && first.sameKey === "together" ? { sameKey } : {}),
    ...(finishes.length === 0 ? {} : { finish: finishAll(finishes) }),
  };
}

function finishAll(imports: readonly WritingImport<never, unknown>[]): NonNullable<ImportMembers<unknown>["finish"]> {
  return async (context) => {
    for (const into of imports) await into.finish?.(context);
  };
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}
