import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Overview } from "../../src/model/flow/overview.ts";
import { Gauges } from "../../src/opentelemetry/gauges.ts";
import { openTelemetry } from "../../src/opentelemetry/index.ts";
import { ManualClock, arrayExport, collectingImport } from "../../src/testing/index.ts";
import { Harness, noon, second } from "../support/harness.ts";
import { TestSdk } from "./sdk.ts";

let sdk: TestSdk;
beforeEach(() => (sdk = new TestSdk()));
afterEach(() => sdk.shutdown());

const overview: Overview = {
  flows: { enabled: 9, disabled: 1 },
  runs: { running: 2, queued: 3 },
  ...{ failing: 4, overdue: 5, paused: 6, openFailures: 7, inboxPages: 8 },
};

/** Gauges of what `ask` returns, on a clock that stands still. */
function shownOf(ask: () => Promise<Overview>): ManualClock {
  const clock = new ManualClock(noon);
  new Gauges({ overview: ask }, clock).observe(sdk.meter);
  return clock;
}

/** What all gauges show when metrics are collected. */
async function shown(of = sdk): Promise<Readonly<Record<string, unknown>>> {
  const { resourceMetrics } = await of.reader.collect();
  const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
  return Object.fromEntries(all.map(({ dataPoints, descriptor }) => [descriptor.name, dataPoints[0]?.value]));
}

describe("gauges", () => {
  test("show what the overview says, and a queue's age in seconds", async () => {
    shownOf(async () => ({ ...overview, oldestQueuedAt: new Date(noon - 90 * second).toISOString() }));

    expect(await shown()).toEqual({
      "poundlock.runs.queued": 3,
      "poundlock.runs.running": 2,
      "poundlock.queue.age": 90,
      "poundlock.inbox.pages": 8,
      "poundlock.failures.open": 7,
      "poundlock.flows.failing": 4,
      "poundlock.flows.overdue": 5,
      "poundlock.imports.paused": 6,
    });
  });

  test.each([
    ["no run waits", {}],
    ["the run that waits is ahead of the clock", { oldestQueuedAt: new Date(noon + 90 * second).toISOString() }],
  ])("show an age of 0 if %s", async (_, waiting) => {
    shownOf(async () => ({ ...overview, ...waiting }));

    expect((await shown())["poundlock.queue.age"]).toBe(0);
  });

  test("ask the storage once in ten seconds, however many collect, and again if the clock was set back", async () => {
    let asked = 0;
    const clock = shownOf(async () => ({ ...overview, inboxPages: ++asked }));
    const pages = async () => (await shown())["poundlock.inbox.pages"];

    expect(await pages()).toBe(1);
    await clock.advance(9_999);
    expect(await pages()).toBe(1);
    await clock.advance(1);
    expect(await pages()).toBe(2);
    clock.jumpTo(noon);
    expect(await pages()).toBe(3);
  });

  test("show nothing while the storage fails, and are asked for again", async () => {
    let asked = 0;
    shownOf(async () => {
      if (++asked === 1) throw new Error("the disk is full");
      return overview;
    });

    expect(await shown()).toEqual({});
    expect((await shown())["poundlock.runs.queued"]).toBe(3);
  });

  test(
    "keep other metrics waiting for three seconds at most, and ask a storage that hangs no second time",
    { timeout: 5_000 },
    async () => {
      let asked = 0;
      let answer: (overview: Overview) => void = () => undefined;
      const clock = shownOf(() => {
        asked++;
        return new Promise((resolve) => (answer = resolve));
      });
      sdk.meter.createCounter("other").add(1);
      const collected = async () => {
        const collecting = shown();
        await clock.advance(3 * second);
        return collecting;
      };

      expect(await collected()).toEqual({ other: 1 });
      await clock.advance(20 * second);
      expect(await collected()).toEqual({ other: 1 });
      expect(asked).toBe(1);

      answer(overview);
      await clock.settle();
      const last = shown();
      await clock.settle();
      answer({ ...overview, inboxPages: 80 });
      expect((await last)["poundlock.inbox.pages"]).toBe(80);
      expect(asked).toBe(2);
    },
  );
});

test("openTelemetry shows the gauges of the first scheduler that it watches", async () => {
  const tracing = openTelemetry({ traces: false, metrics: false, meter: sdk.meter });
  const exports = { orders: arrayExport([1]) };
  const former = new Harness({ exports, imports: { sink: collectingImport() }, options: { tracing } });
  await former.scheduler.run((await former.flow())._id);
  const latter = new Harness({ options: { tracing } });

  expect((await latter.scheduler.overview()).runs.queued).toBe(0);
  expect((await shown())["poundlock.runs.queued"]).toBe(1);
});

test("gauges of two storages in one process are two series, if each has a meter of its own", async () => {
  const shownBy = async (name: string, waiting: number) => {
    const tracing = openTelemetry({ traces: false, metrics: false, meter: sdk.meterOf(name) });
    const setting = { exports: { orders: arrayExport([1]) }, imports: { sink: collectingImport() } };
    const harness = new Harness({ ...setting, options: { tracing } });
    for (let run = 0; run < waiting; run++) await harness.scheduler.run((await harness.flow())._id);
  };
  await shownBy("poundlock-eu", 1);
  await shownBy("poundlock-us", 2);

  const lines = (await sdk.scraped()).split("\n").filter((line) => line.startsWith("poundlock_runs_queued{"));
  expect(lines).toEqual([
    expect.stringMatching(/otel_scope_name="poundlock-eu".* 1$/),
    expect.stringMatching(/otel_scope_name="poundlock-us".* 2$/),
  ]);
});

test("with gauges: false there are none", async () => {
  const tracing = openTelemetry({ traces: false, gauges: false, meter: sdk.meter });
  const harness = new Harness({ options: { tracing } });
  await harness.scheduler.start();

  expect(await shown()).toEqual({});
});
