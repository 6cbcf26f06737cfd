import { type Run } from "../../../model/run.ts";
import { type RunRow, runOf } from "../../sql/rows.ts";
import { readable } from "../../sql/values/unreadable.ts";
import { arrayOf } from "../joined-statement.ts";
import { type PostgresClient, type PostgresPool, types } from "../pool.ts";
import { inTransaction } from "../postgres-database.ts";
import type { Spelling } from "../spelling.ts";
import { type Period, type Range, missingRanges } from "./periods.ts";

/** What the history needs. */
export interface HistoryParts {
  readonly pool: PostgresPool;
  readonly spelling: Spelling;
  readonly period: Period;
  /** The name of the lock that whoever makes tables takes. */
  readonly lock: string;
}

/** A partition, and the time that it is of. */
interface Partition extends Range {
  readonly name: string;
}

/** Runs whose imports and counts are forgotten in one transaction. */
const portion = 1_000;

/**
 * Making and removing a partition locks the table of all of them. Whoever reads it still, such as a backup, is waited for
 * this long, since others wait behind that lock; it is tried again in the next round of maintenance.
 */
const begin = "begin; set local lock_timeout = '100ms'";

/** The lookups of a portion each by an index, whatever the planner takes the tables to be. */
const beginPortion = [
  begin,
  "set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off",
].join("; ");

/** Ended runs, in partitions of a period each: made before they are needed, and removed as a whole. */
export class History {
  readonly #parts: HistoryParts;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
  }

  /** Makes the partitions that are missing for runs that end from `now` on; where there is none, runs end all the same. */
  async makeAhead(now: number): Promise<void> {
    for (const range of await this.#missing(this.#parts.pool, now)) await this.#make(range, now);
  }

  /**
   * Takes out the partitions of which all is from before `endedBefore`, and removes some of what hangs on their runs.
   * Returns for how many runs that was done; 0 if there was none.
   */
  async removeBefore(endedBefore: number): Promise<number> {
    for (const { name, to } of await this.#partitions(this.#parts.pool))
      if (to <= endedBefore) await this.#takeOut(name);
    return this.#forgetSome();
  }

  async #missing(on: Pick<PostgresPool, "query">, now: number): Promise<readonly Range[]> {
    return missingRanges(now, this.#parts.period, await this.#partitions(on));
  }

  async #partitions(on: Pick<PostgresPool, "query">): Promise<readonly Partition[]> {
    const rows = await this.#rowsOf<{ readonly name: string; readonly bound: string }>(on, partitionsSql);
    return rows.flatMap(({ name, bound }) => {
      const [, from, to] = /^FOR VALUES FROM \('?(MINVALUE|-?\d+)'?\) TO \('?(-?\d+)'?\)$/.exec(bound) ?? [];
      return to === undefined ? [] : { name, from: from === "MINVALUE" ? -Infinity : Number(from), to: Number(to) };
    });
  }

  async #make({ from, to }: Range, now: number): Promise<void> {
    const name = `poundlock_runs_ended_${dateOf(from)}_${dateOf(to)}`;
    await this.#unless([rowsAreElsewhere, isBeingRemoved, notTheOwner], async (client) => {
      // Another process may have made it, or one of another length.
      await client.query({ text: `select pg_advisory_xact_lock(hashtext($1))`, values: [this.#parts.lock] });
      const missing = await this.#missing(client, now);
      if (!missing.some((range) => range.from === from && range.to === to)) return;
      await client.query({ text: this.#spelled(`create table ${name} (like poundlock_runs_ended)`) });
      const text = `alter table poundlock_runs_ended attach partition ${name} for values from (${from}) to (${to})`;
      await client.query({ text: this.#spelled(text) });
    });
  }

  async #takeOut(name: string): Promise<void> {
    await this.#unless([tableIsGone], async (client) => {
      await client.query({
        text: this.#spelled(`alter table poundlock_runs_ended detach partition poundlock_${name}`),
      });
      await this.#rowsOf(client, `insert into poundlock_removals (name) values ($1)`, name);
    });
  }

  /** Does `work` in a transaction; nothing if it has to wait for a lock, or fails with one of these codes. */
  async #unless(codes: readonly string[], work: (client: PostgresClient) => Promise<void>): Promise<void> {
    try {
      await inTransaction(this.#parts.pool, begin, work);
    } catch (error) {
      const { code } = error as { readonly code?: unknown };
      if (![lockNotAvailable, ...codes].includes(code as string)) throw error;
    }
  }

  /** Does the next portion of what is left of partitions that were taken out. */
  async #forgetSome(): Promise<number> {
    for (;;) {
      const size = await inTransaction(this.#parts.pool, beginPortion, async (client) => {
        const [removal] = await this.#rowsOf<Removal>(client, nextRemoval);
        return removal === undefined ? undefined : this.#forgetPortion(client, removal);
      });
      if (size !== 0) return size ?? 0;
    }
  }

  async #forgetPortion(client: PostgresClient, { name, flow_id, seq }: Removal): Promise<number> {
    const table = `poundlock_${name}`;
    const rows = await this.#rowsOf<RunRow & { readonly flow_id: string }>(
      client,
      `select seq, flow_id, id, status, doc from ${table} where (flow_id, seq) > ($1, $2)
        order by flow_id, seq limit ${portion}`,
      ...[flow_id, seq],
    );
    const last = rows.at(-1);
    if (last === undefined) {
      await this.#rowsOf(client, `drop table ${table}`);
      await this.#rowsOf(client, `delete from poundlock_removals where name = $1`, name);
      return 0;
    }
    await this.#forgetImports(client, rows);
    await this.#rowsOf(client, uncounted, ...arraysOf(countsOf(rows)));
    await this.#rowsOf(
      client,
      `update poundlock_removals set flow_id = $2, seq = $3 where name = $1`,
      ...[name, last.flow_id, last.seq],
    );
    return rows.length;
  }

  async #forgetImports(client: PostgresClient, rows: readonly RunRow[]): Promise<void> {
    const entries = rows.flatMap((row) => {
      const run: Run | undefined = readable(() => runOf(row));
      return Object.keys(run?.imports ?? {}).map((_importId) => [_importId, row.seq] as const);
    });
    await this.#rowsOf(client, forgottenImports, ...arraysOf(entries));
    const unreadable = rows.filter((row) => readable(() => runOf(row)) === undefined).map(({ seq }) => seq);
    // No index finds them by the run alone.
    if (unreadable.length > 0) await this.#rowsOf(client, forgottenUnreadable, arrayOf(unreadable));
  }

  async #rowsOf<Row>(on: Pick<PostgresPool, "query">, sql: string, ...values: unknown[]): Promise<readonly Row[]> {
    const { rows } = await on.query({ text: this.#spelled(sql), values, types });
    return rows as readonly Row[];
  }

  #spelled(sql: string): string {
    return this.#parts.spelling.of(sql).text;
  }
}

