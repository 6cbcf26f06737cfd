import { describe, expect, test } from "vitest";
import {
  type Executor,
  type Export,
  LocalExecutor,
  MemoryStorage,
  type Result,
  Scheduler,
  type WorkerOptions,
  reject,
  retryLater,
} from "../../src/index.ts";
import { noCounts } from "../../src/model/run.ts";
import { type ImportSettings, arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, aborted, day, faltering, hanging, hour, minute, second, upTo } from "../support/harness.ts";

const ones = (last: number) => arrayExport(upTo(last), { pageSize: 1, key: (number) => `#${number}` });
const no = (number: number): Result => ({ ok: false, fault: "reject", error: new Error(`no ${number}`) });

/** An import that hangs until the gate opens. */
function gated() {
  const gate = new Gate();
  return { gate, sink: scriptedImport<number>(() => gate.opened.then(() => undefined)) };
}

/** A harness whose first run hangs in its import. */
async function busy(options = {}) {
  const { gate, sink } = gated();
  const harness = new Harness({ exports: { from: ones(1) }, imports: { sink }, options });
  await harness.scheduler.start();
  const flow = await harness.flow();
  const run = await harness.scheduler.run(flow._id);
  await harness.clock.settle();
  return { harness, gate, flow, run };
}

describe("start and stop", () => {
  test("starting twice is a conflict, and harms nothing", async () => {
    const { harness, gate, run } = await busy();

    await expect(harness.scheduler.start()).rejects.toMatchObject({ code: "conflict" });
    gate.open();

    expect((await harness.end(run)).status).toBe("completed");
  });

  test("starting while it stops is a conflict", async () => {
    const { harness, gate } = await busy();
    const stopping = harness.scheduler.stop();

    await expect(harness.scheduler.start()).rejects.toMatchObject({ code: "conflict" });
    gate.open();
    await stopping;
  });

  test("a second stop resolves when the first has ended", async () => {
    const { harness, gate } = await busy();
    const log: string[] = [];

    const both = [1, 2].map((nth) => harness.scheduler.stop().then(() => log.push(`stop ${nth}`)));
    await harness.clock.settle();
    log.push("gate opens");
    gate.open();
    await Promise.all(both);

    expect(log).toEqual(["gate opens", "stop 1", "stop 2"]);
  });

  test("stopping one that never started ends what follows it, once, and does nothing else", async () => {
    const harness = new Harness();
    const emitted: string[] = [];
    harness.scheduler.on("scheduler:stopped", () => emitted.push("stopped"));

    await harness.scheduler.stop();
    await harness.scheduler.stop();

    expect(emitted).toEqual(["stopped"]);
    expect(harness.clock.timers).toBe(0);
  });

  test("it can be started again after a stop, and goes on", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: ones(2) }, imports: { sink } });
    const flow = await harness.flow();
    for (let count = 0; count < 3; count++) {
      await harness.scheduler.start();
      await harness.scheduler.stop();
    }
    const run = await harness.scheduler.run(flow._id);
    const before = await harness.scheduler.getRun(run._id);

    await harness.scheduler.start();

    expect(before.status).toBe("queued");
    expect((await harness.end(run)).status).toBe("completed");
  });

  test("a stop during the start leaves it stopped, and nothing goes on", async () => {
    const gate = new Gate();
    class SlowExecutor extends LocalExecutor {
      override async start(work: WorkerOptions) {
        await gate.opened;
        await super.start(work);
      }
    }
    const harness = new Harness({
      exports: { from: ones(1) },
      imports: { sink: collectingImport<number>() },
      options: { executor: new SlowExecutor() },
    });
    await harness.flow({ schedule: "* * * * *" });

    const starting = harness.scheduler.start().catch((error: unknown) => error);
    await harness.clock.settle();
    const stopping = harness.scheduler.stop();
    gate.open();
    await harness.clock.advance(minute);
    await Promise.all([starting, stopping]);
    await harness.clock.advance(hour);

    expect(await harness.runs()).toEqual([]);
    expect(harness.clock.timers).toBe(0);
    await harness.scheduler.start();
    await harness.clock.advance(minute);
    expect((await harness.runs()).length).toBeGreaterThan(0);
  });

  for (const method of ["reclaimExpiredRuns", "nextDueAt", "listFlows"] as const)
    test(`a stop leaves behind a start that waits for ${method}, and it does not go on when that resolves`, async () => {
      const gate = new Gate();
      const storage = hanging(new MemoryStorage(), { method, nth: 1, gate });
      const from: Export<number> = { ...(ones(1) as Export<number>), listen: () => () => undefined };
      const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() }, storage });
      await harness.flow({ schedule: "* * * * *" });
      const log: string[] = [];

      const starting = harness.scheduler.start().catch((error: unknown) => error);
      await harness.clock.settle();
      void harness.scheduler.stop({ graceMs: 5 * second }).then(() => log.push("stopped"));
      await harness.clock.advance(6 * second);

      expect(log).toEqual(["stopped"]);
      gate.open();
      expect(await starting).toMatchObject({ code: "conflict" });
      await harness.clock.advance(hour);
      expect(await harness.runs()).toEqual([]);
      expect(harness.clock.timers).toBe(0);
      await harness.scheduler.start();
      await harness.clock.advance(minute);
      expect((await harness.runs()).length).toBeGreaterThan(0);
      await harness.scheduler.stop();
      expect(harness.clock.timers).toBe(0);
    });

  test("a start that a stop leaves behind rejects at once, and the next one works although it still hangs", async () => {
    const storage = hanging(new MemoryStorage(), { method: "reclaimExpiredRuns", nth: 1, gate: new Gate() });
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() }, storage });
    const starting = harness.scheduler.start().catch((error: unknown) => error);
    await harness.clock.settle();
    const stopping = harness.scheduler.stop({ graceMs: second });
    await harness.clock.advance(2 * second);

    expect(await starting).toMatchObject({ code: "conflict" });
    await stopping;
    await harness.scheduler.start();
    await harness.flow({ schedule: "* * * * *" });
    await harness.clock.advance(minute);

    expect(harness.events.of("run:completed")).toHaveLength(1);
  });

  test("leaving an `await using` scope stops it", async () => {
    const { harness, gate } = await busy();
    gate.open();

    await harness.scheduler[Symbol.asyncDispose]();

    expect(harness.scheduler.state).toBe("stopped");
  });

  for (const method of ["reclaimExpiredRuns", "queueDue", "nextDueAt"] as const)
    test(`stop takes graceMs and a second at most, also when ${method} does not answer`, async () => {
      const storage = hanging(new MemoryStorage(), { method, nth: 2, gate: new Gate() });
      const harness = new Harness({
        exports: { from: ones(1) },
        imports: { sink: collectingImport<number>() },
        storage,
      });
      await harness.scheduler.start();
      await harness.flow({ schedule: "* * * * *" });
      await harness.clock.advance(2 * minute);
      const log: string[] = [];

      void harness.scheduler.stop({ graceMs: 5 * second }).then(() => log.push("stopped"));
      await harness.clock.advance(6 * second);

      expect(log).toEqual(["stopped"]);
      expect(harness.clock.timers).toBe(0);
    });

  test("its state says what it does, and it says once that it has stopped, after the events of all that it ended", async () => {
    const { harness } = await busy();
    const emitted: string[] = [];
    harness.scheduler.on("scheduler:stopped", () => emitted.push("stopped"));
    harness.scheduler.on("run:requeued", () => emitted.push("run:requeued"));
    const states = [harness.scheduler.state];

    const stopping = harness.scheduler.stop({ graceMs: 0 });
    await harness.clock.settle();
    states.push(harness.scheduler.state);
    await harness.clock.advance(2 * second);
    await stopping;
    await harness.scheduler.stop();

    expect([...states, harness.scheduler.state]).toEqual(["started", "stopping", "stopped"]);
    expect(emitted.filter((name) => name === "stopped")).toEqual(["stopped"]);
    expect(emitted.at(-1)).toBe("stopped");
  });

  test("a start that fails leaves it stopped, and can be repeated", async () => {
    const storage = faltering(new MemoryStorage(), { method: "waitingFlows", fails: (nth) => nth === 1 });
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() }, storage });
    const run = await harness.scheduler.run((await harness.flow())._id);

    await expect(harness.scheduler.start()).rejects.toThrow("waitingFlows failed");
    expect(harness.clock.timers).toBe(0);
    await harness.scheduler.start();

    expect((await harness.end(run)).status).toBe("completed");
  });

  test("an executor that cannot start fails the start as executor_failed", async () => {
    const cause = new Error("no broker");
    const executor: Executor = {
      capabilities: { durable: false, routes: false },
      start: () => Promise.reject(cause),
      wake: async () => undefined,
      stop: async () => undefined,
    };
    const harness = new Harness({ options: { executor } });

    await expect(harness.scheduler.start()).rejects.toMatchObject({ code: "executor_failed", cause });
  });

  test("a wake-up the executor does not take is reported, and made up for by maintenance", async () => {
    class DeafExecutor extends LocalExecutor {
      deaf = true;
      override wake(flowId: string, exportId: string) {
        return this.deaf ? Promise.reject(new Error("broker gone")) : super.wake(flowId, exportId);
      }
    }
    const executor = new DeafExecutor();
    const harness = new Harness({
      exports: { from: ones(1) },
      imports: { sink: collectingImport<number>() },
      options: { executor },
    });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    executor.deaf = false;

    await harness.clock.advance(30 * second);

    expect(harness.events.of("background:error")).toMatchObject([{ error: { code: "executor_failed" } }]);
    expect((await harness.scheduler.getRun(run._id)).status).toBe("completed");
  });

  test("stop takes graceMs and a second at most, also when both a run and a listener hang", async () => {
    const { sink, gate } = gated();
    const from: Export<number> = { ...(ones(1) as Export<number>), listen: () => () => new Promise(() => undefined) };
    const harness = new Harness({ exports: { from }, imports: { sink }, options: { graceMs: 5 * second } });
    await harness.scheduler.start();
    await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    let stopped = false;

    void harness.scheduler.stop().then(() => (stopped = true));
    await harness.clock.advance(6 * second);

    expect(stopped).toBe(true);
    gate.open();
  });

  test("waiting runs go back to their queues in order", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink } });
    const flows = [await harness.flow(), await harness.flow()];
    const runs: string[] = [];
    for (const flow of [...flows, ...flows, ...flows]) runs.push((await harness.scheduler.run(flow._id))._id);

    await harness.scheduler.start();
    await harness.clock.settle();

    const started = harness.events.of("run:started").map(({ run }) => run);
    for (const { _id } of flows)
      expect(started.filter(({ _flowId }) => _flowId === _id).map((run) => run._id)).toEqual(
        (await harness.runs(_id)).map((run) => run._id),
      );
    expect(started.map(({ _id }) => _id).sort()).toEqual(runs.sort());
  });

  test.each<[string, object]>([
    ["concurrency", { concurrency: 0 }],
    ["leaseMs", { leaseMs: 999 }],
    ["overlap", { overlap: "sometimes" }],
    ["maxCrashes", { maxCrashes: -1 }],
    ["nonsense", { nonsense: 1 }],
  ])("an option out of range (%s) is refused at once, by name", (option, options) => {
    expect(() => new Scheduler(new Harness().registry, options)).toThrow(
      expect.objectContaining({ code: "invalid_option", option }) as Error,
    );
  });
});

