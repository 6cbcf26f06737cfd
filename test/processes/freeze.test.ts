import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ChildSetting } from "./child.ts";
import { freeze, titleOf, trials } from "./freeze.ts";
import { FileHost, importIds, keyOf, ordersOf } from "./file-host.ts";
import { DeliveryFile, checkDeliveries } from "../support/deliveries.ts";
import { HostProcess, type Program, bundle } from "./child-process.ts";

let program: Program;
beforeAll(async () => {
  program = await bundle("child");
});
afterAll(() => program.remove());

describe.concurrent("a process that was stopped while another one took its run over commits nothing", () => {
  // The soak has all of them.
  const some = trials.filter(({ task }, index) => (task === "orders" ? index % 2 === 0 : index % 9 === 0));

  test.each(some.map((trial) => [titleOf(trial), trial] as const))("%s", async (_title, trial) => {
    await freeze(program, trial);
  });
});

test("a process that is stopped inside of a transaction makes the others wait, and nothing is lost", async () => {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-freeze-"));
  const pages = 4;
  const other = await FileHost.open({ folder, name: "other", pages, aheadMs: 60_000, busyMs: 500 });
  const halt = { point: "mid commit", page: 2, statement: 1 } as const;
  const setting: ChildSetting = { folder, name: "stopped", pages, task: "orders", halt };
  const stopped = new HostProcess(program, setting);
  await stopped.halted();
  stopped.send("SIGSTOP");

  await expect(other.scheduler.start()).rejects.toMatchObject({ code: "storage_failed" });
  const [during] = (await other.scheduler.listRuns()).items;
  stopped.send("SIGCONT");
  stopped.goOn();
  await stopped.until(() => stopped.all("committed").some(({ page, held }) => page === 2 && held));
  await other.scheduler.start();
  const run = await other.scheduler.waitFor(during?._id ?? "");
  await stopped.ended;

  expect(during).toMatchObject({ status: "running", numPagesProcessed: 1 });
  expect(run).toMatchObject({ status: "completed", numPagesProcessed: pages });
  expect((await other.scheduler.listRuns()).items).toHaveLength(1);
  const keys = Array.from({ length: pages }, (_, index) => ordersOf(index + 1).map(keyOf)).flat();
  for (const _importId of importIds)
    expect(checkDeliveries(new DeliveryFile(folder, _importId), keys)).toMatchObject({ lost: [], invented: [] });
  await other.close();
  await rm(folder, { recursive: true });
});
