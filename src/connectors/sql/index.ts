export {
  CommitUnknownError,
  type RowStatement,
  type SqlDatabase,
  type SqlDialect,
  type SqlFault,
  type SqlQueries,
  type SqlRow,
  type WriteMode,
} from "./database.ts";
export { type MysqlConnection, type MysqlPool, type MysqlQuery, mysql, mysqlDialect } from "./mysql.ts";
export type { OnceRule } from "./once-marks.ts";
export { type PostgresClient, type PostgresPool, postgres, postgresDialect } from "./postgres.ts";
export { type SqlCheckpoint, type SqlExportOptions, sqlExport } from "./sql-export.ts";
export { type SqlApplyOptions, type SqlTableOptions, sqlImport } from "./sql-import.ts";
export { type SqliteConnection, sqlite, sqliteDialect } from "./sqlite.ts";
export type { SweepRule } from "./sweep.ts";
