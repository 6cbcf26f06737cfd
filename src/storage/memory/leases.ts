import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import { type Run, transitionRun, withImportEndings, withPage } from "../../model/run.ts";
import { isoOf, optional, own } from "../documents.ts";
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
  WaitingFlow,
} from "../storage.ts";
import { forgetEmptyCauses } from "./totals/causes.ts";
import { forgetFailure, keepFailures, resolveOfImports, supersede } from "./failures.ts";
import { changePlaces, discardPositions, findPlaces } from "./places.ts";
import { coalesce, enqueue, importIdsNow, queueRun } from "./runs.ts";
import { type FlowQueue, type MemoryState, type RunEntry, enabledFlowIds } from "./state.ts";
import { healthOf, keepHealth } from "./totals/overview.ts";

/** @see LeaseStorage.claimRun */
export function claimRun(state: MemoryState, _flowId: string, lease: Lease): ClaimRunResult {
  const queue = state.queues.get(_flowId);
  const flow = state.flows.get(_flowId);
  if (queue === undefined || flow === undefined) return undefined;
  if (queue.active !== undefined)
    return queue.active.token === lease.token ? claimed(state, queue.active, flow) : undefined;
  const entry = flow.disabled ? undefined : queue.waiting[0];
  if (entry === undefined) return undefined;
  const notBefore = notBeforeOf(entry.run);
  if (notBefore !== undefined && notBefore > lease.at) return { notBefore };
  queue.waiting.shift();
  const at = isoOf(lease.at);
  entry.run = transitionRun(notBefore === undefined ? entry.run : withoutWait(entry.run), "running", { startedAt: at });
  entry.token = lease.token;
  entry.until = lease.until;
  queue.active = entry;
  state.active.add(entry);
  const started = Object.freeze({ ...flow, lastExecutedAt: at });
  state.flows.set(_flowId, started);
  state.changes.noteRun("started", entry);
  const health = healthOf(state, _flowId);
  health.overdueAt = health.followingDueAt;
  return claimed(state, entry, started);
}

function claimed(state: MemoryState, entry: RunEntry, flow: Flow): ClaimedRun {
  const { run, commits } = entry;
  return { run, flow, commits, ...optional("position", entry.position), places: findPlaces(state, flow._id) };
}

function withoutWait({ notBefore: _, ...run }: Run): Run {
  return run;
}

function notBeforeOf({ notBefore }: Run): number | undefined {
  return notBefore === undefined ? undefined : Date.parse(notBefore);
}

/** @see LeaseStorage.endWait */
export function endWait(state: MemoryState, _flowId: string, notBefore: number): boolean {
  // Only the first of those that wait is to go on later.
  const entry = state.queues.get(_flowId)?.waiting[0];
  if (entry === undefined || notBeforeOf(entry.run) !== notBefore) return false;
  entry.run = Object.freeze(withoutWait(entry.run));
  return true;
}

/** @see LeaseStorage.renewLeases */
export function renewLease(state: MemoryState, lease: RunLease, until: number): "held" | "canceling" | "lost" {
  const entry = leased(state, lease);
  if (entry === undefined) return "lost";
  entry.until = until;
  return entry.run.status === "canceling" ? "canceling" : "held";
}

function leased(state: MemoryState, { _runId, token }: RunLease): RunEntry | undefined {
  const entry = state.runs.get(_runId);
  return entry?.token === token && state.active.has(entry) ? entry : undefined;
}

/** @see LeaseStorage.commitPage */
export function commitPage(state: MemoryState, lease: RunLease, page: PageCommit): CommitResult | undefined {
  const entry = leased(state, lease);
  if (entry === undefined) return undefined;
  if (page.ordinal === entry.commits) return { run: entry.run, failures: [] };
  if (page.ordinal !== entry.commits + 1) return undefined;
  // What cannot be copied throws here, before anything has changed.
  const position = own(page.position);
  const places = page.places.map(own);
  const failures = page.failures.map(ownFailure);
  const { _flowId } = entry.run;
  const kept = entry.detached === "flow" ? [] : settle(state, _flowId, page, failures);
  if (entry.detached === undefined) {
    changePlaces(state, _flowId, places, page.at);
    if (places.some(({ inbox }) => inbox !== undefined)) removeSettled(state, _flowId);
  }
  entry.run = withPage(entry.run, page);
  entry.commits = page.ordinal;
  if (position !== undefined) entry.position = position;
  return { run: entry.run, failures: kept };
}

