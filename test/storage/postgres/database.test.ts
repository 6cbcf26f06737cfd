import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { PostgresPool, PostgresQuery } from "../../../src/storage/postgres/pool.ts";
import { PostgresDatabase } from "../../../src/storage/postgres/postgres-database.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { type TransactionBody, rowOf, statement } from "../../../src/storage/sql/database.ts";
import { failureOf, flowOf, pageOf, roomy, startOf } from "../../../src/testing/storage/harness.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const connection = connectionTo(inject("postgresPort"));
const pool = new pg.Pool({ ...connection, max: 8 });
/** Rests take no time. */
const clock = {
  ...systemClock,
  setTimer(callback: () => void) {
    setImmediate(callback);
    return () => undefined;
  },
};
const database = new PostgresDatabase({ pool, schema: "port", prepare: true, clock });
beforeAll(() =>
  pool.query("create schema port; create table port.notes (id bigint primary key, note text, bytes bytea)"),
);
afterAll(() => pool.end());

/** A pool that notes what it is asked, and refuses what `refuse` returns an error for. */
function fakePool(refuse: (text: string) => Error | undefined = () => undefined) {
  const asked: PostgresQuery[] = [];
  const released: unknown[] = [];
  const query = async (given: PostgresQuery) => {
    asked.push(given);
    const error = refuse(given.text);
    if (error !== undefined) throw error;
    return { rows: [] };
  };
  const fake: PostgresPool = {
    query,
    connect: async () => ({ query, release: (error) => void released.push(error) }),
  };
  return { pool: fake, asked, released, begun: () => asked.map(({ text }) => text.split(";")[0]) };
}

const withCode = (code: string) => Object.assign(new Error(`code ${code}`), { code });
const select = function* (): TransactionBody<void> {
  yield statement("select 1");
};

describe("a transaction", () => {
  test.each(["40001", "40P01", "23505"])("is executed again when it conflicts with another one: %s", async (code) => {
    let conflicts = 3;
    const fake = fakePool((text) => (text === "commit" && conflicts-- > 0 ? withCode(code) : undefined));

    await new PostgresDatabase({ ...{ pool: fake.pool, schema: "s", prepare: true }, clock }).runTransaction(select);

    expect(fake.asked.filter(({ text }) => text === "select 1")).toHaveLength(4);
    expect(fake.released).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("is executed again 20 times at most", async () => {
    const fake = fakePool((text) => (text === "commit" ? withCode("40P01") : undefined));
    const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare: true, clock });

    await expect(one.runTransaction(select)).rejects.toMatchObject({ code: "40P01" });

    expect(fake.released).toHaveLength(21);
  });

  test("that fails in another way is rolled back, once", async () => {
    const fake = fakePool((text) => (text === "select 1" ? withCode("53100") : undefined));
    const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare: true, clock });

    await expect(one.runTransaction(select)).rejects.toMatchObject({ code: "53100" });

    expect(fake.begun()).toEqual(["begin isolation level read committed read write", "select 1", "rollback"]);
    expect(fake.released).toEqual([undefined]);
  });

  test("whose connection is gone before its commit gives it up, and is executed on another one", async () => {
    const gone = new Error("the connection is gone");
    let fails = 2;
    const fake = fakePool((text) =>
      text === "select 1" || text === "rollback" ? (fails-- > 0 ? gone : undefined) : undefined,
    );
    const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare: true, clock });

    await one.runTransaction(select);

    expect(fake.asked.filter(({ text }) => text === "select 1")).toHaveLength(2);
    expect(fake.released).toEqual([gone, undefined]);
  });

  test("whose connection is gone each time is executed again three times at most", async () => {
    const gone = new Error("the connection is gone");
    const fake = fakePool((text) => (text.startsWith("begin") ? undefined : gone));
    const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare: true, clock });

    await expect(one.runTransaction(select)).rejects.toBe(gone);

    expect(fake.released).toEqual([gone, gone, gone, gone]);
  });

  test("whose connection is gone with its commit is not executed again, since it may have been committed", async () => {
    const gone = new Error("the connection is gone");
    const fake = fakePool((text) => (text === "commit" || text === "rollback" ? gone : undefined));
    const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare: true, clock });

    await expect(one.runTransaction(select)).rejects.toBe(gone);

    expect(fake.asked.filter(({ text }) => text === "select 1")).toHaveLength(1);
    expect(fake.released).toEqual([gone]);
  });

  test("that cannot be rolled back, whatever the client rejects with, gives its connection up", async () => {
    const fake = fakePool();
    const query = (given: PostgresQuery) => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a client may
      return given.text === "rollback" ? Promise.reject("gone") : Promise.reject(withCode("53100"));
    };
    const connect = async () => ({ query, release: (error?: Error) => void fake.released.push(error) });
    const one = new PostgresDatabase({ pool: { query, connect }, schema: "s", prepare: true, clock });

    await expect(one.runTransaction(select)).rejects.toMatchObject({ code: "53100" });

    const unusable = new Error("not rolled back", { cause: "gone" });
    expect(fake.released).toEqual([unusable, unusable, unusable, unusable]);
  });

  test("sees what others have committed since it began, and stops waiting for them after a while", async () => {
    const settings = await database.runTransaction(function* () {
      return yield* rowOf(
        `select current_setting('transaction_isolation') as isolation, current_setting('lock_timeout') as locked,
          current_setting('idle_in_transaction_session_timeout') as idle`,
      );
    });
    const { rows } = await pool.query("select current_setting('lock_timeout') as locked");

    expect(settings).toEqual({ isolation: "read committed", locked: "5s", idle: "2s" });
    expect(rows).toEqual([{ locked: "0" }]);
  });

  test("whose connection is cut is rejected; the process goes on, and the next one has another connection", async () => {
    const cut = database.runTransaction(function* () {
      yield statement("select pg_terminate_backend(pg_backend_pid())");
    });

    await expect(cut).rejects.toThrow();

    await expect(database.query(statement("select 1 as one"))).resolves.toEqual([{ one: 1 }]);
  });
});

