import type { Export } from "../../model/host/export.ts";
import type { StandardIssue } from "../../model/host/import.ts";
import { isInstance } from "../../model/host/instance.ts";
import { formatValue } from "../../model/record/json.ts";
import { messageOf } from "../../model/message.ts";
import type { UnreadableRecord } from "../../model/host/page.ts";
import { disown, isAwaitable } from "../../model/host/awaitable.ts";
import { isKey, isStorable, keyForm, longestKey } from "../../model/validate.ts";
import type { PageKeys } from "../destination/batch.ts";

/** Where records come from, as far as it says what they are. */
type Identifying = Pick<Export<unknown>, "key" | "version" | "schema">;

/** A page, as its records' keys and messages name it. */
export interface PagePlace {
  /** The key of a record for which the export makes none, by its place in the page. */
  readonly defaultKeyOf: (position: number) => string;
  /** The page in messages, such as `page 3`. */
  readonly name: string;
  /** Records that are at fault before anything is asked of them. */
  readonly problems?: ReadonlyMap<number, Error>;
  /** @see PageKeys.page */
  readonly page?: number;
  /** @see PageKeys.mutable */
  readonly mutable?: boolean;
}

const noProblems: ReadonlyMap<number, Error> = new Map<number, Error>();

/**
 * What identifies the records of a page: the export's own keys and versions, all made at once. A record for which it
 * makes none, or that its schema refuses, is a problem of that record and goes by its default key. Linear; never throws.
 */
export function pageKeys(records: readonly unknown[], from: Identifying, place: PagePlace): PageKeys {
  const { problems: known = noProblems } = place;
  if (from.key === undefined && from.version === undefined && from.schema === undefined)
    return keysOf(place, place.defaultKeyOf, known);
  const keys = new Array<string>(records.length);
  const versions: (string | number | undefined)[] = [];
  let problems: Map<number, Error> | undefined;
  for (let position = 0; position < records.length; position++) {
    if (known.size > 0 && known.has(position)) {
      keys[position] = place.defaultKeyOf(position);
      continue;
    }
    try {
      const record = records[position];
      if (from.schema !== undefined) check(record, from);
      if (from.key !== undefined) keys[position] = readKey(from.key(record));
      if (from.version !== undefined) versions[position] = readVersion(from.version(record));
    } catch (error) {
      keys[position] = place.defaultKeyOf(position);
      const message = `${place.name}, record ${position}: ${messageOf(error)}`;
      (problems ??= new Map(known)).set(position, new Error(message, { cause: error }));
    }
  }
  const made = keysOf(place, (position) => keys[position] ?? place.defaultKeyOf(position), problems ?? known);
  if (from.key !== undefined) {
    made.own = keys;
    made.mayRepeat = true;
  }
  if (from.version !== undefined) made.versionOf = (position) => versions[position];
  return made;
}

type MadeKeys = { -readonly [Field in keyof PageKeys]: PageKeys[Field] };

// Field by field, as every page has them.
function keysOf(
  { mutable, page }: PagePlace,
  keyOf: PageKeys["keyOf"],
  problems: ReadonlyMap<number, Error>,
): MadeKeys {
  const made: MadeKeys = { keyOf };
  if (problems.size > 0) made.problems = problems;
  if (page !== undefined) made.page = page;
  if (mutable !== undefined) made.mutable = mutable;
  return made;
}

/**
 * The same for a page in which what is no record follows the `count` records: each is a problem, under its own key or
 * its default key.
 */
export function withUnreadable(keys: PageKeys, count: number, unreadable: readonly UnreadableRecord[]): PageKeys {
  const problems = new Map(keys.problems);
  for (const [index, { error }] of unreadable.entries())
    problems.set(count + index, isInstance(error, Error) ? error : new Error(messageOf(error)));
  return {
    ...keys,
    keyOf: (position) => unreadable[position - count]?.key ?? keys.keyOf(position),
    mayRepeat: keys.mayRepeat === true || unreadable.some(({ key }) => key !== undefined),
    problems,
    unreadableFrom: count,
  };
}

/** Why the export does not accept a record, as a whole or at a place in it, such as `lines.0.id`. */
export interface RecordProblem {
  /** "" for the record as a whole. */
  readonly place: string;
  readonly message: string;
}

/**
 * What an export's schema, `key` and `version` say of a record before it is accepted; empty if nothing is wrong.
 *
 * @throws TypeError if the schema is asynchronous, and what the schema throws.
 */
export function recordProblems(record: unknown, from: Identifying): readonly RecordProblem[] {
  const issues = schemaIssues(record, from);
  if (issues.length > 0) return issues.map(({ message, path = [] }) => ({ place: placeOf(path), message }));
  try {
    if (from.key !== undefined) readKey(from.key(record));
    if (from.version !== undefined) readVersion(from.version(record));
    return [];
  } catch (error) {
    return [{ place: "", message: messageOf(error) }];
  }
}

function placeOf(path: NonNullable<StandardIssue["path"]>): string {
  return path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
}

function check(record: unknown, from: Identifying): void {
  const issues = schemaIssues(record, from);
  if (issues.length > 0) throw new TypeError(issues.map(({ message }) => message).join("; "));
}

function schemaIssues(record: unknown, { schema }: Identifying): readonly StandardIssue[] {
  if (schema === undefined) return [];
  const result = schema["~standard"].validate(record);
  if (isAwaitable(result)) {
    disown(result);
    throw new TypeError("the export's schema is asynchronous, so it cannot check records");
  }
  return result.issues ?? [];
}

function readKey(key: unknown): string {
  if (isKey(key)) return key;
  disown(key);
  throw new TypeError(`key: expected a string of ${keyForm}, found ${formatValue(key)}`);
}

function readVersion(version: unknown): string | number {
  if (typeof version === "number" ? Number.isFinite(version) : isVersionText(version))
    return version as string | number;
  disown(version);
  throw new TypeError(`version: expected a string, or a finite number, found ${formatValue(version)}`);
}

function isVersionText(version: unknown): boolean {
  return typeof version === "string" && version.length <= longestKey && isStorable(version);
}
