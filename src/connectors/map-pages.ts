import { InvalidOptionError } from "../errors.ts";
import type { Export, ExportContext } from "../model/host/export.ts";
import type { Page } from "../model/host/page.ts";
import { callable, objectWith, validate } from "../model/validate.ts";

const rules = { from: objectWith(["pages"], "an export with pages"), change: callable };

/**
 * An export with what `change` makes of each page of another one: fewer records, more or others, asynchronously. Its
 * checkpoints, its order and its timeouts stay; `key`, `version`, `schema` and `codec`, which are those of the records,
 * do not: spread them onto what is returned.
 *
 * @throws `invalid_option` for an export without `pages`.
 */
export function mapPages<T, U, C>(
  from: Export<T, C>,
  change: (records: readonly T[], context: ExportContext<C>) => Promise<readonly U[]> | readonly U[],
): Export<U, C> {
  validate({ from, change }, rules, InvalidOptionError, "mapPages.");
  return {
    ...readingOf(from),
    async *pages(context) {
      for await (const page of (from as Required<Export<T, C>>).pages(context)) {
        const { records, ...rest } = pageOf(page);
        const changed = await change(records, context);
        if (context.signal.aborted) return;
        yield { ...rest, records: changed };
      }
    },
  };
}

/** How an export that is made of another one is read. */
export function readingOf<T, U, C>(from: Export<T, C>): Omit<Export<U, C>, "pages"> {
  const { checkpointVersion, order, pageSize, readTimeoutMs, whole } = from;
  return {
    ...(checkpointVersion === undefined ? {} : { checkpointVersion }),
    ...(order === undefined ? {} : { order }),
    ...(pageSize === undefined ? {} : { pageSize }),
    ...(readTimeoutMs === undefined ? {} : { readTimeoutMs }),
    ...(whole === undefined ? {} : { whole }),
    ...(from.migrate === undefined ? {} : { migrate: from.migrate.bind(from) }),
    // Of its own page only the checkpoint is left by then.
    ...(from.committed === undefined
      ? {}
      : { committed: (page, context) => from.committed?.({ ...page, records: [], unreadable: [] }, context) }),
  };
}

/** A page, where a plain array is one without a checkpoint. */
export function pageOf<T, C>(page: Page<T, C> | readonly T[]): Page<T, C> {
  return Array.isArray(page) ? { records: page } : (page as Page<T, C>);
}
