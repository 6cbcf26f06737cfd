import { readFileSync, readdirSync } from "node:fs";
import pg from "pg";

/** Tables that grow with what is kept, or with what changes often; `ended`: all partitions together. */
export const tables = ["live", "ended", "run_imports", "histories", "flows", "wakes", "changes", "failures"] as const;

/** What one table has. */
export interface TableSize {
  readonly heapBytes: number;
  readonly indexBytes: number;
  readonly deadRows: number;
  readonly vacuums: number;
}

/** What there is at one moment; counts from the beginning. */
export interface Measure {
  readonly seconds: number;
  readonly ended: number;
  readonly kept: number;
  readonly walBytes: number;
  readonly serverMs: number;
  readonly workerMs: number;
  readonly sizes: ReadonlyMap<string, TableSize>;
  readonly partitions: readonly string[];
}

const nameOfTable = `case when c.relname = 'runs_live' then 'live' when c.relname like 'runs\\_%' then 'ended'
  when c.relname like 'changes\\_%' then 'changes' else c.relname end`;
const sizesSql = `select ${nameOfTable} as name, sum(pg_table_size(c.oid)) as heap, sum(pg_indexes_size(c.oid)) as indexes,
    sum(coalesce(s.n_dead_tup, 0)) as dead, sum(coalesce(s.autovacuum_count, 0)) as vacuums
  from pg_class c left join pg_stat_user_tables s on s.relid = c.oid
  where c.relnamespace = 'poundlock'::regnamespace and c.relkind = 'r' group by 1`;
const partitionsSql = `select inhrelid::regclass::text as name from pg_inherits
  where inhparent = 'poundlock.runs_ended'::regclass order by 1`;

/** Looks at the server and the workers from outside. */
export class RetentionMeasures {
  readonly #pool: pg.Pool;
  readonly #workers: () => readonly number[];
  readonly #began = performance.now();

  constructor(connection: pg.PoolConfig, workers: () => readonly number[]) {
    this.#pool = new pg.Pool({ ...connection, max: 1 });
    this.#pool.on("error", () => undefined);
    this.#workers = workers;
  }

  async partitions(): Promise<readonly string[]> {
    const { rows } = await this.#pool.query<{ name: string }>(partitionsSql);
    return rows.map(({ name }) => name);
  }

  async take(): Promise<Measure> {
    const { rows } = await this.#pool.query<{ wal: string; ended: string; kept: string; postmaster: string }>(
      `select pg_current_wal_insert_lsn() - '0/0' as wal,
        (select last_value from poundlock.runs_seq_seq) - (select count(*) from poundlock.runs_live) as ended,
        (select count(*) from poundlock.runs_ended) as kept, pg_read_file('postmaster.pid', 0, 20) as postmaster`,
    );
    const [row] = rows;
    if (row === undefined) throw new Error("no row of a query without a table");
    const { rows: found } =
      await this.#pool.query<Record<"name" | "heap" | "indexes" | "dead" | "vacuums", string>>(sizesSql);
    const sizes = found.map(({ name, heap, indexes, dead, vacuums }) => [
      name,
      { heapBytes: Number(heap), indexBytes: Number(indexes), deadRows: Number(dead), vacuums: Number(vacuums) },
    ]);
    const postmaster = Number(row.postmaster.split("\n", 1)[0]);
    return {
      seconds: (performance.now() - this.#began) / 1_000,
      ...{ ended: Number(row.ended), kept: Number(row.kept), walBytes: Number(row.wal) },
      serverMs: cpuMs((pid, parent) => pid === postmaster || parent === postmaster),
      workerMs: cpuMs((pid) => this.#workers().includes(pid)),
      sizes: new Map(sizes as [string, TableSize][]),
      partitions: await this.partitions(),
    };
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** How long a tick of the processor's time is, in milliseconds: what Linux says on every machine today. */
const tickMs = 10;

// With the time of children that have ended and been waited for, such as workers of autovacuum.
function cpuMs(isMeant: (pid: number, parent: number) => boolean): number {
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const fields = statOf(pid);
    if (fields !== undefined && isMeant(Number(pid), Number(fields[1])))
      for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks * tickMs;
}

// After the name, which may have spaces in it; undefined: it has ended.
function statOf(pid: string): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ");
  } catch {
    return undefined;
  }
}
