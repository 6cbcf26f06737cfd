import type { SqlValue } from "../sql/database.ts";

/** A statement that does for many sets of values what another one does for one. */
export interface JoinedStatement {
  readonly text: string;
  /**
   * Whether it changes rows that are named by an array, to be joined with the sets by their hash: the planner takes both for
   * few rows, and would compare each with each.
   */
  readonly isByHash: boolean;
  /** Its values: one array for each value of the other, as PostgreSQL reads arrays. */
  readonly valuesOf: (sets: readonly (readonly SqlValue[])[]) => readonly string[];
  /** Its rows, by the place of the set that they belong to. */
  readonly rowsOf: (
    rows: readonly unknown[],
    sets: readonly (readonly SqlValue[])[],
  ) => readonly (readonly unknown[])[];
}

/**
 * Joins a statement, whose values are `$1`, `$2` and so on of these types, with rows of values; undefined if it is none of
 * the kinds that can be: a query, an insertion of one row, and a change or a deletion of the rows that a condition names.
 * What it does for one set of values must not depend on what it does for another.
 */
export function joinedStatement(text: string, types: readonly string[]): JoinedStatement | undefined {
  if (types.length === 0) return undefined;
  const values = `unnest(${types.map((type, index) => `$${index + 1}::text::${type}[]`).join(", ")})`;
  const names = [...types.map((_, index) => `p${index + 1}`), place].join(", ");
  const sets = `${values} with ordinality as ${alias} (${names})`;
  const statement = text.trim();
  const verb = statement.replace(/\W.*$/s, "").toLowerCase();
  const joined = joins.get(verb)?.(statement, { sets, types });
  if (joined === undefined) return undefined;
  const isByHash = verb === "update" || verb === "delete";
  return { text: joined, isByHash, valuesOf: (all) => arraysOf(all, types.length), rowsOf: byPlace };
}

const place = "set_place";
/** None of the names in a statement. */
const alias = "value_sets";

interface Sets {
  /** What the rows of values are selected from. */
  readonly sets: string;
  readonly types: readonly string[];
}

const joins = new Map<string, (text: string, sets: Sets) => string | undefined>([
  ["select", joinQuery],
  ["update", joinUpdate],
  ["delete", joinDeletion],
  ["insert", joinInsertion],
]);

// With an offset it is looked up for one row of values after the other, whatever the planner takes the tables to be.
function joinQuery(text: string, { sets }: Sets): string {
  const query = /\boffset \S+$/.test(text) ? text : `${text} offset 0`;
  return `select ${alias}.${place}, q.* from ${sets} cross join lateral (${fromSets(query)}) q`;
}

function joinUpdate(text: string, { sets, types }: Sets): string | undefined {
  const where = topLevel(text, " where ");
  const condition = where === undefined ? undefined : conditionOf(where.after, types);
  if (where === undefined || condition === undefined) return undefined;
  return `${fromSets(where.before)} from ${sets} where ${condition}`;
}

function joinDeletion(text: string, { sets, types }: Sets): string | undefined {
  const where = topLevel(text, " where ");
  const condition = where === undefined ? undefined : conditionOf(where.after, types);
  if (where === undefined || condition === undefined) return undefined;
  return `${where.before} using ${sets} where ${condition}`;
}

/**
 * The condition, and what it returns if it does. Rows are named by an array beside the join, or the planner, which made
 * its plan while the table was empty, might walk through all of it: undefined if no column has to be one value.
 */
function conditionOf(text: string, types: readonly string[]): string | undefined {
  const returning = topLevel(text, " returning ");
  const condition = returning?.before ?? text;
  const named = namedRows(condition, types);
  if (named === undefined) return undefined;
  const all = `${named} and ${fromSets(condition)}`;
  return returning === undefined ? all : `${all} returning ${alias}.${place}, ${fromSets(returning.after)}`;
}

function namedRows(condition: string, types: readonly string[]): string | undefined {
  for (let rest: string | undefined = condition; rest !== undefined; rest = topLevel(rest, " and ")?.after) {
    const [, column, number] = /^\s*(\w+) (?:= |in \()\$(\d+)\)?(?= and |\s*$)/.exec(rest) ?? [];
    const type = types[Number(number) - 1];
    if (column !== undefined && type !== undefined) return `${column} = any ($${number}::text::${type}[])`;
  }
  return undefined;
}

// Of what an insertion returns, the row that it was made of is known by its id alone.
function joinInsertion(text: string, { sets }: Sets): string | undefined {
  const found = topLevel(text, " values (");
  if (found === undefined) return undefined;
  const tuple = topLevel(`(${found.after}`, ")");
  if (tuple === undefined || tuple.after.startsWith(",")) return undefined;
  // What becomes of a row that is there already cannot depend on another value than the row that was to be added.
  if (tuple.after.includes("$")) return undefined;
  const rest = tuple.after.includes("returning")
    ? returningId(found.before, `${tuple.before.slice(1)} `, tuple.after)
    : tuple.after;
  if (rest === undefined) return undefined;
  return `${found.before} select ${fromSets(tuple.before.slice(1))} from ${sets} order by ${alias}.${place}${fromSets(rest)}`;
}

function returningId(before: string, values: string, after: string): string | undefined {
  const isById = /\(\s*id\b[^()]*\)\s*$/.test(before) && /^\s*\$1\b/.test(values);
  return isById ? `${after}, id as ${placeId}` : undefined;
}

const placeId = "set_id";

function fromSets(text: string): string {
  return text.replaceAll(/\$(\d+)/g, `${alias}.p$1`);
}

/** The text before and after the first occurrence of `part` that is in no parentheses but those that it closes. */
function topLevel(text: string, part: string): { readonly before: string; readonly after: string } | undefined {
  const spaced = text.replaceAll(/\s/g, " ");
  let depth = part === ")" ? -1 : 0;
  for (let at = 0; at < spaced.length; at++) {
    if (depth === 0 && spaced.startsWith(part, at))
      return { before: spaced.slice(0, at), after: spaced.slice(at + part.length) };
    if (spaced[at] === "(") depth++;
    else if (spaced[at] === ")") depth--;
  }
  return undefined;
}

function arraysOf(sets: readonly (readonly SqlValue[])[], size: number): readonly string[] {
  return Array.from({ length: size }, (_, column) => arrayOf(sets.map((values) => values[column] ?? null)));
}

/** An array as PostgreSQL reads it. */
export function arrayOf(values: readonly SqlValue[]): string {
  return `{${values.map(elementOf).join(",")}}`;
}

function elementOf(value: SqlValue): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
  return `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}"`;
}

function byPlace(rows: readonly unknown[], sets: readonly (readonly SqlValue[])[]): readonly (readonly unknown[])[] {
  const all = sets.map((): unknown[] => []);
  const byId = new Map<unknown, number>(sets.map(([id], index) => [id, index]));
  for (const row of rows as readonly { readonly [place]?: number; readonly [placeId]?: string }[]) {
    const index = row[place] === undefined ? byId.get(row[placeId]) : row[place] - 1;
    all[Number(index)]?.push(row);
  }
  return all;
}
