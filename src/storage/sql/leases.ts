import { type Failure, resolvedFailure } from "../../model/failure.ts";
import { type Run, transitionRun, withImportEndings, withPage } from "../../model/run.ts";
import { deleteFailures, resolveOfImports, supersede } from "./failures.ts";
import { type FailurePortion, failurePortions, failureToKeep } from "./failures/failure-portions.ts";
import { keepFailures } from "./failures/keep-failures.ts";
import { removeSettled } from "./inbox.ts";
import { lockFlow, lockFlowOfRun, lockFlows, lockFlowsOfRuns } from "./locks.ts";
import { discardPositions, movePlaces, placeMoves, readPlaces } from "./places.ts";
import {
  type Statement,
  type Transaction,
  type TransactionBody,
  eachTime,
  execute,
  rowOf,
  rowsOf,
  statement,
} from "./database.ts";
import { isoOf, optional } from "../documents.ts";
import { type FlowRow, type RunRow, flowOf, positionOf, runColumns, runOf } from "./rows.ts";
import { CauseChanges } from "./totals/causes.ts";
import { type HealthRow, failingSince, keepHealth } from "./totals/health.ts";
import { type ReportUnreadable, readable } from "./values/unreadable.ts";
import { chainRun, closeUnreadable, enqueueUnlessCovered, keepRun, keepRunImports, runById } from "./runs.ts";
import type {
  ChainResult,
  ClaimRunResult,
  ClaimedRun,
  CommitResult,
  EndRunResult,
  Lease,
  LeaseEnd,
  PageCommit,
  ReclaimRule,
  RunEnding,
  RunLease,
  RunRelease,
} from "../storage.ts";

/** @see LeaseStorage.claimRun */
export function claimRun(
  _flowId: string,
  { token, at, until }: Lease,
  report: ReportUnreadable,
): Transaction<ClaimRunResult> {
  return function* () {
    yield* lockFlow(_flowId);
    for (let after = 0; ;) {
      const row = yield* nextToClaim(_flowId, after);
      if (row === undefined) return undefined;
      if (row.stage === 1 && row.token !== token) return undefined;
      if (row.stage === 0 && row.disabled === 1) return undefined;
      if (row.stage === 0 && row.not_before !== null && row.not_before > at) return { notBefore: row.not_before };
      const flow = readable(() => flowOf(row), report);
      if (flow === undefined) return undefined;
      after = row.seq;
      const claimable = readable(() => claimableOf(row), report);
      // The next one that waits is not kept from running.
      if (claimable === undefined) continue;
      // Without its places it would begin anew, and deliver everything again.
      const places = yield* readPlaces(_flowId, report);
      if (places === undefined) return undefined;
      const claimed = { ...claimable, flow, commits: row.commits, places };
      return row.stage === 1 ? claimed : yield* begin(claimed, row.seq, { token, at, until });
    }
  };
}

// The active run, or the first that waits after a place in the queue.
function* nextToClaim(_flowId: string, after: number): TransactionBody<ClaimedRow | undefined> {
  return yield* rowOf<ClaimedRow>(
    `select f.id, f.doc, f.due_at, f.executed_at, f.disabled,
        r.seq, r.stage, r.token, r.position, r.commits, r.not_before, r.id as run_id, r.status, r.doc as run_doc
      from poundlock_flows f
      join poundlock_runs r on r.seq = coalesce(
        (select a.seq from poundlock_runs a where a.flow_id = ? and a.stage = 1),
        (select w.seq from poundlock_runs w where w.flow_id = ? and w.stage = 0 and w.seq > ? order by w.seq limit 1))
      where f.id = ? and f.deleted_at is null and r.seq > ? and r.stage < 2`,
    ...[_flowId, _flowId, after, _flowId, after],
  );
}

function claimableOf(row: ClaimedRow): Pick<ClaimedRun, "run" | "position"> {
  const run = runOf({ id: row.run_id, status: row.status, doc: row.run_doc });
  return { run, ...optional("position", positionOf(row.run_id, row.position)) };
}

