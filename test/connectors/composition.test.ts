import { describe, expect, test } from "vitest";
import { childrenOf, firstMatch, inSequence, mapPages, perItem, withLookup } from "../../src/connectors/index.ts";
import { type Export, type Import, type Result, reject, retryLater, stop } from "../../src/index.ts";
import { arrayExport, collectingImport, exportCases, importCases, scriptedImport } from "../../src/testing/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { outcomeOf } from "../../src/model/host/outcome.ts";
import { sampleFlow, sampleRun } from "../../src/testing/connector-harness.ts";
import { Harness, pagesExport } from "../support/harness.ts";

const good: Result = { ok: true };
const bad = (fault: "retry" | "reject" | "unknown", error = fault): Result => ({ ok: false, fault, error });

/** Moves the records through an import, without another attempt. */
async function move<T>(records: readonly T[], into: Import<T>) {
  const from: Export<T> = { ...pagesExport([records]), key: (record) => JSON.stringify(record) };
  const harness = new Harness({ exports: { from }, imports: { into }, options: { maxAttempts: 1 } });
  const run = await harness.move();
  return { run, failures: await harness.failures() };
}

describe("imports in sequence", () => {
  const invoices = (script: Parameters<typeof scriptedImport<number>>[0] = () => undefined) =>
    scriptedImport<number>(async (call, context) => (await script(call, context)) ?? call.records.map((each) => ({ ok: true, value: `invoice ${each}` }))); // prettier-ignore
  const billed = (number: number, invoice: unknown) => ({ number, invoice });

  const contents = new WeakMap<object, Map<string, unknown>>();
  const cases = importCases(
    () => {
      const then = collectingImport<object>();
      const into = inSequence(invoices(), billed, then);
      contents.set(into, then.byKey);
      return into;
    },
    { record: (nth) => nth, changed: (nth) => nth + 100, read: (into) => [...(contents.get(into) ?? [])].sort() },
  );
  for (const { title, run } of cases) test(title, run);

  test("give the second what the first returned, under the same keys", async () => {
    const [first, then] = [invoices(), collectingImport<object>()];

    await move([1, 2], inSequence(first, billed, then));

    expect(then.written).toEqual([billed(1, "invoice 1"), billed(2, "invoice 2")]);
    expect(then.calls[0]?.keys).toEqual(first.calls[0]?.keys);
  });

  test("go on with those that the first one wrote, and tell what became of each", async () => {
    const first = invoices(() => [bad("reject"), { ok: true, ignored: true }, good, bad("unknown"), good]);
    const then = scriptedImport<object>(() => [bad("reject", "reject"), good], { idempotent: false });

    const { run, failures } = await move([1, 2, 3, 4, 5], inSequence(first, billed, then));

    expect(run).toMatchObject({ numSuccess: 1, numIgnore: 1, numError: 3 });
    // The first one may be called again: nothing has come after it.
    expect(failures.map(({ key, fault }) => [key, fault])).toEqual([
      ["1", "reject"],
      ["3", "reject"],
      ["4", "retry"],
    ]);
  });

  test("call the first again when the second is down", async () => {
    let attempts = 0;
    const first = invoices();
    const then = scriptedImport<object>(() => {
      if (++attempts === 1) throw retryLater("503");
      return undefined;
    });
    const harness = new Harness({
      exports: { from: arrayExport([1, 2]) },
      imports: { into: inSequence(first, billed, then) },
    });

    expect((await harness.move()).numSuccess).toBe(2);
    expect(first.calls).toHaveLength(2);
  });

  test("have the settings of both, and finish one after the other", async () => {
    const finished: string[] = [];
    const part = (name: string, settings: object) => ({
      ...collectingImport<number>(settings),
      finish: async () => void finished.push(name),
    });
    const into = inSequence(
      part("first", { batchSize: 5, concurrency: 4, writeTimeoutMs: 100 }),
      (number) => number,
      part("then", { batchSize: 3, concurrency: 2, writeTimeoutMs: 200, idempotent: false }),
    );

    await move([1], into);

    expect(into).toMatchObject({ batchSize: 3, concurrency: 2, writeTimeoutMs: 300, idempotent: false });
    expect(finished).toEqual(["first", "then"]);
  });

  test("refuse a first one that is not idempotent, and one that shapes its records", () => {
    const [first, then] = [collectingImport<number>({ idempotent: false }), collectingImport<object>()];

    expect(() => inSequence(first, billed, then)).toThrow("inSequence.first.idempotent: expected true, found false");
    expect(() => inSequence(invoices(), billed, { ...then, map: (each: object) => each } as never)).toThrow(
      "inSequence.then.map",
    );
  });
});

