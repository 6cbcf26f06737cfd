import { describe, expect, test } from "vitest";
import {
  type Export,
  type ListenContext,
  MemoryStorage,
  type SchedulerOptions,
  retryLater,
} from "../../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, aborted, faltering, hour, minute, second, upTo } from "../../support/harness.ts";

/** An export that is only ever given its records. */
const events: Export<number> = { listen: () => () => undefined };

async function started(options: SchedulerOptions = {}) {
  const sink = collectingImport<number>();
  const harness = new Harness({ exports: { events }, imports: { sink }, options });
  await harness.scheduler.start();
  return { harness, sink, flow: await harness.flow() };
}

/** True once the promise is settled. */
async function isSettled(promise: Promise<unknown>, harness: Harness): Promise<boolean> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await harness.clock.settle();
  return settled;
}

test("pages of an inbox are listed by no more than about 16 MB at once", async () => {
  const from: Export<string> = { listen: () => () => undefined };
  const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<string>() } });
  const { _id } = await harness.flow();
  for (const letter of ["a", "b", "c"]) await harness.scheduler.accept("from", [letter.repeat(9_000_000)]);

  const first = await harness.scheduler.listInbox(_id);
  const exactly = await harness.scheduler.listInbox(_id, { limit: 1, after: first.next ?? "" });

  expect(first.items.map(({ records }) => String(records[0])[0])).toEqual(["a"]);
  expect(exactly.items.map(({ records }) => String(records[0])[0])).toEqual(["b"]);
  expect(exactly.next).toBeDefined();
  expect(await harness.scheduler.listInbox(_id, { after: exactly.next ?? "" })).toMatchObject({ items: [{}] });
});

