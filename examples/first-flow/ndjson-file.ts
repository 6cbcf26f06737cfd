import { mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";

/** A line of the file: a record, and the key under which it was given. */
export type Line = Readonly<Record<string, unknown>> & { readonly _key: string };

/**
 * A file of JSON lines that bears being written to again, whatever broke off: a timeout, a full disk, a killed process.
 *
 * Every line carries the record's key. A line that is in the file already is not written again, which makes the import
 * idempotent. A record that has changed is: of the lines with the same key the last one counts.
 */
export class NdjsonFile {
  readonly #path: string;
  /** Key → its last line. */
  readonly #lines = new Map<string, string>();
  /** Where the last complete line ends. Half a line that a failed write left behind it is written over. */
  #bytes: number;
  #repeated = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** Takes up the file where it was left; there is one if there was none. `each` is shown every line in it, in order. */
  static async open(path: string, each: (line: Line) => void = () => undefined): Promise<NdjsonFile> {
    await mkdir(dirname(path), { recursive: true });
    await (await open(path, "a")).close();
    const content = await readFile(path);
    const bytes = content.lastIndexOf("\n") + 1;
    const file = new NdjsonFile(path, bytes);
    for (const text of content.subarray(0, bytes).toString().split("\n").slice(0, -1)) {
      const line = JSON.parse(text) as Line;
      file.#lines.set(line._key, text);
      each(line);
    }
    return file;
  }

  /** How many records it has. */
  get size(): number {
    return this.#lines.size;
  }

  /** How many records were given since it was opened that were in the file already. */
  get repeated(): number {
    return this.#repeated;
  }

  /** Resolves when all of them are on the disk. Calls take turns, so two flows may share the file. */
  append(records: readonly object[], keys: readonly string[]): Promise<void> {
    const turn = this.#last.then(() => this.#append(records, keys));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #append(records: readonly object[], keys: readonly string[]): Promise<void> {
    const fresh = new Map<string, string>();
    for (const [index, _key] of keys.entries()) {
      const line = JSON.stringify({ _key, ...records[index] });
      if (this.#lines.get(_key) === line) this.#repeated++;
      else fresh.set(_key, line);
    }
    if (fresh.size === 0) return;
    const bytes = Buffer.from([...fresh.values()].map((line) => `${line}\n`).join(""));
    const file = await open(this.#path, "r+");
    try {
      await file.truncate(this.#bytes);
      const { bytesWritten } = await file.write(bytes, 0, bytes.length, this.#bytes);
      if (bytesWritten < bytes.length) throw new Error(`only ${bytesWritten} of ${bytes.length} bytes were written`);
      await file.datasync();
    } finally {
      await file.close();
    }
    // Only now: had anything failed, the next attempt would begin at the same place.
    this.#bytes += bytes.length;
    for (const [_key, line] of fresh) this.#lines.set(_key, line);
  }
}
