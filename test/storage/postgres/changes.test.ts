import pg from "pg";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { Bell } from "../../../src/storage/postgres/bell.ts";
import { PostgresChanges } from "../../../src/storage/postgres/postgres-changes.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { Spelling } from "../../../src/storage/postgres/spelling.ts";
import { flowOf } from "../../../src/testing/storage/harness.ts";
import { startPostgres, connectionTo } from "../../support/postgres-server.ts";

// A server of its own: a transaction of another test would keep back what is waited for here.
const server = await startPostgres();
const pool = new pg.Pool({ ...connectionTo(server.port), max: 12 });
const opened: PostgresStorage[] = [];
afterAll(async () => {
  await Promise.all(opened.map((storage) => storage.close()));
  await pool.end();
  await server.stop();
});

async function open(schema: string): Promise<PostgresStorage> {
  const storage = await PostgresStorage.open(pool, { schema });
  opened.push(storage);
  return storage;
}

const at = Date.UTC(2030, 0, 1);
const reader = { _id: "reader", at, until: at + 60_000 };

/** Reads on from a place, seconds after the beginning. */
function readingOn({ changes }: PostgresStorage, from: string) {
  let place = from;
  return async (seconds: number) => {
    const list = await changes.changesSince(place, { limit: 10, at: at + seconds * 1_000 });
    place = list.next;
    return { flows: list.changes.map(({ flow }) => flow?._id), gap: list.gap };
  };
}

test("a change is found that was noted before others, by a transaction that ended after them", async () => {
  const storage = await open("overtaken");
  const read = readingOn(storage, await storage.changes.followChanges(reader));
  const slow = await pool.connect();
  await slow.query("begin");
  await slow.query(
    `insert into overtaken.flows (id, doc, export_id, disabled, last_modified) values ('slow', $1, 'orders', 0, '')`,
    [JSON.stringify(flowOf("slow"))],
  );
  await storage.insertFlow(flowOf("quick"));

  const before = await read(0);
  await slow.query("commit");
  slow.release();
  const after = await read(1);

  expect(before).toEqual({ flows: [], gap: false });
  expect(after).toEqual({ flows: ["slow", "quick"], gap: false });
});

test("a host's open transaction holds changes back for 2 seconds, and is said to be a gap when it is passed and when it ends", async () => {
  const storage = await open("held");
  const read = readingOn(storage, await storage.changes.followChanges(reader));
  const host = await pool.connect();
  await host.query("begin");
  await host.query("select pg_current_xact_id()");
  await storage.insertFlow(flowOf("one"));

  const waiting = [await read(0), await read(1.9)];
  const passed = [await read(2), await read(2)];
  await storage.insertFlow(flowOf("two"));
  const beside = await read(10);
  await host.query("commit");
  host.release();
  const ended = [await read(11), await read(12)];

  expect(waiting).toEqual([
    { flows: [], gap: false },
    { flows: [], gap: false },
  ]);
  expect(passed).toEqual([
    { flows: [], gap: true },
    { flows: ["one"], gap: false },
  ]);
  expect(beside).toEqual({ flows: ["two"], gap: false });
  expect(ended).toEqual([
    { flows: [], gap: true },
    { flows: [], gap: false },
  ]);
});

test("what a crash of the database emptied is said to be a gap, once, and what follows is found", async () => {
  const storage = await open("crashed");
  const read = readingOn(storage, await storage.changes.followChanges(reader));
  await storage.insertFlow(flowOf("lost"));
  await pool.query("truncate crashed.changes_0, crashed.changes_1, crashed.feed");

  const first = await read(0);
  await storage.insertFlow(flowOf("kept"));

  expect(first).toEqual({ flows: [], gap: true });
  expect(await read(1)).toEqual({ flows: ["kept"], gap: false });
});

test("a place of another database is said to be a gap", async () => {
  const storage = await open("elsewhere");
  await storage.changes.followChanges(reader);
  const read = readingOn(storage, `${2 ** 52}.0.0.0.0`);

  expect(await read(0)).toEqual({ flows: [], gap: true });
  await storage.insertFlow(flowOf("here"));
  expect(await read(1)).toEqual({ flows: ["here"], gap: false });
});

/** The changes of a schema, at another time than now by which tables take turns. */
function changesAt(schema: string, minutes: number): PostgresChanges {
  const bell = new Bell({ pool, listen: undefined, schema, clock: systemClock });
  const now = `to_timestamp(${minutes * 60})`;
  return new PostgresChanges({ pool, bell, spelling: new Spelling(schema), now });
}

test("the table of the turn before is emptied in the second half of a turn, and a reader that has not come as far is notified", async () => {
  const storage = await open("turns");
  const { changes } = storage;
  const place = await changes.followChanges(reader);
  await storage.insertFlow(flowOf("old"));
  const { rows } = await pool.query<{ size: string }>("select count(*) as size from turns.changes_0");
  // In the hour that is written now it is not the one before.
  const now = rows[0]?.size === "1" ? 0 : 1;

  await changesAt("turns", 60 * now + 45).forgetChanges();
  await changesAt("turns", 60 * (now + 1) + 29).forgetChanges();
  const kept = await changes.changesSince(place, { limit: 10, at });
  await changesAt("turns", 60 * (now + 1) + 30).forgetChanges();
  await storage.insertFlow(flowOf("new"));
  const tooLate = await changes.changesSince(place, { limit: 10, at });
  const inTime = await changes.changesSince(kept.next, { limit: 10, at });

  expect([kept.changes.map(({ flow }) => flow?._id), kept.gap]).toEqual([["old"], false]);
  expect([tooLate.changes.map(({ flow }) => flow?._id), tooLate.gap]).toEqual([["new"], true]);
  expect([inTime.changes.map(({ flow }) => flow?._id), inTime.gap]).toEqual([["new"], false]);
});

test("a table that somebody writes into is left for another time, and nobody waits", async () => {
  const storage = await open("written");
  await storage.changes.followChanges(reader);
  const writing = await pool.connect();
  await writing.query("begin; insert into written.changes_0 (change, flow_id) values ('flow:created', 'x')");
  await pool.query("insert into written.changes_0 (change, flow_id) values ('flow:created', 'y')");

  await changesAt("written", 105).forgetChanges();

  await writing.query("rollback");
  writing.release();
  expect((await pool.query("select 1 from written.changes_0")).rows).toHaveLength(1);
});

/** Resolves when `condition` is true. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => systemClock.setTimer(() => resolve(undefined), 5));
}

test("a process rings for changes while another one reads them", async () => {
  const [one, other] = [await open("rung"), await open("rung")];
  let [heard, ready] = [0, 0];
  const ends = [one.changes.onBell?.(() => heard++), other.wakes.onBell?.(() => ready++)];
  await until(() => heard > 0 && ready > 0);
  await one.changes.followChanges(reader);
  const before = heard;

  await other.insertFlow(flowOf("flow"));
  await until(() => heard > before);

  for (const end of ends) end?.();
  expect(heard).toBe(before + 1);
});
