import { context, propagation } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { allowAll, createHandler } from "../../src/http/index.ts";
import { type Export, reject } from "../../src/index.ts";
import { openTelemetry } from "../../src/opentelemetry/index.ts";
import { scriptedImport } from "../../src/testing/index.ts";
import { Harness } from "../support/harness.ts";
import { TestSdk, useContexts } from "./sdk.ts";

let forget: () => void;
beforeAll(() => {
  forget = useContexts();
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
});
afterAll(() => {
  propagation.disable();
  forget();
});

const traceId = "0af7651916cd43dd8448eb211c80319c";
const traceparentOf = (spanId: string) => `00-${traceId}-${spanId}-01`;

const orders: Export<number> = {
  listen: () => () => undefined,
  key: (number) => `#${number}`,
  async *pages() {
    yield [1];
  },
};

/** A host whose server is instrumented: each request is handled inside the trace that its header names. */
function served() {
  const sdk = new TestSdk();
  const ledger = scriptedImport<number>(() => Promise.reject(reject(new Error("no"))));
  const tracing = openTelemetry({ tracer: sdk.tracer, metrics: false, gauges: false });
  const harness = new Harness({ exports: { orders }, imports: { ledger }, options: { tracing } });
  const handler = createHandler({ scheduler: harness.scheduler, authorize: allowAll() });
  const post = async (path: string, spanId: string, body?: unknown): Promise<Response> => {
    const headers = { traceparent: traceparentOf(spanId), "content-type": "application/json" };
    const text = body === undefined ? {} : { body: JSON.stringify(body) };
    const request = new Request(`http://host${path}`, { method: "POST", headers, ...text });
    const carrier = Object.fromEntries(request.headers);
    return context.with(propagation.extract(context.active(), carrier), () => handler(request));
  };
  return { harness, post, sdk };
}

test("a request to run a flow, or to retry its failures, is linked from the run that it queues", async () => {
  const { harness, post, sdk } = served();
  await harness.scheduler.start();
  const { _id } = await harness.flow();

  expect((await post(`/flows/${_id}/run`, "1111111111111111")).status).toBe(201);
  for (const run of await harness.runs()) await harness.end(run);
  expect((await post(`/flows/${_id}/failures/retry`, "2222222222222222")).status).toBe(201);
  for (const run of await harness.runs()) await harness.end(run);

  const links = sdk.named("run").map(({ links: [link] }) => `${link?.context.traceId} ${link?.context.spanId}`);
  expect(links).toEqual([`${traceId} 1111111111111111`, `${traceId} 2222222222222222`]);
});

test("records that are sent to an export are accepted inside the sender's trace, and linked from their page", async () => {
  const { harness, post, sdk } = served();
  await harness.scheduler.start();
  await harness.flow();

  expect((await post("/exports/orders/records", "3333333333333333", [7])).status).toBe(202);
  for (const run of await harness.runs()) await harness.end(run);

  const [accept] = sdk.named("accept");
  expect(accept?.parentSpanContext).toMatchObject({ traceId, spanId: "3333333333333333", isRemote: true });
  const linked = [...sdk.named("run"), ...sdk.named("page")].map(({ links: [link] }) => link?.context.spanId);
  expect(linked).toEqual([accept?.spanContext().spanId, accept?.spanContext().spanId]);
});
