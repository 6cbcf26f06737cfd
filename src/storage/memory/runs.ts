import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import { type Run, type RunStart, hasEnded, hasOwnPosition, newRun, transitionRun } from "../../model/run.ts";
import { isoOf, own, placeOf } from "../documents.ts";
import type { ListResult, OverlapRule, PruneRule, QueueDueResult, QueueRunResult, RunQuery, Tick } from "../storage.ts";
import { forgetFailure } from "./failures.ts";
import { discardPositions, hasBegunRun } from "./places.ts";
import { Sequence } from "./sequence.ts";
import {
  type FlowQueue,
  type MemoryState,
  type RunEntry,
  filtered,
  listPage,
  mapPage,
  matches,
  moveDueTime,
} from "./state.ts";
import { healthOf } from "./totals/overview.ts";

/** @see RunStorage.queueRun */
export function queueRun(state: MemoryState, start: RunStart, limits: { readonly maxQueued: number }): QueueRunResult {
  const known = state.runs.get(start._id);
  if (known !== undefined) return { outcome: "queued", run: known.run };
  const flow = state.flows.get(start._flowId);
  if (flow === undefined) return { outcome: "missing" };
  if (flow.disabled) return { outcome: "disabled" };
  const waiting = state.queues.get(flow._id)?.waiting ?? [];
  const enough = waiting.find(({ run }) => makesUpFor(run, start));
  if (enough !== undefined) return { outcome: "waiting", run: enough.run };
  if (waiting.length >= limits.maxQueued) return { outcome: "full" };
  return { outcome: "queued", run: enqueue(state, start, flow) };
}

// Whether a run that waits will do what `start` is for.
function makesUpFor(run: Run, start: RunStart): boolean {
  if (start.trigger === "resume") return run.trigger !== "realtime" && !hasOwnPosition(run);
  if (start.retry?.dueBy === undefined) return false;
  return run.retry?.dueBy !== undefined && run.retry._importId === start.retry._importId;
}

/** Adds a run to its flow's queue. */
export function enqueue(state: MemoryState, start: RunStart, flow: Flow): Run {
  const entry: RunEntry = {
    seq: state.nextSeq(),
    run: newRun(own(start), flow),
    token: undefined,
    until: 0,
    commits: 0,
    position: undefined,
    detached: undefined,
    resume: undefined,
    hasDueTime: start.dueAt !== undefined,
  };
  const queue = state.queueOf(flow._id);
  // V8 makes room for 17 when the first one is pushed.
  if (queue.waiting.length === 0) queue.waiting = [entry];
  else queue.waiting.push(entry);
  queue.runs.add(entry);
  state.runLog.add(entry);
  state.runs.set(start._id, entry);
  state.changes.noteRun("queued", entry);
  return entry.run;
}

/** @see RunStorage.queueDue */
export function queueDue(state: MemoryState, tick: Tick, rule: OverlapRule): QueueDueResult {
  const flow = state.flows.get(tick._flowId);
  if (flow === undefined || flow.disabled || flow.nextRunAt !== isoOf(tick.dueAt)) return { outcome: "taken" };
  const moved = moveDueTime(state, flow, tick.nextDueAt, tick.basis);
  healthOf(state, flow._id).followingDueAt = tick.followingDueAt;
  if (tick.start === undefined) return { outcome: "passed" };
  const inTheWay = overlap(state, tick.start, rule);
  if (inTheWay !== undefined) return inTheWay;
  if (hadItsRun(state, tick.start)) return { outcome: "passed" };
  return { outcome: "queued", run: enqueue(state, tick.start, moved) };
}

function hadItsRun(state: MemoryState, { _flowId, dueAt }: RunStart): boolean {
  const queue = state.queues.get(_flowId);
  if (queue === undefined || dueAt === undefined) return false;
  for (const { hasDueTime, run } of queue.runs.after(queue.bornAfter))
    if (hasDueTime && run.dueAt === dueAt) return true;
  return false;
}

/** Due times of the flow after `after` are as if they had had no run. */
export function forgetDueTimes(state: MemoryState, _flowId: string, after: number): void {
  const queue = state.queues.get(_flowId);
  for (const entry of queue?.runs.after(queue.bornAfter) ?? [])
    if (Date.parse(entry.run.dueAt ?? "") > after) entry.hasDueTime = false;
}

// What stands in the way of a scheduled run of its own; undefined if nothing does.
function overlap(state: MemoryState, start: RunStart, rule: OverlapRule): QueueDueResult | undefined {
  const queue = state.queues.get(start._flowId);
  if (queue === undefined) return undefined;
  if (rule.overlap === "skip") {
    const obstacle = queue.active ?? queue.waiting[0];
    if (obstacle === undefined) return undefined;
    obstacle.run = Object.freeze({ ...obstacle.run, skipped: obstacle.run.skipped + 1 });
    return { outcome: "skipped", run: obstacle.run };
  }
  if (rule.overlap === "bufferAll" && queue.waiting.length < rule.maxQueued) return undefined;
  const run = coalesce(queue);
  return run === undefined ? undefined : { outcome: "coalesced", run };
}

