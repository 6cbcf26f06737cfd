import {
  type Run,
  type RunStart,
  type RunStatus,
  hasEnded,
  hasOwnPosition,
  newRun,
  transitionRun,
} from "../../model/run.ts";
import {
  type Condition,
  type Leader,
  type Seek,
  type Transaction,
  type TransactionBody,
  type Statement,
  along,
  eachTime,
  execute,
  leaderOf,
  rowOf,
  rowsOf,
  sideBySide,
  statement,
  whereOf,
} from "./database.ts";
import { itemAt } from "../../model/item-at.ts";
import { isoOf, placeOf } from "../documents.ts";
import { type FlowRow, type RunRow, flowColumns, flowOf, runColumns, runOf, stageOf } from "./rows.ts";
import { allReadable, readable } from "./values/unreadable.ts";
import { lockFlow, lockFlowOfRun, lockFlows } from "./locks.ts";
import { discardPositions, hasBegunRun } from "./places.ts";
import type {
  ChainResult,
  OverlapRule,
  PruneRule,
  QueueDueResult,
  QueueRunResult,
  RunQuery,
  Tick,
} from "../storage.ts";

/** @see RunStorage.queueRun */
export function queueRun(start: RunStart, maxQueued: number): Transaction<QueueRunResult> {
  return function* () {
    yield* lockFlow(start._flowId);
    const row = yield* rowOf<FlowRow & { disabled: number; waiting: number; known: number | null }>(
      `select ${flowColumns}, disabled,
        (select count(*) from poundlock_runs w where w.flow_id = f.id and w.stage = 0) as waiting,
        (select r.seq from poundlock_runs r where r.id = ?) as known
        from poundlock_flows f where f.id = ? and f.deleted_at is null`,
      ...[start._id, start._flowId],
    );
    const known = row?.known === null ? undefined : yield* storedRun(start._id);
    if (known !== undefined) return { outcome: "queued", run: known };
    if (row === undefined) return { outcome: "missing" };
    if (row.disabled === 1) return { outcome: "disabled" };
    const enough = yield* runInstead(start);
    if (enough !== undefined) return { outcome: "waiting", run: enough };
    if (row.waiting >= maxQueued) return { outcome: "full" };
    const run = newRun(start, flowOf(row));
    yield* enqueue(run);
    return { outcome: "queued", run };
  };
}

// A run that waits and will do what `start` is for.
function* runInstead({ _flowId, retry, trigger }: RunStart): TransactionBody<Run | undefined> {
  if (trigger === "resume") {
    const rows = yield* rowsOf<RunRow>(
      `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0 and cause not in ('realtime', 'retry')
        order by seq`,
      _flowId,
    );
    return allReadable(rows, runOf).find((run) => !hasOwnPosition(run));
  }
  if (retry?.dueBy === undefined) return undefined;
  const rows = yield* rowsOf<RunRow>(
    `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0 and cause = 'retry' order by seq`,
    _flowId,
  );
  return allReadable(rows, runOf).find(
    (run) => run.retry?.dueBy !== undefined && run.retry._importId === retry._importId,
  );
}

/** @see RunStorage.queueDue */
export function queueDue(ticks: readonly Tick[], rule: OverlapRule): Transaction<readonly QueueDueResult[]> {
  return function* () {
    yield* lockFlows(ticks.map(({ _flowId }) => _flowId));
    const byFlow = new Map<string, number[]>();
    for (const [nth, { _flowId }] of ticks.entries()) {
      const same = byFlow.get(_flowId);
      if (same === undefined) byFlow.set(_flowId, [nth]);
      else same.push(nth);
    }
    const outcomes = ticks.map((): QueueDueResult => ({ outcome: "taken" }));
    // Those of one flow, one after the other.
    const ofFlow = function* (nths: readonly number[]): TransactionBody<void> {
      for (const nth of nths) outcomes[nth] = yield* queueTick(itemAt(ticks, nth), rule);
    };
    yield* sideBySide([...byFlow.values()].map(ofFlow));
    return outcomes;
  };
}

