import assert from "node:assert/strict";
import type { Storage } from "../../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  at,
  defined,
  endingOf,
  failureOf,
  flowOf,
  idsOf,
  iso,
  keepFailures,
  on,
  pageOf,
  pauseOf,
  queue,
  runningForTwo,
  take,
} from "../harness.ts";

/** A failure of the record with the key `thing`, later than those of {@link failureOf}. */
function again(_id: string, changes = {}) {
  const since = { createdAt: iso(8), lastFailedAt: iso(8), _runId: "later" };
  return failureOf(_id, {
    key: "thing",
    record: { state: "new" },
    message: "it was closed again",
    ...since,
    ...changes,
  });
}

function many(from: number, count: number, changes = {}) {
  return Array.from({ length: count }, (_, nth) => failureOf(String(from + nth), changes));
}

function later(_id: string, key: string) {
  return again(_id, { _runId: "run", key });
}

async function idsOfShop(storage: Storage): Promise<readonly string[]> {
  return (await storage.listFailureIds({ _connectorId: "shop", limit: 10 })).items;
}

const ofAcme = { _integrationId: "acme", fault: "reject", record: { "": [1.5, '"', null], "\u2028": "\ud83d" } };
const ofShop = { _connectorId: "shop", retryAt: iso(60) };

/** Records and states that a storage may keep in another way than most. */
const odd = [
  failureOf("6", { record: null, retryAt: iso(60) }),
  failureOf("7", { record: new Uint8Array([0, 255]), version: 7 }),
  failureOf("8", { record: { text: '"\\\n'.repeat(30_000) }, version: "7", code: "E8" }),
  failureOf("9", { record: undefined, unstorable: true, message: "its record is a function" }),
];

