import { describe, expect, test } from "vitest";
import { type Export, MemoryStorage } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { silentLogger } from "../../src/model/logger.ts";
import {
  type CollectingImport,
  ManualClock,
  arrayExport,
  collectingImport,
  scriptedImport,
} from "../../src/testing/index.ts";
import {
  type Fault,
  Gate,
  Harness,
  aborted,
  faltering,
  hanging,
  minute,
  noon,
  second,
  upTo,
} from "../support/harness.ts";

const error = { code: "lease_lost", message: "stolen" };

/** Takes every active run back, as another process would that finds all leases expired. */
function steal(storage: Storage, now: number) {
  return storage.reclaimExpiredRuns({ now: now + minute, maxCrashes: 3, error, limit: 10 });
}

/** Writes go through, except that the one of `held` waits for the gate. */
function gated(held: number) {
  const gate = new Gate();
  const sink = scriptedImport<number>(({ records }) =>
    records[0] === held ? gate.opened.then(() => undefined) : undefined,
  );
  return { gate, sink };
}

const ones = (last: number) => arrayExport(upTo(last), { pageSize: 1, key: (number) => `#${number}` });

/** A harness whose run stands in the middle of its page number `held`. */
async function midway(held: number, storage: Storage = new MemoryStorage()) {
  const { gate, sink } = gated(held);
  const harness = new Harness({ exports: { from: ones(4) }, imports: { sink }, storage });
  await harness.scheduler.start();
  const run = await harness.scheduler.run((await harness.flow())._id);
  await harness.clock.settle();
  return { harness, run, gate, sink };
}

/** Another process on the same storage and clock. */
function another(harness: Harness, exports = { from: ones(4) }, options = {}) {
  const sink = collectingImport<number>();
  const { storage, clock } = harness;
  return { sink, harness: new Harness({ exports, imports: { sink }, storage, clock, options }) };
}

