import assert from "node:assert/strict";
import type { Export } from "../model/host/export.ts";
import { type Json, copyJson, formatValue } from "../model/record/json.ts";
import { silentLogger } from "../model/logger.ts";
import { messageOf } from "../model/message.ts";
import { isKey, keyForm } from "../model/validate.ts";
import type { Page } from "../model/host/page.ts";
import { inTime, sampleFlow, sampleRun, textOf } from "./connector-harness.ts";
import {
  EndlessReadingError,
  type ExportCaseOptions,
  ExportHarness,
  type MakeExport,
  without,
} from "./export-harness.ts";
import { type TestCases, chooseCases } from "./test-case.ts";

/**
 * What a run relies on when it reads an export, one case each; those for which something is missing are in `skipped`.
 * Let the source have several records with the same timestamp, or whatever the checkpoint is made of, on both sides of
 * a page's end: that is where records get lost.
 *
 * An export with a `key` may yield a record again, as one that looks back at each start does. Real time is not covered:
 * `listen` has no cases here.
 *
 * @example
 * for (const { title, run } of exportCases(() => ordersOf(fakeShop(250)), { pageSize: 100 })) test(title, run);
 */
export function exportCases<T, C = Json>(make: MakeExport<T, C>, options: ExportCaseOptions<T, C> = {}): TestCases {
  return chooseCases(
    Object.entries(cases).map(([title, { needs = [], run: check }]) => ({
      title,
      skip: needs.map((need) => reasonAgainst(need, options)).find((reason) => reason !== undefined),
      run: () => check(new ExportHarness<unknown>(make as MakeExport<unknown>, options as ExportCaseOptions<unknown>)),
    })),
  );
}

type Need = "checkpoints" | "keys" | "empty" | "records" | "addLate";

function reasonAgainst<T, C>(need: Need, options: ExportCaseOptions<T, C>): string | undefined {
  if (need === "checkpoints" || need === "keys") return options[need] === false ? `\`${need}: false\`` : undefined;
  return options[need] === undefined ? `\`${need}\` is not given` : undefined;
}

interface ExportCase {
  readonly needs?: readonly Need[];
  readonly run: (harness: ExportHarness<unknown>) => Promise<void>;
}

