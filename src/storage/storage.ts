import type { Failure, FailureStatus } from "../model/failure.ts";
import type { Flow } from "../model/flow.ts";
import type { Json } from "../model/json.ts";
import type { Counts, Run, RunError, RunStart, RunStatus, Trigger } from "../model/run.ts";

/**
 * What must outlive a run. Promises of every method:
 * it is atomic, all or nothing, also against other processes sharing the backend;
 * it depends on its arguments and the stored state alone (times, ids and tokens are given, never made here);
 * what it is given is copied, unless it is frozen already and so taken as frozen all the way down;
 * documents, records and checkpoints that it answers are frozen all the way down;
 * it rejects with `storage_failed`, the backend's error as `cause`, if the backend does, and repeating the same call
 * after such an uncertain answer is harmless.
 * Instants are epoch milliseconds; documents carry ISO 8601 UTC.
 */
export interface Storage
  extends FlowStorage, RunStorage, LeaseStorage, CheckpointStorage, FailureStorage, InboxStorage {
  /** Decides which conformance cases apply. */
  readonly capabilities: StorageCapabilities;
  /** Releases connections and files. Closing twice is allowed. */
  close(): Promise<void>;
}

/** What a storage can do beyond the contract. */
export interface StorageCapabilities {
  /** What was answered is still there when the process has died and the storage is opened again. */
  readonly durable: boolean;
  /** Several processes may use it at once. */
  readonly shared: boolean;
}

/** A page of a list. */
export interface ListResult<T> {
  readonly items: readonly T[];
  /** To be handed back as `after` for the rest; absent at the end. */
  readonly next?: string;
}

/** Where a list goes on, and how much of it is wanted. */
export interface Paging {
  /** 1 to 1000. */
  readonly limit: number;
  /** A `next` answered before. */
  readonly after?: string;
}

/** Which flows exist and when each is due next. */
export interface FlowStorage {
  /** Adds a flow; false, and nothing is changed, if the id is taken. */
  insertFlow(flow: Flow): Promise<boolean>;
  /** Undefined if there is none. */
  findFlow(_id: string): Promise<Flow | undefined>;
  /** By ascending `_id`, code point by code point or UTF-16 unit by unit. A flow that is there all the while is listed exactly once. */
  listFlows(query: FlowQuery): Promise<ListResult<Flow>>;
  /**
   * Replaces the flow if its `lastModified` is still `expected`. `nextRunAt` stays as stored unless `reschedule` is
   * true, and `lastExecutedAt` always does. If the new flow is disabled its waiting runs become canceled, at `at`.
   */
  replaceFlow(flow: Flow, change: FlowChange): Promise<ReplaceFlowResult>;
  /**
   * Removes the flow with its checkpoint, inbox and open failures, if its `lastModified` is `expected` (or that is
   * absent). Waiting runs become canceled and an active one canceling, at `at`; ended runs and resolved failures stay.
   * A new flow with the same id begins from nothing, and the run that is still canceling does not touch it.
   */
  deleteFlow(_id: string, change: { readonly expected?: string; readonly at: number }): Promise<DeleteFlowResult>;
  /** Enabled flows whose `nextRunAt` is at or before `until`, the earliest first, at most `limit`. */
  dueFlows(until: number, limit: number): Promise<readonly Flow[]>;
  /** The earliest `nextRunAt` of all enabled flows. */
  nextDueAt(): Promise<number | undefined>;
}

/** Absent filters match everything; `_importId` matches any of a flow's imports. */
export interface FlowQuery extends Paging {
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly _exportId?: string;
  readonly _importId?: string;
  readonly disabled?: boolean;
}

/** How a flow is replaced. */
export interface FlowChange {
  /** The `lastModified` that the stored flow must still have. */
  readonly expected: string;
  /** True: `nextRunAt` is the new flow's. False: it stays as stored. */
  readonly reschedule: boolean;
  /** When its waiting runs end, if it is disabled now. */
  readonly at: number;
}

/** `stale`: `lastModified` had moved. `flow` is what is stored now. */
export type ReplaceFlowResult =
  | { readonly outcome: "replaced"; readonly flow: Flow; readonly canceled: readonly Run[] }
  | { readonly outcome: "missing" | "stale" };