describe("accept", () => {
  test("resolves only when the records are in the inbox", async () => {
    const gate = new Gate();
    class SlowStorage extends MemoryStorage {
      override async appendInbox(...call: Parameters<MemoryStorage["appendInbox"]>) {
        await gate.opened;
        return super.appendInbox(...call);
      }
    }
    const harness = new Harness({
      exports: { events },
      imports: { sink: collectingImport<number>() },
      storage: new SlowStorage(),
    });
    const flow = await harness.flow();

    const accepted = harness.scheduler.accept("events", [1, 2]);
    const before = await isSettled(accepted, harness);
    gate.open();
    await accepted;

    expect(before).toBe(false);
    expect(await harness.storage.readInbox(flow._id, { maxRecords: 9 })).toMatchObject([{ records: [1, 2] }]);
  });

  test("rejects if the storage does, and nothing is delivered", async () => {
    const storage = faltering(new MemoryStorage(), { method: "appendInbox", fails: (nth) => nth === 1 });
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { events }, imports: { sink }, storage });
    await harness.scheduler.start();
    await harness.flow();

    await expect(harness.scheduler.accept("events", [1])).rejects.toThrow("appendInbox failed");
    await harness.scheduler.accept("events", [2]);
    await harness.clock.advance(minute);

    expect(sink.written).toEqual([2]);
  });

  test("queues a realtime run that delivers the records, the event ids being their keys", async () => {
    const { harness, sink, flow } = await started();

    const accepted = await harness.scheduler.accept("events", [7, 8], { ids: ["e7", "e8"] });
    await harness.clock.settle();

    expect(accepted).toEqual({ accepted: 2, duplicates: 0 });
    expect(sink.calls).toMatchObject([{ records: [7, 8], keys: ["e7", "e8"] }]);
    expect(await harness.runs()).toMatchObject([{ trigger: "realtime", status: "completed", numSuccess: 2 }]);
    expect(await harness.storage.readInbox(flow._id, { maxRecords: 9 })).toEqual([]);
    expect(await harness.scheduler.getCheckpoint(flow._id)).toBeUndefined();
  });

  test("gives records without ids keys that differ, and the export's own key comes before both", async () => {
    const { harness, sink } = await started();
    await harness.scheduler.accept("events", [1, 1]);
    await harness.scheduler.accept("events", [1]);
    const keyed = { ...events, key: (number: number) => `#${number}` };
    const other = new Harness({ exports: { keyed }, imports: { sink } });
    await other.scheduler.start();
    await other.flow();

    await harness.clock.settle();
    const keys = sink.calls.flatMap((call) => call.keys);
    await other.scheduler.accept("keyed", [5], { ids: ["e5"] });
    await other.clock.settle();

    expect(new Set(keys).size).toBe(3);
    expect(sink.calls.at(-1)?.keys).toEqual(["#5"]);
  });

  test("works before start: what was accepted is delivered after it", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { events }, imports: { sink } });
    await harness.flow();

    await harness.scheduler.accept("events", [1]);
    await harness.clock.settle();
    const before = [...sink.written];
    await harness.scheduler.start();
    await harness.clock.settle();

    expect([before, sink.written]).toEqual([[], [1]]);
  });

  test("fills the inbox of every enabled flow that uses the export, and of no other", async () => {
    const sinks = {
      one: collectingImport<number>(),
      two: collectingImport<number>(),
      off: collectingImport<number>(),
      other: collectingImport<number>(),
    };
    const harness = new Harness({ exports: { events, elsewhere: events }, imports: sinks });
    await harness.scheduler.start();
    await harness.flow({ _importId: "one" });
    await harness.flow({ _importId: "two" });
    await harness.flow({ _importId: "off", disabled: true });
    await harness.flow({ _exportId: "elsewhere", _importId: "other" });

    await harness.scheduler.accept("events", [1]);
    await harness.clock.settle();

    expect(Object.values(sinks).map(({ written }) => written)).toEqual([[1], [1], [], []]);
  });

  test("for an integration fills the inboxes of its flows only, and none if it has no enabled one", async () => {
    const sinks = { one: collectingImport<number>(), two: collectingImport<number>() };
    const harness = new Harness({ exports: { events }, imports: sinks });
    await harness.scheduler.start();
    await harness.flow({ _importId: "one", _integrationId: "acme" });
    await harness.flow({ _importId: "two", _integrationId: "other" });

    await harness.scheduler.accept("events", [1], { _integrationId: "acme" });
    await harness.clock.settle();

    expect(Object.values(sinks).map(({ written }) => written)).toEqual([[1], []]);
    await expect(harness.scheduler.accept("events", [2], { _integrationId: "nobody" })).rejects.toThrow(
      expect.objectContaining({ code: "flow_disabled" }) as Error,
    );
  });

  test("keeps copies: what the sender changes afterwards changes nothing", async () => {
    const sink = collectingImport<{ tags: string[] }>();
    const harness = new Harness({ exports: { events }, imports: { sink } });
    await harness.flow();
    const record = { tags: ["a"] };

    await harness.scheduler.accept("events", [record]);
    record.tags.push("b");
    await harness.scheduler.start();
    await harness.clock.settle();

    expect(sink.written).toEqual([{ tags: ["a"] }]);
    expect(Object.isFrozen(record)).toBe(false);
  });

  test("nothing at all is accepted as nothing, and queues no run", async () => {
    const { harness } = await started();

    expect(await harness.scheduler.accept("events", [])).toEqual({ accepted: 0, duplicates: 0 });
    expect(await harness.runs()).toEqual([]);
  });

  test("is not found for an export nobody knows", async () => {
    const { harness } = await started();

    await expect(harness.scheduler.accept("nothing", [1])).rejects.toMatchObject({ code: "not_found", kind: "export" });
  });

  test("is refused as flow_disabled if no enabled flow uses the export", async () => {
    const { harness, flow } = await started();
    await harness.registry.patch(flow._id, { disabled: true });

    await expect(harness.scheduler.accept("events", [1])).rejects.toMatchObject({ code: "flow_disabled" });
    await harness.registry.delete(flow._id);
    await expect(harness.scheduler.accept("events", [1])).rejects.toMatchObject({ code: "flow_disabled" });
  });

  test.each<[string, unknown, unknown]>([
    ["records", "abc", undefined],
    ["ids", [1, 2], ["a"]],
    ["ids", [1], "a"],
    ["ids", [1], [""]],
    ["ids", [1], [7]],
    ["ids", [1], ["x".repeat(1_001)]],
    ["ids", [1], ["a\0"]],
    ["ids", [1], ["\ud800"]],
    ["records.1", [1, () => 2], undefined],
    ["records.0", [Symbol("x")], undefined],
  ])("refuses %s that are invalid, and takes nothing", async (field, records, ids) => {
    const { harness, flow } = await started();
    const options = (ids === undefined ? {} : { ids }) as { ids?: string[] };

    await expect(harness.scheduler.accept("events", records as number[], options)).rejects.toMatchObject({
      code: "invalid_request",
      field,
    });
    expect(await harness.storage.readInbox(flow._id, { maxRecords: 9 })).toEqual([]);
  });
});

