/** What several databases spell alike. */
import type { RowStatement } from "./database.ts";

/** A name as it stands in a statement. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The end of an upsert or insert: what becomes of a row whose key is there already; "" if that is an error. */
export function onConflict({ mode, columns, key, keyColumn }: RowStatement): string {
  if (mode === "insert") return keyColumn === undefined ? "" : ` on conflict (${quote(keyColumn)}) do nothing`;
  const sets = columns.filter((column) => !key.includes(column)).map((one) => `${quote(one)} = excluded.${quote(one)}`);
  const action = sets.length === 0 ? "nothing" : `update set ${sets.join(", ")}`;
  return ` on conflict (${key.map(quote).join(", ")}) do ${action}`;
}

/** The columns that an update sets: the key only if there are no others. */
export function changedColumns({ columns, key }: RowStatement): readonly string[] {
  const others = columns.filter((column) => !key.includes(column));
  return others.length === 0 ? columns : others;
}

/** @throws RangeError for a value that a database would silently change, or that no column can take. */
export function refuseUnstorable(value: unknown): void {
  if (typeof value === "string") {
    if (!isWellFormed(value)) throw new RangeError("half a character of UTF-16 is no string of a column");
    return;
  }
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`${value} is no number of a column`);
  if (typeof value === "function" || typeof value === "symbol") throw new RangeError(`a ${typeof value} is no value`);
  if (value instanceof Date && Number.isNaN(value.getTime())) throw new RangeError("an invalid date is no value");
}

/** Which Node has from 20 on, and the types of ES2023 have not: it costs nothing for strings of Latin-1. */
function isWellFormed(text: string & { isWellFormed?: () => boolean }): boolean {
  return text.isWellFormed?.() !== false;
}
