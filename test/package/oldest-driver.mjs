// A host with better-sqlite3, in whatever version is installed.
import * as poundlock from "poundlock";
import * as sqlite from "poundlock/storage/sqlite";
import * as testing from "poundlock/testing";
import keepOrders from "./keep-orders.cjs";

await keepOrders(poundlock, testing, sqlite, { driver: "better-sqlite3" });
