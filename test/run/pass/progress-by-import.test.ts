import { describe, expect, test } from "vitest";
import { type Export, type Import, reject, retryLater, stop } from "../../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, aborted, hour, minute, second } from "../../support/harness.ts";

/** Numbers 1 to `last`, one a page, with a checkpoint each. */
function numbers(last: number, options: Partial<Export<number, { at: number }>> = {}): Export<number, { at: number }> {
  return {
    key: String,
    async *pages({ checkpoint }) {
      for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
    },
    ...options,
  };
}

/** An import that takes nothing while `isDown` says so. */
function flaky(isDown: () => boolean, written: number[] = []) {
  const into: Import<number> & { readonly written: number[] } = {
    idempotent: true,
    written,
    async write(records) {
      if (isDown()) throw retryLater("503");
      written.push(...records);
    },
  };
  return into;
}

describe.each(["ordered", "unordered"] as const)("with an %s export", (order) => {
  test("a destination that is down for three runs gets each record once, and so does the one beside it", async () => {
    let isDown = true;
    const mailer = collectingImport<number>({ idempotent: false });
    const erp = flaky(() => isDown);
    const harness = new Harness({ exports: { from: numbers(5, { order }) }, imports: { mailer, erp } });

    const first = await harness.move();
    await harness.run(first._flowId);
    isDown = false;
    await harness.clock.advance(hour);

    expect(first).toMatchObject({
      status: "failed",
      error: { code: "import_unavailable" },
      imports: { mailer: { status: "completed", numSuccess: 5 }, erp: { status: "paused", numSuccess: 0 } },
    });
    expect(mailer.written).toEqual([1, 2, 3, 4, 5]);
    expect(erp.written).toEqual([1, 2, 3, 4, 5]);
    expect(await harness.failures()).toEqual([]);
    expect(await harness.scheduler.deliveries(first._flowId)).toMatchObject([
      { _importId: "mailer", checkpoint: { at: 5 }, behind: false },
      { _importId: "erp", checkpoint: { at: 5 }, behind: false },
    ]);
  });

  test("imports that are in step again are read for together", async () => {
    let isDown = true;
    let last = 2;
    let reads = 0;
    const from: Export<number, { at: number }> = {
      order,
      async *pages({ checkpoint }) {
        reads++;
        for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { one: collectingImport<number>(), other: flaky(() => isDown) },
    });

    const { _flowId } = await harness.move();
    isDown = false;
    await harness.clock.advance(minute);
    reads = 0;
    last = 4;
    const run = await harness.run(_flowId);

    expect(reads).toBe(1);
    expect(run.imports).toMatchObject({ one: { numSuccess: 2 }, other: { numSuccess: 2 } });
  });

  test("a catch-up stops where the others stand, if the export can compare", async () => {
    let isDown = true;
    const untils: unknown[] = [];
    const from: Export<number, { at: number }> = {
      order,
      async *pages({ checkpoint, until }) {
        untils.push(until);
        for (let at = (checkpoint?.at ?? 0) + 1; at <= 3; at++) yield { records: [at], checkpoint: { at } };
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { one: collectingImport<number>(), other: flaky(() => isDown) },
    });
    const { _flowId } = await harness.move();
    await harness.scheduler.resume(_flowId, "other");
    isDown = false;
    await harness.clock.settle();
    untils.length = 0;

    const flow = await harness.registry.get(_flowId);
    await harness.run(flow._id);

    expect((await harness.scheduler.deliveries(_flowId)).map(({ checkpoint }) => checkpoint)).toEqual([
      { at: 3 },
      { at: 3 },
    ]);
  });
});

