import { type Link, type SpanContext, context, createTraceState, isSpanContextValid, trace } from "./api.ts";

/** Characters that an origin may have. */
const longest = 512;

/** A `traceparent`, and behind a space a `tracestate`. @see https://www.w3.org/TR/trace-context/ */
const written = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?: ([\x20-\x7e]+))?$/;

function flagsOf({ traceFlags }: SpanContext): string {
  return traceFlags.toString(16).padStart(2, "0");
}

/** The span that is active, as a `traceparent`, with its `tracestate` if that fits; undefined if none is. */
export function activeOrigin(): string | undefined {
  const active = trace.getSpanContext(context.active());
  if (active === undefined || !isSpanContextValid(active)) return undefined;
  const parent = `00-${active.traceId}-${active.spanId}-${flagsOf(active)}`;
  const state = active.traceState?.serialize() ?? "";
  return state === "" || parent.length + 1 + state.length > longest ? parent : `${parent} ${state}`;
}

/** Links to the spans that were active when requests came; what is no trace context is left out. */
export function linksTo(origins: readonly string[]): Link[] {
  return origins.flatMap((origin) => {
    const [, traceId = "", spanId = "", flags = "", state] = written.exec(origin) ?? [];
    const linked = { traceId, spanId, traceFlags: parseInt(flags, 16), isRemote: true };
    if (!isSpanContextValid(linked)) return [];
    return [{ context: state === undefined ? linked : { ...linked, traceState: createTraceState(state) } }];
  });
}

/**
 * The trace that the caller is in, for lines of a log: `pino({ mixin: () => traceFields() })`. Empty if there is none. The
 * names are those of `@opentelemetry/instrumentation-pino`.
 */
export function traceFields(): {
  readonly trace_id?: string;
  readonly span_id?: string;
  readonly trace_flags?: string;
} {
  const active = trace.getSpanContext(context.active());
  if (active === undefined || !isSpanContextValid(active)) return {};
  return { trace_id: active.traceId, span_id: active.spanId, trace_flags: flagsOf(active) };
}
