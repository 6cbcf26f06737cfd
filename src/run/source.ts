import type { Clock } from "../clock.ts";
import { ContractViolationError, ExportFailedError } from "../errors.ts";
import { holdsMutable } from "../model/copy.ts";
import type { Codec, Export, ExportContext } from "../model/export.ts";
import type { Failure } from "../model/failure.ts";
import type { Flow } from "../model/flow.ts";
import type { Json } from "../model/json.ts";
import { messageOf } from "../model/message.ts";
import { outcomeOf } from "../model/outcome.ts";
import { type ReadPage, readPage } from "../model/page.ts";
import type { RetrySelection } from "../model/run.ts";
import type { FailureQuery, InboxPage, ListResult, Storage } from "../storage/storage.ts";
import { Batch } from "./batch.ts";
import { pageKeys, withUnreadable } from "./page-keys.ts";

/** One page on its way into the imports. */
export interface SourcePage {
  readonly batch: Batch;
  /** Where reading goes on after this page. */
  readonly checkpoint?: Json;
  readonly total?: number;
  /** The inbox is settled up to here with this page. */
  readonly inboxThrough?: string;
  /** Imports for which the page was dropped: it counts as settled for them. */
  readonly excluded?: ReadonlySet<string>;
  /** The stored failures this page is made of, record by record, and the one import they are for. */
  readonly failures?: FailureOrigin;
}

/** Where the records of a retry run's page come from. */
export interface FailureOrigin {
  readonly _importId: string;
  readonly items: readonly Failure[];
  readonly doubtful: ReadonlySet<number>;
}

/** Where a run's pages come from, one at a time. */
export interface Source {
  /** Undefined at the end. Not called again before it has returned. */
  next(): Promise<SourcePage | undefined>;
  /** Gives up what is open. Resolves when the host's code has ended, or is left behind. */
  close(): Promise<void>;
}

/** `retryLater` thrown while reading: resume from the last committed checkpoint after `afterMs`. */
export class ResumeLater extends Error {
  override readonly name = "ResumeLater";
  /** As it was given. */
  readonly afterMs: unknown;

  constructor(cause: unknown, afterMs: unknown) {
    super(messageOf(cause), { cause });
    this.afterMs = afterMs;
  }
}

/** `expired` thrown while reading: what reading was resumed with is not valid any more. */
export class PositionExpired extends Error {
  override readonly name = "PositionExpired";
  /** What the run fails with if there is nothing to give up. */
  readonly failure: ExportFailedError;

  constructor(_exportId: string, cause: unknown) {
    super(messageOf(cause), { cause });
    this.failure = new ExportFailedError(_exportId, cause);
  }
}

/** How long an export may take for a page without a timeout of its own, in milliseconds. */
export const defaultReadTimeoutMs = 600_000;

/** How long ending a reading may take before the host's code is left behind, in milliseconds. */
export const closeTimeoutMs = 10_000;

/** How an export is read. */
export interface ExportSourceOptions {
  readonly clock: Clock;
  /** Whether records are frozen. */
  readonly freeze: boolean;
  /** Whether several imports get them. */
  readonly shared: boolean;
  /** Pages of the reading up to the checkpoint, so that a page read again gets the same keys again. */
  readonly pagesBefore: number;
  /** The run whose id default keys are made of. */
  readonly _runId: string;
}

/** The pages an export's own `pages` makes. */
export class ExportSource implements Source {
  readonly #export: Export<unknown>;
  readonly #context: ExportContext;
  readonly #options: ExportSourceOptions;
  readonly #iterator: AsyncIterator<unknown>;
  #read = 0;
  #isLeftBehind = false;

  /** @throws whatever `pages` throws, classified. */
  constructor(from: Export<unknown>, context: ExportContext, options: ExportSourceOptions) {
    this.#export = from;
    this.#context = context;
    this.#options = options;
    this.#iterator = this.#open();
  }

