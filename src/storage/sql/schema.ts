import { type Dialect, type TransactionBody, execute, rowsOf } from "./database.ts";
import { dutyTable, processTables } from "./processes/tables.ts";
import { causesOfFailures } from "./totals/third-version.ts";
import { noteNames, statisticsAndNames } from "./totals/statistics-version.ts";
import { findFailing, statesOfFlows } from "./totals/states-version.ts";
import { moveToImports } from "./second-version.ts";

/** One version: what it makes, what it moves there, and what it makes of that. */
interface Version {
  readonly statements: (dialect: Dialect) => readonly string[];
  readonly move?: (dialect: Dialect) => TransactionBody<void>;
  readonly last?: (dialect: Dialect) => readonly string[];
}

/**
 * The versions of the schema, oldest first; the number of one is its place, from 1. A version that was published is
 * never edited: a change is a new one at the end. The database enforces by itself what must never be otherwise.
 */
const versions: readonly Version[] = [
  { statements: firstVersion },
  // Progress, pauses and the place in the inbox by import; one open failure for each key.
  { statements: secondVersion, move: moveToImports, last: lastOfSecondVersion },
  // What processes share beside the flows.
  { statements: dutyTable },
  { statements: processTables },
  // Causes of failures, counted.
  { statements: causesOfFailures },
  // What becomes of runs and flows, for whoever follows it.
  { statements: ({ changeTables }) => changeTables },
  // Flows that were deleted, until all they had is removed.
  { statements: deletedFlows },
  // How flows do.
  { statements: statesOfFlows, move: findFailing },
  // What was moved by hour; flows found by a part of their name.
  { statements: statisticsAndNames, move: noteNames },
  // Where an arrival came from.
  { statements: ({ text }) => [`alter table poundlock_inbox add column origin ${text}`] },
  // From here on a failure's document has only what no column has, which an earlier version cannot read.
  { statements: () => [] },
  // Ended runs apart from the others, where that saves anything.
  { statements: () => [], move: ({ takeEndedApart }) => takeEndedApart() },
];

function firstVersion(dialect: Dialect): readonly string[] {
  const tables = [flowTables, runTable, historyTables, failureTable, inboxTables];
  return tables.flatMap((statements) => statements(dialect));
}

function flowTables({ text, withRoom }: Dialect): readonly string[] {
  return [
    `create table poundlock_flows (
      id ${text} primary key,
      doc ${text} not null,
      export_id ${text} not null,
      integration_id ${text},
      connector_id ${text},
      disabled smallint not null,
      last_modified ${text} not null,
      due_at bigint,
      executed_at ${text},
      inbox_pages integer not null default 0)${withRoom}`,
    `create index poundlock_flows_due on poundlock_flows (due_at, id) where disabled = 0 and due_at is not null`,
    `create index poundlock_flows_unread on poundlock_flows (id) where inbox_pages > 0`,
    `create index poundlock_flows_of_export on poundlock_flows (export_id, id)`,
    `create index poundlock_flows_of_integration on poundlock_flows (integration_id, id) where integration_id is not null`,
    `create index poundlock_flows_of_connector on poundlock_flows (connector_id, id) where connector_id is not null`,

    `create table poundlock_flow_imports (
      flow_id ${text} not null references poundlock_flows (id),
      import_id ${text} not null,
      primary key (flow_id, import_id))`,
    `create index poundlock_flow_imports_of_import on poundlock_flow_imports (import_id, flow_id)`,

    `create table poundlock_checkpoints (
      flow_id ${text} primary key references poundlock_flows (id),
      value ${text} not null,
      version integer not null)`,
  ];
}

