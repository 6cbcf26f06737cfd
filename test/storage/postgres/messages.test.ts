import pg from "pg";
import { afterAll, beforeEach, describe, expect, inject, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { PostgresClient, PostgresPool, PostgresQuery } from "../../../src/storage/postgres/pool.ts";
import { PostgresDatabase } from "../../../src/storage/postgres/postgres-database.ts";
import { type PostgresOptions, PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { type SqlValue, type Transaction, execute, rowOf } from "../../../src/storage/sql/database.ts";
import { lockFlow, lockFlowOfRun } from "../../../src/storage/sql/locks.ts";
import type { RunLease } from "../../../src/storage/storage.ts";
import { addFlow, bufferOne, flowOf, iso, pageOf, running, tickOf } from "../../../src/testing/storage/harness.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const connection = connectionTo(inject("postgresPort"));
const pool = new pg.Pool({ ...connection, max: 1 });
const pools = [pool];
afterAll(() => Promise.all(pools.map((one) => one.end())));
beforeEach(() =>
  pool.query(`drop schema if exists messages cascade; create schema messages;
    create table messages.flows (id text primary key, doc text, bytes bytea, number bigint);
    insert into messages.flows (id) select 'flow ' || n from generate_series(1, 9) n`),
);

interface Setting {
  readonly prepare?: boolean;
  /** What becomes of what the client is given, and of what it returns. */
  readonly given?: (query: PostgresQuery) => PostgresQuery | Promise<PostgresQuery>;
  readonly returned?: (result: unknown) => unknown;
}

/** A database on one connection of its own, whose messages are noted. */
function noting({ prepare = true, given = (query) => query, returned = (result) => result }: Setting = {}) {
  const own = new pg.Pool({ ...connection, max: 1 });
  pools.push(own);
  const sent: string[] = [];
  const queryOn = (on: Pick<pg.Pool, "query">) => async (query: PostgresQuery) => {
    sent.push(query.text);
    return returned(await on.query(await given(query))) as { rows: unknown[] };
  };
  let client: PostgresClient | undefined;
  const noted: PostgresPool = {
    query: queryOn(own),
    async connect() {
      const connected = await own.connect();
      const release = (error?: Error) => connected.release(error);
      return (client = Object.assign(client ?? {}, { query: queryOn(connected), release }));
    },
  };
  const database = new PostgresDatabase({ pool: noted, schema: "messages", prepare, clock: systemClock });
  return { database, sent };
}

/** A storage on one connection of its own, whose messages are noted. */
async function notingStorage(schema: string, options: PostgresOptions = {}) {
  const own = new pg.Pool({ ...connection, max: 1 });
  pools.push(own);
  const storage = await PostgresStorage.open(own, { schema, listen: false, ...options });
  const sent: string[] = [];
  const client = await own.connect();
  const query = client.query.bind(client) as (...call: readonly unknown[]) => unknown;
  // The pool itself gives a callback, too.
  const noted = (...call: readonly unknown[]) => {
    sent.push((call[0] as PostgresQuery).text);
    return query(...call);
  };
  Object.assign(client, { query: noted });
  client.release();
  return { storage, sent };
}

/** Looks at a flow and changes it. */
const changing = (id: string, ...[doc, bytes, number]: readonly [SqlValue, SqlValue, SqlValue]): Transaction<unknown> =>
  function* () {
    yield* lockFlow(id);
    const row = yield* rowOf<{ id: string }>(`select id from poundlock_flows where id = ?`, id);
    yield* execute(`update poundlock_flows set doc = ?, bytes = ? where id = ?`, doc, bytes, id);
    yield* execute(`update poundlock_flows set number = ? where id = ?`, number, id);
    return row?.id;
  };

const values: readonly (readonly [SqlValue, SqlValue, SqlValue])[] = [
  ["it's \"quoted\" \\ and $1 $$ $poundlock$ '", new Uint8Array([0, 255, 10]), 2 ** 53 - 1],
  [null, null, null],
  ["$poundlock", new Uint8Array(0), -1],
  ["ends with $", new Uint8Array([36]), 0],
];

async function allOf(database: PostgresDatabase, numbers: readonly number[]) {
  const some = numbers.map((number) =>
    changing(`flow ${number}`, ...(values[(number - 1) % values.length] ?? [null, null, null])),
  );
  return Promise.all(some.map((one) => database.runTransaction(one)));
}

async function stored(from: number, count: number) {
  const { rows } = await pool.query<{ doc: string; bytes: Buffer; number: string | null }>(
    `select doc, bytes, number from messages.flows order by id offset $1 limit $2`,
    [from, count],
  );
  return rows.map(({ doc, bytes, number }) => [doc, bytes, number === null ? null : Number(number)]);
}

const expected = values.map(([doc, bytes, number]) => [
  doc,
  bytes === null ? null : Buffer.from(bytes as Uint8Array),
  number,
]);

describe("transactions that are executed together", () => {
  test("need two messages once their statements are prepared: what they look at, and what they change", async () => {
    const { database, sent } = noting();
    await allOf(database, [5, 6]);
    sent.length = 0;

    const found = await allOf(database, [1, 2, 3, 4]);

    expect(found).toEqual(["flow 1", "flow 2", "flow 3", "flow 4"]);
    expect(await stored(0, 4)).toEqual(expected);
    expect(sent).toEqual([
      expect.stringMatching(/^begin .*; execute "poundlock_[^;]*; execute "poundlock_[^;]*$/s),
      expect.stringMatching(/^set local enable_nestloop = off; execute "poundlock_.*; execute "poundlock_.*; commit$/s),
    ]);
  });

  test("plan what each row is looked up for with nested loops again after a change", async () => {
    const { database, sent } = noting();
    const twice = (id: string) =>
      database.runTransaction(function* () {
        yield* lockFlow(id);
        yield* execute(`update poundlock_flows set doc = ? where id = ?`, "new", id);
        return yield* rowOf(`select doc from poundlock_flows where id = ?`, id);
      });
    await Promise.all(["flow 1", "flow 2"].map(twice));
    sent.length = 0;

    expect(await Promise.all(["flow 1", "flow 2"].map(twice))).toMatchObject([{ doc: "new" }, { doc: "new" }]);

    expect(sent).toEqual([
      expect.stringMatching(/enable_nestloop = off; execute [^;]*; set local enable_nestloop = on; execute [^;]*$/),
      "commit",
    ]);
  });

  test("one that is alone needs as few messages, and is rejected if its connection is gone with its commit", async () => {
    let cuts = false;
    const given = async (query: PostgresQuery) => {
      if (cuts && /commit$|^rollback$/.test(query.text)) throw new Error("the connection is gone");
      return query;
    };
    const { database, sent } = noting({ given });
    await allOf(database, [1]);
    sent.length = 0;

    await allOf(database, [2]);

    expect(sent).toHaveLength(2);
    sent.length = 0;
    cuts = true;
    await expect(allOf(database, [3])).rejects.toThrow("the connection is gone");
    expect(sent.filter((text) => text.startsWith("begin"))).toHaveLength(1);
  });

  const settings: readonly (readonly [string, Setting])[] = [
    ["statements are not kept prepared", { prepare: false }],
    [
      "the client returns one result of several",
      { returned: (all) => (Array.isArray(all) ? all.at(-1) : all) as unknown },
    ],
    ["a pooler prepares them under names of its own", { given: ({ name: _, ...query }) => query }],
  ];
  test.each(settings)("are sent statement by statement if %s", async (_, setting) => {
    const { database, sent } = noting(setting);
    await allOf(database, [5, 6]);
    expect(await allOf(database, [7, 8])).toEqual(["flow 7", "flow 8"]);
    sent.length = 0;

    const found = await allOf(database, [1, 2, 3, 4]);

    expect(found).toEqual(["flow 1", "flow 2", "flow 3", "flow 4"]);
    expect(await stored(0, 4)).toEqual(expected);
    expect(sent.map((text) => text.split(" ")[0])).toEqual(["begin", "select", "select", "update", "update", "commit"]);
  });

  test("are executed alone if a flow that was found for a run is removed before it is locked", async () => {
    await pool.query(`create table messages.runs (id text, seq bigint, flow_id text, stage smallint, orphaned smallint);
      insert into messages.runs select 'run ' || n, n, 'flow ' || n, 1, 0 from generate_series(1, 2) n`);
    const given = async (query: PostgresQuery) => {
      if (query.text.includes("id = any")) await pool.query("delete from messages.flows where id = 'flow 1'");
      return query;
    };
    const { database, sent } = noting({ prepare: false, given });
    const locking = (id: string) =>
      database.runTransaction(function* () {
        yield* lockFlowOfRun(id);
        return yield* rowOf(`select id from poundlock_runs where id = ?`, id);
      });

    const found = await Promise.all(["run 1", "run 2"].map(locking));

    expect(found).toEqual([{ id: "run 1" }, { id: "run 2" }]);
    expect(sent.filter((text) => text === "rollback")).toHaveLength(1);
    expect(sent.filter((text) => text.startsWith("select seq"))).toHaveLength(1);
  });

  test("send a string with a NUL, which no message can have within, by itself, so that the server refuses it alone", async () => {
    const { database } = noting();
    await allOf(database, [5, 6]);

    const settled = await Promise.allSettled([
      database.runTransaction(changing("flow 1", "a\0b", null, null)),
      database.runTransaction(changing("flow 2", "fine", null, null)),
    ]);

    expect(settled).toMatchObject([{ status: "rejected", reason: { code: "22021" } }, { status: "fulfilled" }]);
    expect(await stored(1, 1)).toEqual([["fine", null, null]]);
  });
});

test("queueDue of a hundred flows needs as many messages as one of two", async () => {
  const { sent, storage } = await notingStorage("messages_storage");
  const _ids = Array.from({ length: 104 }, (_, index) => `flow ${index}`);
  for (const _id of _ids) await storage.insertFlow(flowOf(_id, { nextRunAt: iso(10) }));
  const due = (some: readonly string[]) =>
    storage.queueDue(
      some.map((_id) => tickOf(_id, `run of ${_id}`, { dueAt: 10, nextDueAt: 70 })),
      bufferOne,
    );
  await due(_ids.slice(0, 2));
  sent.length = 0;
  await due(_ids.slice(2, 4));
  const ofTwo = sent.length;
  sent.length = 0;

  const outcomes = await due(_ids.slice(4));

  expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(["queued"]));
  expect(ofTwo).toBeGreaterThan(0);
  // The lock of a hundred is another statement than that of two, and is prepared once.
  expect(sent.length).toBeLessThanOrEqual(ofTwo + 2);
  await storage.close();
});

test("commitPage looks for the flow of its run only if the lease does not say it, or says another one, or it was deleted", async () => {
  const { sent, storage } = await notingStorage("messages_leases", { prepare: false });
  await addFlow(storage, "other");
  const { runLease } = await running(storage);
  const { _flowId: _, ...bare } = runLease;
  const looks = async (lease: RunLease, ordinal: number) => {
    sent.length = 0;
    expect(await storage.commitPage(lease, pageOf(ordinal))).toBeDefined();
    return sent.some((text) => text.includes("select r.flow_id from"));
  };

  expect(await looks(runLease, 1)).toBe(false);
  expect(await looks({ ...bare, _flowId: "other" }, 2)).toBe(true);
  expect(await looks(bare, 3)).toBe(true);
  await storage.deleteFlow("flow", { at: 9 });
  expect(await looks(runLease, 4)).toBe(true);
  await storage.close();
});