describe("a reading that catches up", () => {
  test("with an inbox lets the other imports have what arrives meanwhile", async () => {
    let isDown = true;
    const order: string[] = [];
    const from: Export<number> = { listen: () => () => undefined, pageSize: 1 };
    const erp: Import<number> = {
      idempotent: true,
      async write(records) {
        if (isDown) throw retryLater("503");
        order.push(`erp ${records.join()}`);
        if (records[0] === 1) await harness.scheduler.accept("from", [100]);
      },
    };
    const mailer: Import<number> = {
      idempotent: true,
      async write(records) {
        order.push(`mailer ${records.join()}`);
      },
    };
    const harness: Harness = new Harness({ exports: { from }, imports: { erp, mailer } });
    await harness.scheduler.start();
    await harness.flow();
    for (const number of [1, 2, 3]) await harness.scheduler.accept("from", [number]);
    await harness.clock.advance(15 * second);
    isDown = false;
    order.length = 0;

    await harness.clock.advance(2 * minute);

    expect(order).toEqual(["erp 1", "mailer 100", "erp 2", "erp 3", "erp 100"]);
  });

  test("does not end where it could not go on: its pages have no checkpoints", async () => {
    let isDown = true;
    const from: Export<number> = {
      ...{ key: String, listen: () => () => undefined },
      async *pages() {
        for (let page = 1; page <= 3; page++) yield [page];
      },
    };
    const written: number[] = [];
    const erp: Import<number> = {
      idempotent: true,
      async write(records) {
        if (isDown) throw retryLater("503");
        written.push(...records);
        // Another run of the flow waits, the first few times.
        if (records[0] === 1 && written.length < 10) await harness.scheduler.accept("from", [100 + written.length]);
      },
    };
    const harness: Harness = new Harness({ exports: { from }, imports: { mailer: collectingImport<number>(), erp } });
    await harness.move();
    isDown = false;

    await harness.clock.advance(minute);

    expect(written).toEqual([1, 2, 3, 101]);
  });

  test("ends after a page when another run of the flow waits, and goes on after it", async () => {
    let isDown = true;
    const gate = new Gate();
    const mailer = collectingImport<number>({ idempotent: false });
    const written: number[] = [];
    const erp: Import<number> = {
      idempotent: true,
      async write(records) {
        if (isDown) throw retryLater("503");
        await gate.opened;
        written.push(...records);
      },
    };
    const harness = new Harness({ exports: { from: numbers(4, { order: "ordered" }) }, imports: { mailer, erp } });
    const { _flowId } = await harness.move();
    isDown = false;
    const resumed = await harness.scheduler.resume(_flowId, "erp");
    await harness.clock.settle();
    const next = await harness.scheduler.run(_flowId);
    gate.open();
    const ended = await harness.end(next);

    const runs = await harness.runs(_flowId);
    const catchUps = runs.filter(({ trigger }) => trigger === "resume");
    expect(catchUps[0]).toMatchObject({ _id: resumed?._id, imports: { erp: { status: "behind", numSuccess: 1 } } });
    expect(ended.imports).toMatchObject({ erp: { status: "completed", numSuccess: 3 } });
    expect([mailer.written, written]).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
  });
});

describe("an import that is paused", () => {
  test("waits longer each time, at most a quarter of an hour, and is announced once", async () => {
    const harness = new Harness({ exports: { from: numbers(1) }, imports: { sink: flaky(() => true) } });

    await harness.move();
    await harness.clock.advance(2 * hour);

    const resumed = (await harness.runs()).filter(({ trigger }) => trigger === "resume");
    const starts = resumed.map(({ startedAt = "" }) => Date.parse(startedAt));
    const waits = starts.slice(1).map((at, index) => Math.round((at - (starts[index] ?? 0)) / second));
    expect(Math.max(...waits)).toBeGreaterThanOrEqual(900);
    expect(waits.slice(0, 4)).toEqual([...waits.slice(0, 4)].sort((one, other) => one - other));
    expect((await harness.runs()).every(({ status }) => status === "failed")).toBe(true);
  });

  test("because its destination asked for an hour does not fail the run, and goes on then", async () => {
    let asked = false;
    const written: number[] = [];
    const sink: Import<number> = {
      idempotent: true,
      async write(records) {
        if (records[0] === 2 && !asked) {
          asked = true;
          throw retryLater("quota", { afterMs: hour });
        }
        written.push(...records);
      },
    };
    const harness = new Harness({ exports: { from: numbers(3, { order: "unordered" }) }, imports: { sink } });

    const run = await harness.move();
    const before = [...written];
    await harness.clock.advance(hour);

    expect(run).toMatchObject({ status: "completed", imports: { sink: { status: "paused" } } });
    expect(before).toEqual([1]);
    expect(written).toEqual([1, 2, 3]);
  });

  test("by stop stores no failures, and is tried again by the next run", async () => {
    let isWrong = true;
    const sink = scriptedImport<number>(() => {
      if (isWrong) throw stop(new Error("401"));
      return undefined;
    });
    const harness = new Harness({ exports: { from: numbers(2) }, imports: { sink } });

    const run = await harness.move();
    isWrong = false;
    const next = await harness.run(run._flowId);

    expect(run).toMatchObject({ status: "failed", error: { code: "stopped_by_import" } });
    expect(await harness.failures()).toEqual([]);
    expect(next).toMatchObject({ status: "completed", numSuccess: 2 });
  });

  test("by poison that looks like an outage goes on once the next page gets through", async () => {
    const written: number[] = [];
    const sink: Import<number> = {
      idempotent: true,
      async write(records) {
        if (records.includes(2)) throw retryLater("500");
        written.push(...records);
      },
    };
    const harness = new Harness({ exports: { from: numbers(4) }, imports: { sink } });

    await harness.move();
    await harness.clock.advance(hour);

    expect(written).toEqual([1, 3, 4]);
    expect(await harness.failures()).toMatchObject([{ record: 2, fault: "retry" }]);
  });

  test("resumes at once when somebody says so", async () => {
    let isDown = true;
    const sink = flaky(() => isDown);
    const harness = new Harness({ exports: { from: numbers(2) }, imports: { sink } });
    const { _flowId } = await harness.move();
    isDown = false;

    const run = await harness.scheduler.resume(_flowId, "sink");
    if (run !== undefined) await harness.end(run);

    expect(run?.trigger).toBe("resume");
    expect(sink.written).toEqual([1, 2]);
    expect(await harness.scheduler.resume(_flowId)).toBeUndefined();
  });
});

