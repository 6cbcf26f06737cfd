import type { SqliteDatabase, SqliteStatement } from "../../src/storage/sqlite/drivers.ts";

/** A database that calls `between` after each statement of a transaction that changes something. */
export function haltingDatabase(database: SqliteDatabase, between: () => void): SqliteDatabase {
  let isOpen = false;
  const passed = (sql: string) => {
    if (/^\s*begin\b/i.test(sql)) isOpen = true;
    else if (/^\s*(commit|end|rollback)\b/i.test(sql)) isOpen = false;
    else if (isOpen && /^\s*(insert|update|delete)\b/i.test(sql)) between();
  };
  const after = <T>(sql: string, answer: T): T => {
    passed(sql);
    return answer;
  };
  return {
    exec: (sql) => after(sql, database.exec(sql)),
    prepare(sql): SqliteStatement {
      const statement = database.prepare(sql);
      return {
        all: (...values) => after(sql, statement.all(...values)),
        run: (...values) => after(sql, statement.run(...values)),
      };
    },
    close: () => database.close(),
  };
}
