import type { Flow } from "../../model/flow/flow.ts";
import { mostListed } from "../../model/record/size.ts";
import { type Run, transitionRun } from "../../model/run.ts";
import { optional } from "../documents.ts";
import { type Transaction, type TransactionBody, execute, rowOf, rowsOf } from "./database.ts";
import { failureWeight } from "./failures.ts";
import { cancelWaiting } from "./flows.ts";
import { lockFlow } from "./locks.ts";
import { type FlowRow, type RunRow, flowColumns, flowOf, runColumns, runOf } from "./rows.ts";
import { closeUnreadable, keepRun } from "./runs.ts";
import { readable } from "./values/unreadable.ts";
import type { DeleteFlowResult, FlowDeletion } from "../storage.ts";

// A flow that is deleted keeps its row, with `deleted_at`, as long as something of it is left: all that reads leaves out
// what belongs to such a row, no other flow can have its id, and foreign keys keep the row until the last page and event
// id are gone. Whoever removes a portion has locked the row.

/** Rows that are removed with a flow at once. */
const defaultLimit = 200;

/** @see FlowStorage.deleteFlow */
export function deleteFlow(
  _id: string,
  { expected, at, limit = defaultLimit }: FlowDeletion,
): Transaction<DeleteFlowResult> {
  return function* () {
    yield* lockFlow(_id);
    const row = yield* rowOf<DeletedRow>(
      `select ${flowColumns}, export_id, integration_id, connector_id, disabled, last_modified
        from poundlock_flows where id = ? and deleted_at is null`,
      _id,
    );
    if (row === undefined) return { outcome: "missing" };
    if (expected !== undefined && row.last_modified !== expected) return { outcome: "stale" };
    const flow = readable(() => flowOf(row)) ?? (yield* flowOfColumns(row));
    const canceled = yield* cancelWaiting(_id, at);
    const active = yield* orphanActive(_id, at);
    for (const table of ["places", "flow_imports"])
      yield* execute(`delete from poundlock_${table} where flow_id = ?`, _id);
    yield* execute(
      `update poundlock_flows set deleted_at = ?, doc = '{}', disabled = 1, due_at = null, scheduled = 0,
        inbox_pages = 0, integration_id = null, connector_id = null, flow_group = null, basis = null where id = ?`,
      ...[at, _id],
    );
    yield* purgeFlow(_id, limit);
    return { outcome: "deleted", flow, canceled, ...optional("active", active) };
  };
}

interface DeletedRow extends FlowRow {
  readonly export_id: string;
  readonly integration_id: string | null;
  readonly connector_id: string | null;
  readonly disabled: number;
  readonly last_modified: string;
}

// What the columns say of a flow whose document cannot be read.
function* flowOfColumns(row: DeletedRow): TransactionBody<Flow> {
  const imports = yield* rowsOf<{ readonly import_id: string }>(
    `select import_id from poundlock_flow_imports where flow_id = ? order by import_id`,
    row.id,
  );
  const _importIds = imports.map(({ import_id }) => import_id);
  return Object.freeze<Flow>({
    ...{ _id: row.id, name: row.id, _exportId: row.export_id, _importId: _importIds[0] ?? "" },
    ...(_importIds.length > 1 ? { _importIds: Object.freeze(_importIds) } : {}),
    ...optional("_integrationId", row.integration_id ?? undefined),
    ...optional("_connectorId", row.connector_id ?? undefined),
    ...{ disabled: row.disabled === 1, createdAt: row.last_modified, lastModified: row.last_modified },
  });
}

/** @see FlowStorage.purgeFlows */
export function purgeFlows({ limit, _flowId }: { limit: number; _flowId?: string }): Transaction<boolean> {
  return function* () {
    const row = yield* rowOf<{ readonly id: string }>(
      _flowId === undefined
        ? `select id from poundlock_flows where deleted_at is not null order by deleted_at, id limit 1`
        : `select id from poundlock_flows where id = ? and deleted_at is not null`,
      ...(_flowId === undefined ? [] : [_flowId]),
    );
    if (row === undefined) return false;
    yield* lockFlow(row.id);
    // Another process may have removed the last of it since.
    const found = yield* rowOf(`select 1 from poundlock_flows where id = ? and deleted_at is not null`, row.id);
    const isGone = found === undefined || (yield* purgeFlow(row.id, limit));
    return !isGone || _flowId === undefined;
  };
}

