"use strict";

const { context } = require("@opentelemetry/api");
const { AsyncLocalStorageContextManager } = require("@opentelemetry/context-async-hooks");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

/** A host whose runs are traced: prints the names of the spans of one run, each with how many are around it. */
async function main({ FlowRegistry, Scheduler }, { openTelemetry }) {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const orders = {
    async *pages() {
      yield [1];
    },
  };
  const ledger = { idempotent: true, write: async () => undefined };
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger } });
  const scheduler = new Scheduler(registry, { tracing: openTelemetry({ tracer: provider.getTracer("host") }) });
  const flow = await registry.create({ name: "Orders", _exportId: "orders", _importId: "ledger" });
  await scheduler.start();
  await scheduler.waitFor((await scheduler.run(flow._id))._id);
  await scheduler.stop();
  const spans = exporter.getFinishedSpans();
  const around = (span) => spans.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId);
  const depth = (span) => (around(span) === undefined ? 0 : 1 + depth(around(span)));
  return spans
    .map((span) => `${span.name} ${depth(span)}`)
    .sort()
    .join();
}

async function both() {
  const required = await main(require("poundlock"), require("poundlock/opentelemetry"));
  const imported = await main(await import("poundlock"), await import("poundlock/opentelemetry"));
  console.log(required);
  console.log(imported);
}

void both();
