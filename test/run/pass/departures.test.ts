import { describe, expect, test } from "vitest";
import { type Export, type Import, type Imports, MemoryStorage, reject, retryLater, stop } from "../../../src/index.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { ManualClock, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, type Setting, hanging, hour, minute, noon, second } from "../../support/harness.ts";

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

/** Takes everything, except that the first write of `record` never ends: there its process is to die. */
function deadlyAt(record: number) {
  let hasHung = false;
  return scriptedImport<number>(({ records }) => {
    if (records[0] !== record || hasHung) return undefined;
    hasHung = true;
    return new Promise(() => undefined);
  });
}

/** Another process on the storage of one that dies where it stands: its timers never fire again. */
async function successorOf({ clock, storage }: Harness, setting: Setting): Promise<Harness> {
  const next = new Harness({ ...setting, storage, clock: new ManualClock(clock.now()) });
  await next.scheduler.start();
  return next;
}

/** Runs a flow until its process dies, and returns the run as the next process ended it. */
async function runTwice(setting: Setting, options = {}) {
  const first = new Harness(setting);
  await first.scheduler.start();
  const run = await first.scheduler.run((await first.flow())._id, options);
  await first.clock.settle();
  const next = await successorOf(first, setting);
  return { next, ended: await next.end(run) };
}

const refusing = () =>
  scriptedImport<number>(() => {
    throw reject("no");
  });

describe("failures from before a crash", () => {
  /** Refuses all; the first write of `record` never ends. */
  function refusingAfter(record: number) {
    const deadly = deadlyAt(record);
    return scriptedImport<number>(async (_, context) => {
      await deadly.write(_.records, context);
      throw reject("no");
    });
  }

  test("count for maxFailures", async () => {
    const sink = refusingAfter(4);

    const { ended } = await runTwice({
      ...{ exports: { from: numbers(9) }, imports: { sink }, options: { maxFailures: 5 } },
    });

    expect(ended).toMatchObject({ status: "failed", error: { code: "too_many_failures" }, numError: 6 });
    expect(sink.calls.map(({ records }) => records)).toEqual([[1], [2], [3], [4], [4], [5], [6]]);
  });

  test("count for a run that delivered nothing", async () => {
    const { ended } = await runTwice({ exports: { from: numbers(12) }, imports: { sink: refusingAfter(7) } });

    expect(ended).toMatchObject({ status: "failed", error: { code: "nothing_delivered" }, numError: 12 });
  });

  test("count when the scheduler was stopped in between", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(async ({ records }) => {
      if (records[0] === 4) await gate.opened;
      throw reject("no");
    });
    const harness = new Harness({
      ...{ exports: { from: numbers(9) }, imports: { sink }, options: { maxFailures: 5 } },
    });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    const stopped = harness.scheduler.stop({ graceMs: 0 });
    gate.open();
    await harness.clock.advance(second);
    await stopped;

    await harness.scheduler.start();
    const ended = await harness.end(run);

    expect(ended).toMatchObject({ status: "failed", error: { code: "too_many_failures" }, numError: 6 });
  });
});

