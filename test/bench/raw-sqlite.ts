import { join } from "node:path";
import { type SqliteDatabase, openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { inFolder } from "./disk.ts";
import { makeOrder } from "./ndjson.ts";

/** Microseconds of a transaction that changes one row, synced to disk: no durable checkpoint can be cheaper. */
export async function rawCommitUs(): Promise<number> {
  return withRaw((database) => {
    database.exec("create table checkpoint (id integer primary key, value text) strict");
    database.exec("insert into checkpoint values (1, '')");
    const begin = database.prepare("begin immediate");
    const update = database.prepare("update checkpoint set value = ? where id = 1");
    const commit = database.prepare("commit");
    const perSecond = rate((number) => {
      begin.run();
      update.run(JSON.stringify({ offset: number * 180_000 }));
      commit.run();
    });
    return 1e6 / perSecond;
  });
}

/** Events a second if each is inserted in a transaction of its own, synced to disk. */
export async function rawInsertsPerSecond(): Promise<number> {
  return withRaw((database) => {
    database.exec("create table event (id integer primary key, record text) strict");
    const insert = database.prepare("insert into event (record) values (?)");
    return rate((number) => insert.run(JSON.stringify(makeOrder(number))));
  });
}

/** With the driver that `SqliteStorage.open` chooses, and its settings. */
async function withRaw(work: (database: SqliteDatabase) => number): Promise<number> {
  return inFolder(async (folder) => {
    const database = openDatabase(join(folder, "raw.db"));
    try {
      database.prepare("pragma journal_mode = wal").all();
      database.exec("pragma synchronous = full");
      return work(database);
    } finally {
      database.close();
    }
  });
}

/** Calls a second, over a second, after some to warm up. */
function rate(call: (number: number) => void): number {
  for (let number = 0; number < 200; number++) call(number);
  const start = performance.now();
  let made = 0;
  while (performance.now() - start < 1_000) call(made++);
  return (made / (performance.now() - start)) * 1_000;
}