/** What went with the flow. `active` is the run that is canceling now. */
export type DeleteFlowResult =
  | { readonly outcome: "deleted"; readonly flow: Flow; readonly canceled: readonly Run[]; readonly active?: Run }
  | { readonly outcome: "missing" | "stale" };

/** The waiting lines and the history. */
export interface RunStorage {
  /**
   * Adds a run at the end of its flow's line. `full`: `maxQueued` runs wait already. With the id of a stored run it
   * adds nothing and answers that run.
   */
  queueRun(start: RunStart, limits: { readonly maxQueued: number }): Promise<QueueRunResult>;
  /**
   * For each tick whose flow is enabled and still due at `tick.dueAt`: moves its `nextRunAt` to `tick.nextDueAt` and
   * queues, coalesces or skips as `rule.overlap` says. Otherwise `taken`: another process was first. Answers in order.
   * A due time that the flow has a run for gets no second one, when a clock that was set back shows it again.
   */
  queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly QueueDueResult[]>;
  /** Undefined if there is none. */
  findRun(_id: string): Promise<Run | undefined>;
  /** Newest first, by the order in which they were queued. A run that is there all the while is listed exactly once. */
  listRuns(query: RunQuery): Promise<ListResult<Run>>;
  /** A waiting run becomes canceled, a running one canceling; one that has ended stays as it is. Undefined if there is none. */
  cancelRun(_id: string, at: number): Promise<Run | undefined>;
  /**
   * Removes ended runs that are not among the newest `runsPerFlow` of their flow, waiting and active ones counted
   * in; ended runs and resolved failures from before `endedBefore`; at most `limit` documents. Answers how many; 0
   * means that none is left to remove.
   */
  prune(rule: PruneRule): Promise<number>;
}

/** `missing`: there is no such flow. `full`: `maxQueued` runs of it wait. */
export type QueueRunResult =
  { readonly outcome: "queued"; readonly run: Run } | { readonly outcome: "missing" | "disabled" | "full" };

/** A flow that is due. */
export interface Tick {
  readonly _flowId: string;
  /** The `nextRunAt` this tick was made from. */
  readonly dueAt: number;
  /** Undefined: never again. */
  readonly nextDueAt: number | undefined;
  /** The run to queue; absent if the due time is too old to be caught up. */
  readonly start?: RunStart;
}

/**
 * What a due time does that finds a run waiting or running. `bufferOne`: folded into the newest scheduled or catch-up
 * run that waits, or else a run of its own. `bufferAll`: a run of its own, up to `maxQueued` waiting, then as
 * bufferOne. `skip`: nothing, but it is counted on the active run, or else on the oldest that waits.
 */
export interface OverlapRule {
  readonly overlap: "bufferOne" | "bufferAll" | "skip";
  readonly maxQueued: number;
}

/**
 * `run` is the new run, or the one that took the due time in, or stood in its way. `passed`: there was none to queue, or
 * the due time had its run before.
 */
export type QueueDueResult =
  | { readonly outcome: "queued" | "coalesced" | "skipped"; readonly run: Run }
  | { readonly outcome: "taken" | "passed" };

/** Absent filters match everything. */
export interface RunQuery extends Paging {
  readonly _flowId?: string;
  readonly _exportId?: string;
  /** One of the run's `imports`. */
  readonly _importId?: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly status?: RunStatus;
  readonly trigger?: Trigger;
}

/** What is removed. */
export interface PruneRule {
  /** Runs that ended, and failures that were resolved, before this instant. */
  readonly endedBefore: number;
  /** The newest that are kept of each flow, those that have not ended included; 1 or more. */
  readonly runsPerFlow: number;
  /** Documents removed in one call; 1 or more. */
  readonly limit: number;
}

