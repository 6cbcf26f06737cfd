import { isAborted } from "../clock.ts";
import { InvalidOptionError } from "../errors.ts";
import type { Export, ExportContext } from "../model/host/export.ts";
import { callable, objectWith, v, validate, wholeNumber } from "../model/validate.ts";
import { pageOf, readingOf } from "./map-pages.ts";

/** How children are read. */
export interface ChildrenOptions {
  /** Children that are gathered before they are passed on without a checkpoint; 1 or more. @default 10000 */
  readonly maxGathered?: number;
}

const rules = { parents: objectWith(["pages"], "an export with pages"), read: callable };
const optionRules = { maxGathered: v.optional(wholeNumber(1)) };

/**
 * An export of what `read` yields for each record of another export: the notes of each order, say. A page of parents,
 * read one after the other, becomes one page of children with its checkpoint, so that it is read again as a whole after a
 * crash; the part of one that has more than `maxGathered` goes before it without one.
 *
 * @throws `invalid_option` for an export without `pages`.
 */
export function childrenOf<P, T, C>(
  parents: Export<P, C>,
  read: (parent: P, context: ExportContext<C>) => AsyncIterable<readonly T[]>,
  options: ChildrenOptions = {},
): Export<T, C> {
  validate({ parents, read }, rules, InvalidOptionError, "childrenOf.");
  validate(options, optionRules, InvalidOptionError, "childrenOf.");
  const { maxGathered = 10_000 } = options;
  return {
    ...readingOf(parents),
    async *pages(context) {
      for await (const page of (parents as Required<Export<P, C>>).pages(context)) {
        const { records, total: _, ...rest } = pageOf(page);
        let gathered: T[] = [];
        for (const parent of records) {
          if (isAborted(context.signal)) return;
          for await (const children of read(parent, context)) {
            for (const child of children) gathered.push(child);
            if (gathered.length < maxGathered) continue;
            yield gathered;
            gathered = [];
          }
        }
        if (isAborted(context.signal)) return;
        yield { ...rest, records: gathered };
      }
    },
  };
}