function runTable({ identity, text, withRoom }: Dialect): readonly string[] {
  return [
    // stage: 0 waits, 1 is active (running or canceling), 2 has ended.
    `create table poundlock_runs (
      seq ${identity},
      id ${text} not null unique,
      flow_id ${text} not null,
      export_id ${text} not null,
      integration_id ${text},
      connector_id ${text},
      cause ${text} not null,
      status ${text} not null,
      stage smallint not null,
      due_at bigint,
      buffered smallint,
      ended_at bigint,
      token ${text},
      lease_until bigint,
      orphaned smallint not null default 0,
      position ${text},
      doc ${text} not null)${withRoom}`,
    // At most one run of a flow is active.
    `create unique index poundlock_runs_active on poundlock_runs (flow_id) where stage = 1`,
    // A due time has at most one run.
    `create unique index poundlock_runs_due on poundlock_runs (flow_id, due_at) where due_at is not null`,
    // At most one scheduled run waits, if further ones are to be folded into it.
    `create unique index poundlock_runs_buffered on poundlock_runs (flow_id) where buffered = 1`,
    `create index poundlock_runs_waiting on poundlock_runs (flow_id, seq) where stage = 0`,
    `create index poundlock_runs_leases on poundlock_runs (lease_until) where stage = 1`,
    `create index poundlock_runs_ended on poundlock_runs (ended_at) where stage = 2`,
    `create index poundlock_runs_of_flow on poundlock_runs (flow_id, seq)`,
    `create index poundlock_runs_of_export on poundlock_runs (export_id, seq)`,
    `create index poundlock_runs_of_integration on poundlock_runs (integration_id, seq) where integration_id is not null`,
    `create index poundlock_runs_of_connector on poundlock_runs (connector_id, seq) where connector_id is not null`,
    `create index poundlock_runs_of_cause on poundlock_runs (cause, seq)`,
    `create index poundlock_runs_failed on poundlock_runs (seq) where status = 'failed'`,
    `create index poundlock_runs_canceled on poundlock_runs (seq) where status = 'canceled'`,
  ];
}

function historyTables({ text, inKeyOrder }: Dialect): readonly string[] {
  return [
    `create table poundlock_run_imports (
      import_id ${text} not null,
      run_seq bigint not null,
      primary key (import_id, run_seq))${inKeyOrder}`,

    // How many runs of a flow are remembered, so that nobody has to count them to find out whose are too many.
    `create table poundlock_histories (
      flow_id ${text} primary key,
      runs integer not null)`,
    `create index poundlock_histories_by_runs on poundlock_histories (runs)`,
  ];
}

function failureTable({ identity, bytes, text }: Dialect): readonly string[] {
  return [
    `create table poundlock_failures (
      seq ${identity},
      id ${text} not null unique,
      flow_id ${text} not null,
      import_id ${text} not null,
      run_id ${text} not null,
      integration_id ${text},
      connector_id ${text},
      status ${text} not null,
      resolved_at bigint,
      doc ${text} not null,
      record ${text},
      record_bytes ${bytes})`,
    `create index poundlock_failures_of_flow on poundlock_failures (flow_id, seq)`,
    `create index poundlock_failures_open on poundlock_failures (flow_id, seq) where status = 'open'`,
    `create index poundlock_failures_of_run on poundlock_failures (run_id, seq)`,
    `create index poundlock_failures_of_import on poundlock_failures (import_id, seq)`,
    `create index poundlock_failures_of_integration on poundlock_failures (integration_id, seq) where integration_id is not null`,
    `create index poundlock_failures_of_connector on poundlock_failures (connector_id, seq) where connector_id is not null`,
    `create index poundlock_failures_resolved on poundlock_failures (resolved_at) where status = 'resolved'`,
  ];
}

function inboxTables({ identity, bytes, text }: Dialect): readonly string[] {
  return [
    `create table poundlock_inbox (
      seq ${identity},
      flow_id ${text} not null references poundlock_flows (id),
      arrival_id ${text} not null,
      size integer not null,
      ids ${text},
      records ${text},
      records_bytes ${bytes})`,
    `create unique index poundlock_inbox_arrivals on poundlock_inbox (flow_id, arrival_id)`,
    `create index poundlock_inbox_of_flow on poundlock_inbox (flow_id, seq, size)`,

    `create table poundlock_events (
      flow_id ${text} not null references poundlock_flows (id),
      id ${text} not null,
      seen_at bigint not null,
      primary key (flow_id, id))`,
    `create index poundlock_events_by_age on poundlock_events (flow_id, seen_at)`,
  ];
}

function secondVersion(dialect: Dialect): readonly string[] {
  return [...placesOfImports(dialect), ...keysOfFailures(dialect)];
}

