import { type Clock, delay } from "../../clock.ts";
import type { Dialect, Transaction, TransactionBody, SqlDatabase, Statement } from "../sql/database.ts";
import { checkVersion, migrate, schemaVersion } from "../sql/schema.ts";
import type { SqliteDatabase, SqliteStatement } from "./drivers.ts";
import { changeTables, deletionNote } from "./sqlite-changes.ts";
import { OpenFile } from "./open-file.ts";
import { ReadPace } from "./read-pace.ts";

/** What a connection needs. */
export interface ConnectionParts {
  readonly database: SqliteDatabase;
  /** How the file is kept; absent: a host's own connection, which is left as it is. */
  readonly synchronous?: "full" | "normal";
  /** How long a write waits for other processes, in milliseconds. */
  readonly busyTimeoutMs: number;
  readonly clock: Clock;
  /** Whether closing closes the connection. */
  readonly owned: boolean;
  /** `auto`: brings the schema up to date. `check`: any other version is refused. @default "auto" */
  readonly migrate?: "auto" | "check";
  /** The connection cannot change anything, and is not asked to. @default false */
  readonly readOnly?: boolean;
  /** Where the file is; absent: in memory, or a host's own connection, which is the host's to watch. */
  readonly file?: string;
  /** Whether many reads take turns with what else the process does. @default true */
  readonly takesTurns?: boolean;
}

/** How long the driver itself may wait for a lock, which blocks all of the process. */
const blockingMs = 10;

/** The longest rest between two tries for a lock. */
const longestRestMs = 20;

/** What the journal keeps of its size once it has been written back, in bytes. */
const journalBytes = 64 * 2 ** 20;

/** How long one transaction may go on before what else came waits for the next one. */
const stretchMs = 8;

interface Entry {
  readonly transaction: Transaction<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * One connection. Writes that arrive in the same turn of the event loop share one transaction, and so one wait for the
 * disk. If it fails, each is tried again in a transaction of its own: nobody pays for another one's error.
 */
export class SqliteConnection implements SqlDatabase {
  readonly dialect: Dialect = {
    identity: "integer primary key autoincrement",
    bytes: "blob",
    text: "text",
    unlogged: "",
    withRoom: "",
    indexed: (column) => column,
    ranged: () => undefined,
    inKeyOrder: " without rowid",
    seek: "equation",
    changeTables,
    deletionNote,
    *takeEndedApart() {
      // What is written once costs nothing here when other rows change.
    },
    agedRuns: "poundlock_runs",
    numberAfter: (table) => [
      `insert into sqlite_sequence (name, seq) select '${table}', 0
        where not exists (select 1 from sqlite_sequence where name = '${table}') and ? > 0`,
      `update sqlite_sequence set seq = max(seq, ?) where name = '${table}'`,
    ],
  };
  readonly #parts: ConnectionParts;
  readonly #database: SqliteDatabase;
  readonly #statements = new Map<string, SqliteStatement>();
  #queue: Entry[] = [];
  #opening: Promise<void> | undefined;
  #isOpen = false;
  #openFile: OpenFile | undefined;
  #writing: Promise<void> | undefined;
  readonly #reading = new Set<Promise<unknown>>();
  readonly #pace: ReadPace;
  #closing: Promise<void> | undefined;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#database = parts.database;
    this.#pace = new ReadPace(parts.clock);
  }

  /** Whether nothing can be changed by it. */
  get isReadOnly(): boolean {
    return this.#parts.readOnly === true;
  }