describe("event ids", () => {
  test("seen within the window are dropped, and counted", async () => {
    const { harness, sink } = await started({ dedupeWindowMs: hour });
    await harness.scheduler.accept("events", [1, 2], { ids: ["a", "b"] });
    await harness.clock.advance(hour);

    const again = await harness.scheduler.accept("events", [1, 3, 2], { ids: ["a", "c", "b"] });
    await harness.clock.settle();

    expect(again).toEqual({ accepted: 1, duplicates: 2 });
    expect(sink.written).toEqual([1, 2, 3]);
  });

  test("that are all known queue no run", async () => {
    const { harness } = await started();
    await harness.scheduler.accept("events", [1], { ids: ["a"] });
    await harness.clock.settle();

    expect(await harness.scheduler.accept("events", [1], { ids: ["a"] })).toEqual({ accepted: 0, duplicates: 1 });
    expect(await harness.runs()).toHaveLength(1);
  });

  test("are forgotten after the window", async () => {
    const { harness, sink } = await started({ dedupeWindowMs: hour });
    await harness.scheduler.accept("events", [1], { ids: ["a"] });
    await harness.clock.advance(hour + 1);

    expect(await harness.scheduler.accept("events", [1], { ids: ["a"] })).toEqual({ accepted: 1, duplicates: 0 });
    await harness.clock.settle();
    expect(sink.written).toEqual([1, 1]);
  });

  test("are remembered by each flow for itself: what is new to one of them counts as accepted", async () => {
    const { harness, sink, flow } = await started();
    await harness.scheduler.accept("events", [1], { ids: ["a"] });
    await harness.clock.settle();
    await harness.flow();

    expect(await harness.scheduler.accept("events", [1], { ids: ["a"] })).toEqual({ accepted: 1, duplicates: 0 });
    await harness.clock.settle();
    expect(sink.written).toEqual([1, 1]);
    expect(await harness.runs(flow._id)).toHaveLength(1);
  });

  test("twice in one arrival are one record", async () => {
    const { harness, sink } = await started();

    expect(await harness.scheduler.accept("events", [1, 1], { ids: ["a", "a"] })).toEqual({
      accepted: 1,
      duplicates: 1,
    });
    await harness.clock.settle();
    expect(sink.written).toEqual([1]);
  });
});

