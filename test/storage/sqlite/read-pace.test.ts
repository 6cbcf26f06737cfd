import { afterEach, expect, test } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import { statement } from "../../../src/storage/sql/database.ts";
import { SqliteConnection } from "../../../src/storage/sqlite/database.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { ManualClock } from "../../../src/testing/index.ts";

const asked = "select count(*) as size from poundlock_flows";
const closing: SqliteConnection[] = [];

afterEach(async () => {
  for (const connection of closing.splice(0)) await connection.close();
});

/** A database in memory, each read of which takes so long, and how many reads there were in each turn of the event loop. */
async function pacedReads(readMs: number) {
  const manual = new ManualClock();
  let spent = 0;
  let turns = 0;
  const clock: Clock = {
    now: () => manual.now() + spent,
    setTimer: (callback, delayMs) => manual.setTimer(callback, delayMs),
    async yieldToEventLoop() {
      await manual.yieldToEventLoop();
      turns++;
    },
  };
  const database = openDatabase(":memory:");
  const reads: number[] = [];
  const connection = new SqliteConnection({
    database: {
      exec: (sql) => database.exec(sql),
      prepare(sql) {
        const prepared = database.prepare(sql);
        return {
          all(...values: unknown[]) {
            if (sql === asked) {
              spent += readMs;
              reads.push(turns);
            }
            return prepared.all(...values);
          },
          run: (...values: unknown[]) => prepared.run(...values),
        };
      },
      close: () => database.close(),
    },
    ...{ clock, busyTimeoutMs: 100, owned: true },
  });
  closing.push(connection);
  await connection.open();
  spent += 1_000;
  turns = 0;
  return { read: () => connection.query(statement(asked)), reads, pass: (ms: number) => (spent += ms) };
}

test("reads that are asked for together let other work run after two milliseconds", async () => {
  const { read, reads } = await pacedReads(1);

  await Promise.all(Array.from({ length: 7 }, read));

  expect(reads).toEqual([0, 0, 1, 1, 2, 2, 3]);
});

test("reads that follow each other let other work run, too", async () => {
  const { read, reads } = await pacedReads(1);

  for (let index = 0; index < 5; index++) await read();

  expect(reads).toEqual([0, 0, 1, 1, 2]);
});

test("a read after a while without any waits for nothing, however long the one before took", async () => {
  const { read, reads, pass } = await pacedReads(10);

  for (let index = 0; index < 3; index++) {
    await read();
    pass(2);
  }

  expect(reads).toEqual([0, 0, 0]);
});

test("a clock that was set back keeps no read waiting", async () => {
  const { read, reads, pass } = await pacedReads(1);
  await read();
  pass(-3_600_000);

  await read();

  expect(reads).toEqual([0, 0]);
});
