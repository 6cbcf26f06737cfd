import type { Clock } from "../../clock.ts";
import { ContractViolationError, ExportFailedError } from "../../errors.ts";
import type { Export, ExportContext } from "../../model/export.ts";
import { messageOf } from "../../model/message.ts";
import { outcomeOf } from "../../model/outcome.ts";
import { type ReadPage, readPage } from "../../model/page.ts";
import { Batch } from "../destination/batch.ts";
import { pageKeys, withUnreadable } from "./page-keys.ts";
import { PositionExpired, ResumeLater, type Source, type SourcePage } from "./source.ts";

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
      batch: new Batch(found, { ...all, mutable, page: place }),
      ...(this.#export.committed === undefined ? {} : { read: { records, checkpoint, total, unreadable } }),
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

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
