import { SpanKind, SpanStatusCode, type Tracer, context, trace } from "@opentelemetry/api";
import { AlwaysOffSampler, type ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Export, type Import, MemoryStorage, type Run, reject, retryLater, stop } from "../../src/index.ts";
import { openTelemetry, traceFields } from "../../src/opentelemetry/index.ts";
import { type OpenTelemetryOptions } from "../../src/opentelemetry/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, type Setting, faltering, minute, upTo } from "../support/harness.ts";
import { TestSdk, useContexts } from "./sdk.ts";

let forget: () => void;
beforeAll(() => (forget = useContexts()));
afterAll(() => forget());

const ones = (last: number) => arrayExport(upTo(last), { pageSize: 1, key: (number) => `#${number}` });
const from: Export<number> = { listen: () => () => undefined, key: (number) => `#${number}` };
const sink = collectingImport<number>();

/** A harness whose runs are traced, without metrics. */
function traced(setting: Setting, options: OpenTelemetryOptions = {}, sdk = new TestSdk()) {
  const tracing = openTelemetry({ tracer: sdk.tracer, metrics: false, gauges: false, ...options });
  return { sdk, harness: new Harness({ ...setting, options: { ...setting.options, tracing } }) };
}

const linksOf = ({ links }: ReadableSpan) => links.map(({ context: { traceId, spanId } }) => `${traceId}/${spanId}`);
const idOf = (span: ReadableSpan | undefined) => {
  const { spanId = "", traceId = "" } = span?.spanContext() ?? {};
  return `${traceId}/${spanId}`;
};

describe("a run is one trace:", () => {
  test("spans of its reads and pages, and of the writes and commits of each page", async () => {
    const { harness, sdk } = traced({ exports: { orders: ones(2) }, imports: { ledger: collectingImport<number>() } });

    await harness.move();

    expect(sdk.spans.map((span) => sdk.pathOf(span)).sort()).toEqual([
      "run orders",
      "run orders > page orders",
      "run orders > page orders",
      "run orders > page orders > commit",
      "run orders > page orders > commit",
      "run orders > page orders > write ledger",
      "run orders > page orders > write ledger",
      "run orders > read orders",
      "run orders > read orders",
      "run orders > read orders",
    ]);
    expect(new Set(sdk.spans.map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(new Set(sdk.spans.map(({ kind }) => kind))).toEqual(new Set([SpanKind.INTERNAL]));
  });

  test("each with the ids of its flow and run, and what its step says", async () => {
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { ledger: collectingImport<number>() } });
    await harness.scheduler.start();
    const flow = await harness.flow({ _integrationId: "acme" });

    const run = await harness.run(flow._id);

    const ids = { "poundlock.flow.id": flow._id, "poundlock.run.id": run._id };
    const counts = { "poundlock.success": 1, "poundlock.failed": 0, "poundlock.ignored": 0 };
    const attributesOf = (name: string) => sdk.named(name)[0]?.attributes;
    expect(attributesOf("run")).toEqual({
      ...ids,
      ...counts,
      "poundlock.trigger": "manual",
      "poundlock.status": "completed",
      "poundlock.integration.id": "acme",
    });
    expect(attributesOf("read")).toEqual({ ...ids, "poundlock.page": 1, "messaging.batch.message_count": 1 });
    expect(attributesOf("page")).toEqual({ ...ids, ...counts, "poundlock.page": 1 });
    expect(attributesOf("write")).toEqual({
      ...ids,
      "poundlock.import.id": "ledger",
      "poundlock.attempt": 1,
      "poundlock.outcome": "written",
    });
    expect(attributesOf("commit")).toEqual({ ...ids, "poundlock.page": 1 });
  });

  test("whatever span was active where it was queued, which it is linked to", async () => {
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { sink } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    const request = sdk.tracer.startSpan("request");

    const { _id } = await context.with(trace.setSpan(context.active(), request), () => harness.scheduler.run(flow._id));
    await harness.end({ _id });
    request.end();

    const [run] = sdk.named("run");
    expect(run?.parentSpanContext).toBeUndefined();
    expect(run && linksOf(run)).toEqual([idOf(sdk.named("request")[0])]);
    expect(run?.links[0]?.context.isRemote).toBe(true);
  });

  test("host code starts its own spans inside: after yields, awaits and timers, side by side", async () => {
    const inside = (what: string) => sdk.tracer.startSpan(what).end();
    const pause = () => new Promise<void>((resolve) => void setImmediate(resolve));
    const orders: Export<number, number> = {
      order: "ordered",
      async *pages() {
        for (let page = 1; page <= 3; page++) {
          await pause();
          inside(`query ${page}`);
          yield { records: [page, page + 10], checkpoint: page };
          inside(`close ${page}`);
        }
      },
    };
    const slow = (): Import<number> => ({
      ...{ idempotent: true, batchSize: 1, concurrency: 2 },
      async write([number = 0]) {
        inside(`request ${number}`);
        await pause();
        inside(`response ${number}`);
      },
    });
    const setting = { exports: { orders }, imports: { one: slow(), two: slow() }, options: { prefetch: 2 } };
    const { harness, sdk } = traced(setting);
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.scheduler.waitFor(run._id);

    const parentOf = (span: ReadableSpan) =>
      sdk.spans.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId);
    const pageOf = (span: ReadableSpan | undefined): unknown =>
      span && (span.attributes["poundlock.page"] ?? pageOf(parentOf(span)));
    const host = sdk.spans.filter(({ name }) => /^(query|close|request|response)/.test(name));
    expect(host).toHaveLength(3 + 3 + 2 * 2 * 6);
    for (const span of host) {
      const [kind = "", number] = span.name.split(" ");
      const own = parentOf(span);
      const page = Number(number) % 10;
      expect(own?.name, span.name).toMatch(/^(query|close)/.test(kind) ? /^read orders/ : /^write (one|two)/);
      expect(pageOf(own), span.name).toBe(kind === "close" ? page + 1 : page);
    }
  });

  test("pages beyond the limit are traces of their own, each linked to the run, and their writes are inside", async () => {
    const { harness, sdk } = traced(
      { exports: { orders: ones(4) }, imports: { ledger: sink } },
      { maxPagesPerTrace: 2 },
    );

    await harness.move();

    const [run] = sdk.named("run");
    const pages = sdk.named("page");
    expect(pages.map((page) => sdk.pathOf(page))).toEqual([
      "run orders > page orders",
      "run orders > page orders",
      "page orders",
      "page orders",
    ]);
    expect(pages.slice(2).map(linksOf)).toEqual([[idOf(run)], [idOf(run)]]);
    const traces = new Set(pages.map((page) => page.spanContext().traceId));
    expect(traces.size).toBe(3);
    expect(
      sdk
        .named("write")
        .map((write) => sdk.pathOf(write))
        .slice(2),
    ).toEqual(Array.from({ length: 2 }, () => "page orders > write ledger"));
    expect(
      sdk
        .named("read")
        .map((read) => sdk.pathOf(read))
        .sort(),
    ).toEqual([
      ...Array.from({ length: 3 }, () => "read orders"),
      ...Array.from({ length: 2 }, () => "run orders > read orders"),
    ]);
  });
});