describe("a lease", () => {
  test("is renewed as long as the run goes on, however long that is", async () => {
    const { harness, run, gate } = await midway(2);
    const other = another(harness);
    await other.harness.scheduler.start();

    await harness.clock.advance(4 * minute);
    gate.open();

    expect(await harness.end(run)).toMatchObject({ status: "completed", crashes: 0, numSuccess: 4 });
    expect(other.sink.written).toEqual([]);
  });

  test("is renewed again when a renewal does not answer", async () => {
    const storage = hanging(new MemoryStorage(), { method: "renewLeases", nth: 1, gate: new Gate() });
    const { harness, run, gate } = await midway(2, storage);

    await harness.clock.advance(4 * minute);
    gate.open();

    expect(await harness.end(run)).toMatchObject({ status: "completed", crashes: 0, numSuccess: 4 });
  });

  test("that was stolen leaves the stale run without any effect: it commits nothing and ends with lease:lost", async () => {
    const { harness, run, gate, sink } = await midway(2);
    await steal(harness.storage, harness.clock.now());
    const other = another(harness);
    await other.harness.scheduler.start();
    const ended = await other.harness.end(run);

    gate.open();
    await harness.clock.advance(5 * minute);

    expect(ended).toMatchObject({ status: "completed", numSuccess: 4, numPagesProcessed: 4, crashes: 0 });
    expect(await harness.scheduler.getRun(run._id)).toEqual(ended);
    expect(other.sink.written).toEqual([2, 3, 4]);
    expect(sink.written).toEqual([1, 2]);
    expect(harness.events.of("lease:lost")).toMatchObject([{ run: { _id: run._id } }]);
    expect(harness.events.of("run:completed")).toEqual([]);
  });

  test("that was stolen aborts the code that runs, at the next renewal", async () => {
    let reason: unknown;
    const sink = scriptedImport<number>(async (_, { signal }) => {
      await aborted(signal);
      reason = signal.reason;
      throw new Error("aborted");
    });
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    const [stolen] = await steal(harness.storage, harness.clock.now());
    await harness.storage.cancelRun(run._id, { at: harness.clock.now() });

    await harness.clock.advance(10 * second);

    expect(stolen?._id).toBe(run._id);
    expect(reason).toEqual(new Error("another process has reclaimed the run"));
    expect(harness.events.names.filter((name) => name === "lease:lost")).toHaveLength(1);
    expect(await harness.failures()).toEqual([]);
  });

  test("that is asked to be renewed just when its run has ended is not lost", async () => {
    const memory = new MemoryStorage();
    const gate = new Gate();
    const storage = new Proxy<Storage>(memory, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]) => {
          const result: unknown = await Reflect.apply(member, target, args);
          // It is stored, and a renewal comes before it is known here.
          if (name === "endRun") await gate.opened;
          return result;
        };
      },
    });
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() }, storage });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.advance(10 * second);
    gate.open();
    await harness.clock.settle();

    expect(harness.events.of("lease:lost")).toEqual([]);
    expect(harness.events.of("run:completed")).toMatchObject([{ run: { _id: run._id } }]);
  });

  test("is found expired by any process: the run is reclaimed and resumed from its last commit", async () => {
    const { harness, run } = await midway(3);
    // The first process dies here: its timers never fire again.
    const { storage } = harness;
    const clock = new ManualClock(harness.clock.now());
    const sink = collectingImport<number>();
    const next = new Harness({ exports: { from: ones(4) }, imports: { sink }, storage, clock });
    await next.scheduler.start();

    await clock.advance(29 * second);
    const before = await next.scheduler.getRun(run._id);
    const ended = await next.end(run);

    expect(before.status).toBe("running");
    expect(ended).toMatchObject({ status: "completed", crashes: 0, numSuccess: 4 });
    expect(sink.written).toEqual([3, 4]);
    expect(next.events.of("run:requeued")).toMatchObject([{ reason: "crash", run: { _id: run._id, crashes: 1 } }]);
    expect(clock.now() - harness.clock.now()).toBeLessThanOrEqual(minute);
  });

  test("that is short is found expired within two of its lengths", async () => {
    const options = { leaseMs: 2 * second };
    const hanging = scriptedImport<number>(() => new Promise(() => undefined));
    const first = new Harness({ exports: { from: ones(2) }, imports: { sink: hanging }, options });
    await first.scheduler.start();
    const run = await first.scheduler.run((await first.flow())._id);
    await first.clock.settle();
    // The first process dies here: its timers never fire again.
    const clock = new ManualClock(first.clock.now());
    const sink = collectingImport<number>();
    const { storage } = first;
    const next = new Harness({ exports: { from: ones(2) }, imports: { sink }, storage, clock, options });
    await next.scheduler.start();

    await clock.advance(4 * second);

    expect(await next.scheduler.getRun(run._id)).toMatchObject({ status: "completed", crashes: 0 });
  });

  test("keeps the keys of pages that are written again after a crash", async () => {
    const from: Export<number, { read: number }> = { ...ones(4) };
    delete (from as { key?: unknown }).key;
    const { gate, sink } = gated(3);
    const harness = new Harness({ exports: { from }, imports: { sink } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    await steal(harness.storage, harness.clock.now());
    const other = another(harness, { from });
    await other.harness.scheduler.start();

    await other.harness.end(run);
    gate.open();

    expect(other.sink.calls.map(({ keys: [key], records: [record] }) => [record, key])).toEqual([
      [3, `${run._id}/3/0`],
      [4, `${run._id}/4/0`],
    ]);
    expect(sink.calls.at(-1)?.keys).toEqual([`${run._id}/3/0`]);
  });

  test.each([0, 1, 3])("lost more than maxCrashes (%i) times fails the run", async (maxCrashes) => {
    const hanging = scriptedImport<number>(() => new Promise(() => undefined));
    const setting = { exports: { from: ones(2) }, imports: { hanging }, options: { maxCrashes } };
    const first = new Harness(setting);
    const run = await first.scheduler.run((await first.flow())._id);
    const { storage } = first;

    // Each process dies while the import hangs: its clock stands still for good.
    let last = first;
    for (let process = 0; process <= maxCrashes + 1; process++) {
      last = new Harness({ ...setting, storage, clock: new ManualClock(noon + process * minute) });
      await last.scheduler.start();
      await last.clock.settle();
    }

    expect(await last.scheduler.getRun(run._id)).toMatchObject({
      ...{ status: "failed", crashes: maxCrashes + 1, error: { code: "lease_lost" } },
    });
    expect(hanging.calls).toHaveLength(maxCrashes + 1);
    expect(last.events.of("run:failed")).toMatchObject([{ run: { _id: run._id } }]);
  });

  test("of a run that was canceled is not given to anybody: the run ends as canceled", async () => {
    const { harness, run, gate } = await midway(2);
    await harness.storage.cancelRun(run._id, { at: harness.clock.now() });
    await steal(harness.storage, harness.clock.now());
    gate.open();

    await harness.clock.advance(minute);

    expect(await harness.scheduler.getRun(run._id)).toMatchObject({ status: "canceled", numSuccess: 1 });
  });

  test("tells this process that another one canceled its run", async () => {
    const { harness, run, gate } = await midway(2);
    const other = another(harness);

    await other.harness.scheduler.cancel(run._id);
    await harness.clock.advance(10 * second);
    gate.open();

    expect((await harness.end(run)).status).toBe("canceled");
    expect(harness.events.of("run:canceled")).toHaveLength(1);
  });
});

