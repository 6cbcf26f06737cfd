import { afterAll, describe, test } from "vitest";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { compareWithMemory, modelSeeds } from "./storage-model.ts";

describe("SqliteStorage returns what MemoryStorage does", () => {
  const opened: Storage[] = [];
  afterAll(() => Promise.all(opened.map((storage) => storage.close())));

  for (let seed = 0; seed < modelSeeds; seed++)
    test(`calls by chance, seed ${seed}`, async () => {
      const sqlite = await SqliteStorage.open(":memory:");
      opened.push(sqlite);
      await compareWithMemory(sqlite, seed);
    });
});