function placesOfImports({ text }: Dialect): readonly string[] {
  return [
    `alter table poundlock_flows add column basis ${text}`,
    `alter table poundlock_flows add column flow_group ${text}`,
    `alter table poundlock_flows add column scheduled smallint not null default 0`,
    // Inside a string of JSON a quote has a backslash before it, so this finds the field alone.
    `update poundlock_flows set scheduled = 1 where doc like '%"schedule":"%'`,
    `create index poundlock_flows_scheduled on poundlock_flows (id) where scheduled = 1 and disabled = 0`,
    `create index poundlock_flows_of_group on poundlock_flows (flow_group, id) where flow_group is not null`,

    // A row for each import of a flow, from the beginning. resume_at: when its pause ends by itself.
    `create table poundlock_places (
      flow_id ${text} not null references poundlock_flows (id),
      import_id ${text} not null,
      checkpoint ${text},
      version integer,
      position ${text},
      behind smallint not null default 0,
      pause ${text},
      resume_at bigint,
      inbox bigint not null default 0,
      moved_at bigint,
      primary key (flow_id, import_id))`,
    `create index poundlock_places_resumable on poundlock_places (resume_at) where resume_at is not null`,
    `create index poundlock_places_paused on poundlock_places (flow_id, import_id, resume_at) where resume_at is not null`,
    `insert into poundlock_places (flow_id, import_id, checkpoint, version)
      select i.flow_id, i.import_id, c.value, c.version from poundlock_flow_imports i
      left join poundlock_checkpoints c on c.flow_id = i.flow_id`,
    `drop table poundlock_checkpoints`,
  ];
}

function keysOfFailures({ bytes, text }: Dialect): readonly string[] {
  return [
    `alter table poundlock_runs add column commits integer not null default 0`,
    `alter table poundlock_runs add column not_before bigint`,

    `alter table poundlock_failures add column export_id ${text}`,
    `alter table poundlock_failures add column record_key ${text}`,
    `alter table poundlock_failures add column version ${text}`,
    `alter table poundlock_failures add column fault ${text}`,
    `alter table poundlock_failures add column retry_at bigint`,
    `alter table poundlock_failures add column resolved_by ${text}`,
    `alter table poundlock_failures add column original ${text}`,
    `alter table poundlock_failures add column original_bytes ${bytes}`,

    `alter table poundlock_inbox add column arrived_at bigint not null default 0`,
    `alter table poundlock_inbox add column weight bigint not null default 0`,
    // Pages that an import is not to get.
    `create table poundlock_drops (
      flow_id ${text} not null references poundlock_flows (id),
      page_seq bigint not null,
      import_id ${text} not null,
      primary key (flow_id, page_seq, import_id))`,
  ];
}

function deletedFlows({ deletionNote }: Dialect): readonly string[] {
  return [
    `alter table poundlock_flows add column deleted_at bigint`,
    `create index poundlock_flows_deleted on poundlock_flows (deleted_at, id) where deleted_at is not null`,
    ...deletionNote,
  ];
}

/** The indexes that only what was moved can have. */
function lastOfSecondVersion({ indexed }: Dialect): readonly string[] {
  return [
    // At most one failure of a record is open at an import.
    `create unique index poundlock_failures_key on poundlock_failures (flow_id, import_id, export_id, ${indexed("record_key")})
      where status = 'open'`,
    `create index poundlock_failures_open_of_import on poundlock_failures (flow_id, import_id, export_id, seq)
      where status = 'open'`,
    `create index poundlock_failures_retries on poundlock_failures (retry_at) where status = 'open' and retry_at is not null`,
    `create index poundlock_failures_of_key on poundlock_failures (${indexed("record_key")}, seq)`,
  ];
}

/** The version that this code reads and writes. */
export const schemaVersion = versions.length;

/** Where the database says which version it has. */
export const createVersions = `create table if not exists poundlock_schema (version integer primary key)`;

/**
 * The version that the database has, 0 if none. Asked before anything is changed, as the table need not be there.
 *
 * @throws Error if it is newer than this code, which then must leave it as it is.
 */
export function checkVersion(found: number): number {
  if (found <= schemaVersion) return found;
  throw new Error(
    `the data has schema version ${found}, and this version of poundlock knows versions up to ${schemaVersion}: ` +
      `use a newer poundlock`,
  );
}

/** Brings the schema up to date, in one transaction: a process that starts at the same time finds it done. */
export function* migrate(dialect: Dialect): TransactionBody<void> {
  yield* execute(createVersions);
  const applied = yield* rowsOf<{ version: number }>(
    `select version from poundlock_schema order by version desc limit 1`,
  );
  const found = checkVersion(applied[0]?.version ?? 0);
  for (const [index, version] of versions.entries()) {
    if (index < found) continue;
    for (const sql of version.statements(dialect)) yield* execute(sql);
    if (version.move !== undefined) yield* version.move(dialect);
    for (const sql of version.last?.(dialect) ?? []) yield* execute(sql);
    yield* execute(`insert into poundlock_schema (version) values (?)`, index + 1);
  }
}