describe("a storage that falters", () => {
  const methods = ["claimRun", "commitPage", "endRun", "renewLeases", "queueDue", "dueFlows", "nextDueAt"] as const;
  const sweeping = ["reclaimExpiredRuns", "waitingFlows", "unreadInboxes", "prune"] as const;

  test.each(
    [...methods, ...sweeping].flatMap((method) =>
      [1, 2, 3].flatMap((nth) => [false, true].map((afterwards) => [method, nth, afterwards] as const)),
    ),
  )("once in %s (call %i, answer lost: %s) costs no run and loses nothing", async (method, nth, afterwards) => {
    let broken = false;
    const fault: Fault = { method, afterwards, fails: (call) => broken && call === nth };
    const { sink, gate } = gated(3);
    const storage = faltering(new MemoryStorage(), fault);
    const harness = new Harness({ exports: { from: ones(4) }, imports: { sink }, storage });
    await harness.scheduler.start();
    broken = true;
    const flow = await harness.flow({ schedule: "* * * * *" });
    await harness.clock.advance(minute + 20 * second);
    gate.open();
    await harness.clock.advance(2 * minute);

    const [first] = await harness.runs(flow._id);

    expect(first).toMatchObject({ status: "completed", numSuccess: 4, crashes: 0 });
    expect([...sink.byKey.keys()]).toEqual(["#1", "#2", "#3", "#4"]);
    expect(await harness.scheduler.getCheckpoint(flow._id)).toEqual({ read: 4 });
  });

  test("for long in endRun is reported, and the run is resumed when it works again", async () => {
    let down = false;
    const storage = faltering(new MemoryStorage(), { method: "endRun", fails: () => down });
    const { harness, run, gate, sink } = await midway(3, storage);
    down = true;
    gate.open();
    await harness.clock.advance(5 * second);
    const meanwhile = await harness.scheduler.getRun(run._id);
    down = false;

    const ended = await harness.end(run);

    expect(meanwhile.status).toBe("running");
    expect(harness.events.of("background:error")).toMatchObject([
      { error: { code: "storage_failed", message: expect.stringContaining("endRun") as unknown } },
    ]);
    expect(ended).toMatchObject({ status: "completed", numSuccess: 4, numPagesProcessed: 4 });
    expect([...sink.byKey.keys()].sort()).toEqual(["#1", "#2", "#3", "#4"]);
  });

  test("for long in commitPage is reported, and the run is resumed when it responds again", async () => {
    let down = false;
    const storage = faltering(new MemoryStorage(), { method: "commitPage", fails: () => down });
    const { harness, run, gate, sink } = await midway(3, storage);
    down = true;
    gate.open();
    await harness.clock.advance(5 * second);
    const reported = harness.events.of("background:error").length;
    down = false;

    expect(await harness.end(run)).toMatchObject({ status: "completed" });
    expect(reported).toBeGreaterThan(0);
    expect([...sink.byKey.keys()].sort()).toEqual(["#1", "#2", "#3", "#4"]);
  });

  test("for long in claimRun leaves the run waiting, and a later sweep starts it", async () => {
    let down = true;
    const storage = faltering(new MemoryStorage(), { method: "claimRun", fails: () => down });
    const harness = new Harness({ exports: { from: ones(2) }, imports: { sink: collectingImport<number>() }, storage });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);

    await harness.clock.advance(5 * second);
    const meanwhile = await harness.scheduler.getRun(run._id);
    down = false;

    expect(meanwhile.status).toBe("queued");
    expect(await harness.end(run)).toMatchObject({ status: "completed", crashes: 0 });
    expect(harness.events.of("background:error").length).toBeGreaterThan(0);
  });

  test("for long in everything in the background is reported, and all goes on when it responds again", async () => {
    let down = false;
    const all = [...methods, ...sweeping].map((method) => ({ method, fails: () => down }));
    const storage = faltering(new MemoryStorage(), ...all);
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: ones(2) }, imports: { sink }, storage });
    await harness.scheduler.start();
    const flow = await harness.flow({ schedule: "*/10 * * * *" });

    down = true;
    await harness.clock.advance(15 * minute);
    down = false;
    await harness.clock.advance(2 * minute);

    expect((await harness.runs(flow._id)).map(({ status }) => status)).toEqual(["completed"]);
    expect(sink.written).toEqual([1, 2]);
    expect(new Set(harness.events.of("background:error").map(({ during }) => during))).toEqual(
      new Set(["queueing what is due", "maintenance"]),
    );
  });
});

