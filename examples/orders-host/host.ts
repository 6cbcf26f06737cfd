// A host, whole: orders of a shop's API, paged and rate-limited, into PostgreSQL and a CSV file, every five minutes.
//
//   SHOP_URL=… SHOP_TOKEN=… DATABASE_URL=… ARCHIVE=/var/archive node host.ts

import pg from "pg";
import { FlowRegistry, Scheduler } from "poundlock";
import { perItem } from "poundlock/connectors";
import { csv, fileImport, localFiles } from "poundlock/connectors/files";
import { bearer, connection, httpExport, nextToken } from "poundlock/connectors/http";
import { postgres, sqlImport } from "poundlock/connectors/sql";
import { PostgresStorage } from "poundlock/storage/postgres";

interface Order {
  readonly id: string;
  readonly customer: { readonly email: string };
  readonly total: number;
  readonly updatedAt: string;
  readonly lines: readonly { readonly sku: string; readonly count: number }[];
}

const { SHOP_URL = "", SHOP_TOKEN = "", DATABASE_URL = "", ARCHIVE = "" } = process.env;
export const pool = new pg.Pool({ connectionString: DATABASE_URL });
const database = postgres(pool);
await database.query(`create table if not exists orders (id text primary key, email text not null,
  total numeric not null check (total >= 0), updated_at timestamptz not null)`);
await database.query(`create table if not exists order_lines
  (order_id text, number integer, sku text not null, count integer not null, primary key (order_id, number))`);

const shop = connection({
  baseUrl: SHOP_URL,
  auth: bearer(SHOP_TOKEN),
  limits: { concurrency: 2, requests: 100, perMs: 10_000 },
});

const orders = httpExport({
  connection: shop,
  request: ({ since, pageSize }) => ({ path: "orders", query: { since: since?.toISOString(), limit: pageSize } }),
  records: (body: { orders: Order[]; next: string | null }) => body.orders,
  paging: nextToken({ from: (body) => body.next, to: "cursor" }),
  delta: { at: (order) => order.updatedAt },
  key: (order) => order.id,
  version: (order) => order.updatedAt,
});

const rowOf = ({ id, customer, total, updatedAt }: Order) => ({
  ...{ id, total, email: customer.email },
  updated_at: updatedAt,
});
const linesOf = ({ id, lines }: Order) => lines.map((line, number) => ({ order_id: id, number, ...line }));

const storage = await PostgresStorage.open(pool);
const registry = new FlowRegistry({
  storage,
  exports: { orders },
  imports: {
    orders: { ...sqlImport<object>({ database, table: "orders", key: ["id"] }), map: rowOf },
    lines: perItem(sqlImport<object>({ database, table: "order_lines", key: ["order_id", "number"] }), linesOf),
    archive: {
      ...fileImport<object>({
        files: localFiles(ARCHIVE),
        format: csv({ columns: ["id", "email", "total", "updated_at"] }),
        append: "orders.csv",
      }),
      map: rowOf,
    },
  },
});
await registry.define("orders", {
  name: "Orders of the shop",
  schedule: "*/5 * * * *",
  _exportId: "orders",
  _importIds: ["orders", "lines", "archive"],
});

export const scheduler = new Scheduler(registry);
await scheduler.start();

export async function stop(): Promise<void> {
  await scheduler.stop();
  await storage.close();
  await pool.end();
}
process.once("SIGTERM", () => void stop());
