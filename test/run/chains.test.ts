import { describe, expect, test } from "vitest";
import { retryLater } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, hour } from "../support/harness.ts";

/** A flow that runs another one next, and what it says when it cannot. */
async function chain(options = {}) {
  const sink = collectingImport<number>();
  const harness = new Harness({ exports: { from: arrayExport([1]) }, imports: { sink }, options });
  await harness.scheduler.start();
  const next = await harness.flow({ name: "next" });
  const first = await harness.flow({ name: "first", _runNextFlowIds: [next._id] });
  const skipped = () => harness.events.of("chain:skipped").map(({ run, _flowId }) => [run._flowId, _flowId]);
  return { harness, first, next, skipped };
}

describe("a flow that is to run next", () => {
  test("and is disabled is skipped with an event, and the run completes", async () => {
    const { first, harness, next, skipped } = await chain();
    await harness.registry.patch(next._id, { disabled: true });

    const run = await harness.run(first._id);

    expect(run.status).toBe("completed");
    expect(skipped()).toEqual([[first._id, next._id]]);
    expect(await harness.runs(next._id)).toEqual([]);
  });

  test("and is gone is skipped with an event", async () => {
    const { first, harness, next, skipped } = await chain();
    await harness.registry.delete(next._id);

    await harness.run(first._id);

    expect(skipped()).toEqual([[first._id, next._id]]);
  });

  test("and has maxQueued runs waiting is skipped with an event", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const harness = new Harness({
      ...{ exports: { from: arrayExport([1]) }, imports: { sink, other: collectingImport<number>() } },
      options: { maxQueued: 1 },
    });
    await harness.scheduler.start();
    const next = await harness.flow({ name: "next", _importId: "sink" });
    const first = await harness.flow({ name: "first", _importId: "other", _runNextFlowIds: [next._id] });
    for (let nth = 0; nth < 2; nth++) {
      await harness.scheduler.run(next._id);
      await harness.clock.settle();
    }

    await harness.run(first._id);

    expect(harness.events.of("chain:skipped")).toMatchObject([{ _flowId: next._id }]);
    gate.open();
  });

  test("is not run after a run that failed or paused an import, after a sample, nor after a retry", async () => {
    let mode: "down" | "asks" | "up" = "down";
    const sink = scriptedImport<number>(({ records }) => {
      if (mode === "down") throw retryLater("503");
      if (mode === "asks") throw retryLater("quota", { afterMs: hour });
      return records.map(() => ({ ok: false, fault: "reject", error: "no" }));
    });
    const harness = new Harness({ exports: { from: arrayExport([1]) }, imports: { sink } });
    await harness.scheduler.start();
    const next = await harness.flow({ name: "next", disabled: true });
    const first = await harness.flow({ name: "first", _runNextFlowIds: [next._id] });

    const failed = await harness.run(first._id);
    mode = "asks";
    await harness.scheduler.resume(first._id);
    await harness.clock.settle();
    const skipping = await harness.run(first._id);
    mode = "up";
    await harness.run(first._id, { limit: 1 });
    const before = harness.events.of("chain:skipped").length;
    await harness.scheduler.resume(first._id);
    await harness.clock.settle();
    const after = harness.events.of("chain:skipped").length;
    const retried = await harness.end(await harness.scheduler.retryFailures(first._id));

    expect(retried).toMatchObject({ status: "completed" });
    expect([failed.status, skipping.status]).toEqual(["failed", "completed"]);
    expect(skipping.imports).toMatchObject({ sink: { status: "skipped" } });
    expect([before, after]).toEqual([0, 1]);
    expect(harness.events.of("chain:skipped")).toHaveLength(1);
  });
});