/** Asks for {@link RunRow}s. */
export function runById(_id: string): Statement {
  return statement(`select ${runColumns} from poundlock_runs where id = ?`, _id);
}

/** Asks for {@link RunRow}s, at most one more than the query's limit. */
export function runsMatching(query: RunQuery, seek: Seek): Statement {
  const { limit, after, status, _flowId, _importId } = query;
  const place = after === undefined ? undefined : placeOf(after, 0);
  // Few runs are not completed, and those have indexes of their own.
  const isRare = status !== undefined && status !== "completed";
  if (_importId !== undefined && _flowId === undefined && !isRare) return runsOfImport(query, _importId);
  const isLive = status === "queued" || status === "running" || status === "canceling";
  const columns = [["flow_id", _flowId] as const, ...(isRare ? [] : columnsOf(query))];
  const leader = isLive ? undefined : leaderOf(columns);
  const { conditions, order } = along(leader, { seq: isLive ? "seq + 0" : "seq", place, descending: true, seek });
  const { where, values } = whereOf(
    [
      [hasImport, _importId],
      ...(isLive ? [["flow_id = ?", _flowId] as const] : []),
      ...conditions,
      ...filters(query, leader),
    ],
    status === undefined ? [] : ofStatus[status],
  );
  return statement(`select ${runColumns} from poundlock_runs${where} order by ${order} limit ?`, ...values, limit + 1);
}

// The runs of an import, newest first; of each is asked whether it is wanted, and still there: of history that is removed
// as a whole, this is removed later.
function runsOfImport(query: RunQuery, _importId: string): Statement {
  const { limit, after, status } = query;
  const fixed = ["r.seq = run_seq", ...(status === undefined ? [] : ofStatus[status])];
  const wanted = whereOf(filters(query), fixed);
  const { where, values } = whereOf([
    ["import_id = ?", _importId],
    ["run_seq < ?", after === undefined ? undefined : placeOf(after, 0)],
  ]);
  return statement(
    `select run_seq as seq, (select d.id from poundlock_runs d where d.seq = run_seq) as id,
      (select d.status from poundlock_runs d where d.seq = run_seq) as status,
      (select d.doc from poundlock_runs d where d.seq = run_seq) as doc from poundlock_run_imports
      ${where} and exists (select 1 from poundlock_runs r${wanted.where} ${eachTime}) order by run_seq desc limit ?`,
    ...[...values, ...wanted.values, limit + 1],
  );
}

// Something added keeps their indexes out of it: the rows are found in another way.
function filters(query: RunQuery, leader?: Leader): readonly Condition[] {
  return columnsOf(query)
    .filter(([column]) => column !== leader?.[0])
    .map(([column, value]) => [`${column} || '' = ?`, value]);
}

function columnsOf({ _connectorId, _exportId, _integrationId, trigger }: RunQuery) {
  return [
    ["integration_id", _integrationId],
    ["connector_id", _connectorId],
    ["export_id", _exportId],
    ["cause", trigger],
  ] as const;
}

/** @see RunStorage.cancelRun */
export function cancelRun(
  _id: string,
  { at, discard = false }: { readonly at: number; readonly discard?: boolean },
): Transaction<Run | undefined> {
  return function* () {
    yield* lockFlowOfRun(_id);
    const row = yield* rowOf<RunRow>(`select ${runColumns} from poundlock_runs where id = ?`, _id);
    if (row === undefined) return undefined;
    const stored = runOf(row);
    if (hasEnded(stored)) return stored;
    const run = discard ? Object.freeze({ ...stored, discard: true as const }) : stored;
    const canceling = run.status === "canceling" ? run : transitionRun(run, "canceling");
    const next = run.status === "queued" ? transitionRun(canceling, "canceled", { endedAt: isoOf(at) }) : canceling;
    yield* keepRun(row.seq, next);
    if (discard && run.status === "queued" && !(yield* hasBegunRun(run._flowId))) yield* discardPositions(run._flowId);
    return next;
  };
}

