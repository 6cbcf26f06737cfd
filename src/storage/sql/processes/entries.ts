import type { WorkerProcess } from "../../../model/worker-process.ts";
import { type Statement, type Transaction, execute, statement } from "../database.ts";

/** @see ProcessStorage.keepProcess */
export function keepProcess(process: WorkerProcess, forgetBefore: number): Transaction<void> {
  const doc = JSON.stringify(process);
  return function* () {
    yield* execute(
      `insert into poundlock_processes (id, seen_at, doc) values (?, ?, ?)
        on conflict (id) do update set seen_at = excluded.seen_at, doc = excluded.doc`,
      ...[process._id, Date.parse(process.seenAt), doc],
    );
    yield* execute(`delete from poundlock_processes where seen_at < ?`, forgetBefore);
  };
}

/** Asks for `doc`, in any order. */
export function processesSince(since: number): Statement {
  return statement(`select doc from poundlock_processes where seen_at >= ?`, since);
}

/** @see ProcessStorage.removeProcess */
export function removeProcess(_id: string): Transaction<void> {
  return function* () {
    yield* execute(`delete from poundlock_processes where id = ?`, _id);
  };
}
