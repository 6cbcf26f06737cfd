import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ContextManager, context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus";
import { AggregationTemporality, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  type ReadableSpan,
  type Sampler,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";

/** What a host sets up of OpenTelemetry, kept in memory. */
export class TestSdk {
  readonly #started: ReadableSpan[] = [];
  readonly #provider: BasicTracerProvider;
  readonly reader = new TestReader();
  readonly #prometheus = new PrometheusExporter({ preventServerStart: true });
  readonly #meters = new MeterProvider({ readers: [this.reader, this.#prometheus] });

  constructor(sampler?: Sampler) {
    // In the order of their starts, which their times do not say: those are whole milliseconds.
    const processor: SpanProcessor = {
      onStart: (span) => void this.#started.push(span),
      onEnd: () => undefined,
      forceFlush: async () => undefined,
      shutdown: async () => undefined,
    };
    const spanProcessors = [processor];
    this.#provider = new BasicTracerProvider({ spanProcessors, ...(sampler === undefined ? {} : { sampler }) });
  }

  get tracer() {
    return this.#provider.getTracer("test");
  }

  get meter() {
    return this.meterOf("test");
  }

  meterOf(name: string) {
    return this.#meters.getMeter(name);
  }

  /** Spans that have ended, in the order of their starts. */
  get spans(): readonly ReadableSpan[] {
    return this.#started.filter(({ ended }) => ended);
  }

  /** Those whose name begins so. */
  named(start: string): readonly ReadableSpan[] {
    return this.spans.filter(({ name }) => name.startsWith(start));
  }

  /** The names of a span and of all around it, from the outermost on. */
  pathOf(span: ReadableSpan): string {
    const parent = this.spans.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId);
    return parent === undefined ? span.name : `${this.pathOf(parent)} > ${span.name}`;
  }

  /** All points of one instrument. */
  async points(name: string) {
    const { resourceMetrics, errors } = await this.reader.collect();
    if (errors.length > 0) throw errors[0];
    const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
    return all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
  }

  /** What Prometheus gets when it asks. */
  async scraped(): Promise<string> {
    const server = createServer((request, response) => this.#prometheus.getMetricsRequestHandler(request, response));
    try {
      await once(server.listen(0, "127.0.0.1"), "listening");
      const { port } = server.address() as AddressInfo;
      return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    } finally {
      server.close();
      server.closeAllConnections();
    }
  }

  async shutdown(): Promise<void> {
    await this.#meters.shutdown();
  }

  /** The names of all instruments that have points. */
  async names(): Promise<readonly string[]> {
    const { resourceMetrics } = await this.reader.collect();
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics.map(({ descriptor }) => descriptor.name));
  }
}

class TestReader extends MetricReader {
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

/** Makes spans active across awaits, as every SDK for Node does; returns what ends that. */
export function useContexts(): () => void {
  const manager: ContextManager = new AsyncLocalStorageContextManager().enable();
  context.setGlobalContextManager(manager);
  return () => context.disable();
}
