// Pages of orders of an HTTP API, by a cursor → upsert into a table of PostgreSQL, a statement a page.
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { modulesOf, openStorage, runOnce } from "../hosts.mjs";
import { cpuMsOf, postgresServer } from "../servers.mjs";

const total = 200_000;
const columns = ["id", "customer", "total", "updated_at"];
const types = ["text", "text", "integer", "timestamptz"];
const fields = ({ id, customer, total: sum, updatedAt }) => [id, customer, sum, updatedAt];
const row = ({ id, customer, total: sum, updatedAt }) => ({ id, customer, total: sum, updated_at: updatedAt });
const sets = columns.slice(1).map((column) => `${column} = excluded.${column}`).join(", "); // prettier-ignore

const tableOfProcess = () => `orders_${process.pid}`;

async function withTable(value, work) {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString: value.postgres, max: 4 });
  const table = tableOfProcess();
  await pool.query(`create table ${table} (id text primary key, customer text, total integer, updated_at timestamptz)`);
  const serverBefore = cpuMsOf(value.postgresPid);
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  await work({ ...value, pool, table });
  const { user, system } = process.cpuUsage(cpu);
  const figures = { wallMs: performance.now() - started, cpuMs: (user + system) / 1_000 };
  const serverMs = cpuMsOf(value.postgresPid) - serverBefore;
  await pool.end();
  return { ...figures, serverMs };
}

async function* pagesOf(url) {
  for (let cursor = 0; cursor !== null;) {
    const response = await fetch(`${url}/orders?cursor=${cursor}`);
    const { orders, next } = await response.json();
    yield { records: orders, next };
    cursor = next;
  }
}

/** A statement of arrays: what PostgreSQL takes fastest, short of `copy`, which does not upsert. */
function writerInto(pool, table) {
  const arrays = types.map((type, nth) => `$${nth + 1}::${type}[]`).join(", ");
  const text = `insert into ${table} select * from unnest(${arrays}) on conflict (id) do update set ${sets}`;
  return async (orders) => {
    const all = orders.map(fields);
    await pool.query({ name: "upsert", text, values: columns.map((_, nth) => all.map((each) => each[nth])) });
  };
}

const loop = (pageSize) => (value) =>
  withTable(value, async ({ pool, table, urls }) => {
    const write = writerInto(pool, table);
    for await (const { records } of pagesOf(urls[pageSize])) await write(records);
  });

const rxjs = (pageSize) => (value) =>
  withTable(value, async ({ pool, table, urls }) => {
    const { concatMap, from, lastValueFrom } = await import("rxjs");
    const write = writerInto(pool, table);
    await lastValueFrom(from(pagesOf(urls[pageSize])).pipe(concatMap(({ records }) => write(records))));
  });

/** A read ahead of one page, as poundlock has. */
const streaming = (pageSize) => (value) =>
  withTable(value, async ({ pool, table, urls }) => {
    const { buffer, consume, pipeline, transform } = await import("streaming-iterables");
    const write = writerInto(pool, table);
    await pipeline(
      () => pagesOf(urls[pageSize]),
      buffer(1),
      transform(1, ({ records }) => write(records)),
      consume,
    );
  });

const byHand = (kind, pageSize) => (value) =>
  withTable(value, async (context) => {
    const { storage, close } = await openStorage(kind, context);
    const write = writerInto(context.pool, context.table);
    const from = {
      order: "ordered",
      key: ({ id }) => id,
      pageSize,
      async *pages() {
        for await (const { records, next } of pagesOf(context.urls[pageSize]))
          yield { records, checkpoint: next ?? -1 };
      },
    };
    await runOnce({ exports: { from }, imports: { into: { idempotent: true, write } } }, storage);
    await close();
  });

const connectors = (kind, pageSize) => (value) =>
  withTable(value, async (context) => {
    const [{ connection, httpExport, nextToken }, { postgres, sqlImport }] = await Promise.all([
      import("poundlock/connectors/http"),
      import("poundlock/connectors/sql"),
    ]);
    const { storage, close } = await openStorage(kind, context);
    const from = httpExport({
      connection: connection({ baseUrl: context.urls[pageSize] }),
      request: () => ({ path: "orders" }),
      records: ({ orders }) => orders,
      paging: nextToken({ from: ({ next }) => next, to: "cursor" }),
      key: ({ id }) => id,
    });
    const into = sqlImport({ database: postgres(context.pool), table: context.table, key: ["id"] });
    await runOnce({ exports: { from }, imports: { into: { ...into, map: row } } }, storage);
    await close();
  });

