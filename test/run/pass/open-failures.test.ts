import { describe, expect, test } from "vitest";
import { type Import, MemoryStorage, reject } from "../../../src/index.ts";
import { collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Harness, hour, pagesExport, upTo } from "../../support/harness.ts";

/** Rejects all but what `isGood` lets through. */
function picky(isGood: (record: number) => boolean) {
  return scriptedImport<number>(({ records }) =>
    records.map((record) => (isGood(record) ? { ok: true } : { ok: false, fault: "reject", error: new Error("bad") })),
  );
}

/** As storages do whose results would otherwise be too large: one document at a time. */
class FrugalStorage extends MemoryStorage {
  override listFailures(query: Parameters<MemoryStorage["listFailures"]>[0]) {
    return super.listFailures({ ...query, limit: 1 });
  }
  override openKeys(query: Parameters<MemoryStorage["openKeys"]>[0]) {
    return super.openKeys({ ...query, limit: 1 });
  }
}

describe("maxOpenFailures", () => {
  test("pauses an import with more until a person has looked, and fails the run with their number", async () => {
    let isMended = false;
    const from = pagesExport([upTo(2), [3, 4], [5]], { key: String });
    const into = picky(() => isMended);
    const harness = new Harness({ exports: { from }, imports: { into }, options: { maxOpenFailures: 3 } });

    const run = await harness.move();
    await harness.clock.advance(24 * hour);
    const later = await harness.run(run._flowId);

    expect(run).toMatchObject({
      status: "failed",
      error: { code: "too_many_failures", message: expect.stringContaining("more than 3 open failures") as string },
      imports: { into: { status: "paused", numError: 4 } },
    });
    expect(later.imports).toMatchObject({ into: { status: "skipped" } });
    expect(await harness.scheduler.deliveries(run._flowId)).toMatchObject([{ openFailures: 4 }]);
    const [delivery] = await harness.scheduler.deliveries(run._flowId);
    expect(delivery?.paused).toMatchObject({ until: "person" });
    expect(delivery?.paused).not.toHaveProperty("resumeAt");

    isMended = true;
    const ids = (await harness.failures()).map(({ _id }) => _id);
    await harness.scheduler.resolveFailures(ids);
    await harness.scheduler.resume(run._flowId, "into");
    await harness.clock.settle();
    expect(into.written).toContain(5);
  });

  test("leaves the imports beside it alone", async () => {
    const beside = collectingImport<number>();
    const from = pagesExport([upTo(2), [3]], { key: String });
    const imports = { into: picky(() => false), beside };
    const harness = new Harness({ exports: { from }, imports, options: { maxOpenFailures: 1 } });

    const run = await harness.move();

    expect(beside.written).toEqual([1, 2, 3]);
    expect(run.imports).toMatchObject({ into: { status: "paused" }, beside: { status: "completed", numSuccess: 3 } });
  });
});

describe("with a storage that gives less than it is asked for", () => {
  function failing() {
    let isMended = false;
    const from = pagesExport([upTo(3)], { key: String });
    const into = picky(() => isMended);
    const harness = new Harness({ exports: { from }, imports: { into }, storage: new FrugalStorage() });
    const openIds = async (): Promise<string[]> => {
      const ids: string[] = [];
      for (let after: string | undefined; ;) {
        const page = await harness.scheduler.listFailures({
          status: "open",
          ...(after === undefined ? {} : { after }),
        });
        ids.push(...page.items.map(({ _id }) => _id));
        if (page.next === undefined) return ids;
        after = page.next;
      }
    };
    return { harness, into, openIds, mend: () => (isMended = true) };
  }

  test("all failures are retried, those chosen, too", async () => {
    for (const chosen of [false, true]) {
      const { harness, into, openIds, mend } = failing();
      const { _flowId } = await harness.move();
      const _ids = await openIds();
      mend();

      const retry = await harness.end(await harness.scheduler.retryFailures(_flowId, chosen ? { _ids } : {}));

      expect(_ids).toHaveLength(3);
      expect(retry).toMatchObject({ status: "completed", numSuccess: 3 });
      expect(into.written).toEqual([1, 2, 3]);
      expect(await openIds()).toEqual([]);
    }
  });

  test("a record that failed before and is delivered now settles its failure", async () => {
    const { harness, openIds, mend } = failing();
    const { _flowId } = await harness.move();
    mend();

    await harness.run(_flowId);

    expect(await openIds()).toEqual([]);
  });
});

describe("a retry that is to come by itself", () => {
  test("comes no more when the days are over for which it is tried", async () => {
    const isEven = (record: number) => record % 2 === 0;
    let writes = 0;
    const into: Import<number> = {
      idempotent: true,
      async write(records) {
        writes++;
        return records.map((record) =>
          isEven(record) ? { ok: true } : { ok: false, fault: "retry", error: new Error("503") },
        );
      },
    };
    const from = pagesExport([[1, 2]], { key: (record) => String(record) });
    const options = { maxAttempts: 1, autoRetry: { afterMs: hour, maxDelayMs: 4 * hour, days: 1 } };
    const harness = new Harness({ exports: { from }, imports: { into }, options });
    const { _flowId } = await harness.move();

    for (let hours = 0; hours < 30; hours++) await harness.clock.advance(hour);
    const tried = writes;
    for (let hours = 0; hours < 30; hours++) await harness.clock.advance(hour);

    const [failure] = await harness.failures(_flowId);
    expect(tried).toBeGreaterThan(2);
    expect(writes).toBe(tried);
    expect(failure).toMatchObject({ record: 1, fault: "retry", status: "open" });
    expect(failure).not.toHaveProperty("retryAt");
  });

  test("sends an open failure of which the import says reject no more", async () => {
    const into: Import<number> = { idempotent: true, write: () => Promise.reject(reject("never")) };
    const harness = new Harness({ exports: { from: pagesExport([[1]], { key: String }) }, imports: { into } });

    await harness.move();

    expect(await harness.failures()).toMatchObject([{ fault: "reject" }]);
    expect((await harness.failures())[0]).not.toHaveProperty("retryAt");
  });
});