test("with a limit of 0 every page is a trace of its own", async () => {
  const { harness, sdk } = traced({ exports: { orders: ones(2) }, imports: { sink } }, { maxPagesPerTrace: 0 });

  await harness.move();

  expect(sdk.named("page").map((page) => sdk.pathOf(page))).toEqual(["page orders", "page orders"]);
  expect(new Set(sdk.named("page").flatMap(linksOf))).toEqual(new Set([idOf(sdk.named("run")[0])]));
});

describe("records that arrive:", () => {
  test("the producer's span is linked to the run and the page that deliver them, also after a restart", async () => {
    const storage = new MemoryStorage();
    const sdk = new TestSdk();
    const first = traced({ exports: { orders: from }, imports: { ledger: sink }, storage }, {}, sdk);
    await first.harness.flow();
    await first.harness.scheduler.accept("orders", [1, 2]);
    await first.harness.scheduler.accept("orders", [3]);

    const { clock } = first.harness;
    const second = traced({ exports: { orders: from }, imports: { ledger: sink }, storage, clock }, {}, sdk);
    await second.harness.scheduler.start();
    for (const run of await second.harness.runs()) await second.harness.end(run);

    const accepts = sdk.named("accept orders");
    expect(accepts.map(({ kind }) => kind)).toEqual([SpanKind.PRODUCER, SpanKind.PRODUCER]);
    expect(accepts.map(({ attributes }) => attributes)).toEqual([
      { "messaging.batch.message_count": 2 },
      { "messaging.batch.message_count": 1 },
    ]);
    const [run] = sdk.named("run");
    expect(run?.kind).toBe(SpanKind.CONSUMER);
    expect(run && linksOf(run)).toEqual([idOf(accepts[0])]);
    expect(sdk.named("page").map(linksOf)).toEqual([accepts.map(idOf)]);
  });

  test("a run that goes on after a wait is linked to the same span", async () => {
    let reads = 0;
    const orders: Export<number, number> = {
      order: "ordered",
      async *pages() {
        if (++reads === 1) throw retryLater(new Error("busy"), { afterMs: 10 * minute });
        yield { records: [1], checkpoint: 1 };
      },
    };
    const { harness, sdk } = traced({ exports: { orders }, imports: { sink } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    const request = sdk.tracer.startSpan("request");
    const run = await context.with(trace.setSpan(context.active(), request), () => harness.scheduler.run(flow._id));
    request.end();
    await harness.end(run);

    const runs = sdk.named("run");
    expect(runs.map(({ attributes }) => attributes["poundlock.status"])).toEqual(["queued", "completed"]);
    expect(runs.map(linksOf)).toEqual([[idOf(sdk.named("request")[0])], [idOf(sdk.named("request")[0])]]);
  });

  test("an intake that is refused is an error", async () => {
    const { harness, sdk } = traced({ exports: { orders: from }, imports: { sink } });

    await expect(harness.scheduler.accept("orders", [1])).rejects.toThrow();

    expect(sdk.named("accept")[0]).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "error.type": "flow_disabled" },
    });
  });
});