/** What {@link FailureStorage} promises of the one open failure that a record has at an import. */
export const keyStorageCases: readonly StorageCase[] = [
  on(
    "commitPage folds a failure into the open one of its key: the newest record, under the id it has",
    async (storage) => {
      const known = failureOf("1", { key: "thing", retryAt: iso(60), code: "ECONNRESET" });
      const { runLease } = await keepFailures(storage, [known, failureOf("2")]);

      const failure = again("3", { fault: "reject", attempts: 1 });
      const committed = await storage.commitPage(runLease, pageOf(2, { failures: [failure] }));

      const folded = { ...failure, _id: "1", createdAt: iso(3), occurrences: 2 };
      assert.deepEqual(committed?.failures, [folded]);
      assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [folded, failureOf("2")]);
      assert.equal(await storage.findFailure("3"), undefined);
    },
  ),

  on("commitPage keeps failures of one key apart by flow, export and import", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    const failures = [
      again("1"),
      again("2", { _importId: "mailer" }),
      again("3", { _exportId: "parcels" }),
      again("4", { _flowId: "other" }),
    ];

    const committed = await storage.commitPage(runLease, pageOf(1, { failures }));

    assert.deepEqual(committed?.failures, failures);
    assert.deepEqual((await storage.listFailures({ key: "thing", limit: 10 })).items, failures);
  }),

  on("commitPage stores many failures in their order, those that are known under the id they have", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1", { key: "thing" }), failureOf("2")]);
    const [resolved] = await storage.resolveFailures(["2"], at(4));
    const twice = [failureOf("4", { key: "twice" }), later("5", "twice")];
    const known = [later("3", "thing"), later("2", "key of 2"), ...twice];
    const last = failureOf("1", { key: "thing", lastFailedAt: iso(9) });

    const failures = [
      ...many(1_000, 4),
      ...known,
      ...odd,
      ...many(2_000, 600, ofAcme),
      ...many(3_000, 5, ofShop),
      last,
    ];
    const committed = await storage.commitPage(runLease, pageOf(2, { failures }));

    const thing = { ...later("3", "thing"), _id: "1", createdAt: iso(3), occurrences: 2 };
    const folded = { ...later("5", "twice"), _id: "4", createdAt: iso(3), occurrences: 2 };
    const newest = { ...last, occurrences: 3 };
    const stored = [thing, resolved, twice[0], folded];
    assert.deepEqual(committed?.failures, [...failures.slice(0, 4), ...stored, ...failures.slice(8, -1), newest]);
    assert.deepEqual((await storage.listFailures({ limit: 1_000 })).items, [
      ...[newest, resolved, ...failures.slice(0, 4), folded],
      ...failures.slice(8, -1),
    ]);
    const ofIntegration = await storage.listFailures({ _integrationId: "acme", limit: 1_000 });
    assert.deepEqual([ofIntegration.items.length, (await idsOfShop(storage)).length], [600, 5]);
    const { items } = await storage.listCauses({ limit: 10, _flowId: "flow" });
    assert.equal(
      items.reduce((sum, { open }) => sum + open, 0),
      615,
    );
  }),

  on("an older version of a record does not replace a newer one, and is counted", async (storage) => {
    const known = [
      failureOf("1", { key: "thing", version: 10 }),
      failureOf("2", { key: "note", version: "b" }),
      failureOf("3", { key: "page", version: 10 }),
    ];
    const { runLease } = await keepFailures(storage, known);

    const failures = [again("4", { version: 9 }), again("5", { key: "note", version: "a" })];
    const other = again("6", { key: "page", version: "9" });
    await storage.commitPage(runLease, pageOf(2, { failures: [...failures, other] }));

    const counted = { occurrences: 2, lastFailedAt: iso(8) };
    assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [
      { ...known[0], ...counted },
      { ...known[1], ...counted },
      { ...other, ...counted, _id: "3", createdAt: iso(3) },
    ]);
    await storage.commitPage(runLease, pageOf(3, { failures: [again("7", { version: 11, retryAt: iso(60) })] }));
    assert.deepEqual((await storage.findFailure("1"))?.record, { state: "new" });
    assert.equal(await storage.nextRetryAt(0), at(60));
  }),

  on("commitPage resolves superseded failures by delivery, and leaves those resolved before", async (storage) => {
    const { runLease } = await keepFailures(storage, [
      failureOf("1", { retryAt: iso(60) }),
      failureOf("2"),
      failureOf("3"),
    ]);
    const [resolved] = await storage.resolveFailures(["2"], at(4));

    await storage.commitPage(runLease, pageOf(2, { at: at(9), superseded: ["1", "2", "nobody"] }));

    const delivered = { status: "resolved", resolvedAt: iso(9), resolvedBy: "delivery" } as const;
    assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [
      failureOf("1", delivered),
      resolved,
      failureOf("3"),
    ]);
    assert.equal(await storage.nextRetryAt(0), undefined);
  }),

  on("commitPage removes what a retry delivered, also if it was resolved meanwhile", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1"), failureOf("2")]);
    await storage.resolveFailures(["1"], at(4));

    await storage.commitPage(runLease, pageOf(2, { delivered: ["1"] }));

    assert.deepEqual(idsOf((await storage.listFailures({ limit: 10 })).items), ["2"]);
  }),

  on("a failure that was resolved stays resolved when a retry fails again under its id", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1", { key: "thing" })]);
    const [resolved] = await storage.resolveFailures(["1"], at(4));

    await storage.commitPage(runLease, pageOf(2, { failures: [again("1", { attempts: 6, retryAt: iso(60) })] }));

    assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [resolved]);
  }),

  on("a page's failure under a key that was resolved is an open one of its own", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1", { key: "thing" })]);
    const [resolved] = await storage.resolveFailures(["1"], at(4));

    const committed = await storage.commitPage(runLease, pageOf(2, { failures: [again("2")] }));

    assert.deepEqual(committed?.failures, [again("2")]);
    assert.deepEqual((await storage.listFailures({ limit: 10 })).items, [resolved, again("2")]);
  }),

  on("editFailure gives an open failure another record, and keeps the first one as `original`", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1", { key: "thing" })]);

    await storage.editFailure("1", { record: { edited: 1n }, at: at(6) });
    const edited = await storage.editFailure("1", { record: { edited: 2n }, at: at(7) });

    const original = { failed: "1" };
    const expected = failureOf("1", { key: "thing", record: { edited: 2n }, original, editedAt: iso(7) });
    assert.deepEqual(edited, expected);
    assert.deepEqual(await storage.findFailure("1"), expected);
    await storage.commitPage(runLease, pageOf(2, { failures: [again("2")] }));
    assert.deepEqual(await storage.findFailure("1"), { ...again("1"), createdAt: iso(3), occurrences: 2 });
  }),

  on("editFailure returns undefined, and changes nothing, for a failure that is not open", async (storage) => {
    await keepFailures(storage, [failureOf("1")]);
    const [resolved] = await storage.resolveFailures(["1"], at(4));

    const edited = [
      await storage.editFailure("1", { record: "edited", at: at(6) }),
      await storage.editFailure("nobody", { record: "edited", at: at(6) }),
    ];

    assert.deepEqual(edited, [undefined, undefined]);
    assert.deepEqual(await storage.findFailure("1"), resolved);
  }),

  on("editFailure returns undefined, and changes nothing, while a retry run of the flow is active", async (storage) => {
    const { runLease } = await keepFailures(storage, [failureOf("1")]);
    await storage.endRun(runLease, endingOf("completed", 4));
    await queue(storage, "retry", "flow", { trigger: "retry" });
    const waiting = await storage.editFailure("1", { record: "while it waits", at: at(5) });
    const retrying = await take(storage, "flow", "retrying");

    const edited = await storage.editFailure("1", { record: "edited", at: at(6) });

    assert.equal(edited, undefined);
    assert.deepEqual(await storage.findFailure("1"), waiting);
    await storage.endRun(retrying.runLease, endingOf("completed", 7));
    assert.equal((await storage.editFailure("1", { record: "edited", at: at(8) }))?.record, "edited");
  }),

  on("openKeys returns the open keys of one export at one import, page by page, in their order", async (storage) => {
    await keepFailures(storage, [
      failureOf("1", { key: "c", version: 7 }),
      failureOf("2", { key: "mailer's", _importId: "mailer" }),
      failureOf("3", { key: "parcel", _exportId: "parcels" }),
      failureOf("4", { key: "resolved" }),
      failureOf("5", { key: "a", version: "7" }),
      failureOf("6", { key: "other", _flowId: "other" }),
      failureOf("7", { key: "b" }),
    ]);
    await storage.resolveFailures(["4"], at(4));
    const query = { _flowId: "flow", _exportId: "orders", _importId: "ledger", limit: 2 };

    const { items, next } = await storage.openKeys(query);
    const rest = await storage.openKeys({ ...query, after: defined(next) });

    assert.deepEqual(items, [
      { _id: "1", key: "c", version: 7 },
      { _id: "5", key: "a", version: "7" },
    ]);
    assert.deepEqual(rest, { items: [{ _id: "7", key: "b" }] });
  }),

  on("countOpenFailures counts the open failures at each import of the flow, up to the limit", async (storage) => {
    const { runLease } = await runningForTwo(storage);
    const ledger = ["1", "2", "3", "4"].map((_id) => failureOf(_id));
    const others = [
      failureOf("5", { _importId: "mailer" }),
      failureOf("6", { _importId: "removed" }),
      failureOf("7", { _flowId: "other" }),
    ];
    await storage.commitPage(runLease, pageOf(1, { failures: [...ledger, ...others] }));
    await storage.resolveFailures(["1"], at(4));

    assert.deepEqual(await storage.countOpenFailures("flow", 100), { ledger: 3, mailer: 1 });
    assert.deepEqual(await storage.countOpenFailures("flow", 2), { ledger: 2, mailer: 1 });
    assert.deepEqual(await storage.countOpenFailures("nobody", 100), {});
  }),

  on(
    "dueRetries returns where failures are due, but for disabled flows, paused imports and former exports",
    async (storage) => {
      const retryAt = iso(60);
      for (const _flowId of ["flow", "later", "off", "paused", "resolved", "former"]) {
        await addFlow(storage, _flowId);
        await queue(storage, `run of ${_flowId}`, _flowId);
        const { runLease } = await take(storage, _flowId);
        const due = { _flowId, retryAt: _flowId === "later" ? iso(61) : retryAt };
        const failures = ["1", "2"].map((_id) => failureOf(`${_flowId} ${_id}`, due));
        const places = _flowId === "paused" ? [{ _importIds: ["ledger"], pause: pauseOf(90) }] : [];
        await storage.commitPage(runLease, pageOf(1, { failures, places }));
        await storage.endRun(runLease, endingOf("completed", 4));
      }
      await storage.resolveFailures(["resolved 1", "resolved 2"], at(5));
      const change = { expected: iso(0), reschedule: false, at: at(5) };
      await storage.replaceFlow(flowOf("off", { disabled: true }), change);
      await storage.replaceFlow(flowOf("former", { _exportId: "parcels" }), change);

      assert.deepEqual(await storage.dueRetries(at(59), 10), []);
      assert.deepEqual(await storage.dueRetries(at(60), 10), [{ _flowId: "flow", _importId: "ledger" }]);
      assert.equal((await storage.dueRetries(at(61), 10)).length, 2);
      assert.equal((await storage.dueRetries(at(61), 1)).length, 1);
      await storage.endPauses("paused", ["ledger"]);
      assert.equal((await storage.dueRetries(at(60), 10)).length, 2);
    },
  ),

  on("nextRetryAt returns the first `retryAt` after the instant of all open failures", async (storage) => {
    const failures = [60, 50, 40].map((retryAt) => failureOf(String(retryAt), { retryAt: iso(retryAt) }));
    await keepFailures(storage, [...failures, failureOf("never")]);
    await storage.resolveFailures(["40"], at(5));

    assert.equal(await storage.nextRetryAt(0), at(50));
    assert.equal(await storage.nextRetryAt(at(50)), at(60));
    assert.equal(await storage.nextRetryAt(at(60)), undefined);
    assert.deepEqual(idsOf((await storage.listFailures({ retryUntil: at(50), limit: 10 })).items), ["50"]);
  }),

  on("a Buffer in a record reads back as a Buffer", async (storage) => {
    await keepFailures(storage, [failureOf("1", { record: { body: Buffer.from("Æ"), bytes: new Uint8Array([1]) } })]);

    const { record } = defined(await storage.findFailure("1"));

    assert.deepEqual(record, { body: Buffer.from("Æ"), bytes: new Uint8Array([1]) });
    assert.ok(Buffer.isBuffer((record as { readonly body: unknown }).body));
  }),
];
