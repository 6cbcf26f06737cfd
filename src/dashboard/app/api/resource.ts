import { after, currentTime } from "../browser/clock.ts";
import { type Signal, batch, signal, useEffect, useMemo } from "../view.ts";
import { type ApiError, type ApiReply, call, errorOf, isUnchanged } from "./client.ts";
import { type LiveEvent, isReload, onLive } from "./live.ts";

/** Entries of one page of a list. */
export const pageSize = 100;

/** Least time between two loads that events cause. */
const pauseMs = 2_000;

/** Something of the API that is shown and kept current. What was loaded stays until something newer is there. */
export class Resource<T> {
  readonly value: Signal<T | undefined> = signal(undefined);
  readonly error: Signal<ApiError | undefined> = signal(undefined);
  /** Something else was asked for than what is shown, or nothing is shown yet. */
  readonly isBusy = signal(false);
  readonly next: Signal<string | undefined> = signal(undefined);
  readonly etag: Signal<string | undefined> = signal(undefined);
  readonly isPartial = signal(false);
  #path: string | undefined;
  #loading: AbortController | undefined;
  #loadedAt = 0;
  #waiting: (() => void) | undefined;
  #merge: (known: T, loaded: T) => T = (_, loaded) => loaded;

  /** Loads what is at the path; undefined: nothing. */
  show(path: string | undefined): void {
    if (path === this.#path) return;
    this.#path = path;
    this.#stop();
    if (path === undefined) return;
    this.isBusy.value = true;
    void this.#load(path, (_, loaded) => loaded);
  }

  /** Loads the same again, at once. */
  async reload(): Promise<void> {
    if (this.#path !== undefined) await this.#load(this.#path, this.#merge);
  }

  /** Loads the same again, soon: several calls cause one load. Not while nobody looks: coming back causes one. */
  reloadSoon(): void {
    if (this.#waiting !== undefined || document.hidden) return;
    const rest = Math.max(150, this.#loadedAt + pauseMs - currentTime());
    this.#waiting = after(rest, () => {
      this.#waiting = undefined;
      if (!document.hidden) void this.reload();
    });
  }

  /** How what is loaded again is put into what is shown. */
  mergeWith(merge: (known: T, loaded: T) => T): void {
    this.#merge = merge;
  }

  close(): void {
    this.#stop();
    this.#path = undefined;
  }

  #stop(): void {
    this.#loading?.abort();
    this.#waiting?.();
    this.#waiting = undefined;
  }

  async #load(path: string, merge: (known: T, loaded: T) => T): Promise<void> {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    try {
      const reply = await call<T>("GET", path, { signal: loading.signal, ...this.#known });
      if (!loading.signal.aborted) this.#loaded(reply, merge);
    } catch (error) {
      if (loading.signal.aborted) return;
      batch(() => {
        this.error.value = errorOf(error);
        this.isBusy.value = false;
      });
    }
  }

  /** What is shown may be what would be loaded. */
  get #known(): { readonly headers?: Readonly<Record<string, string>> } {
    const etag = this.etag.peek();
    return etag === undefined || this.isBusy.peek() ? {} : { headers: { "if-none-match": etag } };
  }

  #loaded(reply: ApiReply<T>, merge: (known: T, loaded: T) => T): void {
    this.#loadedAt = currentTime();
    if (isUnchanged(reply)) {
      this.error.value = undefined;
      return;
    }
    const { value, next, etag, isPartial } = reply;
    const known = this.value.peek();
    batch(() => {
      this.value.value = known === undefined ? value : merge(known, value);
      this.next.value = next;
      this.etag.value = etag;
      this.isPartial.value = isPartial;
      this.error.value = undefined;
      this.isBusy.value = false;
    });
  }
}

/** Keeps what is at a path current while a component is shown. `concerns`: which events mean that it may have changed. */
export function useResource<T>(
  path: string | undefined,
  concerns: (event: LiveEvent) => boolean = () => false,
): Resource<T> {
  const resource = useMemo(() => new Resource<T>(), []);
  useEffect(() => resource.show(path), [path]);
  useEffect(() => {
    const leave = onLive((event) => {
      if (isReload(event) || concerns(event)) resource.reloadSoon();
    });
    return () => {
      leave();
      resource.close();
    };
  }, []);
  return resource;
}

/** A list, newest first or in the order of ids, that does not move while it is looked at. */
export interface LiveList<T> {
  readonly resource: Resource<readonly T[]>;
  /** How many entries there are that are not shown yet. */
  readonly fresh: Signal<number>;
  /** Ids of what is shown and is there no more. */
  readonly gone: Signal<ReadonlySet<string>>;
  /** Shows the list as it is. */
  readonly showAll: () => void;
}

/** Like {@link useResource}, for a list: entries are updated where they are, and new ones announced. */
export function useList<T extends { readonly _id: string }>(
  path: string | undefined,
  concerns?: (event: LiveEvent) => boolean,
): LiveList<T> {
  const resource = useResource<readonly T[]>(path, concerns);
  const list = useMemo(() => {
    const fresh = signal(0);
    const gone: Signal<ReadonlySet<string>> = signal(new Set<string>());
    let newest: readonly T[] | undefined;
    resource.mergeWith((known, loaded) => {
      newest = loaded;
      const byId = new Map(loaded.map((item) => [item._id, item]));
      const knownIds = new Set(known.map(({ _id }) => _id));
      const added = loaded.filter(({ _id }) => !knownIds.has(_id)).length;
      if (known.length === 0) return loaded;
      fresh.value = added;
      const isWhole = loaded.length < pageSize;
      const lastKept = known.findLastIndex(({ _id }) => byId.has(_id));
      // What comes after the last one that is still there may have moved to the next page.
      const looked = isWhole ? known : known.slice(0, lastKept + 1);
      gone.value = new Set(looked.filter(({ _id }) => !byId.has(_id)).map(({ _id }) => _id));
      return known.map((item) => byId.get(item._id) ?? item);
    });
    const showAll = () => {
      if (newest !== undefined) resource.value.value = newest;
      batch(() => ((fresh.value = 0), (gone.value = new Set())));
    };
    return { resource, fresh, gone, showAll };
  }, []);
  useEffect(() => () => batch(() => ((list.fresh.value = 0), (list.gone.value = new Set()))), [path]);
  return list;
}
