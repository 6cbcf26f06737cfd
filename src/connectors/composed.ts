import { InvalidOptionError } from "../errors.ts";
import type { ImportContext, ImportMembers, Result } from "../model/host/import.ts";
import { outcomeOf } from "../model/host/outcome.ts";

/** An import as a helper takes it: what it writes is what it is given. */
export type WritingImport<Out, R> = Pick<
  ImportMembers<Out, Out, R>,
  "write" | "find" | "finish" | "idempotent" | "batchSize" | "concurrency" | "writeTimeoutMs" | "sameKey"
>;

/** What is wrong with a record that was not written. */
export type BadResult = Extract<Result, { readonly ok: false }>;

const shaping = ["filter", "map", "schema"] as const;

/**
 * Refuses an import that shapes its records itself: the helper's result does that, since records reach the import changed.
 *
 * @throws `invalid_option`
 */
export function refuseShaping(name: string, into: object): void {
  for (const part of shaping)
    if ((into as Record<string, unknown>)[part] !== undefined)
      throw new InvalidOptionError(`${name}.${part}`, "none: spread it onto what the helper returns", "one");
}

/** The settings that the result of a helper has from the import that it is made of. */
export function settingsOf<Out, R>(into: WritingImport<Out, R>) {
  const { batchSize, concurrency, writeTimeoutMs, sameKey } = into;
  return {
    idempotent: into.idempotent,
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(writeTimeoutMs === undefined ? {} : { writeTimeoutMs }),
    ...(sameKey === undefined ? {} : { sameKey }),
    ...(into.finish === undefined ? {} : { finish: into.finish.bind(into) }),
  };
}

/**
 * What became of each record of a batch.
 *
 * @throws `stop` and `reject` as they were thrown: nothing was written, and the run halves a rejected batch.
 */
export async function writeEach<Out, R>(
  into: WritingImport<Out, R>,
  records: readonly Out[],
  context: ImportContext,
): Promise<readonly Result<R>[]> {
  if (records.length === 0) return [];
  try {
    const results = await into.write(Object.freeze(records), context);
    if (results === undefined) return records.map(() => ({ ok: true }));
    if (results.length === records.length) return results;
  } catch (error) {
    const result = thrownResult(error);
    if (result === undefined) throw error;
    return records.map(() => result);
  }
  throw new Error(`write returned another number of results than it was given records (${records.length})`);
}

// Undefined for what concerns the batch as a whole.
function thrownResult(error: unknown): BadResult | undefined {
  const outcome = outcomeOf(error);
  if (outcome === undefined) return { ok: false, fault: "unknown", error };
  if (outcome.kind !== "retryLater") return undefined;
  return { ok: false, fault: "retry", error, afterMs: outcome.afterMs };
}

/** Of a record that is at fault itself. */
export function rejected(error: unknown): BadResult {
  return { ok: false, fault: "reject", error };
}
