import { describe, expect, test } from "vitest";
import { type Export, type Import, retryLater } from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { Gate, Harness, pagesExport } from "../support/harness.ts";

/** A flow that is followed by another one, which waits at a gate. */
async function chained(options: { readonly maxQueued?: number } = {}) {
  const gate = new Gate();
  const slow: Export<number> = {
    async *pages() {
      await gate.opened;
      yield [2];
    },
  };
  const exports = { first: pagesExport([[1]]), slow };
  const harness = new Harness({ exports, imports: { into: collectingImport<number>() }, options });
  const next = await harness.flow({ _exportId: "slow" });
  const first = await harness.flow({ _exportId: "first", _runNextFlowIds: [next._id] });
  await harness.scheduler.start();
  const skipped: unknown[] = [];
  harness.scheduler.on("chain:skipped", ({ run, _flowId }) => skipped.push([run._flowId, _flowId]));
  return { harness, gate, first, next, skipped };
}

describe("a flow that follows another one", () => {
  test("gets a run when that has completed", async () => {
    const { harness, gate, first, next, skipped } = await chained();
    gate.open();

    await harness.run(first._id);
    await harness.clock.settle();

    expect(await harness.runs(next._id)).toMatchObject([{ trigger: "chained", status: "completed" }]);
    expect(skipped).toEqual([]);
  });

  test("is skipped with an event while it is disabled, and the first run completes", async () => {
    const { harness, first, next, skipped } = await chained();
    await harness.registry.patch(next._id, { disabled: true });

    expect((await harness.run(first._id)).status).toBe("completed");

    expect(skipped).toEqual([[first._id, next._id]]);
    expect(await harness.runs(next._id)).toEqual([]);
  });

  test("is skipped with an event when as many of its runs wait as may", async () => {
    const { harness, gate, first, next, skipped } = await chained({ maxQueued: 1 });
    await harness.scheduler.run(next._id);
    await harness.clock.settle();
    await harness.scheduler.run(next._id);

    await harness.run(first._id);

    expect(skipped).toEqual([[first._id, next._id]]);
    gate.open();
    await harness.clock.settle();
    expect((await harness.runs(next._id)).map(({ trigger }) => trigger)).toEqual(["manual", "manual"]);
  });

  test("takes a second chained run into the one that waits, without an event", async () => {
    const { harness, gate, first, next, skipped } = await chained();
    await harness.scheduler.run(next._id);
    await harness.clock.settle();

    await harness.run(first._id);
    await harness.run(first._id);
    gate.open();
    await harness.clock.settle();

    expect(skipped).toEqual([]);
    expect((await harness.runs(next._id)).map(({ trigger }) => trigger)).toEqual(["manual", "chained"]);
  });

  test("gets no run when an import of the first one was paused", async () => {
    const down: Import<number> = {
      idempotent: true,
      write: () => Promise.reject(retryLater("503", { afterMs: 3_600_000 })),
    };
    const exports = { first: pagesExport([[1]]) };
    const harness = new Harness({ exports, imports: { down } });
    const next = await harness.flow();
    const first = await harness.flow({ _runNextFlowIds: [next._id] });
    await harness.scheduler.start();

    expect((await harness.run(first._id)).imports).toMatchObject({ down: { status: "paused" } });

    expect(await harness.runs(next._id)).toEqual([]);
  });
});

test("a run whose moveCheckpoint is neither true nor false is refused", async () => {
  const { harness, first } = await chained();

  await expect(harness.scheduler.run(first._id, { moveCheckpoint: 1 as never })).rejects.toMatchObject({
    code: "invalid_request",
    field: "moveCheckpoint",
  });
});

test("a warning names ten of the flows that use what is not registered, and says how many there are", async () => {
  const lines: unknown[] = [];
  const logger = { ...silentLogger, warn: (...line: unknown[]) => void lines.push(line) };
  const { storage, clock, registry } = new Harness({ exports: { from: pagesExport([[1]]) }, imports: { into: collectingImport() } }); // prettier-ignore
  for (let nth = 0; nth < 12; nth++)
    await registry.create({ name: `flow ${nth}`, _exportId: "from", _importId: "into" });
  const another = new Harness({ exports: { from: pagesExport([[1]]) }, storage, clock, options: { logger } });

  await another.scheduler.start();
  await clock.settle();

  expect(lines).toMatchObject([[{ importId: "into", flows: 12 }, expect.stringContaining("not registered here")]]);
  expect((lines as [{ flowIds: readonly string[] }][])[0]?.[0].flowIds).toHaveLength(10);
});
