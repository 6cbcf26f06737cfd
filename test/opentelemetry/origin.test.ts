import { TraceFlags, context, createTraceState, trace } from "@opentelemetry/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { activeOrigin, linksTo } from "../../src/opentelemetry/origin.ts";
import { useContexts } from "./sdk.ts";

let forget: () => void;
beforeAll(() => (forget = useContexts()));
afterAll(() => forget());

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";
const parent = `00-${traceId}-${spanId}-01`;

/** The origin while a span with this trace state is active. */
function originWith(state?: string, traceFlags = TraceFlags.SAMPLED): string | undefined {
  const traceState = state === undefined ? {} : { traceState: createTraceState(state) };
  const active = trace.setSpanContext(context.active(), { traceId, spanId, traceFlags, ...traceState });
  return context.with(active, activeOrigin);
}

test("an origin is the active span's traceparent, and its tracestate behind a space", () => {
  expect(originWith()).toBe(parent);
  expect(originWith("vendor=a,other=b")).toBe(`${parent} vendor=a,other=b`);
  expect(originWith(undefined, TraceFlags.NONE)).toBe(`00-${traceId}-${spanId}-00`);
});

test("without an active span there is none, nor with one that is invalid", () => {
  expect(activeOrigin()).toBeUndefined();
  const invalid = { traceId: "0".repeat(32), spanId, traceFlags: 1 };
  expect(context.with(trace.setSpanContext(context.active(), invalid), activeOrigin)).toBeUndefined();
});

test("a tracestate that would make it longer than 512 characters is left out", () => {
  const room = 512 - parent.length - 1 - "vendor=".length;

  expect(originWith(`vendor=${"a".repeat(Math.min(room, 256))}`)).toHaveLength(parent.length + 8 + Math.min(room, 256));
  expect(originWith(`one=${"a".repeat(250)},two=${"b".repeat(250)}`)).toBe(parent);
});

test("a link leads back to the span", () => {
  const [link] = linksTo([`${parent} vendor=a`]);

  expect(link?.context).toMatchObject({ traceId, spanId, traceFlags: 1, isRemote: true });
  expect(link?.context.traceState?.serialize()).toBe("vendor=a");
  expect(linksTo([parent])[0]?.context.traceState).toBeUndefined();
});

test.each([
  "",
  "a request",
  `01-${traceId}-${spanId}-01`,
  `00-${"0".repeat(32)}-${spanId}-01`,
  `${parent}x`,
  `${parent} \n`,
])("what is no trace context has no link: %j", (origin) => {
  expect(linksTo([origin])).toEqual([]);
});
