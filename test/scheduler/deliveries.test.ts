import { describe, expect, test } from "vitest";
import { type Export, retryLater } from "../../src/index.ts";
import { collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, pagesExport } from "../support/harness.ts";

const events: Export<number> = { listen: () => () => undefined };

describe("dropInbox", () => {
  test("drops pages for one import alone, in whatever order they stand; the other gets them all", async () => {
    const [erp, mail] = [collectingImport<number>(), collectingImport<number>()];
    const harness = new Harness({ exports: { events }, imports: { erp, mail } });
    const { _id } = await harness.flow();
    for (const record of [1, 2, 3, 4]) await harness.scheduler.accept("events", [record]);
    const pages = (await harness.scheduler.listInbox(_id)).items;
    const ids = [pages[1]?._id ?? "", pages[3]?._id ?? ""];

    const dropped = await harness.scheduler.dropInbox(_id, ids, { _importId: "erp" });
    await harness.scheduler.start();
    await harness.clock.settle();

    expect(dropped).toEqual(ids);
    expect([erp.written, mail.written]).toEqual([
      [1, 3],
      [1, 2, 3, 4],
    ]);
    expect((await harness.scheduler.listInbox(_id)).items).toEqual([]);
  });

  test("refuses an import that is none of the flow's, and drops nothing", async () => {
    const harness = new Harness({ exports: { events }, imports: { erp: collectingImport<number>() } });
    const { _id } = await harness.flow();
    await harness.scheduler.accept("events", [1]);
    const [page] = (await harness.scheduler.listInbox(_id)).items;

    const dropping = harness.scheduler.dropInbox(_id, [page?._id ?? ""], { _importId: "mail" });

    await expect(dropping).rejects.toMatchObject({ code: "not_found", kind: "import" });
    expect((await harness.scheduler.listInbox(_id)).items).toHaveLength(1);
  });
});

describe("resume", () => {
  test("ends the pause of a disabled flow, which has no run for it", async () => {
    const erp = scriptedImport<number>(() => {
      throw retryLater("503", { afterMs: 3_600_000 });
    });
    const harness = new Harness({ exports: { from: pagesExport([[1]]) }, imports: { erp } });
    const { _flowId } = await harness.move();
    await harness.registry.patch(_flowId, { disabled: true });

    const run = await harness.scheduler.resume(_flowId, "erp");

    expect(run).toBeUndefined();
    expect((await harness.scheduler.deliveries(_flowId))[0]?.paused).toBeUndefined();
  });
});

describe("editFailure", () => {
  const harnessOf = (records: readonly unknown[]) =>
    new Harness({
      exports: { from: pagesExport([records]) },
      imports: { erp: scriptedImport<unknown>(({ records }) => records.map(() => ({ ok: false, fault: "reject", error: new Error("no") }))) }, // prettier-ignore
      options: { freezeRecords: false },
    });

  test("refuses a record that cannot be stored, and says what of it", async () => {
    const harness = harnessOf([1]);
    await harness.move();
    const [failure] = await harness.failures();

    const editing = harness.scheduler.editFailure(failure?._id ?? "", { deep: { call: () => 1 } });

    await expect(editing).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("deep.call") as string,
    });
    expect(await harness.failures()).toEqual([failure]);
  });

  test("refuses a failure whose own record was not kept", async () => {
    const harness = harnessOf([{ call: () => 1 }]);
    await harness.move();
    const [failure] = await harness.failures();

    expect(failure?.unstorable).toBe(true);
    await expect(harness.scheduler.editFailure(failure?._id ?? "", 2)).rejects.toMatchObject({ code: "conflict" });
  });
});
