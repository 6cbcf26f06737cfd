import type { Export, ExportContext, Flow, ImportContext, Run } from "poundlock";
import { outcomeOf } from "../../../src/model/host/outcome.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { sampleFlow, sampleRun } from "../../../src/testing/connector-harness.ts";

export const flow: Flow = sampleFlow;

export function run(_id = "run-1"): Run {
  return sampleRun(_id);
}

/** What `pages` is given. */
export function exportContext<C>(given: Partial<ExportContext<C>> = {}): ExportContext<C> {
  return {
    ...{ checkpoint: undefined, run: run(), flow, pageSize: 100 },
    ...{ signal: new AbortController().signal, log: silentLogger },
    ...given,
  };
}

/** What `write` is given with `count` records. */
export function importContext(count: number, given: Partial<ImportContext> = {}): ImportContext {
  const keys = Array.from({ length: count }, (_, index) => `key ${index}`);
  return {
    keys,
    idempotencyKeys: keys.map((key) => `idempotency ${key}`),
    ...{ attempt: 1, page: 1, run: run(), flow },
    ...{ signal: new AbortController().signal, log: silentLogger },
    ...given,
  };
}

/** Everything that an export yields. */
export async function readAll<T, C>(
  from: Export<T, C>,
  given: Partial<ExportContext<C>> = {},
): Promise<{ readonly records: readonly T[]; readonly checkpoints: readonly C[] }> {
  const records: T[] = [];
  const checkpoints: C[] = [];
  for await (const page of from.pages?.(exportContext(given)) ?? []) {
    if (!("records" in page)) throw new Error("an array instead of a page");
    records.push(...page.records);
    if (page.checkpoint !== undefined) checkpoints.push(page.checkpoint);
  }
  return { records, checkpoints };
}

/** How a promise ends: `ok`, the outcome that its error carries, or `error`. */
export async function fateOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "ok",
    (error: unknown) => kindOf(error),
  );
}

/** The outcome that an error carries, or `error`. */
export function kindOf(error: unknown): string {
  return outcomeOf(error)?.kind ?? "error";
}

/** What a promise rejects with. */
export async function errorOf(work: Promise<unknown>): Promise<Error & { readonly afterMs?: unknown }> {
  try {
    await work;
  } catch (error) {
    const outcome = outcomeOf(error);
    return Object.assign(error as Error, outcome?.kind === "retryLater" ? { afterMs: outcome.afterMs } : {});
  }
  throw new Error("it did not reject");
}
