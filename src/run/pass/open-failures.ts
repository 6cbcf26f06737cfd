import { type Failure, isOlder } from "../../model/failure.ts";
import type { OpenKey, Storage } from "../../storage/storage.ts";
import { KeyFilter } from "./key-filter.ts";

/** Open keys that a run keeps in mind for one import; with more, the rest is left to later runs. */
const mostKeys = 100_000;

/** Keys read in one call. */
const portion = 1_000;

/** Which failures these are. */
export interface OpenFailuresOrigin {
  readonly storage: Pick<Storage, "openKeys">;
  readonly _flowId: string;
  readonly _exportId: string;
  readonly _importId: string;
}

/**
 * The open failures of a flow at one import by key, read once for the run and kept in step with its commits. While
 * there are none, a page pays nothing for them.
 */
export class OpenFailures {
  readonly #origin: OpenFailuresOrigin;
  #byKey: Map<string, OpenKey> | undefined;
  #filter: KeyFilter | undefined;

  constructor(origin: OpenFailuresOrigin) {
    this.#origin = origin;
  }

  get isLoaded(): boolean {
    return this.#byKey !== undefined;
  }

  get size(): number {
    return this.#byKey?.size ?? 0;
  }

  /** Reads them, unless that is done. */
  async load(): Promise<void> {
    if (this.#byKey !== undefined) return;
    const byKey = new Map<string, OpenKey>();
    const { storage, ...query } = this.#origin;
    let after: string | undefined;
    do {
      const { items, next } = await storage.openKeys({
        ...query,
        limit: portion,
        ...(after === undefined ? {} : { after }),
      });
      for (const open of items) byKey.set(open.key, open);
      after = next;
    } while (after !== undefined && byKey.size < mostKeys);
    this.#byKey = byKey;
    this.#filter = new KeyFilter(byKey.size, () => byKey.keys());
  }

  has(key: string): boolean {
    return this.#filter?.mayHave(key) === true && this.#byKey?.has(key) === true;
  }

  /** The open failure that a delivery of this state of the record settles; undefined if none, or a newer one is open. */
  supersededBy(key: string, version: string | number | undefined): string | undefined {
    const open = this.#byKey?.get(key);
    return open === undefined || isOlder(version, open.version) ? undefined : open._id;
  }

  /** Follows a commit. */
  follow(stored: readonly Failure[], closed: Iterable<string>): void {
    for (const key of closed) this.#byKey?.delete(key);
    for (const { _id, _importId, key, version, status } of stored)
      if (_importId === this.#origin._importId && status === "open")
        this.#add({ _id, key, ...(version === undefined ? {} : { version }) });
  }

  #add(open: OpenKey): void {
    if (this.#byKey === undefined) return;
    this.#byKey.set(open.key, open);
    this.#filter?.add(open.key, this.#byKey.size);
  }
}