// What is frozen is not copied.
function ownFailure(failure: Failure): Failure {
  if (Object.isFrozen(failure) && Object.isFrozen(failure.record) && Object.isFrozen(failure.original)) return failure;
  return Object.freeze({ ...failure, record: own(failure.record) });
}

function settle(
  state: MemoryState,
  _flowId: string,
  page: PageCommit,
  failures: readonly Failure[],
): CommitResult["failures"] {
  forgetEmptyCauses(state);
  for (const _id of page.delivered) {
    const entry = state.failures.get(_id);
    if (entry !== undefined) forgetFailure(state, entry);
  }
  if (page.superseded.length > 0) supersede(state, page.superseded, page.at);
  if (failures.length === 0) return failures;
  const kept = keepFailures(state, failures);
  const current = importIdsNow(state, _flowId);
  const removed = kept
    .filter((failure) => failure._flowId === _flowId && !current.includes(failure._importId))
    .map(({ _importId }) => _importId);
  if (removed.length === 0) return kept;
  resolveOfImports(state, _flowId, [...new Set(removed)], page.at);
  return kept.map((failure) => state.failures.get(failure._id)?.failure ?? failure);
}

function removeSettled(state: MemoryState, _flowId: string): void {
  state.inboxes.get(_flowId)?.removeSettled(importIdsNow(state, _flowId), state.places.get(_flowId));
}

/** @see LeaseStorage.endRun */
export function endRun(state: MemoryState, lease: RunLease, ending: RunEnding): EndRunResult | undefined {
  const entry = state.runs.get(lease._runId);
  if (entry?.token !== lease.token) return undefined;
  const queue = state.queueOf(entry.run._flowId);
  if (queue.active !== entry) return endResult(queue, entry, []);
  const { status, at, error, page } = ending;
  if (page !== undefined) {
    if (page.ordinal !== entry.commits + 1) return undefined;
    entry.run = withPage(entry.run, page);
    entry.commits = page.ordinal;
  }
  // A run that is to be canceled ends as canceled, however its last page went.
  const end = entry.run.status === "canceling" ? "canceled" : status;
  const ready =
    end === "canceled" && entry.run.status === "running" ? transitionRun(entry.run, "canceling") : entry.run;
  const reason = end === "failed" ? optional("error", own(error)) : {};
  const imports = withImportEndings(ready, ending.imports);
  const places = ending.places.map(own);
  retire(state, queue, entry, transitionRun(ready, end, { endedAt: isoOf(at), imports, ...reason }));
  state.changes.noteRun(end, entry);
  if (entry.detached !== "flow") keepHealth(state, entry.run);
  if (entry.detached === undefined) {
    changePlaces(state, entry.run._flowId, places, at);
    if (end === "canceled" && entry.run.discard === true) discardPositions(state, entry.run._flowId);
    if (ending.resume !== undefined && end !== "canceled") entry.resume = queueResume(state, ending.resume);
  }
  return endResult(queue, entry, end === "completed" ? chain(state, ending.next) : []);
}

function endResult(queue: FlowQueue, { run, resume }: RunEntry, next: readonly ChainResult[]): EndRunResult {
  return { run, more: queue.waiting.length > 0, ...optional("resume", resume), next };
}

function queueResume(state: MemoryState, start: NonNullable<RunEnding["resume"]>): Run | undefined {
  const queued = queueRun(state, start, { maxQueued: Infinity });
  return queued.outcome === "queued" ? queued.run : undefined;
}

