import { systemClock } from "../../clock.ts";
import { InvalidOptionError, StorageFailedError } from "../../errors.ts";
import { type Rule, duration, firstBreach, firstUnknown, having, oneOf, optional } from "../../model/rule.ts";
import { SqlStorage } from "../sql/sql-storage.ts";
import { SqliteConnection } from "./database.ts";
import { type SqliteDatabase, type SqliteDriver, openDatabase, sqliteDrivers } from "./drivers.ts";

export type { SqliteDatabase, SqliteDriver, SqliteStatement } from "./drivers.ts";

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
  /**
   * Uses a connection of the host's, which stays the host's to close. Its journal mode, `synchronous` and busy timeout
   * are left as they are; tables are made in it, all named `poundlock_…`, with the first call.
   *
   * @throws `invalid_option`
   */
  constructor(database: SqliteDatabase, options: ConnectionOptions = {}) {
    check({ database, ...options }, { database: having("exec", "prepare", "close"), ...connectionRules });
    const { busyTimeoutMs = defaultBusyTimeoutMs } = options;
    super(opened.get(database) ?? new SqliteConnection({ database, busyTimeoutMs, clock: systemClock, owned: false }));
  }

  /**
   * Opens the file, or makes it, and brings its schema up to date.
   *
   * @throws `invalid_option` if this computer has no driver for it; `storage_failed` if the file is damaged, no
   * database, or of a newer version of poundlock, and then it is left as it is.
   */
  static async open(file: string, options: SqliteOptions = {}): Promise<SqliteStorage> {
    check({ file, ...options }, { file: fileRule, ...openRules });
    const { synchronous = "full", driver, busyTimeoutMs = defaultBusyTimeoutMs } = options;
    let database: SqliteDatabase | undefined;
    try {
      database = openDatabase(file, driver);
      const connection = new SqliteConnection({
        database,
        synchronous,
        busyTimeoutMs,
        clock: systemClock,
        owned: true,
      });
      await connection.open();
      opened.set(database, connection);
      return new SqliteStorage(database);
    } catch (error) {
      database?.close();
      if (error instanceof InvalidOptionError) throw error;
      throw new StorageFailedError(`open of ${file}`, error);
    }
  }
}

const defaultBusyTimeoutMs = 5_000;

/** The connections that `open` made. */
const opened = new WeakMap<SqliteDatabase, SqliteConnection>();

const fileRule: Rule = {
  expected: "the path of a file",
  holds: (value) => typeof value === "string" && value !== "",
};
const connectionRules: Readonly<Record<keyof ConnectionOptions, Rule>> = { busyTimeoutMs: optional(duration) };
const openRules: Readonly<Record<keyof SqliteOptions, Rule>> = {
  ...connectionRules,
  synchronous: optional(oneOf("full", "normal")),
  driver: optional(oneOf(...sqliteDrivers)),
};

function check(given: object, rules: Readonly<Record<string, Rule>>): void {
  const breach = firstUnknown(given, rules) ?? firstBreach(given, rules);
  if (breach !== undefined) throw new InvalidOptionError(breach.field, breach.expected, breach.found);
}
