import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ManualClock } from "poundlock/testing";
import type { Clock } from "../../../src/clock.ts";
import { type TransactionBody, execute, rowsOf } from "../../../src/storage/sql/database.ts";
import { type ConnectionParts, SqliteConnection } from "../../../src/storage/sqlite/database.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { PolledWakes } from "../../../src/storage/sql/processes/wakes.ts";
import { SqliteChanges } from "../../../src/storage/sqlite/sqlite-changes.ts";
import { SqlStorage } from "../../../src/storage/sql/sql-storage.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { failureOf, flowOf, pageOf, roomy, startOf } from "../../../src/testing/storage/harness.ts";
import { driversHere, recorded, valueOf } from "./sqlite-here.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-connection-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);
const locked = expect.stringContaining("database is locked") as unknown;

for (const { driver, reason } of driversHere)
  describe.skipIf(reason !== undefined)(`${driver}${reason === undefined ? "" : `: ${reason}`}`, () => {
    /** A connection to a file with a table of notes, what it executed, and another connection to the same file. */
    async function connected(parts: Partial<ConnectionParts> = {}) {
      const file = join(folder, `${++files}.db`);
      const clock = new ManualClock();
      const own = openDatabase(file, driver);
      const other = openDatabase(file, driver);
      const { database, done } = recorded(own);
      const synchronous = "normal";
      const connection = new SqliteConnection({
        ...{ database, synchronous, busyTimeoutMs: 100, clock, owned: true },
        ...parts,
      });
      await connection.open();
      other.exec("create table notes (note text primary key)");
      done.length = 0;
      const close = async () => {
        await connection.close();
        other.close();
      };
      return { connection, clock, own, other, done, close };
    }

    const note = (text: string | null) =>
      function* (): TransactionBody<string | null> {
        yield* execute("insert into notes values (?)", text);
        return text;
      };
    function* fails(text: string): TransactionBody<void> {
      yield* execute("insert into notes values (?)", text);
      yield* execute("insert into flowers values (?)", text);
    }
    const notes = { sql: "select note from notes order by note", values: [], returnsRows: true, locks: false as const };
    const noted = async (connection: SqliteConnection) =>
      (await connection.query(notes)).map((row) => (row as { note: string }).note);
    const ends = (done: readonly string[]) => done.filter((sql) => /^(begin|commit|rollback)/.test(sql));

    describe("writes that are asked for in one turn", () => {
      test("share one transaction, and are answered in order, each with its own", async () => {
        const { connection, done, close } = await connected();

        const results = await Promise.all(upTo(100).map((nth) => connection.runTransaction(note(`${nth}`))));

        expect(results).toEqual(upTo(100).map(String));
        expect(ends(done)).toEqual(["begin immediate", "commit"]);
        await close();
      });

      test("of a storage, too: each of its methods takes part", async () => {
        const { connection, done, close } = await connected();
        const storage = new SqlStorage(connection, {
          wakes: new PolledWakes(connection, 250),
          changes: new SqliteChanges(connection),
        });

        await Promise.all([
          ...upTo(20).map((nth) => storage.insertFlow(flowOf(`f${nth}`))),
          storage.queueRun(startOf("run", "f1"), roomy),
          storage.claimRun("f1", { token: "t", at: 1, until: 2 }),
          storage.setCheckpoint("f2", { value: 1, version: 1 }, { _importIds: ["ledger"], at: 1 }),
        ]);

        expect(ends(done)).toEqual(["begin immediate", "commit"]);
        await close();
      });

      test("are all kept but for the one that fails, which has left no trace", async () => {
        const { connection, done, other, close } = await connected();

        const settled = await Promise.allSettled([
          connection.runTransaction(note("a")),
          connection.runTransaction(() => fails("broken")),
          connection.runTransaction(note("b")),
          connection.runTransaction(note("a")),
          connection.runTransaction(() => {
            throw new Error("no script");
          }),
          connection.runTransaction(note("c")),
        ]);

        expect(settled.map(({ status }) => status === "fulfilled")).toEqual([true, false, true, false, false, true]);
        expect(await noted(connection)).toEqual(["a", "b", "c"]);
        expect(valueOf(other, "select count(*) from notes")).toBe(3);
        // Once together, and then each alone.
        expect(ends(done).filter((sql) => sql === "begin immediate")).toHaveLength(7);
        expect(ends(done).filter((sql) => sql === "rollback")).toHaveLength(4);
        await close();
      });

      test("of a storage are kept although one of them holds what cannot be copied", async () => {
        const storage = new SqliteStorage(openDatabase(":memory:", driver));
        await storage.insertFlow(flowOf("flow"));
        await storage.queueRun(startOf("run"), roomy);
        await storage.claimRun("flow", { token: "t", at: 1, until: 2 });
        const failure = failureOf("bad", { record: { id: 1, call: () => 1 } });

        const [bad, good, page] = await Promise.allSettled([
          storage.commitPage({ _runId: "run", token: "t" }, pageOf(1, { failures: [failure] })),
          storage.insertFlow(flowOf("other")),
          storage.commitPage({ _runId: "run", token: "t" }, pageOf(1, { failures: [failureOf("good")] })),
        ]);

        expect(bad).toMatchObject({ status: "rejected", reason: { code: "storage_failed" } });
        expect([good.status, page.status]).toEqual(["fulfilled", "fulfilled"]);
        expect((await storage.listFailures({ limit: 10 })).items.map(({ _id }) => _id)).toEqual(["good"]);
        await storage.close();
      });

      test("are executed again from the beginning when another one fails", async () => {
        const { connection, close } = await connected();
        let executions = 0;
        const counting = function* (): TransactionBody<readonly unknown[]> {
          executions++;
          yield* execute("insert into notes values ('once')");
          return yield* rowsOf("select note from notes");
        };

        const counted = connection.runTransaction(counting);
        await expect(connection.runTransaction(() => fails("x"))).rejects.toThrow(/no such table: flowers/);

        expect(await counted).toHaveLength(1);
        expect(executions).toBe(2);
        await close();
      });

      test("are cut into several transactions if they take long, and other work has its turn in between", async () => {
        let at = 0;
        const turns: number[] = [];
        // Each look at the clock, and so each write, takes a quarter of what one transaction may.
        const slow: Clock = {
          now: () => (at += 2),
          setTimer: () => () => undefined,
          yieldToEventLoop: () =>
            new Promise((resolve) => {
              turns.push(at);
              setImmediate(resolve);
            }),
        };
        const { connection, done, close } = await connected({ clock: slow });
        const before = turns.length;

        const results = await Promise.all(upTo(40).map((nth) => connection.runTransaction(note(`${nth}`))));

        expect(results).toEqual(upTo(40).map(String));
        const sizes = done
          .join(" ")
          .split("begin immediate")
          .slice(1)
          .map((part) => part.split("insert").length - 1);
        expect(sizes).toEqual(upTo(10).map(() => 4));
        expect(turns.length - before).toBeGreaterThanOrEqual(10);
        await close();
      });
    });

    test("a full disk fails what needs room with what SQLite says, and the connection goes on when there is some", async () => {
      const { connection, own, close } = await connected();
      const pages = Number(valueOf(own, "pragma page_count"));
      own.exec(`pragma max_page_count = ${pages}`);
      const large = "x".repeat(20_000);

      const settled = await Promise.allSettled([
        connection.runTransaction(note(`1${large}`)),
        connection.runTransaction(note("small")),
        connection.runTransaction(note(`2${large}`)),
      ]);

      expect(settled.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
      expect(settled[0]).toMatchObject({ reason: { message: "database or disk is full" } });
      expect(await noted(connection)).toEqual(["small"]);
      own.exec("pragma max_page_count = 1000000");
      await connection.runTransaction(note(`3${large}`));
      expect(await noted(connection)).toEqual([`3${large}`, "small"]);
      await close();
    });

    describe("while another connection holds the lock for writing", () => {
      test("reads are answered", async () => {
        const { connection, other, close } = await connected();
        other.exec("begin immediate; insert into notes values ('theirs')");

        expect(await noted(connection)).toEqual([]);

        other.exec("commit");
        expect(await noted(connection)).toEqual(["theirs"]);
        await close();
      });

      test("a write waits, other work goes on, and it is done once the lock is free", async () => {
        const { connection, clock, other, close } = await connected();
        other.exec("begin immediate; insert into notes values ('theirs')");
        let answered = false;

        const write = connection.runTransaction(note("ours")).then(() => (answered = true));
        for (let turn = 0; turn < 5; turn++) {
          await clock.settle();
          // What waits is a timer of the clock's, and nothing else.
          expect([clock.timers, answered]).toEqual([1, false]);
          await clock.advance(clock.nextTimerIn ?? 0);
        }
        other.exec("commit");
        await clock.advance(20);
        await write;

        expect(await noted(connection)).toEqual(["ours", "theirs"]);
        expect(clock.timers).toBe(0);
        await close();
      });

      test("writes reject after the busy timeout, by the clock, and the next ones are done", async () => {
        const { connection, clock, done, other, close } = await connected({ busyTimeoutMs: 60 });
        other.exec("begin immediate");
        const errors: unknown[] = [];

        for (const text of ["a", "b"])
          void connection.runTransaction(note(text)).catch((error: unknown) => errors.push(error));
        await clock.advance(59);
        expect(errors).toEqual([]);
        await clock.advance(21);
        expect(errors).toMatchObject([{ message: locked }, { message: locked }]);
        // No rest is longer than 20 ms.
        expect(ends(done).length).toBeGreaterThanOrEqual(4);

        other.exec("rollback");
        expect(await connection.runTransaction(note("c"))).toBe("c");
        await close();
      });

      test("a storage says so with storage_failed", async () => {
        const file = join(folder, `${++files}.db`);
        const storage = await SqliteStorage.open(file, { driver, busyTimeoutMs: 0 });
        const other = openDatabase(file, driver);
        other.exec("begin immediate");

        await expect(storage.insertFlow(flowOf("a"))).rejects.toMatchObject({
          ...{ code: "storage_failed", cause: { message: locked } },
        });

        other.exec("rollback");
        expect(await storage.insertFlow(flowOf("a"))).toBe(true);
        other.close();
        await storage.close();
      });
    });

    describe("a host's own connection", () => {
      function hosted() {
        const host = openDatabase(join(folder, `${++files}.db`), driver);
        host.exec("pragma foreign_keys = off; pragma busy_timeout = 1234; pragma synchronous = extra");
        host.exec("create table orders (id integer primary key); insert into orders values (1)");
        return { host, storage: new SqliteStorage(host), count: () => valueOf(host, "select count(*) from orders") };
      }
      const tables = "select count(*) from sqlite_master where name like 'poundlock_%'";

      test("is left as it is, and gets its tables with the first call", async () => {
        const { host, storage, count } = hosted();
        expect(valueOf(host, tables)).toBe(0);

        expect(await storage.findFlow("none")).toBeUndefined();
        expect(await storage.insertFlow(flowOf("a"))).toBe(true);

        const pragmas = ["journal_mode", "foreign_keys", "busy_timeout", "synchronous"];
        expect(pragmas.map((name) => valueOf(host, `pragma ${name}`))).toEqual(["delete", 0, 1234, 3]);
        expect([Number(valueOf(host, tables)) > 5, count()]).toEqual([true, 1]);
        await storage.close();
        host.close();
      });

      test("stays open when the storage is closed, and another storage goes on with it", async () => {
        const { host, storage, count } = hosted();
        await storage.insertFlow(flowOf("a"));

        await storage.close();

        expect(count()).toBe(1);
        const next = new SqliteStorage(host);
        expect((await next.findFlow("a"))?._id).toBe("a");
        await next.close();
        host.close();
      });

      test("may work on between two calls, and between asking and being answered", async () => {
        const { host, storage, count } = hosted();

        const asked = storage.insertFlow(flowOf("a"));
        host.exec("insert into orders values (2)");
        expect(await asked).toBe(true);
        host.exec("begin; insert into orders values (3); commit");

        expect([await storage.insertFlow(flowOf("a")), count()]).toEqual([false, 3]);
        await storage.close();
        host.close();
      });

      test.each([true, false])(
        "has a transaction of its own open: nothing is asked within it, and it stays the host's (with tables: %s)",
        async (isMigrated) => {
          const { host, storage, count } = hosted();
          if (isMigrated) await storage.insertFlow(flowOf("before"));
          host.exec("begin; insert into orders values (2)");

          const settled = await Promise.allSettled([storage.insertFlow(flowOf("a")), storage.insertFlow(flowOf("b"))]);

          const refused = {
            code: "storage_failed",
            message: expect.stringMatching(/transaction within a transaction/) as unknown,
          };
          expect(settled).toMatchObject([{ reason: refused }, { reason: refused }]);
          expect(count()).toBe(2);
          host.exec("rollback");
          expect(count()).toBe(1);
          expect(await storage.insertFlow(flowOf("a"))).toBe(true);
          expect((await storage.listFlows({ limit: 10 })).items).toHaveLength(isMigrated ? 2 : 1);
          await storage.close();
          host.close();
        },
      );
    });
  });
