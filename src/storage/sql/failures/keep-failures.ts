import { type Failure, foldedFailure } from "../../../model/failure.ts";
import { type SqlValue, type TransactionBody, execute, rowOf, rowsOf } from "../database.ts";
import { type FailureRow, failureColumns, failureOf, writtenFailureColumns } from "../rows.ts";
import type { CauseChanges, CountedRow } from "../totals/causes.ts";
import { readable } from "../values/unreadable.ts";
import { type FailurePortion, type FailureToKeep, failureToKeep } from "./failure-portions.ts";

/** Stores the failures of a page, each folded into the open one under its key; returns them as they are stored. */
export function* keepFailures(
  portions: readonly FailurePortion[],
  changes: CauseChanges,
): TransactionBody<readonly Failure[]> {
  const stored: Failure[] = [];
  for (const { failures, insertion } of portions) {
    const added = insertion === undefined ? undefined : yield* insertTogether(failures, insertion);
    for (const one of failures) {
      // Of two with one id, the second one is folded into the first.
      const isNew = added === undefined ? yield* insertOne(one) : added === "all" || added.delete(one.failure._id);
      stored.push(isNew ? one.failure : yield* foldFailure(one.failure, changes));
      if (isNew && one.failure.status === "open") changes.enter(one.failure, one.cause);
    }
  }
  return stored;
}

const insertFailure = `insert into poundlock_failures (${writtenFailureColumns.join(", ")})
  values (${writtenFailureColumns.map(() => "?").join(", ")}) on conflict do nothing returning seq`;

function* insertOne({ values }: FailureToKeep): TransactionBody<boolean> {
  return (yield* rowOf(insertFailure, ...values)) !== undefined;
}

// The ids of those that were not there before. What is stored while a flow is locked is numbered after what was, and of
// this flow it is all that is: so it takes a count to know that none was there, and no row that is returned.
function* insertTogether(
  failures: readonly FailureToKeep[],
  [sql, values]: readonly [string, readonly SqlValue[]],
): TransactionBody<"all" | Set<string>> {
  const newest = yield* rowOf<{ seq: number | null }>(`select max(seq) as seq from poundlock_failures`);
  yield* execute(sql, ...values);
  const ofFlow = [failures[0]?.failure._flowId ?? "", newest?.seq ?? 0];
  const counted = yield* rowOf<{ size: number }>(
    `select count(*) as size from poundlock_failures where flow_id = ? and seq > ?`,
    ...ofFlow,
  );
  if (counted?.size === failures.length) return "all";
  const added = yield* rowsOf<{ id: string }>(
    `select id from poundlock_failures where flow_id = ? and seq > ?`,
    ...ofFlow,
  );
  return new Set(added.map(({ id }) => id));
}

/** What of a failure changes when it fails again. What it is, is the same. */
const changingColumns = writtenFailureColumns.filter(
  (name) => !["id", "record_key", "flow_id", "import_id", "export_id"].includes(name),
);
const changingIndexes = changingColumns.map((name) => writtenFailureColumns.indexOf(name));

const updateFailure = `update poundlock_failures set ${changingColumns.map((name) => `${name} = ?`).join(", ")}
  where seq = ?`;

function* replaceFailure(seq: number, { values }: FailureToKeep): TransactionBody<void> {
  yield* execute(updateFailure, ...changingIndexes.map((index) => values[index] ?? null), seq);
}

function* foldFailure(failure: Failure, changes: CauseChanges): TransactionBody<Failure> {
  const { _exportId, _flowId, _id, _importId, key } = failure;
  const known = yield* rowOf<FailureRow & CountedRow>(
    `select ${failureColumns}, cause from poundlock_failures where seq = coalesce(
      (select seq from poundlock_failures where id = ?),
      (select seq from poundlock_failures
        where flow_id = ? and import_id = ? and export_id = ? and record_key = ? and status = 'open'))`,
    ...[_id, _flowId, _importId, _exportId, key],
  );
  if (known === undefined) return failure;
  const before = readable(() => failureOf(known));
  // What cannot be read would keep every record with its key from being stored.
  if (before === undefined) {
    const replaced = failureToKeep(Object.freeze({ ...failure, _id: known.id }));
    yield* replaceFailure(known.seq, replaced);
    if (known.status === "open") changes.leave(known);
    changes.enter(replaced.failure, replaced.cause);
    return replaced.failure;
  }
  // What somebody has resolved stays resolved.
  if (before.status !== "open") return before;
  const folded = failureToKeep(foldedFailure(before, failure));
  yield* replaceFailure(known.seq, folded);
  changes.leave(known);
  changes.enter(folded.failure, folded.cause);
  return folded.failure;
}
