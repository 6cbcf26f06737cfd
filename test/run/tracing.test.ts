import { setTimeout as realTimer } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import {
  type Export,
  MemoryStorage,
  type Result,
  type Tracing,
  expired,
  reject,
  retryLater,
  stop,
} from "../../src/index.ts";
import { type WriteScript, arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, type Setting, aborted, faltering, minute, pagesExport, upTo } from "../support/harness.ts";
import { type SeenStep, StepRecorder, oddTracers } from "../support/tracers.ts";

const ones = (last: number, pageSize = 1) => arrayExport(upTo(last), { pageSize, key: (number) => `#${number}` });

/** An export that only takes in what arrives. */
const arriving: Export<number> = { listen: () => () => undefined, key: (number) => `#${number}` };

/** A harness whose steps are recorded. */
function traced(setting: Setting) {
  const tracing = new StepRecorder();
  return { tracing, harness: new Harness({ ...setting, options: { ...setting.options, tracing } }) };
}

/** The kind of a step, of those around it, and which page it is of. */
function pathOf({ parent, step }: SeenStep): string {
  const own = "page" in step ? `${step.kind} ${step.page}` : step.kind;
  return parent === undefined ? own : `${pathOf(parent)} > ${own}`;
}

describe("a run is a tree of steps:", () => {
  test("pages are read beside the pages that are written and committed", async () => {
    const { harness, tracing } = traced({ exports: { from: ones(2) }, imports: { sink: collectingImport<number>() } });

    await harness.move();

    expect(tracing.seen.map(pathOf).sort()).toEqual([
      "run",
      "run > page 1",
      "run > page 1 > commit 1",
      "run > page 1 > write",
      "run > page 2",
      "run > page 2 > commit 2",
      "run > page 2 > write",
      "run > read 1",
      "run > read 2",
      "run > read 3",
    ]);
    expect(tracing.outcomes("read")).toEqual(["page", "page", "end"]);
    expect(tracing.of("page").map(({ result }) => result)).toEqual([
      { outcome: "settled", counts: { numSuccess: 1, numError: 0, numIgnore: 0 } },
      { outcome: "settled", counts: { numSuccess: 1, numError: 0, numIgnore: 0 } },
    ]);
  });

  test("each try of each batch at each import is a write step, with what it was sent", async () => {
    const later = scriptedImport<number>(
      ({ attempt }) => {
        if (attempt === 1) throw retryLater(new Error("busy"));
        return undefined;
      },
      { batchSize: 2 },
    );
    const imports = { later, sink: collectingImport<number>() };
    const { harness, tracing } = traced({ exports: { from: ones(3, 3) }, imports });

    await harness.move();

    const writes = tracing.of("write");
    expect(writes.map(({ step: { _importId, attempt, records } }) => [_importId, attempt, records]).sort()).toEqual([
      ["later", 1, 1],
      ["later", 1, 2],
      ["later", 2, 1],
      ["later", 2, 2],
      ["sink", 1, 3],
    ]);
    expect(new Set(writes.map(pathOf))).toEqual(new Set(["run > page 1 > write"]));
    // The import that does not wait is committed first.
    expect(tracing.of("commit").map(pathOf)).toEqual(["run > page 1 > commit 1", "run > page 1 > commit 1"]);
  });

  test("the step of a run begins before its first event and ends after its last, and log line", async () => {
    const inside: [string, string | undefined][] = [];
    const note = (what: string) => void inside.push([what, tracing.current?.step.kind]);
    const line = (_: object, message: string) => note(message);
    const from: Export<number> = {
      async *pages() {
        throw new Error("gone");
      },
    };
    const tracing = new StepRecorder();
    const options = { tracing, logger: { debug: line, info: line, warn: line, error: line } };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() }, options });
    harness.scheduler.on("run:started", () => note("run:started"));
    harness.scheduler.on("run:failed", () => note("run:failed"));

    await harness.move();

    expect(inside).toEqual([
      ["run:started", "run"],
      ["export failed", "run"],
      ["run failed", "run"],
      ["run:failed", "run"],
    ]);
  });

  test("steps of one run that is resumed say which pages they are of", async () => {
    const { harness, tracing } = traced({ exports: { from: ones(3) }, imports: { sink: collectingImport<number>() } });

    const { _flowId } = await harness.move();
    await harness.run(_flowId);

    expect(tracing.of("page").map(({ step }) => step.page)).toEqual([1, 2, 3]);
    expect(tracing.outcomes("run")).toEqual(["completed", "completed"]);
  });
});

