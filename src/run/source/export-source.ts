import type { Clock } from "../../clock.ts";
import { ContractViolationError, ExportFailedError } from "../../errors.ts";
import type { Export, ExportContext } from "../../model/host/export.ts";
import { formatValue } from "../../model/record/json.ts";
import { messageOf } from "../../model/message.ts";
import { disown } from "../../model/host/awaitable.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import { type ReadPage, readPage } from "../../model/host/page.ts";
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
    const step = this.#readStep(await this.#pull());
    if (step.isDone) return undefined;
    const { checkpoint, mutable, promises, records, total, unreadable } = this.#readPage(step.value);
    this.#read++;
    const { _runId, pagesBefore } = this.#options;
    const place = pagesBefore + this.#read;
    const defaultKeyOf = (index: number) => `${_runId}/${place}/${index}`;
    const name = `page ${place}`;
    const origin = { defaultKeyOf, name, problems: promiseProblems(promises, name), page: place, mutable };
    const keys = pageKeys(records, this.#export, origin);
    const batch =
      unreadable === undefined
        ? new Batch(records, keys)
        : new Batch(
            [...records, ...unreadable.map(({ raw }) => raw)],
            withUnreadable(keys, records.length, unreadable),
          );
    const page: { -readonly [Field in keyof SourcePage]: SourcePage[Field] } = { batch };
    if (this.#export.committed !== undefined) page.read = { records, checkpoint, total, unreadable };
    if (checkpoint !== undefined) page.checkpoint = checkpoint;
    if (total !== undefined) page.total = total;
    return page;
  }

  async close(): Promise<void> {
    if (this.#isLeftBehind) return;
    const ended = (async () => this.#iterator.return?.())();
    // The run is over for this source; how its clean-up went changes nothing that was read.
    await within(this.#options.clock, closeTimeoutMs, ended).catch(() => undefined);
  }

  async #pull(): Promise<unknown> {
    const { readTimeoutMs = defaultReadTimeoutMs } = this.#export;
    let result: unknown;
    try {
      // An iterator made by hand may return its result at once.
      result = await within(this.#options.clock, readTimeoutMs, Promise.resolve(this.#iterator.next()));
    } catch (error) {
      throw this.#classified(error);
    }
    if (isIteratorResult(result)) return result;
    if (result !== late) throw this.#violation(`the iterator of pages returned ${formatValue(result)} as its result`);
    this.#isLeftBehind = true;
    throw new ExportFailedError(this.#exportId, new Error(`pages gave no page within ${readTimeoutMs} ms`));
  }

  get #exportId(): string {
    return this.#context.run._exportId;
  }

  #open(): AsyncIterator<unknown> {
    let found: string;
    try {
      const pages: unknown = this.#export.pages?.(this.#context);
      disown(pages);
      if (isAsyncIterable(pages)) {
        const iterator: unknown = pages[Symbol.asyncIterator]();
        if (isIterator(iterator)) return iterator;
        found = `an object whose iterator is ${formatValue(iterator)}, without next()`;
      } else found = formatValue(pages);
    } catch (error) {
      throw this.#classified(error);
    }
    throw this.#violation(`pages did not return an async iterable, as async *pages() does, but ${found}`);
  }

  // An iterator that is made by hand may return anything.
  #readStep(returned: unknown): { readonly isDone: boolean; readonly value: unknown } {
    try {
      if (typeof returned !== "object" || returned === null)
        throw new RangeError(`next() of its pages returned ${formatValue(returned)} instead of an object`);
      const { done, value } = returned as { readonly done?: unknown; readonly value?: unknown };
      return { isDone: Boolean(done), value };
    } catch (error) {
      throw new ContractViolationError("Export", this.#exportId, messageOf(error));
    }
  }

  #readPage(value: unknown): ReadPage {
    try {
      return readPage(value, this.#options.freeze, this.#options.shared);
    } catch (error) {
      throw this.#violation(messageOf(error));
    }
  }

  #violation(problem: string): ContractViolationError {
    return new ContractViolationError("Export", this.#exportId, problem);
  }

  #classified(error: unknown): Error {
    const outcome = outcomeOf(error);
    if (outcome?.kind === "retryLater") return new ResumeLater(error, outcome.afterMs);
    if (outcome?.kind === "expired") return new PositionExpired(this.#exportId, error);
    return new ExportFailedError(this.#exportId, error);
  }
}

const late = Symbol("late");

// `late` if the work has not ended in time: what becomes of it then, nobody asks. Its timer does not outlive it.
function within(clock: Clock, limitMs: number, work: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve) => {
    const cancelTimer = clock.setTimer(() => resolve(late), limitMs);
    const end = () => {
      cancelTimer();
      resolve(work);
    };
    work.then(end, end);
  });
}

function isIteratorResult(value: unknown): value is IteratorResult<unknown> {
  return typeof value === "object" && value !== null;
}

function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return typeof value === "object" && value !== null && "next" in value && typeof value.next === "function";
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

const noProblems: ReadonlyMap<number, Error> = new Map<number, Error>();

function promiseProblems(places: readonly number[] | undefined, page: string): ReadonlyMap<number, Error> {
  if (places === undefined) return noProblems;
  const problem = "expected a record, found a promise: await it before the page is yielded";
  return new Map(places.map((place) => [place, new Error(`${page}, record ${place}: ${problem}`)]));
}