describe("the inbox", () => {
  test("is bounded: full is busy for all flows, and nothing of it is taken by any", async () => {
    const sinks = {
      fast: collectingImport<number>(),
      stuck: scriptedImport<number>(() => new Promise(() => undefined)),
    };
    const harness = new Harness({ exports: { events }, imports: sinks, options: { maxInboxPages: 2 } });
    await harness.scheduler.start();
    await harness.flow({ _importId: "fast" });
    const stuck = await harness.flow({ _importId: "stuck" });
    await harness.scheduler.accept("events", [1]);
    await harness.scheduler.accept("events", [2]);
    await harness.clock.settle();

    await expect(harness.scheduler.accept("events", [3])).rejects.toMatchObject({
      code: "busy",
      message: `The inbox of flow ${stuck._id} holds 2 pages, import stuck has the most left: try again later`,
    });
    await harness.clock.settle();
    expect(sinks.fast.written).toEqual([1, 2]);
  });

  test("that is filling is emitted once each time: at four fifths of its pages", async () => {
    let isDown = true;
    const sink = scriptedImport<number>(() =>
      isDown ? Promise.reject(retryLater("503", { afterMs: hour })) : undefined,
    );
    const harness = new Harness({ exports: { events }, imports: { sink }, options: { maxInboxPages: 5 } });
    await harness.scheduler.start();
    const { _id } = await harness.flow();
    const accept = async (...numbers: readonly number[]) => {
      for (const number of numbers) await harness.scheduler.accept("events", [number]);
    };

    await accept(1, 2, 3);
    const before = harness.events.of("inbox:filling").length;
    await accept(4, 5);
    const filling = [...harness.events.of("inbox:filling")];
    await harness.clock.settle();
    isDown = false;
    await harness.scheduler.resume(_id);
    await harness.clock.settle();
    await accept(6);
    await harness.clock.settle();
    isDown = true;
    await accept(7, 8, 9, 10);

    expect(before).toBe(0);
    expect(filling).toEqual([{ _flowId: _id, pages: 4, maxInboxPages: 5 }]);
    expect(harness.events.of("inbox:filling")).toHaveLength(2);
  });

  test("takes more as soon as a page of it is committed", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const harness = new Harness({ exports: { events }, imports: { sink }, options: { maxInboxPages: 1 } });
    await harness.scheduler.start();
    await harness.flow();
    await harness.scheduler.accept("events", [1]);
    await harness.clock.settle();
    await expect(harness.scheduler.accept("events", [2])).rejects.toMatchObject({ code: "busy" });

    gate.open();
    await harness.clock.settle();
    await harness.scheduler.accept("events", [2]);
    await harness.clock.settle();

    expect(sink.written).toEqual([1, 2]);
  });

  test("is drained in order, whole arrivals together until they fill a page", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { events: { ...events, pageSize: 4 } }, imports: { sink } });
    await harness.flow();
    for (const records of [[1, 2], [3], [4, 5], [6], [7]]) await harness.scheduler.accept("events", records);

    await harness.scheduler.start();
    await harness.clock.settle();

    expect(sink.calls.map(({ records }) => records)).toEqual([
      [1, 2, 3, 4, 5],
      [6, 7],
    ]);
  });

  test("needs one waiting run, however many events arrive", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const harness = new Harness({ exports: { events }, imports: { sink } });
    await harness.scheduler.start();
    await harness.flow();

    for (const number of upTo(50)) {
      await harness.scheduler.accept("events", [number]);
      await harness.clock.settle();
    }
    const waiting = await harness.runs();
    gate.open();
    await harness.clock.settle();

    expect(waiting.map(({ status }) => status)).toEqual(["running", "queued"]);
    expect(sink.written).toEqual(upTo(50));
  });

  test("left over by a failed run is tried again by the sweep, without another event", async () => {
    let down = true;
    const sink = scriptedImport<number>(() => {
      if (down) throw retryLater("down");
      return undefined;
    });
    const harness = new Harness({ exports: { events }, imports: { sink }, options: { maxAttempts: 2 } });
    await harness.scheduler.start();
    await harness.flow();
    await harness.scheduler.accept("events", [1, 2], { ids: ["a", "b"] });
    await harness.clock.advance(20 * second);
    const first = await harness.runs();
    down = false;

    await harness.clock.advance(30 * second);

    expect(first).toMatchObject([{ status: "failed", error: { code: "import_unavailable" } }]);
    expect((await harness.runs()).at(-1)).toMatchObject({ trigger: "resume", status: "completed", numSuccess: 2 });
    expect(sink.calls.at(-1)?.keys).toEqual(["a", "b"]);
    expect(await harness.failures()).toEqual([]);
  });

  test("of a disabled flow waits, and is moved when the flow is enabled", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { events }, imports: { sink } });
    const flow = await harness.flow();
    await harness.scheduler.accept("events", [1]);
    await harness.registry.patch(flow._id, { disabled: true });
    await harness.scheduler.start();
    await harness.clock.advance(hour);
    const before = [...sink.written];

    await harness.registry.patch(flow._id, { disabled: false });
    await harness.clock.settle();

    expect([before, sink.written]).toEqual([[], [1]]);
  });

  test("goes through the same line: a scheduled run and an event never overlap", async () => {
    let running = 0;
    let most = 0;
    const both: Export<number> = { ...(arrayExport([1, 2], { order: "unordered" }) as Export<number>), ...events };
    const sink = scriptedImport<number>(async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => harness.clock.setTimer(resolve, 20 * second));
      running--;
      return undefined;
    });
    const harness = new Harness({ exports: { both }, imports: { sink } });
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });

    for (let count = 0; count < 20; count++) {
      await harness.clock.advance(17 * second);
      await harness.scheduler.accept("both", [100 + count]);
    }
    await harness.clock.advance(5 * minute);

    expect(most).toBe(1);
    expect(sink.written.filter((number) => number >= 100)).toEqual(upTo(20).map((count) => 99 + count));
  });

  test("keeps the pages a canceled run had not committed", async () => {
    const sink = scriptedImport<number>(async (_, { signal }) => {
      if (calls++ > 0) return;
      await aborted(signal);
      throw new Error("aborted");
    });
    let calls = 0;
    const harness = new Harness({ exports: { events }, imports: { sink } });
    await harness.scheduler.start();
    await harness.flow();
    await harness.scheduler.accept("events", [1]);
    await harness.clock.settle();
    const [run] = await harness.runs();

    await harness.scheduler.cancel(run?._id ?? "");
    await harness.clock.advance(minute);

    expect((await harness.runs()).map(({ status }) => status)).toEqual(["canceled", "completed"]);
    expect(sink.written).toEqual([1]);
  });
});

