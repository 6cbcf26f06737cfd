import { type Clock, systemClock } from "../../clock.ts";
import { InvalidOptionError, StorageFailedError } from "../../errors.ts";
import { type Shape, boolean, checkObject, objectWith, oneOf, v, validate } from "../../model/validate.ts";
import { schemaVersion } from "../sql/schema.ts";
import { SqlStorage } from "../sql/sql-storage.ts";
import type { PruneRule, StorageBell } from "../storage.ts";
import { guarded as guardedCall } from "../sql/processes/process-storage.ts";
import { Bell } from "./bell.ts";
import { DatabaseClock } from "./database-clock.ts";
import { History } from "./history/history.ts";
import type { Period } from "./history/periods.ts";
import { lockOf, migrateSchema, versionOf } from "./migration.ts";
import type { PostgresPool } from "./pool.ts";
import { PostgresChanges } from "./postgres-changes.ts";
import { PostgresDatabase } from "./postgres-database.ts";
import { PostgresWakes } from "./postgres-wakes.ts";
import { Spelling } from "./spelling.ts";

export { copyStorage } from "../sql/copy-storage.ts";
export type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult, PostgresTypes } from "./pool.ts";

/** Where everything is kept. */
export interface MigrateOptions {
  /**
   * The schema of the database in which the tables are: up to 63 letters, digits and underscores. It is made if it is
   * missing.
   *
   * @default "poundlock"
   */
  readonly schema?: string;
  /**
   * How much time each partition of the history has: all of UTC's day, week from Monday, or month. Retention removes a
   * partition as a whole once its newest run may go, so runs are kept for up to so much longer than it says. It may be
   * another one at any time: partitions that are there stay as they are.
   *
   * @default "month"
   */
  readonly partition?: Period;
}

interface PostgresParts {
  readonly database: PostgresDatabase;
  readonly clock: DatabaseClock;
  readonly bell: Bell;
  readonly pool: PostgresPool;
  readonly schema: string;
  readonly history: History;
}

/** How a database is used. */
export interface PostgresOptions extends MigrateOptions {
  /**
   * `auto`: brings the schema up to date. `check`: rejects if it has another version than this code, for hosts that call
   * {@link migratePostgres} when they deploy.
   *
   * @default "auto"
   */
  readonly migrate?: "auto" | "check";
  /**
   * Whether statements are kept prepared on their connections, which saves time, and which a pooler between two
   * transactions has to know of: PgBouncer does from 1.21 on.
   *
   * @default true
   */
  readonly prepare?: boolean;
  /**
   * Lends one connection, while a scheduler runs, on which other processes are heard that have work to share: a pool of its
   * own, with a direct connection, behind a pooler that gives each transaction another connection; `false`: none, and
   * work of other processes is found within a second.
   *
   * @default the pool
   */
  readonly listen?: PostgresPool | false;
}

/**
 * Keeps everything in a schema of PostgreSQL 13 or newer, for as many processes and computers as use it. The pool is the
 * host's, to be made and to be ended; errors of its idle connections are listened to.
 */
export class PostgresStorage extends SqlStorage {
  /** The database's: the same for all processes, whatever their computers take the time to be. */
  readonly clock: Clock;
  /** Absent with `listen: false`. */
  readonly bell: StorageBell | undefined;
  readonly #clock: DatabaseClock;
  readonly #bell: Bell;
  readonly #history: History;

  private constructor({ bell, clock, database, history, pool, schema }: PostgresParts) {
    const changes = new PostgresChanges({ pool, bell, spelling: new Spelling(schema) });
    super(database, { wakes: new PostgresWakes({ pool, schema, bell }), changes });
    this.#clock = clock;
    this.#bell = bell;
    this.#history = history;
    this.bell = bell.canHear ? bell : undefined;
    this.clock = clock;
  }

  /**
   * Connects, makes the schema or checks it, and asks the database the time.
   *
   * @throws `invalid_option`; `storage_failed` if the database cannot be reached, or its schema is of a newer version of
   * poundlock, or of another one with `migrate: "check"`: then it is left as it is.
   */
  static async open(pool: PostgresPool, options: PostgresOptions = {}): Promise<PostgresStorage> {
    checkObject(options, InvalidOptionError, "options");
    validate({ pool, ...options }, { pool: poolRule, ...openRules }, InvalidOptionError);
    const { schema = defaultSchema, migrate = "auto", prepare = true, listen = pool, partition } = options;
    const database = new PostgresDatabase({ pool, schema, prepare, clock: systemClock });
    const clock = new DatabaseClock(pool);
    return guarded(schema, async () => {
      if (migrate === "check") await checkSchema(pool, schema);
      else await migrateSchema(pool, schema);
      await clock.measure();
      const history = historyIn(pool, schema, partition);
      if (migrate === "auto") await history.makeAhead(clock.now());
      const bell = new Bell({ pool, listen: listen === false ? undefined : listen, schema, clock: systemClock });
      return new PostgresStorage({ bell, clock, database, history, pool, schema });
    });
  }

  override async prune(rule: PruneRule): Promise<number> {
    const { endedBefore, now } = rule;
    const removed = await guardedCall("prune", async () => {
      if (now !== undefined) await this.#history.makeAhead(now);
      return this.#history.removeBefore(endedBefore);
    });
    return removed > 0 ? removed : super.prune(rule);
  }

  override async close(): Promise<void> {
    await this.#clock.close();
    await this.#bell.close();
    await super.close();
  }
}

/**
 * Makes the schema, or brings it up to date. Any number of processes may do so at the same time. Processes of a version
 * older than schema version 12 end the runs they have, and can queue none after it.
 *
 * @throws `invalid_option`; `storage_failed` if it has a newer version than this code.
 */
export async function migratePostgres(pool: PostgresPool, options: MigrateOptions = {}): Promise<void> {
  checkObject(options, InvalidOptionError, "options");
  validate({ pool, ...options }, { pool: poolRule, ...migrateRules }, InvalidOptionError);
  const { schema = defaultSchema, partition } = options;
  await guarded(schema, async () => {
    await migrateSchema(pool, schema);
    const clock = new DatabaseClock(pool);
    await clock.measure();
    await historyIn(pool, schema, partition).makeAhead(clock.now());
  });
}

function historyIn(pool: PostgresPool, schema: string, period: Period = "month"): History {
  return new History({ pool, spelling: new Spelling(schema), period, lock: lockOf(schema) });
}

async function checkSchema(pool: PostgresPool, schema: string): Promise<void> {
  const found = await versionOf(pool, schema);
  if (found === schemaVersion) return;
  throw new Error(
    `the schema has version ${found}, and this version of poundlock needs ${schemaVersion}: call migratePostgres first`,
  );
}

async function guarded<T>(schema: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new StorageFailedError(`open of schema ${schema}`, error);
  }
}

const defaultSchema = "poundlock";

const schemaWords = "a name of 1 to 63 letters, digits and underscores that begins with none of the digits";
const schemaRule = v.pipe(v.string(schemaWords), v.regex(/^[a-z_]\w{0,62}$/i, schemaWords));
const poolWords = "a pool with query and connect, such as a pg.Pool";
const poolRule = objectWith(["query", "connect"], poolWords);
const migrateRules: Shape<MigrateOptions> = {
  schema: v.optional(schemaRule),
  partition: v.optional(oneOf("month", "week", "day")),
};
const openRules: Shape<PostgresOptions> = {
  ...migrateRules,
  migrate: v.optional(oneOf("auto", "check")),
  prepare: v.optional(boolean),
  listen: v.optional(v.custom((value) => value === false || v.is(poolRule, value), `false, or ${poolWords}`)),
};
