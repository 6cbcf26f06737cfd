export { openTelemetry } from "./opentelemetry.ts";
export type { MetricAttributes, OpenTelemetryOptions } from "./options.ts";
export { traceFields } from "./origin.ts";
