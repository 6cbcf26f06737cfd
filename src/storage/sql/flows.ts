import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
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
} from "./database.ts";
import { isoOf } from "../documents.ts";
import { type FlowRow, type RunRow, flowColumns, flowOf, flowText, runColumns, runOf } from "./rows.ts";
import { readable } from "./values/unreadable.ts";
import { resolveOfImports } from "./failures.ts";
import { removeSettled } from "./inbox.ts";
import { lockFlow, lockFlows } from "./locks.ts";
import { followImports, insertPlaces } from "./places.ts";
import { nameOf } from "./search/flow-list.ts";
import { closeUnreadable, keepRun } from "./runs.ts";
import type { DuePlace, DueTimeChange, FlowChange, FlowHidden, ReplaceFlowResult } from "../storage.ts";

/** @see FlowStorage.insertFlow */
export function insertFlow(flow: Flow, { basis, followingDueAt }: FlowHidden): Transaction<boolean> {
  const times = [dueAtOf(flow), followingDueAt ?? null, followingDueAt ?? null, flow.lastExecutedAt ?? null];
  const values = [...flowValues(flow), ...times, basis ?? null];
  const _importIds = [...importIdsOf(flow)];
  const { _id } = flow;
  return function* () {
    const inserted = yield* rowOf(
      `insert into poundlock_flows (id, doc, export_id, integration_id, connector_id, disabled, last_modified,
        flow_group, scheduled, search_name, due_at, following_at, overdue_at, executed_at, basis)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing returning id`,
      ...[_id, ...values],
    );
    if (inserted === undefined) return false;
    yield* insertImports(_id, _importIds);
    yield* insertPlaces(_id, _importIds);
    return true;
  };
}

/** Asks for {@link FlowRow}s. */
export function flowById(_id: string): Statement {
  return statement(`select ${flowColumns} from poundlock_flows where id = ? and deleted_at is null`, _id);
}

/** @see FlowStorage.replaceFlow */
export function replaceFlow(flow: Flow, change: FlowChange): Transaction<ReplaceFlowResult> {
  const { at, basis, expected, reschedule } = change;
  const followingDueAt = change.followingDueAt ?? null;
  const anew = Number(reschedule);
  const times = [anew, dueAtOf(flow), anew, followingDueAt, anew, followingDueAt];
  const values = [...flowValues(flow), ...times, basis ?? null];
  const { _id, disabled } = flow;
  const _importIds = [...importIdsOf(flow)];
  return function* () {
    yield* lockFlow(_id);
    const stored = yield* rowOf<FlowRow & { last_modified: string; inbox_pages: number }>(
      `select ${flowColumns}, last_modified, inbox_pages from poundlock_flows where id = ? and deleted_at is null`,
      _id,
    );
    if (stored === undefined) return { outcome: "missing" };
    if (stored.last_modified !== expected) return { outcome: "stale" };
    const before = flowOf(stored);
    const reads = before._exportId === flow._exportId ? "on" : "another";
    if (reads === "another" && stored.inbox_pages > 0) return { outcome: "unread", pages: stored.inbox_pages };
    const row = yield* rowOf<FlowRow>(
      `update poundlock_flows set doc = ?, export_id = ?, integration_id = ?, connector_id = ?, disabled = ?,
        last_modified = ?, flow_group = ?, scheduled = ?, search_name = ?, due_at = case when ? = 1 then ? else due_at end,
        following_at = case when ? = 1 then ? else following_at end,
        overdue_at = case when ? = 1 then ? else overdue_at end, basis = coalesce(?, basis) where id = ? returning ${flowColumns}`,
      ...[...values, _id],
    );
    if (row === undefined) return { outcome: "missing" };
    yield* forgetDueTimes(_id, change.forgetAfter);
    const next = flowOf(row);
    const canceled = disabled ? yield* cancelWaiting(_id, at) : [];
    yield* execute(`delete from poundlock_flow_imports where flow_id = ?`, _id);
    yield* insertImports(_id, _importIds);
    yield* resolveOfImports(_id, yield* followImports(before, next), at);
    yield* removeSettled(_id);
    if (reads === "on") return { outcome: "replaced", flow: next, canceled };
    yield* execute(`update poundlock_runs set orphaned = 2 where flow_id = ? and stage = 1 and orphaned = 0`, _id);
    const begun = yield* cancelWaiting(_id, at, ({ startedAt }) => startedAt !== undefined);
    return { outcome: "replaced", flow: next, canceled: [...canceled, ...begun] };
  };
}

