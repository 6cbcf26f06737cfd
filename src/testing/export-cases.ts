import assert from "node:assert/strict";
import type { Export } from "../model/export.ts";
import { type Json, copyJson, formatValue } from "../model/json.ts";
import { silentLogger } from "../model/logger.ts";
import { type Page, readPage } from "../model/page.ts";
import { messageOf } from "../model/message.ts";
import { inTime, sampleFlow, sampleRun, textOf } from "./connector-harness.ts";
import { type TestCases, chooseCases } from "./test-case.ts";

/** What is known of an export under test, beside how to make it. */
export interface ExportCaseOptions<T, C = Json> {
  /** Handed to `pages`; small enough for two pages or more. @default the export's own, or 100 */
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
   * Adds a record to the source of an export that has been read to its end, with the oldest timestamp or number that
   * a new record may still come with, and returns it.
   */
  addLate?(from: Export<T, C>): Promise<T> | T;
}

/** Makes the export under test, over a source of its own that has the same records each time. */
export type MakeExport<T, C = Json> = () => Promise<Export<T, C>> | Export<T, C>;

/**
 * What a run relies on when it reads an export, one case each; those for which something is missing are in `skipped`.
 * Let the source have several records with the same timestamp, or whatever the checkpoint is made of, on both sides of
 * a page's end: that is where records get lost.
 *
 * Real time is not covered: `listen` has no cases here.
 *
 * @example
 * for (const { title, run } of exportCases(() => ordersOf(fakeShop(250)), { pageSize: 100 })) test(title, run);
 */
export function exportCases<T, C = Json>(make: MakeExport<T, C>, options: ExportCaseOptions<T, C> = {}): TestCases {
  const { checkpoints = true, keys = true, empty } = options;
  const needs: Readonly<Record<Need, string | undefined>> = {
    nothing: undefined,
    checkpoints: checkpoints ? undefined : "`checkpoints: false`",
    keys: keys ? undefined : "`keys: false`",
    empty: empty === undefined ? "`empty` is not given" : undefined,
    addLate: checkpoints
      ? options.addLate === undefined
        ? "`addLate` is not given"
        : undefined
      : "`checkpoints: false`",
  };
  return chooseCases(
    Object.entries(cases).map(([title, { need, run: check }]) => ({
      title,
      skip: needs[need],
      run: () => check(new ExportHarness<unknown>(make as MakeExport<unknown>, options as ExportCaseOptions<unknown>)),
    })),
  );
}

type Need = "nothing" | "checkpoints" | "keys" | "empty" | "addLate";

interface ExportCase {
  readonly need: Need;
  readonly run: (harness: ExportHarness<unknown>) => Promise<void>;
}

/** How a reading goes. */
interface ReadingOptions {
  readonly checkpoint?: Json | undefined;
  readonly limit?: number;
  /** False: records are left as they are, to see whether the export changes them. @default true */
  readonly freeze?: boolean;
}

/** An export under test, and the ways in which runs read it. */
class ExportHarness<T> {
  readonly options: ExportCaseOptions<T>;
  readonly make: MakeExport<T>;

  constructor(make: MakeExport<T>, options: ExportCaseOptions<T>) {
    this.make = make;
    this.options = options;
  }

  get abortWithinMs(): number {
    return this.options.abortWithinMs ?? 1_000;
  }