describe("run", () => {
  test("is stored and queued once it resolves, and emitted", async () => {
    const { harness, flow, gate } = await busy();

    const run = await harness.scheduler.run(flow._id);

    expect(run).toMatchObject({
      status: "queued",
      trigger: "manual",
      _flowId: flow._id,
      queuedAt: "2030-01-01T12:00:00.000Z",
    });
    expect(await harness.scheduler.getRun(run._id)).toEqual(run);
    expect(harness.events.of("run:queued").at(-1)).toEqual({ run });
    gate.open();
  });

  test("always makes its own run, and they go first in, first out, one at a time", async () => {
    const { harness, flow, gate, run } = await busy();

    const others = [await harness.scheduler.run(flow._id), await harness.scheduler.run(flow._id)];
    await harness.clock.advance(minute);
    const meanwhile = await harness.runs();
    gate.open();
    await harness.clock.settle();

    expect(meanwhile.map(({ status }) => status)).toEqual(["running", "queued", "queued"]);
    const ids = [run, ...others].map(({ _id }) => _id);
    expect(harness.events.of("run:started").map((event) => event.run._id)).toEqual(ids);
    expect(harness.events.of("run:completed").map((event) => event.run._id)).toEqual(ids);
  });

  test("beyond maxQueued waiting runs is refused as busy, and nothing is dropped", async () => {
    const { harness, flow, gate } = await busy({ maxQueued: 2 });
    await harness.scheduler.run(flow._id);
    const last = await harness.scheduler.run(flow._id);

    await expect(harness.scheduler.run(flow._id)).rejects.toMatchObject({ code: "busy" });
    gate.open();

    expect((await harness.end(last)).status).toBe("completed");
    expect(await harness.runs()).toHaveLength(3);
    await expect(harness.scheduler.run(flow._id)).resolves.toMatchObject({ status: "queued" });
  });

  test("of an unknown flow is not found; of a disabled one flow_disabled", async () => {
    const { harness, flow, gate } = await busy();
    await harness.registry.patch(flow._id, { disabled: true });

    await expect(harness.scheduler.run("nothing")).rejects.toMatchObject({ code: "not_found", kind: "flow" });
    await expect(harness.scheduler.run(flow._id)).rejects.toMatchObject({ code: "flow_disabled" });
    await expect(harness.scheduler.retryFailures(flow._id)).rejects.toMatchObject({ code: "flow_disabled" });
    gate.open();
  });

  test("concurrency bounds the runs at once over all flows; different flows run in parallel up to it", async () => {
    let running = 0;
    let most = 0;
    const sink = scriptedImport<number>(async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => harness.clock.setTimer(resolve, second));
      running--;
      return undefined;
    });
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink }, options: { concurrency: 3 } });
    await harness.scheduler.start();
    for (let count = 0; count < 10; count++) await harness.scheduler.run((await harness.flow())._id);

    await harness.clock.advance(minute);

    expect(most).toBe(3);
    expect(harness.events.of("run:completed")).toHaveLength(10);
  });

  test("a flow with many waiting runs does not keep one with a single run from its turn", async () => {
    const harness = new Harness({
      exports: { from: ones(1) },
      imports: { sink: collectingImport<number>() },
      options: { concurrency: 1 },
    });
    const many = await harness.flow();
    const single = await harness.flow();
    for (let count = 0; count < 100; count++) await harness.scheduler.run(many._id);
    const { _id } = await harness.scheduler.run(single._id);

    await harness.scheduler.start();
    await harness.clock.settle();

    const order = harness.events.of("run:completed").map(({ run }) => run._id);
    expect(order).toHaveLength(101);
    expect(order.indexOf(_id)).toBeLessThan(3);
  });
});

