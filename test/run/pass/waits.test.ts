import { describe, expect, test } from "vitest";
import { type Export, type Import, retryLater } from "../../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Harness, day, hour, minute, second, upTo } from "../../support/harness.ts";

interface At {
  readonly at: number;
}

describe("a run whose export asks it to wait longer than maxWaitMs", () => {
  /** Asks for an hour before its second page, as often as `times` says. */
  function quota(times: number) {
    let asked = 0;
    const from: Export<number, At> = {
      async *pages({ checkpoint }) {
        for (let at = (checkpoint?.at ?? 0) + 1; at <= 2; at++) {
          if (at === 2 && asked < times) {
            asked++;
            throw retryLater("quota", { afterMs: hour });
          }
          yield { records: [at], checkpoint: { at } };
        }
      },
    };
    return from;
  }

  /** One slot, and another flow beside the one whose export asks to wait. */
  async function waiting(times = 1) {
    const [sink, other] = [collectingImport<number>(), collectingImport<number>()];
    const exports = { from: quota(times), ready: arrayExport([7]) };
    const harness = new Harness({ exports, imports: { sink, other }, options: { concurrency: 1 } });
    await harness.scheduler.start();
    const flow = await harness.flow({ _importId: "sink" });
    const ready = await harness.flow({ _exportId: "ready", _importId: "other" });
    const run = await harness.scheduler.run(flow._id);
    await harness.clock.advance(second);
    return { harness, sink, other, flow, ready, run };
  }

  test("goes back to its queue and leaves its slot to other flows", async () => {
    const { harness, other, ready, run } = await waiting();

    await harness.run(ready._id);

    expect(other.written).toEqual([7]);
    expect(await harness.scheduler.getRun(run._id)).toMatchObject({
      ...{ status: "queued", waits: 1 },
      notBefore: new Date(Date.parse(run.queuedAt) + hour).toISOString(),
    });
    expect(harness.events.of("run:requeued")).toMatchObject([{ reason: "wait", run: { _id: run._id } }]);
  });

  test("keeps the flow's other runs behind it, and goes on where it was when the time has come", async () => {
    const { flow, harness, run, sink } = await waiting();
    const behind = await harness.scheduler.run(flow._id);
    await harness.clock.advance(59 * minute);
    const before = [...sink.written];

    await harness.clock.advance(2 * minute);

    expect(before).toEqual([1]);
    expect(sink.written).toEqual([1, 2]);
    expect(await harness.scheduler.getRun(run._id)).toMatchObject({ status: "completed", numSuccess: 2 });
    const { startedAt = "" } = await harness.scheduler.getRun(behind._id);
    expect(Date.parse(startedAt)).toBeGreaterThanOrEqual(Date.parse(run.queuedAt) + hour);
  });

  test("is not started again and again meanwhile", async () => {
    const { harness, run } = await waiting();

    await harness.clock.advance(50 * minute);

    expect(harness.events.of("run:started").filter((event) => event.run._id === run._id)).toHaveLength(1);
  });

  test("fails after maxAttempts of them without progress, over as many starts", async () => {
    const { harness, run, sink } = await waiting(9);

    await harness.clock.advance(9 * hour);

    expect(await harness.scheduler.getRun(run._id)).toMatchObject({
      ...{ status: "failed", error: { code: "export_failed" } },
      numSuccess: 1,
    });
    expect(sink.written).toEqual([1]);
    expect(harness.events.of("run:requeued")).toHaveLength(4);
  });
});

test("a sample run that waits in the middle takes no more records than its limit over both of its parts", async () => {
  const sent: number[] = [];
  const sink = scriptedImport<number>(({ records }) => {
    sent.push(...records);
    const isFirst = sent.length === 4;
    return records.map((n) =>
      n === 4 && isFirst ? { ok: false, fault: "retry", error: "quota", afterMs: hour } : { ok: true },
    );
  });
  const exports = { from: arrayExport(upTo(9), { pageSize: 2 }) };
  const harness = new Harness({ exports, imports: { sink }, options: { autoRetry: false } });

  const run = await harness.move({ limit: 5 });

  expect(sent).toEqual([1, 2, 3, 4, 5]);
  expect(run).toMatchObject({ status: "completed", numSuccess: 4, numError: 1 });
  expect(harness.events.of("run:requeued")).toMatchObject([{ reason: "wait" }]);
});

