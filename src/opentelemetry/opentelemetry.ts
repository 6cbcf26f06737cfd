import type { Tracing } from "../run/tracing.ts";
import type { Meter } from "./api.ts";
import { Gauges } from "./gauges.ts";
import { Metrics } from "./metrics.ts";
import { type OpenTelemetryOptions, resolveOptions } from "./options.ts";
import { activeOrigin } from "./origin.ts";
import { Spans } from "./spans.ts";

/**
 * Traces and metrics of a scheduler, by the SDK that the host sets up, before it makes the scheduler:
 * `new Scheduler(registry, { tracing: openTelemetry() })`.
 *
 * @throws `invalid_option` naming the first option that is unknown, or out of range.
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Tracing {
  const resolved = resolveOptions(options);
  const spans = resolved.traces ? new Spans(resolved) : undefined;
  let meter: Meter | undefined;
  let metrics: Metrics | undefined;
  return {
    around: (step, work) => {
      const recorder = metrics;
      const timed = recorder === undefined ? work : () => recorder.around(step, work);
      return spans === undefined ? timed() : spans.around(step, timed);
    },
    origin: activeOrigin,
    attach: (scheduler) => {
      const isFirst = meter === undefined;
      meter ??= resolved.meter();
      if (resolved.metrics) {
        // One for all schedulers that share these options: a run is watched by the one that its events reach.
        metrics ??= new Metrics(meter, resolved.attributes);
        metrics.listen(scheduler);
      }
      if (resolved.gauges && isFirst) new Gauges(scheduler).observe(meter);
    },
  };
}
