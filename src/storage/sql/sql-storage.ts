import { StorageFailedError, isPoundlockError } from "../../errors.ts";
import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow.ts";
import type { Run, RunStart } from "../../model/run.ts";
import { failureById, failuresMatching, resolveFailures } from "./failures.ts";
import {
  checkpointById,
  deleteFlow,
  earliestDue,
  flowById,
  flowsDue,
  flowsMatching,
  insertFlow,
  replaceFlow,
  setCheckpoint,
} from "./flows.ts";
import { type InboxRow, appendInbox, flowsUnread, inboxPageOf, inboxPages, inboxSizes, lastPageFor } from "./inbox.ts";
import { commitPage, endRun, flowsWaiting, releaseRun, renewLeases, reclaimExpiredRuns, claimRun } from "./leases.ts";
import type { Transaction, SqlDatabase, Statement } from "./database.ts";
import { optional, own, placeOf } from "../documents.ts";
import { type FailureRow, type FlowRow, checkpointOf, failureOf, flowOf, runOf } from "./rows.ts";
import { cancelRun, prune, queueDue, queueRun, runById, runsMatching } from "./runs.ts";
import type {
  AppendInboxResult,
  Arrival,
  DeleteFlowResult,
  QueueDueResult,
  EndRunResult,
  FailureQuery,
  FlowChange,
  FlowQuery,
  RunLease,
  InboxPage,
  InboxQuery,
  InboxRule,
  Lease,
  ListResult,
  OverlapRule,
  PageCommit,
  PruneRule,
  QueueRunResult,
  ReplaceFlowResult,
  RunEnding,
  RunQuery,
  Storage,
  StorageCapabilities,
  StoredCheckpoint,
  ReclaimRule,
  ClaimedRun,
  Tick,
} from "../storage.ts";

/** Keeps everything in an SQL database: each method one transaction, or one query. Made by who adapts a database. */
export class SqlStorage implements Storage {
  readonly capabilities: StorageCapabilities = Object.freeze({ durable: true, shared: true });
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  async close(): Promise<void> {
    await this.#guard("close", () => this.#database.close());
  }

  insertFlow(flow: Flow): Promise<boolean> {
    return this.#write("insertFlow", () => insertFlow(flow));
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

  async dueFlows(until: number, limit: number): Promise<readonly Flow[]> {
    return (await this.#read<FlowRow>("dueFlows", flowsDue(until, limit))).map(flowOf);
  }

  async nextDueAt(): Promise<number | undefined> {
    const [row] = await this.#read<{ due_at: number }>("nextDueAt", earliestDue());
    return row?.due_at;
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

  cancelRun(_id: string, at: number): Promise<Run | undefined> {
    return this.#write("cancelRun", () => cancelRun(_id, at));
  }

  prune(rule: PruneRule): Promise<number> {
    return this.#write("prune", () => prune(own(rule)));
  }

  claimRun(_flowId: string, lease: Lease): Promise<ClaimedRun | undefined> {
    return this.#write("claimRun", () => claimRun(_flowId, lease));
  }

  renewLeases(leases: readonly RunLease[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]> {
    return this.#write("renewLeases", () => renewLeases(own(leases), until));
  }

  commitPage(lease: RunLease, page: PageCommit): Promise<Run | undefined> {
    return this.#write("commitPage", () => commitPage(lease, page));
  }

  endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined> {
    return this.#write("endRun", () => endRun(lease, ending));
  }

  releaseRun(lease: RunLease): Promise<Run | undefined> {
    return this.#write("releaseRun", () => releaseRun(lease));
  }

  reclaimExpiredRuns(rule: ReclaimRule): Promise<readonly Run[]> {
    return this.#write("reclaimExpiredRuns", () => reclaimExpiredRuns(rule));
  }

  async waitingFlows(limit: number, after?: string): Promise<readonly string[]> {
    const rows = await this.#read<{ flow_id: string }>("waitingFlows", flowsWaiting(limit, after));
    return rows.map(({ flow_id }) => flow_id);
  }

  async findCheckpoint(_flowId: string): Promise<StoredCheckpoint | undefined> {
    const [row] = await this.#read<{ value: string; version: number }>("findCheckpoint", checkpointById(_flowId));
    return row === undefined ? undefined : checkpointOf(row.value, row.version);
  }

  setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined): Promise<boolean> {
    return this.#write("setCheckpoint", () => setCheckpoint(_flowId, checkpoint));
  }

  async findFailure(_id: string): Promise<Failure | undefined> {
    const [row] = await this.#read<FailureRow>("findFailure", failureById(_id));
    return row === undefined ? undefined : failureOf(row);
  }

  async listFailures(query: FailureQuery): Promise<ListResult<Failure>> {
    const parts: FailureRow[] = [];
    for (const part of failuresMatching(query)) parts.push(...(await this.#read<FailureRow>("listFailures", part)));
    const { items, next } = listed(
      parts.sort((one, other) => one.seq - other.seq),
      query.limit,
    );
    return { items: items.map(failureOf), ...optional("next", next) };
  }

  resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]> {
    return this.#write("resolveFailures", () => resolveFailures(_ids, at));
  }

  appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult> {
    return this.#write("appendInbox", () => appendInbox(arrival, rule));
  }

  async readInbox(_flowId: string, { after, maxRecords }: InboxQuery): Promise<readonly InboxPage[]> {
    const place = placeOf(after, 0);
    // Pages come at the end, and only who asks here takes any away: so both queries see the same ones.
    const sizes = inboxSizes(_flowId, place, maxRecords);
    const through = lastPageFor(maxRecords, await this.#read("readInbox", sizes));
    if (through === undefined) return [];
    return (await this.#read<InboxRow>("readInbox", inboxPages(_flowId, place, through))).map(inboxPageOf);
  }

  async unreadInboxes(limit: number, after?: string): Promise<readonly string[]> {
    const rows = await this.#read<{ id: string }>("unreadInboxes", flowsUnread(limit, after));
    return rows.map(({ id }) => id);
  }

  // `prepare` takes out of the arguments what the script needs, now: their owner may change them afterwards.
  async #write<T>(operation: string, prepare: () => Transaction<T>): Promise<T> {
    return this.#guard(operation, () => this.#database.runTransaction(prepare()));
  }

  async #read<Row>(operation: string, query: Statement): Promise<readonly Row[]> {
    return (await this.#guard(operation, () => this.#database.query(query))) as readonly Row[];
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
