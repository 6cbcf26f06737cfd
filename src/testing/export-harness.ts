import assert from "node:assert/strict";
import type { Export } from "../model/host/export.ts";
import { type Json, copyJson } from "../model/record/json.ts";
import { silentLogger } from "../model/logger.ts";
import { type Page, readPage } from "../model/host/page.ts";
import { sampleFlow, sampleRun, textOf } from "./connector-harness.ts";

/** What is known of an export under test, beside how to make it. Each part that is given makes more cases apply. */
export interface ExportCaseOptions<T, C = Json> {
  /** Handed to `pages`; small enough for two pages or more. One less is tried, too. @default the export's own, or 100 */
  readonly pageSize?: number;
  /** How long the export may take to end once it is aborted or read no further, in milliseconds. @default 1000 */
  readonly abortWithinMs?: number;
  /** False: its pages have no checkpoints. @default true */
  readonly checkpoints?: boolean;
  /** False: it has no `key`. @default true */
  readonly keys?: boolean;
  /** The same export over a source without records. */
  readonly empty?: () => Promise<Export<T, C>> | Export<T, C>;
  /**
   * All that the source of this export has now, as the export yields it, in any order. Whether an export loses records
   * can be seen without it only if the export keeps to the `pageSize` that it is given.
   */
  records?(from: Export<T, C>): Promise<readonly T[]> | readonly T[];
  /**
   * Another export over the same source as `from`, as an application makes it after a restart.
   *
   * @default what `make` returns; right if a checkpoint of one is valid in the source of another
   */
  reopen?(from: Export<T, C>): Promise<Export<T, C>> | Export<T, C>;
  /**
   * Adds a record to the source of an export that has been read to its end, with the oldest timestamp or number that
   * a new record may still come with, and returns it.
   */
  addLate?(from: Export<T, C>): Promise<T> | T;
}

/**
 * Makes the export under test: over a source of its own that has the same records each time; or always over the same
 * source, which keeps what `addLate` adds, in which case the cases have to run one after another.
 */
export type MakeExport<T, C = Json> = () => Promise<Export<T, C>> | Export<T, C>;

/** How a reading goes. */
export interface ReadingOptions {
  readonly checkpoint?: Json | undefined;
  readonly limit?: number;
  /** @default the options' own */
  readonly pageSize?: number;
  /** False: records are left as they are, to see whether the export changes them. @default true */
  readonly freeze?: boolean;
}

/** What was read, and what should have been. */
interface Comparison {
  readonly from: Export<unknown>;
  readonly what: string;
  /** @default the export's own */
  readonly order?: "unordered";
  /** Read before, so they may come again if they have keys. @default none */
  readonly before?: readonly unknown[];
}

/** An export under test, and the ways in which runs read it. */
export class ExportHarness<T> {
  readonly options: ExportCaseOptions<T>;
  readonly make: MakeExport<T>;

  constructor(make: MakeExport<T>, options: ExportCaseOptions<T>) {
    this.make = make;
    this.options = options;
  }

  get abortWithinMs(): number {
    return this.options.abortWithinMs ?? 1_000;
  }

  /** How many records a page is to have. */
  pageSizeOf(from: Export<T>): number {
    return this.options.pageSize ?? from.pageSize ?? 100;
  }

  /** As after a restart: nothing is left but the source and the checkpoint. */
  async reopen(from: Export<T>): Promise<Export<T>> {
    return this.options.reopen === undefined ? this.make() : this.options.reopen(from);
  }

  /** Begins to read, as a run does. */
  open(from: Export<T>, options: ReadingOptions = {}): Reading {
    const { checkpoint, limit, freeze = true, pageSize = this.pageSizeOf(from) } = options;
    assert.ok(from.pages !== undefined, "the export has no pages, so it cannot be read on demand");
    const abort = new AbortController();
    const pages = from.pages({
      // As it comes out of a storage: a copy, frozen.
      checkpoint: checkpoint === undefined ? undefined : copyJson(JSON.parse(JSON.stringify(checkpoint))),
      run: sampleRun("sample-run", limit),
      flow: sampleFlow,
      pageSize,
      ...(limit === undefined ? {} : { limit }),
      signal: abort.signal,
      log: silentLogger,
    });
    return new Reading(pages[Symbol.asyncIterator](), abort, freeze);
  }

