import { styleText } from "node:util";
import { createLogUpdate } from "log-update";

/** Progress that is drawn below the lines, again and again. */
export interface Bar {
  readonly name: string;
  readonly total: number;
  readonly value: () => number;
  /** What there is to say beside the number. */
  readonly note?: () => string;
}

/** A terminal gets colours and moving bars; a file or a pipe gets the lines alone. */
const isTerminal = process.stdout.isTTY && process.env.TERM !== "dumb";
const hasColours = isTerminal && process.env.NO_COLOR === undefined;
const width = 28;

// The cursor is left alone: a process that is killed could not show it again.
const update = createLogUpdate(process.stdout, { showCursor: true });
let bars: readonly Bar[] = [];
let timer: NodeJS.Timeout | undefined;

/** Says it in a line of its own, above the bars. */
export function say(text: string): void {
  if (timer !== undefined) update.clear();
  console.log(text);
  draw();
}

/** What begins. */
export const heading = (text: string) => say(styled("bold", text));
/** What went well. */
export const done = (text: string) => say(`  ${styled("green", "✔")} ${text}`);
/** What went wrong. */
export const failed = (text: string) => say(`  ${styled("red", "✖")} ${text}`);
/** What waits. */
export const waits = (text: string) => say(`  ${styled("yellow", "‖")} ${text}`);
/** Draws bars until `clearBars` is called. */
export function showBars(shown: readonly Bar[]): void {
  if (!isTerminal) return;
  bars = shown;
  timer = setInterval(draw, 80);
}

/** Takes the bars away. */
export function clearBars(): void {
  if (timer === undefined) return;
  update.clear();
  clearInterval(timer);
  timer = undefined;
}

function draw(): void {
  if (timer !== undefined) update(bars.map(drawn).join("\n"));
}

function drawn({ name, total, value, note = () => "" }: Bar): string {
  const now = value();
  const full = Math.round((width * now) / total);
  const line = styled("cyan", "█".repeat(full)) + styled("dim", "░".repeat(width - full));
  return `    ${name.padEnd(6)} ${line} ${count(now).padStart(6)} of ${count(total)}  ${styled("yellow", note())}`;
}

/** A whole number with separators: 30,000. */
export function count(value: number): string {
  return value.toLocaleString("en");
}

function styled(style: "bold" | "dim" | "green" | "red" | "yellow" | "cyan", text: string): string {
  return hasColours ? styleText(style, text) : text;
}