interface Removal {
  readonly name: string;
  readonly flow_id: string;
  readonly seq: number;
}

const lockNotAvailable = "55P03";
/** Another process has taken it out. */
const tableIsGone = "42P01";
/** Runs of that time have ended already, in the partition of all others: they stay there. */
const rowsAreElsewhere = "23514";
/** A partition of that time was taken out, by a clock that was ahead, and is not removed yet. */
const isBeingRemoved = "42P07";
/** Another role has made the tables: what it calls for is made by that one, when it migrates. */
const notTheOwner = "42501";

// The name of the schema in quotes, as it is to be read.
const partitionsSql = `select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
  from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'poundlock_runs_ended'::regclass`;

const nextRemoval = `select name, flow_id, seq from poundlock_removals order by name limit 1 for update skip locked`;

const forgottenImports = `delete from poundlock_run_imports i
  using unnest($1::text::text[], $2::text::bigint[]) as gone (import_id, run_seq)
  where i.import_id = gone.import_id and i.run_seq = gone.run_seq`;
const forgottenUnreadable = `delete from poundlock_run_imports where run_seq = any ($1::text::bigint[])`;
const uncounted = `update poundlock_histories h set runs = h.runs - gone.runs
  from unnest($1::text::text[], $2::text::integer[]) as gone (flow_id, runs) where h.flow_id = gone.flow_id`;

function countsOf(rows: readonly { readonly flow_id: string }[]): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { flow_id } of rows) counts.set(flow_id, (counts.get(flow_id) ?? 0) + 1);
  return [...counts];
}

function arraysOf(pairs: readonly (readonly [string, number])[]): readonly string[] {
  return [arrayOf(pairs.map(([text]) => text)), arrayOf(pairs.map(([, number]) => number))];
}

function dateOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10).replaceAll("-", "");
}
