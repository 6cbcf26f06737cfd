import { describe, expect, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import type { FlowDeletion, Storage } from "../../../src/storage/storage.ts";
import { ManualClock } from "../../../src/testing/index.ts";
import { Harness, minute, noon, pagesExport } from "../../support/harness.ts";

/** A deletion removes nothing by itself, as if the flow had more than one call may remove; and notes what else does. */
class LateMemoryStorage extends MemoryStorage {
  readonly purged: { readonly limit: number; readonly _flowId?: string }[] = [];

  override deleteFlow(_id: string, change: FlowDeletion) {
    return super.deleteFlow(_id, { ...change, limit: 0 });
  }

  override purgeFlows(rule: { readonly limit: number; readonly _flowId?: string }) {
    this.purged.push(rule);
    return super.purgeFlows(rule);
  }
}

const definition = { name: "Orders", _exportId: "orders", _importId: "ledger" } as const;

function isAccepted(record: string): boolean {
  if (record !== "order 7") throw new Error("no");
  return true;
}

/** A flow with 2,499 open failures, of which none is tried again. */
async function failing(storage: Storage) {
  const records = Array.from({ length: 2_500 }, (_, index) => `order ${index}`);
  const host = new Harness({
    ...{ storage, clock: new ManualClock(noon), options: { maxFailures: 10_000, autoRetry: false } },
    exports: { orders: { ...pagesExport([records]), key: (record: string) => record } },
    imports: { ledger: { idempotent: true, filter: isAccepted, write: async () => undefined } },
  });
  await host.registry.define("orders", definition);
  await host.scheduler.start();
  await host.run("orders");
  expect((await storage.listCauses({ limit: 1 })).items[0]?.open).toBe(2_499);
  return host;
}

describe("a flow with much in it", () => {
  test("is gone when its deletion resolves, and maintenance removes the rest in portions of 200 rows", async () => {
    const storage = new LateMemoryStorage();
    const { clock, registry, scheduler } = await failing(storage);
    storage.purged.length = 0;

    await registry.delete("orders");

    expect((await registry.list()).items).toEqual([]);
    expect((await scheduler.listFailures()).items).toEqual([]);
    expect(storage.purged).toEqual([]);
    await clock.advance(minute);
    expect(storage.purged.length).toBeGreaterThan(3);
    expect(storage.purged.every(({ limit }) => limit === 200)).toBe(true);
    expect(await storage.purgeFlows({ limit: 1, _flowId: "orders" })).toBe(false);
    await scheduler.stop();
  });

  test("that is defined again at once begins with nothing, after what was left was removed in portions", async () => {
    const storage = new LateMemoryStorage();
    const { clock, registry, scheduler } = await failing(storage);
    await registry.delete("orders");
    storage.purged.length = 0;

    const flow = await registry.define("orders", definition);

    expect(storage.purged).toEqual(Array.from({ length: 13 }, () => ({ _flowId: "orders", limit: 200 })));
    expect(await registry.get("orders")).toEqual(flow);
    expect(await scheduler.deliveries("orders")).toMatchObject([{ _importId: "ledger", openFailures: 0 }]);
    await clock.settle();
    await scheduler.stop();
  });

  test("is deleted in SQLite by transactions that change 1,000 rows or a few more each", async () => {
    const database = openDatabase(":memory:");
    const storage = new SqliteStorage(database);
    const changes = () => Number(database.prepare("select total_changes() as n").all()[0]?.["n" as never]);
    const { clock, registry, scheduler } = await failing(storage);
    const ids = Array.from({ length: 3_000 }, (_, index) => String(index));
    await storage.appendInbox(
      { _id: "a", _exportId: "orders", records: ids, ids, at: noon, starts: [] },
      { maxInboxPages: 9, dedupeAfter: 0 },
    );
    const start = { _id: "r", _flowId: "orders", trigger: "realtime" as const, queuedAt: new Date(noon).toISOString() };
    await storage.appendInbox(
      { _id: "b", _exportId: "orders", records: ids, ids, at: noon, starts: [start] },
      { maxInboxPages: 9, dedupeAfter: 0 },
    );
    const sizes: number[] = [];
    let before = changes();
    const step = () => {
      sizes.push(changes() - before);
      before = changes();
    };

    await registry.delete("orders");
    step();
    for (let more = true; more;) {
      more = await storage.purgeFlows({ limit: 1_000 });
      step();
    }

    expect(sizes.length).toBeGreaterThan(5);
    expect(Math.max(...sizes)).toBeLessThan(1_050);
    const tables = ["flows", "failures", "causes", "inbox", "drops", "events", "places", "flow_imports"];
    for (const table of tables) expect(database.prepare(`select * from poundlock_${table}`).all(), table).toEqual([]);
    await clock.settle();
    await scheduler.stop();
  });
});