describe("listen", () => {
  /** Says what it hears, and how often it was begun and stopped. */
  function listening(settings: Partial<Export<number>> = {}) {
    const log: string[] = [];
    let context: ListenContext<number> | undefined;
    const from: Export<number> = {
      listen(given) {
        log.push("begins");
        context = given;
        given.signal.addEventListener("abort", () => log.push("aborts"));
        return () => void log.push("stops");
      },
      ...settings,
    };
    const send = (records: number[]) => context?.accept(records);
    return { log, from, send };
  }

  test("begins at start if an enabled flow uses the export, and stops with the scheduler", async () => {
    const { log, from } = listening();
    const harness = new Harness({ exports: { from, unused: from }, imports: { sink: collectingImport<number>() } });
    await harness.flow();

    await harness.scheduler.start();
    const during = [...log];
    await harness.scheduler.stop();

    expect(during).toEqual(["begins"]);
    expect(log).toEqual(["begins", "aborts", "stops"]);
  });

  test("begins with the first enabled flow on the export and stops with the last", async () => {
    const { log, from } = listening();
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    const steps: string[][] = [];
    const step = async (change: () => Promise<unknown>) => {
      await change();
      await harness.clock.settle();
      steps.push(log.splice(0));
    };
    await step(() => harness.scheduler.start());
    const first = await harness.flow({ disabled: true });
    await step(() => harness.registry.patch(first._id, { name: "still off" }));

    await step(() => harness.registry.patch(first._id, { disabled: false }));
    let another: { _id: string } = { _id: "" };
    await step(async () => (another = await harness.flow()));
    await step(() => harness.registry.delete(first._id));
    await step(() => harness.registry.patch(another._id, { disabled: true }));

    expect(steps).toEqual([[], [], ["begins"], [], [], ["aborts", "stops"]]);
  });

  test("hands what it hears to the flows", async () => {
    const { from, send } = listening();
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });
    await harness.scheduler.start();
    await harness.flow();
    await harness.clock.settle();

    const accepted = await send([1, 2]);
    await harness.clock.settle();

    expect(accepted).toEqual({ accepted: 2, duplicates: 0 });
    expect(sink.written).toEqual([1, 2]);
  });

  test("begins within half a minute if another process enabled the flow, and stops so if it disabled it", async () => {
    const { from, log } = listening();
    const exports = { from };
    const harness = new Harness({ exports, imports: { sink: collectingImport<number>() } });
    const { storage, clock } = harness;
    const other = new Harness({ exports, imports: { sink: collectingImport<number>() }, storage, clock });
    await harness.scheduler.start();

    const flow = await other.flow();
    await clock.advance(30 * second);
    const afterCreating = [...log];
    await other.registry.patch(flow._id, { disabled: true });
    await clock.advance(30 * second);

    expect(afterCreating).toEqual(["begins"]);
    expect(log).toEqual(["begins", "aborts", "stops"]);
  });

  test("begins within half a minute if the storage failed when its first flow was created", async () => {
    const { from, log } = listening();
    const storage = faltering(new MemoryStorage(), { method: "listFlows", fails: (nth) => nth === 3 });
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() }, storage });
    await harness.scheduler.start();
    await harness.flow();
    await harness.clock.settle();
    const before = [...log];

    await harness.clock.advance(30 * second);

    expect(before).toEqual([]);
    expect(log).toEqual(["begins"]);
  });

  test("that throws is tried again, later each time up to a minute, and reported", async () => {
    const at: number[] = [];
    const { log, from } = listening();
    const listen = from.listen?.bind(from);
    const flaky: Export<number> = {
      listen(context) {
        at.push(harness.clock.now());
        if (at.length <= 8) throw new Error(`no connection ${at.length}`);
        return listen?.(context) ?? expect.unreachable();
      },
    };
    const harness = new Harness({ exports: { flaky }, imports: { sink: collectingImport<number>() } });
    await harness.flow();
    await harness.scheduler.start();

    await harness.clock.advance(10 * minute);

    const waits = at.slice(1).map((time, index) => (time - (at[index] ?? 0)) / second);
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    expect(log).toEqual(["begins"]);
    expect(harness.events.of("listen:failed").slice(0, 2)).toMatchObject([
      { _exportId: "flaky", error: new Error("no connection 1"), delayMs: 1_000 },
      { _exportId: "flaky", error: new Error("no connection 2"), delayMs: 2_000 },
    ]);
    await harness.scheduler.stop();
    expect(log).toEqual(["begins", "aborts", "stops"]);
  });

  test("is not tried again after stop", async () => {
    let tries = 0;
    const from: Export<number> = {
      listen() {
        tries++;
        return Promise.reject(new Error("no connection"));
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.flow();
    await harness.scheduler.start();

    await harness.scheduler.stop();
    const left = harness.clock.timers;
    await harness.clock.advance(hour);

    expect([tries, left]).toEqual([1, 0]);
  });

  test("that is still connecting keeps neither start nor another export waiting", async () => {
    const gate = new Gate();
    const connecting: Export<number> = { listen: () => gate.opened.then(() => () => undefined) };
    const { log, from } = listening();
    const harness = new Harness({ exports: { connecting, from }, imports: { sink: collectingImport<number>() } });
    await harness.flow({ _exportId: "connecting" });
    await harness.flow({ _exportId: "from" });

    const starting = harness.scheduler.start();
    const ready = await isSettled(starting, harness);
    const begun = [...log];
    gate.open();
    await starting;

    expect(ready).toBe(true);
    expect(begun).toEqual(["begins"]);
  });

  test("that is still connecting when the scheduler stops is stopped as soon as it is connected", async () => {
    const gate = new Gate();
    const log: string[] = [];
    const from: Export<number> = {
      async listen({ signal }) {
        signal.addEventListener("abort", () => log.push("aborts"));
        await gate.opened;
        return () => void log.push("stops");
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { graceMs: 0 },
    });
    await harness.flow();
    void harness.scheduler.start();
    await harness.clock.settle();

    const stopping = harness.scheduler.stop();
    await harness.clock.advance(2 * second);
    await stopping;
    gate.open();
    await harness.clock.settle();

    expect(log).toEqual(["aborts", "stops"]);
  });

  test("whose second try is still connecting when the scheduler stops is stopped, too", async () => {
    const gate = new Gate();
    let tries = 0;
    let stops = 0;
    const from: Export<number> = {
      async listen() {
        if (++tries === 1) throw new Error("no connection");
        await gate.opened;
        return () => {
          stops++;
        };
      },
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { graceMs: 0 },
    });
    await harness.flow();
    await harness.scheduler.start();
    await harness.clock.advance(second);

    const stopping = harness.scheduler.stop();
    await harness.clock.advance(2 * second);
    await stopping;
    gate.open();
    await harness.clock.settle();

    expect([tries, stops]).toEqual([2, 1]);
  });

  test("has until graceMs to stop, and the scheduler waits for it", async () => {
    const from: Export<number> = {
      listen: () => () => new Promise<void>((resolve) => harness.clock.setTimer(resolve, 3 * second)),
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.flow();
    await harness.scheduler.start();

    const stopping = harness.scheduler.stop();
    await harness.clock.advance(3 * second - 1);
    const before = await isSettled(stopping, harness);
    await harness.clock.advance(1);

    expect([before, await isSettled(stopping, harness)]).toEqual([false, true]);
  });

  test("that hangs while it stops is left behind after graceMs", async () => {
    const from: Export<number> = { listen: () => () => new Promise(() => undefined) };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { graceMs: 5 * second },
    });
    await harness.flow();
    await harness.scheduler.start();

    const stopping = harness.scheduler.stop();
    await harness.clock.advance(5 * second);

    expect(await isSettled(stopping, harness)).toBe(true);
    expect(harness.clock.timers).toBe(0);
    expect(harness.events.of("listen:failed")).toMatchObject([
      { error: new Error("unsubscribing did not end within 5000 ms"), delayMs: 0 },
    ]);
  });

  test("that does not resolve within a minute is aborted and called again, and ended if it connects after all", async () => {
    const log: string[] = [];
    const first = new Gate();
    const from: Export<number> = {
      async listen({ signal }) {
        const nth = log.push("begins");
        signal.addEventListener("abort", () => log.push(`aborts ${nth}`));
        if (nth === 1) await first.opened;
        return () => void log.push(`stops ${nth}`);
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.flow();
    await harness.scheduler.start();

    await harness.clock.advance(minute);
    const reported = harness.events.of("listen:failed");
    await harness.clock.advance(second);
    first.open();
    await harness.clock.settle();

    expect(reported).toMatchObject([{ error: new Error("listen did not resolve within 60000 ms"), delayMs: 1_000 }]);
    expect(log).toEqual(["begins", "aborts 1", "begins", "stops 1"]);
    await harness.scheduler.stop();
    expect(log.slice(4)).toEqual(["aborts 3", "stops 3"]);
  });

  test("that ignores a stop while it connects holds up neither the stop nor the next start", async () => {
    let calls = 0;
    const from: Export<number> = {
      listen: () => (++calls === 1 ? new Promise(() => undefined) : Promise.resolve(() => undefined)),
    };
    const harness = new Harness({
      exports: { from },
      imports: { sink: collectingImport<number>() },
      options: { graceMs: second },
    });
    await harness.flow();
    await harness.scheduler.start();

    const stopping = harness.scheduler.stop();
    await harness.clock.advance(second);
    await stopping;
    const left = harness.clock.timers;
    await harness.scheduler.start();

    expect([left, calls]).toEqual([0, 2]);
    await harness.scheduler.stop();
  });

  test("that throws while it stops harms nothing, and is reported", async () => {
    const from: Export<number> = { listen: () => () => Promise.reject(new Error("closed already")) };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.flow();
    await harness.scheduler.start();

    await harness.scheduler.stop();

    expect(harness.events.of("listen:failed")).toMatchObject([{ error: new Error("closed already") }]);
  });

  test("begins again after a new start", async () => {
    const { log, from } = listening();
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.flow();

    for (let count = 0; count < 2; count++) {
      await harness.scheduler.start();
      await harness.scheduler.stop();
    }

    expect(log).toEqual(["begins", "aborts", "stops", "begins", "aborts", "stops"]);
  });
});
