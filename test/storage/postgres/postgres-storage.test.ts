import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { storageCases } from "../../../src/testing/index.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const port = inject("postgresPort");

describe.each([
  ["a database that sorts by code point", "postgres", "locale_provider libc locale 'C'"],
  // In which "B" comes after "a", and "ß" after "s".
  ["a database that sorts as people do", "icu", "locale_provider icu icu_locale 'en-US' locale 'C'"],
])("a schema of %s", (_, database, locale) => {
  const pool = new pg.Pool({ ...connectionTo(port, database), max: 8 });
  beforeAll(async () => {
    if (database === "postgres") return;
    const admin = new pg.Client(connectionTo(port));
    await admin.connect();
    await admin.query(`create database ${database} template template0 encoding 'UTF8' ${locale}`);
    await admin.end();
  });
  afterAll(() => pool.end());

  const open = (schema: string) => PostgresStorage.open(pool, { schema });
  for (const { title, run } of storageCases(open, { durable: true, shared: true, wakes: true, changes: true }))
    test(title, run);

  test("leaving the scope of an `await using` closes it", async () => {
    const storage = await open("disposed");

    await storage[Symbol.asyncDispose]();

    await expect(storage.findFlow("flow")).rejects.toMatchObject({ code: "storage_failed" });
  });
});