describe("poison that looks like an outage", () => {
  /** Takes what `takes` says, and asks for another attempt for all else. */
  async function stuck(
    last: number,
    takes: (record: number) => boolean,
    filter: (record: number) => boolean = () => true,
  ) {
    const written: number[] = [];
    const sink: Import<number> = {
      idempotent: true,
      filter,
      async write(records) {
        if (!records.every(takes)) throw retryLater("500");
        written.push(...records);
      },
    };
    const from: Export<number, At> = {
      key: String,
      async *pages({ checkpoint }) {
        for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    await harness.clock.advance(2 * hour);
    const [delivery] = await harness.scheduler.deliveries(_flowId);
    return { harness, written, delivery };
  }

  test("stays paused while the next page does not get through either, and nothing is stored", async () => {
    const { delivery, harness, written } = await stuck(4, (record) => record === 1 || record === 4);

    expect(written).toEqual([1]);
    expect(await harness.failures()).toEqual([]);
    expect(delivery).toMatchObject({ behind: true, paused: { reason: { code: "import_unavailable" } } });
    expect(delivery?.paused?.attempts).toBeGreaterThan(4);
  });

  test("goes on past pages that its import ignores to one that shows whether the destination takes any", async () => {
    const isWanted = (record: number) => record < 3 || record > 5;
    const { delivery, harness, written } = await stuck(6, (record) => record !== 2, isWanted);

    expect(written).toEqual([1, 6]);
    expect(await harness.failures()).toMatchObject([{ record: 2, fault: "retry" }]);
    expect(delivery).toMatchObject({ behind: false });
    expect(delivery?.paused).toBeUndefined();
  });

  test("is taken for an outage still if its import ignores all that follows", async () => {
    const { delivery, harness, written } = await stuck(
      5,
      (record) => record === 1,
      (record) => record < 3,
    );

    expect(written).toEqual([1]);
    expect(await harness.failures()).toEqual([]);
    expect(delivery).toMatchObject({ behind: true, paused: { reason: { code: "import_unavailable" } } });
  });

  test("stays paused while there is no next page, and nothing is stored", async () => {
    const { delivery, harness, written } = await stuck(2, (record) => record === 1);

    expect(written).toEqual([1]);
    expect(await harness.failures()).toEqual([]);
    expect(delivery).toMatchObject({ behind: true, paused: { reason: { code: "import_unavailable" } } });
  });
});

describe("a record that failed", () => {
  test("is resolved when a later state of it is ignored by its import", async () => {
    let last = 1;
    const from: Export<{ id: string; wanted: boolean }, At> = {
      order: "ordered",
      key: ({ id }) => id,
      async *pages({ checkpoint }) {
        for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++)
          yield { records: [{ id: "a", wanted: at === 1 }], checkpoint: { at } };
      },
    };
    const sink = scriptedImport<{ id: string; wanted: boolean }>(() => [{ ok: false, fault: "reject", error: "no" }], {
      filter: ({ wanted }) => wanted,
    });
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    const before = await harness.failures();
    last = 2;

    await harness.run(_flowId);

    expect(before).toHaveLength(1);
    expect((await harness.scheduler.listFailures()).items).toMatchObject([{ resolvedBy: "delivery" }]);
  });

  /** One record of two is never taken; when it was sent, in minutes since the first time. */
  async function neverTaken(forMs: number) {
    const harness = new Harness({
      exports: { from: arrayExport([1, 2], { key: String }) },
      imports: {
        sink: scriptedImport<number>(({ records, attempt }) => {
          if (records.includes(1) && attempt === 1) sentAt.push(harness.clock.now());
          return records.map((record) => (record === 1 ? { ok: false, fault: "retry", error: "423" } : { ok: true }));
        }),
      },
      options: { maxAttempts: 1 },
    });
    const sentAt: number[] = [];
    await harness.move();
    await harness.clock.advance(forMs);
    return { harness, after: sentAt.map((at) => Math.round((at - (sentAt[0] ?? 0)) / minute)) };
  }

  test("goes out again after five minutes, doubled each time, at most six hours apart, for three days", async () => {
    const { after, harness } = await neverTaken(5 * day);

    expect(after.slice(0, 9)).toEqual([0, 5, 15, 35, 75, 155, 315, 635, 995]);
    expect(after.at(-1)).toBeGreaterThan(2.7 * 24 * 60);
    expect(after.at(-1)).toBeLessThanOrEqual(3 * 24 * 60);
    const [failure] = await harness.failures();
    expect(failure).toMatchObject({ record: 1, fault: "retry" });
    expect(failure?.retryAt).toBeUndefined();
  });
});

test("no realtime run is queued while every import that has unread pages is paused", async () => {
  const sink = scriptedImport<number>(() => {
    throw retryLater("quota", { afterMs: hour });
  });
  const harness = new Harness({ exports: { from: arrayExport<number>([]) }, imports: { sink } });
  await harness.scheduler.start();
  const flow = await harness.flow();
  await harness.scheduler.accept("from", [1]);
  await harness.clock.advance(second);

  await harness.scheduler.accept("from", [2]);
  await harness.clock.advance(30 * minute);

  expect((await harness.runs(flow._id)).map(({ trigger }) => trigger)).toEqual(["realtime"]);
});
