import type { Failure } from "../../../model/failure.ts";
import { mostExamined, optional, placeOf } from "../../documents.ts";
import type { FailureIdList, FailureList, FailureQuery, ListResult } from "../../storage.ts";
import type { Seek, Statement } from "../database.ts";
import {
  type FailureStretch,
  type Listing,
  type SizeRow,
  failureIds,
  failureSizes,
  failuresMatching,
  isByPrefix,
  keysInRange,
  lastFailureFor,
  placeUpTo,
  portionOf,
} from "../failures.ts";
import type { FailureRow } from "../rows.ts";

/** How many keys may begin alike to be found by an index of them. */
const mostOfPrefix = 2_000;

/** Returns the rows of a query, which differ in their columns from one statement to another. */
export type ReadRows = <Row>(query: Statement) => Promise<readonly Row[]>;

/** The failures in rows; those that cannot be read are left out. */
export type FailuresIn = (rows: readonly FailureRow[]) => readonly Failure[];

/** How failures are listed. */
export interface ListingParts {
  readonly seek: Seek;
  readonly failuresIn: FailuresIn;
}

/** @see FailureStorage.listFailures */
export async function listFailures(
  read: ReadRows,
  query: FailureQuery,
  { failuresIn, seek }: ListingParts,
): Promise<FailureList> {
  return listed(read, query, { seek, pageIn: (part, stretch) => pageIn(read, part, { stretch, failuresIn }) });
}

/** @see FailureStorage.listFailureIds */
export async function listFailureIds(read: ReadRows, query: FailureQuery, seek: Seek): Promise<FailureIdList> {
  return listed(read, query, {
    seek,
    async pageIn(part, stretch) {
      const rows = await readAll<{ readonly seq: number; readonly id: string }>(read, part, failureIds(part, stretch));
      const items = rows.slice(0, part.limit);
      const last = rows.length > part.limit ? items.at(-1)?.seq : undefined;
      return { items: items.map(({ id }) => id), last: last === undefined ? undefined : String(last) };
    },
  });
}

/** What is listed in one stretch, and its place if there is more. */
interface PageIn<Item> {
  readonly items: readonly Item[];
  readonly last: string | undefined;
}

interface FailurePage<Item> extends ListResult<Item> {
  readonly examined?: number;
}

/** How a page is read. */
interface PageReader<Item> {
  readonly seek: Seek;
  readonly pageIn: (query: Listing, stretch: FailureStretch) => Promise<PageIn<Item>>;
}

async function listed<Item>(
  read: ReadRows,
  query: FailureQuery,
  { pageIn, seek }: PageReader<Item>,
): Promise<FailurePage<Item>> {
  const stretch = await stretchOf(read, query, seek);
  if (!(await isSearch(read, query))) {
    const page = await pageIn(query, stretch);
    return { items: page.items, ...optional("next", page.last) };
  }
  const [portion] = await read<PortionRow>(portionOf(query, stretch, mostExamined));
  if (portion?.last == null) return { items: [], examined: 0 };
  const { examined, last } = portion;
  const page = await pageIn({ ...query, searched: true }, { ...stretch, last });
  // What follows the last one of a page is looked at again, for the next page.
  if (page.last !== undefined) {
    const [before] = await read<PortionRow>(portionOf(query, { ...stretch, last: Number(page.last) }, mostExamined));
    return { items: page.items, next: page.last, examined: Number(before?.examined) };
  }
  return { items: page.items, examined, ...optional("next", examined < mostExamined ? undefined : String(last)) };
}

/** How many failures were looked at, and the last one of them. */
interface PortionRow {
  readonly examined: number;
  readonly last: number | null;
}

/** Where the page begins, and beyond which place nothing of it is. */
async function stretchOf(read: ReadRows, query: FailureQuery, seek: Seek): Promise<FailureStretch> {
  const { after, newestFirst = false, through } = query;
  const place = after === undefined ? undefined : placeOf(after, 0);
  if (through === undefined) return { place, last: undefined, seek };
  const end = await placeOfThrough(read, through);
  return newestFirst
    ? { place: Math.min(place ?? Infinity, end + 1), last: undefined, seek }
    : { place, last: end, seek };
}

/** The place of the failure with this id, or of the last one before it; 0 if there is none. */
export async function placeOfThrough(read: ReadRows, through: string): Promise<number> {
  const [row] = await read<{ readonly seq: number }>(placeUpTo(through));
  return row?.seq ?? 0;
}

/** Whether it has to be looked for in portions: by a part of its text, or by the beginning of a key that many may have. */
async function isSearch(read: ReadRows, query: FailureQuery): Promise<boolean> {
  const { _ids, key, keyPrefix, text } = query;
  if (text !== undefined) return true;
  if (keyPrefix === undefined || _ids !== undefined || key !== undefined) return false;
  if (!isByPrefix(query)) return true;
  const [row] = await read<{ readonly size: number }>(keysInRange(keyPrefix, mostOfPrefix + 1));
  return Number(row?.size) > mostOfPrefix;
}

async function pageIn(
  read: ReadRows,
  query: Listing,
  { stretch, failuresIn }: { readonly stretch: FailureStretch; readonly failuresIn: FailuresIn },
): Promise<PageIn<Failure>> {
  const sizes = await readAll<SizeRow>(read, query, failureSizes(query, stretch));
  const last = lastFailureFor(query.limit, sizes);
  if (last === undefined) return { items: [], last: undefined };
  const rows = await readAll<FailureRow>(read, query, failuresMatching(query, { ...stretch, last }));
  return { items: failuresIn(rows), last: sizes.at(-1)?.seq === last ? undefined : String(last) };
}

// Rows of several statements, as if they were one's.
async function readAll<Row extends { readonly seq: number }>(
  read: ReadRows,
  { newestFirst = false }: FailureQuery,
  queries: readonly Statement[],
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const query of queries) rows.push(...(await read<Row>(query)));
  if (queries.length === 1) return rows;
  return rows.sort((one, other) => (newestFirst ? other.seq - one.seq : one.seq - other.seq));
}