const cases: Readonly<Record<string, ExportCase>> = {
  "it has the parts that it is tested for": {
    async run(harness) {
      const from = await harness.make();
      const { checkpoints = true, keys = true } = harness.options;

      const pages = await harness.readAll(from);

      const found = { keys: from.key !== undefined, checkpoints: pages.some(hasCheckpoint) };
      assert.deepEqual(found, { keys, checkpoints });
    },
  },

  "its source has two pages or more, so that the other cases can fail": {
    async run(harness) {
      const pages = await harness.readAll(await harness.make());

      const filled = pages.filter(({ records }) => records.length > 0);
      assert.ok(filled.length >= 2, `${filled.length} pages with records: add records, or make pageSize smaller`);
    },
  },

  "each page is one: records, with nothing but a checkpoint, a total and what is unreadable": {
    async run(harness) {
      const pages = await harness.readAll(await harness.make());

      for (const { records } of pages) assert.ok(Array.isArray(records));
    },
  },

  "it changes no record that it has given away": {
    async run(harness) {
      const reading = harness.open(await harness.make(), { freeze: false });
      const given: { readonly record: unknown; readonly text: string }[] = [];

      for (let page = await reading.next(); page !== undefined; page = await reading.next())
        given.push(...page.records.map((record) => ({ record, text: textOf(record) })));

      for (const { record, text } of given) assert.equal(textOf(record), text);
    },
  },

  "reading it again from the start yields the same records": {
    async run(harness) {
      const from = await harness.make();

      const first = recordsOf(await harness.readAll(from));
      const second = recordsOf(await harness.readAll(from));

      harness.assertSame(second, first, { from, what: "read again" });
    },
  },

  "pages of another size yield the same records": {
    async run(harness) {
      const from = await harness.make();
      const asked = harness.pageSizeOf(from);
      const expected = recordsOf(await harness.readAll(from));
      // Larger than its own no run asks for, and the source may refuse it.
      const pageSize = asked === 1 ? 2 : asked - 1;

      const found = await readToItsEnd(harness, from, pageSize);

      const what = `with pages of ${pageSize} instead of ${asked}`;
      if (found !== undefined) harness.assertSame(recordsOf(found), expected, { from, what });
    },
  },

  "it yields all records of its source, and no others": {
    needs: ["records"],
    async run(harness) {
      const from = await harness.make();

      const found = recordsOf(await harness.readAll(from));
      const expected = (await harness.options.records?.(from)) ?? [];

      const what = `${found.length} of ${expected.length} read`;
      harness.assertSame(found, expected, { from, what, order: "unordered" });
    },
  },

  "each page's checkpoint is JSON, and reads back the same": {
    needs: ["checkpoints"],
    async run(harness) {
      const from = await harness.make();
      const reading = from.pages?.({
        ...{ checkpoint: undefined, run: sampleRun(), flow: sampleFlow, log: silentLogger },
        ...{ pageSize: harness.pageSizeOf(from), signal: new AbortController().signal },
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
    needs: ["checkpoints"],
    async run(harness) {
      const pages = await harness.readAll(await harness.make());

      const last = pages.findLastIndex(({ records }) => records.length > 0);
      assert.ok(pages.slice(Math.max(last, 0)).some(hasCheckpoint), `page ${last + 1} of ${pages.length} has none`);
    },
  },

  "resuming from any page's checkpoint yields the records after that page, and none that is not there": {
    needs: ["checkpoints"],
    async run(harness) {
      const from = await harness.make();
      const pages = await harness.readAll(from);
      const hint = harness.options.reopen === undefined ? ", in what `make` returns without a `reopen`" : "";

      for (const [index, { checkpoint }] of pages.entries()) {
        if (checkpoint === undefined) continue;
        const rest = await harness.readAll(await harness.reopen(from), { checkpoint });
        const what = `resumed after page ${index + 1} of ${pages.length}, at ${JSON.stringify(checkpoint)}${hint}`;
        const before = recordsOf(pages.slice(0, index + 1));
        harness.assertSame(recordsOf(rest), recordsOf(pages.slice(index + 1)), { from, what, before });
      }
    },
  },

  "resuming from its last checkpoint yields fewer records than reading from the start": {
    needs: ["checkpoints"],
    async run(harness) {
      const from = await harness.make();
      const pages = await harness.readAll(from);
      const checkpoint = pages.findLast(hasCheckpoint)?.checkpoint;

      const rest = recordsOf(await harness.readAll(await harness.reopen(from), { checkpoint }));

      const all = recordsOf(pages).length;
      const hint =
        "does it use its checkpoint? If it looks back further than the source goes, let the source be longer";
      assert.ok(
        rest.length < all,
        `resumed at ${JSON.stringify(checkpoint)}, it reads ${rest.length} of ${all}: ${hint}`,
      );
    },
  },

  "a record that comes late is read by the next run": {
    needs: ["checkpoints", "addLate"],
    async run(harness) {
      const from = await harness.make();
      const checkpoint = (await harness.readAll(from)).findLast(hasCheckpoint)?.checkpoint;

      const late = textOf(await harness.options.addLate?.(from));
      const next = recordsOf(await harness.readAll(from, { checkpoint })).map(textOf);

      assert.ok(next.includes(late), `resumed at ${JSON.stringify(checkpoint)}, ${late} is missing`);
    },
  },

  "once it is aborted it ends within its time, and no page follows": {
    async run(harness) {
      const reading = harness.open(await harness.make());
      await reading.next();

      reading.abort();
      const page = await inTime("to end after the abort", harness.abortWithinMs, reading.nextAborted());

      assert.equal(page, undefined, "a page followed the abort");
    },
  },

  "aborted while it reads a page, it ends within its time, with that page at the most": {
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
    async run(harness) {
      const reading = harness.open(await harness.make());

      reading.abort();
      const page = await inTime("to end after the abort", harness.abortWithinMs, reading.nextAborted());

      assert.equal(page, undefined, "a page was read");
    },
  },

  "it ends within its time when it is read no further": {
    async run(harness) {
      const reading = harness.open(await harness.make());
      await reading.next();

      // As a run does that has its sample, or that failed.
      reading.abort();
      await inTime("to end", harness.abortWithinMs, reading.stop());
    },
  },

  "a sample begins with the same records, and has as many as are asked for": {
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
    needs: ["empty"],
    async run(harness) {
      const from = await harness.options.empty?.();
      assert.ok(from);

      const pages = await harness.readAll(from);

      assert.deepEqual(recordsOf(pages), []);
    },
  },

  "each key is a string of 1 to 1,000 characters, and each version a string or a finite number": {
    needs: ["keys"],
    async run(harness) {
      const from = await harness.make();

      for (const record of recordsOf(await harness.readAll(from))) {
        const { key, version } = identityOf(from, record);
        assert.ok(isKey(key), `expected a key of ${keyForm}, found ${formatValue(key)} for ${textOf(record)}`);
        const isVersion = from.version === undefined || typeof version === "string" || Number.isFinite(version);
        assert.ok(isVersion, `expected a string or a finite number, found the version ${formatValue(version)}`);
      }
    },
  },

  "records with the same key and version are the same": {
    needs: ["keys"],
    async run(harness) {
      const from = await harness.make();
      const known = new Map<string, string>();

      for (const record of recordsOf(await harness.readAll(from))) {
        const [identity, text] = [textOf(identityOf(from, record)), textOf(record)];
        const other = known.get(identity) ?? text;
        assert.equal(text, other, `two records have the identity ${identity}: ${other} and ${text}`);
        known.set(identity, text);
      }
    },
  },

  "keys and versions are the same when the records are read again": {
    needs: ["keys"],
    async run(harness) {
      const from = await harness.make();
      const again = await harness.reopen(from);
      const identities = async (each: Export<unknown>) => {
        const records = recordsOf(await harness.readAll(each));
        return [...new Set(records.map((record) => `${textOf(record)} ${textOf(identityOf(each, record))}`))].sort();
      };

      assert.deepEqual(await identities(again), await identities(from));
    },
  },
};

// Undefined if it has none: some cursors need pages that are larger than all records with the same timestamp, and those
// that the case asks for are smaller than the author's.
async function readToItsEnd(harness: ExportHarness<unknown>, from: Export<unknown>, pageSize: number) {
  try {
    return await harness.readAll(from, { pageSize });
  } catch (error) {
    if (error instanceof EndlessReadingError) return undefined;
    throw error;
  }
}

function hasCheckpoint(page: Page<unknown>): boolean {
  return page.checkpoint !== undefined;
}

function recordsOf(pages: readonly Page<unknown>[]): readonly unknown[] {
  return pages.flatMap(({ records }) => records);
}

/** Which thing, and which state of it. */
function identityOf(from: Export<unknown>, record: unknown): { readonly key: unknown; readonly version: unknown } {
  assert.ok(from.key !== undefined, "the export has no key");
  return { key: from.key(record), version: from.version?.(record) };
}

function assertJson(value: unknown, what: string): void {
  try {
    copyJson(value, what);
  } catch (error) {
    assert.fail(messageOf(error));
  }
}
