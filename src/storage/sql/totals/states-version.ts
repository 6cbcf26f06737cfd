import { type Run, showsHealth } from "../../../model/run.ts";
import { type TransactionBody, execute, rowsOf } from "../database.ts";
import { objectIn, readable } from "../values/unreadable.ts";

/** Since when flows fail, and from when on they are overdue. */
export function statesOfFlows(): readonly string[] {
  return [
    `alter table poundlock_flows add column failing_since bigint`,
    // The due time after due_at, and what it was when the newest run started.
    `alter table poundlock_flows add column following_at bigint`,
    `alter table poundlock_flows add column overdue_at bigint`,
    // It is computed with the due time, as soon as that is found to be of another basis.
    `update poundlock_flows set basis = null where scheduled = 1 and disabled = 0`,

    `create index poundlock_flows_failing on poundlock_flows (id, integration_id, failing_since, disabled)
      where failing_since is not null and disabled = 0`,
    `create index poundlock_flows_overdue on poundlock_flows (overdue_at, integration_id, id, disabled)
      where overdue_at is not null and disabled = 0`,
    `create index poundlock_flows_disabled on poundlock_flows (integration_id, disabled) where disabled = 1`,
    `create index poundlock_places_held on poundlock_places (flow_id, import_id) where pause is not null`,
  ];
}

/** Runs read at once. */
const portion = 100;

/** Notes which flows fail, by the runs that are known of them. */
export function* findFailing(): TransactionBody<void> {
  const flows = yield* rowsOf<{ readonly flow_id: string }>(
    `select distinct r.flow_id from poundlock_runs r join poundlock_flows f on f.id = r.flow_id
      where r.status = 'failed' and r.orphaned <> 1`,
  );
  for (const { flow_id } of flows) {
    const since = yield* failingSinceOf(flow_id);
    if (since !== undefined)
      yield* execute(`update poundlock_flows set failing_since = ? where id = ?`, since, flow_id);
  }
}

// The end of the first one of those that failed since the last one that completed.
function* failingSinceOf(flow_id: string): TransactionBody<number | undefined> {
  let since: number | undefined;
  let before = Number.MAX_SAFE_INTEGER;
  for (let size = portion; size === portion;) {
    const rows = yield* rowsOf<{ readonly seq: number; readonly ended_at: number; readonly doc: string }>(
      `select seq, ended_at, doc from poundlock_runs
        where flow_id = ? and seq < ? and stage = 2 and orphaned <> 1 order by seq desc limit ?`,
      ...[flow_id, before, portion],
    );
    for (const { doc, ended_at, seq } of rows) {
      before = seq;
      const run = readable(() => objectIn("runs", String(seq), doc) as Run);
      if (run === undefined || !showsHealth(run)) continue;
      if (run.status === "completed") return since;
      if (run.status === "failed") since = ended_at;
    }
    size = rows.length;
  }
  return since;
}
