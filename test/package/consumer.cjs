"use strict";

const poundlock = require("poundlock");
const moveOrders = require("./move-orders.cjs");

async function main() {
  await moveOrders(poundlock, require("poundlock/testing"));
  await moveOrders(poundlock, await import("poundlock/testing"));
}

void main();
