"use strict";

const assert = require("node:assert/strict");
const { mkdtemp, rm } = require("node:fs/promises");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const moveOrders = require("./move-orders.cjs");

/** A host application that is started twice with the same file: the second time finds what the first one did. */
module.exports = async function keepOrders(poundlock, testing, { SqliteStorage }, options) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-orders-"));
  try {
    const file = join(folder, "orders #1.db");
    const first = await SqliteStorage.open(file, options);
    const ended = await moveOrders(poundlock, testing, first);
    await first.close();

    const second = await SqliteStorage.open(file, options);
    const { items } = await new poundlock.FlowRegistry({ storage: second }).list();
    assert.deepEqual(await second.findRun(ended._id), ended);
    assert.deepEqual(
      items.map(({ name }) => name),
      ["Orders"],
    );
    await second.close();

    await assert.rejects(SqliteStorage.open(join(folder, "nowhere", "orders.db"), options), { code: "storage_failed" });
    await assert.rejects(SqliteStorage.open(file, { driver: "sqlite3" }), { code: "invalid_option" });
    console.log("kept in", options?.driver ?? "the first driver that is here");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