describe("an export or import that is not registered here", () => {
  const without = (gone: string) => ({
    exports: gone === "from" ? { elsewhere: ones(1) } : { from: ones(1) },
    imports: gone === "sink" ? { elsewhere: collectingImport<number>() } : { sink: collectingImport<number>() },
  });

  test.each([
    ["from", "export"],
    ["sink", "import"],
  ])("(%s) leaves the flow's runs to others, reported once a minute", async (gone, kind) => {
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() } });
    const flow = await harness.flow();
    const run = await harness.scheduler.run(flow._id);
    const next = new Harness({ ...without(gone), storage: harness.storage, clock: harness.clock });
    await next.scheduler.start();

    await harness.clock.advance(2 * minute - second);

    expect(await next.scheduler.getRun(run._id)).toEqual(run);
    expect(next.events.of("run:unclaimed")).toMatchObject(
      Array(2).fill({ run: { _id: run._id, _flowId: flow._id }, missing: [{ kind, _id: gone }] }),
    );
    await harness.scheduler.start();
    expect(await harness.end(run)).toMatchObject({ status: "completed", crashes: 0 });
  });

  test("is registered later: then the run that waited goes on", async () => {
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() } });
    const run = await harness.scheduler.run((await harness.flow())._id);
    const next = new Harness({ ...without("from"), storage: harness.storage, clock: harness.clock });
    await next.scheduler.start();
    await harness.clock.settle();

    next.registry.addExport("from", ones(1));

    expect(await next.end(run)).toMatchObject({ status: "completed" });
  });

  test("is named in the log at the start, with the flows that use it", async () => {
    const lines: unknown[] = [];
    const logger = { ...silentLogger, warn: (fields: object, message: string) => void lines.push([fields, message]) };
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() } });
    const flows = [await harness.flow(), await harness.flow(), await harness.flow({ disabled: true })];
    const next = new Harness({
      ...without("sink"),
      storage: harness.storage,
      clock: harness.clock,
      options: { logger },
    });

    await next.scheduler.start();
    await harness.clock.settle();

    const flowIds = flows.slice(0, 2).map(({ _id }) => _id);
    expect(lines).toEqual([
      [{ importId: "sink", flows: 2, flowIds }, "import is not registered here, but flows use it"],
    ]);
  });
});

