import type { Result } from "poundlock";
import { NdjsonFile } from "./ndjson-file.ts";
import { Refused } from "./refused.ts";

/** Looks things up by name, and keeps them in a file. A name that another record has taken is refused. */
export class UniqueIndex<T extends { readonly name: string }> {
  readonly #file: NdjsonFile;
  /** Name → key of the record that has it. */
  readonly #names: Map<string, string>;

  private constructor(file: NdjsonFile, names: Map<string, string>) {
    this.#file = file;
    this.#names = names;
  }

  /** Takes up the file where it was left; there is one if there was none. */
  static async open<T extends { readonly name: string }>(path: string): Promise<UniqueIndex<T>> {
    const names = new Map<string, string>();
    return new UniqueIndex<T>(await NdjsonFile.open(path, ({ _key, name }) => names.set(String(name), _key)), names);
  }

  /** How many names it knows. */
  get size(): number {
    return this.#names.size;
  }

  /** How many records were given since it was opened that it had already. */
  get repeated(): number {
    return this.#file.repeated;
  }

  /** Returns a result for every record. The same record again, known by its key, changes nothing. */
  async put(values: readonly T[], keys: readonly string[]): Promise<readonly Result[]> {
    const results = values.map(({ name }, index) => this.#take(name, keys[index] ?? ""));
    const isTaken = (_: unknown, index: number) => results[index]?.ok === true;
    await this.#file.append(values.filter(isTaken), keys.filter(isTaken));
    return results;
  }

  #take(name: string, key: string): Result {
    const owner = this.#names.get(name) ?? key;
    if (owner !== key)
      return { ok: false, fault: "reject", error: new Refused("name taken already", `${key}, after ${owner}`) };
    this.#names.set(name, key);
    return { ok: true };
  }
}
