import { describe, expect, test } from "vitest";
import type { Export, Logger } from "../../src/index.ts";
import { reject, stop } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { type Setting, Harness, minute, second, upTo } from "../support/harness.ts";

/** A harness whose log lines are kept as `level message`. */
function logged(setting: Setting) {
  const lines: { readonly level: keyof Logger; readonly message: string; readonly fields: object }[] = [];
  const line = (level: keyof Logger) => (fields: object, message: string) =>
    void lines.push({ level, message, fields });
  const logger = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
  const harness = new Harness({ ...setting, options: { ...setting.options, logger } });
  return { harness, lines, brief: () => lines.map(({ level, message }) => `${level} ${message}`) };
}

const exports = { from: arrayExport(upTo(2)) };

describe("a run writes one line when it ends:", () => {
  test("info if all went well, with its counts", async () => {
    const { harness, lines } = logged({ exports, imports: { sink: collectingImport<number>() } });

    const run = await harness.move();

    expect(lines).toEqual([
      {
        level: "info",
        message: "run completed",
        fields: { flowId: run._flowId, runId: run._id, trigger: "manual", numSuccess: 2, numError: 0, numIgnore: 0 },
      },
    ]);
  });

  test("warn if it carries errors", async () => {
    const sink = scriptedImport<number>(({ records }) => {
      if (records.includes(2)) throw reject("no");
      return undefined;
    });
    const { harness, brief } = logged({ exports, imports: { sink } });

    await harness.move();

    expect(brief()).toEqual(["warn run completed"]);
  });

  test("error if it failed, and one for the export that failed, with its stack", async () => {
    const from: Export<number> = {
      async *pages() {
        throw new Error("the source is gone");
      },
    };
    const { harness, brief, lines } = logged({ exports: { from }, imports: { sink: collectingImport<number>() } });

    await harness.move();

    expect(brief().sort()).toEqual(["error export failed", "error run failed"]);
    expect(lines.find(({ message }) => message === "export failed")?.fields).toMatchObject({
      err: { cause: { message: "the source is gone", stack: expect.any(String) as unknown } },
    });
  });

  test("info if it was canceled", async () => {
    const { harness, brief } = logged({ exports, imports: { sink: collectingImport<number>() } });
    const run = await harness.scheduler.run((await harness.flow())._id);

    await harness.scheduler.cancel(run._id);

    expect(brief()).toEqual(["info run canceled"]);
  });
});

test("an import that is paused and resumes writes one line each", async () => {
  let stops = true;
  const sink = scriptedImport<number>(() => {
    if (stops) throw stop("no credentials");
    return undefined;
  });
  const { harness, brief, lines } = logged({ exports, imports: { sink } });
  const { _flowId } = await harness.move();
  stops = false;

  await harness.clock.advance(20 * minute);

  expect(brief().filter((line) => line.includes("import paused"))).toEqual(["warn import paused"]);
  expect(brief().filter((line) => line.includes("import resumed"))).toEqual(["info import resumed"]);
  const [{ _id: runId } = { _id: "none" }] = (await harness.runs()).slice(-1);
  expect(lines.find(({ message }) => message === "import resumed")?.fields).toEqual({
    flowId: _flowId,
    runId,
    importId: "sink",
  });
});

test("a logger that throws harms no run", async () => {
  const throws = () => {
    throw new Error("the disk is full");
  };
  const logger = { debug: throws, info: throws, warn: throws, error: throws };
  const harness = new Harness({ exports, imports: { sink: collectingImport<number>() }, options: { logger } });

  const run = await harness.move();

  expect(run).toMatchObject({ status: "completed", numSuccess: 2 });
  expect(harness.events.of("background:error")).toEqual([]);
});

describe("waitFor on a scheduler that is stopped", () => {
  test("writes a warning, and still resolves once the run has ended", async () => {
    const { harness, brief } = logged({ exports, imports: { sink: collectingImport<number>() } });
    const run = await harness.scheduler.run((await harness.flow())._id);
    const waiting = harness.scheduler.waitFor(run._id);
    await harness.clock.advance(5 * second);
    const before = brief();

    await harness.scheduler.start();

    expect((await waiting).status).toBe("completed");
    expect(before).toEqual([
      "warn waiting for a run while this scheduler is stopped: it ends only if another process executes it",
    ]);
  });

  test("is refused after waitTimeoutMs, saying why, and leaves no timer", async () => {
    const harness = new Harness({
      exports,
      imports: { sink: collectingImport<number>() },
      options: { waitTimeoutMs: 2_500 },
    });
    const run = await harness.scheduler.run((await harness.flow())._id);

    const waiting = harness.scheduler.waitFor(run._id).catch((error: unknown) => error);
    await harness.clock.advance(2_500);

    expect(await waiting).toMatchObject({
      code: "conflict",
      message: `Run ${run._id} did not end within 2500 ms: it is queued, and this scheduler is stopped`,
    });
    expect(harness.clock.timers).toBe(0);
  });
});

describe("an id that is a Promise is refused as one, by", () => {
  const promise = Promise.resolve("id") as never;
  test.each([
    ["run", "_flowId", (harness: Harness) => harness.scheduler.run(promise)],
    ["cancel", "_runId", (harness: Harness) => harness.scheduler.cancel(promise)],
    ["waitFor", "_runId", (harness: Harness) => harness.scheduler.waitFor(promise)],
    ["getRun", "_runId", (harness: Harness) => harness.scheduler.getRun(promise)],
    ["accept", "_exportId", (harness: Harness) => harness.scheduler.accept(promise, [])],
    ["getFailure", "_id", (harness: Harness) => harness.scheduler.getFailure(promise)],
    ["editFailure", "_id", (harness: Harness) => harness.scheduler.editFailure(promise, 1)],
    ["retryFailures", "_flowId", (harness: Harness) => harness.scheduler.retryFailures(promise)],
    ["resolveFailures", "_ids", (harness: Harness) => harness.scheduler.resolveFailures([promise])],
    ["deliveries", "_flowId", (harness: Harness) => harness.scheduler.deliveries(promise)],
    ["resume", "_flowId", (harness: Harness) => harness.scheduler.resume(promise)],
    ["getCheckpoint", "_flowId", (harness: Harness) => harness.scheduler.getCheckpoint(promise)],
    ["setCheckpoint", "_flowId", (harness: Harness) => harness.scheduler.setCheckpoint(promise, 1)],
    ["listInbox", "_flowId", (harness: Harness) => harness.scheduler.listInbox(promise)],
    ["dropInbox", "_flowId", (harness: Harness) => harness.scheduler.dropInbox(promise, [])],
  ] as const)("%s", async (_, field, call) => {
    await expect(call(new Harness({ exports, imports: {} }))).rejects.toMatchObject({
      code: "invalid_request",
      field,
      message: expect.stringContaining("the id is a Promise: await it") as unknown,
    });
  });
});