  /** Every page, from the checkpoint on. */
  async readAll(from: Export<T>, options: ReadingOptions = {}): Promise<readonly Page<unknown>[]> {
    return this.open(from, options).rest();
  }

  /**
   * Fails unless these are the same records, in the same order if the export is `ordered`. One that has a key may come
   * more than once: an idempotent import is not affected.
   */
  assertSame(found: readonly unknown[], expected: readonly unknown[], how: Comparison): void {
    const { from, what, order = from.order, before = [] } = how;
    const known = new Set(from.key === undefined ? [] : before.map(textOf));
    const strings = (records: readonly unknown[]) => {
      const all = records.map(textOf);
      return from.key === undefined ? all : [...new Set(all)].filter((text) => !known.has(text));
    };
    const [there, wanted] = [strings(found), strings(expected)];
    const [surplus, missing] = [without(there, wanted), without(wanted, there)];
    const problems = [
      ...(missing.length === 0 ? [] : [`missing: ${missing.length}, the first: ${missing[0]}`]),
      ...(surplus.length === 0 ? [] : [`too many: ${surplus.length}, the first: ${surplus[0]}`]),
    ];
    assert.ok(problems.length === 0, `${what}: ${problems.join("; ")}`);
    if (order === "ordered") assert.deepEqual(there, wanted, `${what}: the order is another`);
  }
}

/** A reading that has no end. */
export class EndlessReadingError extends assert.AssertionError {}

/** Pages in a row with nothing new, after which a reading counts as one without end. */
const mostIdlePages = 1_000;

/** One reading of an export. */
export class Reading {
  readonly #iterator: AsyncIterator<unknown>;
  readonly #abort: AbortController;
  readonly #freeze: boolean;

  constructor(iterator: AsyncIterator<unknown>, abort: AbortController, freeze: boolean) {
    this.#iterator = iterator;
    this.#abort = abort;
    this.#freeze = freeze;
  }

  /** Undefined at the end. */
  async next(): Promise<Page<unknown> | undefined> {
    const result = await this.#iterator.next();
    return result.done === true ? undefined : readPage(result.value, this.#freeze);
  }

  /** @throws EndlessReadingError */
  async rest(): Promise<readonly Page<unknown>[]> {
    const pages: Page<unknown>[] = [];
    const known = new Set<string>();
    let idle = 0;
    for (let page = await this.next(); page !== undefined; page = await this.next()) {
      const before = known.size;
      // An empty page has something new if it moves the checkpoint.
      for (const one of page.records.length > 0 ? page.records : [page]) known.add(textOf(one));
      idle = known.size > before ? 0 : idle + 1;
      if (idle === mostIdlePages)
        throw new EndlessReadingError({ message: `it reads on and on: ${idle} pages in a row have nothing new` });
      pages.push(page);
    }
    return pages;
  }

  abort(): void {
    this.#abort.abort(new Error("the run was canceled"));
  }

  /** What comes next once the reading was aborted: an error is as good an end as any. */
  async nextAborted(): Promise<Page<unknown> | undefined> {
    try {
      return await this.next();
    } catch {
      return undefined;
    }
  }

  async stop(): Promise<void> {
    await this.#iterator.return?.();
  }
}

/** What is left of `strings` when each of `others` has taken one like it away. */
export function without(strings: readonly string[], others: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const other of others) counts.set(other, (counts.get(other) ?? 0) + 1);
  return strings.filter((text) => {
    const count = counts.get(text) ?? 0;
    counts.set(text, count - 1);
    return count <= 0;
  });
}
