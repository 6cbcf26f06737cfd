import { type Run, transitionRun, withPage } from "../../model/run.ts";
import { deleteFailures, keepFailures } from "./failures.ts";
import { keepCheckpoint } from "./flows.ts";
import { settleInbox } from "./inbox.ts";
import {
  type Transaction,
  type TransactionBody,
  type Statement,
  execute,
  rowOf,
  rowsOf,
  statement,
} from "./database.ts";
import { isoOf, optional } from "../documents.ts";
import { type FlowRow, checkpointOf, failureValues, flowOf, positionOf, runOf } from "./rows.ts";
import { keepRun, keepRunImports } from "./runs.ts";
import type { EndRunResult, RunLease, Lease, PageCommit, RunEnding, ReclaimRule, ClaimedRun } from "../storage.ts";

/** @see LeaseStorage.claimRun */
export function claimRun(_flowId: string, { token, at, until }: Lease): Transaction<ClaimedRun | undefined> {
  return function* () {
    const row = yield* rowOf<ClaimedRow>(
      `select f.doc, f.due_at, f.executed_at, f.disabled, c.value, c.version,
          r.seq, r.stage, r.token, r.position, r.doc as run_doc
        from poundlock_flows f
        join poundlock_runs r on r.seq = coalesce(
          (select a.seq from poundlock_runs a where a.flow_id = f.id and a.stage = 1),
          (select w.seq from poundlock_runs w where w.flow_id = f.id and w.stage = 0 order by w.seq limit 1))
        left join poundlock_checkpoints c on c.flow_id = f.id
        where f.id = ?`,
      _flowId,
    );
    if (row === undefined) return undefined;
    if (row.stage === 1) return row.token === token ? claimedOf(runOf(row.run_doc), row) : undefined;
    if (row.disabled === 1) return undefined;
    const startedAt = isoOf(at);
    const run = transitionRun(runOf(row.run_doc), "running", { startedAt });
    yield* execute(
      `update poundlock_runs set stage = 1, status = 'running', buffered = null, token = ?, lease_until = ?, doc = ?
        where seq = ?`,
      ...[token, until, JSON.stringify(run), row.seq],
    );
    yield* execute(`update poundlock_flows set executed_at = ? where id = ?`, startedAt, _flowId);
    return claimedOf(run, { ...row, executed_at: startedAt });
  };
}

/** @see LeaseStorage.renewLeases */
export function renewLeases(
  leases: readonly RunLease[],
  until: number,
): Transaction<readonly ("held" | "canceling" | "lost")[]> {
  return function* () {
    const answers: ("held" | "canceling" | "lost")[] = [];
    for (const { _runId, token } of leases) {
      const row = yield* rowOf<{ status: Run["status"] }>(
        `update poundlock_runs set lease_until = ? where id = ? and token = ? and stage = 1 returning status`,
        ...[until, _runId, token],
      );
      answers.push(row === undefined ? "lost" : row.status === "canceling" ? "canceling" : "held");
    }
    return answers;
  };
}

/** @see LeaseStorage.commitPage */
export function commitPage({ _runId, token }: RunLease, page: PageCommit): Transaction<Run | undefined> {
  const { ordinal, generated, inboxThrough } = page;
  const counts = structuredClone(page.counts);
  const position = page.position === undefined ? null : JSON.stringify(page.position);
  const checkpoint =
    page.checkpoint === undefined
      ? undefined
      : { text: JSON.stringify(page.checkpoint.value), version: page.checkpoint.version };
  const failures = page.failures.map(failureValues);
  const delivered = [...page.delivered];
  return function* () {
    const row = yield* rowOf<{ seq: number; flow_id: string; orphaned: number; doc: string }>(
      `select seq, flow_id, orphaned, doc from poundlock_runs where id = ? and token = ? and stage = 1`,
      ...[_runId, token],
    );
    if (row === undefined) return undefined;
    const before = runOf(row.doc);
    if (ordinal === before.numPagesProcessed) return before;
    if (ordinal !== before.numPagesProcessed + 1) return undefined;
    if (row.orphaned === 0) {
      if (checkpoint !== undefined) yield* keepCheckpoint(row.flow_id, checkpoint.text, checkpoint.version);
      yield* keepFailures(failures);
      yield* deleteFailures(delivered);
      if (inboxThrough !== undefined) yield* settleInbox(row.flow_id, Number(inboxThrough));
    }
    const run = withPage(before, counts, generated);
    // The flow may have been given others since the run was queued.
    const added = Object.keys(counts).filter((_importId) => !Object.hasOwn(before.imports, _importId));
    yield* keepRunImports(row.seq, added);
    yield* execute(
      `update poundlock_runs set doc = ?, position = coalesce(?, position) where seq = ?`,
      ...[JSON.stringify(run), position, row.seq],
    );
    return run;
  };
}