function* begin(claimed: ClaimedRun, seq: number, { token, at, until }: Lease): TransactionBody<ClaimedRun> {
  const startedAt = isoOf(at);
  const { notBefore: _, ...waiting } = claimed.run;
  const run = transitionRun(waiting, "running", { startedAt });
  yield* execute(
    `update poundlock_runs set stage = 1, status = 'running', buffered = null, not_before = null, token = ?,
      lease_until = ?, doc = ? where seq = ? and stage = 0`,
    ...[token, until, JSON.stringify(run), seq],
  );
  yield* execute(
    `update poundlock_flows set executed_at = ?, overdue_at = following_at where id = ?`,
    startedAt,
    claimed.flow._id,
  );
  return { ...claimed, run, flow: Object.freeze({ ...claimed.flow, lastExecutedAt: startedAt }) };
}

/** @see LeaseStorage.renewLeases */
export function renewLeases(
  leases: readonly RunLease[],
  until: number,
): Transaction<readonly ("held" | "canceling" | "lost")[]> {
  return function* () {
    const results: ("held" | "canceling" | "lost")[] = [];
    for (const { _runId, token } of leases) {
      const row = yield* rowOf<{ status: Run["status"] }>(
        `update poundlock_runs set lease_until = ? where id = ? and token = ? and stage = 1 returning status`,
        ...[until, _runId, token],
      );
      results.push(row === undefined ? "lost" : row.status === "canceling" ? "canceling" : "held");
    }
    return results;
  };
}

/** @see LeaseStorage.commitPage */
export function commitPage(lease: RunLease, page: PageCommit): Transaction<CommitResult | undefined> {
  const { at, ordinal, generated, processed, total } = page;
  const counts = ownCounts(page.counts);
  const position = page.position === undefined ? null : JSON.stringify(page.position);
  const moves = placeMoves(page.places, at);
  const movesInbox = page.places.some(({ inbox }) => inbox !== undefined);
  const failures = failurePortions(page.failures.map(failureToKeep));
  const gone = { delivered: [...page.delivered], superseded: [...page.superseded] };
  return function* () {
    const row = yield* leased<CommitRow>(lease, `${runColumns}, flow_id, orphaned, commits`);
    if (row === undefined) return undefined;
    const before = runOf(row);
    if (ordinal === row.commits) return { run: before, failures: [] };
    if (ordinal !== row.commits + 1) return undefined;
    const stored = row.orphaned === 1 ? [] : yield* settle(row.flow_id, failures, { ...gone, at });
    if (row.orphaned === 0) {
      yield* movePlaces(row.flow_id, moves);
      if (movesInbox) yield* removeSettled(row.flow_id);
    }
    const run = withPage(before, { generated, processed, counts, total });
    // The flow may have been given others since the run was queued.
    const added = Object.keys(counts).filter((_importId) => !Object.hasOwn(before.imports, _importId));
    yield* keepRunImports(row.seq, added);
    yield* execute(
      `update poundlock_runs set doc = ?, commits = ?, position = coalesce(?, position) where seq = ? and stage < 2`,
      ...[JSON.stringify(run), ordinal, position, row.seq],
    );
    return { run, failures: stored };
  };
}

// Two fields deep: a structured clone of them costs every page 8 µs.
function ownCounts(counts: PageCommit["counts"]): PageCommit["counts"] {
  return Object.fromEntries(Object.entries(counts).map(([_importId, of]) => [_importId, { ...of }]));
}

// The run, with its flow locked; undefined if the lease is lost.
function* leased<Row extends Pick<CommitRow, "flow_id" | "orphaned">>(
  { _flowId, _runId, token }: RunLease,
  columns: string,
  further: readonly string[] = [],
): TransactionBody<Row | undefined> {
  const sql = `select ${columns} from poundlock_runs where id = ? and token = ? and stage = 1`;
  if (_flowId !== undefined) {
    if (further.length === 0) yield* lockFlow(_flowId);
    else yield* lockFlows([_flowId, ...further]);
    const row = yield* rowOf<Row>(sql, _runId, token);
    if (row === undefined || (row.flow_id === _flowId && row.orphaned !== 1)) return row;
  }
  yield* lockFlowOfRun(_runId, further);
  return yield* rowOf<Row>(sql, _runId, token);
}

