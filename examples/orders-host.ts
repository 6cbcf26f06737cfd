// One idea: with connectors a whole host is short. orders-host/host.ts moves orders of a shop's API, paged and
// rate-limited, into two tables of PostgreSQL and a CSV file. Here it is given a shop and a PostgreSQL from npm, and its
// flow is run twice without waiting for its schedule: everything, and what has changed since.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../test/support/postgres-server.ts";
import { Shop } from "./orders-host/shop.ts";

const shop = new Shop();
const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
const server = await startPostgres();
const DATABASE_URL = `postgres://postgres:postgres@127.0.0.1:${server.port}/postgres`;
Object.assign(process.env, { SHOP_URL: await shop.open(), SHOP_TOKEN: "let-me-in", DATABASE_URL, ARCHIVE: folder });

async function show(): Promise<void> {
  const { pool, scheduler, stop } = await import("./orders-host/host.ts");
  const there = async () => {
    const sql = "select (select count(*) from orders) orders, (select count(*) from order_lines) lines";
    const { rows } = await pool.query<{ orders: string; lines: string }>(sql);
    const archived = (await readFile(join(folder, "orders.csv"), "utf8")).split("\n").length - 2;
    return { orders: Number(rows[0]?.orders), lines: Number(rows[0]?.lines), archived };
  };

  const first = await scheduler.waitFor((await scheduler.run("orders"))._id);
  const { orders, lines, archived } = await there();
  const { numIgnore = 0 } = first.imports.lines ?? {};
  console.log(`${first.status}: ${orders} orders, ${lines} lines of them, ${archived} archived`);
  console.log(`${numIgnore} orders have no lines, so there was nothing to write of them there (numIgnore)`);
  console.log(`${shop.refused} times the shop said that these were too many requests (429), and was waited for`);
  const { items: failures } = await scheduler.listFailures({ _flowId: "orders", status: "open" });
  console.log(`${failures.length} failures, such as: ${failures[0]?.message ?? "none"}`);
  assert.deepEqual([orders, lines, archived, failures.length], [4_995, 5_001, 5_000, 5]);

  shop.change(18, 99);
  const second = await scheduler.waitFor((await scheduler.run("orders"))._id);
  // When its schedule has come meanwhile, that run has moved the order.
  const { items: runs } = await scheduler.listRuns({ _flowId: "orders", limit: 10 });
  const later = runs.filter(({ endedAt = "" }) => endedAt > (first.endedAt ?? ""));
  const delivered = (_importId: string) =>
    later.reduce((sum, { imports }) => sum + (imports[_importId]?.numSuccess ?? 0), 0);
  const numbers = Object.keys(first.imports).map(delivered);
  const { rows } = await pool.query<{ total: string }>("select total from orders where id = 'order-19'");
  console.log(
    `${second.status}: one order has changed since: ${numbers.join(", ")} record into each import; its total is now ${rows[0]?.total}`,
  );
  assert.deepEqual(
    [numbers, rows[0]?.total, await there()],
    [[1, 1, 1], "99", { orders, lines, archived: archived + 1 }],
  );

  await stop();
}

try {
  await show();
} finally {
  await shop.close();
  await server.stop();
  await rm(folder, { recursive: true });
}
