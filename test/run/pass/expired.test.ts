import { describe, expect, test } from "vitest";
import { type Export, type Import, expired, retryLater, stop } from "../../../src/index.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness } from "../../support/harness.ts";

/** Numbers 1 to 3, one a page; asks once to be read again after the second, and is then as `resumed` says. */
function tokens(resumed: (at: number | undefined) => Error | undefined): Export<number, { at: number }> {
  let hasAsked = false;
  return {
    async *pages({ checkpoint }) {
      const error = hasAsked ? resumed(checkpoint?.at) : undefined;
      if (error !== undefined) throw error;
      for (let at = (checkpoint?.at ?? 0) + 1; at <= 3; at++) {
        yield { records: [at], checkpoint: { at } };
        if (at !== 2 || hasAsked) continue;
        hasAsked = true;
        throw retryLater("not now");
      }
    },
  };
}

const onceFor = (position: number) => {
  let isExpired = false;
  return (at: number | undefined) => {
    if (at !== position || isExpired) return undefined;
    isExpired = true;
    return expired("410");
  };
};

describe("a position that has expired", () => {
  test("is given up: the run reads from the checkpoint again, the start if there is none", async () => {
    const into = collectingImport<number>();
    const harness = new Harness({ exports: { from: tokens(onceFor(2)) }, imports: { into } });

    const run = await harness.move();

    expect(run.status).toBe("completed");
    expect(into.written).toEqual([1, 2, 1, 2, 3]);
  });

  test("leaves the checkpoint of an earlier run", async () => {
    const into = collectingImport<number>();
    const harness = new Harness({ exports: { from: tokens(onceFor(2)) }, imports: { into } });
    const flow = await harness.flow();
    await harness.scheduler.setCheckpoint(flow._id, { at: 1 });
    await harness.scheduler.start();

    await harness.run(flow._id);

    expect(into.written).toEqual([2, 2, 3]);
    expect(await harness.scheduler.getCheckpoint(flow._id)).toEqual({ at: 3 });
  });

  test.each([{ moveCheckpoint: false }, { limit: 3 }])("is given up by a run with %o, too", async (options) => {
    const into = collectingImport<number>();
    const harness = new Harness({ exports: { from: tokens(onceFor(2)) }, imports: { into } });

    const run = await harness.move(options);

    expect(run.status).toBe("completed");
    expect(into.written.slice(0, 4)).toEqual([1, 2, 1, ...("limit" in options ? [] : [2])]);
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toBeUndefined();
  });

  test("fails the run if reading began at no position, and says why", async () => {
    const from: Export<number> = {
      async *pages() {
        throw expired("the cursor is 100 days old");
      },
    };
    const harness = new Harness({ exports: { from }, imports: { into: collectingImport<number>() } });

    const run = await harness.move();

    expect(run).toMatchObject({
      status: "failed",
      error: { code: "export_failed", message: expect.stringContaining("the cursor is 100 days old") as string },
    });
  });

  test("fails the run after a page of the reading: what it has read is no position that could expire", async () => {
    const from: Export<number, { at: number }> = {
      async *pages() {
        yield { records: [1], checkpoint: { at: 1 } };
        throw expired("410");
      },
    };
    const into = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { into } });

    expect(await harness.move()).toMatchObject({ status: "failed", error: { code: "export_failed" } });
    expect(into.written).toEqual([1]);
  });

  test.each([
    ["expired", expired],
    ["retryLater", retryLater],
  ])("counts for nothing once the run is canceled, as %s does", async (_name, outcome) => {
    let _runId = "";
    const from: Export<number> = {
      async *pages({ signal, run }) {
        _runId = run._id;
        yield [1];
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        throw outcome("gone");
      },
    };
    const harness = new Harness({ exports: { from }, imports: { into: collectingImport<number>() } });
    await harness.scheduler.start();
    const flow = await harness.flow();
    const { _id } = await harness.scheduler.run(flow._id);
    await harness.clock.settle();

    await harness.scheduler.cancel(_id);

    expect(await harness.end({ _id })).toMatchObject({ _id: _runId, status: "canceled" });
  });
});

test("an export that asks to be read again later is not read for imports that have all left", async () => {
  let reads = 0;
  const from: Export<number, { at: number }> = {
    async *pages() {
      reads++;
      yield { records: [1], checkpoint: { at: 1 } };
      yield { records: [2], checkpoint: { at: 2 } };
      throw retryLater("not now");
    },
  };
  const into: Import<number> = { idempotent: true, write: () => Promise.reject(stop("no")) };
  const harness = new Harness({ exports: { from }, imports: { into } });

  expect(await harness.move()).toMatchObject({ status: "failed", error: { code: "stopped_by_import" } });
  expect(reads).toBe(1);
});