describe("waitFor", () => {
  test("resolves with the run as it ended, for every way to end", async () => {
    const sink = scriptedImport<number>(({ runId }) => (runId === failing ? [] : undefined));
    let failing = "";
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink } });
    const flow = await harness.flow();
    const runs = [
      await harness.scheduler.run(flow._id),
      await harness.scheduler.run(flow._id),
      await harness.scheduler.run(flow._id),
    ];
    failing = runs[0]?._id ?? "";
    const waiting = Promise.all(runs.map(({ _id }) => harness.scheduler.waitFor(_id)));
    await harness.scheduler.cancel(runs[2]?._id ?? "");
    await harness.scheduler.start();

    const ended = await waiting;

    expect(ended.map(({ status }) => status)).toEqual(["failed", "completed", "canceled"]);
    expect(ended).toEqual(await harness.runs());
  });

  test("resolves at once for a run that has ended, and several may wait for the same", async () => {
    const { harness, gate, run } = await busy();
    const both = [harness.scheduler.waitFor(run._id), harness.scheduler.waitFor(run._id)];
    gate.open();

    const [one, other] = await Promise.all(both);

    expect(one).toEqual(other);
    expect(await harness.scheduler.waitFor(run._id)).toEqual(one);
  });

  test("resolves for waiting runs that a disabled or deleted flow canceled", async () => {
    const { harness, gate, flow } = await busy();
    const first = harness.scheduler.waitFor((await harness.scheduler.run(flow._id))._id);
    await harness.registry.patch(flow._id, { disabled: true });
    await harness.registry.patch(flow._id, { disabled: false });
    const another = harness.scheduler.waitFor((await harness.scheduler.run(flow._id))._id);
    await harness.registry.delete(flow._id);
    gate.open();

    expect((await first).status).toBe("canceled");
    expect((await another).status).toBe("canceled");
  });

  test("hears from a storage that others share when another process ends the run", async () => {
    const storage = new Proxy(new MemoryStorage(), {
      get(target, name) {
        if (name === "capabilities") return { durable: false, shared: true };
        const member: unknown = Reflect.get(target, name);
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    });

    const here = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() }, storage });
    const there = new Harness({
      exports: { from: ones(1) },
      imports: { sink: collectingImport<number>() },
      storage,
      clock: here.clock,
    });
    const run = await here.scheduler.run((await here.flow())._id);
    const waiting = here.scheduler.waitFor(run._id);

    await there.scheduler.start();
    await here.clock.advance(second);

    expect((await waiting).status).toBe("completed");
    await there.scheduler.stop();
    await here.clock.advance(second);
    expect(here.clock.timers).toBe(0);
  });

  test("ends with the reason of its signal, before, while and between it looks, and leaves nothing behind", async () => {
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() } });
    const run = await harness.scheduler.run((await harness.flow())._id);
    const reason = new Error("no longer");
    const aborting = new AbortController();

    const waiting = harness.scheduler.waitFor(run._id, { signal: aborting.signal }).catch((error: unknown) => error);
    await harness.clock.advance(2 * second);
    aborting.abort(reason);

    expect(await waiting).toBe(reason);
    await expect(harness.scheduler.waitFor(run._id, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(harness.clock.timers).toBe(0);
  });

  test("an unknown run is not found", async () => {
    await expect(new Harness().scheduler.waitFor("nothing")).rejects.toMatchObject({ code: "not_found", kind: "run" });
  });
});

