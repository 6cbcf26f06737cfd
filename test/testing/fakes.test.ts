import { describe, expect, test } from "vitest";
import { type ImportContext, type Page, retryLater } from "../../src/index.ts";
import { sampleFlow, sampleRun } from "../../src/testing/connector-harness.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";

type Read = Readonly<{ read: number }>;
type Pages<T> = ReturnType<typeof arrayExport<T>>;

async function readAll<T>(from: Pages<T>, checkpoint?: Read, signal = new AbortController().signal) {
  const pages: Page<T>[] = [];
  const context = { checkpoint, run: sampleRun(), flow: sampleFlow, pageSize: 100, signal, log: silentLogger };
  for await (const page of from.pages?.(context) ?? []) pages.push(page as Page<T>);
  return pages;
}

function contextOf(keys: readonly string[], attempt = 1): ImportContext {
  const { signal } = new AbortController();
  return {
    keys,
    idempotencyKeys: keys,
    page: 1,
    attempt,
    run: sampleRun("run"),
    flow: sampleFlow,
    signal,
    log: silentLogger,
  };
}

describe("arrayExport", () => {
  test("reads its records page by page, each with how many were read and how many there are", async () => {
    const pages = await readAll(arrayExport(["a", "b", "c"], { pageSize: 2 }));

    expect(pages).toEqual([
      { records: ["a", "b"], checkpoint: { read: 2 }, total: 3 },
      { records: ["c"], checkpoint: { read: 3 }, total: 3 },
    ]);
  });

  test("resumes after its checkpoint, and finds what was added since", async () => {
    const records = ["a", "b", "c"];
    const from = arrayExport(records, { pageSize: 2 });
    records.push("d");

    const pages = await readAll(from, { read: 2 });

    expect(pages).toEqual([{ records: ["c", "d"], checkpoint: { read: 4 }, total: 4 }]);
  });

  test("ends when it is aborted", async () => {
    expect(await readAll(arrayExport(["a"]), undefined, AbortSignal.abort())).toEqual([]);
  });

  test("is ordered and has no key, unless options say otherwise", () => {
    const plain = arrayExport([1]);
    const keyed = arrayExport([1], { order: "unordered", key: String, pageSize: 7 });

    expect([plain.order, "key" in plain, plain.pageSize]).toEqual(["ordered", false, 100]);
    expect([keyed.order, keyed.key?.(1), keyed.pageSize]).toEqual(["unordered", "1", 7]);
  });
});

describe("collectingImport", () => {
  test("keeps every record it is given, the newest under each key, and every call", async () => {
    const into = collectingImport<string>();

    await into.write(["a", "b"], contextOf(["1", "2"]));
    await into.write(["b again"], contextOf(["2"], 2));

    expect(into.written).toEqual(["a", "b", "b again"]);
    expect([...into.byKey]).toEqual([
      ["1", "a"],
      ["2", "b again"],
    ]);
    expect(into.calls).toEqual([
      { records: ["a", "b"], keys: ["1", "2"], attempt: 1, runId: "run" },
      { records: ["b again"], keys: ["2"], attempt: 2, runId: "run" },
    ]);
  });

  test("is idempotent and has the settings it is given", () => {
    const into = collectingImport<number>({ batchSize: 3, filter: (n) => n > 0 });

    expect([into.idempotent, into.batchSize, into.filter?.(0)]).toEqual([true, 3, false]);
    expect(collectingImport({ idempotent: false }).idempotent).toBe(false);
  });
});

describe("scriptedImport", () => {
  test("returns what its script says, and keeps only what was written", async () => {
    const refused = { ok: false, fault: "reject", error: new Error("no") } as const;
    const into = scriptedImport<string>(({ records }) =>
      records.map((record) => (record === "bad" ? refused : { ok: true })),
    );

    const results = await into.write(["good", "bad"], contextOf(["1", "2"]));

    expect(results).toEqual([{ ok: true }, refused]);
    expect(into.written).toEqual(["good"]);
  });

  test("throws what its script throws, and keeps nothing but the call", async () => {
    const into = scriptedImport<string>(({ attempt }) => {
      if (attempt === 1) throw retryLater("not now");
      return undefined;
    });

    const first = into.write(["a"], contextOf(["1"]));
    await expect(first).rejects.toThrow("not now");
    await into.write(["a"], contextOf(["1"], 2));

    expect(into.written).toEqual(["a"]);
    expect(into.calls.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test("hands its script the context, so that it can wait for the signal", async () => {
    const abort = new AbortController();
    const into = scriptedImport<string>(
      (_, { signal }) =>
        new Promise((__, fail) => {
          signal.addEventListener("abort", () => fail(signal.reason as Error));
        }),
    );

    const writing = into.write(["a"], { ...contextOf(["1"]), signal: abort.signal });
    abort.abort(new Error("canceled"));

    await expect(writing).rejects.toThrow("canceled");
    expect(into.written).toEqual([]);
  });
});
