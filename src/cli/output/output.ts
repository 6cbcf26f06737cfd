import type { OutputStream, Terminal } from "../terminal.ts";
import { type Column, tableLines } from "./table.ts";
import { type Part, escaped, jsonBlock, jsonLine, styled } from "./text.ts";

/** The width where there is no terminal that says its own. */
const narrow = 80;

/** Writes what a command finds: for a person, or as JSON. All that is written is escaped here, and nowhere else. */
export class Output {
  /** Whether documents are written as JSON, one on each line. */
  readonly json: boolean;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  readonly #colors: boolean;
  readonly #width: number;

  constructor({ env, stderr, stdout }: Pick<Terminal, "env" | "stderr" | "stdout">, json: boolean) {
    this.json = json;
    this.#stdout = stdout;
    this.#stderr = stderr;
    const isPlain = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
    this.#colors = stdout.isTTY === true && !isPlain;
    const own = Number(env.COLUMNS);
    this.#width = stdout.isTTY === true && stdout.columns !== undefined ? stdout.columns : own >= 20 ? own : narrow;
  }

  /** One document, as JSON on one line. */
  document(document: unknown): void {
    this.#stdout.write(`${jsonLine(document)}\n`);
  }

  /** One line for a person. */
  line(...parts: readonly Part[]): void {
    this.#stdout.write(`${parts.map((part) => this.#shown(part)).join("")}\n`);
  }

  /** The documents as a table; `empty` if there are none. */
  table<Item>(items: readonly Item[], columns: readonly Column<Item>[], empty: string): void {
    if (items.length === 0) this.line(empty);
    else this.#write(tableLines(items, columns, { width: this.#width, colors: this.#colors }));
  }

  /** Names and their values, one on each line, the values below each other; those that are undefined are left out. */
  fields(fields: readonly (readonly [name: string, value: Part | number | undefined])[]): void {
    const given = fields.filter(([, value]) => value !== undefined && value !== "");
    const width = Math.max(...given.map(([name]) => name.length)) + 2;
    for (const [name, value = ""] of given)
      this.line({ text: name.padEnd(width), style: "dim" }, typeof value === "number" ? String(value) : value);
  }

  /** JSON over several lines, at most `most` characters of it. */
  block(value: unknown, most: number): void {
    let left = most;
    for (const line of jsonBlock(value)) {
      left -= line.length;
      if (left < 0) {
        this.line({ text: "… the rest is left out; --json shows all of it", style: "dim" });
        return;
      }
      this.#stdout.write(`${line}\n`);
    }
  }

  /** Something beside the result: not for the program that reads it. */
  notice(text: string): void {
    this.#stderr.write(`${escaped(text)}\n`);
  }

  /** How far a command has got, in the place of what was said before; only to a person. */
  progress(text: string): void {
    if (this.#stderr.isTTY === true) this.#stderr.write(`\r\x1b[K${escaped(text)}`);
  }

  #shown(part: Part): string {
    return typeof part === "string" ? escaped(part) : styled(escaped(part.text), part.style, this.#colors);
  }

  #write(lines: readonly string[]): void {
    this.#stdout.write(`${lines.join("\n")}\n`);
  }
}