describe("what fails has the status of an error,", () => {
  /** The spans that say that they failed, as `name: error.type`, and where the exception is recorded. */
  const failed = (sdk: TestSdk) =>
    sdk.spans
      .filter(({ status }) => status.code === SpanStatusCode.ERROR)
      .map(({ attributes, name }) => `${name}: ${String(attributes["error.type"])}`);
  const exceptions = (sdk: TestSdk) =>
    sdk.spans.flatMap(({ events, name }) =>
      events.map(({ attributes }) => `${name}: ${String(attributes?.["exception.message"])}`),
    );

  test("its code or class as type, and the exception once, at the innermost span", async () => {
    const orders: Export<number> = {
      async *pages() {
        throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
      },
    };
    const { harness, sdk } = traced({ exports: { orders }, imports: { sink } });

    await harness.move();

    expect(failed(sdk)).toEqual(["run orders: export_failed", "read orders: ECONNREFUSED"]);
    expect(exceptions(sdk)).toEqual(["read orders: connect ECONNREFUSED"]);
  });

  test.each([
    ["a string", "out of paper", "out of paper"],
    ["an object", { message: "out of paper", code: "E_PAPER" }, "out of paper"],
    ["a number", 507, "thrown: 507"],
  ])("and so is %s that is thrown, once in each reading", async (_, thrown, message) => {
    const orders: Export<number> = {
      async *pages() {
        throw thrown as unknown as Error;
      },
    };
    const { harness, sdk } = traced({ exports: { orders }, imports: { sink } });

    const { _flowId } = await harness.move();
    await harness.run(_flowId);

    expect(exceptions(sdk)).toEqual([`read orders: ${message}`, `read orders: ${message}`]);
  });

  test("and again in another run, if it is the same object", async () => {
    const gone = new Error("gone");
    const orders: Export<number> = {
      async *pages() {
        throw gone;
      },
    };
    const { harness, sdk } = traced({ exports: { orders }, imports: { sink } });

    const { _flowId } = await harness.move();
    await harness.run(_flowId);

    expect(exceptions(sdk)).toEqual(["read orders: gone", "read orders: gone"]);
  });

  test.each<[thrown: Error, type: string]>([
    [new TypeError("no"), "TypeError"],
    [new (class QuotaExceeded extends RangeError {})("no"), "QuotaExceeded"],
    [new (class extends RangeError {})("no"), "RangeError"],
    [Object.assign(new (class Refused extends Error {})("no"), { name: "CardRefused" }), "CardRefused"],
    [{ message: "no" } as unknown as Error, "_OTHER"],
    [Object.assign(new Error("no"), { code: 404 }), "404"],
    [Object.assign(new Error("no"), { code: "a code that is a sentence" }), "Error"],
    [Object.assign(new Error("no"), { name: "" }), "_OTHER"],
    ["a string" as unknown as Error, "_OTHER"],
    [retryLater(new RangeError("busy")), "RangeError"],
    [Object.defineProperty(new Error("no"), "cause", { get: () => { throw new Error("a trap"); } }), "Error"], // prettier-ignore
    [Object.defineProperty(new Error("no"), "code", { get: () => { throw new Error("a trap"); } }), "_OTHER"], // prettier-ignore
  ])("also a write that throws %s", async (thrown, type) => {
    const ledger = scriptedImport<number>(() => Promise.reject(thrown));
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { ledger }, options: { maxAttempts: 1 } });

    await harness.move();

    expect(failed(sdk)).toContain(`write ledger: ${type}`);
  });

  test("a write that stops, and its run, but not the page and not the commit", async () => {
    const ledger = scriptedImport<number>(() => Promise.reject(stop(new Error("revoked"))));
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { ledger } });

    await harness.move();

    expect(failed(sdk)).toEqual(["run orders: stopped_by_import", "write ledger: stopped_by_import"]);
    expect(exceptions(sdk)).toHaveLength(1);
  });

  test("but not a record that is rejected", async () => {
    const ledger = scriptedImport<number>(() => Promise.reject(reject(new Error("no VAT number"))));
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { ledger } });

    await harness.move();

    expect(failed(sdk)).toEqual([]);
    expect(exceptions(sdk)).toEqual([]);
    expect(sdk.named("write")[0]?.attributes["poundlock.outcome"]).toBe("reject");
  });

  test("a commit that is refused, with what is around it", async () => {
    const storage = faltering(new MemoryStorage(), { method: "commitPage", fails: () => true });
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { sink }, storage });
    await harness.scheduler.start();
    await harness.scheduler.run((await harness.flow())._id);
    for (let timers = 0; timers < 5; timers++) await harness.clock.advance(200);

    expect(failed(sdk)).toEqual(["run orders", "page orders", "commit"].map((name) => `${name}: storage_failed`));
    expect(exceptions(sdk)).toEqual([expect.stringMatching(/^commit: /)]);
  });
});

