import {
  type SqliteDatabase,
  type SqliteDriver,
  openDatabase,
  sqliteDrivers,
} from "../../../src/storage/sqlite/drivers.ts";

/** Each driver, and why it cannot be tested on this machine, if it cannot. */
export const driversHere: readonly { readonly driver: SqliteDriver; readonly reason: string | undefined }[] =
  sqliteDrivers.map((driver) => {
    try {
      openDatabase(":memory:", driver).close();
      return { driver, reason: undefined };
    } catch (error) {
      return { driver, reason: error instanceof Error ? error.message : String(error) };
    }
  });

/** The only row's only value. */
export function valueOf(database: SqliteDatabase, query: string): unknown {
  const [row] = database.prepare(query).all() as Readonly<Record<string, unknown>>[];
  return row === undefined ? undefined : Object.values(row)[0];
}

/** A database that notes each statement that is executed. */
export function recorded(database: SqliteDatabase): { readonly database: SqliteDatabase; readonly done: string[] } {
  const done: string[] = [];
  const note = (sql: string) => done.push(sql.trim());
  return {
    done,
    database: {
      exec(sql) {
        note(sql);
        return database.exec(sql);
      },
      prepare(sql) {
        const statement = database.prepare(sql);
        return {
          all(...values) {
            note(sql);
            return statement.all(...values);
          },
          run(...values) {
            note(sql);
            return statement.run(...values);
          },
        };
      },
      close: () => database.close(),
    },
  };
}
