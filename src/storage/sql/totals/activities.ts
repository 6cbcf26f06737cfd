import type { Pause } from "../../../model/delivery.ts";
import type { FlowActivity, LastRun, PausedImport } from "../../../model/flow/activity.ts";
import { isoOf, optional } from "../../documents.ts";
import type { ActivityQuery } from "../../storage.ts";
import { type SqlValue, type Statement, statement } from "../database.ts";
import { type RunRow, runColumns, runOf } from "../rows.ts";
import type { ReadRows } from "../search/failure-list.ts";
import { objectIn, readable } from "../values/unreadable.ts";

/** @see OverviewStorage.flowActivities */
export function flowActivities(
  read: ReadRows,
  { _flowIds, ...query }: ActivityQuery,
): Promise<readonly (FlowActivity | undefined)[]> {
  return Promise.all(_flowIds.map((_flowId) => activityOf(read, _flowId, query)));
}

async function activityOf(
  read: ReadRows,
  _flowId: string,
  { now, _integrationId }: Omit<ActivityQuery, "_flowIds">,
): Promise<FlowActivity | undefined> {
  const owner = _integrationId === undefined ? [] : [_integrationId];
  const [[state], [run], paused] = await Promise.all([
    read<StateRow>(stateOf(_flowId, owner)),
    read<RunRow>(lastRunOf(_flowId, owner)),
    read<{ readonly import_id: string; readonly pause: string }>(pausesOf(_flowId)),
  ]);
  if (state === undefined) return undefined;
  const { failing_since, open_failures, overdue_at } = state;
  const isOverdue = overdue_at !== null && overdue_at <= now;
  return Object.freeze<FlowActivity>({
    ...optional("lastRun", run && readable(() => lastRun(run))),
    ...optional("failingSince", failing_since === null ? undefined : isoOf(failing_since)),
    ...optional("overdueSince", isOverdue ? isoOf(overdue_at) : undefined),
    openFailures: open_failures,
    paused: paused.flatMap((row) => readable(() => pausedImport(_flowId, row)) ?? []),
  });
}

interface StateRow {
  readonly failing_since: number | null;
  readonly overdue_at: number | null;
  readonly open_failures: number;
}

function stateOf(_flowId: string, owner: readonly SqlValue[]): Statement {
  const owned = owner.length === 0 ? "" : " and c.integration_id = ?";
  return statement(
    `select case when disabled = 0 then failing_since end as failing_since,
        case when disabled = 0 then overdue_at end as overdue_at,
        (select cast(coalesce(sum(c.size), 0) as bigint) from poundlock_causes c where c.flow_id = ?${owned}) as open_failures
      from poundlock_flows where id = ? and deleted_at is null`,
    ...[_flowId, ...owner, _flowId],
  );
}

function lastRunOf(_flowId: string, owner: readonly SqlValue[]): Statement {
  const owned = owner.length === 0 ? "" : " and integration_id || '' = ?";
  return statement(
    `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 2${owned}
      order by flow_id desc, seq desc limit 1`,
    ...[_flowId, ...owner],
  );
}

function pausesOf(_flowId: string): Statement {
  return statement(
    `select import_id, pause from poundlock_places where flow_id = ? and pause is not null order by import_id`,
    _flowId,
  );
}

function lastRun(row: RunRow): LastRun {
  const { _id, status, endedAt, numError } = runOf(row);
  return { _id, status, ...optional("endedAt", endedAt), numError };
}

function pausedImport(
  _flowId: string,
  { import_id, pause }: { readonly import_id: string; readonly pause: string },
): PausedImport {
  const { since, resumeAt } = objectIn("places", `${_flowId}/${import_id}`, pause) as Pause;
  return { _importId: import_id, since, ...optional("resumeAt", resumeAt) };
}
