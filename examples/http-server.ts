// One idea: the flow API on a server of your own, with curl as its client. It prints lines to try, and stays until Ctrl-C.
// Where nobody can type, as its input has ended (or you end it: Ctrl-D), it tries the lines itself and ends.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Export, FlowRegistry, type Import, Scheduler } from "poundlock";
import { bearerToken, createHandler } from "poundlock/http";
import { toNodeListener } from "poundlock/http/node";
import { SqliteStorage } from "poundlock/storage/sqlite";
import { curlLines, tried } from "./http-server/curl-lines.ts";

interface Order {
  readonly id: string;
  readonly total: number;
}

const shop = Array.from({ length: 250 }, (_, index): Order => ({ id: `o-${index + 1}`, total: 10 * index }));

const orders: Export<Order, { after: number }> = {
  order: "ordered",
  key: (order) => order.id,
  async *pages({ checkpoint, pageSize }) {
    for (let after = checkpoint?.after ?? 0; after < shop.length; after += pageSize)
      yield { records: shop.slice(after, after + pageSize), checkpoint: { after: after + pageSize } };
  },
};

const ledger: Import<Order> = {
  idempotent: true,
  async write() {
    // A ledger of your own would keep them.
  },
};

const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
const storage = await SqliteStorage.open(join(folder, "flows.db"));
const registry = new FlowRegistry({ exports: { orders }, imports: { ledger }, storage });
const scheduler = new Scheduler(registry);
await registry.define("orders-to-ledger", {
  name: "Orders to ledger",
  schedule: "0 * * * *",
  _exportId: "orders",
  _importId: "ledger",
});
await scheduler.start();

const token = process.env.FLOWS_TOKEN ?? randomUUID();
const handler = createHandler({ scheduler, authorize: bearerToken(token) });
const server = createServer(toNodeListener(handler));
server.on("request", (_request, response) => {
  response.once("close", () => {
    if (!server.listening) server.closeIdleConnections(); // they would wait for another request
  });
});
await new Promise<void>((resolve) => server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", resolve));

async function close(): Promise<void> {
  const closed = promisify(server.close.bind(server))(); // takes no more connections
  await scheduler.stop(); // and ends the streams of events
  await closed;
  await storage.close();
  await rm(folder, { recursive: true });
}

const lines = curlLines(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, token);
console.log("Try, in another terminal:\n");
for (const line of lines) console.log(line);

process.once("SIGINT", () => void close().then(() => process.exit()));
process.stdin.resume();
await once(process.stdin, "end");
try {
  for (const line of lines) console.log(await tried(line));
} finally {
  await close();
}
