/** Flows that were deleted, of which something is still to be removed: few, and mostly none. */
const deletedFlows = "(select d.id from poundlock_flows d where d.deleted_at is not null)";

/** A condition of what belongs to flows, by the column of their ids: it was not deleted with its flow. */
export function ofLivingFlow(column = "flow_id"): string {
  // Something added keeps the column's indexes out of it.
  return `${column} || '' not in ${deletedFlows}`;
}

/** The same of failures: resolved ones outlive their flow. */
export const isFailureThere = `not (status || '' = 'open' and flow_id || '' in ${deletedFlows})`;

/** A condition with one value, the id of a flow that was not deleted. It is looked up once for all rows. */
export const isLivingFlow = "not exists (select 1 from poundlock_flows d where d.id = ? and d.deleted_at is not null)";

/** Returns a row if the flow, its only value, was deleted and something of it is still to be removed. */
export const isDeletedFlow = "select 1 from poundlock_flows where id = ? and deleted_at is not null";
