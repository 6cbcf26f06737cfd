import type { Export } from "../../model/host/export.ts";
import { itemAt } from "../../model/item-at.ts";
import type { InboxPage, Storage } from "../../storage/storage.ts";
import { Batch } from "../destination/batch.ts";
import { decodeRecords } from "./decode.ts";
import { pageKeys } from "./page-keys.ts";
import type { Source, SourcePage } from "./source.ts";

/** What {@link InboxSource} reads. */
export interface InboxOrigin {
  readonly storage: Pick<Storage, "readInbox">;
  readonly export: Export<unknown>;
  readonly _flowId: string;
  readonly pageSize: number;
  /** The cursor after which to begin. */
  readonly after: string | undefined;
  /** Whether what is read counts as settled. */
  readonly moves: boolean;
  readonly freeze: boolean;
  /** Pages of the run before. */
  readonly pagesBefore: number;
}

/** The pages that wait in a flow's inbox; entries are gathered until they fill a page. */
export class InboxSource implements Source {
  readonly #from: InboxOrigin;
  #after: string | undefined;
  #waiting: readonly InboxPage[] = [];
  #page: number;

  constructor(from: InboxOrigin) {
    this.#from = from;
    this.#page = from.pagesBefore;
    this.#after = from.after;
  }

  async next(): Promise<SourcePage | undefined> {
    if (this.#waiting.length === 0) this.#waiting = await this.#read();
    const entries = this.#gather();
    const through = entries.at(-1)?.cursor;
    if (through === undefined) return undefined;
    const stored = entries.flatMap((entry) => entry.records);
    const { mutable, problems, records } = decodeRecords(stored, this.#from.export.codec, this.#from);
    const eventKeys = entries.flatMap((entry) => entry.keys);
    const defaultKeyOf = (index: number) => itemAt(eventKeys, index);
    const keys = pageKeys(records, this.#from.export, { defaultKeyOf, problems, name: `inbox page ${through}` });
    const origins = entries.flatMap(({ origin }) => origin ?? []);
    const excluded = new Set(entries.flatMap(({ droppedFor = [] }) => droppedFor));
    return {
      batch: new Batch(records, { ...keys, mutable, page: ++this.#page }),
      ...(this.#from.moves ? { inboxThrough: through } : {}),
      ...(excluded.size === 0 ? {} : { excluded }),
      ...(origins.length === 0 ? {} : { origins }),
    };
  }

  async close(): Promise<void> {
    // Nothing is open between two pages.
  }

  async #read(): Promise<readonly InboxPage[]> {
    const after = this.#after === undefined ? {} : { after: this.#after };
    const entries = await this.#from.storage.readInbox(this.#from._flowId, {
      ...after,
      maxRecords: this.#from.pageSize,
    });
    this.#after = entries.at(-1)?.cursor ?? this.#after;
    return entries;
  }

  // All that is read, but an entry that some imports do not get stands alone.
  #gather(): readonly InboxPage[] {
    const special = this.#waiting.findIndex(({ droppedFor }) => droppedFor !== undefined);
    const count = special < 0 ? this.#waiting.length : Math.max(1, special);
    const entries = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return entries;
  }
}
