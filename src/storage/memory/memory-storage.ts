import type { Failure } from "../../model/failure.ts";
import type { FlowActivity } from "../../model/flow/activity.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Overview } from "../../model/flow/overview.ts";
import type { Run, RunStart } from "../../model/run.ts";
import type {
  ActivityQuery,
  AppendInboxResult,
  Arrival,
  CauseList,
  CauseQuery,
  ChangeStorage,
  CheckpointChange,
  ClaimRunResult,
  CompactRule,
  CommitResult,
  DeleteFlowResult,
  DueRetry,
  DuePlace,
  DueTimeChange,
  Duty,
  DutyClaim,
  EndRunResult,
  FailedFlows,
  FailureIdList,
  FailureList,
  FailureQuery,
  FlowChange,
  FlowDeletion,
  FlowHidden,
  FlowQuery,
  HourStatistics,
  InboxDrop,
  InboxPage,
  InboxQuery,
  InboxRule,
  Lease,
  LeaseEnd,
  ListResult,
  OpenFailureQuery,
  OpenKey,
  OpenKeyQuery,
  OverlapRule,
  OverviewQuery,
  PageCommit,
  Places,
  ProcessHour,
  PruneRule,
  QueueDueResult,
  QueueRunResult,
  ReclaimRule,
  ReplaceFlowResult,
  RunEnding,
  RunLease,
  RunQuery,
  RunRelease,
  ScheduledFlow,
  StatisticsQuery,
  Storage,
  StoredCheckpoint,
  Tick,
  WaitingFlow,
  WorkerProcess,
} from "../storage.ts";
import { appendInbox, dropInbox, readInbox, unreadInboxes } from "./arrivals.ts";
import {
  countOpenFailures,
  dueRetries,
  editFailure,
  failureThere,
  listFailureIds,
  listFailures,
  nextRetryAt,
  openKeys,
  resolveFailures,
} from "./failures.ts";
import { flowsOfFailures, listCauses } from "./totals/cause-lists.ts";
import {
  deleteFlow,
  insertFlow,
  listFlows,
  purgeFlows,
  replaceFlow,
  rescheduleFlows,
  scheduledFlows,
} from "./flows.ts";
import { flowActivities } from "./totals/activities.ts";
import { overview } from "./totals/overview.ts";
import { compactStatistics, listStatistics, saveStatistics } from "./totals/statistics.ts";
import {
  claimRun,
  commitPage,
  endRun,
  endWait,
  listLeases,
  reclaimExpiredRuns,
  releaseRun,
  renewLease,
  waitingFlows,
} from "./leases.ts";
import { endPauses, findPlaces, nextResumeAt, resumableFlows, setCheckpoint } from "./places.ts";
import { claimDuty, keepProcess, listProcesses, releaseDuty } from "./processes.ts";
import { cancelRun, listRuns, prune, queueDue, queueRun } from "./runs.ts";
import { MemoryState } from "./state.ts";

/** Keeps everything in this process; gone when it exits. The default. */
export class MemoryStorage implements Storage {
  readonly capabilities = Object.freeze({ durable: false, shared: false });
  readonly #state = new MemoryState();
  readonly changes: ChangeStorage = this.#state.changes;

  async close(): Promise<void> {
    // There is nothing to release.
  }

