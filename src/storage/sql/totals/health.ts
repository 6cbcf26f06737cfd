import { type Run, showsHealth } from "../../../model/run.ts";
import { type TransactionBody, execute } from "../database.ts";

/** What a run's flow was like before the run ended. */
export interface HealthRow {
  readonly failing_since: number | null;
}

/** Asks for {@link HealthRow}, of the flow of a row of `poundlock_runs`. */
export const failingSince = `(select f.failing_since from poundlock_flows f where f.id = flow_id) as failing_since`;

/** Notes that the flow of a run fails, or does not any more: written only when that changes. */
export function* keepHealth(run: Run, since: number | null): TransactionBody<void> {
  if (!showsHealth(run) || run.endedAt === undefined) return;
  if (run.status === "failed" && since === null)
    yield* execute(
      `update poundlock_flows set failing_since = ? where id = ?`,
      ...[Date.parse(run.endedAt), run._flowId],
    );
  if (run.status === "completed" && since !== null)
    yield* execute(`update poundlock_flows set failing_since = null where id = ?`, run._flowId);
}