test("host code runs inside its step: also after yields, awaits and timers, side by side", async () => {
  const inside: string[] = [];
  const note = (what: string) =>
    void inside.push(`${what}: ${tracing.current === undefined ? "nowhere" : pathOf(tracing.current)}`);
  const pause = () => new Promise<void>((resolve) => void setImmediate(resolve));
  const from: Export<number, number> = {
    order: "ordered",
    async *pages() {
      for (let page = 1; page <= 3; page++) {
        note(`before ${page}`);
        await pause();
        note(`after ${page}`);
        yield { records: [page, page + 10], checkpoint: page };
        note(`behind ${page}`);
        await realTimer(1);
        note(`timer ${page}`);
      }
    },
  };
  const slow = (name: string): WriteScript<number> =>
    async function ({ records }) {
      note(`${name} ${records.join()}`);
      await realTimer(1);
      note(`${name} ${records.join()} later`);
    };
  const settings = { batchSize: 1, concurrency: 2 };
  const imports = { one: scriptedImport(slow("one"), settings), two: scriptedImport(slow("two"), settings) };
  const { harness, tracing } = traced({ exports: { from }, imports, options: { prefetch: 2 } });

  await harness.scheduler.start();
  const run = await harness.scheduler.run((await harness.flow())._id);
  await harness.scheduler.waitFor(run._id);

  const written = (page: number) => (record: number) =>
    ["one", "two"].flatMap((name) =>
      [`${name} ${record}`, `${name} ${record} later`].map((what) => `${what}: run > page ${page} > write`),
    );
  const expected = [1, 2, 3].flatMap((page) => [
    `before ${page}: run > read ${page}`,
    `after ${page}: run > read ${page}`,
    `behind ${page}: run > read ${page + 1}`,
    `timer ${page}: run > read ${page + 1}`,
    ...[page, page + 10].flatMap(written(page)),
  ]);
  expect([...inside].sort()).toEqual(expected.sort());
});

describe("how a write went is one word:", () => {
  const nope = (fault: "retry" | "reject" | "unknown"): Result => ({ ok: false, fault, error: new Error(fault) });
  const broken = new TypeError("broken");
  const nothing = undefined as unknown as Error;
  const cases: [outcome: string, does: string, script: WriteScript<number>, error: unknown][] = [
    ["written", "returns nothing", () => undefined, undefined],
    ["written", "leaves a record out", () => [{ ok: true }, { ok: true, ignored: true }], undefined],
    ["reject", "returns only rejects", () => [nope("reject"), nope("reject")], undefined],
    ["retry", "returns only retries", () => [nope("retry"), nope("retry")], undefined],
    ["unknown", "returns only unknown", () => [nope("unknown"), nope("unknown")], new Error("unknown")],
    ["mixed", "writes one and rejects the other", () => [{ ok: true }, nope("reject")], undefined],
    ["mixed", "returns several faults", () => [nope("unknown"), nope("reject")], new Error("unknown")],
    [
      "violation",
      "returns too few results",
      () => [{ ok: true }],
      expect.objectContaining({ code: "contract_violation" }),
    ],
    ["unknown", "throws anything", () => Promise.reject(broken), broken],
    ["unknown", "throws nothing", () => Promise.reject(nothing), new Error("write gave no error")],
    ["retry", "throws retryLater", () => Promise.reject(retryLater(broken)), broken],
    ["reject", "throws reject", () => Promise.reject(reject(broken)), undefined],
    [
      ...["stop", "throws stop"],
      () => Promise.reject(stop(broken)),
      expect.objectContaining({ code: "stopped_by_import" }),
    ] as unknown as [string, string, WriteScript<number>, unknown],
  ];

  test.each(cases)("%s if it %s", async (outcome, _, script, error) => {
    const sink = scriptedImport<number>(script);
    const options = { maxAttempts: 1 };
    const { harness, tracing } = traced({ exports: { from: ones(2, 2) }, imports: { sink }, options });

    await harness.move();

    expect(tracing.of("write")[0]?.result?.outcome).toBe(outcome);
    expect(tracing.of("write")[0]?.result?.error).toEqual(error);
  });

  test("unknown, with an error that says so, if it does not return in time", async () => {
    const sink = scriptedImport<number>(
      (_, { signal }) => aborted(signal).then(() => Promise.reject(new Error("cut"))),
      {
        writeTimeoutMs: 1_000,
      },
    );
    const options = { maxAttempts: 1 };
    const { harness, tracing } = traced({ exports: { from: ones(1) }, imports: { sink }, options });

    await harness.move();

    expect(tracing.of("write")[0]?.result).toMatchObject({ outcome: "unknown", error: new Error("cut") });
  });

  test("with how many of its records were written, left out and not taken", async () => {
    const sink = scriptedImport<number>(() => [{ ok: true }, { ok: true, ignored: true }, nope("reject")]);
    const { harness, tracing } = traced({ exports: { from: ones(3, 3) }, imports: { sink } });

    await harness.move();

    expect(tracing.of("write")[0]?.result?.counts).toEqual({ numSuccess: 1, numIgnore: 1, numError: 1 });
  });
});

