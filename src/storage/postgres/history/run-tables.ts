import { type TransactionBody, execute, rowOf } from "../../sql/database.ts";
import { noting } from "../change-tables.ts";
import { periodAt } from "./periods.ts";

// A run waits and is active in one table, in which few rows change often, and moves to another one when it ends, in which
// many rows change never: an update of `stage` moves it. The first has the indexes by which a run is claimed, and what
// must never be otherwise; the second those of lists. No index spans both, so that what is to be there only once is looked
// for under the lock of its flow.

/** Where ended runs are that no partition of a period is there for: of clocks that are wrong, or if none could be made. */
export const otherEnded = "poundlock_runs_ended_other";

const liveTable: readonly string[] = [
  `create table poundlock_runs_live partition of poundlock_runs for values in (0, 1) with (fillfactor = 70)`,
  `create unique index poundlock_runs_live_seq on poundlock_runs_live (seq)`,
  `create unique index poundlock_runs_live_id on poundlock_runs_live (id)`,
  // At most one run of a flow is active.
  `create unique index poundlock_runs_live_active on poundlock_runs_live (flow_id) where stage = 1`,
  // A due time has at most one run.
  `create unique index poundlock_runs_live_due on poundlock_runs_live (flow_id, due_at) where due_at is not null`,
  // At most one scheduled run waits, if further ones are to be folded into it.
  `create unique index poundlock_runs_live_buffered on poundlock_runs_live (flow_id) where buffered = 1`,
  `create index poundlock_runs_live_of_flow on poundlock_runs_live (flow_id, seq)`,
];

/** Columns of lists, and whether few runs have them. */
const leaders: readonly (readonly [column: string, isRare: boolean])[] = [
  ["flow", false],
  ["export", false],
  ["integration", true],
  ["connector", true],
];

const endedTables: readonly string[] = [
  `create table poundlock_runs_ended partition of poundlock_runs for values in (2) partition by range (ended_at)`,
  `create index poundlock_runs_ended_seq on poundlock_runs_ended (seq)`,
  `create index poundlock_runs_ended_id on poundlock_runs_ended (id)`,
  `create index poundlock_runs_ended_due on poundlock_runs_ended (flow_id, due_at) where due_at is not null`,
  ...leaders.map(
    ([name, isRare]) =>
      `create index poundlock_runs_ended_of_${name} on poundlock_runs_ended (${name}_id, seq)` +
      (isRare ? ` where ${name}_id is not null` : ""),
  ),
  `create index poundlock_runs_ended_of_cause on poundlock_runs_ended (cause, seq)`,
  `create index poundlock_runs_ended_failed on poundlock_runs_ended (seq) where status = 'failed'`,
  `create index poundlock_runs_ended_canceled on poundlock_runs_ended (seq) where status = 'canceled'`,
  `create table ${otherEnded} partition of poundlock_runs_ended default`,
  `create index ${otherEnded}_by_age on ${otherEnded} (ended_at)`,

  // Partitions that were taken out of the history, and how far what hangs on their runs has been removed.
  `create table poundlock_removals (
    name text primary key,
    flow_id text collate "C" not null default '',
    seq bigint not null default 0)`,
];

// A row that moves is deleted in one table and inserted in another. It is noted where it is deleted, since a copy of a
// storage inserts ended runs: which way it has ended is what its row says from then on.
const triggers: readonly string[] = [
  noting("note_ended_1", "", "change, run_id, flow_id", "'ended', old.id, old.flow_id"),
  `create trigger poundlock_note_queued after insert on poundlock_runs_live for each row
    when (new.status = 'queued') execute function poundlock_note_run_1()`,
  `create trigger poundlock_note_run after update of status on poundlock_runs_live for each row
    when (old.status <> new.status and new.status <> 'canceling') execute function poundlock_note_run_1()`,
  `create trigger poundlock_note_ended after delete on poundlock_runs_live for each row
    execute function poundlock_note_ended_1()`,
];

/** Of the table that all runs were in: what is of no use for ended ones, or has a name that is needed. */
const outdated: readonly string[] = [
  `drop trigger poundlock_note_queued on poundlock_runs`,
  `drop trigger poundlock_note_run on poundlock_runs`,
  `alter table poundlock_runs alter column seq drop identity`,
  `alter table poundlock_runs drop constraint poundlock_runs_pkey, drop constraint poundlock_runs_id_key`,
  ...["active", "due", "buffered", "waiting", "leases", "ended"].map((name) => `drop index poundlock_runs_${name}`),
  `alter table poundlock_runs rename to poundlock_runs_earlier`,
];

/**
 * Takes runs that have ended apart from the others. What has ended so far stays where it is: that table becomes the
 * partition of all time up to the end of the day, which takes a look at its rows and no copy of them.
 */
export function* takeEndedApart(): TransactionBody<void> {
  const state = yield* rowOf<{ readonly next: number; readonly now: number }>(
    `select nextval(pg_get_serial_sequence('poundlock_runs', 'seq')) as next,
      (extract(epoch from clock_timestamp()) * 1000)::bigint as now`,
  );
  const { next = 1, now = 0 } = state ?? {};
  for (const sql of outdated) yield* execute(sql);
  yield* execute(
    `create table poundlock_runs (like poundlock_runs_earlier including defaults) partition by list (stage)`,
  );
  yield* execute(`create sequence poundlock_runs_seq_seq start ${next} owned by poundlock_runs.seq`);
  yield* execute(`alter table poundlock_runs alter column seq set default nextval('poundlock_runs_seq_seq')`);
  for (const sql of [...liveTable, ...endedTables]) yield* execute(sql);
  yield* keepEarlier(periodAt(now, "day").to);
  for (const sql of triggers) yield* execute(sql);
}

function* keepEarlier(end: number): TransactionBody<void> {
  yield* execute(
    `with others as (
      delete from poundlock_runs_earlier where stage < 2 or ended_at is null or ended_at >= ${end} returning *)
      insert into poundlock_runs select * from others`,
  );
  const some = yield* rowOf(`select 1 as one from poundlock_runs_earlier limit 1`);
  yield* execute(
    some === undefined
      ? `drop table poundlock_runs_earlier`
      : `alter table poundlock_runs_ended attach partition poundlock_runs_earlier for values from (minvalue) to (${end})`,
  );
}