describe("an import that left before a crash", () => {
  const isDeadly = (imports: Imports) => ({ exports: { from: numbers(4) }, imports });

  test("while a later pass was read comes out of the run as it left, and so do those that had all", async () => {
    let mode: "first" | "second" = "first";
    const erp = scriptedImport<number>(({ records }) => {
      if (mode === "second" && records[0] === 3) throw stop("401");
      return undefined;
    });
    const mailer = collectingImport<number>();
    const deadly = deadlyAt(1);
    const archive: Import<number> = {
      idempotent: true,
      write: async (records, context) => (mode === "first" ? ("nonsense" as never) : deadly.write(records, context)),
    };
    let last = 2;
    const from = numbers(0, {
      async *pages({ checkpoint }) {
        for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
      },
    });
    const setting = { exports: { from }, imports: { erp, mailer, archive } };
    const first = new Harness(setting);
    const { _flowId } = await first.move();
    [mode, last] = ["second", 4];
    const run = await first.scheduler.run(_flowId);
    await first.clock.settle();

    const next = await successorOf(first, setting);
    const ended = await next.end(run);

    expect(ended).toMatchObject({
      ...{ status: "failed", error: { code: "stopped_by_import", message: 'Import "erp" stopped the run: 401' } },
      imports: {
        erp: { status: "failed", error: { code: "stopped_by_import" } },
        mailer: { status: "completed", numSuccess: 2 },
        archive: { status: "completed", numSuccess: 4 },
      },
    });
    expect(erp.calls.map(({ records }) => records)).toEqual([[1], [2], [3]]);
  });

  test("in the same pass is read for no more, and says why it left", async () => {
    const erp = scriptedImport<number>(({ records }) => (records[0] === 2 ? ("nonsense" as never) : undefined));

    const { ended } = await runTwice(isDeadly({ erp, mailer: deadlyAt(4) }));

    expect(ended).toMatchObject({
      ...{ status: "failed", error: { code: "contract_violation" } },
      imports: { erp: { status: "failed", numSuccess: 1 }, mailer: { status: "completed", numSuccess: 4 } },
    });
    expect(erp.calls).toHaveLength(2);
  });

  test("for a wait that was asked for is paused, and the run completes", async () => {
    let asks = true;
    const erp = scriptedImport<number>(({ records }) => {
      if (records[0] === 2 && asks) throw retryLater("quota", { afterMs: hour });
      return undefined;
    });

    const { ended, next } = await runTwice(isDeadly({ erp, mailer: deadlyAt(4) }));
    asks = false;
    await next.clock.advance(2 * hour);

    expect(ended).toMatchObject({
      status: "completed",
      imports: { erp: { status: "paused", error: { code: "import_unavailable" } }, mailer: { status: "completed" } },
    });
    expect(ended.error).toBeUndefined();
    expect(erp.written).toEqual([1, 2, 3, 4]);
  });

  test("of a run that moves no place gets nothing behind what it has not got", async () => {
    const erp = scriptedImport<number>(({ records }) => (records[0] === 2 ? ("nonsense" as never) : undefined));
    const setting = isDeadly({ erp, mailer: deadlyAt(4) });

    const { ended } = await runTwice(setting, { parameters: {}, moveCheckpoint: false });

    expect(ended).toMatchObject({
      ...{ status: "failed", error: { code: "contract_violation" } },
      imports: { erp: { status: "failed", numSuccess: 1 }, mailer: { status: "completed", numSuccess: 4 } },
    });
    expect(erp.calls).toHaveLength(2);
  });

  test("with its last page of a run that moves no place gets no further one", async () => {
    const erp = refusing();
    const setting = { ...isDeadly({ erp, mailer: deadlyAt(4) }), options: { maxFailures: 1 } };

    const { ended } = await runTwice(setting, { parameters: {}, moveCheckpoint: false });

    expect(ended).toMatchObject({ status: "failed", error: { code: "too_many_failures" } });
    expect(erp.calls).toHaveLength(2);
  });
});

describe("an import that is behind in the export's pages", () => {
  /** It is down at page 2 of 3, and paused; half a minute later no timer has fired yet. */
  async function behind(storage: Storage = new MemoryStorage()) {
    let isDown = true;
    const written: number[] = [];
    const erp: Import<number> = {
      idempotent: true,
      async write(records) {
        if (isDown && records.includes(2)) throw retryLater("503");
        written.push(...records);
      },
    };
    const harness = new Harness({ exports: { from: numbers(3) }, imports: { erp }, storage });
    const { _flowId } = await harness.move();
    isDown = false;
    harness.clock.jumpTo(harness.clock.now() + minute);
    const isPaused = async () => (await harness.scheduler.deliveries(_flowId))[0]?.paused !== undefined;
    return { harness, written, isPaused, _flowId };
  }

  test("stays paused when a page that arrived gets through, and is resumed", async () => {
    const { harness, isPaused, written } = await behind();

    await harness.scheduler.accept("from", [100]);
    await harness.clock.settle();
    const [before, paused] = [[...written], await isPaused()];
    await harness.clock.advance(minute);

    expect(before).toEqual([1, 100]);
    expect(paused).toBe(true);
    expect(written).toEqual([1, 100, 2, 3]);
    expect(await isPaused()).toBe(false);
    expect(harness.events.of("import:resumed")).toHaveLength(1);
  });

  test("stays paused when a realtime run finds nothing in the inbox, and is resumed", async () => {
    const gate = new Gate();
    const storage = hanging(new MemoryStorage(), { method: "readInbox", nth: 1, gate });
    const { harness, isPaused, written, _flowId } = await behind(storage);

    await harness.scheduler.accept("from", [100]);
    await harness.clock.settle();
    const [page] = (await harness.scheduler.listInbox(_flowId)).items;
    await harness.scheduler.dropInbox(_flowId, [page?._id ?? ""]);
    gate.open();
    await harness.clock.settle();
    const paused = await isPaused();
    await harness.clock.advance(minute);

    expect(paused).toBe(true);
    expect(written).toEqual([1, 2, 3]);
  });
});