test("queries of one turn whose values have types that cannot be asked for are executed one after the other", async () => {
  const fake = fakePool();
  const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare: true, clock });
  const twice = () => Promise.all(["a", "b"].map((id) => one.query(statement("select ?", id))));

  await twice();
  await twice();

  const executed = fake.asked.filter(({ text }) => text === "select $1");
  expect(executed.map(({ values }) => values)).toEqual([["a"], ["b"], ["a"], ["b"]]);
  expect(fake.asked.filter(({ text }) => text.startsWith("prepare"))).toHaveLength(1);
});

test("queries of one turn that are the same but for their values are one statement", async () => {
  const asked: string[] = [];
  const watched: PostgresPool = {
    query: (query) => (asked.push(query.text), pool.query(query as never)),
    connect: () => pool.connect(),
  };
  const one = new PostgresDatabase({ pool: watched, schema: "port", prepare: true, clock });

  const rows = await Promise.all([1, 2, 3].map((number) => one.query(statement("select ?::bigint as number", number))));

  expect(rows).toMatchObject([[{ number: 1 }], [{ number: 2 }], [{ number: 3 }]]);
  expect(asked).toHaveLength(1);
});

test("connections that nobody uses may be cut", async () => {
  const own = new pg.Pool({ ...connection, max: 1 });
  const one = new PostgresDatabase({ pool: own, schema: "port", prepare: true, clock });
  const [row] = (await one.query(statement("select pg_backend_pid() as pid"))) as { pid: number }[];
  const removed = new Promise((resolve) => own.once("remove", resolve));

  await pool.query("select pg_terminate_backend($1)", [row?.pid]);
  await removed;

  await expect(one.query(statement("select 1 as one"))).resolves.toEqual([{ one: 1 }]);
  await own.end();
});

test("numbers are read as numbers and bytes as bytes, and the host's own queries as before", async () => {
  const big = 2 ** 53 - 1;
  await database.runTransaction(function* () {
    yield statement(
      "insert into port.notes values (?, ?, ?) returning id",
      big,
      "it's ?",
      new Uint8Array([0, 255, 10]),
    );
  });

  const rows = await database.query(statement("select * from poundlock_notes where id = ?", big));
  const { rows: hosts } = await pool.query("select id from port.notes");

  expect(rows).toEqual([{ id: big, note: "it's ?", bytes: Buffer.from([0, 255, 10]) }]);
  expect(hosts).toEqual([{ id: String(big) }]);
});

test("statements are kept prepared under names that tell them apart, unless that is turned off", async () => {
  const names = async (prepare: boolean) => {
    const fake = fakePool();
    const one = new PostgresDatabase({ pool: fake.pool, schema: "s", prepare, clock });
    await one.query(statement("select 1"));
    await one.query(statement("select 2"));
    await one.query(statement("select 1"));
    return fake.asked.map(({ name }) => name);
  };

  const [first, second, third] = await names(true);

  expect(first).toMatch(/^poundlock_.{32}$/);
  expect(second).not.toBe(first);
  expect(third).toBe(first);
  expect(await names(false)).toEqual([undefined, undefined, undefined]);
});

