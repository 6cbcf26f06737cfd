import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Run, RunStart } from "../../model/run.ts";
import {
  type OpenKeyRow,
  earliestRetry,
  editFailure,
  failureById,
  openKeyOf,
  openKeysMatching,
  openSizes,
  resolveFailures,
  retriesDue,
} from "./failures.ts";
import { deleteFlow, purgeFlows } from "./deletion.ts";
import { earliestDue, flowById, flowsDue, flowsScheduled, insertFlow, replaceFlow, rescheduleFlows } from "./flows.ts";
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
  setAside,
} from "./inbox.ts";
import {
  type WaitingRow,
  claimRun,
  commitPage,
  endRun,
  endWait,
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
import { type SharedParts, guarded } from "./processes/process-storage.ts";
import type { Transaction, SqlDatabase, Statement } from "./database.ts";
import { optional, own, placeOf } from "../documents.ts";
import { type FailureRow, type FlowRow, type RunRow, failureOf, flowOf, runOf } from "./rows.ts";
import { type ReportUnreadable, allReadable, readable } from "./values/unreadable.ts";
import { cancelRun, prune, queueDue, queueRun, runById, runsMatching } from "./runs.ts";
import { listFailureIds, listFailures } from "./search/failure-list.ts";
import { listFlowRows } from "./search/flow-list.ts";
import { SqlTotalsStorage } from "./totals/totals-storage.ts";
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
  EndRunResult,
  FailureIdList,
  FailureList,
  FailureQuery,
  FlowChange,
  FlowDeletion,
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
  UnreadableRow,
  UnreadableRows,
  WaitingFlow,
} from "../storage.ts";

const databases = new WeakMap<Storage, SqlDatabase>();

/** Where a storage keeps everything; undefined if that is no SQL database. */
export function databaseOf(storage: Storage): SqlDatabase | undefined {
  return databases.get(storage);
}

/** Keeps everything in an SQL database: each method one transaction, or one query. An adapter of a database extends it. */
export class SqlStorage extends SqlTotalsStorage implements Storage {
  readonly capabilities: StorageCapabilities = Object.freeze({ durable: true, shared: true });
  readonly unreadable: UnreadableRows = {
    listen: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
  };
  readonly #database: SqlDatabase;
  readonly #listeners = new Set<(row: UnreadableRow) => void>();

  constructor(database: SqlDatabase, parts: SharedParts) {
    super(database, parts);
    this.#database = database;
    databases.set(this, database);
  }