  /** Checks what is in the file, and brings its schema up to date. Writing and reading do it if nobody else did. */
  async open(): Promise<void> {
    if (this.#isOpen) return;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    await this.#opening;
  }

  runTransaction<T>(transaction: Transaction<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(closed());
    if (this.isReadOnly) return Promise.reject(new Error("it is open for reading only"));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ transaction, resolve: (value) => resolve(value as T), reject });
      this.#writing ??= this.#writeAll();
    });
  }

  async query(query: Statement): Promise<readonly unknown[]> {
    if (this.#closing !== undefined) throw closed();
    const reading = this.#read(query);
    this.#reading.add(reading);
    try {
      return await reading;
    } finally {
      this.#reading.delete(reading);
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#writing;
    await Promise.allSettled(this.#reading);
    if (this.#parts.owned) this.#closeFile();
    this.#statements.clear();
  }

  #closeFile(): void {
    if (!this.isReadOnly) this.#emptyJournal();
    this.#database.close();
  }

  #emptyJournal(): void {
    try {
      // All of it in the one file, so that it can be copied. With some drivers the journal stays until statements are collected.
      this.#database.prepare("pragma wal_checkpoint(truncate)").all();
    } catch {
      // Somebody else is at it: then the journal is read when the file is opened again.
    }
  }

  async #read({ sql, values }: Statement): Promise<readonly unknown[]> {
    if (!this.#isOpen) await this.open();
    const { takesTurns = true } = this.#parts;
    while (takesTurns && this.#pace.isDue()) await this.#pace.turn();
    const rows = await this.#whenFree(() => this.#prepared(sql).all(...values));
    this.#pace.done();
    return rows;
  }

  async #open(): Promise<void> {
    const { migrate: change = "auto" } = this.#parts;
    // Nothing is changed, not even how the journal is kept, before it is known that this may be read and written.
    await this.#whenFree(() => this.#checkVersion());
    if (!this.isReadOnly) await this.#prepareFile();
    if (change === "auto") await this.#whenFree(() => this.#transact([() => migrate(this.dialect)]));
    const { clock, file } = this.#parts;
    if (file !== undefined) this.#openFile = new OpenFile(file, clock);
    this.#isOpen = true;
  }

  async #prepareFile(): Promise<void> {
    const { synchronous } = this.#parts;
    if (synchronous !== undefined) {
      // Switching to WAL does not wait for locks by itself.
      await this.#whenFree(() => this.#database.prepare("pragma journal_mode = wal").all());
      this.#database.exec(`pragma synchronous = ${synchronous}`);
      // A large deletion leaves a journal behind that would never shrink.
      this.#database.prepare(`pragma journal_size_limit = ${journalBytes}`).all();
      this.#database.exec("pragma foreign_keys = on");
    }
  }

  #checkVersion(): void {
    if (this.#parts.synchronous !== undefined) this.#database.exec(`pragma busy_timeout = ${blockingMs}`);
    const found = checkVersion(schemaVersionOf(this.#database));
    if (this.#parts.migrate === "check" && found !== schemaVersion) throw new Error(otherVersion(found));
  }

  async #writeAll(): Promise<void> {
    // What comes in this turn goes together.
    await this.#parts.clock.yieldToEventLoop();
    while (this.#queue.length > 0) {
      await this.#writeGroup();
      // Whoever was answered has had its say by then, and most of them ask for the next thing.
      await this.#parts.clock.yieldToEventLoop();
    }
    this.#writing = undefined;
  }

  async #writeGroup(): Promise<void> {
    const group = this.#queue;
    this.#queue = [];
    try {
      if (!this.#isOpen) await this.open();
      const { done, left } = await this.#whenFree(() => this.#runGroup(group));
      for (const [index, value] of done.entries()) group[index]?.resolve(value);
      this.#queue = [...left, ...this.#queue];
    } catch (error) {
      if (group.length === 1 || !this.#isOpen || isBusy(error)) for (const entry of group) entry.reject(error);
      else for (const entry of group) await this.#writeAlone(entry);
    }
  }

  async #writeAlone(entry: Entry): Promise<void> {
    try {
      const [value] = await this.#whenFree(() => this.#transact([entry.transaction]));
      entry.resolve(value);
    } catch (error) {
      entry.reject(error);
    }
  }

  #runGroup(group: readonly Entry[]): { readonly done: readonly unknown[]; readonly left: readonly Entry[] } {
    const { clock } = this.#parts;
    const since = clock.now();
    const bodies = group.map(({ transaction }) => transaction);
    const done = this.#transact(bodies, () => clock.now() - since >= stretchMs);
    return { done, left: group.slice(done.length) };
  }

  // All or none of those it returns results for. At least one, then as many as there is time for.
  #transact(bodies: readonly Transaction<unknown>[], isSpent = () => false): readonly unknown[] {
    const results: unknown[] = [];
    this.#openFile?.expectInPlace();
    this.#prepared("begin immediate").run();
    try {
      for (const transaction of bodies) {
        results.push(this.#transaction(transaction()));
        if (isSpent()) break;
      }
      this.#prepared("commit").run();
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    return results;
  }

  #rollBack(): void {
    try {
      this.#prepared("rollback").run();
    } catch {
      // SQLite has rolled back by itself: it does after a full disk, for one.
    }
  }

  #transaction(script: TransactionBody<unknown>): unknown {
    let step = script.next([]);
    while (step.done !== true) {
      step = script.next(this.#execute(step.value));
    }
    return step.value;
  }

  // Nobody else writes between `begin immediate` and `commit`, so there is nothing to lock.
  #execute({ sql, values, sets, returnsRows, locks }: Statement): readonly unknown[] {
    if (locks) return nothing;
    const prepared = this.#prepared(sql);
    if (sets !== undefined) return sets.map((each) => (returnsRows ? prepared.all(...each) : prepared.run(...each)));
    if (returnsRows) return prepared.all(...values);
    prepared.run(...values);
    return nothing;
  }

  #prepared(sql: string): SqliteStatement {
    let prepared = this.#statements.get(sql);
    if (prepared === undefined) this.#statements.set(sql, (prepared = this.#database.prepare(sql)));
    return prepared;
  }

  // Waits for other processes without blocking this one.
  async #whenFree<T>(work: () => T): Promise<T> {
    const { clock, busyTimeoutMs } = this.#parts;
    const until = clock.now() + busyTimeoutMs;
    for (let rest = 1; ; rest = Math.min(rest * 2, longestRestMs)) {
      try {
        return work();
      } catch (error) {
        if (!isBusy(error) || clock.now() >= until) throw error;
        await delay(clock, rest * Math.random());
      }
    }
  }
}

/** The version of the schema that the file has; 0 if it has none. */
export function schemaVersionOf(database: SqliteDatabase): number {
  const found = database.prepare("select 1 from sqlite_master where name = 'poundlock_schema'").all();
  if (found.length === 0) return 0;
  const [row] = database.prepare("select max(version) as version from poundlock_schema").all();
  return Number((row as { version: number | null }).version);
}

function otherVersion(found: number): string {
  if (found === 0) return "there are no flows in it: it has no tables of poundlock";
  return (
    `the data has schema version ${found}, and this version of poundlock reads version ${schemaVersion}: start the ` +
    `application with this version once, which brings it up to date, or use the version that the application has`
  );
}

const nothing: readonly unknown[] = Object.freeze([]);

// The drivers say it each in its own way. The lowest byte is what happened, the others are the details.
function isBusy(error: unknown): boolean {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  if (typeof code === "string" && /^SQLITE_(BUSY|LOCKED)/.test(code)) return true;
  return typeof errcode === "number" && ((errcode & 0xff) === 5 || (errcode & 0xff) === 6);
}

function closed(): Error {
  return new Error("it is closed");
}