/** Removes as many rows of one table as may be, and returns how many there were. */
type Purge = (_flowId: string, limit: number) => TransactionBody<number>;

// What is found in lists comes first: until it is gone, they walk over it.
const purges: readonly Purge[] = [
  purgeFailures,
  purgeRows(
    `delete from poundlock_causes where flow_id = ? and cause in (
      select cause from poundlock_causes where flow_id = ? limit ?) returning 1 as one`,
  ),
  purgeInbox,
  purgeRows(
    `delete from poundlock_drops where flow_id = ? and page_seq in (
      select page_seq from poundlock_drops where flow_id = ? limit ?) returning 1 as one`,
  ),
  purgeRows(
    `delete from poundlock_events where flow_id = ? and id in (
      select id from poundlock_events where flow_id = ? limit ?) returning 1 as one`,
  ),
  // A new flow with the same id has due times of its own.
  purgeRows(
    `update poundlock_runs set due_at = null where flow_id = ? and due_at in (
      select due_at from poundlock_runs where flow_id = ? and due_at is not null limit ?) returning 1 as one`,
  ),
];

// True if nothing is left, of the flow's row neither.
function* purgeFlow(_id: string, limit: number): TransactionBody<boolean> {
  let left = limit;
  for (const purge of purges) {
    if (left > 0) left -= yield* purge(_id, left);
    if (left <= 0) return false;
  }
  yield* execute(`delete from poundlock_flows where id = ?`, _id);
  return true;
}

function purgeRows(sql: string): Purge {
  return function* (_flowId, limit) {
    return (yield* rowsOf(sql, _flowId, _flowId, limit)).length;
  };
}

function* purgeFailures(_flowId: string, limit: number): TransactionBody<number> {
  const rows = yield* rowsOf<SizedRow>(
    `select seq, ${failureWeight} as weight from poundlock_failures
      where flow_id = ? and status = 'open' order by seq limit ?`,
    ...[_flowId, limit],
  );
  const { count, last } = lightest(rows);
  yield* execute(`delete from poundlock_failures where flow_id = ? and status = 'open' and seq <= ?`, _flowId, last);
  return count < rows.length ? limit : count;
}

function* purgeInbox(_flowId: string, limit: number): TransactionBody<number> {
  const rows = yield* rowsOf<SizedRow>(
    `select seq, weight from poundlock_inbox where flow_id = ? order by seq limit ?`,
    ...[_flowId, limit],
  );
  const { count, last } = lightest(rows);
  yield* execute(`delete from poundlock_inbox where flow_id = ? and seq <= ?`, _flowId, last);
  return count < rows.length ? limit : count;
}

interface SizedRow {
  readonly seq: number;
  readonly weight: number;
}

// Rows that keep records may be large, and removing one costs as much as it is long: the first of these that are not too
// large together, and one at least.
function lightest(rows: readonly SizedRow[]): { readonly count: number; readonly last: number } {
  let bytes = 0;
  const end = rows.findIndex(({ weight }, index) => (bytes += weight) > mostListed && index > 0);
  const count = end < 0 ? rows.length : end;
  return { count, last: rows[count - 1]?.seq ?? 0 };
}

// The run goes on to its end, and touches neither what the flow has left nor a new flow with its id.
function* orphanActive(_flowId: string, at: number): TransactionBody<Run | undefined> {
  const row = yield* rowOf<RunRow>(
    `update poundlock_runs set orphaned = 1 where flow_id = ? and stage = 1 returning ${runColumns}`,
    _flowId,
  );
  if (row === undefined) return undefined;
  const before = readable(() => runOf(row));
  if (before === undefined) {
    yield* closeUnreadable(row.seq, "canceled", at);
    return undefined;
  }
  const run = before.status === "running" ? transitionRun(before, "canceling") : before;
  yield* keepRun(row.seq, run);
  return run;
}