interface Order {
  readonly id: number;
  readonly lines: readonly string[];
}

describe("an import of items", () => {
  const linesOf = ({ lines }: Order) => lines;
  const order = (id: number, ...lines: readonly string[]): Order => ({ id, lines });

  const contents = new WeakMap<object, Map<string, string>>();
  const cases = importCases(
    () => {
      const lines = scriptedImport<string>(({ records }) =>
        records.map((line) => (line === "poison" ? bad("reject") : good)),
      );
      const into = perItem(lines, linesOf);
      contents.set(into, lines.byKey);
      return into;
    },
    {
      record: (nth) => order(nth, `a ${nth}`, `b ${nth}`),
      changed: (nth) => order(nth, `a ${nth}, changed`, `b ${nth}`),
      read: (into) => [...(contents.get(into) ?? [])].sort(),
    },
  );
  for (const { title, run } of cases) test(title, run);

  test("writes them in its batches, under keys of their own, and leaves out records without any", async () => {
    const lines = collectingImport<string>({ batchSize: 2 });

    const { run } = await move([order(1, "a", "b", "c"), order(2), order(3, "d")], perItem(lines, linesOf));

    expect(run).toMatchObject({ numSuccess: 2, numIgnore: 1 });
    expect(lines.calls.map(({ records }) => records)).toEqual([["a", "b"], ["c"], ["d"]]);
    expect(lines.calls.flatMap(({ keys }) => keys).map((key) => key.slice(-2))).toEqual(["/0", "/1", "/2", "/0"]);
  });

  test.each([
    [true, ["good", "retry"], "retry"],
    [true, ["unknown", "retry"], "unknown"],
    [true, ["reject", "unknown"], "reject"],
    [false, ["retry", "retry"], "retry"],
    [false, ["reject", "reject"], "reject"],
    [false, ["good", "retry"], "unknown"],
    [false, ["good", "reject"], "unknown"],
    [false, ["retry", "unknown"], "unknown"],
  ] as const)("fares as its worst item does (idempotent: %s, %o)", async (idempotent, items, fault) => {
    const lines = scriptedImport<string>(
      ({ records }) => records.map((line) => (line === "good" ? good : bad(line as "retry"))),
      { idempotent },
    );

    const { failures } = await move([order(1, "good"), order(2, ...items)], perItem(lines, linesOf));

    expect(failures.map((failure) => [failure.record, failure.fault])).toEqual([[order(2, ...items), fault]]);
  });

  test("finds the item at fault in a batch that is rejected as a whole", async () => {
    const lines = scriptedImport<string>(({ records }) => {
      if (records.includes("poison")) throw reject("422");
      return undefined;
    });

    const { failures } = await move(
      [order(1, "a", "b"), order(2, "c", "poison"), order(3, "d")],
      perItem(lines, linesOf),
    );

    expect(failures.map(({ record }) => record)).toEqual([order(2, "c", "poison")]);
    expect([...lines.written].sort()).toEqual(["a", "b", "c", "d"]);
  });

  test("has found a record if all of its items are found", async () => {
    const lines: Import<string> = {
      idempotent: false,
      async write() {
        throw new Error("ECONNRESET");
      },
      find: async (records) => records.map((line) => (line === "lost" ? undefined : line)),
    };

    const { failures } = await move([order(1, "a", "b"), order(2, "a", "lost")], perItem(lines, linesOf));

    expect(failures.map(({ record }) => record)).toEqual([order(2, "a", "lost")]);
  });
});

