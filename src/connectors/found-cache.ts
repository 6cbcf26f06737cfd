import type { Clock } from "../clock.ts";

interface CachedValue<F> {
  readonly value: F;
  /** Epoch milliseconds. */
  readonly until: number;
}

/** Values by key: those used last, each for a limited time. */
export class FoundCache<F> {
  readonly #max: number;
  readonly #ttlMs: number;
  readonly #clock: Pick<Clock, "now">;
  /** In the order in which they were used last. */
  readonly #values = new Map<string, CachedValue<F>>();

  constructor(rule: { readonly max: number; readonly ttlMs: number; readonly clock: Pick<Clock, "now"> }) {
    this.#max = rule.max;
    this.#ttlMs = rule.ttlMs;
    this.#clock = rule.clock;
  }

  get(key: string): F | undefined {
    const cached = this.#values.get(key);
    if (cached === undefined) return undefined;
    this.#values.delete(key);
    const leftMs = cached.until - this.#clock.now();
    // A clock that was set back must not keep a value for longer.
    if (leftMs <= 0 || leftMs > this.#ttlMs) return undefined;
    this.#values.set(key, cached);
    return cached.value;
  }

  set(key: string, value: F): void {
    this.#values.delete(key);
    this.#values.set(key, { value, until: this.#clock.now() + this.#ttlMs });
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= this.#max) return;
      this.#values.delete(oldest);
    }
  }
}