function chain(state: MemoryState, next: RunEnding["next"]): readonly ChainResult[] {
  const { starts = [], maxQueued = 0 } = next ?? {};
  return starts.map((start) => {
    const { _flowId } = start;
    const flow = state.flows.get(_flowId);
    if (flow === undefined || flow.disabled) return { outcome: "skipped", _flowId };
    const queue = state.queueOf(_flowId);
    const run = coalesce(queue);
    if (run !== undefined) return { outcome: "coalesced", run };
    if (queue.waiting.length >= maxQueued) return { outcome: "skipped", _flowId };
    return { outcome: "queued", run: enqueue(state, start, flow) };
  });
}

/** @see LeaseStorage.releaseRun */
export function releaseRun(state: MemoryState, lease: RunLease, { notBefore, waits }: RunRelease): Run | undefined {
  const entry = leased(state, lease);
  if (entry?.run.status !== "running") return undefined;
  const wait = notBefore === undefined ? {} : { notBefore: isoOf(notBefore) };
  requeue(state, entry, transitionRun(entry.run, "queued", { ...wait, ...optional("waits", waits) }));
  state.changes.noteRun("requeued", entry, notBefore === undefined ? "stop" : "wait");
  return entry.run;
}

/** @see LeaseStorage.reclaimExpiredRuns */
export function reclaimExpiredRuns(state: MemoryState, rule: ReclaimRule): readonly Run[] {
  const unchanged = new Map((rule.unchanged ?? []).map(({ _runId, until }) => [_runId, until]));
  const expired: RunEntry[] = [];
  for (const entry of state.active) {
    if (expired.length === rule.limit) break;
    if (entry.until <= rule.now || unchanged.get(entry.run._id) === entry.until) expired.push(entry);
  }
  return expired.map((entry) => reclaim(state, entry, rule));
}

/** @see LeaseStorage.listLeases */
export function listLeases(state: MemoryState, limit: number, after = ""): readonly LeaseEnd[] {
  return [...state.active]
    .map(({ run, until }) => ({ _runId: run._id, until }))
    .filter(({ _runId }) => _runId > after)
    .sort((one, other) => (one._runId < other._runId ? -1 : 1))
    .slice(0, limit);
}

/** @see LeaseStorage.waitingFlows */
export function waitingFlows(state: MemoryState, limit: number, after: string | undefined): readonly WaitingFlow[] {
  const wanted = ({ waiting, active }: FlowQueue) => waiting.length > 0 && active === undefined;
  return enabledFlowIds(state, state.queues, { limit, after }, wanted).map((_flowId) => {
    const [first] = state.queueOf(_flowId).waiting;
    const _exportId = state.flows.get(_flowId)?._exportId ?? "";
    return { _flowId, _exportId, ...optional("notBefore", first === undefined ? undefined : notBeforeOf(first.run)) };
  });
}

function retire(state: MemoryState, queue: FlowQueue, entry: RunEntry, run: Run): void {
  entry.run = run;
  entry.position = undefined;
  queue.active = undefined;
  state.active.delete(entry);
}

function requeue(state: MemoryState, entry: RunEntry, run: Run): void {
  const queue = state.queueOf(run._flowId);
  const { position } = entry;
  retire(state, queue, entry, run);
  entry.position = position;
  entry.token = undefined;
  queue.waiting.unshift(entry);
}

function reclaim(state: MemoryState, entry: RunEntry, rule: ReclaimRule): Run {
  const at = isoOf(rule.now);
  const crashed = Object.freeze({ ...entry.run, crashes: entry.run.crashes + 1 });
  if (crashed.status === "running" && crashed.crashes <= rule.maxCrashes && entry.detached !== "flow") {
    requeue(state, entry, transitionRun(crashed, "queued"));
    state.changes.noteRun("requeued", entry, "crash");
    return entry.run;
  }
  const end = crashed.status === "canceling" ? "canceled" : "failed";
  const error = end === "failed" ? { error: own(rule.error) } : {};
  retire(state, state.queueOf(crashed._flowId), entry, transitionRun(crashed, end, { endedAt: at, ...error }));
  state.changes.noteRun(end, entry);
  if (entry.detached !== "flow") keepHealth(state, entry.run);
  if (end === "canceled" && crashed.discard === true && entry.detached === undefined)
    discardPositions(state, crashed._flowId);
  entry.token = undefined;
  return entry.run;
}
