import { StorageFailedError, isPoundlockError } from "../../errors.ts";
import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Run, RunStart } from "../../model/run.ts";
import {
  type OpenKeyRow,
  type SizeRow,
  earliestRetry,
  editFailure,
  failureById,
  failureSizes,
  failuresMatching,
  lastFailureFor,
  openKeyOf,
  openKeysMatching,
  openSizes,
  resolveFailures,
  retriesDue,
} from "./failures.ts";
import {
  deleteFlow,
  earliestDue,
  flowById,
  flowsDue,
  flowsMatching,
  flowsScheduled,
  insertFlow,
  replaceFlow,
  rescheduleFlows,
} from "./flows.ts";
import {
  type DropRow,
  type InboxRow,
  appendInbox,
  dropInbox,
  flowsUnread,
  inboxDrops,
  inboxPageOf,
  inboxPages,
  inboxSizes,
  lastPageFor,
} from "./inbox.ts";
import {
  type WaitingRow,
  claimRun,
  commitPage,
  endRun,
  flowsWaiting,
  leasesOfRuns,
  reclaimExpiredRuns,
  releaseRun,
  renewLeases,
} from "./leases.ts";
import {
  type PlaceRow,
  earliestResume,
  endPauses,
  flowsResumable,
  placesById,
  placesOf,
  setCheckpoint,
} from "./places.ts";
import { claimDuty, releaseDuty } from "./processes/duties.ts";
import type { Transaction, SqlDatabase, Statement } from "./database.ts";
import { optional, own, placeOf } from "../documents.ts";
import { type FailureRow, type FlowRow, failureOf, flowOf, runOf } from "./rows.ts";
import { cancelRun, prune, queueDue, queueRun, runById, runsMatching } from "./runs.ts";
import type {
  AppendInboxResult,
  Arrival,
  CheckpointChange,
  ClaimRunResult,
  CommitResult,
  DeleteFlowResult,
  DuePlace,
  DueRetry,
  DueTimeChange,
  Duty,
  DutyClaim,
  EndRunResult,
  FailureQuery,
  FlowChange,
  FlowHidden,
  FlowQuery,
  InboxDrop,
  InboxPage,
  InboxQuery,
  InboxRule,
  Lease,
  LeaseEnd,
  ListResult,
  OpenKey,
  OpenKeyQuery,
  OverlapRule,
  PageCommit,
  Places,
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
  Storage,
  StorageCapabilities,
  StoredCheckpoint,
  Tick,
  WaitingFlow,
} from "../storage.ts";

const databases = new WeakMap<Storage, SqlDatabase>();

/** Where a storage keeps everything; undefined if that is no SQL database. */
export function databaseOf(storage: Storage): SqlDatabase | undefined {
  return databases.get(storage);
}

