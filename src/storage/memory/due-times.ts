import { indexAfter, insertSorted } from "./sorted.ts";

/** Which flows are due when: flows sharing a due time share one bucket, so 100,000 of them cost 100,000 set entries. */
export class DueTimes {
  readonly #buckets = new Map<number, Set<string>>();
  readonly #times: number[] = [];

  add(dueAt: number, _flowId: string): void {
    const bucket = this.#buckets.get(dueAt);
    if (bucket !== undefined) bucket.add(_flowId);
    else {
      this.#buckets.set(dueAt, new Set([_flowId]));
      insertSorted(this.#times, dueAt);
    }
  }

  remove(dueAt: number, _flowId: string): void {
    const bucket = this.#buckets.get(dueAt);
    bucket?.delete(_flowId);
    if (bucket?.size !== 0) return;
    this.#buckets.delete(dueAt);
    this.#times.splice(indexAfter(this.#times, dueAt) - 1, 1);
  }

  /** The earliest due time. */
  first(): number | undefined {
    return this.#times[0];
  }

  /** Flows due at or before `until`, the earliest first. */
  upTo(until: number, limit: number): readonly string[] {
    const ids: string[] = [];
    for (const time of this.#times) {
      if (time > until) break;
      for (const _id of this.#buckets.get(time) ?? []) {
        if (ids.length >= limit) return ids;
        ids.push(_id);
      }
    }
    return ids;
  }
}
