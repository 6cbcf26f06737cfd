import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InvalidOptionError } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";
import { hostPackage } from "./host-package.ts";

/** The few methods that node:sqlite, libsql and better-sqlite3 have in common. */
export interface SqliteDatabase {
  /** Runs any number of statements, none of which takes a value or returns rows. */
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  /** Closing twice throws with some drivers. */
  close(): unknown;
}

/**
 * A statement that can be run again and again, with a value for each `?` in it: null, a number, a string or bytes.
 * The types of the three drivers have no narrower type in common than `unknown`.
 */
export interface SqliteStatement {
  /** For a statement that returns rows: all of them, as objects by column name. */
  all(...values: unknown[]): unknown[];
  /** For a statement that returns none. */
  run(...values: unknown[]): unknown;
}

/** In the order in which they are tried. */
export const sqliteDrivers = ["node:sqlite", "libsql", "better-sqlite3"] as const;

/** The package, or the part of Node, that works on the file. */
export type SqliteDriver = (typeof sqliteDrivers)[number];

/** What a driver is once it is loaded. */
export type SqliteDatabaseClass = new (file: string, options?: object) => SqliteDatabase;

/** How a computer comes by its drivers. A loader returns undefined if this Node, or the host, has no such driver. */
export interface Loaders {
  /** The version of Node, such as `22.13.0`. */
  readonly nodeVersion: string;
  readonly "node:sqlite": () => { readonly DatabaseSync: SqliteDatabaseClass } | undefined;
  readonly libsql: () => SqliteDatabaseClass | undefined;
  readonly "better-sqlite3": () => SqliteDatabaseClass | undefined;
  /** The package.json of better-sqlite3, read without loading the package. */
  readonly "better-sqlite3/package.json": () => { readonly version: string } | undefined;
}

/**
 * Opens `file`, which is made if there is none, with `driver`, or with the first one of {@link sqliteDrivers} that this
 * machine has. Throws what the driver throws if the file cannot be opened.
 *
 * @throws {InvalidOptionError} naming `driver` and saying why, if it cannot be loaded here, or if none can.
 */
export function openDatabase(file: string, driver?: SqliteDriver): SqliteDatabase {
  return new (chooseDriver(driver, loadersHere()).databaseClass)(file);
}

/**
 * The same for reading only: nothing of the file can be changed, and none is made.
 *
 * @throws {InvalidOptionError} as {@link openDatabase} does.
 */
export function openForReading(file: string, driver?: SqliteDriver): SqliteDatabase {
  const { databaseClass, name } = chooseDriver(driver, loadersHere());
  // libsql knows no such option: it goes by what an address of SQLite says.
  if (name === "libsql") return new databaseClass(`${pathToFileURL(resolve(file)).href}?mode=ro`);
  return new databaseClass(file, name === "node:sqlite" ? { readOnly: true } : { readonly: true, fileMustExist: true });
}

/** A driver that works, and what it is called. */
export interface ChosenDriver {
  readonly name: SqliteDriver;
  readonly databaseClass: SqliteDatabaseClass;
}

/**
 * `driver`, or the first one of {@link sqliteDrivers} that `loaders` bring.
 *
 * @throws {InvalidOptionError} naming `driver`; what the drivers said is `cause`.
 */
export function chooseDriver(driver: SqliteDriver | undefined, loaders: Loaders): ChosenDriver {
  if (driver !== undefined && !sqliteDrivers.includes(driver))
    throw new InvalidOptionError("driver", `one of ${sqliteDrivers.join(", ")}`, driver);
  const problems: unknown[] = [];
  const reasons: string[] = [];
  for (const name of driver === undefined ? sqliteDrivers : [driver]) {
    try {
      return { name, databaseClass: proven(load[name](loaders)) };
    } catch (error) {
      problems.push(error);
      reasons.push(`${name}: ${messageOf(error).replaceAll(/\s+/g, " ")}`);
    }
  }
  throw new InvalidOptionError("driver", `a SQLite driver that works here (${reasons.join("; ")})`, driver, {
    cause: driver === undefined ? new AggregateError(problems, "No SQLite driver works here") : problems[0],
  });
}

const load: Readonly<Record<SqliteDriver, (loaders: Loaders) => SqliteDatabaseClass>> = {
  "node:sqlite": (loaders) => {
    const module = loaders["node:sqlite"]();
    if (module === undefined) throw new Error(`it comes with Node 22.13, and this is ${loaders.nodeVersion}`);
    return module.DatabaseSync;
  },
  libsql: (loaders) => loaders.libsql() ?? notInstalled("libsql"),
  "better-sqlite3": (loaders) => {
    const { version } = loaders["better-sqlite3/package.json"]() ?? notInstalled("better-sqlite3");
    // Loading 13 on an older Node kills the process, so there would be nothing to catch.
    if (majorOf(version) >= 13 && majorOf(loaders.nodeVersion) < 22)
      throw new Error(
        `its version ${version} needs Node 22, and this is ${loaders.nodeVersion}: version 12 works here`,
      );
    return loaders["better-sqlite3"]() ?? notInstalled("better-sqlite3");
  },
};

function notInstalled(name: string): never {
  throw new Error(`not installed, \`npm install ${name}\``);
}

/** The same class, after one database: better-sqlite3 looks for its binary only then. */
function proven(databaseClass: SqliteDatabaseClass): SqliteDatabaseClass {
  new databaseClass(":memory:").close();
  return databaseClass;
}

const majorOf = (version: string) => Number.parseInt(version, 10);

function loadersHere(): Loaders {
  return {
    nodeVersion: process.versions.node,
    "node:sqlite": () => process.getBuiltinModule("node:sqlite") as ReturnType<Loaders["node:sqlite"]>,
    libsql: () => hostPackage("libsql") as SqliteDatabaseClass | undefined,
    "better-sqlite3": () => hostPackage("better-sqlite3") as SqliteDatabaseClass | undefined,
    "better-sqlite3/package.json": () =>
      hostPackage("better-sqlite3/package.json") as { readonly version: string } | undefined,
  };
}
