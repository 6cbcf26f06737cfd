/** Seeded chance: the same seed gives the same choices, on every machine and at any time. */
export class Chance {
  #state: number;

  /** `seed`: any whole number. */
  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 0;
  }

  /** From 0 up to but not including 1 (splitmix32). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** True with this probability. */
  happens(probability: number): boolean {
    return this.next() < probability;
  }

  /** Any of them. */
  oneOf<T>(choices: readonly [T, ...T[]]): T {
    return this.anyOf(choices) ?? choices[0];
  }

  /** Any of them; undefined if there is none. */
  anyOf<T>(choices: readonly T[]): T | undefined {
    return choices[Math.floor(this.next() * choices.length)];
  }

  /** A name from a table of weights. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const names = Object.keys(weights) as Name[];
    let left = this.next() * names.reduce((sum, name) => sum + weights[name], 0);
    for (const name of names) {
      left -= weights[name];
      if (left < 0) return name;
    }
    throw new RangeError("weights: expected at least one above 0");
  }

  /** Some of them in their order; at least `least`. */
  someOf<T>(choices: readonly T[], least: number, most: number): T[] {
    const left = [...choices];
    const wanted = this.between(least, Math.min(most, choices.length));
    while (left.length > wanted) left.splice(Math.floor(this.next() * left.length), 1);
    return left;
  }
}
