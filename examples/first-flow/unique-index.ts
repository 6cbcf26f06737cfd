import type { Result } from "poundlock";
import { Refused } from "./refused.ts";

/** Looks things up by name, in memory. A name that another record has taken is refused. */
export class UniqueIndex<T extends { readonly name: string }> {
  readonly #entries = new Map<string, { readonly key: string; readonly value: T }>();

  get size(): number {
    return this.#entries.size;
  }

  /** Answers for every record. The same record again, which its key tells, changes nothing. */
  put(values: readonly T[], keys: readonly string[]): readonly Result[] {
    return values.map((value, index) => {
      const key = keys[index] ?? "";
      const taken = this.#entries.get(value.name);
      if (taken !== undefined && taken.key !== key) {
        const error = new Refused("name taken already", `${key}, after ${taken.key}`);
        return { ok: false, fault: "reject", error };
      }
      this.#entries.set(value.name, { key, value });
      return { ok: true };
    });
  }
}
