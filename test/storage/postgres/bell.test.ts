import { EventEmitter } from "node:events";
import pg from "pg";
import { afterAll, expect, inject, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { SharedExecutor } from "../../../src/executor/shared-executor.ts";
import { Bell } from "../../../src/storage/postgres/bell.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { executorCases } from "../../../src/testing/index.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const connection = connectionTo(inject("postgresPort"));
const pool = new pg.Pool({ ...connection, max: 8 });
afterAll(() => pool.end());

const opened: PostgresStorage[] = [];
afterAll(() => Promise.all(opened.map((storage) => storage.close())));

async function open(schema: string, options: { readonly listen?: pg.Pool | false } = {}): Promise<PostgresStorage> {
  const storage = await PostgresStorage.open(pool, { schema, ...options });
  opened.push(storage);
  return storage;
}

const place = new Map<string, PostgresStorage>();
const cases = executorCases(
  async (schema) => {
    const storage = place.get(schema) ?? (await open(schema));
    place.set(schema, storage);
    return new SharedExecutor(storage.wakes);
  },
  { durable: true, routes: true, quietMs: 100, patienceMs: 20_000 },
);
for (const { title, run } of cases) test(`with PostgreSQL, ${title}`, run);

/** Resolves when `condition` is true. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => systemClock.setTimer(() => resolve(undefined), 5));
}

/** How many connections listen for this bell. */
async function listeners(application: string): Promise<readonly number[]> {
  const { rows } = await pool.query<{ pid: number }>(
    "select pid from pg_stat_activity where application_name = $1 and query like 'listen%'",
    [application],
  );
  return rows.map(({ pid }) => pid);
}

test("a bell that one process rings is heard in another one, on the topic that it rings for", async () => {
  const [one, other] = ["one", "other"].map(
    () => new Bell({ pool, listen: pool, schema: "heard", clock: systemClock }),
  );
  const heard: string[] = [];
  other?.on("wakes", () => heard.push("wakes"));
  other?.on("cancel", () => heard.push("cancel"));
  await until(() => heard.length === 2);
  heard.length = 0;

  one?.ring("cancel");
  await until(() => heard.length > 0);

  expect(heard).toEqual(["cancel"]);
  await one?.close();
  await other?.close();
});

test("wake-ups that one process adds ring in another one", async () => {
  const [one, other] = [await open("rung"), await open("rung")];
  let heard = 0;
  const end = other.wakes.onBell?.(() => heard++);
  await until(() => heard > 0);
  const before = heard;

  await one.wakes.addWakes([{ _flowId: "flow", _exportId: "orders" }]);
  await until(() => heard > before);

  end?.();
  expect(heard).toBe(before + 1);
});

test("rings of one process within 20 ms are one at once and one after them", async () => {
  const sent: unknown[] = [];
  const counting = { query: async (query: pg.QueryConfig) => (sent.push(query.values), { rows: [] }) };
  const bell = new Bell({ pool: counting, listen: undefined, schema: "counted", clock: systemClock });

  for (let nth = 0; nth < 100; nth++) bell.ring("wakes");
  const atOnce = sent.length;
  await until(() => sent.length > 1);
  await bell.close();

  expect([atOnce, sent.length, bell.canHear]).toEqual([1, 2, false]);
});

test("a listener whose connection is cut looks once when it is back, and hears again", async () => {
  const own = new pg.Pool({ ...connection, max: 1, application_name: "cut_listener" });
  own.on("error", () => undefined);
  const bell = new Bell({ pool, listen: own, schema: "cut", clock: systemClock });
  let heard = 0;
  const end = bell.on("wakes", () => heard++);
  await until(() => heard > 0);
  const [pid] = await listeners("cut_listener");

  await pool.query("select pg_terminate_backend($1)", [pid]);
  await until(() => heard > 1);
  const before = heard;
  bell.ring("wakes");
  await until(() => heard > before);

  end();
  await bell.close();
  await own.end();
  // The server ends a connection after its client has.
  await until(async () => (await listeners("cut_listener")).length === 0);
});

test("the wait before the next try to connect doubles, and begins anew after one that lasted", async () => {
  let now = 0;
  const waits: number[] = [];
  const clock = {
    ...systemClock,
    now: () => now,
    setTimer(callback: () => void, delayMs: number) {
      waits.push(delayMs);
      setImmediate(callback);
      return () => undefined;
    },
  };
  const lasted = [0, 0, 6_000];
  const connect = () => {
    now += lasted.shift() ?? 0;
    return Promise.reject(new Error("refused"));
  };
  const bell = new Bell({
    pool,
    listen: { query: (query) => pool.query(query as never), connect },
    schema: "refused",
    clock,
  });

  bell.on("wakes", () => undefined);
  await until(() => waits.length > 3);
  await bell.close();

  expect(waits.slice(0, 4)).toEqual([100, 200, 100, 200]);
});

test("any number of connections that are lost leave no listeners behind", async () => {
  const warnings: string[] = [];
  const warned = ({ name }: Error) => void warnings.push(name);
  process.on("warning", warned);
  let lost = 0;
  const clock = {
    ...systemClock,
    setTimer(callback: () => void) {
      setImmediate(callback);
      return () => undefined;
    },
  };
  const listen = {
    query: (query: unknown) => pool.query(query as never),
    connect: () => {
      const client = new EventEmitter();
      const query = () => {
        lost++;
        client.emit("end");
        return Promise.resolve({ rows: [] });
      };
      return Promise.resolve(Object.assign(client, { query, release: () => undefined }));
    },
  };
  const bell = new Bell({ pool, listen, schema: "lost", clock });

  bell.on("wakes", () => undefined);
  await until(() => lost > 20);
  await bell.close();
  process.off("warning", warned);

  expect(warnings).toEqual([]);
});

test("with listen: false nothing is heard, and what another process adds is found by looking", async () => {
  const storage = await open("deaf", { listen: false });

  expect(storage.wakes.onBell).toBeUndefined();
  await storage.wakes.addWakes([{ _flowId: "flow", _exportId: "orders" }]);
  expect(await storage.wakes.claimWakes(1, ["orders"])).toEqual([{ _flowId: "flow", _exportId: "orders" }]);
});

test("a storage that is closed gives its listening connection back, so that the pool can end", async () => {
  const own = new pg.Pool({ ...connection, max: 2 });
  const storage = await PostgresStorage.open(own, { schema: "closed" });
  storage.wakes.onBell?.(() => undefined);

  await storage.close();

  await own.end();
  expect(own.totalCount).toBe(0);
});

test("refuses a `listen` that is no pool", async () => {
  await expect(PostgresStorage.open(pool, { listen: "yes" as never })).rejects.toThrow(
    "listen: expected false, or a pool with query and connect",
  );
});