describe("stop", () => {
  test("lets a run end that does so within graceMs, commits and completes it", async () => {
    const { harness, run, gate } = await midway(4);

    const stopped = harness.scheduler.stop({ graceMs: 10 * second });
    await harness.clock.advance(9 * second);
    gate.open();
    await stopped;

    expect(await harness.scheduler.getRun(run._id)).toMatchObject({ status: "completed", numSuccess: 4 });
    expect(harness.clock.timers).toBe(0);
  });

  test("begins no waiting run while the running one uses its grace", async () => {
    const { harness, run, gate } = await midway(4);
    const waiting = await harness.scheduler.run(run._flowId);

    const stopped = harness.scheduler.stop();
    await harness.clock.settle();
    gate.open();
    await stopped;

    expect((await harness.scheduler.getRun(run._id)).status).toBe("completed");
    expect((await harness.scheduler.getRun(waiting._id)).status).toBe("queued");
  });

  test("aborts after graceMs; the run waits and resumes where it committed, after a new start", async () => {
    const heard: number[] = [];
    let hang = true;
    const sink = scriptedImport<number>(async ({ records }, { signal }) => {
      if (records[0] !== 3 || !hang) return;
      await aborted(signal);
      heard.push(harness.clock.now());
      throw new Error("aborted");
    });
    const harness = new Harness({ exports: { from: ones(4) }, imports: { sink } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    const before = harness.clock.now();

    const stopped = harness.scheduler.stop({ graceMs: 7 * second });
    await harness.clock.advance(7 * second);
    await stopped;
    const between = await harness.scheduler.getRun(run._id);
    hang = false;
    await harness.scheduler.start();
    const ended = await harness.end(run);

    expect(heard).toEqual([before + 7 * second]);
    expect(between).toMatchObject({ status: "queued", numSuccess: 2, crashes: 0 });
    expect(ended).toMatchObject({ status: "completed", numSuccess: 4, crashes: 0 });
    expect(sink.written).toEqual([1, 2, 3, 4]);
    expect(harness.events.of("run:requeued")).toMatchObject([{ reason: "stop", run: { _id: run._id } }]);
  });

  test("a run that is just being taken when graceMs are over is given back unread", async () => {
    const storage = new MemoryStorage();
    const taking = new Gate();
    const claimRun = storage.claimRun.bind(storage);
    storage.claimRun = (...call) => taking.opened.then(() => claimRun(...call));
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: ones(4) }, imports: { sink }, storage });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);

    const stopped = harness.scheduler.stop({ graceMs: 0 });
    await harness.clock.advance(100);
    taking.open();
    await harness.clock.advance(1);
    await stopped;

    expect(sink.written).toEqual([]);
    expect(await harness.scheduler.getRun(run._id)).toMatchObject({ status: "queued", crashes: 0 });
  });

  test("a run that was released goes before those that waited behind it", async () => {
    const { harness, run, gate } = await midway(2);
    const behind = await harness.scheduler.run(run._flowId);
    const stopped = harness.scheduler.stop({ graceMs: 0 });
    await harness.clock.advance(0);
    gate.open();
    await stopped;

    await harness.scheduler.start();
    await harness.end(behind);

    expect(harness.events.of("run:started").map((event) => event.run._id)).toEqual([run._id, run._id, behind._id]);
  });

  test("leaves code behind that ignores its signal for a second; its run is reclaimed when the lease has run out", async () => {
    const { harness, run, gate, sink } = await midway(2);
    const before = harness.clock.now();

    const stopped = harness.scheduler.stop({ graceMs: 5 * second });
    await harness.clock.advance(10 * second);
    await stopped;
    const between = await harness.scheduler.getRun(run._id);
    const other = another(harness);
    await other.harness.scheduler.start();
    const ended = await other.harness.end(run);
    const tookMs = harness.clock.now() - before;
    gate.open();
    await harness.clock.advance(minute);

    expect(between.status).toBe("running");
    expect(ended).toMatchObject({ status: "completed", crashes: 0, numSuccess: 4 });
    expect(tookMs).toBeLessThanOrEqual(90 * second);
    expect(other.sink.written).toEqual([2, 3, 4]);
    expect(sink.written).toEqual([1, 2]);
    expect(await harness.scheduler.getRun(run._id)).toEqual(ended);
  });

  test("takes no longer than graceMs and a second, and leaves no timer behind", async () => {
    const { harness, gate } = await midway(2);
    let stopped = false;

    void harness.scheduler.stop({ graceMs: 5 * second }).then(() => (stopped = true));
    await harness.clock.advance(6 * second - 1);
    const before = stopped;
    await harness.clock.advance(1);

    expect([before, stopped]).toEqual([false, true]);
    // What is left is the timeout of the write that still hangs.
    expect(harness.clock.timers).toBe(1);
    gate.open();
    await harness.clock.settle();
    expect(harness.clock.timers).toBe(0);
  });

  test("code that was left behind does not disturb the run that this process reclaims after a new start", async () => {
    const { harness, run, gate, sink } = await midway(2);
    const stopped = harness.scheduler.stop({ graceMs: 0 });
    await harness.clock.advance(second);
    await stopped;
    sink.calls.length = 0;

    await harness.scheduler.start();
    await harness.clock.advance(minute);
    const again = sink.calls.length;
    gate.open();
    const ended = await harness.end(run);

    expect(again).toBe(1);
    expect(ended).toMatchObject({ status: "completed", numSuccess: 4, numPagesProcessed: 4, crashes: 0 });
    expect(harness.events.of("run:completed")).toHaveLength(1);
  });

  test("a run that this process reclaimed can be canceled after the code that was left behind has ended", async () => {
    const gate = new Gate();
    const sink: CollectingImport<number> = scriptedImport<number>((_, { signal }) =>
      (sink.calls.length === 1 ? gate.opened : aborted(signal)).then(() => undefined),
    );
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink }, options: { graceMs: 0 } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    const stopped = harness.scheduler.stop();
    await harness.clock.advance(second);
    await stopped;
    await harness.scheduler.start();
    await harness.clock.advance(minute);

    gate.open();
    await harness.clock.settle();
    await harness.scheduler.cancel(run._id);
    await harness.clock.settle();

    expect(sink.calls).toHaveLength(2);
    expect((await harness.scheduler.getRun(run._id)).status).toBe("canceled");
  });

  test("refuses a grace that is no number of milliseconds", async () => {
    await expect(new Harness().scheduler.stop({ graceMs: -1 })).rejects.toMatchObject({ code: "invalid_option" });
  });
});

