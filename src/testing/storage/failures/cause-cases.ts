import assert from "node:assert/strict";
import { causeOf } from "../../../model/cause.ts";
import type { Failure } from "../../../model/failure.ts";
import type { CauseQuery, Storage } from "../../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  at,
  defined,
  failureOf,
  iso,
  keepFailures,
  on,
  pageOf,
  readAll,
  runningForTwo,
} from "../harness.ts";

const named = (name: string, changes: Partial<Failure> = {}) =>
  failureOf(name, { message: `customer ${name.length} has no name`, ...changes });
const closed = causeOf(failureOf("1")).cause;
const nameless = causeOf(named("1")).cause;

/** What {@link CauseStorage} promises, and what lists of failures promise by a cause. */
export const causeStorageCases: readonly StorageCase[] = [
  on("listCauses counts the open failures of each cause, the most first", async (storage) => {
    const first = failureOf("1", { createdAt: iso(1), lastFailedAt: iso(2) });
    await keepFailures(storage, [first, named("2"), named("33", { lastFailedAt: iso(9), code: "E1" }), named("4444")]);

    const { complete, items } = await storage.listCauses({ limit: 10 });

    assert.equal(complete, true);
    assert.deepEqual(items[0], {
      ...{ cause: nameless, pattern: "customer # has no name", fault: "retry", open: 2, flows: 1 },
      ...{ firstAt: iso(3), lastAt: iso(3), sample: "4444" },
    });
    assert.deepEqual(
      items.slice(1).map(({ open, code }) => [open, code]),
      [
        [1, undefined],
        [1, "E1"],
      ].sort(() => (items[1]?.code === undefined ? 1 : -1)),
    );
    assert.equal((await storage.listCauses({ limit: 1 })).items.length, 1);
  }),

  on("listCauses counts failures that come, change their cause, are delivered and are resolved", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1"), failureOf("2"), failureOf("3"), failureOf("4")]);
    await expectGrouping(storage);

    const again = named("1", { key: "key of 1" });
    await storage.commitPage(runLease, pageOf(2, { failures: [again], delivered: ["2"], superseded: ["3"] }));
    await expectGrouping(storage);
    assert.deepEqual(await opened(storage), { [closed]: 1, [nameless]: 1 });

    await storage.resolveFailures(["4"], at(9));
    await storage.editFailure("1", { record: "corrected", at: at(9) });
    assert.deepEqual(await opened(storage), { [nameless]: 1 });
    await storage.commitPage(runLease, pageOf(3, { failures: [failureOf("4")] }));
    await expectGrouping(storage);

    await storage.deleteFlow("flow", { at: at(10) });
    assert.deepEqual(await opened(storage), {});
  }),

  on("listCauses leaves out failures of imports that were removed", async (storage) => {
    const { flow } = await keepForTwo(storage, [failureOf("1"), failureOf("2", { _importId: "mailer" })]);
    const change = { expected: flow.lastModified, reschedule: false, at: at(9) };
    const { _importIds: _, ...one } = flow;
    await storage.replaceFlow({ ...one, lastModified: iso(8) }, change);

    await expectGrouping(storage);
    assert.deepEqual(await opened(storage), { [closed]: 1 });
  }),

  on("listCauses of a flow counts by import; of an integration only what carries it", async (storage) => {
    await keepForTwo(storage, [
      failureOf("1", { _integrationId: "acme" }),
      failureOf("2", { _importId: "mailer" }),
      failureOf("3", { _flowId: "another", _integrationId: "acme" }),
    ]);
    const of = async (query: Omit<CauseQuery, "limit">) =>
      (await storage.listCauses({ ...query, limit: 10 })).items
        .map(({ _importId = "", flows, open, sample }) => `${_importId} ${open} in ${flows} such as ${sample}`)
        .sort();

    assert.deepEqual(await of({ _flowId: "flow" }), ["ledger 1 in 1 such as 1", "mailer 1 in 1 such as 2"]);
    assert.deepEqual(await of({ _importId: "mailer" }), [" 1 in 1 such as 2"]);
    assert.deepEqual(await of({ _integrationId: "nobody" }), []);
    const [acme = ""] = await of({ _integrationId: "acme" });
    assert.match(acme, /^ 2 in 2 such as [13]$/);
    assert.deepEqual(await of({ _flowId: "flow", _integrationId: "acme" }), ["ledger 1 in 1 such as 1"]);
  }),

  on("listCauses counts failures of flows that are disabled, or of those that are enabled", async (storage) => {
    const { flow } = await keepForTwo(storage, [
      failureOf("1"),
      named("2", { _importId: "mailer" }),
      failureOf("3", { _flowId: "another" }),
    ]);
    await addFlow(storage, "another");
    const change = { expected: flow.lastModified, reschedule: true, at: at(9) };
    await storage.replaceFlow({ ...flow, disabled: true, lastModified: iso(8) }, change);
    const of = async (query: Omit<CauseQuery, "limit">) =>
      (await storage.listCauses({ ...query, limit: 10 })).items
        .map(({ cause, flows, open }) => `${open} of ${cause === closed ? "one" : "another"} cause in ${flows}`)
        .sort();

    assert.deepEqual(await of({ disabled: true }), ["1 of another cause in 1", "1 of one cause in 1"]);
    assert.deepEqual(await of({ disabled: false }), ["1 of one cause in 1"]);
    assert.deepEqual(await of({}), ["1 of another cause in 1", "2 of one cause in 2"]);
    assert.deepEqual(await of({ disabled: true, _importId: "mailer" }), ["1 of another cause in 1"]);
    assert.deepEqual(await of({ disabled: false, _flowId: "flow" }), []);
  }),

  on("listCauses names an open failure when the newest one is open no more", async (storage) => {
    await keepFailures(storage, [failureOf("1"), failureOf("2"), failureOf("3")]);
    await storage.resolveFailures(["3"], at(9));

    assert.deepEqual(
      (await storage.listCauses({ limit: 10 })).items.map(({ sample }) => sample),
      ["2"],
    );
  }),

  on(
    "flowsOfFailures finds flows by what their open failures have in common, up to one that was seen",
    async (storage) => {
      await keepFailures(storage, [
        failureOf("1", { _flowId: "b" }),
        named("2", { _flowId: "a", fault: "reject" }),
        failureOf("3", { _flowId: "c", key: "wanted", _integrationId: "acme" }),
        failureOf("4", { _flowId: "d", _connectorId: "shop", _runId: "another" }),
      ]);
      const found = async (query: object) => (await storage.flowsOfFailures({ limit: 10, ...query })).items;

      assert.deepEqual(await found({ cause: closed }), ["b", "c", "d"]);
      assert.deepEqual(await found({ cause: closed, limit: 2 }), ["b", "c"]);
      assert.deepEqual(await found({ cause: closed, after: "b" }), ["c", "d"]);
      assert.deepEqual(await found({ cause: closed, through: "3" }), ["b", "c"]);
      assert.deepEqual(await found({ fault: "reject" }), ["a"]);
      assert.deepEqual(await found({ key: "wanted", _importId: "ledger" }), ["c"]);
      assert.deepEqual(await found({ _integrationId: "acme" }), ["c"]);
      assert.deepEqual(await found({ _connectorId: "shop", _flowId: "d", _runId: "another" }), ["d"]);
      assert.deepEqual(await found({ _connectorId: "shop", _flowId: "c" }), []);
      assert.deepEqual(await found({ _exportId: "orders", key: "wanted" }), ["c"]);
      assert.deepEqual(await found({ _exportId: "refunds" }), []);
      assert.deepEqual(await found({ key: "of none" }), []);
      assert.deepEqual(await found({ _runId: "none" }), []);
      await storage.resolveFailures(["1"], at(9));
      assert.deepEqual(await found({ cause: closed }), ["c", "d"]);
      assert.equal((await storage.flowsOfFailures({ limit: 1 })).complete, true);
    },
  ),

  on(
    "listFailures goes by cause, by how a key begins, in either order, and up to one that was seen",
    async (storage) => {
      const ids = ["1", "2", "3", "4", "5"];
      await keepFailures(
        storage,
        ids.map((_id) =>
          _id === "2" ? named(_id, { key: "o-2" }) : failureOf(_id, { key: `o-${Number(_id) % 2}-${_id}` }),
        ),
      );
      const found = async (query: object) => {
        const listed = await readAll((after) => storage.listFailures({ limit: 2, ...query, ...after }));
        const alike = await readAll((after) => storage.listFailureIds({ limit: 2, ...query, ...after }));
        assert.deepEqual(
          alike,
          listed.map(({ _id }) => _id),
        );
        return alike;
      };

      assert.deepEqual(await found({ cause: closed }), ["1", "3", "4", "5"]);
      assert.deepEqual(await found({ cause: nameless, _flowId: "flow" }), ["2"]);
      assert.deepEqual(await found({ newestFirst: true }), ["5", "4", "3", "2", "1"]);
      assert.deepEqual(await found({ newestFirst: true, _flowId: "flow", status: "open" }), ["5", "4", "3", "2", "1"]);
      assert.deepEqual(await found({ keyPrefix: "o-1" }), ["1", "3", "5"]);
      assert.deepEqual(await found({ keyPrefix: "o-1", newestFirst: true, _flowId: "flow" }), ["5", "3", "1"]);
      assert.deepEqual(await found({ keyPrefix: "o-%" }), []);
      assert.deepEqual(await found({ cause: closed, through: "4", newestFirst: true }), ["4", "3", "1"]);
      assert.deepEqual(await found({ through: "35" }), ["1", "2", "3"]);
      assert.deepEqual(await found({ through: "0" }), []);
      assert.deepEqual((await storage.listFailureIds({ limit: 2, cause: closed, status: "open" })).items, ["1", "3"]);
    },
  ),

  on("through goes as far as the failure it names went when that is gone", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1"), failureOf("2"), failureOf("3")]);
    await storage.commitPage(runLease, pageOf(2, { delivered: ["2"], failures: [failureOf("4")] }));

    const { items } = await storage.listFailureIds({ limit: 10, through: "2", status: "open" });

    assert.deepEqual(items, ["1"]);
  }),

  on("listFailures finds a string in the message or in the record, in any case", async (storage) => {
    await keepForTwo(storage, [
      failureOf("1", { message: '100% of Acme_s said "No"' }),
      failureOf("2", { record: { customer: "ACME", path: "a\\b", quote: 'say "hi"', line: "one\ntwo" } }),
      failureOf("3", { record: ["Ünter"], _importId: "mailer" }),
      failureOf("4", { record: new Map([["acme", 1]]) }),
      failureOf("5", { message: 'the path "C:\\ÅS"\nis gone \u{1F6A2}\u0001' }),
    ]);
    const found = async (text: string, query: object = {}) =>
      (await storage.listFailures({ limit: 10, text, newestFirst: true, ...query })).items.map(({ _id }) => _id);

    assert.deepEqual(await found("acme"), ["2", "1"]);
    assert.deepEqual(await found("acme_"), ["1"]);
    assert.deepEqual(await found("100%"), ["1"]);
    assert.deepEqual(await found('"no"'), ["1"]);
    assert.deepEqual(await found('say "HI"'), ["2"]);
    assert.deepEqual(await found("a\\b"), ["2"]);
    assert.deepEqual(await found("one\ntwo"), ["2"]);
    assert.deepEqual(await found("Ünter", { newestFirst: false, _importId: "mailer" }), ["3"]);
    for (const text of ['PATH "c:\\Ås"', '"\nIs', "ONE \u{1F6A2}\u0001"])
      assert.deepEqual(await found(text), ["5"], text);
    assert.deepEqual(await found("ås"), []);
    assert.deepEqual(await found("~"), []);
    assert.deepEqual(await found("_flowId"), []);
    assert.deepEqual(await found("the ledger", { cause: closed, status: "open" }), ["4", "3", "2"]);
  }),

  on(
    "listFailures looks at no more than 1,000 failures for a string, and goes on where it stopped",
    async (storage) => {
      const { runLease } = await keepFailures(storage, [failureOf("the one", { message: "needle" })]);
      const others = Array.from({ length: 1_100 }, (_, index) => failureOf(`other ${String(index).padStart(4, "0")}`));
      await storage.commitPage(runLease, pageOf(2, { failures: others }));
      const query = { text: "needle", newestFirst: true, limit: 10 };

      const first = await storage.listFailures(query);
      const second = await storage.listFailures({ ...query, after: defined(first.next) });
      const stopped = await storage.listFailures({ ...query, text: "the ledger", limit: 3 });
      const ids = await storage.listFailureIds(query);
      const otherIds = await storage.listFailureIds({ ...query, after: defined(ids.next) });
      const stoppedIds = await storage.listFailureIds({ ...query, text: "the ledger", limit: 3 });

      assert.deepEqual([first.items, first.examined], [[], 1_000]);
      assert.deepEqual(
        [second.items.map(({ _id }) => _id), second.examined, second.next],
        [["the one"], 101, undefined],
      );
      assert.deepEqual([stopped.items.length, stopped.examined], [3, 3]);
      assert.deepEqual(ids, { items: [], examined: 1_000, next: first.next });
      assert.deepEqual(otherIds, { items: ["the one"], examined: 101 });
      assert.deepEqual(stoppedIds, { items: stopped.items.map(({ _id }) => _id), examined: 3, next: stopped.next });
    },
  ),

  on("completeCauses has nothing to do with what was stored by commits", async (storage) => {
    await addFlow(storage, "another");
    await keepFailures(storage, [failureOf("1")]);

    assert.equal(await storage.completeCauses(10), 0);
  }),
];

/** The same for a flow that has the import `mailer`, too. */
async function keepForTwo(storage: Storage, failures: readonly Failure[]) {
  const claim = await runningForTwo(storage);
  await storage.commitPage(claim.runLease, pageOf(1, { failures }));
  return claim;
}

/** How many are open of each cause. */
async function opened(storage: Storage): Promise<Readonly<Record<string, number>>> {
  const { items } = await storage.listCauses({ limit: 1_000 });
  return Object.fromEntries(items.map(({ cause, open }) => [cause, open]));
}

/** What is counted is what a grouping of the list says. */
async function expectGrouping(storage: Storage): Promise<void> {
  const listed = await readAll((after) => storage.listFailures({ limit: 100, status: "open", ...after }));
  const grouped: Record<string, number> = {};
  for (const failure of listed) {
    const { cause } = causeOf(failure);
    grouped[cause] = (grouped[cause] ?? 0) + 1;
  }
  assert.deepEqual(await opened(storage), grouped);
}
