import type { Result } from "poundlock";
import { NdjsonFile } from "./ndjson-file.ts";
import { Refused } from "./refused.ts";

/** Looks things up by name, and keeps them in a file. A name that another record has taken is refused. */
export class UniqueIndex<T extends { readonly name: string }> {
  readonly #file: NdjsonFile;
  readonly #names: Names;

  private constructor(file: NdjsonFile, names: Names) {
    this.#file = file;
    this.#names = names;
  }

  /** Takes up the file where it was left; there is one if there was none. */
  static async open<T extends { readonly name: string }>(path: string): Promise<UniqueIndex<T>> {
    const names = new Names();
    const file = await NdjsonFile.open(path, ({ _key, name }) => names.give(String(name), _key));
    return new UniqueIndex<T>(file, names);
  }

  /** How many records it has. */
  get size(): number {
    return this.#file.size;
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
    const owner = this.#names.ownerOf(name) ?? key;
    if (owner !== key)
      return { ok: false, fault: "reject", error: new Refused("name taken already", `${key}, after ${owner}`) };
    this.#names.give(name, key);
    return { ok: true };
  }
}

/** Which record has which name: one each. */
class Names {
  readonly #owners = new Map<string, string>();
  readonly #names = new Map<string, string>();

  ownerOf(name: string): string | undefined {
    return this.#owners.get(name);
  }

  give(name: string, key: string): void {
    const before = this.#names.get(key);
    if (before !== undefined) this.#owners.delete(before);
    this.#owners.set(name, key);
    this.#names.set(key, name);
  }
}
