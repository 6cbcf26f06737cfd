import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { InvalidOptionError } from "../../../src/errors.ts";
import {
  type Loaders,
  type SqliteDatabaseClass,
  type SqliteDriver,
  chooseDriver,
  openDatabase,
  sqliteDrivers,
} from "../../../src/storage/sqlite/drivers.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-drivers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A driver that does nothing but open. */
const driverCalled = (name: string): SqliteDatabaseClass =>
  Object.defineProperty(
    class {
      exec = () => undefined;
      prepare = () => ({ all: () => [], run: () => undefined });
      close = () => undefined;
    },
    "name",
    { value: name },
  );

/** Node 20 with nothing installed, but for `changes`. */
const machine = (changes: Partial<Loaders> = {}): Loaders => ({
  nodeVersion: "20.20.2",
  "node:sqlite": () => undefined,
  libsql: () => undefined,
  "better-sqlite3": () => undefined,
  "better-sqlite3/package.json": () => undefined,
  ...changes,
});
const withNodeSqlite = { nodeVersion: "22.13.0", "node:sqlite": () => ({ DatabaseSync: driverCalled("node:sqlite") }) };
const withLibsql = { libsql: () => driverCalled("libsql") };
const withBetterSqlite3 = (version: string) => ({
  "better-sqlite3": () => driverCalled("better-sqlite3"),
  "better-sqlite3/package.json": () => ({ version }),
});

function refusal(driver: SqliteDriver | undefined, loaders: Loaders): InvalidOptionError {
  try {
    chooseDriver(driver, loaders);
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
    throw error;
  }
  throw new Error("It was not refused");
}

describe("without a driver named", () => {
  test("the first one that is there is taken: node:sqlite, then libsql, then better-sqlite3", () => {
    const all = { ...withNodeSqlite, ...withLibsql, ...withBetterSqlite3("13.2.0") };

    expect(chooseDriver(undefined, machine(all)).name).toBe("node:sqlite");
    expect(chooseDriver(undefined, machine({ ...all, "node:sqlite": () => undefined })).name).toBe("libsql");
    expect(chooseDriver(undefined, machine(withBetterSqlite3("12.11.1"))).name).toBe("better-sqlite3");
  });

  test("on a machine that has none the error says what to install, and which Node needs nothing", () => {
    const error = refusal(undefined, machine());

    expect([error.code, error.option]).toEqual(["invalid_option", "driver"]);
    expect(error.message).toBe(
      "driver: expected a SQLite driver that works here (node:sqlite: it comes with Node 22.13, and this is 20.20.2; " +
        "libsql: not installed, `npm install libsql`; better-sqlite3: not installed, `npm install better-sqlite3`), " +
        "found undefined",
    );
  });

  test("a driver that is broken is passed over, and named if no other works", () => {
    const broken = () => {
      throw new Error("'libsql' has the wrong ELF class");
    };

    expect(chooseDriver(undefined, machine({ ...withBetterSqlite3("12.11.1"), libsql: broken })).name).toBe(
      "better-sqlite3",
    );
    const error = refusal(undefined, machine({ libsql: broken }));
    expect(error.message).toContain("libsql: 'libsql' has the wrong ELF class;");
    expect((error.cause as AggregateError).errors).toHaveLength(3);
  });

  test("a driver that loads, but has no binary to open a database with, is passed over", () => {
    const hollow = class extends driverCalled("better-sqlite3") {
      constructor(file: string) {
        super(file);
        throw new Error("Could not locate the bindings file");
      }
    };
    const loaders = machine({ ...withBetterSqlite3("12.11.1"), "better-sqlite3": () => hollow });

    expect(refusal(undefined, loaders).message).toContain("better-sqlite3: Could not locate the bindings file");
  });
});

