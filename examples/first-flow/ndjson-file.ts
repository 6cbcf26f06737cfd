import { mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";

/** A line of the file: a record, and the key under which it was given. */
export type Line = Readonly<Record<string, unknown>> & { readonly _key: string };

/**
 * A file of JSON lines that bears being written to again, whatever broke off: a timeout, a full disk, a killed process.
 *
 * Every line carries the record's key, and a key that is in the file already is not written again. That makes the
 * import idempotent. (It suits records that never change. For records that do, let the key tell their version.)
 */
export class NdjsonFile {
  readonly #path: string;
  readonly #keys = new Set<string>();
  /** Where the last complete line ends. Half a line that a failed write left behind it is written over. */
  #size: number;
  #repeated = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, size: number) {
    this.#path = path;
    this.#size = size;
  }

  /** Takes up the file where it was left; there is one if there was none. `each` is shown every line in it, in order. */
  static async open(path: string, each: (line: Line) => void = () => undefined): Promise<NdjsonFile> {
    await mkdir(dirname(path), { recursive: true });
    await (await open(path, "a")).close();
    const bytes = await readFile(path);
    const size = bytes.lastIndexOf("\n") + 1;
    const file = new NdjsonFile(path, size);
    for (const text of bytes.subarray(0, size).toString().split("\n").slice(0, -1)) {
      const line = JSON.parse(text) as Line;
      file.#keys.add(line._key);
      each(line);
    }
    return file;
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
    const fresh = new Map<string, object>();
    for (const [index, _key] of keys.entries())
      if (this.#keys.has(_key)) this.#repeated++;
      else fresh.set(_key, { _key, ...records[index] });
    if (fresh.size === 0) return;
    const bytes = Buffer.from([...fresh.values()].map((line) => `${JSON.stringify(line)}\n`).join(""));
    const file = await open(this.#path, "r+");
    try {
      await file.truncate(this.#size);
      const { bytesWritten } = await file.write(bytes, 0, bytes.length, this.#size);
      if (bytesWritten < bytes.length) throw new Error(`only ${bytesWritten} of ${bytes.length} bytes were written`);
      await file.datasync();
    } finally {
      await file.close();
    }
    // Only now: had anything failed, the next attempt would begin at the same place.
    this.#size += bytes.length;
    for (const _key of fresh.keys()) this.#keys.add(_key);
  }
}
