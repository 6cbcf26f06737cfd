import { describe, expect, test } from "vitest";
import { silentLogger } from "../../src/model/logger.ts";
import { type Export, type Json, type RunOptions, reject, retryLater } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, aborted, hour, minute, pagesExport, upTo, second } from "../support/harness.ts";

/** Pages of one number each, the checkpoint being the number; says at which checkpoints it was opened. */
function steps(last: number, settings: Partial<Export<number, { at: number }>> = {}) {
  const opened: (number | undefined)[] = [];
  const from: Export<number, { at: number }> = {
    order: "ordered",
    async *pages({ checkpoint }) {
      opened.push(checkpoint?.at);
      for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
    },
    ...settings,
  };
  return { from, opened };
}

const unread = () => {
  throw new Error("no");
};

const failing = (number: number) =>
  scriptedImport<number>(({ records }) => (records.includes(number) ? [] : undefined));

describe("checkpoints", () => {
  test("of an ordered export become the flow's page by page, and the next run goes on there", async () => {
    const { from, opened } = steps(5);
    const harness = new Harness({ exports: { from }, imports: { sink: failing(4) } });

    const { _flowId } = await harness.move();
    const between = await harness.scheduler.getCheckpoint(_flowId);
    await harness.run(_flowId);

    expect(between).toEqual({ at: 3 });
    expect(opened).toEqual([undefined, 3]);
  });

  test.each(["unordered", undefined] as const)(
    "of an export that is %s become the flow's when the run completes",
    async (order) => {
      const { order: _, ...settings } = steps(3).from;
      const gate = new Gate();
      const from = { ...settings, ...(order === undefined ? {} : { order }) };
      const sink = scriptedImport<number>(({ records }) =>
        records[0] === 3 ? gate.opened.then(() => undefined) : undefined,
      );
      const harness = new Harness({ exports: { from }, imports: { sink } });
      await harness.scheduler.start();
      const run = await harness.scheduler.run((await harness.flow())._id);

      await harness.clock.settle();
      const meanwhile = await harness.scheduler.getCheckpoint(run._flowId);
      gate.open();
      await harness.end(run);

      expect(meanwhile).toBeUndefined();
      expect(await harness.scheduler.getCheckpoint(run._flowId)).toEqual({ at: 3 });
    },
  );

  test("of an unordered export do not move the checkpoint when the run fails: its next run goes on at the position", async () => {
    const { from, opened } = steps(5, { order: "unordered" });
    const harness = new Harness({ exports: { from }, imports: { sink: failing(4) } });

    const { _flowId } = await harness.move();
    const checkpoint = await harness.scheduler.getCheckpoint(_flowId);
    await harness.run(_flowId);

    expect(checkpoint).toBeUndefined();
    expect(opened).toEqual([undefined, 3]);
  });

  test("a page without one keeps the last: the pages since are read again by the process that resumes", async () => {
    const opened: unknown[] = [];
    const from: Export<number> = {
      order: "ordered",
      async *pages({ checkpoint }) {
        opened.push(checkpoint);
        yield { records: [1], checkpoint: "one" };
        yield [2];
        throw new Error("broken");
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    const run = await harness.move();
    await harness.run(run._flowId);

    expect(run).toMatchObject({ numPagesProcessed: 2, numSuccess: 2 });
    expect(opened).toEqual([undefined, "one"]);
  });

  test("a page without records moves the checkpoint", async () => {
    const from: Export<number> = {
      order: "ordered",
      async *pages() {
        yield { records: [], checkpoint: 7 };
      },
    };
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numPagesProcessed: 1 });
    expect(sink.calls).toEqual([]);
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toBe(7);
  });

  test.each<[string, unknown]>([
    ["a Date", { since: new Date(0) }],
    ["a Map", new Map()],
    ["NaN", { at: Number.NaN }],
    ["a function", () => 1],
    ["a big integer", 1n],
  ])("%s is no JSON: the run fails as contract_violation before the page is written", async (_, checkpoint) => {
    const from: Export<number> = {
      async *pages() {
        yield { records: [1], checkpoint: checkpoint as Json };
      },
    };
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });

    expect((await harness.move()).error).toMatchObject({
      code: "contract_violation",
      message: expect.stringContaining("page.checkpoint") as unknown,
    });
    expect(sink.calls).toEqual([]);
  });

  test.each<[what: string, returned: unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["a number", 5],
    ["an object that cannot be read", new Proxy({}, { get: (_, name) => (name === "then" ? undefined : unread()) })],
  ])("an iterator that returns %s breaks its contract", async (_, returned) => {
    const pages = () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(returned) }) });
    const from = { pages } as unknown as Export<number>;
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    expect((await harness.move()).error?.code).toBe("contract_violation");
  });

  test.each<[string, unknown]>([
    ["a number", 1],
    ["nothing", undefined],
    ["records that are no array", { records: "abc" }],
    ["a total that is no number", { records: [], total: "3" }],
    ["an array that says it is longer than any memory", Object.assign([], { length: 4_000_000_000 })],
    ["such an array as records", { records: Object.assign([], { length: 4_000_000_000 }) }],
  ])("%s is no page: the run fails as contract_violation", async (_, page) => {
    const from: Export<number> = {
      async *pages() {
        yield page as number[];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    expect((await harness.move()).error?.code).toBe("contract_violation");
  });

  test.each<[what: string, iterator: unknown]>([
    ["null", null],
    ["an object without next", {}],
    ["an object whose next is no function", { next: 5 }],
  ])("pages whose iterator is %s breaks the contract", async (_, iterator) => {
    const from = { pages: () => ({ [Symbol.asyncIterator]: () => iterator }) } as unknown as Export<number>;
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    expect((await harness.move()).error).toMatchObject({
      code: "contract_violation",
      message: expect.stringContaining("without next()") as unknown,
    });
  });

  test("pages that returns no async iterable breaks the contract", async () => {
    const from = { pages: () => [[1]] } as unknown as Export<number>;
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    expect((await harness.move()).error).toMatchObject({
      code: "contract_violation",
      message: expect.stringContaining("pages did not return an async iterable, as async *pages() does, but an array of 1") as string, // prettier-ignore
    });
  });

  test.each([undefined, null, "done", 1])(
    "an iterator of pages whose result is %s breaks the contract",
    async (result) => {
      const iterator = { next: async () => result };
      const from = { pages: () => ({ [Symbol.asyncIterator]: () => iterator }) } as unknown as Export<number>;
      const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

      expect((await harness.move()).error).toMatchObject({
        code: "contract_violation",
        message: expect.stringContaining("iterator of pages") as string,
      });
    },
  );

  test("an iterator of pages made by hand may return its results at once", async () => {
    const results = [{ value: [1, 2] }, { done: true, value: undefined }];
    const iterator = { next: () => results.shift() };
    const from = { pages: () => ({ [Symbol.asyncIterator]: () => iterator }) } as unknown as Export<number>;
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });

    expect((await harness.move()).status).toBe("completed");
    expect(sink.written).toEqual([1, 2]);
  });

  test("an export may use its array and its checkpoint object again after each page", async () => {
    const records: number[] = [];
    const checkpoint = { at: 0 };
    const from: Export<number, { at: number }> = {
      order: "ordered",
      async *pages() {
        for (; checkpoint.at < 3;) {
          checkpoint.at++;
          records.splice(0, Infinity, checkpoint.at, checkpoint.at * 10);
          yield { records, checkpoint };
        }
      },
    };
    const seen: unknown[] = [];
    const sink = scriptedImport<number>(async ({ records: batch }, { flow }) => {
      await Promise.resolve();
      seen.push([...batch], (await harness.scheduler.getCheckpoint(flow._id)) ?? null);
      return undefined;
    });
    const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch: 3 } });

    await harness.move();

    expect(seen).toEqual([[1, 10], null, [2, 20], { at: 1 }, [3, 30], { at: 2 }]);
  });
});

