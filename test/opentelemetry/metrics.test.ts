import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Export, MemoryStorage, type Result, reject, retryLater } from "../../src/index.ts";
import { type OpenTelemetryOptions, openTelemetry } from "../../src/opentelemetry/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, type Setting, faltering, minute, second, upTo } from "../support/harness.ts";
import { TestSdk } from "./sdk.ts";

let sdk: TestSdk;
beforeEach(() => (sdk = new TestSdk()));
afterEach(() => sdk.shutdown());

/** A harness whose runs are measured. */
function measured(setting: Setting, options: OpenTelemetryOptions = {}) {
  const tracing = openTelemetry({ meter: sdk.meter, traces: false, gauges: false, ...options });
  return new Harness({ ...setting, options: { ...setting.options, tracing } });
}

/** The points of a counter, as attributes without our prefix, and value. */
async function sums(name: string): Promise<unknown[]> {
  const points = await sdk.points(name);
  return points.map(({ attributes, value }) => [shortened(attributes), value]).sort(byText);
}

/** The points of a histogram, as attributes, how many values, and their sum. */
async function histogram(name: string) {
  const points = await sdk.points(name);
  return points.map(({ attributes, value }) => {
    const { count, sum } = value as { count: number; sum: number };
    return { ...shortened(attributes), count, sum };
  });
}

const shortened = (attributes: object) =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name.replace("poundlock.", ""), value as unknown]),
  );
const byText = (one: unknown, other: unknown) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);

const orders = arrayExport(upTo(5), { pageSize: 2, key: (number) => `#${number}` });

test("runs are counted when they have ended, by trigger and status", async () => {
  const ledger = collectingImport<number>();
  const broken: Export<number> = {
    async *pages() {
      throw new Error("gone");
    },
  };
  const harness = measured({ exports: { orders, broken }, imports: { ledger } });
  await harness.scheduler.start();
  const [flow, other] = [await harness.flow(), await harness.flow({ _exportId: "broken" })];
  await harness.run(flow._id);
  await harness.run(flow._id);
  await harness.run(other._id);

  expect(await sums("poundlock.runs")).toEqual([
    [{ trigger: "manual", status: "completed" }, 2],
    [{ trigger: "manual", status: "failed" }, 1],
  ]);
});

test("records are counted once by export, import and outcome, however often progress was emitted", async () => {
  const even = { filter: (number: number) => number % 2 === 0 };
  const ledger = scriptedImport<number>(({ attempt, records }) => {
    // So long that progress is emitted for the page after.
    if (attempt === 1) throw retryLater(new Error("busy"), { afterMs: 2 * second });
    return records.map((number): Result =>
      number === 4 ? { ok: false, fault: "reject", error: new Error("no") } : { ok: true },
    );
  }, even);
  const harness = measured({ exports: { orders }, imports: { ledger } });

  const run = await harness.move();

  expect(run).toMatchObject({ numSuccess: 1, numError: 1, numIgnore: 3 });
  const own = { "export.id": "orders", "import.id": "ledger" };
  expect(await sums("poundlock.records")).toEqual([
    [{ ...own, outcome: "failed" }, 1],
    [{ ...own, outcome: "ignored" }, 3],
    [{ ...own, outcome: "success" }, 1],
  ]);
});

test("records of a run that goes on in another process are counted by each for its part", async () => {
  const gate = new Gate();
  const storage = new MemoryStorage();
  const ledger = scriptedImport<number>(({ records }) =>
    records[0] === 3 ? gate.opened.then(() => undefined) : undefined,
  );
  const first = measured({ exports: { orders }, imports: { ledger }, storage });
  await first.scheduler.start();
  const run = await first.scheduler.run((await first.flow())._id);
  await first.clock.settle();
  const stopped = first.scheduler.stop({ graceMs: 0 });
  await first.clock.settle();
  gate.open();
  await first.clock.advance(2 * second);
  await stopped;

  const { clock } = first;
  const next = measured({ exports: { orders }, imports: { ledger: collectingImport<number>() }, storage, clock });
  await next.scheduler.start();
  expect(await next.end(run)).toMatchObject({ status: "completed", numSuccess: 5 });

  expect(await sums("poundlock.records")).toEqual([
    [{ "export.id": "orders", "import.id": "ledger", outcome: "success" }, 5],
  ]);
  expect(await sums("poundlock.runs")).toEqual([[{ trigger: "manual", status: "completed" }, 1]]);
});

