"use strict";

const poundlock = require("poundlock");
const keepOrders = require("./keep-orders.cjs");
const moveOrders = require("./move-orders.cjs");
const serveOrders = require("./serve-orders.cjs");

async function main() {
  const testing = require("poundlock/testing");
  await moveOrders(poundlock, testing);
  await moveOrders(poundlock, await import("poundlock/testing"));
  await keepOrders(poundlock, testing, require("poundlock/storage/sqlite"));
  await keepOrders(poundlock, testing, require("poundlock/storage/sqlite"), { driver: "libsql" });
  await keepOrders(poundlock, testing, await import("poundlock/storage/sqlite"));
  await serveOrders(poundlock, require("poundlock/http"), require("poundlock/http/node"));
  await serveOrders(poundlock, await import("poundlock/http"), await import("poundlock/http/node"));
}

void main();