/** Keeps everything in an SQL database: each method one transaction, or one query. An adapter of a database extends it. */
export class SqlStorage implements Storage {
  readonly capabilities: StorageCapabilities = Object.freeze({ durable: true, shared: true });
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
    databases.set(this, database);
  }

  async close(): Promise<void> {
    await this.#guard("close", () => this.#database.close());
  }

  /** Closes, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  insertFlow(flow: Flow, hidden: FlowHidden = {}): Promise<boolean> {
    return this.#write("insertFlow", () => insertFlow(flow, hidden));
  }

  async findFlow(_id: string): Promise<Flow | undefined> {
    const [row] = await this.#read<FlowRow>("findFlow", flowById(_id));
    return row === undefined ? undefined : flowOf(row);
  }

  async listFlows(query: FlowQuery): Promise<ListResult<Flow>> {
    const flows = (await this.#read<FlowRow>("listFlows", flowsMatching(query))).map(flowOf);
    const items = flows.slice(0, query.limit);
    return { items, ...optional("next", flows.length > query.limit ? items.at(-1)?._id : undefined) };
  }

  replaceFlow(flow: Flow, change: FlowChange): Promise<ReplaceFlowResult> {
    return this.#write("replaceFlow", () => replaceFlow(flow, change));
  }

  deleteFlow(_id: string, change: { readonly expected?: string; readonly at: number }): Promise<DeleteFlowResult> {
    return this.#write("deleteFlow", () => deleteFlow(_id, change));
  }

  async dueFlows(until: number, limit: number, after?: DuePlace): Promise<readonly Flow[]> {
    return (await this.#read<FlowRow>("dueFlows", flowsDue(until, limit, after))).map(flowOf);
  }

  async nextDueAt(): Promise<number | undefined> {
    const [row] = await this.#read<{ due_at: number }>("nextDueAt", earliestDue());
    return row?.due_at;
  }

  async scheduledFlows(limit: number, after?: string): Promise<readonly ScheduledFlow[]> {
    const query = flowsScheduled(limit, after);
    const rows = await this.#read<FlowRow & { readonly basis: string | null }>("scheduledFlows", query);
    return rows.map((row) => ({ flow: flowOf(row), ...optional("basis", row.basis ?? undefined) }));
  }

  rescheduleFlows(changes: readonly DueTimeChange[]): Promise<void> {
    return this.#write("rescheduleFlows", () => rescheduleFlows(own(changes)));
  }

  queueRun(start: RunStart, { maxQueued }: { readonly maxQueued: number }): Promise<QueueRunResult> {
    return this.#write("queueRun", () => queueRun(own(start), maxQueued));
  }

  queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly QueueDueResult[]> {
    return this.#write("queueDue", () => queueDue(own(ticks), own(rule)));
  }

  async findRun(_id: string): Promise<Run | undefined> {
    const [row] = await this.#read<{ doc: string }>("findRun", runById(_id));
    return row === undefined ? undefined : runOf(row.doc);
  }

  async listRuns(query: RunQuery): Promise<ListResult<Run>> {
    const rows = await this.#read<{ seq: number; doc: string }>("listRuns", runsMatching(query));
    const { items, next } = listed(rows, query.limit);
    return { items: items.map(({ doc }) => runOf(doc)), ...optional("next", next) };
  }

  cancelRun(_id: string, change: { readonly at: number; readonly discard?: boolean }): Promise<Run | undefined> {
    return this.#write("cancelRun", () => cancelRun(_id, { ...change }));
  }

  prune(rule: PruneRule): Promise<number> {
    return this.#write("prune", () => prune(own(rule)));
  }

  claimRun(_flowId: string, lease: Lease): Promise<ClaimRunResult> {
    return this.#write("claimRun", () => claimRun(_flowId, lease));
  }

  renewLeases(leases: readonly RunLease[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]> {
    return this.#write("renewLeases", () => renewLeases(own(leases), until));
  }

  commitPage(lease: RunLease, page: PageCommit): Promise<CommitResult | undefined> {
    return this.#write("commitPage", () => commitPage(lease, page));
  }

  endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined> {
    return this.#write("endRun", () => endRun(lease, ending));
  }

  releaseRun(lease: RunLease, change: RunRelease = {}): Promise<Run | undefined> {
    return this.#write("releaseRun", () => releaseRun(lease, { ...change }));
  }

  reclaimExpiredRuns(rule: ReclaimRule): Promise<readonly Run[]> {
    return this.#write("reclaimExpiredRuns", () => reclaimExpiredRuns(rule));
  }

  async listLeases(limit: number, after?: string): Promise<readonly LeaseEnd[]> {
    const query = leasesOfRuns(limit, after);
    const rows = await this.#read<{ readonly id: string; readonly lease_until: number }>("listLeases", query);
    return rows.map(({ id, lease_until }) => ({ _runId: id, until: lease_until }));
  }

  async waitingFlows(limit: number, after?: string): Promise<readonly WaitingFlow[]> {
    const query = flowsWaiting(limit, after);
    const rows = await this.#read<WaitingRow>("waitingFlows", query);
    return rows.map(({ export_id, flow_id, not_before }) => ({
      _flowId: flow_id,
      _exportId: export_id,
      ...optional("notBefore", not_before ?? undefined),
    }));
  }

  async findPlaces(_flowId: string): Promise<Places> {
    return placesOf(await this.#read<PlaceRow>("findPlaces", placesById(_flowId)));
  }

  setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined, change: CheckpointChange): Promise<boolean> {
    return this.#write("setCheckpoint", () => setCheckpoint(_flowId, checkpoint, change));
  }

  endPauses(_flowId: string, _importIds: readonly string[]): Promise<readonly string[]> {
    return this.#write("endPauses", () => endPauses(_flowId, _importIds));
  }

  async resumableFlows(until: number, limit: number, after?: string): Promise<readonly string[]> {
    const query = flowsResumable(until, limit, after);
    return (await this.#read<{ readonly flow_id: string }>("resumableFlows", query)).map(({ flow_id }) => flow_id);
  }

  async nextResumeAt(after: number): Promise<number | undefined> {
    const [row] = await this.#read<{ readonly resume_at: number }>("nextResumeAt", earliestResume(after));
    return row?.resume_at;
  }

  async findFailure(_id: string): Promise<Failure | undefined> {
    const [row] = await this.#read<FailureRow>("findFailure", failureById(_id));
    return row === undefined ? undefined : failureOf(row);
  }

  async listFailures(query: FailureQuery): Promise<ListResult<Failure>> {
    const sizes = await this.#readAll<SizeRow>("listFailures", failureSizes(query));
    const through = lastFailureFor(query.limit, sizes);
    if (through === undefined) return { items: [] };
    const rows = await this.#readAll<FailureRow>("listFailures", failuresMatching(query, through));
    const isMore = (sizes.at(-1)?.seq ?? 0) > through;
    return { items: rows.map(failureOf), ...optional("next", isMore ? String(through) : undefined) };
  }

  resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]> {
    return this.#write("resolveFailures", () => resolveFailures(_ids, at));
  }

  editFailure(_id: string, change: { readonly record: unknown; readonly at: number }): Promise<Failure | undefined> {
    return this.#write("editFailure", () => editFailure(_id, change));
  }

  async openKeys(query: OpenKeyQuery): Promise<ListResult<OpenKey>> {
    const { items, next } = listed(await this.#read<OpenKeyRow>("openKeys", openKeysMatching(query)), query.limit);
    return { items: items.map(openKeyOf), ...optional("next", next) };
  }

  async countOpenFailures(_flowId: string, limit: number): Promise<Readonly<Record<string, number>>> {
    const query = openSizes(_flowId);
    const rows = await this.#read<{ readonly import_id: string; readonly size: number }>("countOpenFailures", query);
    return Object.fromEntries(rows.map(({ import_id, size }) => [import_id, Math.min(size, limit)]));
  }

  async dueRetries(until: number, limit: number): Promise<readonly DueRetry[]> {
    const query = retriesDue(until, limit);
    const rows = await this.#read<{ readonly flow_id: string; readonly import_id: string }>("dueRetries", query);
    return rows.map(({ flow_id, import_id }) => ({ _flowId: flow_id, _importId: import_id }));
  }

  async nextRetryAt(after: number): Promise<number | undefined> {
    const [row] = await this.#read<{ readonly retry_at: number }>("nextRetryAt", earliestRetry(after));
    return row?.retry_at;
  }

  appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult> {
    return this.#write("appendInbox", () => appendInbox(arrival, rule));
  }

  async readInbox(_flowId: string, query: InboxQuery): Promise<readonly InboxPage[]> {
    const { _importId, after, maxRecords } = query;
    const place = placeOf(after, 0);
    // Pages come at the end, and only the caller takes any away: so all of these see the same ones.
    const through = lastPageFor(maxRecords, await this.#read("readInbox", inboxSizes(_flowId, place, maxRecords)));
    if (through === undefined) return [];
    const drops = await this.#read<DropRow>("readInbox", inboxDrops(_flowId, place, through));
    const rows = await this.#read<InboxRow>("readInbox", inboxPages(_flowId, place, through));
    const pages = rows.map((row) => inboxPageOf(row, drops));
    if (_importId === undefined) return pages;
    const wanted = pages.filter(({ droppedFor }) => droppedFor?.includes(_importId) !== true);
    // Nothing but dropped pages: what comes after them may not have been dropped.
    return wanted.length > 0 ? wanted : this.readInbox(_flowId, { ...query, after: String(through) });
  }

  dropInbox(_flowId: string, change: InboxDrop): Promise<readonly string[]> {
    return this.#write("dropInbox", () => dropInbox(_flowId, change));
  }

  async unreadInboxes(limit: number, after?: string): Promise<readonly string[]> {
    const rows = await this.#read<{ id: string }>("unreadInboxes", flowsUnread(limit, after));
    return rows.map(({ id }) => id);
  }

  claimDuty(claim: DutyClaim): Promise<boolean> {
    return this.#write("claimDuty", () => claimDuty(claim));
  }

  releaseDuty(duty: Duty): Promise<void> {
    return this.#write("releaseDuty", () => releaseDuty(duty));
  }

  // `prepare` takes out of the arguments what the script needs, now: their owner may change them afterwards.
  async #write<T>(operation: string, prepare: () => Transaction<T>): Promise<T> {
    return this.#guard(operation, () => this.#database.runTransaction(prepare()));
  }

  async #read<Row>(operation: string, query: Statement): Promise<readonly Row[]> {
    return (await this.#guard(operation, () => this.#database.query(query))) as readonly Row[];
  }

  // Rows of several statements, as if they were one's.
  async #readAll<Row extends { readonly seq: number }>(
    operation: string,
    queries: readonly Statement[],
  ): Promise<readonly Row[]> {
    const rows: Row[] = [];
    for (const query of queries) rows.push(...(await this.#read<Row>(operation, query)));
    return queries.length === 1 ? rows : rows.sort((one, other) => one.seq - other.seq);
  }

  async #guard<T>(operation: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw isPoundlockError(error) ? error : new StorageFailedError(operation, error);
    }
  }
}

function listed<T extends { readonly seq: number }>(rows: readonly T[], limit: number): ListResult<T> {
  const items = rows.slice(0, limit);
  const last = rows.length > limit ? items.at(-1)?.seq : undefined;
  return { items, ...optional("next", last === undefined ? undefined : String(last)) };
}