/** The right to run a run: at most one active run per flow, and only who leases its token can change it. */
export interface LeaseStorage {
  /**
   * Starts the flow's oldest waiting run under `lease`, unless a run of the flow is active, the flow is disabled or
   * none waits. The run's `startedAt` and the flow's `lastExecutedAt` become `lease.at`. Asked again with the same
   * token it answers the same run.
   */
  claimRun(_flowId: string, lease: Lease): Promise<ClaimedRun | undefined>;
  /** For each: prolongs the lease to `until`. `canceling`: prolonged, but the run is to be canceled. `lost`: not yours. */
  renewLeases(leases: readonly RunLease[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]>;
  /**
   * Settles one page: counts, run position, flow checkpoint, failures and inbox in one transaction, if the token leases
   * the run and `page.ordinal` is the page after the last committed one. The page last committed, again, is answered
   * without changing anything. If the flow was deleted, only the counts are kept. Undefined: the lease is lost, or
   * the page is another one, and nothing changed.
   */
  commitPage(lease: RunLease, page: PageCommit): Promise<Run | undefined>;
  /** Ends the run and gives the lease up. Again with the same token: the same run. Undefined: the lease is lost. */
  endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined>;
  /** Gives a running run back to the head of its line, resumable. Undefined: the lease is lost, or it is canceling. */
  releaseRun(lease: RunLease): Promise<Run | undefined>;
  /**
   * Takes back runs whose lease ran out at or before `now`: a running one waits again at the head of its line, or
   * fails with `error` if it has crashed more than `maxCrashes` times; a canceling one is canceled. At most `limit`.
   */
  reclaimExpiredRuns(rule: ReclaimRule): Promise<readonly Run[]>;
  /** Ids, ascending, of enabled flows that have waiting runs and no active one; after the id `after`, at most `limit`. */
  waitingFlows(limit: number, after?: string): Promise<readonly string[]>;
}

/** A claim on a flow's next run. */
export interface Lease {
  /** New for every claim. */
  readonly token: string;
  /** When the run starts. */
  readonly at: number;
  /** When the lease runs out unless it is renewed. */
  readonly until: number;
}

/** Whose run it is. */
export interface RunLease {
  readonly _runId: string;
  readonly token: string;
}

/** A run that is now running, and all that is needed to run it. */
export interface ClaimedRun {
  readonly run: Run;
  readonly flow: Flow;
  /** Where this run got to before; absent if it begins. */
  readonly position?: RunPosition;
  /** Where the flow's runs resume; absent at the very first. */
  readonly checkpoint?: StoredCheckpoint;
}

/** How far a run got, for itself to resume. */
export interface RunPosition {
  /** Pages of the run up to and including the checkpoint's. */
  readonly pages: number;
  /** Absent: this run has committed no checkpoint of its own. */
  readonly checkpoint?: StoredCheckpoint;
}

/** A checkpoint and the version of its shape. */
export interface StoredCheckpoint {
  readonly value: Json;
  readonly version: number;
}

/** One page, settled. */
export interface PageCommit {
  /** 1 for the run's first. */
  readonly ordinal: number;
  /** Replaces `numPagesGenerated`. */
  readonly generated: number;
  /** What each import made of it. */
  readonly counts: Readonly<Record<string, Counts>>;
  /** Replaces the run's position. */
  readonly position?: RunPosition;
  /** Replaces the flow's checkpoint. */
  readonly checkpoint?: StoredCheckpoint;
  /** New failures, or, with the id of a stored one, its new state. */
  readonly failures: readonly Failure[];
  /** Failures that a retry delivered; they are removed. */
  readonly delivered: readonly string[];
  /** Inbox entries of the flow up to and including this cursor are removed. */
  readonly inboxThrough?: string;
}

/** How a run ends. */
export interface RunEnding {
  /** A run that is canceling becomes canceled, whatever this says. */
  readonly status: "completed" | "failed" | "canceled";
  readonly at: number;
  /** Kept if the run becomes failed. */
  readonly error?: RunError;
  /** Replaces the flow's checkpoint, if the run becomes completed and its flow was not deleted. */
  readonly checkpoint?: StoredCheckpoint;
}

/** A run that has ended. */
export interface EndRunResult {
  readonly run: Run;
  /** More runs of the flow wait. */
  readonly more: boolean;
}

/** Which runs are taken back, and what becomes of them. */
export interface ReclaimRule {
  /** Leases up to and including this instant have run out. */
  readonly now: number;
  /** How often a run may crash and wait again; 0 or more. */
  readonly maxCrashes: number;
  /** The error of a run that crashed more often. */
  readonly error: RunError;
  /** Runs taken back in one call; 1 or more. */
  readonly limit: number;
}

/** Where flows resume. Moved by commits; set by hand only while no run of the flow is active. */
export interface CheckpointStorage {
  /** Undefined if there is none: from the start. */
  findCheckpoint(_flowId: string): Promise<StoredCheckpoint | undefined>;
  /** Undefined as the checkpoint: from the start. False, and nothing changed, if there is no such flow or a run of it is active. */
  setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined): Promise<boolean>;
}

