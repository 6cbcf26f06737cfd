import assert from "node:assert/strict";
import type { FailureQuery } from "../../../storage/storage.ts";
import {
  type StorageCase,
  defined,
  at,
  failureOf,
  idsOf,
  iso,
  keepFailures,
  on,
  pageOf,
  readAll,
  richRecord,
  runningForTwo,
} from "../harness.ts";

/** What {@link FailureStorage} promises. */
export const failureStorageCases: readonly StorageCase[] = [
  on("findFailure returns every field of a failure, and undefined if there is none", async (storage) => {
    const failure = failureOf("1", { _integrationId: "acme", _connectorId: "shop", code: "ECONNRESET" });
    await keepFailures(storage, [failure]);

    assert.deepEqual(await storage.findFailure("1"), failure);
    assert.equal(await storage.findFailure("nobody"), undefined);
  }),

  on(
    "a failure's record reads back deeply equal: dates, maps, sets, big integers and bytes included",
    async (storage) => {
      await keepFailures(storage, [
        failureOf("rich", { record: richRecord() }),
        failureOf("text", { record: "just a string" }),
        failureOf("null", { record: null }),
        failureOf("map", { record: new Map([["key", 1n]]) }),
      ]);

      const { items } = await storage.listFailures({ limit: 10 });

      assert.deepEqual(
        items.map(({ record }) => record),
        [richRecord(), "just a string", null, new Map([["key", 1n]])],
      );
      assert.deepEqual((await storage.findFailure("rich"))?.record, richRecord());
    },
  ),

  on("listFailures returns them in the order they were stored, whatever their ids and times", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("c"), failureOf("a", { createdAt: iso(9) })]);

    await storage.commitPage(runLease, pageOf(2, { failures: [failureOf("b", { createdAt: iso(0) })] }));

    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10 })).items), ["c", "a", "b"]);
    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10, _flowId: "flow" })).items), ["c", "a", "b"]);
  }),

  on("listFailures returns the failures that match every filter given", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    const failures = [
      failureOf("1", { _integrationId: "acme" }),
      failureOf("2", { _importId: "mailer", _connectorId: "shop" }),
      failureOf("3", { _runId: "another run", _integrationId: "acme" }),
      failureOf("4", { _flowId: "another flow" }),
    ];
    await storage.commitPage(runLease, pageOf(1, { failures }));
    await storage.resolveFailures(["3"], at(9));
    const found = async (query: Omit<FailureQuery, "limit">) =>
      idsOf((await storage.listFailures({ ...query, limit: 10 })).items);

    assert.deepEqual(await found({ _ids: ["4", "2", "nobody", "2"] }), ["2", "4"]);
    assert.deepEqual(await found({ _ids: [] }), []);
    assert.deepEqual(await found({ _flowId: "flow" }), ["1", "2", "3"]);
    assert.deepEqual(await found({ _importId: "mailer" }), ["2"]);
    assert.deepEqual(await found({ _runId: "another run" }), ["3"]);
    assert.deepEqual(await found({ _integrationId: "acme" }), ["1", "3"]);
    assert.deepEqual(await found({ _connectorId: "shop" }), ["2"]);
    assert.deepEqual(await found({ status: "resolved" }), ["3"]);
    assert.deepEqual(await found({ status: "open", _flowId: "flow", _ids: ["1", "3", "4"] }), ["1"]);
  }),

  on("listFailures goes on where `next` says, and says nothing at the end", async (storage) => {
    const _ids = ["1", "2", "3", "4"];
    await keepFailures(
      storage,
      _ids.map((_id) => failureOf(_id, _id === "2" ? { _importId: "mailer" } : {})),
    );

    for (const scope of [{}, { _flowId: "flow" }, { _ids }]) {
      const first = await storage.listFailures({ ...scope, _importId: "ledger", limit: 2 });
      const after = defined(first.next);
      const rest = await storage.listFailures({ ...scope, _importId: "ledger", limit: 2, after });
      const exactly = await storage.listFailures({ ...scope, limit: 4 });

      assert.deepEqual([idsOf(first.items), idsOf(rest.items)], [["1", "3"], ["4"]]);
      assert.deepEqual([rest.next, exactly.next], [undefined, undefined]);
    }
  }),

  on("listFailures returns no more than about 16 MB of records at once, but one at least", async (storage) => {
    const _ids = ["1", "2", "3", "4"];
    const large = (_id: string) =>
      failureOf(_id, { record: (_id === "4" ? "y" : "x").repeat(_id === "4" ? 1 : 9_000_000) });
    await keepFailures(storage, _ids.map(large));

    for (const scope of [{}, { _ids }]) {
      const sizes: number[] = [];
      const listed = await readAll(async (after) => {
        const page = await storage.listFailures({ ...scope, limit: 10, ...after });
        sizes.push(page.items.length);
        return page;
      });

      assert.deepEqual(idsOf(listed), _ids);
      assert.deepEqual(sizes, [1, 1, 2]);
    }
  }),

  on(
    "listFailures lists a failure that is there all the while exactly once, while others come and go",
    async (storage) => {
      const { runLease } = await keepFailures(
        storage,
        ["1", "2", "3", "4", "5"].map((_id) => failureOf(_id)),
      );
      let ordinal = 1;

      const listed = await readAll(
        (after) => storage.listFailures({ limit: 2, _flowId: "flow", ...after }),
        async () => {
          ordinal++;
          if (ordinal > 3) return;
          const failures = [failureOf(`new ${ordinal}`), failureOf("3", { attempts: 9 })];
          await storage.commitPage(runLease, pageOf(ordinal, { delivered: ["2", "4"], failures }));
        },
      );

      const lasting = idsOf(listed).filter((_id) => ["1", "3", "5"].includes(_id));
      assert.deepEqual(lasting, ["1", "3", "5"]);
    },
  ),

  on("resolveFailures marks open failures as resolved, and returns those that were open", async (storage) => {
    await keepFailures(storage, [failureOf("1"), failureOf("2"), failureOf("3")]);

    const resolved = await storage.resolveFailures(["1", "nobody", "3", "1"], at(9));

    assert.deepEqual(idsOf(resolved).toSorted(), ["1", "3"]);
    for (const failure of resolved) {
      assert.deepEqual(
        failure,
        failureOf(failure._id, { status: "resolved", resolvedAt: iso(9), resolvedBy: "person" }),
      );
      assert.deepEqual(await storage.findFailure(failure._id), failure);
    }
    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10, status: "open" })).items), ["2"]);
  }),

  on("resolveFailures again returns none, and leaves the time at which they were resolved", async (storage) => {
    await keepFailures(storage, [failureOf("1")]);
    await storage.resolveFailures(["1"], at(9));

    assert.deepEqual(await storage.resolveFailures(["1"], at(10)), []);

    assert.equal((await storage.findFailure("1"))?.resolvedAt, iso(9));
  }),
];