  /** Closes, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async insertFlow(flow: Flow, hidden: FlowHidden = {}): Promise<boolean> {
    return insertFlow(this.#state, flow, hidden);
  }

  async findFlow(_id: string): Promise<Flow | undefined> {
    return this.#state.flows.get(_id);
  }

  async listFlows(query: FlowQuery): Promise<ListResult<Flow>> {
    return listFlows(this.#state, query);
  }

  async replaceFlow(flow: Flow, change: FlowChange): Promise<ReplaceFlowResult> {
    return replaceFlow(this.#state, flow, change);
  }

  async deleteFlow(_id: string, change: FlowDeletion): Promise<DeleteFlowResult> {
    return deleteFlow(this.#state, _id, change);
  }

  async purgeFlows(rule: { readonly limit: number; readonly _flowId?: string }): Promise<boolean> {
    return purgeFlows(this.#state, rule);
  }

  async dueFlows(until: number, limit: number, after?: DuePlace): Promise<readonly Flow[]> {
    return this.#state.due.upTo(until, limit, after).flatMap((_id) => this.#state.flows.get(_id) ?? []);
  }

  async nextDueAt(): Promise<number | undefined> {
    return this.#state.due.first();
  }

  async scheduledFlows(limit: number, after?: string): Promise<readonly ScheduledFlow[]> {
    return scheduledFlows(this.#state, limit, after);
  }

  async rescheduleFlows(changes: readonly DueTimeChange[]): Promise<void> {
    rescheduleFlows(this.#state, changes);
  }

  async queueRun(start: RunStart, limits: { readonly maxQueued: number }): Promise<QueueRunResult> {
    return queueRun(this.#state, start, limits);
  }

  async queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly QueueDueResult[]> {
    return ticks.map((tick) => queueDue(this.#state, tick, rule));
  }

  async findRun(_id: string): Promise<Run | undefined> {
    return this.#state.runs.get(_id)?.run;
  }

  async listRuns(query: RunQuery): Promise<ListResult<Run>> {
    return listRuns(this.#state, query);
  }

  async cancelRun(_id: string, change: { readonly at: number; readonly discard?: boolean }): Promise<Run | undefined> {
    return cancelRun(this.#state, _id, change);
  }

  async prune(rule: PruneRule): Promise<number> {
    return prune(this.#state, rule);
  }

  async claimRun(_flowId: string, lease: Lease): Promise<ClaimRunResult> {
    return claimRun(this.#state, _flowId, lease);
  }

  async renewLeases(leases: readonly RunLease[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]> {
    return leases.map((lease) => renewLease(this.#state, lease, until));
  }

  async commitPage(lease: RunLease, page: PageCommit): Promise<CommitResult | undefined> {
    return commitPage(this.#state, lease, page);
  }

  async endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined> {
    return endRun(this.#state, lease, ending);
  }

  async releaseRun(lease: RunLease, change: RunRelease = {}): Promise<Run | undefined> {
    return releaseRun(this.#state, lease, change);
  }

  async reclaimExpiredRuns(rule: ReclaimRule): Promise<readonly Run[]> {
    return reclaimExpiredRuns(this.#state, rule);
  }

  async listLeases(limit: number, after?: string): Promise<readonly LeaseEnd[]> {
    return listLeases(this.#state, limit, after);
  }

  async waitingFlows(limit: number, after?: string): Promise<readonly WaitingFlow[]> {
    return waitingFlows(this.#state, limit, after);
  }

  async findPlaces(_flowId: string): Promise<Places> {
    return findPlaces(this.#state, _flowId);
  }

  async setCheckpoint(
    _flowId: string,
    checkpoint: StoredCheckpoint | undefined,
    change: CheckpointChange,
  ): Promise<boolean> {
    return setCheckpoint(this.#state, _flowId, checkpoint, change);
  }

  async endWait(_flowId: string, notBefore: number): Promise<boolean> {
    return endWait(this.#state, _flowId, notBefore);
  }

  async endPauses(_flowId: string, _importIds: readonly string[]): Promise<readonly string[]> {
    return endPauses(this.#state, _flowId, _importIds);
  }

  async resumableFlows(until: number, limit: number, after?: string): Promise<readonly string[]> {
    return resumableFlows(this.#state, until, limit, after);
  }

  async nextResumeAt(after: number): Promise<number | undefined> {
    return nextResumeAt(this.#state, after);
  }

  async findFailure(_id: string): Promise<Failure | undefined> {
    return failureThere(this.#state, _id)?.failure;
  }

  async listFailures(query: FailureQuery): Promise<FailureList> {
    return listFailures(this.#state, query);
  }

  async listFailureIds(query: FailureQuery): Promise<FailureIdList> {
    return listFailureIds(this.#state, query);
  }

  async listCauses(query: CauseQuery): Promise<CauseList> {
    return listCauses(this.#state, query);
  }

  async flowsOfFailures(query: OpenFailureQuery): Promise<FailedFlows> {
    return flowsOfFailures(this.#state, query);
  }

  async overview(query: OverviewQuery): Promise<Overview> {
    return overview(this.#state, query);
  }

  async flowActivities(query: ActivityQuery): Promise<readonly (FlowActivity | undefined)[]> {
    return flowActivities(this.#state, query);
  }

  async saveStatistics(hours: readonly ProcessHour[]): Promise<void> {
    saveStatistics(this.#state, hours);
  }

  async listStatistics(query: StatisticsQuery): Promise<readonly HourStatistics[]> {
    return listStatistics(this.#state, query);
  }

  async compactStatistics(rule: CompactRule): Promise<number> {
    return compactStatistics(this.#state, rule);
  }

  async completeCauses(): Promise<number> {
    return 0;
  }

  async resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]> {
    return resolveFailures(this.#state, _ids, at);
  }

  async editFailure(
    _id: string,
    change: { readonly record: unknown; readonly at: number },
  ): Promise<Failure | undefined> {
    return editFailure(this.#state, _id, change);
  }

  async openKeys(query: OpenKeyQuery): Promise<ListResult<OpenKey>> {
    return openKeys(this.#state, query);
  }

  async countOpenFailures(_flowId: string, limit: number): Promise<Readonly<Record<string, number>>> {
    return countOpenFailures(this.#state, _flowId, limit);
  }

  async dueRetries(until: number, limit: number): Promise<readonly DueRetry[]> {
    return dueRetries(this.#state, until, limit);
  }

  async nextRetryAt(after: number): Promise<number | undefined> {
    return nextRetryAt(this.#state, after);
  }

  async appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult> {
    return appendInbox(this.#state, arrival, rule);
  }

  async readInbox(_flowId: string, query: InboxQuery): Promise<readonly InboxPage[]> {
    return readInbox(this.#state, _flowId, query);
  }

  async dropInbox(_flowId: string, change: InboxDrop): Promise<readonly string[]> {
    return dropInbox(this.#state, _flowId, change);
  }

  async unreadInboxes(limit: number, after?: string): Promise<readonly string[]> {
    return unreadInboxes(this.#state, limit, after);
  }

  async claimDuty(claim: DutyClaim): Promise<boolean> {
    return claimDuty(this.#state, claim);
  }

  async releaseDuty(duty: Duty): Promise<void> {
    releaseDuty(this.#state, duty);
  }

  async keepProcess(process: WorkerProcess, forgetBefore: number): Promise<void> {
    keepProcess(this.#state, process, forgetBefore);
  }

  async listProcesses(since: number): Promise<readonly WorkerProcess[]> {
    return listProcesses(this.#state, since);
  }

  async removeProcess(_id: string): Promise<void> {
    this.#state.processes.delete(_id);
  }
}