describe("versions of a checkpoint", () => {
  async function movedOn(later: Partial<Export<number>>) {
    const first = steps(3, { checkpointVersion: 1 });
    const opened: unknown[] = [];
    const from: Export<number> = {
      ...(first.from as unknown as Export<number>),
      ...later,
      async *pages({ checkpoint }) {
        opened.push(checkpoint);
        yield { records: [9], checkpoint: { page: 9 } };
      },
    };
    const harness = new Harness({ exports: { from: first.from }, imports: { sink: collectingImport<number>() } });
    const { _flowId } = await harness.move();
    await harness.scheduler.stop();
    const { storage, clock } = harness;
    const next = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() }, storage, clock });
    await next.scheduler.start();
    return { run: await next.run(_flowId), opened, checkpoint: await next.scheduler.getCheckpoint(_flowId) };
  }

  test("an older one is migrated before pages sees it", async () => {
    const { run, opened, checkpoint } = await movedOn({
      checkpointVersion: 2,
      migrate: (old, fromVersion) => ({ page: (old as { at: number }).at, fromVersion }),
    });

    expect(run.status).toBe("completed");
    expect(opened).toEqual([{ page: 3, fromVersion: 1 }]);
    expect(checkpoint).toEqual({ page: 9 });
  });

  test.each<[string, Partial<Export<number>>]>([
    ["without migrate", { checkpointVersion: 2 }],
    ["with a migrate that throws", { checkpointVersion: 2, migrate: () => expect.unreachable("I know no version 1") }],
  ])("%s another version ends the run, and the checkpoint stays", async (_, later) => {
    const { run, opened, checkpoint } = await movedOn(later);

    expect(run).toMatchObject({ status: "failed", error: { code: "contract_violation" } });
    expect(opened).toEqual([]);
    expect(checkpoint).toEqual({ at: 3 });
  });
});

