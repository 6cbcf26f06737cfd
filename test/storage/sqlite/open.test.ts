import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { ManualClock } from "poundlock/testing";
import { schemaVersion } from "../../../src/storage/sql/schema.ts";
import { SqliteConnection } from "../../../src/storage/sqlite/database.ts";
import { type SqliteDatabase, openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import {
  type ConnectionOptions,
  type SqliteOptions,
  SqliteStorage,
} from "../../../src/storage/sqlite/sqlite-storage.ts";
import { flowOf } from "../../../src/testing/storage/harness.ts";
import { driversHere, valueOf } from "./sqlite-here.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-open-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newFile = () => join(folder, `${++files}.db`);
const versionsIn = (database: SqliteDatabase) => database.prepare("select version from poundlock_schema").all().length;

for (const { driver, reason } of driversHere)
  describe.skipIf(reason !== undefined)(`${driver}${reason === undefined ? "" : `: ${reason}`}`, () => {
    const open = (file: string, options: SqliteOptions = {}) => SqliteStorage.open(file, { driver, ...options });

    /** A file with 200 flows, all of it in that one file, kept as `journal` says. */
    async function filled(journal: "wal" | "delete"): Promise<string> {
      const file = newFile();
      const storage = await open(file);
      const name = "n".repeat(200);
      await Promise.all(Array.from({ length: 200 }, (_, index) => storage.insertFlow(flowOf(`f${index}`, { name }))));
      await storage.close();
      // The copy is no other connection's, and so in the mode that it says it is.
      const copy = newFile();
      copyFileSync(file, copy);
      if (journal === "delete") {
        const bytes = readFileSync(copy);
        bytes.fill(1, 18, 20);
        writeFileSync(copy, bytes);
      }
      return copy;
    }

    describe("open", () => {
      test("makes the file, in WAL mode and with its schema", async () => {
        const file = newFile();

        const storage = await open(file);

        const other = openDatabase(file, driver);
        expect([valueOf(other, "pragma journal_mode"), versionsIn(other)]).toEqual(["wal", schemaVersion]);
        other.close();
        await storage.close();
      });

      afterEach(() => void vi.restoreAllMocks());

      test.each([
        [undefined, 2],
        ["full", 2],
        ["normal", 1],
      ] as const)("with synchronous %s keeps the file that way, and foreign keys", async (synchronous, level) => {
        const probe = openDatabase(":memory:", driver);
        const exec = vi.spyOn(Object.getPrototypeOf(probe) as SqliteDatabase, "exec");
        const storage = await open(newFile(), synchronous === undefined ? {} : { synchronous });

        // The very connection that the storage works on.
        const own = exec.mock.contexts.at(-1) as SqliteDatabase;
        expect(own).not.toBe(probe);
        expect(valueOf(own, "pragma synchronous")).toBe(level);
        expect(valueOf(own, "pragma foreign_keys")).toBe(1);
        probe.close();
        await storage.close();
      });

      test("does not rely on how the driver sets a connection up", async () => {
        const database = openDatabase(newFile(), driver);
        database.exec("pragma foreign_keys = off; pragma synchronous = off; pragma busy_timeout = 5000");
        const parts = {
          database,
          synchronous: "full",
          busyTimeoutMs: 0,
          clock: new ManualClock(),
          owned: true,
        } as const;

        const connection = new SqliteConnection(parts);
        await connection.open();

        expect(valueOf(database, "pragma foreign_keys")).toBe(1);
        expect(valueOf(database, "pragma synchronous")).toBe(2);
        // As long as this the driver may block the whole process.
        expect(Number(valueOf(database, "pragma busy_timeout"))).toBeLessThanOrEqual(10);
        await connection.close();
      });

      test("finds what was there, and applies no version again", async () => {
        const file = newFile();
        const first = await open(file);
        await first.insertFlow(flowOf("a"));
        await first.close();

        const second = await open(file);

        expect((await second.findFlow("a"))?._id).toBe("a");
        await second.close();
      });

      test("twice at once makes two that see each other's flows", async () => {
        const file = newFile();

        const [one, other] = await Promise.all([open(file), open(file)]);
        await one.insertFlow(flowOf("a"));

        expect(await other.insertFlow(flowOf("a"))).toBe(false);
        await Promise.all([one.close(), other.close()]);
        const database = openDatabase(file, driver);
        expect(versionsIn(database)).toBe(schemaVersion);
        database.close();
      });

      test("keeps a host's own tables in the file", async () => {
        const file = newFile();
        const host = openDatabase(file, driver);
        host.exec("create table orders (id integer); insert into orders values (7)");

        const storage = await open(file);

        expect(valueOf(host, "select id from orders")).toBe(7);
        await storage.close();
        host.close();
      });
    });

    describe("a file that is no good is refused, and left as it is:", () => {
      const isGone = (path: string) => !existsSync(path) || statSync(path).size === 0;

      async function refusalOf(file: string) {
        const error = await open(file).then(
          () => undefined,
          (thrown: unknown) => thrown as Error & { code: string },
        );
        if (error === undefined) throw new Error(`${file} was opened`);
        expect(error.code).toBe("storage_failed");
        expect(error.message).toContain(`open of ${file}: `);
        return error.message.slice(error.message.indexOf(file) + file.length + 2);
      }

      const damages: Readonly<Record<string, readonly [damage: (good: Buffer) => Buffer, says: RegExp]>> = {
        "a string file": [() => Buffer.from("id;name\n1;Ada\n".repeat(500)), /^file is not a database$/],
        "half of a file": [(good) => good.subarray(0, good.length / 2), /^database disk image is malformed$/],
        "some bytes of a file": [(good) => good.subarray(0, 700), /^database disk image is malformed$/],
        "a first page of other bytes": [
          (good) => Buffer.from(good).fill(0xa5, 100, 4_096),
          /^database disk image is malformed$/,
        ],
      };

      test.each(Object.entries(damages))("%s", async (_, [damage, says]) => {
        const file = newFile();
        const bytes = damage(readFileSync(await filled("wal")));
        writeFileSync(file, bytes);

        expect(await refusalOf(file)).toMatch(says);

        expect(readFileSync(file).equals(bytes)).toBe(true);
        expect([isGone(`${file}-wal`), existsSync(`${file}-journal`)]).toEqual([true, false]);
      });

      test.each(["wal", "delete"] as const)("one of a newer poundlock, in %s mode", async (journal) => {
        const file = await filled(journal);
        const newer = openDatabase(file, driver);
        newer.exec(`insert into poundlock_schema (version) values (${schemaVersion + 3})`);
        newer.exec("pragma wal_checkpoint(truncate)");
        newer.close();
        const bytes = readFileSync(file);

        expect(await refusalOf(file)).toBe(
          `the data has schema version ${schemaVersion + 3}, and this version of poundlock knows versions up to ` +
            `${schemaVersion}: use a newer poundlock`,
        );

        expect(readFileSync(file).equals(bytes)).toBe(true);
        expect(isGone(`${file}-wal`)).toBe(true);
        if (journal === "delete") expect(existsSync(`${file}-shm`)).toBe(false);
      });

      test("a folder", async () => {
        const file = newFile();
        mkdirSync(file);

        expect(await refusalOf(file)).toMatch(/unable to open/i);
      });

      test("a file in a folder that is not there", async () => {
        const file = join(newFile(), "flows.db");

        expect(await refusalOf(file)).toContain(`there is no folder ${join(file, "..")}`);

        expect(existsSync(join(file, ".."))).toBe(false);
      });
    });

    test("a page that is damaged where nothing looks as the file is opened fails the call that needs it", async () => {
      const file = await filled("wal");
      const database = openDatabase(file, driver);
      const page = Number(valueOf(database, "select rootpage from sqlite_master where name = 'poundlock_flows'"));
      database.close();
      const bytes = readFileSync(file);
      bytes.fill(0xa5, (page - 1) * 4_096, page * 4_096);
      writeFileSync(file, bytes);

      const storage = await open(file).catch((error: unknown) => error);

      // Either is right. What matters is that it is said, and that nothing is changed.
      const malformed = {
        code: "storage_failed",
        message: expect.stringContaining("database disk image is malformed") as unknown,
      };
      if (storage instanceof SqliteStorage) {
        await expect(storage.listFlows({ limit: 10 })).rejects.toMatchObject(malformed);
        await expect(storage.insertFlow(flowOf("new"))).rejects.toMatchObject(malformed);
        await storage.close();
      } else expect(storage).toMatchObject(malformed);
      expect(readFileSync(file).equals(bytes)).toBe(true);
    });

    describe("close", () => {
      test("may be called twice, and at once", async () => {
        const storage = await open(newFile());

        await Promise.all([storage.close(), storage.close()]);
        await storage.close();
      });

      test("waits for what was asked before, and refuses what is asked afterwards", async () => {
        const file = newFile();
        const storage = await open(file);
        let results = 0;
        const asked = Array.from({ length: 20 }, (_, index) =>
          storage.insertFlow(flowOf(`f${index}`)).then(() => results++),
        );

        await storage.close();

        expect(results).toBe(20);
        await Promise.all(asked);
        const closed = { code: "storage_failed", message: expect.stringContaining("it is closed") as unknown };
        await expect(storage.insertFlow(flowOf("late"))).rejects.toMatchObject(closed);
        await expect(storage.findFlow("f1")).rejects.toMatchObject(closed);
      });

      test("leaves all of it in the one file, so that it can be copied", async () => {
        const file = newFile();
        const storage = await open(file);
        await storage.insertFlow(flowOf("a"));
        await storage.close();
        const copy = newFile();
        copyFileSync(file, copy);

        const restored = await open(copy);

        expect((await restored.findFlow("a"))?._id).toBe("a");
        await restored.close();
      });

      test("waits for a read that waits for a lock", async () => {
        const file = newFile();
        const holder = openDatabase(file, driver);
        holder.exec("create table other (id)");
        const clock = new ManualClock();
        const database = openDatabase(file, driver);
        database.exec("pragma busy_timeout = 0");
        const connection = new SqliteConnection({ database, busyTimeoutMs: 1_000, clock, owned: false });
        await connection.open();
        // Not in WAL mode, so it keeps even readers out.
        holder.exec("begin exclusive");
        const ends: string[] = [];

        const read = connection.query({
          sql: "select count(*) from other",
          values: [],
          returnsRows: true,
          locks: false,
        });
        const done = [read.then(() => ends.push("read")), connection.close().then(() => ends.push("close"))];
        await clock.settle();
        expect(ends).toEqual([]);
        holder.exec("commit");
        await clock.advance(50);
        await Promise.all(done);

        expect(ends).toEqual(["read", "close"]);
        holder.close();
        database.close();
      });
    });
  });

describe("an option that does not runLease is named", () => {
  test.each([
    ["synchronous", { synchronous: "off" }],
    ["busyTimeoutMs", { busyTimeoutMs: -1 }],
    ["busyTimeoutMs", { busyTimeoutMs: Infinity }],
    ["driver", { driver: "sqlite3" }],
    ["sinchronous", { sinchronous: "full" }],
  ])("%s: %o", async (option, options) => {
    const file = newFile();

    await expect(SqliteStorage.open(file, options as SqliteOptions)).rejects.toMatchObject({
      code: "invalid_option",
      option,
    });

    expect(existsSync(file)).toBe(false);
  });

  test.each([[""], [7], [undefined]])("file: %o", async (file) => {
    await expect(SqliteStorage.open(file as string)).rejects.toMatchObject({ code: "invalid_option", option: "file" });
  });

  test.each([
    ["database", {}, {}],
    ["busyTimeoutMs", undefined, { busyTimeoutMs: "1" }],
    ["synchronous", undefined, { synchronous: "full" }],
  ])("%s, of a host's own connection", (option, database, options) => {
    const own = openDatabase(":memory:");

    expect(() => new SqliteStorage((database ?? own) as SqliteDatabase, options as ConnectionOptions)).toThrow(
      expect.objectContaining({ code: "invalid_option", option }),
    );

    own.close();
  });
});

describe("eight processes", () => {
  const children: ChildProcess[] = [];
  afterAll(() => children.forEach((child) => child.kill()));

  test("that open the same new file at the same time all succeed, and its schema is there once", async () => {
    const program = fileURLToPath(new URL("opening-child.ts", import.meta.url));
    for (let nth = 1; nth <= 8; nth++)
      children.push(
        fork(program, [`flow-${nth}`], {
          execArgv: ["--import", "tsx"],
          stdio: ["ignore", "ignore", "inherit", "ipc"],
        }),
      );
    const returnsOf = (all: readonly ChildProcess[]) =>
      Promise.all(
        all.map(async (child) => {
          const ended = once(child, "exit").then(([code]) => [`it ended with ${String(code)}`]);
          return ((await Promise.race([once(child, "message"), ended])) as [string])[0];
        }),
      );
    expect(await returnsOf(children)).toEqual(children.map(() => "ready"));

    for (let round = 0; round < 6; round++) {
      const file = newFile();
      const results = returnsOf(children);
      for (const child of children) child.send(file);

      expect(await results).toEqual(children.map(() => "added"));
      const database = openDatabase(file);
      expect(versionsIn(database)).toBe(schemaVersion);
      expect(valueOf(database, "select count(*) from poundlock_flows")).toBe(8);
      expect(valueOf(database, "pragma integrity_check")).toBe("ok");
      database.close();
    }
  });
});
