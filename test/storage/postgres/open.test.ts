import pg from "pg";
import { afterAll, describe, expect, inject, test } from "vitest";
import { FlowRegistry, MemoryStorage } from "../../../src/index.ts";
import { DatabaseClock } from "../../../src/storage/postgres/database-clock.ts";
import { PostgresStorage, migratePostgres } from "../../../src/storage/postgres/postgres-storage.ts";
import { schemaVersion } from "../../../src/storage/sql/schema.ts";
import { ManualClock } from "../../../src/testing/index.ts";
import { flowOf } from "../../../src/testing/storage/harness.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const connection = connectionTo(inject("postgresPort"));
const pool = new pg.Pool({ ...connection, max: 4 });
afterAll(() => pool.end());

const tablesOf = async (schema: string) => {
  const { rows } = await pool.query<{ name: string }>(
    "select tablename as name from pg_tables where schemaname = $1 order by name",
    [schema],
  );
  return rows.map(({ name }) => name);
};

describe("open", () => {
  test("makes the schema `poundlock`, and keeps what is in it", async () => {
    const storage = await PostgresStorage.open(pool);
    await storage.insertFlow(flowOf("flow"));
    await storage.close();

    const again = await PostgresStorage.open(pool);

    expect(await again.findFlow("flow")).toEqual(flowOf("flow"));
    expect(await tablesOf("poundlock")).toContain("flows");
  });

  test("by eight at once makes it once", async () => {
    const pools = Array.from({ length: 8 }, () => new pg.Pool({ ...connection, max: 1 }));

    const storages = await Promise.all(pools.map((one) => PostgresStorage.open(one, { schema: "eight" })));

    const { rows } = await pool.query("select version from eight.schema order by version");
    expect(rows).toEqual(Array.from({ length: schemaVersion }, (_, index) => ({ version: index + 1 })));
    for (const [index, storage] of storages.entries()) await storage.insertFlow(flowOf(`flow ${index}`));
    expect((await storages[0]?.listFlows({ limit: 10 }))?.items).toHaveLength(8);
    await Promise.all(pools.map((one) => one.end()));
  });

  test("leaves data of a newer version as it is", async () => {
    await migratePostgres(pool, { schema: "newer" });
    await pool.query("insert into newer.schema values ($1)", [schemaVersion + 1]);

    const opening = PostgresStorage.open(pool, { schema: "newer" });

    await expect(opening).rejects.toMatchObject({ code: "storage_failed" });
    await expect(opening).rejects.toThrow(`schema version ${schemaVersion + 1}`);
    await expect(migratePostgres(pool, { schema: "newer" })).rejects.toThrow("use a newer poundlock");
  });

  test("with `check` changes nothing, and rejects until the schema was made", async () => {
    const open = () => PostgresStorage.open(pool, { schema: "checked", migrate: "check" });

    await expect(open()).rejects.toThrow(/version 0, .* call migratePostgres first/);
    expect(await tablesOf("checked")).toEqual([]);

    await migratePostgres(pool, { schema: "checked" });

    await expect(open()).resolves.toBeInstanceOf(PostgresStorage);
  });

  test("by a user that may make no schema uses one that is there", async () => {
    await migratePostgres(pool, { schema: "lent" });
    await pool.query(`create role guest login password 'guest'; grant usage on schema lent to guest;
      grant select, insert, update, delete on all tables in schema lent to guest;
      grant usage on all sequences in schema lent to guest`);
    const guests = new pg.Pool({ ...connection, user: "guest", password: "guest", max: 1 });

    const storage = await PostgresStorage.open(guests, { schema: "lent" });

    expect(await storage.insertFlow(flowOf("flow"))).toBe(true);
    await guests.end();
  });

  test("tells schemas of one database apart", async () => {
    const one = await PostgresStorage.open(pool, { schema: "first_tenant" });
    const other = await PostgresStorage.open(pool, { schema: "Second_tenant" });
    await one.insertFlow(flowOf("flow"));

    expect(await other.findFlow("flow")).toBeUndefined();
  });

  test("rejects if the database cannot be reached", async () => {
    const nowhere = new pg.Pool({ ...connection, port: 1 });

    await expect(PostgresStorage.open(nowhere)).rejects.toMatchObject({ code: "storage_failed" });
  });

  test.each<[option: string, options: object]>([
    ["schema", { schema: 'a"b' }],
    ["schema", { schema: "" }],
    ["schema", { schema: "a".repeat(64) }],
    ["schema", { schema: "1st" }],
    ["migrate", { migrate: "never" }],
    ["prepare", { prepare: "no" }],
    ["shcema", { shcema: "flows" }],
  ])("refuses an invalid option: %s", async (option, options) => {
    const opening = PostgresStorage.open(pool, options);

    await expect(opening).rejects.toMatchObject({ code: "invalid_option" });
    await expect(opening).rejects.toThrow(option);
  });

  test.each([null, "poundlock"])("refuses options that are no object: %j", async (options) => {
    const refused = { code: "invalid_option", message: expect.stringContaining("options") as string };
    await expect(PostgresStorage.open(pool, options as never)).rejects.toMatchObject(refused);
    await expect(migratePostgres(pool, options as never)).rejects.toMatchObject(refused);
  });

  test("refuses what is no pool", async () => {
    await expect(PostgresStorage.open("postgres://localhost" as never)).rejects.toThrow(/pool: .*such as a pg.Pool/);
    await expect(migratePostgres({} as never)).rejects.toMatchObject({ code: "invalid_option" });
  });
});