test("a run whose storage failed, and that is claimed again, is counted once, and no record twice", async () => {
  const storage = faltering(new MemoryStorage(), { method: "endRun", fails: (nth) => nth <= 3 });
  const harness = measured({ exports: { orders }, imports: { ledger: collectingImport<number>() }, storage });

  const run = await harness.move();

  expect(harness.events.of("background:error")).toHaveLength(1);
  expect(harness.events.of("run:started")).toHaveLength(2);
  expect(run).toMatchObject({ status: "completed", numSuccess: 5 });
  expect(await sums("poundlock.runs")).toEqual([[{ trigger: "manual", status: "completed" }, 1]]);
  // Those of the last second before it was lost are missing.
  const [records] = await sdk.points("poundlock.records");
  expect(records?.value).toBeGreaterThan(0);
  expect(records?.value).toBeLessThanOrEqual(5);
});

test("a run that is claimed again is counted to its end, while the code that was left behind ends", async () => {
  const [former, latter] = [new Gate(), new Gate()];
  const gates = [former, latter];
  const ledger = scriptedImport<number>(({ records }) =>
    records[0] === 3 ? gates.shift()?.opened.then(() => undefined) : undefined,
  );
  const harness = measured({ exports: { orders }, imports: { ledger } });
  await harness.scheduler.start();
  const run = await harness.scheduler.run((await harness.flow())._id);
  await harness.clock.settle();
  const stopped = harness.scheduler.stop({ graceMs: 0 });
  for (let timers = 0; timers < 20; timers++) await harness.clock.advance(second);
  await stopped;
  await harness.scheduler.start();
  for (let timers = 0; timers < 5; timers++) await harness.clock.advance(minute);
  expect(harness.events.of("run:started")).toHaveLength(2);

  former.open();
  await harness.clock.settle();
  latter.open();
  expect(await harness.end(run)).toMatchObject({ status: "completed", numSuccess: 5 });

  expect(await sums("poundlock.records")).toEqual([
    [{ "export.id": "orders", "import.id": "ledger", outcome: "success" }, 5],
  ]);
});

test("schedulers that share a tracer are measured together", async () => {
  const tracing = openTelemetry({ meter: sdk.meter, traces: false, gauges: false });
  const setting = { exports: { orders }, imports: { ledger: collectingImport<number>() }, options: { tracing } };

  await new Harness(setting).move();
  await new Harness(setting).move();
  // The one that runs is not the one that came last.
  const [former] = [new Harness(setting), new Harness(setting)];
  await former.move();

  expect(await sums("poundlock.runs")).toEqual([[{ trigger: "manual", status: "completed" }, 3]]);
  expect(await sums("poundlock.records")).toEqual([
    [{ "export.id": "orders", "import.id": "ledger", outcome: "success" }, 15],
  ]);
});

test("how long a run waited and took is measured in seconds", async () => {
  const ledger = scriptedImport<number>(({ attempt }) => {
    if (attempt === 1) throw retryLater(new Error("busy"), { afterMs: 3 * second });
    return undefined;
  });
  const harness = measured({ exports: { orders }, imports: { ledger } });
  const queued = await harness.scheduler.run((await harness.flow())._id);
  await harness.clock.advance(minute);
  await harness.scheduler.start();
  const { endedAt = "", queuedAt, startedAt = "" } = await harness.end(queued);

  const labels = { trigger: "manual", status: "completed", count: 1 };
  const duration = (Date.parse(endedAt) - Date.parse(startedAt)) / 1_000;
  expect(duration).toBeGreaterThanOrEqual(9);
  expect(await histogram("poundlock.run.duration")).toEqual([{ ...labels, sum: duration }]);
  expect(Date.parse(startedAt) - Date.parse(queuedAt)).toBeGreaterThanOrEqual(minute);
  const delay = (Date.parse(startedAt) - Date.parse(queuedAt)) / 1_000;
  expect(await histogram("poundlock.run.delay")).toEqual([{ ...labels, sum: delay }]);
});