describe("retryLater from pages", () => {
  test("resumes from the last committed checkpoint after the delay", async () => {
    const opened: unknown[] = [];
    const from: Export<number, number> = {
      order: "ordered",
      async *pages({ checkpoint = 0 }) {
        opened.push([checkpoint, harness.clock.now()]);
        if (checkpoint < 2) {
          yield { records: [checkpoint + 1], checkpoint: checkpoint + 1 };
          throw retryLater("too many requests", { afterMs: 90_000 });
        }
      },
    };
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const begin = harness.clock.now();

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 2 });
    expect(opened).toEqual([
      [0, begin],
      [1, begin + 90_000],
      [2, begin + 180_000],
    ]);
    expect(sink.written).toEqual([1, 2]);
    expect(harness.events.of("run:retrying")).toMatchObject([
      { attempt: 1, delayMs: 90_000, message: "too many requests" },
      { attempt: 1, delayMs: 90_000 },
    ]);
    expect(harness.events.of("run:retrying").some((event) => "_importId" in event)).toBe(false);
  });

  test("waits a day at most, and reports that it was asked for more", async () => {
    const lines: (readonly unknown[])[] = [];
    const logger = { ...silentLogger, warn: (...line: unknown[]) => void lines.push(line) };
    const asked = Date.UTC(2030, 0, 1);
    const from: Export<number, number> = {
      order: "ordered",
      async *pages() {
        yield { records: [1], checkpoint: 1 };
        throw retryLater("quota", { afterMs: asked });
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { logger },
    });
    await harness.scheduler.start();
    const flow = await harness.flow();

    await harness.scheduler.run(flow._id);
    await harness.clock.settle();

    expect(await harness.runs()).toMatchObject([
      { status: "queued", notBefore: new Date(harness.clock.now() + 86_400_000).toISOString() },
    ]);
    const excesses = lines.filter(([, message]) => String(message).startsWith("afterMs is more than a day away"));
    expect(excesses).toEqual([[expect.objectContaining({ afterMs: asked }), expect.any(String)]]);
  });

  test("without progress fails the run after maxAttempts reads", async () => {
    let reads = 0;
    const from: Export<number> = {
      async *pages() {
        reads++;
        throw retryLater(new Error("down for maintenance"));
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { maxAttempts: 4 },
    });

    const run = await harness.move();

    expect(reads).toBe(4);
    expect(run.error).toMatchObject({
      code: "export_failed",
      message: expect.stringContaining("down for maintenance") as unknown,
    });
  });

  test("after pages without checkpoints fails the run and says why: they would be sent again", async () => {
    let reads = 0;
    const from: Export<number> = {
      async *pages() {
        reads++;
        yield [1];
        throw retryLater("again");
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { maxAttempts: 3 },
    });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numSuccess: 1, error: { code: "export_failed" } });
    expect(run.error?.message).toContain("no checkpoint to go on from");
    expect(reads).toBe(1);
  });

  test("a checkpoint that stays the same is no progress either", async () => {
    let reads = 0;
    const from: Export<number> = {
      async *pages() {
        if (++reads > 50) return;
        yield { records: [], checkpoint: { at: 1 } };
        throw retryLater("again");
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { maxAttempts: 3 },
    });

    expect((await harness.move()).error?.code).toBe("export_failed");
    expect(reads).toBeLessThanOrEqual(4);
  });

  test("thrown before the first page, by pages itself, is the same", async () => {
    let calls = 0;
    const from: Export<number> = {
      pages() {
        if (++calls < 3) throw retryLater("not yet");
        return pagesExport([[1]]).pages?.({} as never) as AsyncIterable<number[]>;
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 1 });
  });

  test("any other error fails the run and keeps what was committed", async () => {
    const from: Export<number> = {
      order: "ordered",
      async *pages() {
        yield { records: [1], checkpoint: 1 };
        throw new Error("no such table");
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numSuccess: 1, error: { code: "export_failed" } });
    expect(run.error?.message).toContain("no such table");
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toBe(1);
  });
});

