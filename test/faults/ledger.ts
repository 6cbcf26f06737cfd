import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One record, as an import received it. */
export interface Line {
  readonly key: string;
  readonly _runId: string;
  /** Who wrote it. */
  readonly process: string;
}

/**
 * What one import received, in a file that outlives the process: whatever was appended stays, as the system keeps what
 * a process has written when that is killed.
 */
export class Ledger {
  readonly #path: string;

  constructor(folder: string, _importId: string) {
    this.#path = join(folder, `ledger-${_importId}`);
  }

  /** All of them in one write. */
  append(keys: readonly string[], _runId: string, process: string): void {
    appendFileSync(this.#path, keys.map((key) => `${key} ${_runId} ${process}\n`).join(""));
  }

  /** In the order in which they were written. */
  read(): readonly Line[] {
    return linesOf(this.#path).map((line) => {
      const [key = "", _runId = "", process = ""] = line.split(" ");
      return { key, _runId, process };
    });
  }
}

/** The complete lines of a file; none if it does not exist. */
export function linesOf(path: string): readonly string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
}

/** What an import received, held against what it was to receive. */
export interface Account {
  /** Expected keys that never came. */
  readonly lost: readonly string[];
  /** Keys that came though nobody sent them. */
  readonly invented: readonly string[];
  /** How many came more often than once, each counted as often as it came again. */
  readonly repeated: number;
}

export function accountOf(lines: readonly Pick<Line, "key">[], expected: readonly string[]): Account {
  const came = new Set(lines.map(({ key }) => key));
  const wanted = new Set(expected);
  return {
    lost: expected.filter((key) => !came.has(key)),
    invented: [...came].filter((key) => !wanted.has(key)),
    repeated: lines.length - came.size,
  };
}