test("a resume run that finds nothing to do has completed nothing, and chains no run", async () => {
  const imports = { sink: collectingImport<number>(), other: collectingImport<number>() };
  const harness = new Harness({ exports: { from: ones(1) }, imports });
  await harness.scheduler.start();
  const next = await harness.flow({ _importId: "other" });
  const flow = await harness.flow({ _importId: "sink", _runNextFlowIds: [next._id] });
  const start = { _id: "late", _flowId: flow._id, trigger: "resume", queuedAt: new Date(noon).toISOString() } as const;

  await harness.storage.queueRun(start, { maxQueued: 10 });
  await harness.clock.advance(minute);

  expect(await harness.runs()).toMatchObject([{ _id: "late", status: "completed" }]);
});

test("an error that nobody expected ends the run as what it is, and not as an error of the storage", async () => {
  let isBroken = false;
  const from: Export<number, { read: number }> = {
    ...ones(2),
    get checkpointVersion() {
      if (isBroken) throw new TypeError("no version");
      return 1;
    },
  };
  const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
  await harness.scheduler.start();
  const flow = await harness.flow();
  isBroken = true;

  const run = await harness.run(flow._id);

  expect(run).toMatchObject({
    status: "failed",
    error: { code: "unexpected_error", message: "Unexpected error: no version" },
  });
});