describe("disabling a flow", () => {
  test("lets the running run finish and cancels those that wait, with their events", async () => {
    const { harness, gate, flow, run } = await busy();
    const waiting = [await harness.scheduler.run(flow._id), await harness.scheduler.run(flow._id)];

    await harness.registry.patch(flow._id, { disabled: true });
    await harness.clock.settle();
    const canceled = harness.events.of("run:canceled").map((event) => event.run);
    gate.open();

    expect(canceled.map(({ _id }) => _id)).toEqual(waiting.map(({ _id }) => _id));
    expect(canceled.every(({ status, endedAt }) => status === "canceled" && endedAt !== undefined)).toBe(true);
    expect(await harness.end(run)).toMatchObject({ status: "completed", numSuccess: 1 });
  });

  test("a run released by a stop while its flow is disabled resumes when the flow is enabled", async () => {
    let hangs = true;
    const sink = scriptedImport<number>(async (_, { signal }) => {
      if (!hangs) return;
      await aborted(signal);
      throw new Error("aborted");
    });
    const harness = new Harness({ exports: { from: ones(2) }, imports: { sink }, options: { graceMs: 0 } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    const run = await harness.scheduler.run(flow._id);
    await harness.clock.settle();
    await harness.registry.patch(flow._id, { disabled: true });
    const stopped = harness.scheduler.stop();
    await harness.clock.advance(0);
    await stopped;
    hangs = false;
    await harness.scheduler.start();
    await harness.clock.advance(5 * minute);
    const meanwhile = await harness.scheduler.getRun(run._id);

    await harness.registry.patch(flow._id, { disabled: false });

    expect(meanwhile.status).toBe("queued");
    expect(await harness.end(run)).toMatchObject({ status: "completed", numSuccess: 2 });
  });
});

describe("deleting a flow", () => {
  test("cancels what waits, aborts what runs, and keeps the history", async () => {
    const sink = scriptedImport<number>(async ({ records }, { signal }) => {
      if (records[0] === 1) return;
      await aborted(signal);
      throw new Error("aborted");
    });
    const harness = new Harness({ exports: { from: ones(3) }, imports: { sink } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    const run = await harness.scheduler.run(flow._id);
    const waiting = await harness.scheduler.run(flow._id);
    await harness.clock.settle();

    await harness.registry.delete(flow._id);
    await harness.clock.settle();

    expect(await harness.scheduler.getRun(run._id)).toMatchObject({ status: "canceled", numSuccess: 1 });
    expect((await harness.scheduler.getRun(waiting._id)).status).toBe("canceled");
    expect(harness.events.of("run:canceled").map((event) => event.run._id)).toEqual([waiting._id, run._id]);
    expect(await harness.storage.findPlaces(flow._id)).toEqual({});
    expect(harness.events.of("background:error")).toEqual([]);
  });

  test("takes its open failures and its inbox with it, and leaves nothing for a flow of the same id", async () => {
    const sink = scriptedImport<number>(({ records }) => records.map(no));
    const from: Export<number> = { ...(ones(2) as Export<number>), listen: () => () => undefined };
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const input = { name: "defined", _exportId: "from", _importId: "sink" };
    await harness.registry.define("mine", input);
    await harness.scheduler.start();
    await harness.run("mine");
    const before = (await harness.failures()).length;
    await harness.scheduler.stop();
    await harness.scheduler.accept("from", [9]);

    await harness.registry.delete("mine");
    await harness.registry.define("mine", input);
    await harness.scheduler.start();
    await harness.clock.advance(minute);

    expect(before).toBe(2);
    expect(await harness.failures()).toEqual([]);
    expect(await harness.scheduler.getCheckpoint("mine")).toBeUndefined();
    expect(sink.calls.flatMap(({ records }) => records)).toEqual([1, 2]);
  });
});

describe("failures", () => {
  /** Three records, of which 2 and 3 are refused as long as `refuses` says so. */
  async function failed(settings: ImportSettings<number> = {}, refuses: (number: number) => Result = no) {
    const script = { refuses };
    const good = collectingImport<number>();
    const sink = scriptedImport<number>(
      ({ records }) => records.map((number) => (number === 1 ? { ok: true } : script.refuses(number))),
      settings,
    );
    const from = arrayExport(upTo(3), { key: (number) => `#${number}` });
    const harness = new Harness({ exports: { from }, imports: { sink, good } });
    const first = await harness.move();
    const flow = await harness.registry.get(first._flowId);
    const failures = await harness.failures();
    sink.calls.length = 0;
    good.calls.length = 0;
    return { harness, flow, first, failures, sink, good, script };
  }
  const accepts = (): Result => ({ ok: true });
  const unsure = (): Result => ({ ok: false, fault: "unknown", error: new Error("?") });

  test("are stored with everything that is known of them, and emitted", async () => {
    const { harness, flow, first, failures } = await failed();

    expect(failures[0]).toEqual({
      _id: expect.any(String) as unknown,
      ...{ _flowId: flow._id, _exportId: "from", _importId: "sink", _runId: first._id },
      ...{ key: "#2", record: 2, fault: "reject", message: "no 2", attempts: 1, status: "open" },
      occurrences: 1,
      ...{ createdAt: "2030-01-01T12:00:00.000Z", lastFailedAt: "2030-01-01T12:00:00.000Z" },
    });
    expect(harness.events.of("failures:stored").flatMap((event) => event.failures)).toEqual(failures);
    expect(await harness.scheduler.getFailure(failures[0]?._id ?? "")).toEqual(failures[0]);
  });

  test("retried go only to the import that failed, under the same keys, and are gone once delivered", async () => {
    const { harness, flow, sink, good, script } = await failed();
    script.refuses = accepts;

    const run = await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(run).toMatchObject({ trigger: "retry", status: "completed", numSuccess: 2, numError: 0 });
    const status = "completed";
    expect(run.imports).toEqual({
      sink: { numSuccess: 2, numError: 0, numIgnore: 0, status },
      good: { ...noCounts, status },
    });
    expect(sink.calls).toMatchObject([{ keys: ["#2", "#3"], records: [2, 3] }]);
    expect(good.calls).toEqual([]);
    expect(await harness.failures()).toEqual([]);
  });

  test("a retry moves no checkpoint", async () => {
    const { harness, flow, script } = await failed();
    await harness.scheduler.setCheckpoint(flow._id, { read: 1 });
    script.refuses = accepts;

    await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(await harness.scheduler.getCheckpoint(flow._id)).toEqual({ read: 1 });
  });

  test("that fail again stay where they are, with new attempts, time, run and cause", async () => {
    const { harness, flow, failures, script } = await failed();
    script.refuses = (number) =>
      number === 2 ? { ok: true } : { ok: false, fault: "reject", error: new Error("still no") };
    await harness.clock.advance(hour);

    const run = await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(run).toMatchObject({ status: "completed", numSuccess: 1, numError: 1 });
    expect(await harness.failures()).toEqual([
      {
        ...failures[1],
        ...{ _runId: run._id, message: "still no", attempts: 2, lastFailedAt: "2030-01-01T13:00:00.000Z" },
        occurrences: 2,
      },
    ]);
  });

  test("that are selected by id or by import are retried alone", async () => {
    const { harness, flow, failures, sink, script } = await failed();
    script.refuses = accepts;

    await harness.end(await harness.scheduler.retryFailures(flow._id, { _ids: [failures[1]?._id ?? ""] }));
    await harness.end(await harness.scheduler.retryFailures(flow._id, { _importId: "good" }));
    const left = await harness.failures();
    await harness.end(await harness.scheduler.retryFailures(flow._id, { _importId: "sink" }));

    expect(sink.calls.map(({ records }) => records)).toEqual([[3], [2]]);
    expect(left.map(({ record }) => record)).toEqual([2]);
    expect(await harness.failures()).toEqual([]);
  });

  test("that a flow has from another integration are retried only if they are asked for", async () => {
    const { harness, flow, failures, sink, script } = await failed();
    await harness.registry.patch(flow._id, { _integrationId: "acme" });
    script.refuses = accepts;
    const own = { _integrationId: "acme" };

    await expect(harness.scheduler.retryFailures(flow._id, { ...own, _ids: [failures[0]?._id ?? ""] })).rejects.toThrow(
      expect.objectContaining({ code: "not_found" }) as Error,
    );
    const run = await harness.scheduler.retryFailures(flow._id, own);
    await harness.scheduler.waitFor(run._id);

    expect(run.retry).toEqual(own);
    expect(sink.calls).toEqual([]);
    expect(await harness.failures()).toHaveLength(failures.length);
  });

  test("of several imports are each retried at their own", async () => {
    const refuse = { now: true };
    const picky = (wrong: number) =>
      scriptedImport<number>(({ records }) =>
        records.map((number) => (refuse.now && number === wrong ? no(number) : { ok: true })),
      );
    const imports = { one: picky(1), two: picky(2) };
    const harness = new Harness({ exports: { from: ones(3) }, imports });
    const { _flowId } = await harness.move();
    for (const { calls } of Object.values(imports)) calls.length = 0;
    refuse.now = false;

    const run = await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect(Object.values(imports).map(({ calls }) => calls.map(({ records }) => records))).toEqual([[[1]], [[2]]]);
    expect(run).toMatchObject({ numSuccess: 2, imports: { one: { numSuccess: 1 }, two: { numSuccess: 1 } } });
  });

  test("more than a page of them are all retried, in the order they were stored", async () => {
    let refuses = true;
    const sink = scriptedImport<number>(({ records }) =>
      records.map((number) => (refuses && number > 1 ? no(number) : { ok: true })),
    );
    const from = arrayExport(upTo(250), { pageSize: 10 });
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    sink.calls.length = 0;
    refuses = false;

    const run = await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect(run).toMatchObject({ status: "completed", numSuccess: 249, numPagesProcessed: 25 });
    expect(sink.calls.flatMap(({ records }) => records)).toEqual(upTo(250).slice(1));
    expect(await harness.failures()).toEqual([]);
  });

  test("a retry that is resumed after a crash goes on where it had committed", async () => {
    let refuses = true;
    const gate = new Gate();
    const sink = scriptedImport<number>(({ records: [number = 0] }) => {
      if (refuses) return number === 1 ? undefined : [no(number)];
      return number === 4 ? gate.opened.then(() => undefined) : undefined;
    });
    const from = ones(6);
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();
    refuses = false;
    const run = await harness.scheduler.retryFailures(_flowId);
    await harness.clock.settle();
    const { storage, clock } = harness;
    await storage.reclaimExpiredRuns({
      now: clock.now() + hour,
      maxCrashes: 3,
      error: { code: "x", message: "" },
      limit: 1,
    });
    const other = collectingImport<number>();
    const next = new Harness({ exports: { from }, imports: { sink: other }, storage, clock });
    await next.scheduler.start();

    const ended = await next.end(run);
    gate.open();
    await clock.settle();

    expect(ended).toMatchObject({ status: "completed", numSuccess: 5, crashes: 0 });
    expect(other.written).toEqual([4, 5, 6]);
    expect(await harness.failures()).toEqual([]);
  });

  test("in doubt ask find before they are sent again, and what is found counts as delivered", async () => {
    const asked: (readonly string[])[] = [];
    let isUp = false;
    const find = async (records: readonly number[], { keys }: { readonly keys: readonly string[] }) => {
      if (!isUp) throw new Error("not now");
      asked.push(keys);
      return records.map((number) => (number === 2 ? "row 2" : undefined));
    };
    const { harness, flow, sink, script } = await failed({ idempotent: false, find }, unsure);
    script.refuses = accepts;
    isUp = true;

    const run = await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(run).toMatchObject({ numSuccess: 2, numError: 0 });
    expect(asked).toEqual([["#2", "#3"]]);
    expect(sink.calls.map(({ records }) => records)).toEqual([[3]]);
    expect(await harness.failures()).toEqual([]);
  });

  test("in doubt are not sent again as long as find fails: they stay in doubt", async () => {
    const find = () => Promise.reject(new Error("not now"));
    const { harness, flow, sink, script } = await failed({ idempotent: false, find }, unsure);
    script.refuses = accepts;

    const run = await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(run).toMatchObject({ status: "completed", numSuccess: 0, numError: 2 });
    expect(sink.calls).toEqual([]);
    expect(await harness.failures()).toMatchObject([
      { record: 2, fault: "unknown", attempts: 1 },
      { record: 3, fault: "unknown", attempts: 1 },
    ]);
  });

  test("in doubt of an import without find are sent again when somebody asks for it", async () => {
    const { harness, flow, sink, script } = await failed({ idempotent: false }, unsure);
    script.refuses = accepts;

    await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(sink.calls).toMatchObject([{ records: [2, 3] }]);
    expect(await harness.failures()).toEqual([]);
  });

  test("resolved by hand are kept as resolved, and not retried any more", async () => {
    const { harness, flow, failures, sink } = await failed();
    const [first] = failures;

    const resolved = await harness.scheduler.resolveFailures([first?._id ?? ""]);
    const again = await harness.scheduler.resolveFailures([first?._id ?? ""]);
    await harness.end(await harness.scheduler.retryFailures(flow._id));

    const resolvedAt = "2030-01-01T12:00:00.000Z";
    expect(resolved).toEqual([{ ...first, status: "resolved", resolvedAt, resolvedBy: "person" }]);
    expect(harness.events.of("failures:resolved")).toEqual([{ _ids: [first?._id], resolvedBy: "person" }]);
    expect(again).toEqual([]);
    expect(sink.calls.map(({ records }) => records)).toEqual([[3]]);
    expect((await harness.scheduler.listFailures({ status: "resolved" })).items).toEqual(resolved);
  });

  test("are not found by an id that is none's, nor through another flow; then nothing changes", async () => {
    const { harness, flow, failures } = await failed();
    const other = await harness.flow();
    const _ids = [failures[0]?._id ?? ""];

    await expect(harness.scheduler.getFailure("none")).rejects.toMatchObject({ code: "not_found", kind: "failure" });
    await expect(harness.scheduler.resolveFailures([..._ids, "none"])).rejects.toMatchObject({ code: "not_found" });
    await expect(harness.scheduler.retryFailures(flow._id, { _ids: ["none"] })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(harness.scheduler.retryFailures(other._id, { _ids })).rejects.toMatchObject({ code: "not_found" });
    await expect(harness.scheduler.retryFailures(flow._id, { _importId: "none" })).rejects.toMatchObject({
      code: "not_found",
      kind: "import",
    });
    await expect(harness.scheduler.retryFailures("none")).rejects.toMatchObject({ code: "not_found", kind: "flow" });
    expect(await harness.failures()).toEqual(failures);
  });

  test("with nothing to retry a retry completes without writing", async () => {
    const { harness, sink } = await failed();
    const other = await harness.flow();

    expect(await harness.end(await harness.scheduler.retryFailures(other._id))).toMatchObject({
      status: "completed",
      numSuccess: 0,
    });
    expect(sink.calls).toEqual([]);
  });

  test("are found by flow, import, run and status, page by page", async () => {
    const { harness, flow, first, failures } = await failed();
    const list = harness.scheduler.listFailures.bind(harness.scheduler);

    expect((await list({ _flowId: flow._id, _importId: "sink", _runId: first._id, status: "open" })).items).toEqual(
      failures,
    );
    expect((await list({ _importId: "good" })).items).toEqual([]);
    const page = await list({ limit: 1 });
    expect(page.items).toEqual(failures.slice(0, 1));
    expect(await list({ limit: 1, after: page.next ?? "" })).toEqual({ items: failures.slice(1) });
    await expect(list({ limit: 0 })).rejects.toMatchObject({ code: "invalid_request", field: "limit" });
    await expect(list({ flowId: "x" } as object)).rejects.toMatchObject({ code: "invalid_request", field: "flowId" });
  });

  test("a retry in which every record asks for a retry again completes, and counts in the failures", async () => {
    const { harness, flow, failures, script } = await failed();
    script.refuses = () => ({ ok: false, fault: "retry", error: new Error("down") });

    const run = await harness.end(await harness.scheduler.retryFailures(flow._id));

    expect(run).toMatchObject({ status: "completed", numSuccess: 0, numError: failures.length });
    const left = await harness.failures();
    expect(left.map(({ _id }) => _id)).toEqual(failures.map(({ _id }) => _id));
    expect(left).toMatchObject(failures.map(() => ({ fault: "retry", message: "down", occurrences: 2 })));
  });
});

describe("a checkpoint set by hand", () => {
  test("is where the next run begins; undefined is the start", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: ones(4) }, imports: { sink } });
    const { _flowId } = await harness.move();

    await harness.scheduler.setCheckpoint(_flowId, { read: 2 });
    await harness.run(_flowId);
    await harness.scheduler.setCheckpoint(_flowId, undefined);
    await harness.run(_flowId);

    expect(sink.written).toEqual([1, 2, 3, 4, 3, 4, 1, 2, 3, 4]);
  });

  test("is refused while a run goes on, for an unknown flow and if it is no JSON", async () => {
    const { harness, flow, gate } = await busy();

    await expect(harness.scheduler.setCheckpoint(flow._id, 1)).rejects.toMatchObject({ code: "conflict" });
    await expect(harness.scheduler.setCheckpoint("none", 1)).rejects.toMatchObject({ code: "not_found" });
    await expect(harness.scheduler.getCheckpoint("none")).rejects.toMatchObject({ code: "not_found" });
    await expect(harness.scheduler.setCheckpoint(flow._id, new Date() as never)).rejects.toMatchObject({
      code: "invalid_request",
    });
    gate.open();
  });
});

describe("events", () => {
  test("of a run come in the order of what happened", async () => {
    const sink = scriptedImport<number>(({ attempt, records }) => {
      if (attempt === 1 && records[0] === 1) throw retryLater("busy");
      if (records[0] === 2) throw reject("no");
      return undefined;
    });
    const harness = new Harness({ exports: { from: ones(2) }, imports: { sink } });

    await harness.move();

    expect(harness.events.names).toEqual([
      ...["run:queued", "run:started", "run:retrying", "run:progress", "failures:stored", "run:completed"],
    ]);
  });

  test("run:progress is emitted at most once a second for each run, with the export's estimate", async () => {
    const sink = scriptedImport<number>(async () => {
      await new Promise<void>((resolve) => harness.clock.setTimer(resolve, 100));
      return undefined;
    });
    const harness = new Harness({ exports: { from: ones(50) }, imports: { sink } });

    await harness.move();

    const progress = harness.events.of("run:progress");
    expect(progress.map(({ run }) => run.numPagesProcessed)).toEqual([1, 11, 21, 31, 41]);
    expect(progress.every(({ total }) => total === 50)).toBe(true);
  });

  test("a listener that throws or rejects harms no run and no other listener: it is reported", async () => {
    const harness = new Harness({
      exports: { from: ones(3) },
      imports: { sink: scriptedImport<number>(({ records }) => records.map(no)) },
    });
    const heard: string[] = [];
    const names = ["run:queued", "run:started", "run:progress", "failures:stored", "run:completed"] as const;
    for (const name of names) {
      harness.scheduler.on(name, () => expect.unreachable(`${name} listener`));
      harness.scheduler.on(name, () => Promise.reject(new Error(`${name} promise`)));
      harness.scheduler.on(name, () => heard.push(name));
    }
    harness.scheduler.on("listener:error", () => expect.unreachable("nobody left"));

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numError: 3 });
    expect(new Set(heard)).toEqual(new Set(names));
    const reported = harness.events.of("listener:error");
    expect(new Set(reported.map(({ event }) => event))).toEqual(new Set(names));
    expect(reported).toHaveLength(heard.length * 2);
  });

  test("a registry's listener that throws harms no change of a flow", async () => {
    const { harness, gate, flow } = await busy();
    harness.registry.on("flow:updated", () => expect.unreachable("listener"));

    await harness.registry.patch(flow._id, { name: "renamed" });
    gate.open();

    expect((await harness.registry.get(flow._id)).name).toBe("renamed");
  });

  test("carry frozen documents", async () => {
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() } });

    await harness.move();

    const runs = [...harness.events.of("run:queued"), ...harness.events.of("run:completed")].map(({ run }) => run);
    expect(runs.every((run) => Object.isFrozen(run) && Object.isFrozen(run.imports))).toBe(true);
  });
});

