import { type Part, type Style, cutTo, escaped, styled, widthOf } from "./text.ts";

/** One column of a table of `Item`s. */
export interface Column<Item> {
  readonly title: string;
  /** Undefined: an empty cell. */
  readonly value: (item: Item) => Part | number | undefined;
  /** Where there is too little room it is cut, down to this many columns. @default never, as an id that has to be copied */
  readonly least?: number;
  /** Where there is too little room it is left out, the last one first. @default false */
  readonly optional?: boolean;
}

interface Cell {
  readonly text: string;
  readonly style: Style | undefined;
  /** Numbers are aligned by their last digit. */
  readonly isNumber: boolean;
}

interface LaidOutColumn {
  readonly title: string;
  readonly least: number | undefined;
  readonly optional: boolean;
  readonly cells: readonly Cell[];
  width: number;
}

const gap = 2;
/** What is longer is cut, so that one message does not take all the room of the others. */
const widest = 200;
/** Columns of a cell that are enough to read it. */
const readable = 40;

/** The lines of a table, its titles first, for so many columns of a terminal. All cells are escaped. */
export function tableLines<Item>(
  items: readonly Item[],
  columns: readonly Column<Item>[],
  { width, colors }: { readonly width: number; readonly colors: boolean },
): readonly string[] {
  const shown = fitted(
    columns.map((column) => laidOut(items, column)),
    width,
  );
  const line = (cellIn: (column: LaidOutColumn) => Cell) =>
    shown
      .map((column) => padded(cellIn(column), column, colors))
      .join(" ".repeat(gap))
      .trimEnd();
  const titles = line(({ title }) => ({ text: title, style: "bold", isNumber: false }));
  return [titles, ...items.map((_, row) => line(({ cells }) => cells[row] ?? emptyCell))];
}

const emptyCell: Cell = { text: "", style: undefined, isNumber: false };

function laidOut<Item>(items: readonly Item[], column: Column<Item>): LaidOutColumn {
  const { least, optional = false, title, value } = column;
  const cells = items.map((item) => cellOf(value(item)));
  const width = cells.reduce((most, { text }) => Math.max(most, widthOf(text)), widthOf(title));
  return { title, least, optional, cells, width: least === undefined ? width : Math.min(width, widest) };
}

function cellOf(value: Part | number | undefined): Cell {
  if (value === undefined) return emptyCell;
  if (typeof value === "number") return { text: String(value), style: undefined, isNumber: true };
  if (typeof value === "string") return { text: escaped(value), style: undefined, isNumber: false };
  return { text: escaped(value.text), style: value.style, isNumber: false };
}

function fitted(columns: readonly LaidOutColumn[], width: number): readonly LaidOutColumn[] {
  let shown = columns;
  // A column that says little beside is worth less than a message that can be read.
  const wanted = () => room(shown, ({ least, width: own }) => (least === undefined ? own : Math.min(own, readable)));
  for (let last = lastOptional(shown); last !== undefined && wanted() > width; last = lastOptional(shown))
    shown = shown.filter((column) => column !== last);
  for (let excess = room(shown, (column) => column.width) - width; excess > 0; excess--) {
    const longest = shown.reduce<LaidOutColumn | undefined>(widerOf, undefined);
    if (longest === undefined) break;
    longest.width--;
  }
  return shown;
}

function lastOptional(columns: readonly LaidOutColumn[]): LaidOutColumn | undefined {
  return columns.filter(({ optional }) => optional).at(-1);
}

// Of those that may be cut further.
function widerOf(found: LaidOutColumn | undefined, column: LaidOutColumn): LaidOutColumn | undefined {
  const { least, width } = column;
  if (least === undefined || width <= least) return found;
  return found === undefined || width > found.width ? column : found;
}

function room(columns: readonly LaidOutColumn[], of: (column: LaidOutColumn) => number): number {
  return columns.reduce((sum, column) => sum + of(column), gap * (columns.length - 1));
}

function padded({ isNumber, style, text }: Cell, { cells, width }: LaidOutColumn, colors: boolean): string {
  const cut = cutTo(text, width);
  const padding = " ".repeat(Math.max(0, width - widthOf(cut)));
  const words = style === undefined ? cut : styled(cut, style, colors);
  // A title stands where the numbers below it do.
  const right = isNumber || (cells.length > 0 && cells.every((cell) => cell.isNumber));
  return right ? padding + words : words + padding;
}