test("closing waits for what is under way, refuses what comes after it, and leaves the pool to the host", async () => {
  const one = new PostgresDatabase({ pool, schema: "port", prepare: true, clock });
  let isDone = false;
  const slow = one.query(statement("select pg_sleep(0.05)")).then(() => (isDone = true));

  await one.close();

  expect(isDone).toBe(true);
  await expect(one.query(statement("select 1"))).rejects.toThrow("closed");
  await expect(one.runTransaction(select)).rejects.toThrow("closed");
  await expect(pool.query("select 1")).resolves.toBeDefined();
  await slow;
});

describe("what is longer than an index takes", () => {
  test("is a failure's key as any other", async () => {
    const storage = await PostgresStorage.open(pool, { schema: "long_keys" });
    // Of as many bytes as there can be, and nothing that could be compressed.
    const letters = Array.from({ length: 1_000 }, (_, index) =>
      String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000)),
    );
    const key = letters.join("");
    const failure = failureOf("1", { key });
    await storage.insertFlow(flowOf("flow"));
    await storage.queueRun(startOf("run"), roomy);
    await storage.claimRun("flow", { token: "token", at: 1, until: 2 });
    const lease = { _runId: "run", token: "token" };
    await storage.commitPage(lease, pageOf(1, { failures: [failure] }));

    const again = await storage.commitPage(lease, pageOf(2, { failures: [{ ...failure, _id: "2" }] }));
    const other = await storage.commitPage(
      lease,
      pageOf(3, { failures: [{ ...failure, _id: "3", key: `${key.slice(1)}!` }] }),
    );

    expect(again?.failures).toMatchObject([{ _id: "1", occurrences: 2 }]);
    expect(other?.failures).toMatchObject([{ _id: "3", occurrences: 1 }]);
    const { items } = await storage.listFailures({ key, limit: 10 });
    expect(items.map(({ _id }) => _id)).toEqual(["1"]);
  });

  test("is an event's id as any other", async () => {
    const storage = await PostgresStorage.open(pool, { schema: "long_events" });
    const id = Array.from({ length: 5_000 }, (_, index) =>
      String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000)),
    ).join("");
    await storage.insertFlow(flowOf("flow"));
    const arrival = (_id: string, ids: readonly string[]) =>
      storage.appendInbox(
        {
          _id,
          _exportId: "orders",
          records: [1],
          ids,
          at: 10,
          starts: [startOf(`run ${_id}`, "flow", { trigger: "realtime" })],
        },
        { maxInboxPages: 10, dedupeAfter: 0 },
      );

    await arrival("first", [id]);

    expect(await arrival("again", [id])).toMatchObject({ flows: [{ duplicates: 1 }] });
    expect(await arrival("other", [`${id}!`])).toMatchObject({ flows: [{ duplicates: 0 }] });
    const pages = await storage.readInbox("flow", { maxRecords: 10 });
    expect(pages.map(({ keys }) => keys)).toEqual([[id], [`${id}!`]]);
  });
});

test("a statement whose types could not be asked for is joined again ten seconds later", async () => {
  let [now, isCut] = [0, true];
  const statements: string[] = [];
  const note = ({ text }: PostgresQuery) => {
    statements.push(text);
    if (isCut && text.startsWith("prepare")) throw new Error("the connection was cut");
  };
  const noting: PostgresPool = {
    query: async (query) => (note(query), pool.query(query)),
    async connect() {
      const client = await pool.connect();
      return { query: async (query) => (note(query), client.query(query)), release: (error) => client.release(error) };
    },
  };
  const own = new PostgresDatabase({
    pool: noting,
    schema: "port",
    prepare: true,
    clock: { ...clock, now: () => now },
  });
  const selects = async () => {
    statements.length = 0;
    await Promise.all([1, 2].map((id) => own.query(statement("select note from poundlock_notes where id = ?", id))));
    return statements.filter((text) => text.startsWith("select") && text.includes("notes")).length;
  };

  const cut = await selects();
  isCut = false;
  now = 9_999;
  const soon = await selects();
  now = 10_000;

  expect([cut, soon, await selects(), await selects()]).toEqual([2, 2, 1, 1]);
});

test("a connection that breaks between two statements of the pool's ends no process", async () => {
  const own = new pg.Pool({ ...connection, max: 1 });
  const client = await own.connect();
  expect(client.listenerCount("error")).toBe(0);
  client.release();
  new PostgresDatabase({ pool: own, schema: "port", prepare: true, clock });
  new PostgresDatabase({ pool: own, schema: "port", prepare: true, clock });

  const again = await own.connect();
  expect(again.listenerCount("error")).toBe(1);
  expect(() => again.emit("error", new Error("cut"))).not.toThrow();

  again.release();
  await own.end();
});
