import { itemAt } from "../../model/item-at.ts";
import { type RowStatement, type SqlDialect, type SqlQueries, tableName } from "./database.ts";
import { findAtFault } from "./bad-rows.ts";
import { changedColumns } from "./spelling.ts";

type Row = readonly unknown[];

/** Characters of one statement, about: servers refuse statements of some megabytes. */
const mostCharacters = 1_000_000;

/** Writes rows, many a statement: one that fails has changed nothing (InnoDB), so the rows at fault are found by smaller and smaller parts. */
export async function writeMysqlRows(
  dialect: SqlDialect,
  tx: SqlQueries,
  to: RowStatement,
  rows: readonly Row[],
): Promise<ReadonlyMap<number, unknown>> {
  const statements = new RowStatements(dialect, to);
  const atFault = new Map<number, unknown>();
  // Joined with rows that are no table's, strings of two collations would be compared.
  const parts = to.mode === "update" ? rows.map((_, index) => [index, index + 1] as const) : partsOf(rows);
  for (const [start, end] of parts) {
    const found = await findAtFault(end - start, async (from, until) => {
      const { text, values } = statements.of(rows.slice(start + from, start + until));
      try {
        await tx.query(text, values);
        return undefined;
      } catch (error) {
        if (dialect.faultOf(error) !== "reject") throw error;
        return statements.explained(error);
      }
    });
    for (const [place, error] of found) atFault.set(start + place, error);
  }
  return atFault;
}

function partsOf(rows: readonly Row[]): readonly (readonly [start: number, end: number])[] {
  const parts: [number, number][] = [];
  let characters = Infinity;
  for (const [index, row] of rows.entries()) {
    const size = row.reduce((sum: number, value) => sum + charactersOf(value), 0);
    const last = parts.at(-1);
    if (last === undefined || characters + size > mostCharacters) {
      parts.push([index, index + 1]);
      characters = size;
    } else {
      last[1] = index + 1;
      characters += size;
    }
  }
  return parts;
}

function charactersOf(value: unknown): number {
  if (typeof value === "string") return value.length + 4;
  // As hexadecimal digits.
  return value instanceof Uint8Array ? value.length * 2 + 4 : 24;
}

class RowStatements {
  readonly #to: RowStatement;
  readonly #quote: SqlDialect["quote"];
  readonly #name: string;

  constructor(dialect: SqlDialect, to: RowStatement) {
    this.#to = to;
    this.#quote = (name) => dialect.quote(name);
    this.#name = tableName(dialect, to.table);
  }

  of(rows: readonly Row[]): { readonly text: string; readonly values: readonly unknown[] } {
    const { mode, columns, key } = this.#to;
    const keys = key.map((column) => columns.indexOf(column));
    if (mode === "delete") {
      const places = rows.map(() => placesOf(keys.length)).join(", ");
      const text = `delete from ${this.#name} where (${key.map(this.#quote).join(", ")}) in (${places})`;
      return { text, values: rows.flatMap((row) => keys.map((column) => row[column])) };
    }
    if (mode === "update") return this.#update(itemAt(rows, 0), keys);
    const list = columns.map(this.#quote).join(", ");
    const places = rows.map(() => placesOf(columns.length)).join(", ");
    return { text: `insert into ${this.#name} (${list}) values ${places}${this.#onDuplicate()}`, values: rows.flat() };
  }

  explained(error: unknown): unknown {
    const { errno, message } = error as { readonly errno?: unknown; readonly message?: unknown };
    if (errno !== 1690 || !String(message).includes(overflow)) return error;
    const { key, keyColumn } = this.#to;
    const names = (keyColumn === undefined ? key : [keyColumn]).join(", ");
    return new Error(`another row of ${this.#to.table.join(".")}, with another ${names}, has a value that is unique`);
  }

  #update(row: Row, keys: readonly number[]): { readonly text: string; readonly values: readonly unknown[] } {
    const { columns, key } = this.#to;
    const changed = changedColumns(this.#to);
    const sets = changed.map((column) => `${this.#quote(column)} = ?`).join(", ");
    const same = key.map((column) => `${this.#quote(column)} = ?`).join(" and ");
    const values = [...changed.map((column) => row[columns.indexOf(column)]), ...keys.map((column) => row[column])];
    return { text: `update ${this.#name} set ${sets} where ${same}`, values };
  }

  #onDuplicate(): string {
    const { mode, columns, key, keyColumn } = this.#to;
    if (mode === "insert" && keyColumn === undefined) return "";
    const identity = keyColumn === undefined ? key : [keyColumn];
    const others = mode === "insert" ? [] : columns.filter((column) => !key.includes(column));
    const sets = others.map((column) => `${this.#quote(column)} = values(${this.#quote(column)})`);
    return ` on duplicate key update ${[this.#sameRow(identity), ...sets].join(", ")}`;
  }

  // A duplicate in any unique index leads here. If it is another row's, this fails, instead of changing that row.
  #sameRow(identity: readonly string[]): string {
    const names = identity.map(this.#quote);
    const same = names.map((name) => `${name} <=> values(${name})`).join(" and ");
    const [first = ""] = names;
    return `${first} = if((${same}) or length(values(${first})) + ${overflow} is null, ${first}, ${first})`;
  }
}

/** What is too large, added to anything. */
const overflow = "1 + ~0";

function placesOf(count: number): string {
  return `(${Array.from({ length: count }, () => "?").join(", ")})`;
}