describe("keys", () => {
  test("without the export's own are made of run, page and place, and differ everywhere", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: pagesExport([[1, 2], [3]]) }, imports: { sink } });

    const first = await harness.move();
    await harness.run(first._flowId);

    expect(sink.calls[0]?.keys).toEqual([`${first._id}/1/0`, `${first._id}/1/1`]);
    expect(sink.calls[1]?.keys).toEqual([`${first._id}/2/0`]);
    expect(sink.byKey.size).toBe(6);
  });

  test("a page read after retryLater has the key of its place in the whole reading", async () => {
    let reads = 0;
    const from: Export<number, number> = {
      order: "ordered",
      async *pages({ checkpoint = 0 }) {
        if (checkpoint === 0) yield { records: [1], checkpoint: 1 };
        if (++reads < 3) throw retryLater("again");
        yield { records: [2], checkpoint: 2 };
        yield { records: [3], checkpoint: 3 };
      },
    };
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const { _id } = await harness.move();

    expect(sink.calls.map(({ keys: [key], records: [record] }) => [record, key])).toEqual([
      [1, `${_id}/1/0`],
      [2, `${_id}/2/0`],
      [3, `${_id}/3/0`],
    ]);
  });

  test.each<[string, unknown]>([
    ["throws", () => expect.unreachable("no id")],
    ["returns a number", () => 7],
    ["returns an empty string", () => ""],
    ["returns nothing", () => undefined],
  ])("a key that %s makes its record a failure, and the page goes on", async (_, key) => {
    const sink = collectingImport<number>();
    const keyOf = (record: number) => (record === 1 ? (key as () => string)() : `key ${record}`);
    const from = { ...pagesExport([[1, 2]]), key: keyOf };
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 1, numError: 1 });
    expect(sink.written).toEqual([2]);
    expect(await harness.failures()).toMatchObject([{ record: 1, fault: "reject", key: `${run._id}/1/0` }]);
  });
});