/** @see RunStorage.prune */
export function prune(rule: PruneRule, agedRuns: string): Transaction<number> {
  return function* () {
    const { endedBefore, runsPerFlow, limit } = rule;
    // A cross join, which SQLite reads in this order: the few histories that are too long, and then their runs. Without
    // an equation of columns, PostgreSQL does not join the tables in another way.
    const surplus = yield* rowsOf<HistoryRow>(
      `select r.seq, r.flow_id from poundlock_histories h cross join poundlock_runs r
        where h.runs > ? and r.stage = 2 and (r.flow_id, r.seq) >= (h.flow_id, 0) and (r.flow_id, r.seq) <= (h.flow_id,
          (select n.seq from poundlock_runs n where n.flow_id = h.flow_id order by n.seq desc limit 1 offset ?))
        limit ?`,
      ...[runsPerFlow, runsPerFlow, limit],
    );
    const aged = yield* rowsOf<HistoryRow>(
      `select seq, flow_id from ${agedRuns} where stage = 2 and ended_at < ? order by ended_at limit ?`,
      ...[endedBefore, limit],
    );
    const outdated = new Map([...surplus, ...aged].map(({ seq, flow_id }) => [seq, flow_id]));
    const runs = [...outdated].slice(0, limit);
    yield* forgetRuns(runs);
    const failures = yield* rowsOf(
      `delete from poundlock_failures where seq in (
        select seq from poundlock_failures where status = 'resolved' and resolved_at < ? order by resolved_at limit ?)
        returning seq`,
      ...[endedBefore, limit - runs.length],
    );
    yield* execute(`delete from poundlock_histories where runs <= 0`);
    return runs.length + failures.length;
  };
}

/** Adds the run. `due`: of a due time that its flow has no run for. */
export function* enqueue(run: Run, due: { at?: number; buffered?: boolean } = {}): TransactionBody<void> {
  yield* execute(
    `insert into poundlock_runs
      (id, flow_id, export_id, integration_id, connector_id, cause, status, stage, due_at, buffered, doc)
      values (?, ?, ?, ?, ?, ?, 'queued', 0, ?, ?, ?)`,
    ...[run._id, run._flowId, run._exportId, run._integrationId ?? null, run._connectorId ?? null, run.trigger],
    ...[due.at ?? null, due.buffered === true ? 1 : null, JSON.stringify(run)],
  );
  // Its number is looked up where it is needed, so that nothing has to wait for it.
  for (const _importId of Object.keys(run.imports))
    yield* execute(
      `insert into poundlock_run_imports (import_id, run_seq)
        values (?, (select r.seq from poundlock_runs r where r.id = ? and r.stage = 0))`,
      ...[_importId, run._id],
    );
  yield* execute(
    `insert into poundlock_histories (flow_id, runs) values (?, 1)
      on conflict (flow_id) do update set runs = poundlock_histories.runs + 1`,
    run._flowId,
  );
}

/** Keeps what runs are found by when those of an import are asked for: what stands in `imports` of the document. */
export function* keepRunImports(seq: number, _importIds: readonly string[]): TransactionBody<void> {
  for (const _importId of _importIds)
    yield* execute(`insert into poundlock_run_imports (import_id, run_seq) values (?, ?)`, _importId, seq);
}

