import { causeOf } from "../../../model/cause.ts";
import { type Failure } from "../../../model/failure.ts";
import { type Transaction, execute, rowsOf } from "../database.ts";
import { lockFlowsOfFailures } from "../locks.ts";
import { UnreadableRowError, objectIn, readable } from "../values/unreadable.ts";
import { CauseChanges } from "./causes.ts";

/** As much of a failure as its cause is made of. */
function failureIn(id: string, doc: string): Failure {
  const failure = objectIn("failures", id, doc) as Failure;
  if (typeof failure.message !== "string") throw new UnreadableRowError("failures", id, "its document has no message");
  return failure;
}

/** @see CauseStorage.completeCauses */
export function completeCauses(limit: number): Transaction<number> {
  return function* () {
    const found = yield* rowsOf<{ readonly id: string }>(
      `select id from poundlock_failures where cause is null limit ?`,
      limit,
    );
    const ids = found.map(({ id }) => id);
    if (ids.length > 0) yield* lockFlowsOfFailures(ids);
    const changes = new CauseChanges();
    for (const id of ids) {
      // It may have failed again, or be gone, since it was found.
      const [row] = yield* rowsOf<{ readonly seq: number; readonly doc: string; readonly status: string }>(
        `select seq, doc, status from poundlock_failures where id = ? and cause || '' is null`,
        id,
      );
      if (row === undefined) continue;
      const failure = readable(() => failureIn(id, row.doc));
      // What cannot be read has no cause, and is not looked at again.
      const cause = failure === undefined ? "" : causeOf(failure).cause;
      yield* execute(`update poundlock_failures set cause = ? where seq = ?`, cause, row.seq);
      if (failure !== undefined && row.status === "open") changes.enter(failure, cause);
    }
    yield* changes.apply();
    return ids.length;
  };
}
