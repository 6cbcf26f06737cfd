// One idea: people without access to the code see how flows fare. Flows run, fail, pause and heal before your eyes, on
// the page that this prints the address and the token of. End it with Ctrl+C.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { FlowRegistry, MemoryStorage, Scheduler } from "poundlock";
import { createDashboard } from "poundlock/dashboard";
import { bearerToken, createHandler } from "poundlock/http";
import { toNodeListener } from "poundlock/http/node";
import { customers, orders, prices, returns, stock } from "./dashboard/sources.ts";
import { crm, ledger, mailer, shop } from "./dashboard/destinations.ts";

const registry = new FlowRegistry({
  exports: { orders, stock, prices, returns, customers },
  imports: { ledger, mailer, shop, crm },
  storage: new MemoryStorage(),
});
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
// Impatient, so that there is something to see within a minute.
const scheduler = new Scheduler(registry, {
  logger: silent, // everything is on the page
  maxAttempts: 3,
  retryDelayMs: 500,
  autoRetry: { afterMs: 60_000, maxDelayMs: 300_000, days: 1 },
});
const every = "* * * * *";
const { group, removed } = { group: "demo", removed: "keep" } as const;
await registry.defineAll(
  {
    orders: {
      name: "Orders to ledger and mail",
      schedule: every,
      _exportId: "orders",
      _importIds: ["ledger", "mailer"],
    },
    stock: { name: "Stock to shop", schedule: every, _exportId: "stock", _importId: "shop" },
    prices: {
      name: "Prices to shop",
      schedule: "30 5 * * 1-5",
      timezone: "Europe/Oslo",
      _exportId: "prices",
      _importId: "shop",
    },
    returns: { name: "Returns to ledger", schedule: "*/2 * * * *", _exportId: "returns", _importId: "ledger" },
    customers: { name: "Customers to CRM, as they sign up", _exportId: "customers", _importId: "crm" },
    archive: { name: "Orders of last year", _exportId: "orders", _importId: "mailer", disabled: true },
  },
  { group, removed },
);
await scheduler.start();
for (const _id of ["orders", "stock", "returns", "prices"]) await scheduler.run(_id);

const token = process.env.FLOWS_TOKEN ?? randomBytes(12).toString("base64url");
const handler = createHandler({ scheduler, authorize: bearerToken(token), basePath: "/flows/api" });
const dashboard = createDashboard({ handler, basePath: "/flows", title: "poundlock demo" });
const server = createServer(toNodeListener(dashboard));
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
console.log(`Open   http://127.0.0.1:${port}/flows/`);
console.log(`Token  ${token}`);
console.log("The shop is down in every other minute, the ledger refuses customers without a VAT number,");
console.log("and returns cannot be read in every third run. Try: find order 1234, retry a cause, edit a record.");

// Forever, unless something that runs all examples says for how long.
const { EXAMPLE_SECONDS } = process.env;
if (EXAMPLE_SECONDS === undefined) await once(process, "SIGINT");
else await wait(Number(EXAMPLE_SECONDS) * 1_000);
server.closeAllConnections();
server.close();
await scheduler.stop();
