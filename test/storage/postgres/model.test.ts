import pg from "pg";
import { afterAll, describe, inject, test } from "vitest";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { connectionTo } from "../../support/postgres-server.ts";
import { compareWithMemory, modelSeeds } from "../storage-model.ts";

describe("PostgresStorage returns what MemoryStorage does", () => {
  const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), max: 4 });
  afterAll(() => pool.end());

  // A quarter of what SQLite is tested with: each call takes several round trips.
  for (let seed = 0; seed < modelSeeds / 4; seed++)
    test(`calls by chance, seed ${seed}`, async () => {
      const storage = await PostgresStorage.open(pool, { schema: `model_${seed}` });
      await compareWithMemory(storage, seed);
      await storage.close();
    });
});
