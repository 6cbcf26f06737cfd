import { batch, signal, useEffect, useMemo } from "../view.ts";
import type { QueryValues } from "../browser/query-values.ts";
import { type ApiError, apiPath, call, errorOf } from "./client.ts";
import type { Failure } from "./documents.ts";

/** Most failures that a search lists. */
const maxFound = 100;

/** A search in records and messages: a part of all failures at a time, newest first, until enough is found. */
export class Scan {
  readonly found = signal<readonly Failure[]>([]);
  readonly examined = signal(0);
  readonly isSearching = signal(false);
  /** When the failure was stored at which the search goes on; undefined: none has been looked up, or all were searched. */
  readonly backTo = signal<string | undefined>(undefined);
  readonly error = signal<ApiError | undefined>(undefined);
  #searching: AbortController | undefined;

  /** Begins anew. */
  async start(filter: QueryValues): Promise<void> {
    this.stop();
    const searching = new AbortController();
    this.#searching = searching;
    batch(() => {
      this.found.value = [];
      this.examined.value = 0;
      this.backTo.value = undefined;
      this.error.value = undefined;
      this.isSearching.value = true;
    });
    let after: string | undefined;
    try {
      do {
        const path = apiPath(["failures"], { ...filter, after });
        const { value, next, examined } = await call<readonly Failure[]>("GET", path, { signal: searching.signal });
        if (searching.signal.aborted) return;
        batch(() => {
          this.found.value = [...this.found.value, ...value];
          this.examined.value += examined ?? value.length;
        });
        after = next;
        this.backTo.value = after && (await storedAt(filter, after, searching.signal));
      } while (after !== undefined && this.found.value.length < maxFound);
    } catch (error) {
      if (searching.signal.aborted) return;
      this.error.value = errorOf(error);
    }
    this.isSearching.value = false;
  }

  stop(): void {
    this.#searching?.abort();
    this.isSearching.value = false;
  }
}

/** When the next failure of a list was stored. */
async function storedAt({ text: _, ...filter }: QueryValues, after: string, signal: AbortSignal) {
  const path = apiPath(["failures"], { ...filter, after, limit: "1", include: "createdAt" });
  return (await call<readonly Pick<Failure, "createdAt">[]>("GET", path, { signal })).value[0]?.createdAt;
}

/** A search that goes on while a component is shown. `filter`: undefined until somebody wants it. */
export function useScan(filter: QueryValues | undefined): Scan {
  const scan = useMemo(() => new Scan(), []);
  const key = JSON.stringify(filter);
  useEffect(() => {
    if (filter !== undefined) void scan.start(filter);
    return () => scan.stop();
  }, [key]);
  return scan;
}