/** Asks for {@link FlowRow}s. */
export function flowsDue(until: number, limit: number, after: DuePlace | undefined): Statement {
  const rest = after === undefined ? "" : " and (due_at > ? or (due_at = ? and id > ?))";
  const place = after === undefined ? [] : [after.dueAt, after.dueAt, after._flowId];
  return statement(
    `select ${flowColumns} from poundlock_flows where disabled = 0 and due_at <= ?${rest} order by due_at, id limit ?`,
    ...[until, ...place, limit],
  );
}

/** Asks for {@link FlowRow}s with their `basis`. */
export function flowsScheduled(limit: number, after = ""): Statement {
  return statement(
    `select ${flowColumns}, basis from poundlock_flows where scheduled = 1 and disabled = 0 and id > ? order by id limit ?`,
    ...[after, limit],
  );
}

/** @see FlowStorage.rescheduleFlows */
export function rescheduleFlows(changes: readonly DueTimeChange[]): Transaction<void> {
  return function* () {
    yield* lockFlows(changes.map(({ _flowId }) => _flowId));
    for (const { _flowId, basis, dueAt, expected, followingDueAt, forgetAfter } of changes) {
      yield* execute(
        `update poundlock_flows set due_at = ?, following_at = ?, overdue_at = ?, basis = ?
          where id = ? and disabled = 0 and coalesce(due_at, -1) = ?`,
        ...[dueAt ?? null, followingDueAt ?? null, followingDueAt ?? null, basis, _flowId, expected ?? -1],
      );
      yield* forgetDueTimes(_flowId, forgetAfter);
    }
  };
}

function* forgetDueTimes(_flowId: string, after: number | undefined): TransactionBody<void> {
  if (after === undefined) return;
  yield* execute(`update poundlock_runs set due_at = null where flow_id = ? and due_at > ?`, _flowId, after);
}

/** Asks for one `due_at`. */
export function earliestDue(): Statement {
  return statement(
    `select due_at from poundlock_flows where disabled = 0 and due_at is not null order by due_at limit 1`,
  );
}

function flowValues(flow: Flow): readonly SqlValue[] {
  const { _exportId, _integrationId = null, _connectorId = null, disabled, lastModified } = flow;
  const { group = null, name, schedule } = flow;
  const scheduled = Number(schedule !== undefined);
  return [
    ...[flowText(flow), _exportId, _integrationId, _connectorId, Number(disabled), lastModified],
    ...[group, scheduled, nameOf(name)],
  ];
}

function dueAtOf({ nextRunAt }: Flow): number | null {
  return nextRunAt === undefined ? null : Date.parse(nextRunAt);
}

function* insertImports(_flowId: string, _importIds: readonly string[]): TransactionBody<void> {
  for (const _importId of _importIds)
    yield* execute(`insert into poundlock_flow_imports (flow_id, import_id) values (?, ?)`, _flowId, _importId);
}

/** Cancels the flow's waiting runs for which `wanted` holds. */
export function* cancelWaiting(
  _flowId: string,
  at: number,
  wanted: (run: Run) => boolean = () => true,
): TransactionBody<readonly Run[]> {
  const waiting = yield* rowsOf<RunRow>(
    `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0 order by seq`,
    _flowId,
  );
  const canceled: Run[] = [];
  for (const row of waiting) {
    const before = readable(() => runOf(row));
    if (before === undefined) yield* closeUnreadable(row.seq, "canceled", at);
    if (before === undefined || !wanted(before)) continue;
    const run = transitionRun(transitionRun(before, "canceling"), "canceled", { endedAt: isoOf(at) });
    yield* keepRun(row.seq, run);
    canceled.push(run);
  }
  return canceled;
}