/** Writes a stored run that had not ended anew. One that does not wait is no more the one that due times are folded into. */
export function* keepRun(seq: number, run: Run): TransactionBody<void> {
  const stage = stageOf(run);
  yield* execute(
    `update poundlock_runs set status = ?, stage = ?, ended_at = ?, doc = ?,
      buffered = case when ? = 0 then buffered end, position = case when ? = 2 then null else position end,
      not_before = ? where seq = ? and stage < 2`,
    ...[run.status, stage, run.endedAt === undefined ? null : Date.parse(run.endedAt), JSON.stringify(run)],
    ...[stage, stage, run.notBefore === undefined ? null : Date.parse(run.notBefore), seq],
  );
}

/**
 * Ends a run that cannot be read, by its columns alone: neither its flow nor its queue waits for it, and retention
 * removes it in time.
 */
export function* closeUnreadable(seq: number, status: "canceled" | "failed", at: number): TransactionBody<void> {
  yield* execute(
    `update poundlock_runs set status = ?, stage = 2, ended_at = ?, buffered = null, not_before = null, token = null,
      lease_until = null, position = null where seq = ? and stage < 2`,
    ...[status, at, seq],
  );
}

function* storedRun(_id: string): TransactionBody<Run | undefined> {
  const row = yield* rowOf<RunRow>(`select ${runColumns} from poundlock_runs where id = ?`, _id);
  return row === undefined ? undefined : runOf(row);
}

const hasImport = `exists (select 1 from poundlock_run_imports where import_id = ? and run_seq = seq ${eachTime})`;

interface HistoryRow {
  readonly seq: number;
  readonly flow_id: string;
}

// An index of some rows is found by the words that it was made with, so these stand in the text.
const ofStatus: Readonly<Record<RunStatus, readonly string[]>> = {
  queued: ["stage = 0", "status = 'queued'"],
  running: ["stage = 1", "status = 'running'"],
  canceling: ["stage = 1", "status = 'canceling'"],
  completed: ["stage = 2", "status = 'completed'"],
  failed: ["stage = 2", "status = 'failed'"],
  canceled: ["stage = 2", "status = 'canceled'"],
};

function* forgetRuns(runs: readonly (readonly [seq: number, flow_id: string])[]): TransactionBody<void> {
  const removed = new Map<string, number>();
  for (const [seq, flow_id] of runs) {
    const row = yield* rowOf<RunRow>(
      `delete from poundlock_runs where seq = ? and stage = 2 returning ${runColumns}`,
      seq,
    );
    // Another process was first, and counts it.
    if (row === undefined) continue;
    removed.set(flow_id, (removed.get(flow_id) ?? 0) + 1);
    const run = readable(() => runOf(row));
    // No index finds them by the run alone: it is made once for a row that cannot be read.
    if (run === undefined) yield* execute(`delete from poundlock_run_imports where run_seq = ?`, seq);
    for (const _importId of Object.keys(run?.imports ?? {}))
      yield* execute(`delete from poundlock_run_imports where import_id = ? and run_seq = ?`, _importId, seq);
  }
  for (const [flow_id, size] of removed)
    yield* execute(`update poundlock_histories set runs = runs - ? where flow_id = ?`, size, flow_id);
}

function* queueTick(
  { _flowId, basis, dueAt, followingDueAt, nextDueAt, start }: Tick,
  rule: OverlapRule,
): TransactionBody<QueueDueResult> {
  const runDueAt = start?.dueAt === undefined ? null : Date.parse(start.dueAt);
  // The sum keeps it from the index of what is due, whose beginning is full of what was due before.
  const row = yield* rowOf<FlowRow & { readonly made: number | null }>(
    `update poundlock_flows set due_at = ?, following_at = ?, basis = coalesce(?, basis)
      where id = ? and due_at = ? and disabled + 0 = 0 returning ${flowColumns},
        (select r.seq from poundlock_runs r where r.flow_id = ? and r.due_at = ?) as made`,
    ...[nextDueAt ?? null, followingDueAt ?? null, basis ?? null, _flowId, dueAt, _flowId, runDueAt],
  );
  if (row === undefined) return { outcome: "taken" };
  if (start === undefined) return { outcome: "passed" };
  const inTheWay = yield* overlap(start, rule);
  if (inTheWay !== undefined) return inTheWay;
  if (row.made !== null) return { outcome: "passed" };
  const run = newRun(start, flowOf(row));
  const due = runDueAt === null ? {} : { at: runDueAt };
  yield* enqueue(run, { ...due, buffered: rule.overlap === "bufferOne" });
  return { outcome: "queued", run };
}

