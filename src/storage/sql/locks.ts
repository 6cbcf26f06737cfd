import { itemAt } from "../../model/item-at.ts";
import type { SqlValue, TransactionBody } from "./database.ts";

// Of transactions that are executed at the same time, those that change the same flow go one after the other: each locks
// the row of the flow first, and then looks at what the one before it left. Several flows are locked in ascending order,
// so that nobody waits for each other. Only PostgreSQL is sent these statements, and the last words are its own: the row
// stays there to be referred to.

/** Comes first in a transaction that changes a flow, its places, its inbox, its failures or its runs. */
export function lockFlow(_flowId: string): TransactionBody<readonly unknown[]> {
  return lock(lockOfFlow, [_flowId]);
}

/** Locks the flow whose id is its only value. */
export const lockOfFlow = `select id from poundlock_flows where id = ? for no key update`;

/** The same for several flows; those that are not there are left out. */
export function* lockFlows(_flowIds: readonly string[]): TransactionBody<void> {
  const _ids = [...new Set(_flowIds)].sort();
  for (let start = 0; start < _ids.length; start += portion) {
    const some = filled(_ids.slice(start, start + portion));
    yield* lock(`select id from poundlock_flows where id in (${marksOf(some)}) order by id for no key update`, some);
  }
}

/**
 * The same for the flow of a run that has not ended, and for further ones. A run whose flow was deleted is locked itself: there is nothing
 * else that all who change it have in common.
 */
export function* lockFlowOfRun(_runId: string, further: readonly string[] = []): TransactionBody<void> {
  const rest = further.length === 0 ? further : filled([...new Set(further)]);
  const sql = rest.length === 0 ? ofRun : ofRunAnd(`, ${marksOf(rest)}`);
  const rows = yield* lock(sql, [_runId, _runId, ...rest]);
  const isLocked = (rows as readonly { id: string; own: string | null }[]).some(({ id, own }) => id === own);
  if (!isLocked) yield* lock(runItself, [_runId], "rows");
}

function ofRunAnd(marks: string): string {
  return `select id, (select r.flow_id from poundlock_runs r where r.id = ? and r.stage < 2 and r.orphaned <> 1) as own from poundlock_flows
    where id in ((select r.flow_id from poundlock_runs r where r.id = ? and r.stage < 2)${marks}) order by id for no key update`;
}

const ofRun = ofRunAnd("");
const runItself = `select seq from poundlock_runs where id = ? and stage < 2 for no key update`;

/** The same for runs that were found by an instant; some of their flows may be deleted. */
export function* lockFlowsOfRuns(
  runs: readonly { readonly seq: number; readonly flow_id: string }[],
): TransactionBody<void> {
  yield* lockFlows(runs.map(({ flow_id }) => flow_id));
  const all = runs.map(({ seq }) => seq).sort((one, other) => one - other);
  for (let start = 0; start < all.length; start += portion) {
    const some = filled(all.slice(start, start + portion));
    yield* lock(
      `select seq from poundlock_runs where seq in (${marksOf(some)}) and stage < 2 and orphaned = 1 order by seq for no key update`,
      some,
      "rows",
    );
  }
}

/** The same for the flows of failures. `_ids`: as many as one statement names. */
export function* lockFlowsOfFailures(_ids: readonly string[]): TransactionBody<void> {
  yield* lock(
    `select id from poundlock_flows where id = any (array(
      select flow_id from poundlock_failures where id in (${marksOf(_ids)}))) order by id for no key update`,
    _ids,
  );
}

/** Rows that one statement names at most. */
const portion = 512;

// Few different statements are kept prepared: their sizes are powers of two, filled up with the last value.
function filled<Value>(values: readonly Value[]): readonly Value[] {
  const size = 2 ** Math.ceil(Math.log2(values.length));
  return [...values, ...Array.from({ length: size - values.length }, () => itemAt(values, values.length - 1))];
}

function marksOf(values: readonly SqlValue[]): string {
  return values.map(() => "?").join(", ");
}

/** The end of a statement that locks what it selects, and may be taken off to see what it would lock. */
export const lockClause = " for no key update";

function* lock(
  sql: string,
  values: readonly SqlValue[],
  locks: "flows" | "rows" = "flows",
): TransactionBody<readonly unknown[]> {
  return yield { sql, values, returnsRows: true, locks };
}
