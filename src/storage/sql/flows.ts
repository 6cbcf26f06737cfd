import { type Flow, importIdsOf } from "../../model/flow.ts";
import { type Run, transitionRun } from "../../model/run.ts";
import {
  type Transaction,
  type TransactionBody,
  type SqlValue,
  type Statement,
  execute,
  rowOf,
  rowsOf,
  statement,
  whereOf,
} from "./database.ts";
import { isoOf, optional } from "../documents.ts";
import { type FlowRow, flowColumns, flowOf, flowText, runOf } from "./rows.ts";
import { keepRun } from "./runs.ts";
import type { DeleteFlowResult, FlowChange, FlowQuery, ReplaceFlowResult, StoredCheckpoint } from "../storage.ts";

/** @see FlowStorage.insertFlow */
export function insertFlow(flow: Flow): Transaction<boolean> {
  const values = [...flowValues(flow), dueAtOf(flow), flow.lastExecutedAt ?? null];
  const _importIds = [...importIdsOf(flow)];
  const { _id } = flow;
  return function* () {
    const inserted = yield* rowOf(
      `insert into poundlock_flows
        (id, doc, export_id, integration_id, connector_id, disabled, last_modified, due_at, executed_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing returning id`,
      ...[_id, ...values],
    );
    if (inserted === undefined) return false;
    yield* insertImports(_id, _importIds);
    return true;
  };
}

/** Asks for {@link FlowRow}s. */
export function flowById(_id: string): Statement {
  return statement(`select ${flowColumns} from poundlock_flows where id = ?`, _id);
}

/** Asks for {@link FlowRow}s, at most one more than the query's limit. */
export function flowsMatching(query: FlowQuery): Statement {
  const { limit, after, _exportId, _integrationId, _connectorId, _importId, disabled } = query;
  const { where, values } = whereOf([
    ["export_id = ?", _exportId],
    ["integration_id = ?", _integrationId],
    ["connector_id = ?", _connectorId],
    ["disabled = ?", disabled === undefined ? undefined : Number(disabled)],
    ["id in (select flow_id from poundlock_flow_imports where import_id = ?)", _importId],
    ["id > ?", after],
  ]);
  return statement(`select ${flowColumns} from poundlock_flows${where} order by id limit ?`, ...values, limit + 1);
}

/** @see FlowStorage.replaceFlow */
export function replaceFlow(flow: Flow, { expected, reschedule, at }: FlowChange): Transaction<ReplaceFlowResult> {
  const values = [...flowValues(flow), Number(reschedule), dueAtOf(flow)];
  const _importIds = [...importIdsOf(flow)];
  const { _id, disabled } = flow;
  return function* () {
    const row = yield* rowOf<FlowRow>(
      `update poundlock_flows set doc = ?, export_id = ?, integration_id = ?, connector_id = ?, disabled = ?,
        last_modified = ?, due_at = case when ? = 1 then ? else due_at end
        where id = ? and last_modified = ? returning ${flowColumns}`,
      ...[...values, _id, expected],
    );
    if (row === undefined) {
      const stored = yield* rowOf(`select 1 from poundlock_flows where id = ?`, _id);
      return { outcome: stored === undefined ? "missing" : "stale" };
    }
    yield* execute(`delete from poundlock_flow_imports where flow_id = ?`, _id);
    yield* insertImports(_id, _importIds);
    return { outcome: "replaced", flow: flowOf(row), canceled: disabled ? yield* cancelWaiting(_id, at) : [] };
  };
}

/** @see FlowStorage.deleteFlow */
export function deleteFlow(
  _id: string,
  { expected, at }: { expected?: string; at: number },
): Transaction<DeleteFlowResult> {
  return function* () {
    const row = yield* rowOf<FlowRow & { last_modified: string }>(
      `select ${flowColumns}, last_modified from poundlock_flows where id = ?`,
      _id,
    );
    if (row === undefined) return { outcome: "missing" };
    if (expected !== undefined && row.last_modified !== expected) return { outcome: "stale" };
    const canceled = yield* cancelWaiting(_id, at);
    const active = yield* orphanActive(_id);
    // A new flow with the same id has due times of its own.
    yield* execute(`update poundlock_runs set due_at = null where flow_id = ? and due_at is not null`, _id);
    yield* execute(`delete from poundlock_failures where flow_id = ? and status = 'open'`, _id);
    for (const table of ["events", "inbox", "checkpoints", "flow_imports"])
      yield* execute(`delete from poundlock_${table} where flow_id = ?`, _id);
    yield* execute(`delete from poundlock_flows where id = ?`, _id);
    return { outcome: "deleted", flow: flowOf(row), canceled, ...optional("active", active) };
  };
}

