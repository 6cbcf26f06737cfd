import type { Failure } from "../../model/failure.ts";
import type { Run } from "../../model/run.ts";
import type { RunPosition } from "../storage.ts";
import { type TransactionBody, execute, rowsOf } from "./database.ts";

/** Documents read at once. */
const portion = 500;

/**
 * Moves what the first version of the schema kept by flow to the flow's imports: the positions of runs that have begun,
 * and one open failure for each key. What was written by a run of that version goes on where it was.
 */
export function* moveToImports(): TransactionBody<void> {
  yield* moveRuns();
  yield* moveFailures();
}

function* moveRuns(): TransactionBody<void> {
  const runs = yield* rowsOf<{ seq: number; flow_id: string; position: string | null; doc: string }>(
    `select seq, flow_id, position, doc from poundlock_runs where stage < 2`,
  );
  for (const { seq, flow_id, position, doc } of runs) {
    const run = JSON.parse(doc) as Run;
    yield* execute(`update poundlock_runs set commits = ? where seq = ?`, run.numPagesProcessed, seq);
    // A retry or a sample run keeps the position that it has.
    if (position === null || run.trigger === "retry" || run.limit !== undefined) continue;
    const { checkpoint, pages } = JSON.parse(position) as RunPosition;
    const at = Date.parse(run.startedAt ?? run.queuedAt);
    const moved = { _runId: run._id, pages, at, ...(checkpoint === undefined ? {} : { checkpoint }) };
    if (checkpoint !== undefined)
      yield* execute(
        `update poundlock_places set position = ?, moved_at = ? where flow_id = ?`,
        ...[JSON.stringify(moved), at, flow_id],
      );
    yield* execute(`update poundlock_runs set position = null where seq = ?`, seq);
  }
}

interface FailureRow {
  readonly seq: number;
  readonly doc: string;
  readonly status: string;
}

function* moveFailures(): TransactionBody<void> {
  /** Flow, import, export and key → the place of the newest open failure, and how often it failed. */
  const open = new Map<string, { seq: number; occurrences: number; createdAt: string }>();
  let after = 0;
  for (let size = portion; size === portion;) {
    const rows = yield* rowsOf<FailureRow>(
      `select seq, doc, status from poundlock_failures where seq > ? order by seq limit ?`,
      ...[after, portion],
    );
    for (const row of rows) yield* moveFailure(row, open);
    size = rows.length;
    after = rows.at(-1)?.seq ?? after;
  }
}

function* moveFailure(
  { seq, doc, status }: FailureRow,
  open: Map<string, { seq: number; occurrences: number; createdAt: string }>,
): TransactionBody<void> {
  const failure = JSON.parse(doc) as Failure;
  const { _exportId, _flowId, _importId, fault, key } = failure;
  const identity = JSON.stringify([_flowId, _importId, _exportId, key]);
  const older = status === "open" ? open.get(identity) : undefined;
  const occurrences = (older?.occurrences ?? 0) + 1;
  const createdAt = older?.createdAt ?? failure.createdAt;
  if (status === "open") open.set(identity, { seq, occurrences, createdAt });
  // The newest record of a key stands for all of them.
  if (older !== undefined) yield* execute(`delete from poundlock_failures where seq = ?`, older.seq);
  const resolvedBy = status === "open" ? null : "person";
  yield* execute(
    `update poundlock_failures set export_id = ?, record_key = ?, fault = ?, resolved_by = ?, doc = ? where seq = ?`,
    ...[_exportId, key, fault, resolvedBy, JSON.stringify({ ...failure, createdAt, occurrences }), seq],
  );
}
