import { ContractViolationError, ExportFailedError } from "../errors.ts";
import type { Export, ExportContext } from "../model/export.ts";
import type { Failure } from "../model/failure.ts";
import type { Json } from "../model/json.ts";
import { type Page, readPage } from "../model/page.ts";
import { messageOf } from "../model/message.ts";
import { outcomeOf } from "../model/outcome.ts";
import type { FailureQuery, ListResult, Storage } from "../storage/storage.ts";

/** One page on its way into the imports. */
export interface SourcePage {
  readonly records: readonly unknown[];
  /** The key of `records[index]`. */
  readonly keyOf: (index: number) => string;
  /** For the run to resume after this page, and for its flow if it is an export's own. */
  readonly checkpoint?: Json;
  readonly total?: number;
  /** Inbox entries this page is made of end here. */
  readonly inboxThrough?: string;
  /** The stored failures this page is made of, record by record, and the one import they are for. */
  readonly failures?: FailureOrigin;
}

/** Where the records of a retry run's page come from. */
export interface FailureOrigin {
  readonly _importId: string;
  readonly _ids: readonly string[];
  readonly attempts: readonly number[];
  readonly createdAt: readonly string[];
  readonly doubtful: ReadonlySet<number>;
}

/** Where a run's pages come from, one at a time. */
export interface Source {
  /** Undefined at the end. Not called again before it has answered. */
  next(): Promise<SourcePage | undefined>;
  /** Gives up what is open. Resolves when the host's code has ended. */
  close(): Promise<void>;
}

/** `retryLater` thrown while reading: resume from the last committed checkpoint after `afterMs`. */
export class ResumeLater extends Error {
  override readonly name = "ResumeLater";
  /** As host code gave it; `waitMsOf` reads it. */
  readonly afterMs: unknown;

  constructor(cause: unknown, afterMs: unknown) {
    super(messageOf(cause), { cause });
    this.afterMs = afterMs;
  }
}

/** The pages an export's own `pages` makes. */
export class ExportSource implements Source {
  readonly #export: Export<unknown>;
  readonly #context: ExportContext;
  readonly #pagesBefore: number;
  readonly #freeze: boolean;
  readonly #iterator: AsyncIterator<unknown>;
  #read = 0;

  /**
   * `pagesBefore`: pages of the run up to the checkpoint, so that a page read again gets the same keys again.
   * `freeze`: whether records are frozen.
   *
   * @throws whatever `pages` throws, classified.
   */
  constructor(from: Export<unknown>, context: ExportContext, options: { pagesBefore: number; freeze: boolean }) {
    this.#export = from;
    this.#context = context;
    this.#pagesBefore = options.pagesBefore;
    this.#freeze = options.freeze;
    this.#iterator = this.#open();
  }

