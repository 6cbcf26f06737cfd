import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FlowRegistry, Scheduler } from "../../../src/index.ts";
import { openDatabase, openForReading } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { schemaVersion } from "../../../src/storage/sql/schema.ts";
import { arrayExport, collectingImport } from "../../../src/testing/index.ts";
import { driversHere } from "./sqlite-here.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-reading-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
// Characters that mean something in an address.
const newFile = () => join(folder, `flows ${++files}%41?#.db`);

/** A file with one flow, `orders`, and one run of it that waits. */
async function flowsFile(): Promise<string> {
  const file = newFile();
  const storage = await SqliteStorage.open(file);
  const registry = new FlowRegistry({
    exports: { orders: arrayExport([{ id: 1 }]) },
    imports: { ledger: collectingImport() },
    storage,
  });
  await registry.define("orders", { name: "Orders", _exportId: "orders", _importId: "ledger" });
  await new Scheduler(registry).run("orders");
  await storage.close();
  return file;
}

/** Changes the file as nobody should. */
function change(file: string, ...statements: readonly string[]): void {
  const database = openDatabase(file);
  for (const sql of statements) database.exec(sql);
  database.prepare("pragma wal_checkpoint(truncate)").all();
  database.close();
}

for (const { driver, reason } of driversHere)
  describe.skipIf(reason !== undefined)(
    `reading only, by ${driver}${reason === undefined ? "" : `: ${reason}`}`,
    () => {
      test("a storage shows what is there and refuses every change", async () => {
        const file = await flowsFile();
        const before = readFileSync(file);

        const storage = await SqliteStorage.open(file, { readOnly: true, driver });
        const registry = new FlowRegistry({ storage });
        const scheduler = new Scheduler(registry);

        expect((await registry.list()).items.map(({ _id }) => _id)).toEqual(["orders"]);
        expect((await scheduler.listRuns()).items).toHaveLength(1);
        await expect(scheduler.run("orders")).rejects.toMatchObject({
          code: "storage_failed",
          message: "Storage failed in queueRun: it is open for reading only",
        });
        await storage.close();
        expect(readFileSync(file).equals(before)).toBe(true);
      });

      test("another process goes on writing, and what it writes is seen", async () => {
        const file = await flowsFile();
        const host = await SqliteStorage.open(file);
        const reader = await SqliteStorage.open(file, { readOnly: true, driver });

        await new Scheduler(new FlowRegistry({ storage: host })).run("orders");

        const { items } = await new Scheduler(new FlowRegistry({ storage: reader })).listRuns();
        expect(items).toHaveLength(2);
        await reader.close();
        await host.close();
      });

      test("a change of another process is a gap for whoever watches, and without one there is none", async () => {
        const file = await flowsFile();
        const host = await SqliteStorage.open(file);
        const reader = await SqliteStorage.open(file, { readOnly: true, driver });
        const { changes } = reader;
        const place = await changes.followChanges({ _id: "reader", at: 0, until: 1_000 });
        await reader.listFlows({ limit: 10 });
        const before = await changes.changesSince(place, { limit: 10, at: 0 });

        await new Scheduler(new FlowRegistry({ storage: host })).run("orders");
        const after = await changes.changesSince(before.next, { limit: 10, at: 0 });
        const later = await changes.changesSince(after.next, { limit: 10, at: 0 });
        await changes.unfollowChanges("reader");
        await changes.forgetChanges(0);

        expect([before, after, later].map(({ gap }) => gap)).toEqual([false, true, false]);
        expect(after).toMatchObject({ changes: [], more: false });
        await reader.close();
        await host.close();
      });

      test("no file is made where there is none", async () => {
        const file = newFile();

        await expect(SqliteStorage.open(file, { readOnly: true, driver })).rejects.toMatchObject({
          code: "storage_failed",
          message: expect.stringContaining("there is no such file") as string,
        });
        expect(existsSync(file)).toBe(false);
      });
    },
  );

for (const { driver, reason } of driversHere)
  test.skipIf(reason !== undefined)(
    `the driver itself changes nothing: ${driver}${reason === undefined ? "" : `: ${reason}`}`,
    async () => {
      const file = await flowsFile();
      // It is what keeps a file unchanged where the storage is at fault.
      const inside = await SqliteStorage.open(file, { readOnly: true, driver });
      const database = openForReading(file, driver);

      expect(() => database.prepare("delete from poundlock_flows").run()).toThrow(/read.?only/);
      expect(() => openForReading(newFile(), driver).prepare("select 1").all()).toThrow();
      database.close();
      await inside.close();
    },
  );