  async next(): Promise<SourcePage | undefined> {
    const result = await this.#pull();
    if (result.done === true) return undefined;
    const { checkpoint, mutable, records, total, unreadable } = this.#readPage(result.value);
    this.#read++;
    const { _runId, pagesBefore } = this.#options;
    const place = pagesBefore + this.#read;
    const defaultKeyOf = (index: number) => `${_runId}/${place}/${index}`;
    const keys = pageKeys(records, this.#export, { defaultKeyOf, name: `page ${place}` });
    const found = unreadable === undefined ? records : [...records, ...unreadable.map(({ raw }) => raw)];
    const all = unreadable === undefined ? keys : withUnreadable(keys, records.length, unreadable);
    return {
      batch: new Batch(found, { ...all, mutable }),
      ...(checkpoint === undefined ? {} : { checkpoint }),
      ...(total === undefined ? {} : { total }),
    };
  }

  async close(): Promise<void> {
    if (this.#isLeftBehind) return;
    const ended = (async () => this.#iterator.return?.())();
    // The run is over for this source; how its clean-up went changes nothing that was read.
    const quiet = ended.then(
      () => undefined,
      () => undefined,
    );
    await within(this.#options.clock, closeTimeoutMs, quiet);
  }

  async #pull(): Promise<IteratorResult<unknown>> {
    const { readTimeoutMs = defaultReadTimeoutMs } = this.#export;
    const pulled = (async () => this.#iterator.next())();
    const result = await within(this.#options.clock, readTimeoutMs, pulled).catch((error: unknown) => {
      throw this.#classified(error);
    });
    if (result !== undefined) return result.value;
    this.#isLeftBehind = true;
    pulled.catch(() => undefined);
    throw new ExportFailedError(this.#exportId, new Error(`pages gave no page within ${readTimeoutMs} ms`));
  }

  get #exportId(): string {
    return this.#context.run._exportId;
  }

  #open(): AsyncIterator<unknown> {
    try {
      const pages: unknown = this.#export.pages?.(this.#context);
      if (isAsyncIterable(pages)) return pages[Symbol.asyncIterator]();
    } catch (error) {
      throw this.#classified(error);
    }
    throw new ContractViolationError("Export", this.#exportId, "pages did not return an async iterable");
  }

  #readPage(value: unknown): ReadPage {
    try {
      return readPage(value, this.#options.freeze, this.#options.shared);
    } catch (error) {
      throw new ContractViolationError("Export", this.#exportId, messageOf(error));
    }
  }

  #classified(error: unknown): Error {
    const outcome = outcomeOf(error);
    if (outcome?.kind === "retryLater") return new ResumeLater(error, outcome.afterMs);
    if (outcome?.kind === "expired") return new PositionExpired(this.#exportId, error);
    return new ExportFailedError(this.#exportId, error);
  }
}

// Undefined if the work has not ended in time. Its timer does not outlive it.
function within<T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<{ readonly value: T } | undefined> {
  return new Promise((resolve, reject) => {
    const cancelTimer = clock.setTimer(() => resolve(undefined), limitMs);
    work.then((value) => resolve({ value }), reject).finally(cancelTimer);
  });
}

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
}

/** The pages that wait in a flow's inbox; entries are gathered until they fill a page. */
export class InboxSource implements Source {
  readonly #from: InboxOrigin;
  #after: string | undefined;
  #waiting: readonly InboxPage[] = [];

  constructor(from: InboxOrigin) {
    this.#from = from;
    this.#after = from.after;
  }

  async next(): Promise<SourcePage | undefined> {
    if (this.#waiting.length === 0) this.#waiting = await this.#read();
    const entries = this.#gather();
    const through = entries.at(-1)?.cursor;
    if (through === undefined) return undefined;
    const { codec } = this.#from.export;
    const stored = entries.flatMap((entry) => entry.records);
    const records = codec === undefined ? stored : stored.map((record) => codec.decode(record as Json));
    const eventKeys = entries.flatMap((entry) => entry.keys);
    const defaultKeyOf = (index: number) => eventKeys[index] ?? "";
    const keys = pageKeys(records, this.#from.export, { defaultKeyOf, name: `inbox page ${through}` });
    const excluded = new Set(entries.flatMap(({ droppedFor = [] }) => droppedFor));
    return {
      batch: new Batch(records, { ...keys, mutable: records.some(holdsMutable) }),
      ...(this.#from.moves ? { inboxThrough: through } : {}),
      ...(excluded.size === 0 ? {} : { excluded }),
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

/** What {@link FailureSource} reads. */
export interface FailuresOrigin {
  readonly storage: Pick<Storage, "listFailures">;
  readonly flow: Flow;
  /** In which order; only these. */
  readonly _importIds: readonly string[];
  readonly selection: RetrySelection;
  readonly codec: Codec | undefined;
  readonly pageSize: number;
}

/**
 * The open failures a retry run is to deliver: import by import, in the order they were stored, or, chosen by their
 * ids, page for page in the order of those. Failures of another export, and those whose record was not kept, are left.
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
    const { _importId, after, asked = 0 } = (checkpoint ?? {}) as FailureCheckpoint;
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
    const { storage, flow, selection } = this.#from;
    const { dueBy, _integrationId } = selection;
    return storage.listFailures({
      ...{ _flowId: flow._id, _exportId: flow._exportId, _importId, status: "open", limit: this.#pageSize },
      ...(_integrationId === undefined ? {} : { _integrationId }),
      ...(dueBy === undefined ? {} : { retryUntil: Date.parse(dueBy) }),
      ...part,
    });
  }

  get #pageSize(): number {
    return Math.min(this.#from.pageSize, 1_000);
  }

  #page(_importId: string, items: readonly Failure[]): SourcePage {
    const { codec } = this.#from;
    const problems = new Map(items.flatMap((item, index) => (isUnreadable(item) ? [[index, problemOf(item)]] : [])));
    const records = items.map(({ record }, index) =>
      codec === undefined || problems.has(index) ? record : codec.decode(record as Json),
    );
    const keys = {
      ...(problems.size === 0 ? {} : { problems }),
      keyOf: (index: number) => items[index]?.key ?? "",
      // An edit is a state of its own.
      versionOf: (index: number) => editedVersion(items[index]),
      mutable: records.some(holdsMutable),
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

function editedVersion(failure: Failure | undefined): string | number | undefined {
  const { editedAt, version } = failure ?? {};
  return editedAt === undefined ? version : `${version ?? ""}/edited ${editedAt}`;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
