/** A stream that counts for its caller. */
export interface StreamSlot {
  /** The stream is being read. */
  use(): void;
  /** The stream has ended. */
  release(): void;
}

interface Entry {
  readonly acquiredAt: number;
  isUsed: boolean;
}

/** How long a stream that nobody reads counts, in milliseconds: a response that is thrown away is never ended. */
const unusedMs = 30_000;

/** How many streams each caller has open. */
export class StreamLimit {
  readonly #entries = new Map<string, Set<Entry>>();
  readonly #limit: number;
  readonly #now: () => number;

  constructor(limit: number, now: () => number) {
    this.#limit = limit;
    this.#now = now;
  }

  /** Undefined if the caller has as many as it may. */
  acquire(caller: string): StreamSlot | undefined {
    const entries = this.#entries.get(caller) ?? new Set();
    if (entries.size >= this.#limit) this.#forgetUnused(entries);
    if (entries.size >= this.#limit) return undefined;
    const entry: Entry = { acquiredAt: this.#now(), isUsed: false };
    this.#entries.set(caller, entries.add(entry));
    return {
      use: () => void (entry.isUsed = true),
      release: () => {
        entries.delete(entry);
        if (entries.size === 0 && this.#entries.get(caller) === entries) this.#entries.delete(caller);
      },
    };
  }

  #forgetUnused(entries: Set<Entry>): void {
    const before = this.#now() - unusedMs;
    for (const entry of entries) if (!entry.isUsed && entry.acquiredAt < before) entries.delete(entry);
  }
}