describe("a schema that is only checked", () => {
  test.each([
    ["older", `delete from poundlock_schema where version = ${schemaVersion}`, "start the application with this"],
    ["newer", `insert into poundlock_schema values (${schemaVersion + 1})`, "use a newer poundlock"],
    ["missing", "drop table poundlock_schema", "it has no tables of poundlock"],
  ])("is left as it is if it is %s", async (_kind, sql, words) => {
    const file = await flowsFile();
    change(file, sql);
    const before = readFileSync(file);

    await expect(SqliteStorage.open(file, { migrate: "check" })).rejects.toThrow(words);

    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("may be written if it is the one of this code", async () => {
    const storage = await SqliteStorage.open(await flowsFile(), { migrate: "check" });

    const run = await new Scheduler(new FlowRegistry({ storage })).run("orders");

    expect(run.status).toBe("queued");
    await storage.close();
  });

  test("makes no file, and takes no folder and nothing in memory for one", async () => {
    const file = newFile();
    const directory = join(folder, "directory");
    mkdirSync(directory);

    await expect(SqliteStorage.open(file, { migrate: "check" })).rejects.toThrow("there is no such file");
    await expect(SqliteStorage.open(directory, { migrate: "check" })).rejects.toThrow("it is no file");
    await expect(SqliteStorage.open(":memory:", { migrate: "check" })).rejects.toThrow("the path of a file");
    expect(existsSync(file)).toBe(false);
  });
});

describe("an inspection", () => {
  test("finds nothing wrong with a file that is well, and leaves it as it is", async () => {
    const file = await flowsFile();
    const before = readFileSync(file);

    const found = await SqliteStorage.inspect(file);

    expect(found).toMatchObject({ schemaVersion, expectedVersion: schemaVersion, problems: [], bytes: before.length });
    const { oldestQueued, ...content } = found.content ?? {};
    expect(oldestQueued?._flowId).toBe("orders");
    expect(content).toEqual({ expiredLeases: [], orphanedRuns: [], pausedImports: [], inboxes: [] });
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("finds expired leases, runs without a flow, pauses and full inboxes", async () => {
    const file = await flowsFile();
    const paused = { since: "2026-01-01T00:00:00.000Z", until: "person", reason: { code: "a", message: "b" } };
    change(
      file,
      `insert into poundlock_runs (id, flow_id, export_id, cause, status, stage, lease_until, doc)
        values ('r1', 'gone', 'orders', 'manual', 'running', 1, 1000, '{}')`,
      `update poundlock_flows set inbox_pages = 3`,
      `update poundlock_places set pause = '${JSON.stringify(paused)}'`,
    );

    const { content } = await SqliteStorage.inspect(file);

    expect(content).toMatchObject({
      expiredLeases: [{ _runId: "r1", _flowId: "gone", until: "1970-01-01T00:00:01.000Z" }],
      orphanedRuns: [{ _runId: "r1", _flowId: "gone" }],
      pausedImports: [{ _flowId: "orders", _importId: "ledger", paused }],
      inboxes: [{ _flowId: "orders", pages: 3 }],
    });
  });

  test("of another schema's file says which one it is, and nothing of its content", async () => {
    const file = await flowsFile();
    change(file, `insert into poundlock_schema values (${schemaVersion + 1})`);

    const found = await SqliteStorage.inspect(file);

    expect(found.schemaVersion).toBe(schemaVersion + 1);
    expect(found).not.toHaveProperty("content");
  });

  test("of a damaged file says what SQLite says", async () => {
    const file = await flowsFile();
    const bytes = readFileSync(file);
    // What follows the first page: the header still says that this is a database.
    bytes.fill(0x5a, 3 * 4_096, bytes.length - 4_096);
    const damaged = newFile();
    writeFileSync(damaged, bytes);

    const found = await SqliteStorage.inspect(damaged).catch((error: unknown) => error as Error);

    if (found instanceof Error) expect(found).toMatchObject({ code: "storage_failed" });
    else expect(found.problems.length).toBeGreaterThan(0);
  });

  test("of what is no database, or no file, rejects", async () => {
    const file = newFile();
    writeFileSync(file, "not a database ".repeat(500));

    await expect(SqliteStorage.inspect(file)).rejects.toThrow("not a database");
    await expect(SqliteStorage.inspect(newFile())).rejects.toThrow("there is no such file");
    await expect(SqliteStorage.inspect("")).rejects.toMatchObject({ code: "invalid_option" });
  });

  test("says what it cannot read of a row that was changed by hand", async () => {
    const file = await flowsFile();
    const copy = newFile();
    cpSync(file, copy);
    change(copy, `update poundlock_places set pause = '{'`);

    const found = await SqliteStorage.inspect(copy);

    expect(found.problems).toHaveLength(1);
    expect(found).not.toHaveProperty("content");
  });
});