/** Asks for {@link FlowRow}s. */
export function flowsDue(until: number, limit: number): Statement {
  return statement(
    `select ${flowColumns} from poundlock_flows where disabled = 0 and due_at <= ? order by due_at, id limit ?`,
    ...[until, limit],
  );
}

/** Asks for one `due_at`. */
export function earliestDue(): Statement {
  return statement(
    `select due_at from poundlock_flows where disabled = 0 and due_at is not null order by due_at limit 1`,
  );
}

/** Asks for `value` and `version`. */
export function checkpointById(_flowId: string): Statement {
  return statement(`select value, version from poundlock_checkpoints where flow_id = ?`, _flowId);
}

/** @see CheckpointStorage.setCheckpoint */
export function setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined): Transaction<boolean> {
  const text = checkpoint === undefined ? undefined : JSON.stringify(checkpoint.value);
  const version = checkpoint?.version ?? 0;
  return function* () {
    const settable = yield* rowOf(
      `select 1 from poundlock_flows f where f.id = ?
        and not exists (select 1 from poundlock_runs r where r.flow_id = f.id and r.stage = 1)`,
      _flowId,
    );
    if (settable === undefined) return false;
    if (text === undefined) yield* execute(`delete from poundlock_checkpoints where flow_id = ?`, _flowId);
    else yield* keepCheckpoint(_flowId, text, version);
    return true;
  };
}

/** Sets the checkpoint of a flow that is there. */
export function* keepCheckpoint(_flowId: string, text: string, version: number): TransactionBody<void> {
  yield* execute(
    `insert into poundlock_checkpoints (flow_id, value, version) values (?, ?, ?)
      on conflict (flow_id) do update set value = excluded.value, version = excluded.version`,
    ...[_flowId, text, version],
  );
}

function flowValues(flow: Flow): readonly SqlValue[] {
  const { _exportId, _integrationId = null, _connectorId = null, disabled, lastModified } = flow;
  return [flowText(flow), _exportId, _integrationId, _connectorId, Number(disabled), lastModified];
}

function dueAtOf({ nextRunAt }: Flow): number | null {
  return nextRunAt === undefined ? null : Date.parse(nextRunAt);
}

function* insertImports(_flowId: string, _importIds: readonly string[]): TransactionBody<void> {
  for (const _importId of _importIds)
    yield* execute(`insert into poundlock_flow_imports (flow_id, import_id) values (?, ?)`, _flowId, _importId);
}

function* cancelWaiting(_flowId: string, at: number): TransactionBody<readonly Run[]> {
  const waiting = yield* rowsOf<{ seq: number; doc: string }>(
    `select seq, doc from poundlock_runs where flow_id = ? and stage = 0 order by seq`,
    _flowId,
  );
  const canceled: Run[] = [];
  for (const { seq, doc } of waiting) {
    const run = transitionRun(transitionRun(runOf(doc), "canceling"), "canceled", { endedAt: isoOf(at) });
    yield* keepRun(seq, run);
    canceled.push(run);
  }
  return canceled;
}

// The run goes on to its end, and touches neither what the flow has left nor a new flow with its id.
function* orphanActive(_flowId: string): TransactionBody<Run | undefined> {
  const row = yield* rowOf<{ seq: number; doc: string }>(
    `update poundlock_runs set orphaned = 1 where flow_id = ? and stage = 1 returning seq, doc`,
    _flowId,
  );
  if (row === undefined) return undefined;
  const before = runOf(row.doc);
  const run = before.status === "running" ? transitionRun(before, "canceling") : before;
  yield* keepRun(row.seq, run);
  return run;
}