interface CommitRow extends RunRow {
  readonly flow_id: string;
  /** 1: its flow was deleted. 2: its flow reads another export now. */
  readonly orphaned: number;
  readonly commits: number;
}

function* settle(
  _flowId: string,
  failures: readonly FailurePortion[],
  { at, delivered, superseded }: Pick<PageCommit, "at" | "delivered" | "superseded">,
): TransactionBody<CommitResult["failures"]> {
  const changes = new CauseChanges();
  yield* deleteFailures(delivered, changes);
  yield* supersede(superseded, at, changes);
  const stored = yield* keepFailures(failures, changes);
  yield* changes.apply();
  return stored.length === 0 ? stored : yield* withoutImportsRemoved(_flowId, stored, at);
}

// What failed at an import that the flow has no more is resolved, as what had failed there before was.
function* withoutImportsRemoved(
  _flowId: string,
  stored: CommitResult["failures"],
  at: number,
): TransactionBody<CommitResult["failures"]> {
  const rows = yield* rowsOf<{ import_id: string }>(
    `select import_id from poundlock_flow_imports where flow_id = ?`,
    _flowId,
  );
  const current = new Set(rows.map(({ import_id }) => import_id));
  const isLost = (failure: Failure) => failure._flowId === _flowId && !current.has(failure._importId);
  const lost = stored.filter(isLost);
  if (lost.length === 0) return stored;
  yield* resolveOfImports(_flowId, [...new Set(lost.map(({ _importId }) => _importId))], at);
  return stored.map((failure) =>
    isLost(failure) && failure.status === "open" ? resolvedFailure(failure, "removed", isoOf(at)) : failure,
  );
}

/** @see LeaseStorage.endRun */
export function endRun(lease: RunLease, ending: RunEnding): Transaction<EndRunResult | undefined> {
  const { at, resume, status } = ending;
  const error = ending.error === undefined ? undefined : Object.freeze({ ...ending.error });
  const imports = structuredClone(ending.imports);
  const moves = placeMoves(ending.places, at);
  const page = ending.page === undefined ? undefined : { ...ending.page, counts: ownCounts(ending.page.counts) };
  const next = ending.next === undefined ? undefined : structuredClone(ending.next);
  const further = [...(next?.starts ?? []), ...(resume === undefined ? [] : [resume])].map(({ _flowId }) => _flowId);
  return function* () {
    const row = yield* leased<CommitRow & HealthRow & { readonly waiting: number | null }>(
      lease,
      `${runColumns}, flow_id, orphaned, commits, ${failingSince},
        (select 1 from poundlock_runs w where w.flow_id = poundlock_runs.flow_id and w.stage = 0 limit 1) as waiting`,
      further,
    );
    if (row === undefined) return yield* endedBefore(lease, resume?._id);
    if (page !== undefined && page.ordinal !== row.commits + 1) return undefined;
    const stored = runOf(row);
    const before = page === undefined ? stored : withPage(stored, page);
    const run = endedRun(before, { at, status, imports, ...optional("error", error) });
    const end = run.status;
    yield* keepRun(row.seq, run);
    if (row.orphaned !== 1) yield* keepHealth(run, row.failing_since);
    const added = Object.keys(run.imports).filter((_importId) => !Object.hasOwn(stored.imports, _importId));
    yield* keepRunImports(row.seq, added);
    let resumed: Run | undefined;
    if (row.orphaned === 0) {
      yield* movePlaces(row.flow_id, moves);
      if (end === "canceled" && run.discard === true) yield* discardPositions(row.flow_id);
      if (end !== "canceled" && resume !== undefined) resumed = yield* enqueueUnlessCovered(resume);
    }
    const chained: ChainResult[] = [];
    if (end === "completed" && next !== undefined)
      for (const start of next.starts) chained.push(yield* chainRun(start, next.maxQueued));
    const more = row.waiting !== null || hasQueued(row.flow_id, resumed, chained);
    return { run, more, ...optional("resume", resumed), next: chained };
  };
}

type RunEnd = Pick<RunEnding, "at" | "status" | "imports" | "error">;