describe("the error budget", () => {
  test("every record of a page asking for a retry pauses the import, fails the run and stores nothing", async () => {
    const { from, opened } = steps(3);
    const sink = scriptedImport<number>(() => {
      throw retryLater(new Error("503"));
    });
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move();
    const skipping = await harness.run(run._flowId);

    expect(skipping).toMatchObject({ status: "completed", imports: { sink: { status: "skipped" } } });
    expect(run).toMatchObject({
      status: "failed",
      numPagesProcessed: 0,
      numError: 0,
      error: { code: "import_unavailable" },
    });
    expect(run.error?.message).toContain("503");
    expect(await harness.failures()).toEqual([]);
    expect(opened).toEqual([undefined]);
  });

  test("counts an import whose destination is down from the start, also where its filter left whole pages out", async () => {
    const sink = scriptedImport<number>(
      () => {
        throw retryLater("down");
      },
      { filter: (number) => number > 2 },
    );
    const harness = new Harness({ exports: { from: steps(4).from }, imports: { sink } });

    expect(await harness.move()).toMatchObject({
      status: "failed",
      numIgnore: 2,
      numPagesProcessed: 2,
      error: { code: "import_unavailable" },
    });
    expect(await harness.failures()).toEqual([]);
  });

  test("an idempotent import whose outcomes stay unknown is down, too", async () => {
    const sink = scriptedImport<number>(() => Promise.reject(new Error("connection refused")));
    const harness = new Harness({ exports: { from: steps(2).from }, imports: { sink } });

    expect((await harness.move()).error?.code).toBe("import_unavailable");
  });

  test("one record of the first page that is taken means that the destination is up", async () => {
    const sink = scriptedImport<number>(({ records }) =>
      records.map((number) =>
        number === 2 ? { ok: true } : { ok: false, fault: "retry", error: new Error("locked") },
      ),
    );
    const harness = new Harness({ exports: { from: pagesExport([[1, 2, 3]]) }, imports: { sink } });

    expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 1, numError: 2 });
  });

  test("every record of a later page asking for a retry pauses the import, and what was committed stays", async () => {
    const sink = scriptedImport<number>(({ records }) => {
      if (records[0] !== 1) throw retryLater("busy");
      return undefined;
    });
    const harness = new Harness({ exports: { from: steps(3).from }, imports: { sink } });

    expect(await harness.move()).toMatchObject({
      status: "failed",
      numSuccess: 1,
      numError: 0,
      error: { code: "import_unavailable" },
      imports: { sink: { status: "paused" } },
    });
    expect(await harness.failures()).toEqual([]);
  });

  test("a poison record alone on the first page is stored and never blocks the flow", async () => {
    const sink = scriptedImport<number>(({ records }) => {
      if (records[0] === 1) throw reject("poison");
      return undefined;
    });
    const harness = new Harness({ exports: { from: steps(2).from }, imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 1, numError: 1 });
    expect(await harness.failures()).toMatchObject([{ record: 1, fault: "reject" }]);
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toEqual({ at: 2 });
  });

  test("more than maxFailures pauses the import and fails the run: the page that goes beyond is committed", async () => {
    const sink = scriptedImport<number>(({ records }) =>
      records.map(() => ({ ok: false, fault: "reject", error: new Error("no") })),
    );
    const from = arrayExport(upTo(9), { pageSize: 2 });
    const harness = new Harness({ exports: { from }, imports: { sink }, options: { maxFailures: 5 } });

    const run = await harness.move();

    expect(run).toMatchObject({
      status: "failed",
      numPagesProcessed: 3,
      numError: 6,
      error: { code: "too_many_failures" },
    });
    expect(await harness.failures()).toHaveLength(6);
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toEqual({ read: 6 });
    expect(await harness.scheduler.deliveries(run._flowId)).toMatchObject([
      { paused: { until: "person", maxOpen: 5 } },
    ]);
  });

  test("exactly maxFailures is allowed, and each import has its own budget", async () => {
    const rejecting = () =>
      scriptedImport<number>(({ records }) =>
        records.map(() => ({ ok: false, fault: "reject", error: new Error("no") })),
      );
    const harness = new Harness({
      exports: { from: arrayExport(upTo(4), { pageSize: 2 }) },
      imports: { one: rejecting(), other: rejecting() },
      options: { maxFailures: 4 },
    });

    expect(await harness.move()).toMatchObject({ status: "completed", numError: 8 });
  });

  test("a page whose every outcome is unknown is stored at an import that is not idempotent, and pauses it", async () => {
    const sink = scriptedImport<number>(() => Promise.reject(new Error("socket hang up")), { idempotent: false });
    const from = arrayExport(upTo(9), { pageSize: 3 });
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numError: 3, error: { code: "import_unavailable" } });
    expect((await harness.failures()).map(({ record }) => record)).toEqual(upTo(3));
    await harness.clock.advance(30 * second);
    expect(sink.calls.map(({ records }) => records)).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });
});