async function hashOf(url) {
  const hash = createHash("md5");
  for await (const { records } of pagesOf(url))
    for (const order of records) hash.update(`${fields(order).slice(0, 3).join()},${Date.parse(order.updatedAt)};`);
  return hash.digest("hex");
}

/** An API in a process of its own. */
async function shop(pageSize) {
  const script = fileURLToPath(new URL("../../shop-server.mjs", import.meta.url));
  const server = fork(script, [String(total / pageSize), String(pageSize)], { execArgv: [] });
  const port = await new Promise((resolve, reject) => {
    server.once("message", resolve);
    server.once("exit", (code) => reject(new Error(`the API ended with ${code}`)));
  });
  return { url: `http://127.0.0.1:${port}`, close: () => server.disconnect() };
}

const nothing = "nothing: a failure begins anew or loses";
const once = "at least once, which upserts make once; checkpoints, failures kept";
const connected = ["poundlock/connectors/http", "poundlock/connectors/sql"];
const ours = (name, kind, run, modules = []) => ({
  name: `**poundlock**, ${name}`,
  guarantee: kind === "memory" ? `${once}; gone with the process` : once,
  modules: [...modulesOf(kind), "pg", ...modules],
  run,
});
const other = (name, role, run, ...modules) => ({ name, role, guarantee: nothing, modules: ["pg", ...modules], run });

export default {
  title: "HTTP to PostgreSQL: 200,000 orders",
  async prepare() {
    const [postgres, hundred, thousand] = [await postgresServer(), await shop(100), await shop(1_000)];
    const urls = { 100: hundred.url, 1000: thousand.url };
    const expected = { 100: await hashOf(hundred.url), 1000: await hashOf(thousand.url) };
    return {
      value: { ...postgres.value, urls, expected },
      async close() {
        hundred.close();
        thousand.close();
        await postgres.close();
      },
    };
  },
  contenders: [
    other("loop by hand, pages of 1,000", "loop", loop(1_000)),
    other("loop by hand, pages of 100", undefined, loop(100)),
    ours("hand-written ends, memory, 1,000", "memory", byHand("memory", 1_000)),
    ours("hand-written ends, SQLite (FULL), 1,000", "sqlite", byHand("sqlite", 1_000)),
    ours("hand-written ends, PostgreSQL, 1,000", "postgres", byHand("postgres", 1_000)),
    ours("hand-written ends, SQLite (FULL), 100", "sqlite", byHand("sqlite", 100)),
    ours("connectors, memory, 1,000", "memory", connectors("memory", 1_000), connected),
    ours("connectors, SQLite (FULL), 1,000", "sqlite", connectors("sqlite", 1_000), connected),
    ours("connectors, PostgreSQL, 1,000", "postgres", connectors("postgres", 1_000), connected),
    ours("connectors, SQLite (FULL), 100", "sqlite", connectors("sqlite", 100), connected),
    other("streaming-iterables, one page ahead, 1,000", "peer", streaming(1_000), "streaming-iterables"),
    other("rxjs, 1,000", "peer", rxjs(1_000), "rxjs"),
  ],
  async verify({ postgres, expected }, { name }) {
    const { default: pg } = await import("pg");
    const client = new pg.Client({ connectionString: postgres });
    await client.connect();
    const text = `select md5(string_agg(id || ',' || customer || ',' || total || ',' ||
      (extract(epoch from updated_at) * 1000)::bigint || ';', '' order by substr(id, 7)::integer)) as hash from `;
    const { rows } = await client.query(`${text}${tableOfProcess()}`);
    await client.query(`drop table ${tableOfProcess()}`);
    await client.end();
    if (rows[0].hash !== expected[/\b100$/.test(name) ? 100 : 1000])
      throw new Error(`${name}: the table is not what it was to be`);
  },
  cost: ({ cpuMs }) => cpuMs,
  columns: [
    { title: "orders per CPU second", value: ({ cpuMs }) => (total / cpuMs) * 1_000 },
    { title: "CPU s", value: ({ cpuMs }) => cpuMs / 1_000, spread: true },
    { title: "CPU s of PostgreSQL", value: ({ serverMs }) => serverMs / 1_000 },
    { title: "wall s", value: ({ wallMs }) => wallMs / 1_000 },
    { title: "× the loop", value: ({ cpuMs }, { loop: by }) => by && by.cpuMs / cpuMs },
    { title: "× the best peer", value: ({ cpuMs }, { peer: by }) => by && by.cpuMs / cpuMs },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
};
