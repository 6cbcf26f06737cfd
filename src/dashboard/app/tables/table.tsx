import * as say from "../strings.ts";
import { type ComponentChildren } from "../view.ts";

/** A column of a table. */
export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => ComponentChildren;
  /** Numbers are aligned to the right. */
  readonly isNumber?: boolean;
  /** Left out where there is little room. */
  readonly isMinor?: boolean;
  /** The column that names the row. */
  readonly isName?: boolean;
}

/** Rows of documents. */
export interface TableProps<T> {
  /** Names the table for screen readers. */
  readonly label: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly idOf: (row: T) => string;
  /** Rows that are there no more. */
  readonly gone?: ReadonlySet<string> | undefined;
}

/** A table that scrolls by itself where there is little room. */
export function Table<T>({ label, columns, rows, idOf, gone }: TableProps<T>) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((column) =>
              column.title === "" ? (
                <td key="" class={classOf(column)} />
              ) : (
                <th key={column.title} scope="col" class={classOf(column)}>
                  {column.title}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={idOf(row)} row={row} columns={columns} isGone={gone?.has(idOf(row)) === true} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps<T> {
  readonly row: T;
  readonly columns: readonly Column<T>[];
  readonly isGone: boolean;
}

function Row<T>({ row, columns, isGone }: RowProps<T>) {
  return (
    <tr class={isGone ? "gone" : undefined} title={isGone ? say.goneRow : undefined}>
      {columns.map((column) =>
        column.isName === true ? (
          <th key={column.title} scope="row" class={classOf(column)}>
            {column.cell(row)}
          </th>
        ) : (
          <td key={column.title} class={classOf(column)}>
            {column.cell(row)}
          </td>
        ),
      )}
    </tr>
  );
}

function classOf<T>({ isNumber, isMinor }: Column<T>): string | undefined {
  const classes = [isNumber === true ? "number" : "", isMinor === true ? "minor" : ""].filter(Boolean);
  return classes.length === 0 ? undefined : classes.join(" ");
}