describe("a sample run", () => {
  const sample: RunOptions = { limit: 5 };

  test("takes no more records than its limit, and tells the export", async () => {
    const limits: (number | undefined)[] = [];
    const from = arrayExport(upTo(20), { pageSize: 3 });
    const exports = {
      from: {
        ...from,
        pages(context: Parameters<NonNullable<typeof from.pages>>[0]) {
          limits.push(context.limit);
          return from.pages?.(context) ?? expect.unreachable();
        },
      },
    };
    const sink = collectingImport<number>();
    const harness = new Harness({ exports, imports: { sink, other: collectingImport<number>() } });

    const run = await harness.move(sample);

    expect(run).toMatchObject({ status: "completed", limit: 5, numSuccess: 10 });
    expect(sink.calls.map(({ records }) => records)).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    expect(limits).toEqual([5]);
  });

  test.each(["ordered", "unordered"] as const)(
    "of an %s export moves no checkpoint, even when it reads everything",
    async (order) => {
      const sink = collectingImport<number>();
      const harness = new Harness({
        exports: { from: arrayExport(upTo(3), { pageSize: 1, order }) },
        imports: { sink },
      });

      const run = await harness.move(sample);

      expect(run).toMatchObject({ status: "completed", numSuccess: 3 });
      expect(await harness.scheduler.getCheckpoint(run._flowId)).toBeUndefined();
    },
  );

  test("takes no more when the flow got another import while it waited", async () => {
    const [before, after] = [collectingImport<number>(), collectingImport<number>()];
    const harness = new Harness({
      exports: { from: arrayExport(upTo(9), { pageSize: 2 }) },
      imports: { before, after },
    });
    const flow = await harness.flow({ _importId: "before" });
    const queued = await harness.scheduler.run(flow._id, { limit: 3 });
    await harness.registry.patch(flow._id, { _importId: "after" });

    await harness.scheduler.start();
    await harness.clock.settle();

    expect(after.written).toEqual([1, 2, 3]);
    expect((await harness.scheduler.getRun(queued._id)).imports).toMatchObject({
      before: { numSuccess: 0 },
      after: { numSuccess: 3 },
    });
  });

  test("starts at the flow's checkpoint and leaves it there", async () => {
    const { from, opened } = steps(9);
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    await harness.scheduler.setCheckpoint(flow._id, { at: 4 });

    await harness.run(flow._id, { limit: 2 });

    expect(opened).toEqual([4]);
    expect(await harness.scheduler.getCheckpoint(flow._id)).toEqual({ at: 4 });
  });

  test("of an export that only listens leaves its inbox as it is", async () => {
    const from: Export<number> = { listen: () => () => undefined };
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const flow = await harness.flow();
    await harness.scheduler.run(flow._id, { limit: 1 });
    await harness.scheduler.accept("from", [1, 2]);

    await harness.scheduler.start();
    await harness.clock.settle();

    expect(sink.written).toEqual([1, 1, 2]);
  });

  test.each([0, -1, 1.5, Number.NaN])("refuses %d as its limit", async (limit) => {
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink: collectingImport<number>() } });
    const flow = await harness.flow();

    await expect(harness.scheduler.run(flow._id, { limit })).rejects.toMatchObject({
      code: "invalid_request",
      field: "limit",
    });
  });
});

