import { expect, test } from "vitest";
import type { Export } from "../../src/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { Gate, Harness, hour, minute, noon, pagesExport } from "../support/harness.ts";

test("a flow is overdue while two of its due times pass without a run that starts, and no longer", async () => {
  const gate = new Gate();
  const slow: Export<number> = {
    async *pages() {
      await gate.opened;
      yield [1];
    },
    readTimeoutMs: hour,
  };
  const { clock, scheduler, ...harness } = new Harness({
    exports: { slow },
    imports: { erp: collectingImport<number>() },
  });
  await harness.registry.create({
    ...{ name: "prices", schedule: "*/5 * * * *", _exportId: "slow", _importId: "erp" },
  });
  await scheduler.start();
  await clock.advance(14 * minute);
  const before = await scheduler.overview();
  await clock.advance(minute);
  const late = await scheduler.overview();
  gate.open();
  await clock.settle();

  expect(before).toMatchObject({ overdue: 0, runs: { running: 1, queued: 1 } });
  expect(before.oldestQueuedAt).toBe(new Date(noon + 10 * minute).toISOString());
  expect([late.overdue, (await scheduler.overview()).overdue]).toEqual([1, 0]);
});

test("overview counts the flows of one integration, and refuses a filter that there is not", async () => {
  const harness = new Harness({
    exports: { from: pagesExport([[1]]) },
    imports: { erp: collectingImport<number>() },
  });
  await harness.flow({ _integrationId: "acme" });
  await harness.flow({ disabled: true });

  expect((await harness.scheduler.overview()).flows).toEqual({ enabled: 1, disabled: 1 });
  expect((await harness.scheduler.overview({ _integrationId: "acme" })).flows).toEqual({ enabled: 1, disabled: 0 });
  await expect(harness.scheduler.overview({ _flowId: "a" } as object)).rejects.toMatchObject({
    code: "invalid_request",
  });
});