describe("history", () => {
  test("is listed newest first, filtered, page by page", async () => {
    const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() } });
    const first = await harness.move();
    const another = await harness.run(first._flowId);
    const other = await harness.run((await harness.flow({ _integrationId: "acme" }))._id);
    const list = async (filter: Parameters<Scheduler["listRuns"]>[0]) =>
      (await harness.scheduler.listRuns(filter)).items.map(({ _id }) => _id);

    expect(await list({})).toEqual([other._id, another._id, first._id]);
    expect(await list({ _flowId: first._flowId })).toEqual([another._id, first._id]);
    expect(await list({ _integrationId: "acme" })).toEqual([other._id]);
    expect(await list({ status: "failed" })).toEqual([]);
    const page = await harness.scheduler.listRuns({ limit: 2 });
    expect(await list({ limit: 2, after: page.next ?? "" })).toEqual([first._id]);
    await expect(harness.scheduler.listRuns({ limit: 1_001 })).rejects.toMatchObject({ code: "invalid_request" });
    await expect(harness.scheduler.listRuns({ after: "abc" })).rejects.toMatchObject({
      code: "invalid_request",
      message: 'after: expected the next of an earlier page, found "abc"',
    });
    await expect(harness.scheduler.getRun("none")).rejects.toMatchObject({ code: "not_found" });
  });

  test("is kept as long and as far back as retention says, and no run that has not ended is lost", async () => {
    const retention = { days: 2, runsPerFlow: 3 };
    const harness = new Harness({
      exports: { from: ones(1) },
      imports: { sink: collectingImport<number>() },
      options: { retention },
    });
    await harness.scheduler.start();
    const flow = await harness.flow();
    for (let count = 0; count < 5; count++) await harness.run(flow._id);

    await harness.clock.advance(minute);
    const kept = await harness.runs();
    await harness.clock.advance(2 * day);

    expect(kept).toHaveLength(3);
    expect(await harness.runs()).toEqual([]);
  });
});

test("start resolves while what retention gives up is still being removed", async () => {
  const gate = new Gate();
  const storage = hanging(new MemoryStorage(), { method: "prune", nth: 1, gate });
  const harness = new Harness({ exports: { from: ones(1) }, imports: { sink: collectingImport<number>() }, storage });

  await harness.scheduler.start();
  const run = await harness.run((await harness.flow())._id);

  expect(run.status).toBe("completed");
  gate.open();
});
