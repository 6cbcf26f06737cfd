import * as poundlock from "poundlock";
import * as http from "poundlock/http";
import * as node from "poundlock/http/node";
import * as sqlite from "poundlock/storage/sqlite";
import keepOrders from "./keep-orders.cjs";
import moveOrders from "./move-orders.cjs";
import serveOrders from "./serve-orders.cjs";

const testing = await import("poundlock/testing");
await moveOrders(poundlock, testing);
await keepOrders(poundlock, testing, sqlite);
await keepOrders(poundlock, testing, sqlite, { driver: "libsql" });
await serveOrders(poundlock, http, node);
await serveOrders(poundlock, http, node);