describe("an export of mapped pages", () => {
  const numbers = Array.from({ length: 7 }, (_, index) => index);
  const source = (records: readonly number[] = numbers) => arrayExport(records, { pageSize: 3 });
  const double = async (records: readonly number[]) => records.flatMap((each) => [`${each} a`, `${each} b`]);
  const cases = exportCases(() => ({ ...mapPages(source(), double), key: String }), {
    empty: () => ({ ...mapPages(source([]), double), key: String }),
  });
  for (const { title, run } of cases) test(title, run);

  test("keeps how it is read, and not what is said of other records", () => {
    const from: Export<number, { readonly read: number }> = {
      ...source(),
      readTimeoutMs: 5,
      whole: true,
      checkpointVersion: 2,
      key: String,
      version: Number,
    };

    expect({ ...mapPages(from, double), pages: undefined }).toEqual({
      pageSize: 3,
      order: "ordered",
      readTimeoutMs: 5,
      whole: true,
      checkpointVersion: 2,
    });
    expect(() => mapPages({ listen: () => () => undefined }, double)).toThrow(
      "mapPages.from: expected an export with pages",
    );
  });

  test("passes on what is no record, and what is committed", async () => {
    const committed: unknown[] = [];
    const from: Export<number, number> = {
      async *pages() {
        yield { records: [1], checkpoint: 7, total: 1, unreadable: [{ raw: "x", error: "bad" }] };
      },
      committed: (page) => void committed.push(page),
    };
    const harness = new Harness({
      exports: { from: mapPages(from, double) },
      imports: { into: collectingImport<string>() },
    });

    expect(await harness.move()).toMatchObject({ numSuccess: 2, numError: 1 });
    expect(committed).toEqual([{ records: [], unreadable: [], checkpoint: 7, total: 1 }]);
  });
});

describe("an export of children", () => {
  const parents = (last = 5) =>
    arrayExport(Array.from({ length: last }, (_, index) => index), { pageSize: 2 }); // prettier-ignore
  async function* notesOf(parent: number) {
    for (let note = 0; note < parent; note++) yield [`${parent} ${note}`];
  }
  const children = (last?: number) => ({ ...childrenOf(parents(last), notesOf), key: String });
  const cases = exportCases(children, { empty: () => children(0) });
  for (const { title, run } of cases) test(title, run);

  test("is done with a page of parents when all their children are read", async () => {
    const pages: unknown[] = [];
    const from = childrenOf(parents(4), notesOf, { maxGathered: 2 });
    const into = collectingImport<string>();
    const harness = new Harness({
      exports: { from: mapPages(from, (records, { pageSize }) => (pages.push([pageSize, records]), records)) },
      imports: { into },
    });

    await harness.move();

    expect(pages).toEqual([
      [2, ["1 0"]],
      [2, ["2 0", "2 1"]],
      [2, ["3 0", "3 1"]],
      [2, ["3 2"]],
    ]);
  });

  test("asks the signal before each parent", async () => {
    const asked: number[] = [];
    const abort = new AbortController();
    const from = childrenOf(parents(4), async function* (parent) {
      asked.push(parent);
      abort.abort();
      yield [parent];
    });

    const context = { signal: abort.signal, pageSize: 2 } as Parameters<NonNullable<typeof from.pages>>[0];
    for await (const page of from.pages?.(context) ?? []) expect(page).toBe("no page");

    expect(asked).toEqual([0]);
  });
});

describe("rules of which the first match counts", () => {
  test("let each record through exactly one filter", () => {
    const { big, odd, otherwise } = firstMatch({ big: (each: number) => each > 10, odd: (each) => each % 2 === 1 });

    expect([1, 2, 11].map((each) => [big(each), odd(each), otherwise(each)])).toEqual([
      [false, true, false],
      [false, false, true],
      [true, false, false],
    ]);
  });

  test.each([
    [{ otherwise: () => true }, "otherwise"],
    [{ 1: () => true }, "1"],
    [{ big: true }, "firstMatch.big: expected a function, found true"],
  ])("refuse %o", (rules, message) => {
    expect(() => firstMatch(rules as never)).toThrow(message);
  });
});