describe("the clock", () => {
  /** A database whose time is `now`; each round trip takes no time. */
  const databaseAt = (times: (number | Error)[]) => ({
    asked: 0,
    async query() {
      const now = times[Math.min(this.asked++, times.length - 1)];
      if (now instanceof Error) throw now;
      return { rows: [{ now }] };
    },
  });

  test("is the database's, and goes on from there", async () => {
    const clock = new DatabaseClock(databaseAt([1_000_000]));
    await clock.measure();

    const first = clock.now();
    await new Promise((resolve) => clock.setTimer(() => resolve(undefined), 20));

    expect(first).toBeGreaterThanOrEqual(999_999);
    expect(first).toBeLessThan(1_010_000);
    expect(clock.now() - first).toBeGreaterThanOrEqual(19);
    expect(Number.isInteger(first)).toBe(true);
  });

  test("is asked for again once the measurement is old, and no more when it is closed", async () => {
    const database = databaseAt([1_000_000]);
    const clock = new DatabaseClock(database, 0);

    clock.now();
    await clock.close();
    const asked = database.asked;
    clock.now();
    await clock.close();

    expect([asked, database.asked]).toEqual([5, 5]);
  });

  test("that cannot be measured again goes on, and rejects nothing that is not waited for", async () => {
    const database = databaseAt([1_000_000]);
    const clock = new DatabaseClock(database, 0);
    await clock.measure();
    database.query = () => Promise.reject(new Error("away"));

    expect(clock.now()).toBeLessThan(1_010_000);
    await clock.close();
  });

  test("goes on as it was when the database is away", async () => {
    const database = databaseAt([1_000_000]);
    const clock = new DatabaseClock(database);
    await clock.measure();
    database.query = () => Promise.reject(new Error("away"));

    await expect(clock.measure()).rejects.toThrow("away");

    expect(clock.now()).toBeLessThan(1_010_000);
    expect(clock.now()).toBeGreaterThanOrEqual(999_999);
  });

  test("of a storage is the time of the server", async () => {
    const storage = await PostgresStorage.open(pool, { schema: "clocked" });
    const { rows } = await pool.query<{ at: Date }>("select clock_timestamp() as at");

    expect(Math.abs(storage.clock.now() - Number(rows[0]?.at))).toBeLessThan(500);
  });

  test("of a storage is the registry's, unless it is given one", async () => {
    const storage = await PostgresStorage.open(pool, { schema: "clocked" });
    const own = new ManualClock();

    expect(new FlowRegistry({ storage }).clock).toBe(storage.clock);
    expect(new FlowRegistry({ storage, clock: own }).clock).toBe(own);
    expect(new FlowRegistry({ storage: new MemoryStorage() }).clock).not.toBe(storage.clock);
  });
});
