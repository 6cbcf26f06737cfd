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
  yield* moveInbox();
  yield* moveFailures();
}

interface RunRow {
  readonly seq: number;
  readonly flow_id: string;
  readonly lease_until: number | null;
  readonly position: string | null;
  readonly doc: string;
  /** What the flow reads now; null: it was deleted while the run was active. */
  readonly reads: string | null;
}

function* moveRuns(): TransactionBody<void> {
  const runs = yield* rowsOf<RunRow>(
    `select r.seq, r.flow_id, r.lease_until, r.position, r.doc, f.export_id as reads from poundlock_runs r
      left join poundlock_flows f on f.id = r.flow_id and r.orphaned = 0 where r.stage < 2`,
  );
  for (const row of runs) yield* moveRun(row);
}

function* moveRun({ seq, flow_id, lease_until, position, doc, reads }: RunRow): TransactionBody<void> {
  const run = JSON.parse(doc) as Run;
  yield* execute(`update poundlock_runs set commits = ? where seq = ?`, run.numPagesProcessed, seq);
  // A retry or a sample run keeps the position that it has.
  if (position === null || run.trigger === "retry" || run.limit !== undefined) return;
  yield* execute(`update poundlock_runs set position = null where seq = ?`, seq);
  // The first version let a flow change its export meanwhile, and the position says nothing to the new one.
  if (reads !== run._exportId) return;
  const { checkpoint, pages } = JSON.parse(position) as RunPosition;
  // The lease was prolonged until shortly before that instant, so it is near the last commit.
  const at = lease_until ?? Date.parse(run.startedAt ?? run.queuedAt);
  yield* execute(
    `update poundlock_places set position = ?, moved_at = ? where flow_id = ?`,
    ...[JSON.stringify({ _runId: run._id, pages, checkpoint, at }), at, flow_id],
  );
}

// The first version kept no time with a page. The ids that poundlock makes carry one.
function* moveInbox(): TransactionBody<void> {
  yield* execute(
    `update poundlock_inbox set weight = coalesce(length(records), 0) + coalesce(length(records_bytes), 0)`,
  );
  const pages = yield* rowsOf<{ seq: number; arrival_id: string; doc: string }>(
    `select i.seq, i.arrival_id, f.doc from poundlock_inbox i join poundlock_flows f on f.id = i.flow_id`,
  );
  for (const { seq, arrival_id, doc } of pages) {
    const { createdAt } = JSON.parse(doc) as { readonly createdAt: string };
    const at = timeOfId(arrival_id) ?? Date.parse(createdAt);
    yield* execute(`update poundlock_inbox set arrived_at = ? where seq = ?`, at, seq);
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7 */
function timeOfId(_id: string): number | undefined {
  const [, high, low] = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.exec(_id) ?? [];
  return high === undefined || low === undefined ? undefined : parseInt(high + low, 16);
}

interface FailureRow {
  readonly seq: number;
  readonly doc: string;
  readonly status: string;
}

/** What is known of the open failures of one key so far. */
interface OpenFailure {
  /** The newest one's. */
  readonly seq: number;
  readonly occurrences: number;
  readonly createdAt: string;
  readonly lastFailedAt: string;
}

function* moveFailures(): TransactionBody<void> {
  /** By flow, import, export and key. */
  const open = new Map<string, OpenFailure>();
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

// The newest record of a key stands for all of them: it is the one that a retry run under way has still to come to.
function* moveFailure({ seq, doc, status }: FailureRow, open: Map<string, OpenFailure>): TransactionBody<void> {
  const failure = JSON.parse(doc) as Failure;
  const { _exportId, _flowId, _importId, fault, key } = failure;
  // As the column has it: half a surrogate pair is written as a replacement character.
  const identity = JSON.stringify([_flowId, _importId, _exportId, Buffer.from(key).toString()]);
  const older = status === "open" ? open.get(identity) : undefined;
  const occurrences = (older?.occurrences ?? 0) + 1;
  const createdAt = older?.createdAt ?? failure.createdAt;
  const lastFailedAt =
    older !== undefined && older.lastFailedAt > failure.lastFailedAt ? older.lastFailedAt : failure.lastFailedAt;
  if (status === "open") open.set(identity, { seq, occurrences, createdAt, lastFailedAt });
  if (older !== undefined) yield* execute(`delete from poundlock_failures where seq = ?`, older.seq);
  const resolvedBy = status === "open" ? null : "person";
  const moved = { ...failure, createdAt, lastFailedAt, occurrences };
  yield* execute(
    `update poundlock_failures set export_id = ?, record_key = ?, fault = ?, resolved_by = ?, doc = ? where seq = ?`,
    ...[_exportId, key, fault, resolvedBy, JSON.stringify(moved), seq],
  );
}
