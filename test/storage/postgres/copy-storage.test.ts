import pg from "pg";
import { afterAll, expect, inject, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import { PostgresStorage, copyStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import {
  addFlow,
  at,
  flowOf,
  moving,
  pageOf,
  roomy,
  runThrough,
  startOf,
} from "../../../src/testing/storage/harness.ts";
import { connectionTo } from "../../support/postgres-server.ts";
import { compareWithMemory, goOnAlike } from "../storage-model.ts";

const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), max: 4 });
afterAll(() => pool.end());

test.each([3, 5])(
  "what was copied to PostgreSQL and back is the same, and goes on in the same way: seed %i",
  async (seed) => {
    const first = await SqliteStorage.open(":memory:");
    const second = await PostgresStorage.open(pool, { schema: `copy_${seed}` });
    const third = await SqliteStorage.open(":memory:");
    // Filled with all there is, by chance.
    await compareWithMemory(first, seed);

    await copyStorage(first, second);
    await copyStorage(second, third);

    await goOnAlike(first, second, { seed, steps: 0 });
    await goOnAlike(second, third, { seed: seed + 1, steps: 60 });
  },
);

/** An inbox whose pages have all been settled, and removed. */
async function settleInbox(storage: Storage): Promise<void> {
  await storage.insertFlow(flowOf("flow"));
  await arrive(storage, "before");
  const claimed = await storage.claimRun("flow", { token: "t", at: 1, until: 2 });
  const [page] = await storage.readInbox("flow", { maxRecords: 10 });
  if (claimed === undefined || !("run" in claimed) || page === undefined) throw new Error("nothing arrived");
  await storage.commitPage({ _runId: claimed.run._id, token: "t" }, pageOf(1, moving({ inbox: page.cursor })));
}

function arrive(storage: Storage, _id: string) {
  const starts = [startOf(`run ${_id}`, "flow", { trigger: "realtime" })];
  return storage.appendInbox(
    { _id, _exportId: "orders", records: [_id], at: 1, starts },
    { maxInboxPages: 10, dedupeAfter: 0 },
  );
}

test.each(["to PostgreSQL", "to SQLite"])(
  "a page that arrives in a copy is read there, also if the inbox was empty: %s",
  async (direction) => {
    const sqlite = await SqliteStorage.open(":memory:");
    const postgres = await PostgresStorage.open(pool, {
      schema: direction === "to SQLite" ? "settled_here" : "settled_there",
    });
    const [from, to] = direction === "to SQLite" ? [postgres, sqlite] : [sqlite, postgres];
    await settleInbox(from);

    await copyStorage(from, to);
    await arrive(to, "after");

    const inbox = (await to.findPlaces("flow")).ledger?.inbox;
    const pages = await to.readInbox("flow", { maxRecords: 10, ...(inbox === undefined ? {} : { after: inbox }) });
    expect(pages.map(({ records }) => records)).toEqual([["after"]]);
  },
);

test("a storage that is not empty is refused, and stays as it is", async () => {
  const from = await SqliteStorage.open(":memory:");
  const to = await PostgresStorage.open(pool, { schema: "copy_full" });
  await from.insertFlow(flowOf("new"));
  await to.insertFlow(flowOf("old"));
  await to.queueRun(startOf("run", "old"), roomy);

  await expect(copyStorage(from, to)).rejects.toMatchObject({ code: "conflict" });

  expect(await to.findFlow("new")).toBeUndefined();
});

test("a storage that is in no SQL database is refused", async () => {
  const sqlite = await SqliteStorage.open(":memory:");

  await expect(copyStorage(new MemoryStorage(), sqlite)).rejects.toThrow(
    /from: .*a SqliteStorage or a PostgresStorage/,
  );
  await expect(copyStorage(sqlite, new MemoryStorage())).rejects.toMatchObject({ code: "invalid_option" });
});

test("what an interrupted removal of a partition has left behind is not copied", async () => {
  const from = await PostgresStorage.open(pool, { schema: "half_removed", partition: "day" });
  await addFlow(from);
  await from.prune({ endedBefore: at(0), runsPerFlow: 1_000, limit: 100, now: at(0) });
  await runThrough(from, "old", "flow", 10);
  await runThrough(from, "kept", "flow", 86_400);
  await pool.query(`alter table half_removed.runs_ended detach partition half_removed.runs_ended_20300101_20300102;
    insert into half_removed.removals (name) values ('runs_ended_20300101_20300102')`);
  const to = await PostgresStorage.open(pool, { schema: "copy_of_half_removed" });

  await copyStorage(from, to);

  const counted =
    await pool.query(`select h.runs, (select count(*)::int from copy_of_half_removed.run_imports) as entries
    from copy_of_half_removed.histories h`);
  expect(counted.rows).toEqual([{ runs: 1, entries: 1 }]);
});
