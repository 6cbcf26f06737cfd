import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemClock } from "../../clock.ts";
import { InvalidOptionError, StorageFailedError } from "../../errors.ts";
import { type Shape, checkObject, boolean, duration, objectWith, oneOf, v, validate } from "../../model/validate.ts";
import { PolledWakes } from "../sql/processes/wakes.ts";
import { SqlStorage } from "../sql/sql-storage.ts";
import { SqliteConnection } from "./database.ts";
import { ReaderChanges } from "./reader-changes.ts";
import { SqliteChanges } from "./sqlite-changes.ts";
import { type SqliteDatabase, type SqliteDriver, openDatabase, openForReading, sqliteDrivers } from "./drivers.ts";
import { type SqliteInspection, inspectFile } from "./inspection.ts";

export type { SqliteDatabase, SqliteDriver, SqliteStatement } from "./drivers.ts";
export type { SqliteContent, SqliteInspection } from "./inspection.ts";

/** How a file is kept. */
export interface SqliteOptions extends ConnectionOptions {
  /**
   * `full`: what was answered survives a loss of power. `normal`: faster; a loss of power may take the newest commits
   * back, and leaves the file whole. Both survive the death of the process.
   *
   * @default "full"
   * @see https://www.sqlite.org/pragma.html#pragma_synchronous
   */
  readonly synchronous?: "full" | "normal";
  /**
   * `auto`: `open` makes the file if there is none, and brings its schema up to date. `check`: it rejects if there is no
   * file, or one with another version of the schema than this code. @default "auto"
   */
  readonly migrate?: "auto" | "check";
  /**
   * Nothing of the file is changed: every change rejects as `storage_failed`, and `migrate` is `check`. Another process
   * may use the file meanwhile. @default false
   */
  readonly readOnly?: boolean;
  /** The package that reads the file. @default the first one there is: node:sqlite, libsql, better-sqlite3 */
  readonly driver?: SqliteDriver;
}

/** How a host's own connection is used. */
export interface ConnectionOptions {
  /** How long a call waits for a lock that another process holds before it rejects, in milliseconds; 0 or more. @default 5000 */
  readonly busyTimeoutMs?: number;
}

/**
 * Keeps everything in a file of SQLite's, for as many processes of one computer as open it. What it answered is on the
 * disk. Calls made in the same turn of the event loop share one transaction.
 */
export class SqliteStorage extends SqlStorage {
  #location: string | undefined;

  /**
   * Uses a connection of the host's, which stays the host's to close. Its journal mode, `synchronous` and busy timeout
   * are left as they are; tables are made in it, all named `poundlock_…`, with the first call.
   *
   * @throws `invalid_option`
   */
  constructor(database: SqliteDatabase, options: ConnectionOptions = {}) {
    const shape = { database: objectWith(["exec", "prepare", "close"]), ...connectionRules };
    checkObject(options, InvalidOptionError, "options");
    validate({ database, ...options }, shape, InvalidOptionError);
    const { busyTimeoutMs = defaultBusyTimeoutMs } = options;
    const connection =
      opened.get(database) ?? new SqliteConnection({ database, busyTimeoutMs, clock: systemClock, owned: false });
    const changes = connection.isReadOnly ? new ReaderChanges(connection) : new SqliteChanges(connection);
    super(connection, { wakes: new PolledWakes(connection, pollMs), changes });
  }

  /** The path of its file; undefined if that was not given as one. */
  get location(): string | undefined {
    return this.#location;
  }

  /**
   * What is in the file, for a person that wants to know whether it is well: reads all of it, and changes nothing.
   * Another process may use it meanwhile.
   *
   * @throws `invalid_option` if this computer has no driver for it; `storage_failed` if there is no such file, or if it
   * is no database.
   */
  static async inspect(file: string, options: Pick<SqliteOptions, "driver"> = {}): Promise<SqliteInspection> {
    checkObject(options, InvalidOptionError, "options");
    validate({ file, ...options }, { file: fileRule, driver: openRules.driver }, InvalidOptionError);
    try {
      expectFile(file);
      return inspectFile(resolve(file), options.driver);
    } catch (error) {
      if (error instanceof InvalidOptionError) throw error;
      throw new StorageFailedError(`inspect of ${file}`, reasonOf(file, error));
    }
  }

  /**
   * Opens the file, or makes it, and brings its schema up to date.
   *
   * @throws `invalid_option` if this computer has no driver for it; `storage_failed` if the file is damaged, no
   * database, or of a newer version of poundlock, and then it is left as it is. Once it is open, every change rejects with
   * `storage_failed` while its path leads to another file or to none: what is written to a file that was renamed or
   * deleted under its process would be lost with the process.
   */
  static async open(file: string, options: SqliteOptions = {}): Promise<SqliteStorage> {
    checkObject(options, InvalidOptionError, "options");
    validate({ file, ...options }, { file: fileRule, ...openRules }, InvalidOptionError);
    const { synchronous = "full", driver, busyTimeoutMs = defaultBusyTimeoutMs, readOnly = false } = options;
    const migrate = readOnly ? "check" : (options.migrate ?? "auto");
    let database: SqliteDatabase | undefined;
    try {
      if (migrate === "check") expectFile(file);
      database = readOnly ? openForReading(file, driver) : openDatabase(file, driver);
      const connection = new SqliteConnection({
        ...{ database, synchronous, busyTimeoutMs, migrate, readOnly, clock: systemClock, owned: true },
        // What is in memory is kept for a test, and small: there nothing is to wait that no timer was set for.
        ...(isPath(file) ? { file: resolve(file) } : { takesTurns: false }),
      });
      await connection.open();
      opened.set(database, connection);
      const storage = new SqliteStorage(database);
      if (isPath(file)) storage.#location = resolve(file);
      return storage;
    } catch (error) {
      database?.close();
      if (error instanceof InvalidOptionError) throw error;
      throw new StorageFailedError(`open of ${file}`, reasonOf(file, error));
    }
  }
}

// What drivers make of an empty name, or of a folder, says nothing of it.
function expectFile(file: string): void {
  if (!isPath(file)) throw new InvalidOptionError("file", "the path of a file", file);
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new Error("there is no such file");
  if (!found.isFile()) throw new Error("it is no file");
}

function isPath(file: string): boolean {
  return !/^$|:memory:|^file:/.test(file);
}

// What drivers say of a folder that is missing does not name it.
function reasonOf(file: string, error: unknown): unknown {
  const folder = dirname(resolve(file));
  if (file.startsWith("file:") || existsSync(folder)) return error;
  return new Error(`there is no folder ${folder}`, { cause: error });
}

const defaultBusyTimeoutMs = 5_000;

/** How often processes look whether another one has woken a flow, in milliseconds. */
const pollMs = 250;

/** The connections that `open` made. */
const opened = new WeakMap<SqliteDatabase, SqliteConnection>();

const fileRule = v.pipe(v.string("the path of a file"), v.minLength(1, "the path of a file"));
const connectionRules: Shape<ConnectionOptions> = { busyTimeoutMs: v.optional(duration) };
const openRules: Shape<SqliteOptions> = {
  ...connectionRules,
  synchronous: v.optional(oneOf("full", "normal")),
  migrate: v.optional(oneOf("auto", "check")),
  readOnly: v.optional(boolean),
  driver: v.optional(oneOf(...sqliteDrivers)),
};