/** @see LeaseStorage.endRun */
export function endRun({ _runId, token }: RunLease, ending: RunEnding): Transaction<EndRunResult | undefined> {
  const { status, at } = ending;
  const error = ending.error === undefined ? undefined : Object.freeze({ ...ending.error });
  const checkpoint =
    ending.checkpoint === undefined
      ? undefined
      : { text: JSON.stringify(ending.checkpoint.value), version: ending.checkpoint.version };
  return function* () {
    const row = yield* rowOf<{ seq: number; flow_id: string; stage: number; more: number | null; doc: string }>(
      `select seq, flow_id, stage, doc,
          (select w.seq from poundlock_runs w where w.flow_id = r.flow_id and w.stage = 0 limit 1) as more
        from poundlock_runs r where id = ? and token = ?`,
      ...[_runId, token],
    );
    if (row === undefined) return undefined;
    const more = row.more !== null;
    const before = runOf(row.doc);
    if (row.stage === 2) return { run: before, more };
    // A run that is to be canceled ends as canceled, however its last page went.
    const end = before.status === "canceling" ? "canceled" : status;
    const ready = end === "canceled" && before.status === "running" ? transitionRun(before, "canceling") : before;
    const run = transitionRun(ready, end, {
      endedAt: isoOf(at),
      ...(end === "failed" ? optional("error", error) : {}),
    });
    yield* keepRun(row.seq, run);
    if (end === "completed" && checkpoint !== undefined)
      yield* keepCheckpoint(row.flow_id, checkpoint.text, checkpoint.version);
    return { run, more };
  };
}

/** @see LeaseStorage.releaseRun */
export function releaseRun({ _runId, token }: RunLease): Transaction<Run | undefined> {
  return function* () {
    const row = yield* rowOf<{ seq: number; doc: string }>(
      `select seq, doc from poundlock_runs where id = ? and token = ? and stage = 1 and status = 'running'`,
      ...[_runId, token],
    );
    return row === undefined ? undefined : yield* giveUpLease(row.seq, transitionRun(runOf(row.doc), "queued"));
  };
}

/** @see LeaseStorage.reclaimExpiredRuns */
export function reclaimExpiredRuns({ now, maxCrashes, error, limit }: ReclaimRule): Transaction<readonly Run[]> {
  const reason = Object.freeze({ ...error });
  return function* () {
    const expired = yield* rowsOf<{ seq: number; doc: string }>(
      `select seq, doc from poundlock_runs where stage = 1 and lease_until <= ? order by lease_until limit ?`,
      ...[now, limit],
    );
    const reclaimed: Run[] = [];
    for (const { seq, doc } of expired) {
      const before = runOf(doc);
      const crashed = Object.freeze({ ...before, crashes: before.crashes + 1 });
      const endedAt = isoOf(now);
      const run =
        crashed.status === "canceling"
          ? transitionRun(crashed, "canceled", { endedAt })
          : crashed.crashes <= maxCrashes
            ? transitionRun(crashed, "queued")
            : transitionRun(crashed, "failed", { endedAt, error: reason });
      reclaimed.push(yield* giveUpLease(seq, run));
    }
    return reclaimed;
  };
}

/** Asks for `flow_id`s. */
export function flowsWaiting(limit: number, after = ""): Statement {
  return statement(
    `select distinct w.flow_id from poundlock_runs w join poundlock_flows f on f.id = w.flow_id
      where w.stage = 0 and w.flow_id > ? and f.disabled = 0
      and not exists (select 1 from poundlock_runs a where a.flow_id = w.flow_id and a.stage = 1)
      order by w.flow_id limit ?`,
    ...[after, limit],
  );
}

interface ClaimedRow extends FlowRow {
  readonly disabled: number;
  readonly value: string | null;
  readonly version: number | null;
  readonly seq: number;
  readonly stage: number;
  readonly token: string | null;
  readonly position: string | null;
  readonly run_doc: string;
}

function claimedOf(run: Run, row: ClaimedRow): ClaimedRun {
  return {
    run,
    flow: flowOf(row),
    ...optional("position", positionOf(row.position)),
    ...optional("checkpoint", checkpointOf(row.value, row.version)),
  };
}

// Without its token, nothing that its holder still does can count. Its place in the line is before all that wait.
function* giveUpLease(seq: number, run: Run): TransactionBody<Run> {
  yield* keepRun(seq, run);
  yield* execute(`update poundlock_runs set token = null, lease_until = null where seq = ?`, seq);
  return run;
}
