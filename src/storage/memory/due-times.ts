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

  /** Flows due at or before `until` and after the place `after`, the earliest first. */
  upTo(until: number, limit: number, after?: { readonly dueAt: number; readonly _flowId: string }): readonly string[] {
    const ids: string[] = [];
    for (const time of this.#times) {
      if (time > until) break;
      if (after !== undefined && time < after.dueAt) continue;
      const bucket = this.#buckets.get(time) ?? new Set<string>();
      // Where a slice ended that has moved away since, the bucket is read from its beginning again.
      let isPast = after?.dueAt !== time || !bucket.has(after._flowId);
      for (const _id of bucket) {
        if (ids.length >= limit) return ids;
        if (isPast) ids.push(_id);
        else isPast = _id === after?._flowId;
      }
    }
    return ids;
  }
}