test("a run that was given back to wait took as long as from its last start on, and has no delay", async () => {
  let reads = 0;
  const later: Export<number, number> = {
    order: "ordered",
    async *pages() {
      if (++reads === 1) throw retryLater(new Error("busy"), { afterMs: 10 * minute });
      yield { records: [1], checkpoint: 1 };
    },
  };
  const ledger = scriptedImport<number>(({ attempt }) => {
    if (attempt === 1) throw retryLater(new Error("busy"), { afterMs: 3 * second });
    return undefined;
  });
  const harness = measured({ exports: { later }, imports: { ledger } });

  const { endedAt = "", startedAt = "" } = await harness.move();

  const sum = (Date.parse(endedAt) - Date.parse(startedAt)) / 1_000;
  expect(sum).toBeGreaterThan(0);
  expect(sum).toBeLessThan(600);
  expect(await histogram("poundlock.run.duration")).toEqual([
    { trigger: "manual", status: "completed", count: 1, sum },
  ]);
  expect(await histogram("poundlock.run.delay")).toEqual([]);
});

test("a listener of the host's that throws costs no metric", async () => {
  const harness = measured({ exports: { orders }, imports: { ledger: collectingImport<number>() } });
  const broken = () => {
    throw new Error("a listener is broken");
  };
  for (const name of ["run:progress", "run:completed", "listener:error"] as const) harness.scheduler.on(name, broken);

  await harness.move();

  expect(harness.events.of("listener:error").length).toBeGreaterThan(0);
  expect(await sums("poundlock.runs")).toEqual([[{ trigger: "manual", status: "completed" }, 1]]);
  expect(await sums("poundlock.records")).toEqual([
    [{ "export.id": "orders", "import.id": "ledger", outcome: "success" }, 5],
  ]);
});

test("reads, writes and commits are measured, by what they are of and how they went", async () => {
  const ledger = scriptedImport<number>(({ attempt, records }) => {
    if (attempt === 1 && records[0] === 3) throw retryLater(new Error("busy"));
    return undefined;
  });
  const harness = measured({ exports: { orders }, imports: { ledger } });

  await harness.move();

  const counted = async (name: string) => (await histogram(name)).map(({ sum: _, ...labels }) => labels).sort(byText);
  expect(await counted("poundlock.read.duration")).toEqual([
    { outcome: "end", "export.id": "orders", count: 1 },
    { outcome: "page", "export.id": "orders", count: 3 },
  ]);
  expect(await counted("poundlock.write.duration")).toEqual([
    { outcome: "retry", "import.id": "ledger", count: 1 },
    { outcome: "written", "import.id": "ledger", count: 3 },
  ]);
  expect(await counted("poundlock.commit.duration")).toEqual([
    { outcome: "committed", "export.id": "orders", count: 3 },
  ]);
  for (const { sum } of await histogram("poundlock.write.duration")) expect(sum).toBeLessThan(60);
  expect(await sums("poundlock.retries")).toEqual([[{ "import.id": "ledger" }, 1]]);
});

test("a reading that begins again is a retry of no import", async () => {
  let reads = 0;
  const flaky: Export<number> = {
    async *pages() {
      if (++reads === 1) throw retryLater(new Error("busy"));
      yield [1];
    },
  };
  const harness = measured({ exports: { flaky }, imports: { ledger: collectingImport<number>() } });

  expect(await harness.move()).toMatchObject({ status: "completed" });

  expect(await sums("poundlock.retries")).toEqual([[{}, 1]]);
});