describe("a sweep while an import whose pause has ended is paused still", () => {
  /** The import was paused half a minute ago, no timer has fired since, and a run that has begun hangs in its write. */
  async function underWay(options = {}) {
    let mode: "down" | "hangs" = "down";
    const gate = new Gate();
    const erp: Import<number> = {
      idempotent: true,
      async write() {
        if (mode === "down") throw retryLater("503");
        await gate.opened;
      },
    };
    const harness = new Harness({ exports: { from: numbers(2) }, imports: { erp } });
    const { _flowId } = await harness.move();
    mode = "hangs";
    harness.clock.jumpTo(harness.clock.now() + minute);
    const run = await harness.scheduler.run(_flowId, options);
    await harness.clock.advance(minute);
    return { harness, gate, run };
  }

  test("queues no resume run if the run under way reads for it", async () => {
    const { gate, harness, run } = await underWay();
    gate.open();
    await harness.end(run);

    expect((await harness.runs()).map(({ trigger }) => trigger)).toEqual(["manual", "manual"]);
  });

  test("queues one if the run under way is a sample", async () => {
    const { gate, harness, run } = await underWay({ limit: 1 });
    gate.open();
    await harness.end(run);

    expect((await harness.runs()).map(({ trigger }) => trigger)).toEqual(["manual", "manual", "resume"]);
  });
});

test("a retry that meets a stop leaves the pause that its import has", async () => {
  let isStopped = false;
  const sink = scriptedImport<number>(() => {
    throw isStopped ? stop("401") : reject("no");
  });
  const harness = new Harness({
    ...{ exports: { from: numbers(3) }, imports: { sink }, options: { maxFailures: 1 } },
  });
  const { _flowId } = await harness.move();
  isStopped = true;

  const retried = await harness.end(await harness.scheduler.retryFailures(_flowId));

  expect(retried).toMatchObject({ status: "failed", error: { code: "stopped_by_import" } });
  expect(await harness.scheduler.deliveries(_flowId)).toMatchObject([
    { paused: { until: "person", reason: { code: "too_many_failures" }, since: new Date(noon).toISOString() } },
  ]);
});

test("a record that fails at an import which the flow has lost during the run is resolved, and not open", async () => {
  const gate = new Gate();
  const erp = scriptedImport<number>(async () => {
    await gate.opened;
    throw reject("no");
  });
  const harness = new Harness({ exports: { from: numbers(1) }, imports: { mailer: collectingImport<number>(), erp } });
  await harness.scheduler.start();
  const { _id } = await harness.flow();
  const run = await harness.scheduler.run(_id);
  await harness.clock.settle();

  await harness.registry.patch(_id, { _importId: "mailer", _importIds: null });
  gate.open();
  const ended = await harness.end(run);

  expect(ended).toMatchObject({ numSuccess: 1, numError: 1 });
  expect(await harness.failures()).toEqual([]);
  expect((await harness.scheduler.listFailures()).items).toMatchObject([{ resolvedBy: "removed", record: 1 }]);
});