  /** Begins to read, as a run does. */
  open(from: Export<T>, options: ReadingOptions = {}): Reading {
    const { checkpoint, limit, freeze = true } = options;
    assert.ok(from.pages !== undefined, "the export has no pages, so it cannot be read on demand");
    const abort = new AbortController();
    const pages = from.pages({
      // As it comes out of a storage: a copy, frozen.
      checkpoint: checkpoint === undefined ? undefined : copyJson(JSON.parse(JSON.stringify(checkpoint))),
      run: sampleRun("sample-run", limit),
      flow: sampleFlow,
      pageSize: this.options.pageSize ?? from.pageSize ?? 100,
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

  /** Fails unless these are the same records, in the same order if the export is `ordered`. */
  assertSame(found: readonly unknown[], expected: readonly unknown[], how: { from: Export<T>; what: string }): void {
    const { from, what } = how;
    const strings = [found.map(textOf), expected.map(textOf)] as const;
    const [surplus, missing] = [without(strings[0], strings[1]), without(strings[1], strings[0])];
    const problems = [
      ...(missing.length === 0 ? [] : [`missing: ${missing.length}, the first: ${missing[0]}`]),
      ...(surplus.length === 0 ? [] : [`too many: ${surplus.length}, the first: ${surplus[0]}`]),
    ];
    assert.ok(problems.length === 0, `${what}: ${problems.join("; ")}`);
    if (from.order === "ordered") assert.deepEqual(strings[0], strings[1], `${what}: the order is another`);
  }
}

/** One reading of an export. */
class Reading {
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

  async rest(): Promise<readonly Page<unknown>[]> {
    const pages: Page<unknown>[] = [];
    for (let page = await this.next(); page !== undefined; page = await this.next()) pages.push(page);
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

const cases: Readonly<Record<string, ExportCase>> = {
  "it has the parts that it is tested for": {
    need: "nothing",
    async run(harness) {
      const from = await harness.make();
      const { checkpoints = true, keys = true } = harness.options;

      const pages = await harness.readAll(from);

      const found = { keys: from.key !== undefined, checkpoints: pages.some(hasCheckpoint) };
      assert.deepEqual(found, { keys, checkpoints });
    },
  },

  "its source has two pages or more, so that the other cases can fail": {
    need: "nothing",
    async run(harness) {
      const pages = await harness.readAll(await harness.make());

      const filled = pages.filter(({ records }) => records.length > 0);
      assert.ok(filled.length >= 2, `${filled.length} pages with records: add records, or make pageSize smaller`);
    },
  },

  "each page is one: records, and at most a checkpoint and a total": {
    need: "nothing",
    async run(harness) {
      const pages = await harness.readAll(await harness.make());

      for (const { records } of pages) assert.ok(Array.isArray(records));
    },
  },

  "it changes no record that it has given away": {
    need: "nothing",
    async run(harness) {
      const reading = harness.open(await harness.make(), { freeze: false });
      const given: { readonly record: unknown; readonly text: string }[] = [];

      for (let page = await reading.next(); page !== undefined; page = await reading.next())
        given.push(...page.records.map((record) => ({ record, text: textOf(record) })));

      for (const { record, text } of given) assert.equal(textOf(record), text);
    },
  },

  "reading it again from the start yields the same records": {
    need: "nothing",
    async run(harness) {
      const from = await harness.make();

      const first = recordsOf(await harness.readAll(from));
      const second = recordsOf(await harness.readAll(from));

      harness.assertSame(second, first, { from, what: "read again" });
    },
  },

  "each page's checkpoint is JSON, and reads back the same": {
    need: "checkpoints",
    async run(harness) {
      const from = await harness.make();
      const reading = from.pages?.({
        ...{ checkpoint: undefined, run: sampleRun(), flow: sampleFlow, log: silentLogger },
        ...{ pageSize: harness.options.pageSize ?? from.pageSize ?? 100, signal: new AbortController().signal },
      });
      assert.ok(reading, "the export has no pages");
      let nth = 0;

      for await (const page of reading) {
        nth++;
        const { checkpoint } = page as Partial<Page<unknown>>;
        if (checkpoint !== undefined) assertJson(checkpoint, `the checkpoint of page ${nth}`);
      }
    },
  },

  "its last page with records has a checkpoint, so that the next run reads only what is new": {
    need: "checkpoints",
    async run(harness) {
      const pages = await harness.readAll(await harness.make());

      const last = pages.findLastIndex(({ records }) => records.length > 0);
      assert.ok(pages.slice(Math.max(last, 0)).some(hasCheckpoint), `page ${last + 1} of ${pages.length} has none`);
    },
  },

  "resuming from any page's checkpoint yields exactly the records after that page": {
    need: "checkpoints",
    async run(harness) {
      const from = await harness.make();
      const pages = await harness.readAll(from);

      for (const [index, { checkpoint }] of pages.entries()) {
        if (checkpoint === undefined) continue;
        // A new one each time: after a crash nothing is left but the checkpoint.
        const rest = await harness.readAll(await harness.make(), { checkpoint });
        const what = `resumed after page ${index + 1} of ${pages.length}, at ${JSON.stringify(checkpoint)}`;
        harness.assertSame(recordsOf(rest), recordsOf(pages.slice(index + 1)), { from, what });
      }
    },
  },

  "a record that comes late is read by the next run": {
    need: "addLate",
    async run(harness) {
      const from = await harness.make();
      const checkpoint = (await harness.readAll(from)).findLast(hasCheckpoint)?.checkpoint;

      const late = textOf(await harness.options.addLate?.(from));
      const next = recordsOf(await harness.readAll(from, { checkpoint })).map(textOf);

      assert.ok(next.includes(late), `resumed at ${JSON.stringify(checkpoint)}, ${late} is missing`);
    },
  },

  "once it is aborted it ends within its time, and no page follows": {
    need: "nothing",
    async run(harness) {
      const reading = harness.open(await harness.make());
      await reading.next();

      reading.abort();
      const page = await inTime("to end after the abort", harness.abortWithinMs, reading.nextAborted());

      assert.equal(page, undefined, "a page followed the abort");
    },
  },

  "aborted while it reads a page, it ends within its time, with that page at the most": {
    need: "nothing",
    async run(harness) {
      const reading = harness.open(await harness.make());
      await reading.next();

      const pending = reading.nextAborted();
      reading.abort();
      const page = await inTime("to end the page after the abort", harness.abortWithinMs, pending);
      const another = await inTime("to end after the abort", harness.abortWithinMs, reading.nextAborted());

      assert.equal(another, undefined, `${page === undefined ? "a page" : "another page"} followed the abort`);
    },
  },

  "aborted before it begins, it reads no page": {
    need: "nothing",
    async run(harness) {
      const reading = harness.open(await harness.make());

      reading.abort();
      const page = await inTime("to end after the abort", harness.abortWithinMs, reading.nextAborted());

      assert.equal(page, undefined, "a page was read");
    },
  },

  "it ends within its time when it is read no further": {
    need: "nothing",
    async run(harness) {
      const reading = harness.open(await harness.make());
      await reading.next();

      // As a run does that has its sample, or that failed.
      reading.abort();
      await inTime("to end", harness.abortWithinMs, reading.stop());
    },
  },

  "a sample begins with the same records, and has as many as are asked for": {
    need: "nothing",
    async run(harness) {
      const from = await harness.make();
      const pages = await harness.readAll(from);
      const all = recordsOf(pages);
      const first = pages.find(({ records }) => records.length > 0)?.records.length ?? 0;

      for (const limit of [1, first + 1]) {
        const sample = recordsOf(await harness.readAll(from, { limit })).slice(0, limit);
        assert.equal(sample.length, Math.min(limit, all.length), `a sample of ${limit}`);
        const expected = from.order === "ordered" ? all.slice(0, limit) : all;
        const strange = without(sample.map(textOf), expected.map(textOf));
        assert.deepEqual(strange, [], `a sample of ${limit} has other records`);
      }
    },
  },

  "an empty source yields no records, and ends": {
    need: "empty",
    async run(harness) {
      const from = await harness.options.empty?.();
      assert.ok(from);

      const pages = await harness.readAll(from);

      assert.deepEqual(recordsOf(pages), []);
    },
  },

  "keys are strings that are not empty, and all different": {
    need: "keys",
    async run(harness) {
      const from = await harness.make();

      const keys = recordsOf(await harness.readAll(from)).map((record) => keyOf(from, record));

      for (const key of keys)
        assert.ok(
          typeof key === "string" && key !== "",
          `expected a string that is not empty, found ${formatValue(key)}`,
        );
      const repeated = keys.filter((key, index) => keys.indexOf(key) !== index);
      assert.deepEqual(repeated, []);
    },
  },

  "keys are the same when the records are read again": {
    need: "keys",
    async run(harness) {
      const [from, again] = [await harness.make(), await harness.make()];
      const keysByText = async (each: Export<unknown>) =>
        recordsOf(await harness.readAll(each))
          .map((record) => `${textOf(record)} ${String(keyOf(each, record))}`)
          .sort();

      assert.deepEqual(await keysByText(again), await keysByText(from));
    },
  },
};

function hasCheckpoint(page: Page<unknown>): boolean {
  return page.checkpoint !== undefined;
}

function recordsOf(pages: readonly Page<unknown>[]): readonly unknown[] {
  return pages.flatMap(({ records }) => records);
}

function keyOf(from: Export<unknown>, record: unknown): unknown {
  assert.ok(from.key !== undefined, "the export has no key");
  return from.key(record);
}

// What is left of `strings` when each of `others` has taken one like it away.
function without(strings: readonly string[], others: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const other of others) counts.set(other, (counts.get(other) ?? 0) + 1);
  return strings.filter((text) => {
    const count = counts.get(text) ?? 0;
    counts.set(text, count - 1);
    return count <= 0;
  });
}

function assertJson(value: unknown, what: string): void {
  try {
    copyJson(value, what);
  } catch (error) {
    assert.fail(messageOf(error));
  }
}
