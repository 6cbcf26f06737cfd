import type { Meter, Tracer } from "@opentelemetry/api";
import type { SpanProcessor } from "@opentelemetry/sdk-trace-base";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, expect, test } from "vitest";
import { retryLater } from "../../src/index.ts";
import { type OpenTelemetryOptions, openTelemetry } from "../../src/opentelemetry/index.ts";
import { arrayExport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, upTo } from "../support/harness.ts";
import { TestSdk, useContexts } from "./sdk.ts";

let forget: () => void;
beforeAll(() => (forget = useContexts()));
afterAll(() => forget());

const broken = () => {
  throw new Error("the SDK is broken");
};
const withProcessor = (processor: Partial<SpanProcessor>): OpenTelemetryOptions => {
  const calm = { onStart: () => undefined, onEnd: () => undefined };
  const ends = { forceFlush: () => Promise.resolve(), shutdown: () => Promise.resolve() };
  return {
    tracer: new BasicTracerProvider({ spanProcessors: [{ ...calm, ...ends, ...processor }] }).getTracer("test"),
  };
};
const withMeter = (changed: object): OpenTelemetryOptions => ({
  meter: Object.assign(Object.create(new TestSdk().meter) as Meter, changed),
});
const brokenCounter = { add: broken };
const brokenHistogram = { record: broken };
const tracer: Tracer = { startSpan: broken, startActiveSpan: broken };

test.each<[fault: string, sdk: OpenTelemetryOptions, reports: readonly string[]]>([
  ["makes no span", { tracer }, ["tracing"]],
  ["throws when a span begins", withProcessor({ onStart: broken }), ["tracing"]],
  ["throws when a span ends", withProcessor({ onEnd: broken }), ["tracing"]],
  ["never flushes", withProcessor({ forceFlush: () => new Promise(() => undefined) }), []],
  ["makes no counter", withMeter({ createCounter: broken }), ["tracing"]],
  ["makes no gauge", withMeter({ createObservableGauge: broken }), ["tracing"]],
  ["records no duration", withMeter({ createHistogram: () => brokenHistogram }), ["tracing"]],
])("an SDK that %s costs no record, and is reported once", async (_, sdk, reports) => {
  const written: string[] = [];
  const ledger = scriptedImport<number>(({ attempt, records }) => {
    written.push(`${records.join()}/${attempt}`);
    if (attempt === 1 && records[0] === 2) throw retryLater(new Error("busy"));
    return undefined;
  });
  const orders = arrayExport(upTo(3), { pageSize: 1, key: (number) => `#${number}` });
  const reported: unknown[] = [];
  const line = () => undefined;
  const error = ({ during }: { readonly during?: string }) => void reported.push(during);
  const options = { tracing: openTelemetry(sdk), logger: { debug: line, info: line, warn: line, error } };
  const harness = new Harness({ exports: { orders }, imports: { ledger }, options });

  const run = await harness.move();
  await harness.clock.settle();

  expect(run).toMatchObject({ status: "completed", numSuccess: 3, numPagesProcessed: 3 });
  expect(written).toEqual(["1/1", "2/1", "2/2", "3/1"]);
  expect(reported).toEqual(reports);
});

test("a counter that throws is a listener's error", async () => {
  const sdk = withMeter({ createCounter: () => brokenCounter });
  const orders = arrayExport([1]);
  const ledger = scriptedImport<number>(() => undefined);
  const harness = new Harness({ exports: { orders }, imports: { ledger }, options: { tracing: openTelemetry(sdk) } });

  expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 1 });

  expect(harness.events.of("listener:error").length).toBeGreaterThan(0);
});