// What stands in the way of a scheduled run of its own; undefined if nothing does.
function* overlap({ _flowId }: RunStart, rule: OverlapRule): TransactionBody<QueueDueResult | undefined> {
  if (rule.overlap === "skip") {
    const obstacle =
      (yield* rowOf<RunRow>(`select ${runColumns} from poundlock_runs where flow_id = ? and stage = 1`, _flowId)) ??
      (yield* rowOf<RunRow>(
        `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0 order by seq limit 1`,
        _flowId,
      ));
    if (obstacle === undefined) return undefined;
    const before = readable(() => runOf(obstacle));
    if (before === undefined) return { outcome: "passed" };
    const run = Object.freeze({ ...before, skipped: before.skipped + 1 });
    yield* keepRun(obstacle.seq, run);
    return { outcome: "skipped", run };
  }
  if (rule.overlap === "bufferAll") {
    const row = yield* rowOf<{ waiting: number }>(
      `select count(*) as waiting from poundlock_runs where flow_id = ? and stage = 0`,
      _flowId,
    );
    if (Number(row?.waiting) < rule.maxQueued) return undefined;
  }
  const run = yield* coalesce(_flowId);
  return run === undefined ? undefined : { outcome: "coalesced", run };
}

/** Folds a due time, or a chained run, into the newest run that takes one in; undefined if none does. */
export function* coalesce(_flowId: string): TransactionBody<Run | undefined> {
  // Only the first of those that wait can have begun, and it takes nothing in.
  const waiting = yield* rowsOf<RunRow>(
    `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0
      and cause in ('schedule', 'catch-up', 'chained') order by seq desc limit 2`,
    _flowId,
  );
  for (const row of waiting) {
    const before = readable(() => runOf(row));
    if (before === undefined || before.startedAt !== undefined) continue;
    const run = Object.freeze({ ...before, coalesced: before.coalesced + 1 });
    yield* keepRun(row.seq, run);
    return run;
  }
  return undefined;
}

/** Queues a run that another one leads to: folded into one that waits, or skipped if there is no room for it. */
export function* chainRun(start: RunStart, maxQueued: number): TransactionBody<ChainResult> {
  const { _flowId } = start;
  const row = yield* rowOf<FlowRow & { waiting: number }>(
    `select ${flowColumns},
      (select count(*) from poundlock_runs w where w.flow_id = f.id and w.stage = 0) as waiting
      from poundlock_flows f where f.id = ? and f.disabled = 0`,
    _flowId,
  );
  const flow = row && readable(() => flowOf(row));
  if (row === undefined || flow === undefined) return { outcome: "skipped", _flowId };
  const coalesced = yield* coalesce(_flowId);
  if (coalesced !== undefined) return { outcome: "coalesced", run: coalesced };
  if (row.waiting >= maxQueued) return { outcome: "skipped", _flowId };
  const run = newRun(start, flow);
  yield* enqueue(run);
  return { outcome: "queued", run };
}

/** Queues a run unless one waits that will do the same; undefined then. */
export function* enqueueUnlessCovered(start: RunStart): TransactionBody<Run | undefined> {
  const row = yield* rowOf<FlowRow>(
    `select ${flowColumns} from poundlock_flows where id = ? and disabled = 0`,
    start._flowId,
  );
  const flow = row && readable(() => flowOf(row));
  if (flow === undefined || (yield* runInstead(start)) !== undefined) return undefined;
  const run = newRun(start, flow);
  yield* enqueue(run);
  return run;
}
