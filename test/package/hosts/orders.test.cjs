"use strict";

// The tests of a host that runs them with Jest as it comes: CommonJS, in a realm of their own.
const keepOrders = require("./keep-orders.cjs");
const moveOrders = require("./move-orders.cjs");
const poundlock = require("poundlock");
const serveOrders = require("./serve-orders.cjs");
const sqlite = require("poundlock/storage/sqlite");
const testing = require("poundlock/testing");

const { exports: entries } = require("poundlock/package.json");
for (const entry of Object.keys(entries))
  test(`${entry} is loaded`, () => void require(entry.replace(".", "poundlock")));
test("orders are moved", () => moveOrders(poundlock, testing));
test("orders are kept in a file", () => keepOrders(poundlock, testing, sqlite));
test("orders are kept in a file by libsql", () => keepOrders(poundlock, testing, sqlite, { driver: "libsql" }));

// Dates, maps and sets of one realm are not instances of another's classes.
const orderAt = (nth) => ({ id: `order ${nth}`, at: new Date(nth), lines: new Map([[nth, new Set([nth])]]) });
const orders = Array.from({ length: 25 }, (_, nth) => orderAt(nth));
const source = () => testing.arrayExport(structuredClone(orders), { key: ({ id }) => id, pageSize: 10 });
const kits = {
  storage: testing.storageCases(() => new poundlock.MemoryStorage()),
  export: testing.exportCases(source, { records: () => orders }),
  import: testing.importCases(testing.collectingImport, { record: orderAt, read: ({ byKey }) => byKey }),
  executor: testing.executorCases(() => new poundlock.LocalExecutor()),
};
for (const [kit, cases] of Object.entries(kits)) for (const { title, run } of cases) test(`${kit}: ${title}`, run);

test("orders are served", () => serveOrders(poundlock, require("poundlock/http"), require("poundlock/http/node")));
