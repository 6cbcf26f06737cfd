import { join } from "node:path";
import { expect, test } from "vitest";
import { FlowRegistry, Scheduler, stop, type Export, type Import } from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { hostFile, ledger, newFolder, openHost, orders, run, shop } from "./harness.ts";

const shown = async (file: string, _id = "") =>
  (await run(["show", _id, "--file", file], { columns: 240, env: { NO_COLOR: "1" } })).out;

/** A record that cannot be kept: its codec makes nothing of it. */
const pictures: Export<object> = {
  codec: {
    encode() {
      throw new Error("no picture");
    },
    decode: () => ({}),
  },
  async *pages() {
    yield [{}];
  },
};

const locked: Import<unknown> = {
  idempotent: true,
  write: () => Promise.reject(stop(new Error("the account is locked"))),
};

const picky: Import<unknown> = {
  idempotent: true,
  write: async (records) => records.map(() => ({ ok: false, fault: "reject", error: new Error("no picture") })),
};

/** A file of an application with flows of many kinds, of which each has run once. */
async function fileOfManyKinds(): Promise<string> {
  const file = join(newFolder(), "flows.db");
  const storage = await SqliteStorage.open(file);
  const registry = new FlowRegistry({
    exports: { orders, pictures },
    imports: { ledger, locked, picky, shop },
    storage,
  });
  const scheduler = new Scheduler(registry, { logger: silentLogger, maxAttempts: 1, maxFailures: 1, retryDelayMs: 0 });
  await registry.define("both", {
    name: "To both",
    _exportId: "orders",
    _importIds: ["ledger", "shop"],
    _integrationId: "acme",
    _connectorId: "shop-7",
    settings: { region: "north" },
  });
  await registry.define("locked", { name: "To a locked account", _exportId: "orders", _importId: "locked" });
  await registry.define("pictures", { name: "Pictures", _exportId: "pictures", _importId: "picky" });
  await scheduler.start();
  for (const _id of ["both", "locked", "pictures"]) {
    const { _id: _runId } = await scheduler.run(_id);
    await scheduler.waitFor(_runId);
  }
  await scheduler.stop();
  await storage.close();
  return file;
}

test("a flow is shown with what it belongs to, its settings, and how long an import is paused", async () => {
  const flow = await shown(await fileOfManyKinds(), "both");

  expect(flow).toMatch(/schedule +none/);
  expect(flow).toMatch(/integration +acme\n/);
  expect(flow).toMatch(/connector +shop-7\n/);
  expect(flow).toMatch(/settings +\{"region":"north"\}/);
  expect(flow).toMatch(/ledger +paused +2 .*\{"after":5\} .*more than 1 new failures.* by hand/);
  expect(flow).toMatch(/shop +paused +0 .*from the start .*ECONNREFUSED.* \d{4}-\d\d-\d\d \d\d:\d\d/);
});

test("an import that was resumed and has not caught up is behind", async () => {
  const file = join(newFolder(), "flows.db");
  const { registry, scheduler, storage } = await openHost(file);
  await registry.patch("stock", { disabled: false });
  await scheduler.start();
  await scheduler.waitFor((await scheduler.run("stock"))._id);
  await scheduler.stop();
  await scheduler.resume("stock", "shop");
  await storage.close();

  const flow = await shown(file, "stock");

  expect(flow).toMatch(/ledger +up to date /);
  expect(flow).toMatch(/shop +behind /);
});

test("a run is shown with how it was asked for, and each import with the error that it met", async () => {
  const file = await fileOfManyKinds();
  const storage = await SqliteStorage.open(file);
  const [failed] = (await storage.listRuns({ _flowId: "locked", limit: 1 })).items;
  await storage.close();

  const text = await shown(file, failed?._id);

  expect(text).toMatch(/status +failed/);
  expect(text).toMatch(/error +stopped_by_import: .*the account is locked/);
  expect(text).toMatch(/locked +0 +0 +0 +failed +.*the account is locked/);
});

test("a sample that waits is shown with its limit and parameters, and no import has ended in it", async () => {
  const file = join(newFolder(), "flows.db");
  const { registry, scheduler, storage } = await openHost(file);
  await registry.patch("stock", { disabled: false });
  const { _id } = await scheduler.run("stock", {
    limit: 3,
    parameters: { since: "2026-01-01" },
    moveCheckpoint: false,
  });
  await storage.close();

  const text = await shown(file, _id);

  expect(text).toMatch(/status +queued/);
  expect(text).toMatch(/sample of +3\n/);
  expect(text).toMatch(/parameters +\{"since":"2026-01-01"\}/);
  expect(text).toMatch(/all +0 +0 +0/);
  expect(text).not.toMatch(/^(error|crashes|started)/m);
});

test("a failure is shown with what was done about it, and says when there is no record to send again", async () => {
  const file = await fileOfManyKinds();
  const storage = await SqliteStorage.open(file);
  const [failure] = (await storage.listFailures({ _flowId: "pictures", limit: 1 })).items;
  await storage.close();

  expect(await shown(file, failure?._id)).toContain("The record could not be kept, so it cannot be sent again.");
});

test("a failure that a person resolved says by what, and is not retried any more", async () => {
  const file = await hostFile();
  const { scheduler, storage } = await openHost(file);
  const [open] = (await storage.listFailures({ _flowId: "orders", limit: 1 })).items;
  await scheduler.resolveFailures([open?._id ?? ""]);
  await storage.close();

  const text = await shown(file, open?._id);

  expect(text).toMatch(/status +resolved/);
  expect(text).toMatch(/resolved \(UTC\) +\d{4}-/);
  expect(text).toMatch(/resolved by +\w+/);
  expect(text).not.toContain("is retried");
});
