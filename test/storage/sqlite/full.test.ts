import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FlowRegistry, Scheduler } from "../../../src/index.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type SqliteDatabase, SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { arrayExport, collectingImport } from "../../../src/testing/index.ts";
import { second } from "../../support/harness.ts";
import { faultyStorage } from "../../support/faulty-storage.ts";
import { ScriptedHost } from "../faults/scripted-host.ts";

const Database = createRequire(import.meta.url)("libsql") as new (
  file: string,
  options?: { readonly readonly: boolean },
) => SqliteDatabase;

/** What SQLite itself can be made to refuse, and its message then. */
interface Condition {
  readonly begins: (database: SqliteDatabase) => void;
  readonly ends: (database: SqliteDatabase) => void;
  readonly says: RegExp;
}

const conditions: Readonly<Record<string, Condition>> = {
  "the disk is full": {
    // As many pages as there are, and none of them free.
    begins: (database) => {
      while (valueOf(database, "freelist_count") > 0) database.exec("insert into filler values (zeroblob(4000))");
      database.exec("pragma max_page_count = 1");
    },
    ends: (database) => database.exec("pragma max_page_count = 1000000"),
    says: /database or disk is full/,
  },
  "the disk is read-only": {
    begins: (database) => database.exec("pragma query_only = on"),
    ends: (database) => database.exec("pragma query_only = off"),
    says: /attempt to write a readonly database/,
  },
};

function valueOf(database: SqliteDatabase, pragma: string): number {
  const [row] = database.prepare(`pragma ${pragma}`).all();
  return Number((row as Readonly<Record<string, unknown>>)[pragma]);
}

/** Longer than a lease, and than the host rests between two steps. */
const outageMs = 90 * second;
/** Characters of a record, so that none finds room without another page of the file. */
const bulk = 4_000;

async function openFile() {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-full-"));
  const file = join(folder, "flows.db");
  const database = new Database(file);
  database.exec("pragma journal_mode = wal");
  database.exec("pragma synchronous = normal");
  database.exec("pragma foreign_keys = on");
  database.exec("create table filler (content blob)");
  return { file, database, storage: new SqliteStorage(database), remove: () => rm(folder, { recursive: true }) };
}

/** The condition begins with the call number `at`, and is over with the first call after the outage. */
function during(
  storage: Storage,
  host: ScriptedHost,
  spell: { at: number; database: SqliteDatabase; condition: Condition },
) {
  const { at, database, condition } = spell;
  let count = 0;
  let endsAt = Infinity;
  return new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        if (++count === at) {
          condition.begins(database);
          endsAt = host.clock.now() + outageMs;
        } else if (host.clock.now() >= endsAt) {
          condition.ends(database);
          endsAt = Infinity;
        }
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
}

/** How many calls the script makes while nothing goes wrong. */
async function countCalls(): Promise<number> {
  const { database, storage, remove } = await openFile();
  const host = new ScriptedHost(bulk);
  const { storage: counted, calls } = faultyStorage(host.audit.watch(storage));
  await host.follow(counted);
  await host.end();
  await storage.close();
  database.close();
  await remove();
  return calls.length;
}

const calls = await countCalls();
const step = 10;
// After the last event nothing is written that needs room.
const moments = Array.from({ length: Math.floor((calls - 30) / step) }, (_, index) => 1 + index * step);

for (const [what, condition] of Object.entries(conditions))
  describe(`${what} for a while, from one of ${calls} calls of a script on (every ${step}th)`, () => {
    const felt = new Set<number>();

    test.each(moments)("from call %i on", async (at) => {
      const { file, database, storage, remove } = await openFile();
      const host = new ScriptedHost(bulk);

      await host.follow(during(host.audit.watch(storage), host, { at, database, condition }));
      await host.clock.advance(outageMs);
      await host.recover();

      expect(await host.check(), "without a restart").toBe("");
      for (const cause of host.causes) expect(cause).toMatch(condition.says);
      if (host.causes.size > 0) felt.add(at);
      await host.end();
      await storage.close();
      database.close();
      const reopened = await SqliteStorage.open(file);
      await host.begin(host.audit.watch(reopened));
      await host.recover();
      expect(await host.check()).toBe("");
      await host.end();
      expect(host.violations).toBe("");
      await reopened.close();
      await remove();
    });

    // A few moments find nothing to write before there is room again.
    test("is felt at nine moments of ten", () => {
      expect(felt.size).toBeGreaterThanOrEqual(0.9 * moments.length);
    });
  });

describe("a file that is opened read-only", () => {
  test("is refused as storage_failed by all that writes, and stays as it is", async () => {
    const { file, database, storage, remove } = await openFile();
    const before = new ScriptedHost();
    await before.begin(before.audit.watch(storage));
    await before.end();
    await storage.close();
    database.close();
    const bytes = await readFile(file);
    const readOnly = new Database(`file:${file}?mode=ro`);
    const exports = { orders: arrayExport([1]) };
    const imports = { ledger: collectingImport<number>(), mail: collectingImport<number>() };
    const registry = new FlowRegistry({ exports, imports, storage: new SqliteStorage(readOnly) });
    const scheduler = new Scheduler(registry);
    const cause: unknown = expect.objectContaining({ message: expect.stringMatching(/readonly/) as unknown });
    const refused = { code: "storage_failed", cause };

    await expect(scheduler.start()).rejects.toMatchObject(refused);
    await expect(scheduler.run("a-orders")).rejects.toMatchObject(refused);
    await expect(scheduler.setCheckpoint("a-orders", { read: 1 })).rejects.toMatchObject(refused);
    await expect(registry.patch("a-orders", { name: "another" })).rejects.toMatchObject(refused);
    await expect(registry.delete("a-orders")).rejects.toMatchObject(refused);
    await scheduler.stop();
    readOnly.close();

    expect((await readFile(file)).equals(bytes)).toBe(true);
    const reopened = await SqliteStorage.open(file);
    expect((await reopened.listFlows({ limit: 10 })).items.map(({ _id }) => _id)).toEqual([
      "a-orders",
      "b-stock",
      "c-events",
    ]);
    expect((await reopened.listRuns({ limit: 10 })).items).toEqual([]);
    await reopened.close();
    await remove();
  });
});