describe("while one import waits for another attempt", () => {
  test("the page is committed for those that have settled it", async () => {
    const committed: unknown[] = [];
    let tries = 0;
    const slow: Import<number> = {
      idempotent: true,
      async write() {
        if (++tries === 1) throw retryLater("busy", { afterMs: 10 * second });
      },
    };
    const fast = collectingImport<number>({ idempotent: false });
    const harness = new Harness({ exports: { from: numbers(1, { order: "ordered" }) }, imports: { fast, slow } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    await harness.scheduler.run(flow._id);
    await harness.clock.advance(second);

    committed.push(...(await harness.scheduler.deliveries(flow._id)).map(({ checkpoint }) => checkpoint));
    await harness.clock.advance(20 * second);

    expect(committed).toEqual([{ at: 1 }, undefined]);
    expect((await harness.runs())[0]).toMatchObject({ status: "completed", numPagesProcessed: 1, numSuccess: 2 });
  });
});

describe("failures", () => {
  test("of one key are one, and a delivery of the key resolves it", async () => {
    let isBad = true;
    const sink = scriptedImport<{ id: string; night: number }>(({ records }) =>
      records.map(({ id }) => (id === "a" && isBad ? { ok: false, fault: "reject", error: "no" } : { ok: true })),
    );
    let night = 0;
    const from: Export<{ id: string; night: number }> = {
      key: ({ id }) => id,
      async *pages() {
        night++;
        yield [
          { id: "a", night },
          { id: "b", night },
        ];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    for (let more = 0; more < 3; more++) await harness.run(_flowId);
    const open = await harness.failures();
    isBad = false;
    await harness.run(_flowId);

    expect(open).toMatchObject([{ key: "a", record: { night: 4 }, occurrences: 4 }]);
    expect(await harness.failures()).toEqual([]);
    expect((await harness.scheduler.listFailures()).items).toMatchObject([
      { status: "resolved", resolvedBy: "delivery" },
    ]);
  });

  test("stay open when an older state of the record is delivered, and end when a newer one is", async () => {
    let version = 2;
    const sink = scriptedImport<{ id: string; version: number }>(({ records }) =>
      records.map((record) => (record.version === 2 ? { ok: false, fault: "reject", error: "no" } : { ok: true })),
    );
    const from: Export<{ id: string; version: number }> = {
      key: ({ id }) => id,
      version: (record) => record.version,
      async *pages() {
        yield [{ id: "a", version }];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    version = 1;
    await harness.run(_flowId);
    const afterOlder = await harness.failures();
    version = 3;
    await harness.run(_flowId);

    expect(afterOlder).toMatchObject([{ key: "a", version: 2, record: { version: 2 } }]);
    expect(await harness.failures()).toEqual([]);
  });

  test("that go out again by themselves and meet a stop pause the import, and are delivered when it is over", async () => {
    let mode: "busy" | "stopped" | "open" = "busy";
    const sink = scriptedImport<number>(({ records }) => {
      if (mode === "stopped") throw stop("401");
      return records.map((record) =>
        record === 1 && mode === "busy" ? { ok: false, fault: "retry", error: "423" } : { ok: true },
      );
    });
    const harness = new Harness({ exports: { from: arrayExport([1, 2], { key: String }) }, imports: { sink } });
    await harness.move();
    mode = "stopped";

    await harness.clock.advance(hour);
    const failed = (await harness.runs()).filter(({ status }) => status === "failed").length;
    mode = "open";
    await harness.clock.advance(hour);

    expect(failed).toBeGreaterThan(0);
    expect(failed).toBeLessThanOrEqual(5);
    expect(await harness.failures()).toEqual([]);
  });

  test("of states of one key in a page are kept for the newest, whatever the order they came in", async () => {
    interface State {
      readonly id: string;
      readonly version: number;
      readonly isBad?: true;
    }
    const sink = scriptedImport<State>(({ records }) =>
      records.map(({ isBad }) => (isBad ? { ok: false, fault: "reject", error: "no" } : { ok: true })),
    );
    const from: Export<State> = {
      key: ({ id }) => id,
      version: (record) => record.version,
      async *pages() {
        yield [
          { id: "newer failed", version: 2, isBad: true },
          { id: "newer failed", version: 1 },
          { id: "both failed", version: 2, isBad: true },
          { id: "both failed", version: 1, isBad: true },
          { id: "newer delivered", version: 2 },
          { id: "newer delivered", version: 1, isBad: true },
        ];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });

    await harness.move();

    expect((await harness.failures()).map(({ key, version }) => [key, version])).toEqual([
      ["newer failed", 2],
      ["both failed", 2],
    ]);
  });

  test("of a key that is delivered and then fails again in the same page stay one, and are no new ones", async () => {
    interface State {
      readonly id: string;
      readonly isBad: boolean;
    }
    const sink = scriptedImport<State>(({ records }) =>
      records.map(({ isBad }) => (isBad ? { ok: false, fault: "reject", error: "no" } : { ok: true })),
    );
    const from: Export<State, number> = {
      key: ({ id }) => id,
      async *pages() {
        for (let page = 1; page <= 3; page++)
          yield {
            records: [
              { id: "a", isBad: false },
              { id: "a", isBad: true },
            ],
            checkpoint: page,
          };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink }, options: { maxFailures: 2 } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 3, numError: 3 });
    expect((await harness.scheduler.listFailures()).items).toMatchObject([
      { key: "a", status: "open", occurrences: 3 },
    ]);
  });

  test.each([
    ["delivers a newer state of the key", 2, []],
    ["delivers an older state of the key", 0, [["a", 1]]],
  ] as const)("of a page that was held are kept unless the next page %s", async (_, nextVersion, kept) => {
    const sink: Import<{ readonly version: number }> = {
      idempotent: true,
      async write(records) {
        if (records.some(({ version }) => version === 1)) throw retryLater("500");
      },
    };
    const from: Export<{ readonly version: number }, number> = {
      key: () => "a",
      version: ({ version }) => version,
      async *pages({ checkpoint = 0 }) {
        for (let page = checkpoint; page < 2; page++)
          yield { records: [{ version: [1, nextVersion][page] ?? 1 }], checkpoint: page + 1 };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink }, options: { autoRetry: false } });

    await harness.move();
    await harness.clock.advance(hour);

    expect((await harness.failures()).map(({ key, version }) => [key, version])).toEqual(kept);
  });

  test("with fault retry go out again by themselves", async () => {
    let isBusy = true;
    const sink = scriptedImport<number>(({ records }) =>
      records.map((record) => (record === 1 && isBusy ? { ok: false, fault: "retry", error: "423" } : { ok: true })),
    );
    const from: Export<number> = {
      key: String,
      async *pages() {
        yield [1, 2];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });
    await harness.move();
    const open = await harness.failures();
    isBusy = false;
    await harness.clock.advance(6 * minute);

    expect(open).toMatchObject([{ record: 1, fault: "retry" }]);
    expect(await harness.failures()).toEqual([]);
    expect((await harness.runs()).map(({ trigger }) => trigger)).toEqual(["manual", "retry"]);
  });

  test("that are all there is of ten records or more fail the run, and what was committed stays", async () => {
    const sink = scriptedImport<number>(() => {
      throw reject("422");
    });
    const from: Export<number, number> = {
      order: "ordered",
      async *pages() {
        yield { records: Array.from({ length: 12 }, (_, index) => index), checkpoint: 12 };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numError: 12, error: { code: "nothing_delivered" } });
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toBe(12);
  });

  test("an edited record is what a retry sends, and the first one is kept beside it", async () => {
    const sink = scriptedImport<{ id: number; ok: boolean }>(({ records }) =>
      records.map(({ ok }) => (ok ? { ok: true } : { ok: false, fault: "reject", error: "bad" })),
    );
    const from: Export<{ id: number; ok: boolean }> = {
      key: ({ id }) => String(id),
      async *pages() {
        yield [{ id: 1, ok: false }];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    const [failure] = await harness.failures();

    const edited = await harness.scheduler.editFailure(failure?._id ?? "", { id: 1, ok: true });
    await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect(edited).toMatchObject({ record: { id: 1, ok: true }, original: { id: 1, ok: false } });
    expect(sink.calls.at(-1)?.records).toEqual([{ id: 1, ok: true }]);
    expect(await harness.failures()).toEqual([]);
  });

  test.each([true, false])(
    "an edit is refused while a retry may be sending the record (it is delivered: %s)",
    async (ok) => {
      const gate = new Gate();
      let isRetry = false;
      const sink: Import<number> = {
        idempotent: true,
        async write() {
          if (isRetry) await gate.opened;
          if (!isRetry || !ok) throw reject("bad");
        },
      };
      const from: Export<number> = {
        key: String,
        async *pages() {
          yield [1];
        },
      };
      const harness = new Harness({ exports: { from }, imports: { sink } });
      const { _flowId } = await harness.move();
      const [failure] = await harness.failures();
      isRetry = true;
      const run = await harness.scheduler.retryFailures(_flowId);
      await harness.clock.settle();

      await expect(harness.scheduler.editFailure(failure?._id ?? "", 2)).rejects.toMatchObject({ code: "conflict" });
      gate.open();
      await harness.end(run);

      expect((await harness.failures()).map(({ record }) => record)).toEqual(ok ? [] : [1]);
    },
  );
});

describe("a run with parameters that moves no checkpoint", () => {
  test("reads from no checkpoint and leaves all where they are", async () => {
    const opened: unknown[] = [];
    const from: Export<number, { at: number }> = {
      order: "ordered",
      async *pages({ checkpoint, run }) {
        opened.push([checkpoint, run.parameters]);
        yield { records: [1], checkpoint: { at: 7 } };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    const { _flowId } = await harness.move();

    await harness.run(_flowId, { parameters: { from: "2026-01-01" }, moveCheckpoint: false });

    expect(opened).toEqual([
      [undefined, undefined],
      [undefined, { from: "2026-01-01" }],
    ]);
    expect(await harness.scheduler.getCheckpoint(_flowId)).toEqual({ at: 7 });
  });
});

describe("a run that completes", () => {
  test("leads to the flows that run next, and a loop of them ends by itself", async () => {
    const from: Export<number> = {
      async *pages() {
        yield [1];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.scheduler.start();
    const last = await harness.flow({ name: "last" });
    const middle = await harness.flow({ name: "middle", _runNextFlowIds: [last._id] });
    const first = await harness.flow({ name: "first", _runNextFlowIds: [middle._id] });

    await harness.run(first._id);
    await harness.clock.settle();

    expect((await harness.runs()).map(({ _flowId, trigger }) => [_flowId, trigger])).toEqual([
      [first._id, "manual"],
      [middle._id, "chained"],
      [last._id, "chained"],
    ]);
  });
});

describe("a run with a position of its own", () => {
  test("waits with an import that is paused, and gives it every record, and the others none twice", async () => {
    let isDown = true;
    const mailer = collectingImport<number>({ idempotent: false });
    const erp = flaky(() => isDown);
    const harness = new Harness({ exports: { from: numbers(4) }, imports: { mailer, erp } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    const run = await harness.scheduler.run(flow._id, { limit: 3 });
    await harness.clock.advance(20 * second);
    isDown = false;
    await harness.clock.advance(minute);

    expect((await harness.end(run)).status).toBe("completed");
    expect([mailer.written, erp.written]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  test.each([
    ["sample", { limit: 3 }],
    ["backfill", { parameters: {}, moveCheckpoint: false }],
  ])("that is stopped in mid-page goes on with it for the import that had not settled it: a %s", async (_, options) => {
    const mailer = collectingImport<number>({ idempotent: false });
    let hangs = true;
    const written: number[] = [];
    const erp: Import<number> = {
      idempotent: true,
      async write(records, { signal }) {
        if (hangs && records[0] === 2) {
          await aborted(signal);
          throw new Error("aborted");
        }
        written.push(...records);
      },
    };
    const imports = { mailer, erp };
    const harness = new Harness({ exports: { from: numbers(3) }, imports, options: { graceMs: 0 } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id, options);
    await harness.clock.settle();
    const stopped = harness.scheduler.stop();
    await harness.clock.advance(0);
    await stopped;
    const between = await harness.scheduler.getRun(run._id);
    hangs = false;
    await harness.scheduler.start();

    expect(between).toMatchObject({ status: "queued", numPagesProcessed: 1, imports: { erp: { numSuccess: 1 } } });
    expect(await harness.end(run)).toMatchObject({ status: "completed", numPagesProcessed: 3 });
    expect([mailer.written, written]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  test("that has parameters moves only the imports that stood where it began", async () => {
    let isDown = true;
    let last = 3;
    const from: Export<number, { at: number }> = {
      ...numbers(0, { order: "ordered" }),
      async *pages({ checkpoint }) {
        for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
      },
    };
    const mailer = collectingImport<number>({ idempotent: false });
    const erp = flaky(() => isDown);
    const harness = new Harness({ exports: { from }, imports: { mailer, erp } });

    const { _flowId } = await harness.move();
    isDown = false;
    last = 5;
    await harness.run(_flowId, { parameters: { window: "late" } });
    const between = await harness.scheduler.deliveries(_flowId);
    await harness.clock.advance(hour);

    expect(between.map(({ checkpoint }) => checkpoint)).toEqual([{ at: 5 }, undefined]);
    expect(mailer.written).toEqual([1, 2, 3, 4, 5]);
    expect([...new Set(erp.written)].sort()).toEqual([1, 2, 3, 4, 5]);
  });

  test("sends nothing more to an import with too many failures, gives the others all, and fails", async () => {
    const mailer = collectingImport<number>();
    const erp = scriptedImport<number>(() => {
      throw reject("no");
    });
    const imports = { mailer, erp };
    const harness = new Harness({ exports: { from: numbers(6) }, imports, options: { maxFailures: 2 } });

    const run = await harness.move({ parameters: {}, moveCheckpoint: false });

    expect(run).toMatchObject({
      ...{ status: "failed", error: { code: "too_many_failures" } },
      imports: { mailer: { status: "completed" }, erp: { status: "failed", numError: 3 } },
    });
    expect(mailer.written).toEqual([1, 2, 3, 4, 5, 6]);
    expect(erp.calls).toHaveLength(3);
    expect(harness.events.of("import:paused")).toEqual([]);
  });

  test("fails instead of waiting if another import has failed: what that one has not got would be passed over", async () => {
    const broken = scriptedImport<number>(() => "nonsense" as never);
    const erp: Import<number> = {
      idempotent: true,
      async write() {
        throw retryLater("quota", { afterMs: hour });
      },
    };
    const harness = new Harness({ exports: { from: numbers(3) }, imports: { broken, erp } });

    const run = await harness.move({ limit: 3 });

    expect(run).toMatchObject({ status: "failed", error: { code: "contract_violation" } });
  });

  test("waits as long as a destination asks in mid-page, and goes on after what was stored of it", async () => {
    let asked = false;
    const written: number[] = [];
    const erp: Import<number> = {
      ...{ idempotent: true, batchSize: 1 },
      async write([record = 0]) {
        if (record === 2 && !asked) {
          asked = true;
          throw retryLater("quota", { afterMs: hour });
        }
        written.push(record);
      },
    };
    const from: Export<number, { at: number }> = {
      async *pages({ checkpoint }) {
        for (let at = checkpoint?.at ?? 0; at < 4; at += 2)
          yield { records: [at + 1, at + 2], checkpoint: { at: at + 2 } };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { erp }, options: { autoRetry: false } });
    await harness.scheduler.start();
    const { _id } = await harness.scheduler.run((await harness.flow())._id, { limit: 4 });
    await harness.clock.advance(minute);
    const before = [...written];
    await harness.clock.advance(hour);

    expect(before).toEqual([1]);
    expect(written).toEqual([1, 3, 4]);
    expect(await harness.scheduler.getRun(_id)).toMatchObject({ status: "completed", numSuccess: 3, numError: 1 });
  });
});
