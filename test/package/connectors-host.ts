// A host of connectors as the design's example writes it, in the same words: its flows run in test/connectors/host-view.test.ts,
// and check-package.mjs compiles it strictly from the packed tarball.
/* eslint-disable @typescript-eslint/consistent-type-definitions, poundlock/plain-words -- to the letter of the design */
import pg from "pg";
import { FlowRegistry } from "poundlock";
import { childrenOf, firstMatch, inSequence, perItem, withLookup } from "poundlock/connectors";
import { csv, fileExport, fileImport, localFiles, ndjson } from "poundlock/connectors/files";
import { bearer, connection, httpExport, httpImport, nextToken } from "poundlock/connectors/http";
import { refreshToken, tokenFile } from "poundlock/connectors/oauth";
import { singerTap } from "poundlock/connectors/singer";
import { postgres, sqlExport, sqlImport } from "poundlock/connectors/sql";

type Line = { sku: string; count: number };
type Order = { id: string; customer: string; total: number; updatedAt: string; lines: readonly Line[] };
type OrderRow = Pick<Order, "id" | "customer" | "total">;

// One connection for everything that reaches the same account: its limits are theirs together.
const shop = connection({
  baseUrl: "https://shop.example/api/v2",
  auth: bearer(() => process.env.SHOP_TOKEN),
  limits: { concurrency: 4, requests: 300, perMs: 60_000 },
});
const client = {
  tokenUrl: "https://erp.example/oauth/token",
  clientId: "poundlock",
  clientSecret: () => process.env.ERP_SECRET,
};
const erp = connection({
  baseUrl: "https://erp.example/api",
  auth: refreshToken({ ...client, store: tokenFile("erp-tokens.json") }), // a rotated token is durable before it is used
});
const db = postgres(new pg.Pool());

const orders = httpExport({
  connection: shop,
  request: ({ since, pageSize }) => ({ path: "orders", query: { since: since?.toISOString(), limit: pageSize } }),
  records: (body: { orders: Order[]; next: string | null }) => body.orders,
  paging: nextToken({ from: (body) => body.next, to: "cursor" }),
  delta: { at: (order) => order.updatedAt, lookbackMs: 120_000 }, // ties and late records too, each version once
  key: (order) => order.id,
  version: (order) => order.updatedAt, // with the key it names what a server or a table does once
});
const customers = sqlExport<{ id: string; name: string; updated_at: Date }>({
  database: db,
  table: "crm.customers",
  cursor: ["updated_at", "id"], // the last one is unique
  settleMs: 10_000, // required: longer than the longest transaction that writes here
});
const prices = fileExport({
  files: localFiles("/var/drop"),
  match: "prices/*.csv.gz",
  format: csv({
    delimiter: ";",
    encoding: "windows-1252",
    read: (row) => ({ sku: row.sku ?? "", price: Number(row.price) }),
  }),
});
const notesOf = (order: Order, signal: AbortSignal) =>
  shop.read<readonly { id: string; text: string }[]>({ path: ["orders", order.id, "notes"] }, signal);
const notes = childrenOf(orders, async function* (order, { signal }) {
  yield await notesOf(order, signal);
});

const ledger = sqlImport<OrderRow>({
  database: db,
  table: "orders",
  key: ["id"],
  sweep: { column: "run", atMost: 0.2 },
});
const events = sqlImport<OrderRow>({ database: db, table: "order_events", mode: "insert", keyColumn: "event_key" });
const turnover = sqlImport<Order>({
  database: db,
  once: "poundlock_once", // effect and mark in one transaction: exactly once, even for what only adds up
  async apply(tx, records) {
    for (const { customer, total } of records)
      await tx.query("update turnover set total = total + $1 where customer = $2", [total, customer]);
  },
});
const invoices = httpImport({
  connection: erp,
  request: (order: Order) => ({ method: "PUT", path: ["invoices", order.id], body: order }),
  value: (body: { number: string }) => body.number,
  concurrency: 4, // requests of one batch at once
  idempotent: true,
});
type Billed = { id: string; invoice: string | undefined };
const patch = ({ id, invoice }: Billed) => ({ method: "PATCH", path: ["orders", id], body: { invoice } });
const numbers = httpImport({ connection: shop, request: patch, idempotent: true });
const stock = httpImport({
  connection: erp,
  batchSize: 100,
  batch: (lines: readonly Line[]) => ({ path: "stock/batch", body: { lines } }),
  results: (body: { results: { ok: boolean; reason?: string }[] }) =>
    body.results.map(({ ok, reason }) => (ok ? { ok } : { ok, fault: "reject", error: reason })),
  keyHeader: "idempotency-key", // the server ignores a second request under the same idempotency key
  idempotent: true,
});
const archive = { files: localFiles("/var/archive"), format: ndjson<Order>() };
const { big, otherwise: small } = firstMatch({ big: (order: Order) => order.total > 10_000 });
const namesOf = async (ids: readonly string[]) =>
  new Map(
    (await db.query("select id, name from crm.customers where id = any($1)", [ids])).map((row) => [
      String(row.id),
      String(row.name),
    ]),
  );

export const registry = new FlowRegistry({
  exports: {
    orders,
    customers,
    prices,
    notes,
    issues: singerTap({ command: "tap-github", config: { repository: "acme/shop" } }),
  },
  imports: {
    turnover,
    events: { ...events, map: ({ id, customer, total }: Order) => ({ id, customer, total }) },
    ledger: withLookup(ledger, {
      keyOf: (order: Order) => order.customer,
      find: namesOf,
      merge: ({ id, total }, name) => ({ id, customer: name ?? "", total }),
      missing: "reject", // "ignore" counts in numIgnore, "pass" writes without
      cache: { max: 10_000, ttlMs: 60_000 },
    }),
    invoices: inSequence(invoices, ({ id }, invoice) => ({ id, invoice }), numbers), // what one answers, the next is given
    stock: perItem(stock, (order: Order) => order.lines),
    parts: { ...fileImport({ ...archive, path: ({ run, page }) => `${run._id}/${page}.ndjson` }), filter: big },
    journal: { ...fileImport({ ...archive, append: "small.ndjson" }), filter: small },
  },
});
