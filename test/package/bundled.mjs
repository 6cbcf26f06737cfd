// A host application that a bundler makes one file of.
import * as poundlock from "poundlock";
import * as http from "poundlock/http";
import * as node from "poundlock/http/node";
import * as sqlite from "poundlock/storage/sqlite";
import * as testing from "poundlock/testing";
import keepOrders from "./keep-orders.cjs";
import moveOrders from "./move-orders.cjs";
import serveOrders from "./serve-orders.cjs";

async function main() {
  await moveOrders(poundlock, testing);
  await keepOrders(poundlock, testing, sqlite);
  await keepOrders(poundlock, testing, sqlite, { driver: "libsql" });
  await serveOrders(poundlock, http, node);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
