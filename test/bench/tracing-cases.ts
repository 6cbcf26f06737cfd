import { context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { ExportResultCode } from "@opentelemetry/core";
import { AggregationTemporality, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import {
  AlwaysOffSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-base";
import { type Export, FlowRegistry, Scheduler, type Tracing, diagnosticsChannel } from "../../src/index.ts";
import { openTelemetry } from "../../src/opentelemetry/index.ts";
import { type BenchCase, type Figures, summary } from "./measure.ts";

const pages = 4_000;
const rounds = 7;

/** Pages of 100 records that are there already. */
function inMemory(): Export<number, number> {
  const page = Array.from({ length: 100 }, (_, index) => index);
  return {
    order: "ordered",
    async *pages({ checkpoint = 0 }) {
      for (let read = checkpoint; read < pages; read++) yield { records: [...page], checkpoint: read + 1 };
    },
  };
}

/** Takes spans and drops them: what they are sent by is the host's. */
const dropped: SpanExporter = {
  export: (_, done) => done({ code: ExportResultCode.SUCCESS }),
  shutdown: async () => undefined,
};

class NoReader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE });
  }
  protected override async onForceFlush(): Promise<void> {
    await Promise.resolve();
  }
  protected override async onShutdown(): Promise<void> {
    await Promise.resolve();
  }
}

const quiet = { metrics: false, gauges: false };

/** What watches, by name; undefined: nothing does. */
const watchers: Readonly<Record<string, () => Tracing | undefined>> = {
  aloneUs: () => undefined,
  callsWork: () => ({ around: (_, work) => work() }),
  channel: () => diagnosticsChannel(),
  withoutSdk: () => openTelemetry(),
  sampledOut: () =>
    openTelemetry({
      ...quiet,
      tracer: new BasicTracerProvider({ sampler: new AlwaysOffSampler() }).getTracer("bench"),
    }),
  recorded: () => {
    const spanProcessors = [new BatchSpanProcessor(dropped, { maxQueueSize: 100_000 })];
    return openTelemetry({
      ...quiet,
      maxPagesPerTrace: pages,
      tracer: new BasicTracerProvider({ spanProcessors }).getTracer("bench"),
    });
  },
  metrics: () =>
    openTelemetry({
      ...{ traces: false, gauges: false },
      meter: new MeterProvider({ readers: [new NoReader()] }).getMeter("bench"),
    }),
};

/** The CPU time of a page, in microseconds. */
async function cpuOfPage(watcher: string): Promise<number> {
  const manager = new AsyncLocalStorageContextManager();
  // With one, as every SDK for Node has it; without, for what is measured without.
  const hasSdk = watcher === "sampledOut" || watcher === "recorded";
  if (hasSdk) context.setGlobalContextManager(manager.enable());
  const tracing = watchers[watcher]?.();
  const imports = { sink: { idempotent: true, write: async () => undefined } };
  const registry = new FlowRegistry({ exports: { from: inMemory() }, imports });
  const scheduler = new Scheduler(registry, tracing === undefined ? {} : { tracing });
  const flow = await registry.create({ name: "bench", _exportId: "from", _importId: "sink" });
  await scheduler.start();
  const before = process.cpuUsage();
  const ended = await scheduler.waitFor((await scheduler.run(flow._id))._id);
  const { system, user } = process.cpuUsage(before);
  if (ended.numPagesProcessed !== pages) throw new Error(`the run ${ended.status}`);
  await scheduler.stop();
  if (hasSdk) context.disable();
  return (system + user) / pages;
}

async function whatWatchingCosts(): Promise<Figures> {
  const names = Object.keys(watchers);
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const name of names) {
      const us = await cpuOfPage(name);
      // The first ones let the compiler get to know the code.
      if (round > 1) times.get(name)?.push(us);
    }
  const medianOf = (name: string) => summary(times.get(name) ?? []).median;
  const alone = medianOf("aloneUs");
  return Object.fromEntries(names.map((name) => [name, name === "aloneUs" ? alone : medianOf(name) / alone]));
}

export const tracingCases: readonly BenchCase[] = [
  {
    title: "Watched runs, in memory to no-op, pages of 100",
    measure: whatWatchingCosts,
    units: {
      aloneUs: "µs of CPU a page, without a tracer",
      callsWork: "× that, with a tracer that only calls work",
      channel: "× that, with diagnosticsChannel() and nobody subscribed",
      withoutSdk: "× that, with openTelemetry() and no SDK",
      sampledOut: "× that, with spans that are sampled out",
      recorded: "× that, with spans that are recorded and dropped in batches",
      metrics: "× that, with metrics that are recorded",
    },
  },
];
