import type { Export } from "../model/host/export.ts";
import type { ImportContext, ImportMembers, Result } from "../model/host/import.ts";
import { itemAt } from "../model/item-at.ts";

/** How an {@link arrayExport} behaves. */
export interface ArrayExportOptions<T> {
  /** Records a page; 1 or more. @default 100 */
  readonly pageSize?: number;
  /** @default "ordered" */
  readonly order?: "ordered" | "unordered";
  /** @default none: keys are made of run, page and place */
  readonly key?: (record: T) => string;
}

/** Reads `records`, which may grow meanwhile; its checkpoint is how many were read. */
export function arrayExport<T>(
  records: readonly T[],
  options: ArrayExportOptions<T> = {},
): Export<T, { readonly read: number }> {
  const { pageSize = 100, order = "ordered", key } = options;
  return {
    pageSize,
    order,
    ...(key === undefined ? {} : { key }),
    async *pages({ checkpoint, signal }) {
      for (let start = checkpoint?.read ?? 0; start < records.length && !signal.aborted; start += pageSize) {
        const page = records.slice(start, start + pageSize);
        yield { records: page, checkpoint: { read: start + page.length }, total: records.length };
      }
    },
  };
}

/** One call of `write`, as an import saw it. */
export interface WriteCall<T> {
  readonly records: readonly T[];
  readonly keys: readonly string[];
  readonly attempt: number;
  readonly runId: string;
}

/** An import that keeps what it is given. */
export interface CollectingImport<T> extends ImportMembers<T> {
  /** Every record written, in order, repetitions included. */
  readonly written: T[];
  /** The newest record written under each key. */
  readonly byKey: Map<string, T>;
  /** Every call of `write`. */
  readonly calls: WriteCall<T>[];
}

/** Settings of an import, as a host's own would have them. */
export type ImportSettings<T> = Partial<
  Pick<
    ImportMembers<T>,
    "idempotent" | "batchSize" | "concurrency" | "writeTimeoutMs" | "filter" | "map" | "find" | "schema"
  >
>;

/** Takes everything; idempotent unless `settings` say otherwise. */
export function collectingImport<T>(settings: ImportSettings<T> = {}): CollectingImport<T> {
  return scriptedImport<T>(() => undefined, settings);
}

/** What a script says to one call of `write`; it may also throw, or wait for the signal. */
export type WriteScript<T> = (
  call: WriteCall<T>,
  context: ImportContext,
) => Promise<void | readonly Result[]> | readonly Result[] | undefined;

/** Does what `script` says at each call, and keeps the records that it lets be written. */
export function scriptedImport<T>(script: WriteScript<T>, settings: ImportSettings<T> = {}): CollectingImport<T> {
  const written: T[] = [];
  const byKey = new Map<string, T>();
  const calls: WriteCall<T>[] = [];
  return {
    idempotent: true,
    ...settings,
    written,
    byKey,
    calls,
    async write(records, context) {
      const call = { records, keys: context.keys, attempt: context.attempt, runId: context.run._id };
      calls.push(call);
      const results = await script(call, context);
      for (const [index, record] of records.entries()) {
        if (results?.[index]?.ok === false) continue;
        written.push(record);
        byKey.set(itemAt(context.keys, index), record);
      }
      return results;
    },
  };
}
