import { InvalidOptionError } from "../errors.ts";
import type { Run } from "../model/run.ts";
import { type Shape, boolean, callable, objectWith, v, validate, wholeNumber } from "../model/validate.ts";
import { type Meter, type Tracer, metrics, trace } from "./api.ts";

/** Attributes of metrics; undefined: without this one. */
export type MetricAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** What is recorded, and with what. */
export interface OpenTelemetryOptions {
  /** Whether spans are made. @default true */
  readonly traces?: boolean;
  /** Whether counters and histograms are recorded. @default true */
  readonly metrics?: boolean;
  /** Whether gauges are. They are of the whole storage, so one process of several is enough. @default true */
  readonly gauges?: boolean;
  /**
   * Pages of a run whose spans are children of its span; 0 or more. Each one after is a trace of its own, linked to the
   * run's: a trace of millions of spans is what backends refuse, or die of.
   *
   * @default 100
   */
  readonly maxPagesPerTrace?: number;
  /**
   * Further attributes of the metrics of a flow's runs, of a few values each, such as a tenant; undefined as a value
   * leaves one of ours out. @default none
   */
  readonly attributes?: (
    flow: Pick<Run, "_flowId" | "_exportId" | "_integrationId" | "_connectorId">,
  ) => MetricAttributes;
  /** Makes the spans. @default the global one's */
  readonly tracer?: Tracer;
  /** Makes the instruments. @default the global one's, when the scheduler is made */
  readonly meter?: Meter;
}

/** {@link OpenTelemetryOptions} with every default filled in. */
export interface ResolvedTelemetryOptions extends Required<Omit<OpenTelemetryOptions, "meter" | "attributes">> {
  readonly attributes: OpenTelemetryOptions["attributes"];
  /** Asked for late: unlike tracers, a meter from before the SDK was set up never records. */
  readonly meter: () => Meter;
}

const optionRules: Shape<OpenTelemetryOptions> = {
  traces: v.optional(boolean),
  metrics: v.optional(boolean),
  gauges: v.optional(boolean),
  maxPagesPerTrace: v.optional(wholeNumber(0)),
  attributes: v.optional(callable),
  tracer: v.optional(objectWith(["startSpan"], "a Tracer of @opentelemetry/api")),
  meter: v.optional(
    objectWith(["createCounter", "createHistogram", "createObservableGauge"], "a Meter of @opentelemetry/api"),
  ),
};

/** @throws `invalid_option` naming the first one that is unknown, or out of range. */
export function resolveOptions(options: OpenTelemetryOptions): ResolvedTelemetryOptions {
  validate(options, optionRules, InvalidOptionError);
  const { traces = true, metrics: counts = true, gauges = true, maxPagesPerTrace = 100, meter } = options;
  const { attributes, tracer = trace.getTracer("poundlock") } = options;
  return {
    ...{ traces, metrics: counts, gauges, maxPagesPerTrace, attributes, tracer },
    meter: () => meter ?? metrics.getMeter("poundlock"),
  };
}