  async next(): Promise<SourcePage | undefined> {
    let result: IteratorResult<unknown>;
    try {
      result = await this.#iterator.next();
    } catch (error) {
      throw this.#classified(error);
    }
    if (result.done === true) return undefined;
    const page = this.#readPage(result.value);
    this.#read++;
    const { run } = this.#context;
    const place = this.#pagesBefore + this.#read;
    const keyOf = keysOf(page.records, this.#export, run._exportId) ?? ((index) => `${run._id}/${place}/${index}`);
    return { ...page, keyOf };
  }

  async close(): Promise<void> {
    try {
      await this.#iterator.return?.();
    } catch {
      // The run is over for this source; how its clean-up went changes nothing that was read.
    }
  }

  #open(): AsyncIterator<unknown> {
    try {
      const pages: unknown = this.#export.pages?.(this.#context);
      if (isAsyncIterable(pages)) return pages[Symbol.asyncIterator]();
    } catch (error) {
      throw this.#classified(error);
    }
    throw new ContractViolationError("Export", this.#context.run._exportId, "pages did not answer an async iterable");
  }

  #readPage(value: unknown): Page<unknown> {
    try {
      return readPage(value, this.#freeze);
    } catch (error) {
      throw new ContractViolationError("Export", this.#context.run._exportId, messageOf(error));
    }
  }

  #classified(error: unknown): Error {
    const outcome = outcomeOf(error);
    if (outcome?.kind === "retryLater") return new ResumeLater(error, outcome.afterMs);
    return new ExportFailedError(this.#context.run._exportId, error);
  }
}

/** The pages that wait in a flow's inbox; entries are gathered until they fill a page. */
export class InboxSource implements Source {
  readonly #from: InboxOrigin;
  #after: string | undefined;

  constructor(from: InboxOrigin) {
    this.#from = from;
  }

  async next(): Promise<SourcePage | undefined> {
    const { storage, export: from, _flowId, _exportId, pageSize } = this.#from;
    const after = this.#after;
    const entries = await storage.readInbox(_flowId, {
      ...(after === undefined ? {} : { after }),
      maxRecords: pageSize,
    });
    const through = entries.at(-1)?.cursor;
    if (through === undefined) return undefined;
    this.#after = through;
    const records = Object.freeze(entries.flatMap((entry) => entry.records));
    const eventKeys = entries.flatMap((entry) => entry.keys);
    const keyOf = keysOf(records, from, _exportId) ?? ((index) => eventKeys[index] ?? "");
    return { records, keyOf, inboxThrough: through };
  }

  async close(): Promise<void> {
    // Nothing is open between two pages.
  }
}

/** What {@link InboxSource} reads. */
export interface InboxOrigin {
  readonly storage: Pick<Storage, "readInbox">;
  readonly export: Export<unknown>;
  readonly _exportId: string;
  readonly _flowId: string;
  readonly pageSize: number;
}

/**
 * The open failures a retry run is to deliver: import by import, in the order they were stored, or, chosen by their
 * ids, page for page in the order of those.
 */
export class FailureSource implements Source {
  readonly #from: FailuresOrigin;
  #import: number;
  /** In the list of this import's failures, if none are chosen by their ids. */
  #after: string | undefined;
  /** How many of the chosen ids this import is through with. */
  #asked: number;

  /** `checkpoint`: the one of the page after which to go on. */
  constructor(from: FailuresOrigin, checkpoint: Json | undefined) {
    this.#from = from;
    const {
      _importId,
      after,
      asked = 0,
    } = (checkpoint ?? {}) as {
      _importId?: string;
      after?: string;
      asked?: number;
    };
    const index = from._importIds.indexOf(_importId ?? "");
    // A checkpoint that names no import of these stands at the end.
    this.#import = index >= 0 ? index : _importId === undefined ? 0 : from._importIds.length;
    this.#after = after;
    this.#asked = asked;
  }

  async next(): Promise<SourcePage | undefined> {
    for (;;) {
      const _importId = this.#from._importIds[this.#import];
      if (_importId === undefined) return undefined;
      const items = await (this.#from._ids === undefined
        ? this.#nextStored(_importId)
        : this.#nextChosen(_importId, this.#from._ids));
      if (items.length > 0) return this.#page(_importId, items);
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

  // A storage is asked for no more ids than a page has room for.
  async #nextChosen(_importId: string, chosen: readonly string[]): Promise<readonly Failure[]> {
    const _ids = chosen.slice(this.#asked, this.#asked + this.#pageSize);
    this.#asked += _ids.length;
    if (this.#asked >= chosen.length) {
      this.#import++;
      this.#asked = 0;
    }
    return _ids.length === 0 ? [] : (await this.#list(_importId, { _ids })).items;
  }

  #list(_importId: string, part: Pick<FailureQuery, "after" | "_ids">): Promise<ListResult<Failure>> {
    const { storage, _flowId, _integrationId } = this.#from;
    const own = _integrationId === undefined ? {} : { _integrationId };
    return storage.listFailures({ _flowId, ...own, _importId, status: "open", limit: this.#pageSize, ...part });
  }

  get #pageSize(): number {
    return Math.min(this.#from.pageSize, 1_000);
  }

  #page(_importId: string, items: readonly Failure[]): SourcePage {
    return {
      records: Object.freeze(items.map(({ record }) => record)),
      keyOf: (index) => items[index]?.key ?? "",
      checkpoint: {
        _importId: this.#from._importIds[this.#import] ?? "",
        ...(this.#after === undefined ? {} : { after: this.#after }),
        ...(this.#asked === 0 ? {} : { asked: this.#asked }),
      },
      failures: {
        _importId,
        _ids: items.map(({ _id }) => _id),
        attempts: items.map(({ attempts }) => attempts),
        createdAt: items.map(({ createdAt }) => createdAt),
        doubtful: new Set(items.flatMap(({ fault }, index) => (fault === "unknown" ? [index] : []))),
      },
    };
  }
}

/** What {@link FailureSource} reads. */
export interface FailuresOrigin {
  readonly storage: Pick<Storage, "listFailures">;
  readonly _flowId: string;
  /** In which order; only these. */
  readonly _importIds: readonly string[];
  readonly _ids?: readonly string[];
  /** Only those that carry it. */
  readonly _integrationId?: string;
  readonly pageSize: number;
}

// The export's own keys, all at once, so that one it cannot make is found before anything is written.
function keysOf(
  records: readonly unknown[],
  from: Export<unknown>,
  _exportId: string,
): SourcePage["keyOf"] | undefined {
  if (from.key === undefined) return undefined;
  try {
    const keys = records.map((record) => readKey(from.key?.(record)));
    return (index) => keys[index] ?? "";
  } catch (error) {
    throw new ContractViolationError("Export", _exportId, `key failed: ${messageOf(error)}`, error);
  }
}

function readKey(key: unknown): string {
  if (typeof key === "string" && key !== "") return key;
  throw new TypeError(`expected a text that is not empty, found ${String(key)}`);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