// A run that is to be canceled ends as canceled, however its last page went.
function endedRun(before: Run, { at, status, imports, error }: RunEnd): Run {
  const end = before.status === "canceling" ? "canceled" : status;
  const ready = end === "canceled" && before.status === "running" ? transitionRun(before, "canceling") : before;
  const reason = end === "failed" ? optional("error", error) : {};
  return transitionRun(ready, end, { endedAt: isoOf(at), imports: withImportEndings(ready, imports), ...reason });
}

// Whether a run of the flow was queued with the end of another one.
function hasQueued(_flowId: string, resumed: Run | undefined, chained: readonly ChainResult[]): boolean {
  const isOfFlow = (one: ChainResult) => one.outcome === "queued" && one.run._flowId === _flowId;
  return resumed?._flowId === _flowId || chained.some(isOfFlow);
}

// The result of a call that is repeated; undefined if the run did not end by one.
function* endedBefore(
  { _runId, token }: RunLease,
  resumeId: string | undefined,
): TransactionBody<EndRunResult | undefined> {
  const ended = yield* rowOf<RunRow & { readonly flow_id: string }>(
    `select ${runColumns}, flow_id from poundlock_runs where id = ? and token = ? and stage = 2`,
    ...[_runId, token],
  );
  if (ended === undefined) return undefined;
  const { sql, values } = runById(resumeId ?? "");
  const row = yield* rowOf<RunRow>(sql, ...values);
  const resume = row && readable(() => runOf(row));
  return { run: runOf(ended), more: yield* hasMore(ended.flow_id), ...optional("resume", resume), next: [] };
}

function* hasMore(_flowId: string): TransactionBody<boolean> {
  const waiting = yield* rowOf(`select 1 from poundlock_runs where flow_id = ? and stage = 0 limit 1`, _flowId);
  return waiting !== undefined;
}

/** @see LeaseStorage.releaseRun */
export function releaseRun(lease: RunLease, { notBefore, waits }: RunRelease): Transaction<Run | undefined> {
  return function* () {
    const row = yield* leased<CommitRow>(lease, `${runColumns}, flow_id, orphaned`);
    if (row?.status !== "running") return undefined;
    const wait = notBefore === undefined ? {} : { notBefore: isoOf(notBefore) };
    return yield* giveUpLease(row.seq, transitionRun(runOf(row), "queued", { ...wait, ...optional("waits", waits) }));
  };
}

/** @see LeaseStorage.endWait */
export function endWait(_flowId: string, notBefore: number): Transaction<boolean> {
  return function* () {
    yield* lockFlow(_flowId);
    const row = yield* rowOf<RunRow>(
      `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0 and not_before = ? order by seq limit 1`,
      ...[_flowId, notBefore],
    );
    const run = row && readable(() => runOf(row));
    if (row === undefined || run === undefined) return false;
    const { notBefore: _, ...waiting } = run;
    yield* keepRun(row.seq, waiting);
    return true;
  };
}

/** @see LeaseStorage.reclaimExpiredRuns */
export function reclaimExpiredRuns(rule: ReclaimRule, report: ReportUnreadable): Transaction<readonly Run[]> {
  const { limit, now } = rule;
  const unchanged = (rule.unchanged ?? []).map((lease) => ({ ...lease }));
  const reason = Object.freeze({ ...rule.error });
  return function* () {
    const reclaimed: Run[] = [];
    for (;;) {
      const leases = yield* expiredLeases(now, unchanged, limit - reclaimed.length);
      yield* lockFlowsOfRuns(leases);
      let closed = 0;
      for (const lease of leases) {
        const run = yield* reclaim(lease, { ...rule, error: reason }, report);
        if (run === "unreadable") closed++;
        else if (run !== undefined) reclaimed.push(run);
      }
      // Those that were closed are expired no more, and others come in their place.
      if (closed === 0) return reclaimed;
    }
  };
}