/** Folds a due time, or a chained run, into the newest run that takes one in; undefined if none does. */
export function coalesce(queue: FlowQueue): Run | undefined {
  const waiting = queue.waiting.findLast(({ run }) => takesIn(run));
  if (waiting === undefined) return undefined;
  return (waiting.run = Object.freeze({ ...waiting.run, coalesced: waiting.run.coalesced + 1 }));
}

// A run that began and waits to be resumed will not read from the start again.
function takesIn({ trigger, startedAt }: Run): boolean {
  return startedAt === undefined && (trigger === "schedule" || trigger === "catch-up" || trigger === "chained");
}

/** @see RunStorage.listRuns */
export function listRuns(state: MemoryState, query: RunQuery): ListResult<Run> {
  const log = query._flowId === undefined ? state.runLog : (state.queues.get(query._flowId)?.runs ?? noRuns);
  const matching = filtered(log.before(placeOf(query.after, Infinity)), ({ run }) => isWanted(run, query));
  return mapPage(
    listPage(matching, query.limit, (entry) => String(entry.seq)),
    ({ run }) => run,
  );
}

const noRuns = new Sequence<RunEntry>();
const filters = ["_flowId", "_exportId", "_integrationId", "_connectorId", "status", "trigger"] as const;

function isWanted(run: Run, query: RunQuery): boolean {
  return matches(run, query, filters) && (query._importId === undefined || Object.hasOwn(run.imports, query._importId));
}

/** @see RunStorage.cancelRun */
export function cancelRun(
  state: MemoryState,
  _id: string,
  { at, discard = false }: { readonly at: number; readonly discard?: boolean },
): Run | undefined {
  const entry = state.runs.get(_id);
  if (entry === undefined || hasEnded(entry.run)) return entry?.run;
  if (discard) entry.run = Object.freeze({ ...entry.run, discard: true as const });
  if (entry.run.status === "queued") {
    cancelQueued(state, state.queueOf(entry.run._flowId), entry, at);
    if (discard && !hasBegunRun(state, entry.run._flowId)) discardPositions(state, entry.run._flowId);
  } else if (entry.run.status === "running") entry.run = transitionRun(entry.run, "canceling");
  return entry.run;
}

/** Cancels the flow's waiting runs for which `wanted` holds. */
export function cancelWaiting(
  state: MemoryState,
  _flowId: string,
  at: number,
  wanted: (run: Run) => boolean = () => true,
): readonly Run[] {
  const queue = state.queues.get(_flowId);
  if (queue === undefined) return [];
  const canceled: Run[] = [];
  for (const entry of queue.waiting.splice(0))
    if (wanted(entry.run)) canceled.push(canceledRun(state, entry, at));
    else queue.waiting.push(entry);
  return canceled;
}

function cancelQueued(state: MemoryState, queue: FlowQueue, entry: RunEntry, at: number): Run {
  queue.waiting.splice(queue.waiting.indexOf(entry), 1);
  return canceledRun(state, entry, at);
}

function canceledRun(state: MemoryState, entry: RunEntry, at: number): Run {
  entry.run = transitionRun(transitionRun(entry.run, "canceling"), "canceled", { endedAt: isoOf(at) });
  state.changes.noteRun("canceled", entry);
  return entry.run;
}

/** @see RunStorage.prune */
export function prune(state: MemoryState, rule: PruneRule): number {
  const runs = outdatedRuns(state, rule);
  const endedBefore = isoOf(rule.endedBefore);
  const failures = [...state.failures.values()].filter(
    ({ failure }) => failure.resolvedAt !== undefined && failure.resolvedAt < endedBefore,
  );
  const outdated = failures.slice(0, rule.limit - runs.length);
  for (const entry of runs) forgetRun(state, entry);
  for (const entry of outdated) forgetFailure(state, entry);
  return runs.length + outdated.length;
}

function outdatedRuns(state: MemoryState, rule: PruneRule): RunEntry[] {
  const endedBefore = isoOf(rule.endedBefore);
  const outdated: RunEntry[] = [];
  for (const { runs } of state.queues.values()) {
    let surplus = runs.size - rule.runsPerFlow;
    for (const entry of runs.after(0)) {
      const { run } = entry;
      if (outdated.length >= rule.limit) return outdated;
      // No run that was queued since has ended before.
      if (surplus <= 0 && run.queuedAt >= endedBefore) break;
      if (hasEnded(run) && (surplus > 0 || (run.endedAt ?? "") < endedBefore)) outdated.push(entry);
      surplus--;
    }
  }
  return outdated;
}

function forgetRun(state: MemoryState, entry: RunEntry): void {
  const queue = state.queueOf(entry.run._flowId);
  queue.runs.remove(entry);
  state.runLog.remove(entry);
  state.runs.delete(entry.run._id);
  if (queue.runs.size === 0) state.queues.delete(entry.run._flowId);
}

/** True for a run that reads the inbox alone. */
export function isRealtime({ run }: RunEntry): boolean {
  return run.trigger === "realtime";
}

/** The ids of the imports that a run of this flow, or of one that is gone, may move. */
export function importIdsNow(state: MemoryState, _flowId: string): readonly string[] {
  const flow = state.flows.get(_flowId);
  return flow === undefined ? [] : importIdsOf(flow);
}
