import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { storageCases } from "../../../src/testing/index.ts";
import { openDatabase, sqliteDrivers } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-sqlite-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Why a driver cannot be tested here; undefined if it can. */
function missing(driver: (typeof sqliteDrivers)[number]): string | undefined {
  try {
    openDatabase(":memory:", driver).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

for (const driver of sqliteDrivers) {
  const reason = missing(driver);
  describe.skipIf(reason !== undefined)(`a file by ${driver}${reason === undefined ? "" : `: ${reason}`}`, () => {
    const open = (place: string) =>
      SqliteStorage.open(join(folder, `${driver.replace(":", "-")}-${place}.db`), { driver });
    for (const { title, run } of storageCases(open, { durable: true, shared: true, wakes: true, changes: true }))
      test(title, run);

    test("leaving the scope of an `await using` closes it", async () => {
      const storage = await open("disposed");

      await storage[Symbol.asyncDispose]();

      await expect(storage.findFlow("flow")).rejects.toMatchObject({ code: "storage_failed" });
    });
  });
}