  async close(): Promise<void> {
    await guarded("close", () => this.#database.close());
  }

  /** Closes, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  insertFlow(flow: Flow, hidden: FlowHidden = {}): Promise<boolean> {
    return this.#write("insertFlow", () => insertFlow(flow, hidden));
  }

  async findFlow(_id: string): Promise<Flow | undefined> {
    return this.#firstOf("findFlow", () => this.#read<FlowRow>("findFlow", flowById(_id)), flowOf);
  }

  async listFlows(query: FlowQuery): Promise<ListResult<Flow>> {
    const { next, rows } = await listFlowRows((statement) => this.#read("listFlows", statement), query);
    const items = allReadable(rows, flowOf, this.#report);
    const known = items.length === rows.length ? undefined : new Set(items.map(({ _id }) => _id));
    const unreadable = known && rows.flatMap(({ id }) => (known.has(id) ? [] : id));
    return { items, ...optional("next", next), ...optional("unreadable", unreadable) };
  }

  replaceFlow(flow: Flow, change: FlowChange): Promise<ReplaceFlowResult> {
    return this.#write("replaceFlow", () => replaceFlow(flow, change));
  }

  deleteFlow(_id: string, change: FlowDeletion): Promise<DeleteFlowResult> {
    return this.#write("deleteFlow", () => deleteFlow(_id, change));
  }

  purgeFlows(rule: { readonly limit: number; readonly _flowId?: string }): Promise<boolean> {
    return this.#write("purgeFlows", () => purgeFlows(rule));
  }

  async dueFlows(until: number, limit: number, after?: DuePlace): Promise<readonly Flow[]> {
    const query = (wanted: number, last?: FlowRow) =>
      flowsDue(until, wanted, last === undefined ? after : { dueAt: Number(last.due_at), _flowId: last.id });
    return this.#readEnough("dueFlows", limit, query, flowOf);
  }

  async nextDueAt(): Promise<number | undefined> {
    const [row] = await this.#read<{ due_at: number }>("nextDueAt", earliestDue());
    return instantOf(row?.due_at);
  }

  async scheduledFlows(limit: number, after?: string): Promise<readonly ScheduledFlow[]> {
    type Row = FlowRow & { readonly basis: string | null };
    const query = (wanted: number, last?: Row) => flowsScheduled(wanted, last?.id ?? after);
    return this.#readEnough("scheduledFlows", limit, query, (row: Row) => ({
      flow: flowOf(row),
      ...optional("basis", row.basis ?? undefined),
    }));
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
    return this.#firstOf("findRun", () => this.#read<RunRow>("findRun", runById(_id)), runOf);
  }

  async listRuns(query: RunQuery): Promise<ListResult<Run>> {
    const { items, next } = listed(
      await this.#read<RunRow>("listRuns", runsMatching(query, this.#database.dialect.seek)),
      query.limit,
    );
    return { items: allReadable(items, runOf, this.#report), ...optional("next", next) };
  }

  cancelRun(_id: string, change: { readonly at: number; readonly discard?: boolean }): Promise<Run | undefined> {
    return this.#write("cancelRun", () => cancelRun(_id, { ...change }));
  }

  prune(rule: PruneRule): Promise<number> {
    return this.#write("prune", () => prune(own(rule), this.#database.dialect.agedRuns));
  }

  claimRun(_flowId: string, lease: Lease): Promise<ClaimRunResult> {
    return this.#write("claimRun", () => claimRun(_flowId, lease, this.#report));
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
    return this.#write("reclaimExpiredRuns", () => reclaimExpiredRuns(rule, this.#report));
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
    return guarded("findPlaces", async () => placesOf(await this.#read<PlaceRow>("findPlaces", placesById(_flowId))));
  }

  setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined, change: CheckpointChange): Promise<boolean> {
    return this.#write("setCheckpoint", () => setCheckpoint(_flowId, checkpoint, change));
  }

  endWait(_flowId: string, notBefore: number): Promise<boolean> {
    return this.#write("endWait", () => endWait(_flowId, notBefore));
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
    return instantOf(row?.resume_at);
  }

  async findFailure(_id: string): Promise<Failure | undefined> {
    return this.#firstOf(
      "findFailure",
      () => this.#read<FailureRow>("findFailure", failureById(_id)),
      (row) => failureOf(row, this.#report),
    );
  }

  listFailures(query: FailureQuery): Promise<FailureList> {
    const readAll = (rows: readonly FailureRow[]) =>
      allReadable(rows, (row) => failureOf(row, this.#report), this.#report);
    const parts = { failuresIn: readAll, seek: this.#database.dialect.seek };
    return listFailures((statement) => this.#read("listFailures", statement), query, parts);
  }

  listFailureIds(query: FailureQuery): Promise<FailureIdList> {
    return listFailureIds((statement) => this.#read("listFailureIds", statement), query, this.#database.dialect.seek);
  }

  resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]> {
    return this.#write("resolveFailures", () => resolveFailures(_ids, at));
  }

  editFailure(_id: string, change: { readonly record: unknown; readonly at: number }): Promise<Failure | undefined> {
    return this.#write("editFailure", () => editFailure(_id, change));
  }

  async openKeys(query: OpenKeyQuery): Promise<ListResult<OpenKey>> {
    const { items, next } = listed(await this.#read<OpenKeyRow>("openKeys", openKeysMatching(query)), query.limit);
    return { items: items.map((row) => openKeyOf(row, this.#report)), ...optional("next", next) };
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
    return instantOf(row?.retry_at);
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
    const rows = await this.#read<InboxRow>(
      "readInbox",
      inboxPages(_flowId, { place, through, seek: this.#database.dialect.seek }),
    );
    const pages: InboxPage[] = [];
    for (const row of rows) {
      const page = readable(() => inboxPageOf(row, drops), this.#report);
      if (page === undefined) await this.#write("readInbox", () => setAside(_flowId, row.seq));
      else pages.push(page);
    }
    const wanted = pages.filter(
      ({ droppedFor }) => _importId === undefined || droppedFor?.includes(_importId) !== true,
    );
    // Nothing but pages that were dropped, or cannot be read: what comes after them may be wanted.
    return wanted.length > 0 ? wanted : this.readInbox(_flowId, { ...query, after: String(through) });
  }

  dropInbox(_flowId: string, change: InboxDrop): Promise<readonly string[]> {
    return this.#write("dropInbox", () => dropInbox(_flowId, change));
  }

  async unreadInboxes(limit: number, after?: string): Promise<readonly string[]> {
    const rows = await this.#read<{ id: string }>("unreadInboxes", flowsUnread(limit, after));
    return rows.map(({ id }) => id);
  }

  readonly #report: ReportUnreadable = (error) => {
    const { _id, table } = error;
    for (const listener of this.#listeners) listener({ table, _id, error });
  };

  // Other rows come in the place of those that cannot be read: fewer than `limit` are the last ones.
  async #readEnough<Row, T extends object>(
    operation: string,
    limit: number,
    query: (wanted: number, last?: Row) => Statement,
    read: (row: Row) => T,
  ): Promise<readonly T[]> {
    const items: T[] = [];
    for (let last: Row | undefined; ;) {
      const wanted = limit - items.length;
      const rows = await this.#read<Row>(operation, query(wanted, last));
      items.push(...allReadable(rows, read, this.#report));
      last = rows.at(-1);
      if (rows.length < wanted || items.length >= limit) return items;
    }
  }

  // `prepare` takes out of the arguments what the script needs, now: their owner may change them afterwards.
  async #write<T>(operation: string, prepare: () => Transaction<T>): Promise<T> {
    const result = await guarded(operation, () => this.#database.runTransaction(prepare()));
    if (result !== undefined) this.carriedOut(operation);
    return result;
  }

  async #read<Row>(operation: string, query: Statement): Promise<readonly Row[]> {
    return (await guarded(operation, () => this.#database.query(query))) as readonly Row[];
  }

  // The first row, which the call is about: it is an error if it cannot be read.
  #firstOf<Row, T>(
    operation: string,
    query: () => Promise<readonly Row[]>,
    read: (row: Row) => T,
  ): Promise<T | undefined> {
    return guarded(operation, async () => {
      const [row] = await query();
      return row === undefined ? undefined : read(row);
    });
  }
}

// What was edited by hand may be anything, and a timer for it would never rest.
function instantOf(at: number | undefined): number | undefined {
  return Number.isFinite(at) ? at : undefined;
}

function listed<T extends { readonly seq: number }>(rows: readonly T[], limit: number): ListResult<T> {
  const items = rows.slice(0, limit);
  const last = rows.length > limit ? items.at(-1)?.seq : undefined;
  return { items, ...optional("next", last === undefined ? undefined : String(last)) };
}
