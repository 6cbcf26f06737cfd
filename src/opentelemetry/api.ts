// The one file that knows OpenTelemetry's API. What is asked of it has been there since 1.9.
export {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  context,
  createContextKey,
  createTraceState,
  diag,
  isSpanContextValid,
  metrics,
  trace,
} from "@opentelemetry/api";
export type {
  Attributes,
  BatchObservableCallback,
  Context,
  Counter,
  Histogram,
  Link,
  Meter,
  ObservableGauge,
  Span,
  SpanContext,
  Tracer,
} from "@opentelemetry/api";