test("errors in the background are counted by what was done, without the flow it was done for", async () => {
  const storage = faltering(new MemoryStorage(), { method: "claimRun", fails: () => true });
  const harness = measured({ exports: { orders }, imports: { ledger: collectingImport<number>() }, storage });
  await harness.scheduler.start();
  await harness.scheduler.run((await harness.flow())._id);
  for (let timers = 0; timers < 4; timers++) await harness.clock.advance(200);

  expect(await sums("poundlock.background.errors")).toEqual([[{ during: "running flow" }, expect.any(Number)]]);
});

describe("attributes of the host's", () => {
  const ledger = collectingImport<number>();

  test("are on every metric of a flow's runs, and can leave ours out", async () => {
    const attributes: OpenTelemetryOptions["attributes"] = ({ _exportId, _flowId, _integrationId }) => ({
      tenant: _integrationId,
      known: _exportId !== "" && _flowId !== "",
      "poundlock.export.id": undefined,
    });
    const harness = measured({ exports: { orders }, imports: { ledger } }, { attributes });
    await harness.scheduler.start();
    await harness.run((await harness.flow({ _integrationId: "acme" }))._id);

    expect(await sums("poundlock.records")).toEqual([
      [{ "import.id": "ledger", outcome: "success", tenant: "acme", known: true }, 5],
    ]);
    for (const name of [
      "poundlock.runs",
      "poundlock.run.duration",
      "poundlock.read.duration",
      "poundlock.commit.duration",
    ])
      for (const { attributes: found } of await sdk.points(name)) {
        expect(found.tenant, name).toBe("acme");
        expect(found, name).not.toHaveProperty("poundlock.export.id");
      }
  });

  test("are on a run that is canceled before it began, which has no duration", async () => {
    const attributes: OpenTelemetryOptions["attributes"] = ({ _integrationId }) => ({ tenant: _integrationId });
    const harness = measured({ exports: { orders }, imports: { ledger } }, { attributes });
    const run = await harness.scheduler.run((await harness.flow({ _integrationId: "acme" }))._id);

    await harness.scheduler.cancel(run._id);

    expect(await sums("poundlock.runs")).toEqual([[{ trigger: "manual", status: "canceled", tenant: "acme" }, 1]]);
    expect(await sdk.points("poundlock.run.duration")).toEqual([]);
    expect(await sdk.points("poundlock.run.delay")).toEqual([]);
  });

  test("that throw cost the attributes, and nothing else", async () => {
    const attributes = () => {
      throw new Error("no tenant");
    };
    const harness = measured({ exports: { orders }, imports: { ledger } }, { attributes });

    expect(await harness.move()).toMatchObject({ status: "completed" });

    expect(await sums("poundlock.runs")).toEqual([[{ trigger: "manual", status: "completed" }, 1]]);
    expect(harness.events.of("background:error")).toEqual([]);
    expect(harness.events.of("listener:error")).toEqual([]);
  });
});

test("no metric names a flow, a run or a record unless the host gives it", async () => {
  const ledger = scriptedImport<number>(() => Promise.reject(reject(new Error("of 4711"))));
  const harness = measured({ exports: { orders: arrayExport([4711]) }, imports: { ledger } });

  const run = await harness.move();

  const { resourceMetrics } = await sdk.reader.collect();
  const all = JSON.stringify(
    resourceMetrics.scopeMetrics.map(({ metrics }) =>
      metrics.map(({ dataPoints }) => dataPoints.map(({ attributes }) => attributes)),
    ),
  );
  for (const secret of [run._id, run._flowId, "4711"]) expect(all).not.toContain(secret);
});

test("with metrics: false there is none", async () => {
  const harness = measured(
    { exports: { orders }, imports: { ledger: collectingImport<number>() } },
    { metrics: false },
  );

  await harness.move();

  expect(await sdk.names()).toEqual([]);
});