describe("how a page is read is one word:", () => {
  test.each<[outcome: string, thrown: unknown, error: object]>([
    ["failed", new Error("gone"), { message: "gone" }],
    ["retry", retryLater(new Error("busy"), { afterMs: 60_000 }), { message: "busy" }],
    ["expired", expired(new Error("old")), { message: "old" }],
  ])("%s", async (outcome, thrown, error) => {
    const from: Export<number> = {
      async *pages() {
        throw thrown;
      },
    };
    const { harness, tracing } = traced({ exports: { from }, imports: { sink: collectingImport<number>() } });
    await harness.scheduler.start();
    await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();

    expect(tracing.of("read")[0]?.result).toMatchObject({ outcome, error });
  });
});

describe("how a run went is one word:", () => {
  test("failed, with its counts and its error", async () => {
    const sink = scriptedImport<number>(() => Promise.reject(stop(new Error("key revoked"))));
    const { harness, tracing } = traced({ exports: { from: ones(1) }, imports: { sink } });

    await harness.move();

    const counts = { numSuccess: 0, numError: 0, numIgnore: 0 };
    const [run, page] = [tracing.of("run")[0], tracing.of("page")[0]];
    expect(run?.result).toMatchObject({ outcome: "failed", counts, error: { code: "stopped_by_import" } });
    expect(page?.result).toEqual({ outcome: "unsettled", counts });
  });

  test("canceled, when its code has ended", async () => {
    const sink = scriptedImport<number>((_, { signal }) => aborted(signal).then(() => undefined));
    const { harness, tracing } = traced({ exports: { from: ones(1) }, imports: { sink } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();

    await harness.scheduler.cancel(run._id);
    await harness.end(run);

    expect(tracing.outcomes("run")).toEqual(["canceled"]);
  });

  test("queued, if it was given back to wait, and it goes on in another step with the same origins", async () => {
    let reads = 0;
    const from: Export<number, number> = {
      order: "ordered",
      async *pages() {
        if (++reads === 1) throw retryLater(new Error("busy"), { afterMs: 10 * minute });
        yield { records: [1], checkpoint: 1 };
      },
    };
    const { harness, tracing } = traced({ exports: { from }, imports: { sink: collectingImport<number>() } });
    tracing.from = "a request";

    await harness.move();

    expect(tracing.outcomes("run")).toEqual(["queued", "completed"]);
    expect(tracing.of("run").map(({ step }) => step.origins)).toEqual([["a request"], ["a request"]]);
  });

  test("lost, if another process has reclaimed it, and so is the commit that is refused", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const { harness, tracing } = traced({ exports: { from: ones(1) }, imports: { sink } });
    await harness.scheduler.start();
    tracing.from = "a request";
    const run = await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.settle();
    const error = { code: "lease_lost", message: "stolen" };
    const now = harness.clock.now() + minute;
    await harness.storage.reclaimExpiredRuns({ now, maxCrashes: 3, error, limit: 10 });
    gate.open();
    await harness.end(run);

    expect(tracing.outcomes("commit")[0]).toBe("lost");
    expect(tracing.outcomes("page")[0]).toBe("failed");
    expect(tracing.outcomes("run")[0]).toBe("lost");
    expect(tracing.of("run").map(({ step }) => step.origins)).toEqual([["a request"], ["a request"]]);
  });

  test("lost, if the storage does not commit, and the commit failed", async () => {
    const storage = faltering(new MemoryStorage(), { method: "commitPage", fails: () => true });
    const { harness, tracing } = traced({
      exports: { from: ones(1) },
      imports: { sink: collectingImport<number>() },
      storage,
    });
    await harness.scheduler.start();
    await harness.scheduler.run((await harness.flow())._id);
    for (let timers = 0; timers < 5; timers++) await harness.clock.advance(200);

    expect(tracing.of("commit")[0]?.result).toMatchObject({ outcome: "failed", error: { code: "storage_failed" } });
    expect(tracing.of("run")[0]?.result).toMatchObject({ outcome: "lost", error: { code: "storage_failed" } });
  });
});

describe("where a request comes from", () => {
  test("is kept with a run, and with the retry of its failures", async () => {
    const sink = scriptedImport<number>(() => Promise.reject(reject(new Error("no"))));
    const { harness, tracing } = traced({ exports: { from: ones(1) }, imports: { sink } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    tracing.from = "first";
    const run = await harness.run(flow._id);
    tracing.from = "second";
    const retried = await harness.end(await harness.scheduler.retryFailures(flow._id));
    tracing.from = undefined;
    const none = await harness.run(flow._id);

    expect([run.origin, retried.origin, none.origin]).toEqual(["first", "second", undefined]);
    expect(tracing.of("run").map(({ step }) => step.origins)).toEqual([["first"], ["second"], []]);
  });

  test("is kept with what arrives: each page names those of its records, once, and at most 32", async () => {
    const from = { ...arriving, pageSize: 100 };
    const { harness, tracing } = traced({ exports: { from }, imports: { sink: collectingImport<number>() } });
    const flow = await harness.flow();
    for (const number of upTo(40)) {
      tracing.from = `request ${Math.ceil(number / 2)}`;
      await harness.scheduler.accept("from", [number]);
    }
    for (const number of upTo(40)) {
      tracing.from = `later ${number}`;
      await harness.scheduler.accept("from", [number + 40]);
    }
    await harness.scheduler.start();
    for (const run of await harness.runs(flow._id)) await harness.end(run);

    const [page] = tracing.of("page");
    expect(page?.step.origins).toEqual([
      ...upTo(20).map((number) => `request ${number}`),
      ...upTo(12).map((number) => `later ${number}`),
    ]);
    expect(tracing.of("run")[0]?.step.origins).toEqual(["request 1"]);
  });

  test.each([
    ["longer than 512 characters", "x".repeat(513)],
    ["empty", ""],
    ["not storable everywhere", "a\0b"],
    ["half of a surrogate pair", "a\ud800"],
    ["no string", 5],
  ])("is left out if it is %s", async (_, origin) => {
    const tracing = { around: (_step, work) => work(), origin: () => origin as string } satisfies Tracing as Tracing;
    const imports = { sink: collectingImport<number>() };
    const harness = new Harness({ exports: { from: ones(1) }, imports, options: { tracing } });

    expect("origin" in (await harness.move())).toBe(false);
  });

  test("of 512 characters is kept", async () => {
    const tracing: Tracing = { around: (_step, work) => work(), origin: () => "x".repeat(512) };
    const imports = { sink: collectingImport<number>() };
    const harness = new Harness({ exports: { from: ones(1) }, imports, options: { tracing } });

    expect((await harness.move()).origin).toBe("x".repeat(512));
  });
});

describe("taking records in is a step:", () => {
  const exports = { from: arriving };
  const imports = { sink: collectingImport<number>() };

  test("accepted, with how many were and how many were known", async () => {
    const { harness, tracing } = traced({ exports, imports });
    await harness.flow();

    await harness.scheduler.accept("from", [1, 2], { ids: ["a", "a"] });

    const [step] = tracing.of("accept");
    expect(step?.step).toEqual({ kind: "accept", _exportId: "from", records: 2 });
    expect(step?.result).toEqual({ outcome: "accepted", counts: { numSuccess: 1, numError: 0, numIgnore: 1 } });
  });

  test("refused, with the error that the caller gets", async () => {
    const { harness, tracing } = traced({ exports, imports });

    await expect(harness.scheduler.accept("from", [1])).rejects.toMatchObject({ code: "flow_disabled" });
    await expect(harness.scheduler.accept("from", "no array" as never)).rejects.toMatchObject({
      code: "invalid_request",
    });

    expect(tracing.outcomes("accept")).toEqual(["refused", "refused"]);
    expect(tracing.of("accept")[0]?.result?.error).toMatchObject({ code: "flow_disabled" });
    expect(tracing.of("accept")[1]?.step.records).toBe(0);
  });

  test("failed, if the storage does", async () => {
    const storage = faltering(new MemoryStorage(), { method: "appendInbox", fails: () => true });
    const { harness, tracing } = traced({ exports, imports, storage });
    await harness.flow();

    await expect(harness.scheduler.accept("from", [1])).rejects.toThrow();

    expect(tracing.outcomes("accept")).toEqual(["failed"]);
  });
});

describe("a tracer cannot harm a run: one that", () => {
  const misbehaving = [
    "throws before work",
    "throws after work was called",
    "never calls work",
    "calls work too late",
    "rejects when work has ended",
  ];

  test.each(Object.keys(oddTracers))("%s", async (name) => {
    const tracing = oddTracers[name]?.();
    const calls: string[] = [];
    const sink = scriptedImport<number>(({ records, attempt }) => {
      calls.push(`${records.join()}/${attempt}`);
      if (attempt === 1 && records[0] === 2) throw retryLater(new Error("busy"));
      return undefined;
    });
    const options = tracing === undefined ? {} : { tracing };
    const harness = new Harness({ exports: { from: ones(3) }, imports: { sink }, options });

    const run = await harness.move();
    await harness.run(run._flowId, { limit: 1, moveCheckpoint: false });
    await harness.clock.settle();

    expect(run).toMatchObject({ status: "completed", numSuccess: 3, numPagesProcessed: 3 });
    expect("origin" in run).toBe(false);
    expect(calls).toEqual(["1/1", "2/1", "2/2", "3/1", "1/1"]);
    const reported = harness.events.of("background:error").map(({ during }) => during);
    expect(reported).toEqual(misbehaving.includes(name) ? ["tracing"] : []);
  });

  test("whose attach throws is reported, and watches on", async () => {
    const steps: string[] = [];
    const tracing: Tracing = {
      around: (step, work) => {
        steps.push(step.kind);
        return work();
      },
      attach: () => {
        throw new Error("no meter");
      },
    };
    const lines: unknown[] = [];
    const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined };
    const options = { tracing, logger: { ...logger, error: (fields: object) => void lines.push(fields) } };
    const imports = { sink: collectingImport<number>() };
    const harness = new Harness({ exports: { from: pagesExport([[1]]) }, imports, options });

    await harness.move();

    expect(lines).toEqual([{ during: "tracing", error: "no meter" }]);
    expect(steps).toContain("page");
  });
});

test("a tracer is attached once, to its scheduler", () => {
  const attached: unknown[] = [];
  const tracing: Tracing = { around: (_, work) => work(), attach: (scheduler) => void attached.push(scheduler) };

  const { scheduler } = new Harness({ options: { tracing } });

  expect(attached).toEqual([scheduler]);
});
