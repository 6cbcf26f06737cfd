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
import type { Storage } from "../../src/storage/storage.ts";
import { type StorageKind, withStorage } from "./disk.ts";
import { type BenchCase, type Figures, summary } from "./measure.ts";

const pages = 4_000;
const pagesOnDisk = 1_000;
const rounds = 7;

/** Pages of 100 records that are there already. */
function inMemory(count: number): Export<number, number> {
  const page = Array.from({ length: 100 }, (_, index) => index);
  return {
    order: "ordered",
    async *pages({ checkpoint = 0 }) {
      for (let read = checkpoint; read < count; read++) yield { records: [...page], checkpoint: read + 1 };
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

const recordingTracer = () => {
  const spanProcessors = [new BatchSpanProcessor(dropped, { maxQueueSize: 100_000 })];
  return new BasicTracerProvider({ spanProcessors }).getTracer("bench");
};
const recordingMeter = () => new MeterProvider({ readers: [new NoReader()] }).getMeter("bench");

type Watchers = Readonly<Record<string, () => Tracing | undefined>>;

/** What watches, by name; undefined: nothing does. */
const watchers: Watchers = {
  aloneUs: () => undefined,
  callsWork: () => ({ around: (_, work) => work() }),
  channel: () => diagnosticsChannel(),
  withoutSdk: () => openTelemetry(),
  sampledOut: () =>
    openTelemetry({
      ...quiet,
      tracer: new BasicTracerProvider({ sampler: new AlwaysOffSampler() }).getTracer("bench"),
    }),
  recorded: () => openTelemetry({ ...quiet, maxPagesPerTrace: pages, tracer: recordingTracer() }),
  metrics: () => openTelemetry({ ...{ traces: false, gauges: false }, meter: recordingMeter() }),
};

/** The same where commits are durable: nothing, and all that there is. */
const watchersOnDisk: Watchers = {
  aloneUs: () => undefined,
  everything: () =>
    openTelemetry({ gauges: false, maxPagesPerTrace: pages, tracer: recordingTracer(), meter: recordingMeter() }),
};

/** The CPU time of a page, in microseconds. */
async function cpuOfPage(tracing: Tracing | undefined, storage: Storage, count: number): Promise<number> {
  const imports = { sink: { idempotent: true, write: async () => undefined } };
  const registry = new FlowRegistry({ exports: { from: inMemory(count) }, imports, storage });
  const scheduler = new Scheduler(registry, tracing === undefined ? {} : { tracing });
  const flow = await registry.create({ name: "bench", _exportId: "from", _importId: "sink" });
  await scheduler.start();
  const before = process.cpuUsage();
  const ended = await scheduler.waitFor((await scheduler.run(flow._id))._id);
  const { system, user } = process.cpuUsage(before);
  if (ended.numPagesProcessed !== count) throw new Error(`the run ${ended.status}`);
  await scheduler.stop();
  return (system + user) / count;
}

/** The same with the context manager that every SDK for Node has; without one where there is none. */
async function cpuWith(make: () => Tracing | undefined, { hasSdk, kept, count }: Setting): Promise<number> {
  if (hasSdk) context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const cpu = await withStorage(kept, (storage) => cpuOfPage(make(), storage, count));
  if (hasSdk) context.disable();
  return cpu;
}

interface Setting {
  readonly hasSdk: boolean;
  readonly kept: StorageKind;
  readonly count: number;
}

async function compared(all: Watchers, kept: StorageKind, count: number): Promise<Figures> {
  const names = Object.keys(all);
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const [name, make] of Object.entries(all)) {
      const hasSdk = name === "sampledOut" || name === "recorded" || name === "everything";
      const us = await cpuWith(make, { hasSdk, kept, count });
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
    measure: () => compared(watchers, "memory", pages),
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
  {
    title: "Watched runs, on SQLite to no-op, pages of 100",
    measure: () => compared(watchersOnDisk, "sqlite", pagesOnDisk),
    units: {
      aloneUs: "µs of CPU a page, without a tracer",
      everything: "× that, with spans and metrics that are recorded",
    },
  },
];