describe("cancel", () => {
  async function running(harness: Harness) {
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    return run;
  }

  test("hands an abort to a write that hangs, and the run ends as canceled with what it committed", async () => {
    const sink = scriptedImport<number>(async ({ records }, { signal }) => {
      if (records[0] !== 2) return;
      await aborted(signal);
      throw new Error("aborted");
    });
    const harness = new Harness({ exports: { from: steps(3).from }, imports: { sink } });
    const run = await running(harness);

    const canceling = await harness.scheduler.cancel(run._id);
    const ended = await harness.end(run);

    expect(canceling.status).toBe("canceling");
    expect(ended).toMatchObject({ status: "canceled", numSuccess: 1, numPagesProcessed: 1 });
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toEqual({ at: 1 });
    expect(await harness.failures()).toEqual([]);
    expect(sink.written).toEqual([1]);
  });

  test("keeps the flow's place until the hanging code has really ended", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink } });
    const run = await running(harness);
    const next = await harness.scheduler.run(run._flowId);

    await harness.scheduler.cancel(run._id);
    await harness.clock.advance(minute);
    const meanwhile = [await harness.scheduler.getRun(run._id), await harness.scheduler.getRun(next._id)];
    gate.open();

    expect(meanwhile.map(({ status }) => status)).toEqual(["canceling", "queued"]);
    expect((await harness.end(run)).status).toBe("canceled");
    expect((await harness.end(next)).status).toBe("completed");
  });

  test("ends a wait between two attempts at once", async () => {
    const sink = scriptedImport<number>(() => {
      throw retryLater("busy", { afterMs: hour });
    });
    const options = { maxWaitMs: 2 * hour };
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink }, options });
    const run = await running(harness);
    const before = harness.clock.now();

    await harness.scheduler.cancel(run._id);
    await harness.clock.settle();

    expect(await harness.scheduler.getRun(run._id)).toMatchObject({ status: "canceled", numError: 0 });
    expect(harness.clock.now()).toBe(before);
    expect(sink.calls).toHaveLength(1);
  });

  test("ends the wait after the export's retryLater at once", async () => {
    const from: Export<number> = {
      async *pages() {
        throw retryLater("later", { afterMs: hour });
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    const run = await running(harness);

    await harness.scheduler.cancel(run._id);
    await harness.clock.settle();

    expect((await harness.scheduler.getRun(run._id)).status).toBe("canceled");
  });

  test("aborts the export's reading, and what it throws then is no failure of the run", async () => {
    const from: Export<number> = {
      async *pages({ signal }) {
        await aborted(signal);
        throw new Error("AbortError");
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    const run = await running(harness);

    await harness.scheduler.cancel(run._id);

    expect(await harness.end(run)).toMatchObject({ status: "canceled" });
    expect((await harness.scheduler.getRun(run._id)).error).toBeUndefined();
  });

  test("a waiting run is canceled at once and never starts", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink } });
    const run = await running(harness);
    const waiting = await harness.scheduler.run(run._flowId);

    const canceled = await harness.scheduler.cancel(waiting._id);
    gate.open();
    await harness.end(run);

    expect(canceled.status).toBe("canceled");
    expect(canceled.endedAt).toBeDefined();
    expect(harness.events.of("run:started").map((event) => event.run._id)).toEqual([run._id]);
    expect(harness.events.of("run:canceled")).toMatchObject([{ run: { _id: waiting._id } }]);
  });

  test("a run that waits before start is canceled without one", async () => {
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink: collectingImport<number>() } });
    const run = await harness.scheduler.run((await harness.flow())._id);

    await harness.scheduler.cancel(run._id);
    await harness.scheduler.start();
    await harness.clock.advance(minute);

    expect((await harness.scheduler.getRun(run._id)).status).toBe("canceled");
    expect(harness.events.of("run:started")).toEqual([]);
  });

  test("one that has ended stays as it is, and nothing is emitted again", async () => {
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink: collectingImport<number>() } });
    const run = await harness.move();

    expect(await harness.scheduler.cancel(run._id)).toEqual(run);
    expect(harness.events.of("run:canceled")).toEqual([]);
  });

  test("an unknown run is not found", async () => {
    await expect(new Harness().scheduler.cancel("none")).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("an abort in the middle of a page", () => {
  // Batches of one record, the second of which hangs until it is aborted.
  function hanging(idempotent: boolean, answer: () => never | undefined) {
    return scriptedImport<number>(
      async ({ records }, { signal }) => {
        if (records[0] !== 2 || signal.aborted) return;
        await aborted(signal);
        answer();
      },
      { idempotent, batchSize: 1 },
    );
  }
  const unsure = (): never => {
    throw new Error("aborted");
  };

  async function abortedBy(
    how: "cancel" | "stop",
    sink: ReturnType<typeof hanging>,
    other = collectingImport<number>(),
  ) {
    const exports = { from: arrayExport([1, 2, 3, 4], { pageSize: 4 }) };
    const harness = new Harness({ exports, imports: { sink, other }, options: { graceMs: 0, maxAttempts: 1 } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    if (how === "cancel") await harness.scheduler.cancel(run._id);
    else {
      const stopped = harness.scheduler.stop();
      await harness.clock.advance(0);
      await stopped;
    }
    await harness.clock.settle();
    return { harness, run: await harness.scheduler.getRun(run._id) };
  }

  test.each(["cancel", "stop"] as const)(
    "by %s commits what a non-idempotent import got, and stores what it did not",
    async (how) => {
      const sink = hanging(false, unsure);

      const { harness, run } = await abortedBy(how, sink);

      expect(run).toMatchObject({ status: how === "cancel" ? "canceled" : "queued", numPagesProcessed: 1 });
      expect(await harness.failures()).toMatchObject([
        { _importId: "sink", record: 2, fault: "unknown", attempts: 1 },
        { _importId: "sink", record: 3, fault: "retry", attempts: 0 },
        { _importId: "sink", record: 4, fault: "retry", attempts: 0 },
      ]);
      if (how === "stop") await harness.scheduler.start();
      await harness.run(run._flowId);
      expect(sink.calls.map(({ records }) => records)).toEqual([[1], [2]]);
    },
  );

  test.each(["cancel", "stop"] as const)(
    "by %s leaves the page to the next run if all imports are idempotent, and stores nothing",
    async (how) => {
      const sink = hanging(true, unsure);

      const { harness, run } = await abortedBy(how, sink);

      expect(run).toMatchObject({ numPagesProcessed: 0, numError: 0 });
      expect(await harness.failures()).toEqual([]);
      if (how === "cancel") await harness.scheduler.run(run._flowId);
      else await harness.scheduler.start();
      await harness.clock.settle();
      expect(sink.calls.map(({ records }) => records)).toEqual([[1], [2], [1], [2]]);
    },
  );

  test("on the last attempt of an idempotent import stores nothing: the record is sent again by the process that resumes", async () => {
    let hangs = true;
    const sink = scriptedImport<number>(async (_, { signal }) => {
      if (!hangs) return;
      await aborted(signal);
      throw new Error("aborted");
    });
    const options = { graceMs: 0, maxAttempts: 1 };
    const harness = new Harness({ exports: { from: steps(1).from }, imports: { sink }, options });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    const stopped = harness.scheduler.stop();
    await harness.clock.advance(0);
    await stopped;
    const between = await harness.scheduler.getRun(run._id);
    hangs = false;

    await harness.scheduler.start();

    expect(between).toMatchObject({ status: "queued", numPagesProcessed: 0, numError: 0 });
    expect(await harness.end(run)).toMatchObject({ status: "completed", numSuccess: 1, numError: 0 });
    expect(await harness.failures()).toEqual([]);
  });

  test("a page that is settled all the same is committed", async () => {
    const sink = scriptedImport<number>(async (_, { signal }) => {
      await aborted(signal);
      return undefined;
    });

    const { run } = await abortedBy("cancel", sink);

    expect(run).toMatchObject({ status: "canceled", numPagesProcessed: 1, numSuccess: 8 });
  });

  test("an idempotent import beside one that is not goes on where it was, and the other gets nothing twice", async () => {
    const sink = hanging(true, unsure);
    const other = collectingImport<number>({ idempotent: false });

    const { harness, run } = await abortedBy("stop", sink, other);

    expect(run).toMatchObject({ status: "queued", imports: { other: { numSuccess: 4 }, sink: { numSuccess: 0 } } });
    expect(await harness.failures()).toEqual([]);
    await harness.scheduler.start();
    expect((await harness.end(run)).status).toBe("completed");
    expect(other.written).toEqual([1, 2, 3, 4]);
  });
});