function* expiredLeases(
  now: number,
  unchanged: readonly LeaseEnd[],
  limit: number,
): TransactionBody<readonly ExpiredLease[]> {
  const expired = new Map<number, ExpiredLease>();
  const overdue = yield* rowsOf<ExpiredLease>(
    `select seq, flow_id, lease_until from poundlock_runs where stage = 1 and lease_until <= ?
      order by lease_until limit ?`,
    ...[now, limit],
  );
  for (const lease of overdue) expired.set(lease.seq, lease);
  for (const { _runId, until } of unchanged) {
    if (expired.size >= limit) break;
    const lease = yield* rowOf<ExpiredLease>(
      `select seq, flow_id, lease_until from poundlock_runs where id = ? and stage = 1 and lease_until = ?`,
      ...[_runId, until],
    );
    if (lease !== undefined) expired.set(lease.seq, lease);
  }
  return [...expired.values()];
}

interface ExpiredLease {
  readonly seq: number;
  readonly flow_id: string;
  readonly lease_until: number;
}

// Undefined: it was renewed, or ended, before its flow was locked.
function* reclaim(
  { seq, lease_until }: ExpiredLease,
  { now, maxCrashes, error }: ReclaimRule,
  report: ReportUnreadable,
): TransactionBody<Run | "unreadable" | undefined> {
  const row = yield* rowOf<RunRow & { orphaned: number } & HealthRow>(
    `select ${runColumns}, orphaned, ${failingSince} from poundlock_runs where seq = ? and stage = 1 and lease_until = ?`,
    ...[seq, lease_until],
  );
  if (row === undefined) return undefined;
  const before = readable(() => runOf(row), report);
  if (before === undefined) {
    // As long as it is active no other run of its flow is.
    yield* closeUnreadable(seq, "failed", now);
    return "unreadable";
  }
  const crashed = Object.freeze({ ...before, crashes: before.crashes + 1 });
  const endedAt = isoOf(now);
  if (crashed.status === "canceling") {
    if (crashed.discard === true && row.orphaned === 0) yield* discardPositions(crashed._flowId);
    return yield* giveUpLease(seq, transitionRun(crashed, "canceled", { endedAt }));
  }
  const run =
    crashed.crashes <= maxCrashes
      ? transitionRun(crashed, "queued")
      : transitionRun(crashed, "failed", { endedAt, error });
  if (row.orphaned !== 1) yield* keepHealth(run, row.failing_since);
  return yield* giveUpLease(seq, run);
}

/** Asks for `id` and `lease_until`. */
export function leasesOfRuns(limit: number, after = ""): Statement {
  return statement(
    // Few runs are active: something added keeps the index of all ids out of it.
    `select id, lease_until from poundlock_runs where stage = 1 and id || '' > ? order by id || '' limit ?`,
    ...[after, limit],
  );
}

/** What {@link flowsWaiting} asks for. */
export interface WaitingRow {
  readonly flow_id: string;
  readonly export_id: string;
  readonly not_before: number | null;
}

/** Asks for `flow_id`, `export_id` and `not_before`. */
export function flowsWaiting(limit: number, after = ""): Statement {
  return statement(
    `select w.flow_id, w.not_before, (select o.export_id from poundlock_flows o where o.id = w.flow_id) as export_id
      from poundlock_runs w
      where w.stage = 0 and w.flow_id > ? and (select f.disabled from poundlock_flows f where f.id = w.flow_id) = 0
      and not exists (select 1 from poundlock_runs e
        where e.flow_id = w.flow_id and e.stage = 0 and e.seq < w.seq ${eachTime})
      and not exists (select 1 from poundlock_runs a where a.flow_id = w.flow_id and a.stage = 1 ${eachTime})
      order by w.flow_id limit ?`,
    ...[after, limit],
  );
}

interface ClaimedRow extends FlowRow {
  readonly disabled: number;
  readonly seq: number;
  readonly stage: number;
  readonly token: string | null;
  readonly position: string | null;
  readonly commits: number;
  readonly not_before: number | null;
  readonly run_id: string;
  readonly status: Run["status"];
  readonly run_doc: string;
}

// Without its token, nothing that its holder still does can count. Its place in the queue is before all that wait.
function* giveUpLease(seq: number, run: Run): TransactionBody<Run> {
  yield* execute(`update poundlock_runs set token = null, lease_until = null where seq = ? and stage = 1`, seq);
  yield* keepRun(seq, run);
  return run;
}
