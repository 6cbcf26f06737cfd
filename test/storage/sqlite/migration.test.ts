import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { causeOf } from "../../../src/model/cause.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { schemaVersion } from "../../../src/storage/sql/schema.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { claimedRunId, defined, failureOf, moving, pageOf } from "../../../src/testing/storage/harness.ts";
import { driversHere } from "./sqlite-here.ts";

/**
 * A file that the first version of the schema wrote (commit 40bbcb2), in one piece and with pages of 1 KB. Its flows:
 * `orders`, unordered, to two imports, with runs in every state and one that began and waits; `parcels`, ordered, whose
 * run is active; `returns`, with failures and a retry run between its pages; `events`, with an inbox; `samples`, with a
 * sample run that began; `reborn`, deleted while a run was active, and defined again; `moved`, given another export
 * while a begun run waited; `closed`, disabled.
 */
const original = fileURLToPath(new URL("files/first-version.db", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "poundlock-migration-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function newCopy(): string {
  const file = join(folder, `${++files}.db`);
  copyFileSync(original, file);
  return file;
}

const at = (seconds: number) => Date.UTC(2026, 0, 1) + seconds * 1_000;
const iso = (seconds: number) => new Date(at(seconds)).toISOString();
const checkpoint = (value: unknown) => ({ value, version: 1 });
const counts = (numSuccess: number, numError = 0) => ({ numSuccess, numError, numIgnore: 0 });

async function claim(storage: Storage, _flowId: string) {
  const claimed = await storage.claimRun(_flowId, { token: "new", at: at(100), until: at(130) });
  if (claimed === undefined || !("run" in claimed)) throw new Error(`no run of ${_flowId} could be claimed`);
  return { ...claimed, lease: { _runId: claimed.run._id, token: "new" } };
}

for (const { driver, reason } of driversHere)
  describe.skipIf(reason !== undefined)(`${driver}${reason === undefined ? "" : `: ${reason}`}`, () => {
    const on = (title: string, run: (storage: Storage) => Promise<void>) =>
      test(title, async () => {
        await using storage = await SqliteStorage.open(newCopy(), { driver });
        await run(storage);
      });

    test("a file of the first version has the newest one once it was opened, and is opened again as it is", async () => {
      const file = newCopy();
      for (let opened = 0; opened < 2; opened++) await (await SqliteStorage.open(file, { driver })).close();

      const database = openDatabase(file, driver);
      const versions = database.prepare("select version from poundlock_schema order by version").all();
      const problems = [
        ...database.prepare("pragma integrity_check").all(),
        ...database.prepare("pragma foreign_key_check").all(),
      ];
      database.close();

      expect(versions).toEqual(Array.from({ length: schemaVersion }, (_, index) => ({ version: index + 1 })));
      expect(problems).toEqual([{ integrity_check: "ok" }]);
    });

    on("failures have a cause once they were counted, portion by portion, and only then all are", async (storage) => {
      const failures = (await storage.listFailures({ limit: 1_000 })).items;
      const open = failures.filter(({ status }) => status === "open");
      const counted = async () =>
        (await storage.listCauses({ limit: 100 })).items.reduce((sum, one) => sum + one.open, 0);
      expect([await counted(), (await storage.listCauses({ limit: 1 })).complete]).toEqual([0, false]);

      const portions: number[] = [];
      do portions.push(await storage.completeCauses(2));
      while (portions.at(-1) !== 0);

      expect(portions.reduce((sum, size) => sum + size, 0)).toBe(failures.length);
      expect([await counted(), (await storage.listCauses({ limit: 1 })).complete]).toEqual([open.length, true]);
      const { cause } = causeOf(open[0] ?? failureOf("1"));
      expect((await storage.listFailures({ cause, status: "open", limit: 100 })).items).toContainEqual(open[0]);
    });

    on("flows are what they were, with their due times", async (storage) => {
      const { items } = await storage.listFlows({ limit: 100 });

      expect(items.map(({ _id }) => _id)).toEqual([
        ...["closed", "events", "moved", "orders", "parcels", "reborn", "returns", "samples"],
      ]);
      expect(await storage.findFlow("orders")).toEqual({
        ...{ _id: "orders", name: "Flow orders", _exportId: "orders", _integrationId: "acme", disabled: false },
        ...{ _importId: "ledger", _importIds: ["ledger", "mailer"], schedule: "0 2 * * *" },
        ...{ createdAt: iso(0), lastModified: iso(0), lastExecutedAt: iso(20), nextRunAt: iso(93_600) },
      });
      expect(await storage.nextDueAt()).toBe(at(93_600));
    });

    on("a flow with a schedule is found to compute its due time anew, unless it is disabled", async (storage) => {
      expect((await storage.scheduledFlows(10)).map(({ flow, basis }) => [flow._id, basis])).toEqual([
        ["orders", undefined],
      ]);
    });

    on("runs are what they were, in their order", async (storage) => {
      const { items } = await storage.listRuns({ _flowId: "orders", limit: 10 });

      expect(items.map(({ _id, status, imports }) => [_id, status, imports.mailer?.numSuccess])).toEqual([
        ["orders scheduled", "queued", 0],
        ["orders begun", "queued", 6],
        ["orders canceled", "canceled", 0],
        ["orders failed", "failed", 3],
        ["orders completed", "completed", 3],
      ]);
      expect(items[3]?.error).toEqual({ code: "export_failed", message: "the shop was closed" });
      expect((await storage.listRuns({ _importId: "search", limit: 10 })).items).toHaveLength(2);
    });

    on(
      "each import of an unordered export stands at the flow's checkpoint, and where its begun run is",
      async (storage) => {
        const place = {
          checkpoint: checkpoint({ after: 100 }),
          position: { _runId: "orders begun", pages: 2, checkpoint: checkpoint({ after: 140 }), at: at(20) },
          movedAt: at(20),
        };

        expect(await storage.findPlaces("orders")).toEqual({ ledger: place, mailer: place });
      },
    );

    on("a begun run goes on with the commit after its last one, for each import", async (storage) => {
      const { run, commits, position, places, lease } = await claim(storage, "orders");

      expect([run._id, commits, position]).toEqual(["orders begun", 2, undefined]);
      expect(places).toEqual(await storage.findPlaces("orders"));
      expect(await storage.commitPage(lease, pageOf(2, { at: at(101) }))).toEqual({ run, failures: [] });
      const next = await storage.commitPage(lease, pageOf(3, { generated: 4, counts: { mailer: counts(5) } }));
      expect(next?.run).toMatchObject({ numPagesProcessed: 3, numSuccess: 17, imports: { mailer: counts(11) } });
    });

    on("a scheduled run that waits behind it still takes due times in", async (storage) => {
      const start = { _id: "new", _flowId: "orders", trigger: "schedule", queuedAt: iso(93_600) } as const;
      const tick = { _flowId: "orders", dueAt: at(93_600), nextDueAt: at(180_000), start };

      const [result] = await storage.queueDue([tick], { overlap: "bufferOne", maxQueued: 10 });

      expect(result).toMatchObject({ outcome: "coalesced", run: { _id: "orders scheduled", coalesced: 1 } });
    });

    on("an active run of an ordered export is reclaimed, and goes on at its flow's checkpoint", async (storage) => {
      const error = { code: "lease_lost", message: "" };
      const reclaimed = await storage.reclaimExpiredRuns({ now: at(50), maxCrashes: 3, error, limit: 10 });
      const { run, commits, places } = await claim(storage, "parcels");

      expect(reclaimed.map(({ _id }) => _id)).toEqual(["parcels running"]);
      expect([run._id, run.crashes, commits]).toEqual(["parcels running", 1, 3]);
      expect(places.ledger).toMatchObject({
        checkpoint: checkpoint({ page: 3 }),
        position: { _runId: "parcels running", pages: 3, at: at(50) },
      });
    });

    on("the lease of an active run is still the one that its process has", async (storage) => {
      const lease = { _runId: "parcels running", token: "token of parcels" };

      expect(await storage.renewLeases([lease], at(90))).toEqual(["held"]);
      expect((await storage.commitPage(lease, pageOf(4)))?.run.numPagesProcessed).toBe(4);
    });

    on("failures under one key are one, with the newest record, and how often it failed", async (storage) => {
      const { items } = await storage.listFailures({ _flowId: "returns", status: "open", limit: 10 });

      expect(items.map(({ _id, _importId, key, occurrences }) => [_id, _importId, key, occurrences])).toEqual([
        ["f3", "mailer", "twice", 1],
        ["f4", "ledger", "once", 1],
        ["f5", "ledger", "twice", 2],
        ["f6", "ledger", "resolved", 1],
        ["f8", "ledger", "half \uD83E", 2],
      ]);
      expect(items[2]).toEqual({
        ...{ _id: "f5", _flowId: "returns", _exportId: "returns", _importId: "ledger", _runId: "returns completed" },
        ...{ key: "twice", record: { failed: "again" }, fault: "reject", message: "the newest", attempts: 5 },
        ...{ status: "open", occurrences: 2, createdAt: iso(12), lastFailedAt: iso(41) },
      });
      expect(items[1]?.record).toEqual({ when: new Date(at(0)), amount: 10n, lines: new Map([["a", 1]]) });
    });

    on("what was resolved is resolved by a person, beside an open one of its key", async (storage) => {
      expect(await storage.findFailure("f1")).toMatchObject({
        ...{ status: "resolved", key: "resolved", resolvedAt: iso(30), resolvedBy: "person", occurrences: 1 },
      });
      const { items } = await storage.listFailures({ key: "resolved", limit: 10 });
      expect(items.map(({ _id, status }) => [_id, status])).toEqual([
        ["f1", "resolved"],
        ["f6", "open"],
      ]);
    });

    on("failures are found by what only the second version asks for", async (storage) => {
      const asked = { _flowId: "returns", _exportId: "returns", _importId: "mailer", limit: 10 };

      expect((await storage.openKeys(asked)).items).toEqual([{ _id: "f3", key: "twice" }]);
      expect(await storage.countOpenFailures("returns", 100)).toEqual({ ledger: 4, mailer: 1 });
      expect((await storage.listFailures({ fault: "reject", limit: 10 })).items.map(({ _id }) => _id)).toEqual([
        ...["f4", "f5"],
      ]);
    });

    on("a begun retry run has its own position, and goes on with the newest failure of each key", async (storage) => {
      const { run, commits, position, places, lease } = await claim(storage, "returns");

      expect([run._id, commits]).toEqual(["returns retry", 1]);
      expect(position).toEqual({ pages: 1, checkpoint: checkpoint({ _importId: "ledger", after: "2" }) });
      expect(places.ledger).toEqual({ checkpoint: checkpoint("second") });
      const left = await storage.listFailures({ _importId: "ledger", status: "open", after: "2", limit: 10 });
      expect(left.items.map(({ _id }) => _id)).toEqual(["f4", "f5", "f6", "f8"]);
      await storage.commitPage(lease, pageOf(2, { delivered: ["f5"] }));
      expect(await storage.findFailure("f5")).toBeUndefined();
    });

    on("a failure under the key of an open one is folded into it", async (storage) => {
      const { lease } = await claim(storage, "returns");
      const before = defined(await storage.findFailure("f5"));
      const failure = { ...before, _id: "f9", record: "newer", occurrences: 1 };

      const committed = await storage.commitPage(lease, pageOf(2, { failures: [failure] }));

      expect(committed?.failures).toEqual([{ ...before, record: "newer", occurrences: 3 }]);
    });

    on("a begun sample run has its own position, and leaves its flow's checkpoint alone", async (storage) => {
      const { commits, position, places } = await claim(storage, "samples");

      expect([commits, position]).toEqual([1, { pages: 1, checkpoint: checkpoint(8) }]);
      expect(places).toEqual({ ledger: { checkpoint: checkpoint(7) } });
    });

    on("what waits in an inbox is read by each import, and goes when both have settled it", async (storage) => {
      const pages = await storage.readInbox("events", { maxRecords: 10 });

      expect(pages.map(({ _id, at: arrivedAt, keys }) => [_id, arrivedAt, keys])).toEqual([
        ["019b76db-7708-7000-8000-000000000002", at(53), ["2/1", "2/2"]],
        ["an id of the host's", at(0), ["an id of the host's/0", "an id of the host's/1"]],
      ]);
      expect(pages[0]?.records).toEqual([
        { n: 2, when: new Date(at(53)) },
        { n: 2, part: 2 },
      ]);
      for (const _importId of ["archive", "search"])
        expect(await storage.readInbox("events", { maxRecords: 10, _importId })).toEqual(pages);
      const { run, commits, lease } = await claim(storage, "events");
      expect([run._id, commits]).toEqual(["events run 2", 0]);
      const inbox = pages[0]?.cursor ?? "";
      await storage.commitPage(lease, pageOf(1, { places: [{ _importIds: ["archive"], inbox }] }));
      expect(await storage.readInbox("events", { maxRecords: 10 })).toEqual(pages);
      await storage.commitPage(lease, pageOf(2, { places: [{ _importIds: ["search"], inbox }] }));
      expect(await storage.readInbox("events", { maxRecords: 10 })).toEqual(pages.slice(1));
    });

    on("event ids are known, those of pages that were settled, too", async (storage) => {
      const start = { _id: "new", _flowId: "events", trigger: "realtime", queuedAt: iso(60) } as const;
      const arrival = { _id: "new", _exportId: "events", records: [1, 2, 3], ids: ["1/2", "2/1", "3/1"] };

      const appended = await storage.appendInbox(
        { ...arrival, at: at(60), starts: [start] },
        { maxInboxPages: 10, dedupeAfter: 0 },
      );

      expect(appended).toEqual({ outcome: "appended", flows: [{ _flowId: "events", duplicates: 2, pages: 3 }] });
    });

    on(
      "a flow with the id of one that was deleted begins, whatever the run of that one still does",
      async (storage) => {
        const lease = { _runId: "reborn canceling", token: "token of reborn" };
        const committed = await storage.commitPage(
          lease,
          pageOf(2, moving({ checkpoint: { value: "old", version: 1 } })),
        );

        expect(committed?.run).toMatchObject({ status: "canceling", numPagesProcessed: 2 });
        expect(await storage.findPlaces("reborn")).toEqual({});
      },
    );

    on("a flow that was given another export begins, although a run of the former one had begun", async (storage) => {
      expect(await storage.findPlaces("moved")).toEqual({});
      expect(claimedRunId(await claim(storage, "moved"))).toBe("moved begun");
    });
  });