describe("a driver that is named", () => {
  test("is taken, even if another one would come first", () => {
    expect(chooseDriver("libsql", machine({ ...withNodeSqlite, ...withLibsql })).name).toBe("libsql");
  });

  test.each(sqliteDrivers)("%s is refused if it is missing, even if all others are there", (driver) => {
    const others = { ...withNodeSqlite, ...withLibsql, ...withBetterSqlite3("12.11.1") };
    const { nodeVersion: _, ...missing } = machine();
    const loaders = { ...machine(others), [driver]: missing[driver] };

    const error = refusal(driver, loaders);

    const reason = driver === "node:sqlite" ? "it comes with Node 22.13" : `not installed, \`npm install ${driver}\``;
    expect(error.message).toContain(`(${driver}: ${reason}`);
    expect(error.message).toMatch(new RegExp(`, found "${driver}"$`));
  });

  test("is refused with its own error as cause if it is there, but does not load", () => {
    const own = Object.assign(new Error("Cannot find module '@libsql/linux-x64-gnu'\nRequire stack:\n- libsql.js"), {
      code: "MODULE_NOT_FOUND",
    });
    const broken = () => {
      throw own;
    };

    const error = refusal("libsql", machine({ ...withNodeSqlite, libsql: broken }));

    expect(error.message).toContain("(libsql: Cannot find module '@libsql/linux-x64-gnu' Require stack: - libsql.js)");
    expect(error.cause).toBe(own);
  });

  test("is refused if there is no such driver", () => {
    expect(refusal("sqlite3" as SqliteDriver, machine()).message).toBe(
      'driver: expected one of node:sqlite, libsql, better-sqlite3, found "sqlite3"',
    );
  });
});

describe("better-sqlite3 13, which kills Node 20 as it is loaded,", () => {
  const loadedOn = (nodeVersion: string, version: string) => {
    let loaded = false;
    const better = withBetterSqlite3(version);
    const load = () => {
      loaded = true;
      return better["better-sqlite3"]();
    };
    const loaders = machine({ ...better, nodeVersion, "better-sqlite3": load });
    try {
      chooseDriver("better-sqlite3", loaders);
    } catch (error) {
      return [loaded, (error as Error).message];
    }
    return [loaded];
  };

  test("is refused below Node 22 without being loaded", () => {
    expect(loadedOn("20.20.2", "13.2.0")).toEqual([
      false,
      "driver: expected a SQLite driver that works here (better-sqlite3: its version 13.2.0 needs Node 22, and this is " +
        '20.20.2: version 12 works here), found "better-sqlite3"',
    ]);
    expect(loadedOn("21.7.3", "14.0.0")[0]).toBe(false);
  });

  test("is taken from Node 22 on, and version 12 on any", () => {
    expect(loadedOn("22.13.0", "13.2.0")).toEqual([true]);
    expect(loadedOn("20.19.0", "12.11.1")).toEqual([true]);
  });
});

describe("on this machine", () => {
  const major = Number.parseInt(process.versions.node, 10);
  const why: Readonly<Record<SqliteDriver, string | false>> = {
    "node:sqlite": process.getBuiltinModule("node:sqlite") === undefined && `Node ${process.versions.node} has none`,
    libsql: false,
    "better-sqlite3": major < 22 && `version 13 needs Node 22, and this is ${process.versions.node}`,
  };

  for (const driver of sqliteDrivers) {
    const reason = why[driver];
    const title = `${driver} keeps text, numbers, nothing and bytes in a file`;
    test.skipIf(reason !== false)(reason === false ? title : `${title} (skipped: ${reason})`, () => {
      const file = join(folder, `${driver.replace(":", " ")} #1.db`);
      const database = openDatabase(file, driver);
      database.exec("create table kept (a string, b integer, c text, d blob); create index kept_b on kept (b)");
      database.prepare("insert into kept values (?, ?, ?, ?)").run("é", 2 ** 52, null, new Uint8Array([0, 255]));
      database.close();

      const again = openDatabase(file, driver);
      const rows = again.prepare("select a, b, c, hex(d) as d from kept where b = ?").all(2 ** 52);
      again.close();

      expect(rows.map((row) => ({ ...(row as object) }))).toEqual([{ a: "é", b: 2 ** 52, c: null, d: "00FF" }]);
    });
  }

  test("the one that is picked is one that works", () => {
    const database = openDatabase(":memory:");

    expect(database.prepare("select 1 as one where 1 = ?").all(1)).toMatchObject([{ one: 1 }]);
    database.close();
  });

  const refusedHere = major < 22;
  const title = "better-sqlite3 13 is refused instead of ending this process";
  test.skipIf(!refusedHere)(refusedHere ? title : `${title} (skipped: it works with Node ${major})`, () => {
    expect(() => openDatabase(":memory:", "better-sqlite3")).toThrow("needs Node 22");
  });
});
