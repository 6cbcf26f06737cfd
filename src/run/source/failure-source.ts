import type { Clock } from "../../clock.ts";
import { itemAt } from "../../model/item-at.ts";
import type { Codec } from "../../model/host/export.ts";
import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Json } from "../../model/record/json.ts";
import type { RetrySelection } from "../../model/run.ts";
import type { FailureQuery, ListResult, Storage } from "../../storage/storage.ts";
import { Batch } from "../destination/batch.ts";
import { decodeRecords } from "./decode.ts";
import type { Source, SourcePage } from "./source.ts";

/** What {@link FailureSource} reads. */
export interface FailuresOrigin {
  readonly storage: Pick<Storage, "listFailures">;
  readonly clock: Pick<Clock, "yieldToEventLoop">;
  readonly flow: Flow;
  /** In which order; only these. */
  readonly _importIds: readonly string[];
  readonly selection: RetrySelection;
  readonly codec: Codec | undefined;
  readonly freeze: boolean;
  readonly pageSize: number;
  /** Pages of the run before. */
  readonly pagesBefore: number;
}

/**
 * The open failures a retry run is to deliver: import by import, in the order they were stored, or, chosen by their
 * ids, page for page in the order of those. Failures of another export, and those whose record was not kept, are left.
 */
export class FailureSource implements Source {
  readonly #from: FailuresOrigin;
  #import: number;
  /** In the list of this import's failures, or of the ids that are asked for. */
  #after: string | undefined;
  /** How many of the chosen ids this import is through with. */
  #asked: number;
  #pages: number;

  /** `checkpoint`: the one of the page after which to go on. */
  constructor(from: FailuresOrigin, checkpoint: Json | undefined) {
    this.#from = from;
    this.#pages = from.pagesBefore;
    const { _importId, after, asked = 0 } = (checkpoint ?? {}) as FailureCheckpoint;
    const index = from._importIds.indexOf(_importId ?? "");
    // A checkpoint that names no import of these stands at the end.
    this.#import = index >= 0 ? index : _importId === undefined ? 0 : from._importIds.length;
    this.#after = after;
    this.#asked = asked;
  }

  async next(): Promise<SourcePage | undefined> {
    const { flow, selection } = this.#from;
    if (selection._exportId !== undefined && selection._exportId !== flow._exportId) return undefined;
    for (;;) {
      const _importId = this.#from._importIds[this.#import];
      if (_importId === undefined) return undefined;
      const { _ids } = this.#from.selection;
      const items = await (_ids === undefined ? this.#nextStored(_importId) : this.#nextChosen(_importId, _ids));
      const sendable = items.filter(({ unstorable }) => unstorable !== true);
      if (sendable.length > 0) return this.#page(_importId, sendable);
    }
  }

  async close(): Promise<void> {
    // Nothing is open between two pages.
  }

  async #nextStored(_importId: string): Promise<readonly Failure[]> {
    const after = this.#after;
    const { items, next } = await this.#list(_importId, after === undefined ? {} : { after });
    // Past the last page nothing of this import is left: failures it stores anew keep their place.
    if (next === undefined) this.#import++;
    this.#after = next;
    return items;
  }

  // A storage is asked for no more ids than a page has room for, and gives fewer failures if they are large.
  async #nextChosen(_importId: string, chosen: readonly string[]): Promise<readonly Failure[]> {
    const _ids = chosen.slice(this.#asked, this.#asked + this.#pageSize);
    const after = this.#after;
    const { items, next } =
      _ids.length === 0
        ? { items: [], next: undefined }
        : await this.#list(_importId, { _ids, ...(after === undefined ? {} : { after }) });
    this.#after = next;
    if (next === undefined) this.#asked += _ids.length;
    if (this.#asked >= chosen.length) {
      this.#import++;
      this.#asked = 0;
    }
    return items;
  }

  async #list(_importId: string, part: Pick<FailureQuery, "after" | "_ids">): Promise<ListResult<Failure>> {
    const { clock, storage, flow, selection } = this.#from;
    const { _ids: _, _importId: __, dueBy, ...filters } = selection;
    const page = await storage.listFailures({
      ...{ _flowId: flow._id, _exportId: flow._exportId, _importId, status: "open", limit: this.#pageSize },
      ...filters,
      ...(dueBy === undefined ? {} : { retryUntil: Date.parse(dueBy) }),
      ...part,
    });
    // A search may look at many before it finds one.
    if (page.examined !== undefined && page.next !== undefined) await clock.yieldToEventLoop();
    return page;
  }

  get #pageSize(): number {
    return Math.min(this.#from.pageSize, 1_000);
  }

  #page(_importId: string, items: readonly Failure[]): SourcePage {
    const { codec, freeze } = this.#from;
    const unreadable = new Map(items.flatMap((item, index) => (isUnreadable(item) ? [[index, problemOf(item)]] : [])));
    const stored = items.map(({ record }) => record);
    const isDecoded = (index: number) => unreadable.has(index);
    const { mutable, problems: undecoded, records } = decodeRecords(stored, codec, { freeze, isDecoded });
    const problems = new Map<number, Error>([...unreadable, ...undecoded]);
    const keys = {
      ...(problems.size === 0 ? {} : { problems }),
      keyOf: (index: number) => itemAt(items, index).key,
      // An edit is a state of its own.
      versionOf: (index: number) => editedVersion(itemAt(items, index)),
      mutable,
      page: ++this.#pages,
    };
    return {
      batch: new Batch(records, keys),
      checkpoint: {
        _importId: this.#from._importIds[this.#import] ?? "",
        ...(this.#after === undefined ? {} : { after: this.#after }),
        ...(this.#asked === 0 ? {} : { asked: this.#asked }),
      },
      failures: {
        _importId,
        items,
        doubtful: new Set(items.flatMap(({ fault }, index) => (fault === "unknown" ? [index] : []))),
      },
    };
  }
}

// An edit makes a record of what was none.
function isUnreadable({ unreadable, editedAt }: Failure): boolean {
  return unreadable === true && editedAt === undefined;
}

function problemOf({ message, code }: Failure): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}

interface FailureCheckpoint {
  readonly _importId?: string;
  readonly after?: string;
  readonly asked?: number;
}

function editedVersion({ editedAt, version }: Failure): string | number | undefined {
  return editedAt === undefined ? version : `${version ?? ""}/edited ${editedAt}`;
}
