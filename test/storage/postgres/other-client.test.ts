import postgres from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import type { PostgresPool, PostgresQuery } from "../../../src/storage/postgres/pool.ts";
import { connectionTo } from "../../support/postgres-server.ts";
import { compareWithMemory } from "../storage-model.ts";

// As docs/guides/storage-adapters.md has it.
const bigint = { to: 20, from: [20], parse: Number, serialize: String };
const sql = postgres({ ...connectionTo(inject("postgresPort")), max: 4, types: { bigint }, onnotice: () => undefined });
afterAll(() => sql.end());

const queryOn = (client: Pick<postgres.Sql, "unsafe">) => async (query: PostgresQuery) => {
  const { text, values, name } = query;
  const pending = values
    ? client.unsafe(text, values as never[], { prepare: name !== undefined })
    : client.unsafe(text);
  return { rows: await pending };
};
const pool: PostgresPool = {
  query: queryOn(sql),
  async connect() {
    const client = await sql.reserve();
    return { query: queryOn(client), release: () => client.release() };
  },
};

test.each([true, false])("another client returns what MemoryStorage does, with prepare: %s", async (prepare) => {
  const storage = await PostgresStorage.open(pool, { schema: `other_client_${prepare}`, prepare });

  await compareWithMemory(storage, 1);
  await storage.close();
});

test("another client makes one schema for many that open it at once", async () => {
  const all = Array.from({ length: 8 }, (_, index) =>
    PostgresStorage.open(pool, { schema: "other_client", prepare: index > 3 }),
  );

  await expect(Promise.all(all)).resolves.toHaveLength(8);
});
