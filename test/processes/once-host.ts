import { type Clock, systemClock } from "../../src/clock.ts";
import { type SqlDatabase, type SqlQueries, sqlImport } from "../../src/connectors/sql/index.ts";
import { type Export, FlowRegistry, Scheduler } from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { type Place, openPlace } from "../support/shared-database.ts";
import { openStorage } from "./open-storage.ts";

/** A host that adds records up in a database, through `apply` and `once`. */
export interface OnceSetting {
  readonly place: Place;
  /** The file in which its scheduler remembers everything. */
  readonly file: string;
  readonly pages: number;
  /** By how much its clock is ahead: by that the lease of a process that died has run out. */
  readonly aheadMs: number;
  /** The step at which it halts. @default it does not */
  readonly haltAt?: number;
}

/** Where a write stands. */
export type OncePoint = "before" | "begun" | "statement" | "applied" | "committed" | "settled";

export const recordsPerPage = 2;

/** The tables of what has been added, one row an effect, and of the marks. */
export async function createTables(database: SqlDatabase): Promise<void> {
  await database.query("create table sums (id integer primary key, total integer)");
  await database.query("insert into sums values (1, 0)");
  await database.query("create table effects (n integer)");
  await database.query("create table marks (idempotency_key varchar(36) primary key, applied_at bigint)");
}

/** Runs the flow, or goes on with the run that there is, and resolves with how it ended. */
export async function runOnce(setting: OnceSetting, atPoint: (point: OncePoint) => void): Promise<string> {
  const { database, close } = openPlace(setting.place);
  const storage = await openStorage(setting.file);
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + setting.aheadMs };
  const registry = new FlowRegistry({
    storage,
    clock,
    exports: { numbers: { ...numbersOf(setting.pages), committed: () => atPoint("settled") } },
    imports: { sums: adding(watched(database, atPoint)) },
  });
  const scheduler = new Scheduler(registry, { logger: silentLogger, maxCrashes: 100 });
  await registry.define("sums", { name: "sums", _exportId: "numbers", _importId: "sums" });
  const over = new Promise<string>((resolve) => {
    for (const event of ["run:completed", "run:failed"] as const)
      scheduler.on(event, ({ run }) => resolve(`${run.status} ${run.numSuccess} ${run.numError}`));
  });
  await scheduler.start();
  if ((await scheduler.listRuns()).items.length === 0) await scheduler.run("sums");
  const ended = await over;
  await scheduler.stop();
  await storage.close();
  await close();
  return ended;
}

function numbersOf(pages: number): Export<{ readonly n: number }, { readonly page: number }> {
  return {
    order: "ordered",
    key: ({ n }) => String(n),
    async *pages({ checkpoint }) {
      for (let page = (checkpoint?.page ?? 0) + 1; page <= pages; page++)
        yield { records: [{ n: page * 10 }, { n: page * 10 + 1 }], checkpoint: { page } };
    },
  };
}

function adding(database: SqlDatabase) {
  const { dialect } = database;
  return sqlImport<{ readonly n: number }>({
    database,
    once: "marks",
    async apply(tx, records) {
      for (const { n } of records) {
        await tx.query(`update sums set total = total + ${dialect.place(1)}`, [n]);
        await tx.query(`insert into effects values (${dialect.place(1)})`, [n]);
      }
    },
  });
}

function watched(database: SqlDatabase, atPoint: (point: OncePoint) => void): SqlDatabase {
  return {
    ...database,
    async transaction(work, signal) {
      atPoint("before");
      const result = await database.transaction(async (tx) => {
        atPoint("begun");
        const queries: SqlQueries = {
          async query(text, values) {
            const rows = await tx.query(text, values);
            atPoint("statement");
            return rows;
          },
        };
        const result = await work(queries);
        atPoint("applied");
        return result;
      }, signal);
      atPoint("committed");
      return result;
    },
  };
}