/** Records that an import did not take. They are stored, and removed, by commits. */
export interface FailureStorage {
  /** Undefined if there is none. */
  findFailure(_id: string): Promise<Failure | undefined>;
  /**
   * In the order they were first stored. A failure that is there all the while is listed exactly once. A record reads
   * back deeply equal: dates, maps, sets, big integers and bytes (Uint8Array) included.
   */
  listFailures(query: FailureQuery): Promise<ListResult<Failure>>;
  /** Marks open failures as resolved at `at`; answers those that were open, each once. */
  resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]>;
}

/** Absent filters match everything. */
export interface FailureQuery extends Paging {
  readonly _ids?: readonly string[];
  readonly _flowId?: string;
  readonly _importId?: string;
  readonly _runId?: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly status?: FailureStatus;
}

/** Records that arrived in real time and wait for a run. */
export interface InboxStorage {
  /**
   * Adds the page to the inbox of each flow of `arrival.starts` that is there, enabled and uses the export, without
   * the records whose event id it saw at or after `dedupeAfter`; and queues the flow's start, unless a `realtime` run
   * waits already or the inbox is empty. All or none: `full` if any of the inboxes leases `maxInboxPages`.
   */
  appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult>;
  /** The oldest entries after the cursor `after`, whole pages, until they lease `maxRecords` or more. */
  readInbox(_flowId: string, query: InboxQuery): Promise<readonly InboxPage[]>;
  /** Ids, ascending, of enabled flows whose inbox leases pages and which have no waiting or active `realtime` run. */
  unreadInboxes(limit: number, after?: string): Promise<readonly string[]>;
}

/** One page that arrived. */
export interface Arrival {
  /** The page's own id; while it waits, the same id is not added again, nor refused as too many. */
  readonly _id: string;
  readonly _exportId: string;
  readonly records: readonly unknown[];
  /** One event id a record, or none at all. */
  readonly ids?: readonly string[];
  readonly at: number;
  /** One for each flow that is to get it. */
  readonly starts: readonly RunStart[];
}

/** What an inbox takes in. */
export interface InboxRule {
  /** Pages that may wait in it; 1 or more. */
  readonly maxInboxPages: number;
  /** Event ids seen at or after this instant are known. */
  readonly dedupeAfter: number;
}

/** `full`: the inbox of `_flowId` is, and nothing was added to any. */
export type AppendInboxResult =
  | { readonly outcome: "full"; readonly _flowId: string }
  | { readonly outcome: "appended"; readonly flows: readonly AppendInboxFlowResult[] };

/** What one flow made of an arrival. */
export interface AppendInboxFlowResult {
  readonly _flowId: string;
  /** Records left out because their event id is known. */
  readonly duplicates: number;
  /** The run that was queued for it, if one was. */
  readonly run?: Run;
}

/** Where reading an inbox goes on, and how much of it is wanted. */
export interface InboxQuery {
  /** The cursor of an entry; absent: from the oldest on. */
  readonly after?: string;
  /** 1 or more. */
  readonly maxRecords: number;
}

/** A page as it waits. */
export interface InboxPage {
  /** Its place in the inbox, for `after` and `inboxThrough`. */
  readonly cursor: string;
  readonly records: readonly unknown[];
  /** `keys[i]` identifies `records[i]`: its event id, or the arrival's id and its place in it. */
  readonly keys: readonly string[];
}
