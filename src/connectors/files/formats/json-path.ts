import { itemAt } from "../../../model/item-at.ts";

/** What the search for an array is within: an object, with the key that was read last, or an array. */
interface Level {
  readonly kind: "object" | "array";
  key: string | undefined;
}

/** Finds the array that keys lead to, in bytes that come in chunks. */
export class JsonPath {
  readonly #at: readonly string[];
  readonly #levels: Level[] = [];
  #found = false;
  #expectsKey = false;

  constructor(at: readonly string[]) {
    this.#at = at;
  }

  /** Whether the array has been found; then what was read ends with its opening bracket. */
  get isFound(): boolean {
    return this.#found;
  }

  /** Where the array is meant to be, in words. */
  get name(): string {
    return this.#at.length === 0 ? "at the top" : `at ${this.#at.join(".")}`;
  }

  /** Searches the bytes, and returns how many of them are read. A string that is not complete is left. */
  search(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && !this.#found) {
      const next = this.#step(bytes, at);
      if (next < 0) return at;
      at = next;
    }
    return at;
  }

  // After the token at this place; -1 if it is not complete.
  #step(bytes: Buffer, at: number): number {
    const level = this.#levels.at(-1);
    switch (String.fromCharCode(itemAt(bytes, at))) {
      case '"':
        return this.#string(bytes, at, level);
      case "{":
        this.#levels.push({ kind: "object", key: undefined });
        this.#expectsKey = true;
        break;
      case "[":
        if (this.#isThere()) this.#found = true;
        else this.#levels.push({ kind: "array", key: undefined });
        this.#expectsKey = false;
        break;
      case "}":
      case "]":
        this.#levels.pop();
        this.#expectsKey = false;
        break;
      case ",":
        this.#expectsKey = level?.kind === "object";
        break;
    }
    return at + 1;
  }

  #string(bytes: Buffer, at: number, level: Level | undefined): number {
    let end = at + 1;
    while (end < bytes.length && bytes[end] !== 0x22) end += bytes[end] === 0x5c ? 2 : 1;
    if (end >= bytes.length) return -1;
    if (this.#expectsKey && level !== undefined) level.key = JSON.parse(bytes.toString("utf8", at, end + 1)) as string;
    this.#expectsKey = false;
    return end + 1;
  }

  #isThere(): boolean {
    return (
      this.#levels.length === this.#at.length &&
      this.#levels.every(({ kind, key }, depth) => kind === "object" && key === this.#at[depth])
    );
  }
}
