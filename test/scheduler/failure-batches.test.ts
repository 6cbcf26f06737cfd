import { describe, expect, test } from "vitest";
import { MemoryStorage } from "../../src/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { failureOf, keepFailures, pageOf } from "../../src/testing/storage/harness.ts";
import { Harness, pagesExport } from "../support/harness.ts";

const through = "~";

describe("failures of many flows", () => {
  test("are retried 1,000 flows at a time, and each flow gets one run", async () => {
    const storage = new MemoryStorage();
    const host = new Harness({
      storage,
      exports: { orders: pagesExport([]) },
      imports: { ledger: collectingImport() },
    });
    const ids = Array.from({ length: 1_001 }, (_, index) => `flow ${String(index).padStart(4, "0")}`);
    for (const _id of ids) await host.registry.define(_id, { name: _id, _exportId: "orders", _importId: "ledger" });
    await keepFailures(
      storage,
      ids.map((_flowId) => failureOf(`of ${_flowId}`, { _flowId })),
    );

    const first = await host.scheduler.retryMatching({ _importId: "ledger", through });
    const rest = await host.scheduler.retryMatching({ _importId: "ledger", through, after: first.next ?? "" });

    expect([first.runs.length, first.next, first.refused]).toEqual([1_000, ids[999], []]);
    expect([rest.runs.map(({ _flowId }) => _flowId), rest.next]).toEqual([[ids[1_000]], undefined]);
    expect(rest.runs[0]).toMatchObject({ trigger: "retry", retry: { _importId: "ledger", through } });
  });

  test("are resolved 10,000 at a time", async () => {
    const storage = new MemoryStorage();
    const host = new Harness({ storage });
    const { runLease } = await keepFailures(storage, []);
    const failures = Array.from({ length: 10_050 }, (_, index) => failureOf(String(index).padStart(5, "0")));
    await storage.commitPage(runLease, pageOf(2, { failures }));

    const first = await host.scheduler.resolveMatching({ _flowId: "flow", through });
    const rest = await host.scheduler.resolveMatching({ _flowId: "flow", through, after: first.next ?? "" });

    expect([first.resolved, rest]).toEqual([10_000, { resolved: 50 }]);
    expect(await host.failures()).toEqual([]);
  });

  test("are looked for 20,000 at a time, and each call goes on where the one before ended", async () => {
    const storage = new MemoryStorage();
    const host = new Harness({
      storage,
      exports: { orders: pagesExport([]) },
      imports: { ledger: collectingImport() },
    });
    const ids = ["a", "b", "c"];
    for (const _id of ids) await host.registry.define(_id, { name: _id, _exportId: "orders", _importId: "ledger" });
    const { runLease } = await keepFailures(storage, []);
    const failures = ids.flatMap((_flowId) => [
      ...Array.from({ length: 12_000 }, (_, index) => failureOf(`${_flowId} ${index}`, { _flowId })),
      failureOf(`needle of ${_flowId}`, { _flowId, key: "needle", message: "needle" }),
    ]);
    await storage.commitPage(runLease, pageOf(2, { failures }));
    const batch = { text: "NEEDLE", keyPrefix: "n", through };

    const retried = [await host.scheduler.retryMatching(batch)];
    for (let after = retried[0]?.next; after !== undefined; after = retried.at(-1)?.next)
      retried.push(await host.scheduler.retryMatching({ ...batch, after }));
    const resolved = [await host.scheduler.resolveMatching(batch)];
    for (let after = resolved[0]?.next; after !== undefined; after = resolved.at(-1)?.next)
      resolved.push(await host.scheduler.resolveMatching({ ...batch, after }));

    expect(retried.map(({ runs, next }) => [runs.map(({ _flowId }) => _flowId), next])).toEqual([
      [["a", "b"], "b"],
      [["c"], undefined],
    ]);
    expect(retried[1]?.runs[0]).toMatchObject({ retry: { text: "NEEDLE", keyPrefix: "n", through } });
    expect(resolved.map((one) => one.resolved)).toEqual([1, 2]);
  });

  test("of another export than the flow's are not sent, also if that one is asked for", async () => {
    const storage = new MemoryStorage();
    const ledger = collectingImport();
    const host = new Harness({ storage, exports: { orders: pagesExport([]) }, imports: { ledger } });
    const flow = await host.registry.define("moved", { name: "moved", _exportId: "orders", _importId: "ledger" });
    await keepFailures(storage, [
      failureOf("1 old", { _flowId: flow._id, _exportId: "refunds", record: "old" }),
      failureOf("2 new", { _flowId: flow._id, _exportId: "orders", record: "new" }),
    ]);
    const retry = async (_exportId: string) =>
      host.end(await host.scheduler.retryFailures(flow._id, { _exportId, through }));
    await host.scheduler.start();

    const none = await retry("refunds");
    const one = await retry("orders");

    expect([none.numSuccess, one.numSuccess, ledger.written]).toEqual([0, 1, ["new"]]);
  });

  test("are not all of them together", async () => {
    const { scheduler } = new Harness();

    await expect(scheduler.retryMatching({ through })).rejects.toMatchObject({ code: "invalid_request" });
    await expect(scheduler.resolveMatching({ through })).rejects.toMatchObject({ code: "invalid_request" });
    await expect(scheduler.resolveMatching({ through, _flowid: "x" } as never)).rejects.toThrow(
      'did you mean "_flowId"',
    );
  });
});

describe("a search", () => {
  test("looks at about 20,000 failures, and goes on from there", async () => {
    const storage = new MemoryStorage();
    const host = new Harness({ storage });
    const { runLease } = await keepFailures(storage, [failureOf("the one", { message: "needle" })]);
    const failures = Array.from({ length: 20_100 }, (_, index) => failureOf(`other ${index}`));
    await storage.commitPage(runLease, pageOf(2, { failures }));
    const query = { text: "NEEDLE", newestFirst: true };

    const first = await host.scheduler.listFailures(query);
    const rest = await host.scheduler.listFailures({ ...query, after: first.next ?? "" });

    expect([first.items, first.examined]).toEqual([[], 20_000]);
    expect([rest.items.map(({ _id }) => _id), rest.examined, rest.next]).toEqual([["the one"], 101, undefined]);
  });
});

test("failures that an earlier version stored are counted after the start, while the scheduler works", async () => {
  const storage = new MemoryStorage();
  const left = [3, 2, 1];
  storage.completeCauses = async () => left.pop() ?? 0;
  const host = new Harness({ storage });

  await host.scheduler.start();
  await host.clock.settle();

  expect(left).toEqual([]);
  await host.scheduler.stop();
});