test("nothing of a record, its key or a rejected record's message is in any attribute", async () => {
  const orders = arrayExport([{ id: "key-of-it", secret: "value-of-it" }], { key: ({ id }) => id });
  const ledger = scriptedImport<object>(() => [
    { ok: false, fault: "reject", error: new Error("message-of-it: value-of-it") },
  ]);
  const { harness, sdk } = traced({ exports: { orders }, imports: { ledger } });

  await harness.move();
  await harness.scheduler.retryFailures((await harness.registry.list()).items[0]?._id ?? "");
  for (const run of await harness.runs()) await harness.end(run);

  const all = JSON.stringify(
    sdk.spans.map(({ attributes, events, name, links, status }) => [attributes, events, name, links, status]),
  );
  expect(sdk.named("run")).toHaveLength(2);
  expect(all).not.toContain("of-it");
});

describe("a run that is not recorded", () => {
  test("is the only span that is started", async () => {
    const sdk = new TestSdk(new AlwaysOffSampler());
    const started: string[] = [];
    const counting: Tracer = {
      startSpan: (name, ...rest) => {
        started.push(name);
        return sdk.tracer.startSpan(name, ...rest);
      },
      startActiveSpan: () => undefined as never,
    };
    const { harness } = traced({ exports: { orders: ones(3) }, imports: { sink } }, { tracer: counting }, sdk);

    expect(await harness.move()).toMatchObject({ status: "completed" });

    expect(started).toEqual(["run orders"]);
  });

  test("and without an SDK there is none, and no origin", async () => {
    const options = { tracing: openTelemetry() };
    const harness = new Harness({ exports: { orders: ones(1) }, imports: { sink }, options });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed" });
    expect("origin" in run).toBe(false);
    expect(harness.events.of("background:error")).toEqual([]);
  });

  test("nor any with traces: false, while requests are still known", async () => {
    const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { sink } }, { traces: false });

    expect(await harness.move()).toMatchObject({ status: "completed" });

    expect(sdk.spans).toEqual([]);
  });
});

test("lines of a log know the trace they are written in", async () => {
  const lines: { readonly message: string; readonly trace_id?: string; readonly span_id?: string }[] = [];
  const line = (fields: object, message: string) => void lines.push({ ...fields, message, ...traceFields() });
  const logger = { debug: line, info: line, warn: line, error: line };
  const ledger: Import<number> = { idempotent: true, write: async (_, { log }) => log.info({}, "writing") };
  const { harness, sdk } = traced({ exports: { orders: ones(1) }, imports: { ledger }, options: { logger } });

  const run: Run = await harness.move();

  const fieldsOf = (span: ReadableSpan | undefined) => {
    const { spanId, traceId } = span?.spanContext() ?? {};
    return { trace_id: traceId, span_id: spanId, trace_flags: "01" };
  };
  const ids = { flowId: run._flowId, runId: run._id };
  expect(lines[0]).toEqual({ ...ids, importId: "ledger", message: "writing", ...fieldsOf(sdk.named("write")[0]) });
  expect(lines[1]).toMatchObject({ ...ids, message: "run completed", ...fieldsOf(sdk.named("run")[0]) });
  expect(traceFields()).toEqual({});
});

test.each<[option: string, options: object]>([
  ["traces", { traces: 1 }],
  ["metrics", { metrics: "no" }],
  ["gauges", { gauges: null }],
  ["maxPagesPerTrace", { maxPagesPerTrace: -1 }],
  ["attributes", { attributes: {} }],
  ["tracer", { tracer: {} }],
  ["meter", { meter: {} }],
  ["tracers", { tracers: true }],
])("an option %s that is out of range or unknown is refused by name", (option, options) => {
  expect(() => openTelemetry(options)).toThrow(new RegExp(`^${option}: expected `));
});
