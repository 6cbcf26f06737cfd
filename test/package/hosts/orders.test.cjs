"use strict";

// The tests of a host that runs them with Jest as it comes: CommonJS, in a realm of their own.
const keepOrders = require("./keep-orders.cjs");
const moveOrders = require("./move-orders.cjs");
const poundlock = require("poundlock");
const serveOrders = require("./serve-orders.cjs");
const sqlite = require("poundlock/storage/sqlite");
const testing = require("poundlock/testing");

test("orders are moved", () => moveOrders(poundlock, testing));
test("orders are kept in a file", () => keepOrders(poundlock, testing, sqlite));
test("orders are kept in a file by libsql", () => keepOrders(poundlock, testing, sqlite, { driver: "libsql" }));
for (const { title, run } of testing.storageCases(() => new poundlock.MemoryStorage())) test(title, run);
test("orders are served", () => serveOrders(poundlock, require("poundlock/http"), require("poundlock/http/node")));