describe("what composes imports", () => {
  const context = {
    ...{ attempt: 1, page: 1, run: sampleRun(), flow: sampleFlow, log: silentLogger },
    ...{ signal: new AbortController().signal, keys: ["a", "b"], idempotencyKeys: ["i a", "i b"] },
  };

  test("hands its import the keys, idempotency keys and the signal of what each record was made of", async () => {
    const seen: unknown[] = [];
    const into: Import<number> = {
      idempotent: true,
      write: async (_records, { keys, idempotencyKeys, signal }) => void seen.push([keys, idempotencyKeys, signal]),
    };

    await perItem(into, (record: readonly number[]) => record).write([[1, 2], [3]], context);

    expect(seen).toEqual([[["a/0", "a/1", "b/0"], ["i a/0", "i a/1", "i b/0"], context.signal]]);
  });

  test("takes another number of results than records for an unknown outcome", async () => {
    const into: Import<number> = { idempotent: true, write: async () => [good] };
    const writing = perItem(into, (record: readonly number[]) => record).write([[1, 2]], context);

    expect(await Promise.resolve(writing).catch(String)).toContain("returned another number of results");
  });

  test("asks nothing of its import for records that come to nothing", async () => {
    let calls = 0;
    const into: Import<number> = {
      idempotent: false,
      write: async () => {
        calls++;
      },
      find: async () => (calls++, []),
    };
    const items = perItem(into, (record: readonly number[]) => record);
    const looked = withLookup(into, { keyOf: String, find: async () => new Map<string, number>(), merge: Number });

    expect(await items.write([[], []], context)).toMatchObject([{ ignored: true }, { ignored: true }]);
    expect(await items.find?.([[], []], context)).toEqual([undefined, undefined]);
    expect(await looked.write([1, 2], context)).toMatchObject([{ fault: "reject" }, { fault: "reject" }]);
    expect(await looked.find?.([1, 2], context)).toEqual([undefined, undefined]);
    expect(calls).toBe(0);
  });

  test("gives no value for an item that was left out, and stops where its import does", async () => {
    const some: Import<number, number, string> = {
      idempotent: true,
      write: async (records) =>
        records.map((each) => (each === 1 ? { ok: true, ignored: true } : { ok: true, value: "v" })),
    };
    const stopping: Import<number> = { idempotent: true, write: () => Promise.reject(stop("no")) };
    const items = (record: readonly number[]) => record;

    expect(await perItem(some, items).write([[1, 2]], context)).toEqual([{ ok: true, value: [undefined, "v"] }]);
    expect(await Promise.resolve(perItem(stopping, items).write([[1]], context)).catch(outcomeOf)).toEqual({
      kind: "stop",
    });
  });

  test("has the time of both in sequence, and the settings that both have", () => {
    const [plain, slow] = [collectingImport<number>(), collectingImport<number>({ writeTimeoutMs: 7 })];
    const together = { ...plain, sameKey: "together" as const };
    const of = (first: Import<number>, then: Import<number>) => inSequence(first, (each: number) => each, then);

    expect(of(plain, plain).writeTimeoutMs).toBeUndefined();
    expect([of(slow, slow).writeTimeoutMs, of(plain, slow).writeTimeoutMs]).toEqual([14, 300_007]);
    expect([of(together, together).sameKey, of(plain, together).sameKey]).toEqual(["together", undefined]);
  });

  test("migrates checkpoints as the export that it is made of", () => {
    const from: Export<number> = { ...pagesExport([[1]]), migrate: (checkpoint) => [checkpoint, "new"] as never };

    expect(mapPages(from, (records) => records).migrate?.("old", 1)).toEqual(["old", "new"]);
    expect("migrate" in mapPages(pagesExport([[1]]), (records) => records)).toBe(false);
  });

  test("ends a reading of children between two parents once its signal has aborted", async () => {
    const abort = new AbortController();
    const parents = pagesExport([[1, 2]]);
    const read = async function* (parent: number) {
      yield [parent * 10];
      abort.abort();
    };
    const pages: unknown[] = [];

    for await (const page of childrenOf(parents, read).pages?.({ ...context, signal: abort.signal } as never) ?? [])
      pages.push(page);

    expect(pages).toEqual([]);
  });
});
