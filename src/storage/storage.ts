import type { Failure, FailureStatus, Fault } from "../model/failure.ts";
import type { Flow } from "../model/flow.ts";
import type { PlaceChange, Places, StoredCheckpoint } from "../model/place.ts";
import type { Counts, ImportStatus, Run, RunError, RunStart, RunStatus, Trigger } from "../model/run.ts";

export type { ImportPlace, ImportPosition, PlaceChange, Places, StoredCheckpoint } from "../model/place.ts";

/**
 * What must outlive a run. Promises of every method:
 * it is atomic, all or nothing, also against other processes sharing the backend;
 * it depends on its arguments and the stored state alone (times, ids and tokens are given, never made here);
 * what it is given is copied, unless it is frozen already and so taken as frozen all the way down;
 * documents, records and checkpoints that it returns are frozen all the way down;
 * it rejects with `storage_failed`, the backend's error as `cause`, if the backend does, and repeating the same call
 * after such an uncertain result is harmless.
 * Instants are epoch milliseconds; documents carry ISO 8601 UTC.
 */
export interface Storage extends FlowStorage, RunStorage, LeaseStorage, PlaceStorage, FailureStorage, InboxStorage {
  /** Decides which conformance cases apply. */
  readonly capabilities: StorageCapabilities;
  /** Releases connections and files. Closing twice is allowed. */
  close(): Promise<void>;
}

/** What a storage can do beyond the contract. */
export interface StorageCapabilities {
  /** What was written is still there when the process has died and the storage is opened again. */
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
  /** A `next` returned before. */
  readonly after?: string;
}

/** Which flows exist and when each is due next. */
export interface FlowStorage {
  /** Adds a flow; false, and nothing is changed, if the id is taken. */
  insertFlow(flow: Flow, hidden?: FlowHidden): Promise<boolean>;
  /** Undefined if there is none. */
  findFlow(_id: string): Promise<Flow | undefined>;
  /** By ascending `_id`, code point by code point or UTF-16 unit by unit. A flow that is there all the while is listed exactly once. */
  listFlows(query: FlowQuery): Promise<ListResult<Flow>>;
  /**
   * Replaces the flow if its `lastModified` is still `expected`. `nextRunAt` stays as stored unless `reschedule` is
   * true, and `lastExecutedAt` always does. If the new flow is disabled its waiting runs become canceled, at `at`.
   *
   * If the export is another one: `unread`, and nothing is changed, while the inbox holds pages; otherwise the imports
   * lose their places and pauses, so that they begin anew, and waiting runs that have begun become canceled. Open
   * failures stay as they are.
   *
   * An import that is added gets the checkpoint (not the position) of the import whose place was moved last, and all
   * of the inbox so far counts as settled for it. An import that is removed loses its place, and its open failures
   * become resolved as `removed`.
   */
  replaceFlow(flow: Flow, change: FlowChange): Promise<ReplaceFlowResult>;
  /**
   * Removes the flow with its places, inbox and open failures, if its `lastModified` is `expected` (or that is
   * absent). Waiting runs become canceled and an active one canceling, at `at`; ended runs and resolved failures stay.
   * A new flow with the same id begins from nothing, and the run that is still canceling does not touch it.
   */
  deleteFlow(_id: string, change: { readonly expected?: string; readonly at: number }): Promise<DeleteFlowResult>;
  /**
   * Enabled flows whose `nextRunAt` is at or before `until`, the earliest first, those that are due together in an order
   * that stays the same; only those after `after`, the last one of an earlier call, at most `limit`.
   */
  dueFlows(until: number, limit: number, after?: DuePlace): Promise<readonly Flow[]>;
  /** The earliest `nextRunAt` of all enabled flows. */
  nextDueAt(): Promise<number | undefined>;
  /** Enabled flows with a schedule, by ascending `_id` after `after`, at most `limit`, each with what its due time was computed from. */
  scheduledFlows(limit: number, after?: string): Promise<readonly ScheduledFlow[]>;
  /** Moves due times that are still as expected, for flows that are still enabled; the others are left as they are. */
  rescheduleFlows(changes: readonly DueTimeChange[]): Promise<void>;
}

/** What is kept with a flow and is no part of its document. */
export interface FlowHidden {
  /** What `nextRunAt` was computed from. */
  readonly basis?: string;
}

/** Absent filters match everything; `_importId` matches any of a flow's imports. */
export interface FlowQuery extends Paging {
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly _exportId?: string;
  readonly _importId?: string;
  readonly disabled?: boolean;
  /** The group under which `defineAll` wrote them. */
  readonly group?: string;
}

/** How a flow is replaced. An absent `basis` stays as stored. */
export interface FlowChange extends FlowHidden {
  /** The `lastModified` that the stored flow must still have. */
  readonly expected: string;
  /** True: `nextRunAt` is the new flow's. False: it stays as stored. */
  readonly reschedule: boolean;
  /** When its waiting runs end, and the failures of removed imports are resolved. */
  readonly at: number;
}

/** `stale`: `lastModified` had moved. `unread`: another export, while the inbox holds pages. `flow` is what is stored now. */
export type ReplaceFlowResult =
  | { readonly outcome: "replaced"; readonly flow: Flow; readonly canceled: readonly Run[] }
  | { readonly outcome: "missing" | "stale" }
  | { readonly outcome: "unread"; readonly pages: number };

/** What went with the flow. `active` is the run that is canceling now. */
export type DeleteFlowResult =
  | { readonly outcome: "deleted"; readonly flow: Flow; readonly canceled: readonly Run[]; readonly active?: Run }
  | { readonly outcome: "missing" | "stale" };

/** A place in the order in which flows are due. */
export interface DuePlace {
  readonly dueAt: number;
  readonly _flowId: string;
}

/** A flow with a schedule, and what its due time was computed from. */
export interface ScheduledFlow {
  readonly flow: Flow;
  readonly basis?: string;
}

/** A due time computed anew. */
export interface DueTimeChange {
  readonly _flowId: string;
  /** The due time it has now; undefined: none. */
  readonly expected: number | undefined;
  /** Undefined: never again. */
  readonly dueAt: number | undefined;
  readonly basis: string;
}

/** The queues and the history. */
export interface RunStorage {
  /**
   * Adds a run at the end of its flow's queue. `full`: `maxQueued` runs wait already. With the id of a stored run it
   * adds nothing and returns that run. A `resume` run is not added while another run waits that will read for every
   * import: `waiting`, with that run; neither is a `retry` run with `auto` while a retry run for the same import waits.
   */
  queueRun(start: RunStart, limits: { readonly maxQueued: number }): Promise<QueueRunResult>;
  /**
   * For each tick whose flow is enabled and still due at `tick.dueAt`: moves its `nextRunAt` to `tick.nextDueAt` and
   * queues, coalesces or skips as `rule.overlap` says. Otherwise `taken`: another process was first. Results in order.
   * A due time that the flow has a run for gets no second one, when a clock that was set back shows it again.
   */
  queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly QueueDueResult[]>;
  /** Undefined if there is none. */
  findRun(_id: string): Promise<Run | undefined>;
  /** Newest first, by the order in which they were queued. A run that is there all the while is listed exactly once. */
  listRuns(query: RunQuery): Promise<ListResult<Run>>;
  /**
   * A waiting run becomes canceled, a running one canceling; one that has ended stays as it is. Undefined if there is
   * none. `discard`: the positions of its flow's imports are given up when it is canceled; their checkpoints stay.
   */
  cancelRun(_id: string, change: { readonly at: number; readonly discard?: boolean }): Promise<Run | undefined>;
  /**
   * Removes ended runs that are not among the newest `runsPerFlow` of their flow, waiting and active ones counted
   * in; ended runs and resolved failures from before `endedBefore`; at most `limit` documents. Returns how many; 0
   * means that none is left to remove.
   */
  prune(rule: PruneRule): Promise<number>;
}

/** `missing`: there is no such flow. `full`: `maxQueued` runs of it wait. `waiting`: `run` waits already and will do. */
export type QueueRunResult =
  { readonly outcome: "queued" | "waiting"; readonly run: Run } | { readonly outcome: "missing" | "disabled" | "full" };

/** A flow that is due. */
export interface Tick {
  readonly _flowId: string;
  /** The `nextRunAt` this tick was made from. */
  readonly dueAt: number;
  /** Undefined: never again. */
  readonly nextDueAt: number | undefined;
  /** What `nextDueAt` was computed from; absent: as stored. */
  readonly basis?: string;
  /** The run to queue; absent if the due time is too old to be caught up. */
  readonly start?: RunStart;
}

/**
 * What a due time does that finds a run waiting or running. `bufferOne`: folded into the newest scheduled, catch-up or
 * chained run that waits and has never begun, or else a run of its own. `bufferAll`: a run of its own, up to
 * `maxQueued` waiting, then as bufferOne. `skip`: nothing, but it is counted on the active run, or else on the oldest
 * that waits.
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

/** The right to run a run: at most one active run per flow, and only the holder of its token can change it. */
export interface LeaseStorage {
  /**
   * Starts the flow's oldest waiting run under `lease`. Undefined if a run of the flow is active, the flow is disabled
   * or none waits; `{ notBefore }` if that run waits for a later instant than `lease.at`: then the whole flow waits with
   * it. The run's `startedAt` and the flow's `lastExecutedAt` become `lease.at`. Asked again with the same token it
   * returns the same run.
   */
  claimRun(_flowId: string, lease: Lease): Promise<ClaimRunResult>;
  /** For each: prolongs the lease to `until`. `canceling`: prolonged, but the run is to be canceled. `lost`: not yours. */
  renewLeases(leases: readonly RunLease[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]>;
  /**
   * Settles one page, or a part of one, in one transaction: counts, places, failures and the run's own position, if the
   * token holds the run and `ordinal` is one more than its last commit's. The last commit, again, is answered without
   * changing anything. If the flow was deleted, only the counts are kept. Undefined: the lease is lost, or the ordinal
   * is another one, and nothing changed.
   *
   * One open failure per flow, export, import and key: a failure under the key of an open one replaces its record,
   * message and times in place, under the id it has, and `occurrences` goes up by one; unless both have a version
   * and the stored one is newer: then only `occurrences` and `lastFailedAt` change. A failure that carries the id of a stored one that was resolved since
   * leaves it resolved. Inbox pages that every import of the flow has settled are removed.
   */
  commitPage(lease: RunLease, page: PageCommit): Promise<CommitResult | undefined>;
  /**
   * Ends the run, moves places and gives the lease up; in the same transaction queues the runs that follow from it.
   * Again with the same token: the same result, and nothing else. Undefined: the lease is lost.
   */
  endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined>;
  /**
   * Gives a running run back to the head of its queue, resumable; not to be claimed before `notBefore`, and with
   * `waits` on its document, if they are given. Undefined: the lease is lost, or it is canceling.
   */
  releaseRun(lease: RunLease, change?: RunRelease): Promise<Run | undefined>;
  /**
   * Reclaims runs whose lease ran out at or before `now`, and those of `unchanged` whose lease still ends at the
   * instant given: a running one waits again at the head of its queue, or fails with `error` if it has crashed more
   * than `maxCrashes` times since its last commit; a canceling one is canceled. At most `limit`.
   */
  reclaimExpiredRuns(rule: ReclaimRule): Promise<readonly Run[]>;
  /** The leases of active runs, by ascending run id after `after`, at most `limit`. */
  listLeases(limit: number, after?: string): Promise<readonly LeaseEnd[]>;
  /**
   * Enabled flows that have waiting runs and no active one, by ascending id after `after`, at most `limit`; with the
   * instant before which nothing of it is to be claimed, if there is one.
   */
  waitingFlows(limit: number, after?: string): Promise<readonly WaitingFlow[]>;
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

/** How a run waits that is given back. */
export interface RunRelease {
  readonly notBefore?: number;
  readonly waits?: number;
}

/** Whose run it is. */
export interface RunLease {
  readonly _runId: string;
  readonly token: string;
}

/** When a run's lease runs out. */
export interface LeaseEnd {
  readonly _runId: string;
  readonly until: number;
}

/** A flow whose runs wait. */
export interface WaitingFlow {
  readonly _flowId: string;
  readonly notBefore?: number;
}

/** A run that is claimed; or the instant before which none of the flow is; or undefined: there is none to claim. */
export type ClaimRunResult = ClaimedRun | { readonly notBefore: number } | undefined;

/** A run that is now running, and all that is needed to execute it. */
export interface ClaimedRun {
  readonly run: Run;
  readonly flow: Flow;
  /** Commits of this run so far. */
  readonly commits: number;
  /** Where a run with a position of its own got to before; absent if it begins, or has none. */
  readonly position?: RunPosition;
  /** Where each import of the flow stands, by `_importId`; an import without an entry begins. */
  readonly places: Places;
}

/** How far a run has got that moves no import's place (retry, sample and backfill runs), for itself to resume. */
export interface RunPosition {
  /** Pages of the run up to and including the checkpoint's. */
  readonly pages: number;
  /** Absent: this run has committed no checkpoint of its own. */
  readonly checkpoint?: StoredCheckpoint;
  /** Imports that have settled the page after it already. */
  readonly ahead?: readonly string[];
  /** Imports that have nothing more to get from this run. */
  readonly through?: readonly string[];
}

/** A page, or the part of one that some imports have settled. */
export interface PageCommit {
  /** 1 for the run's first commit. */
  readonly ordinal: number;
  /** When it is made. */
  readonly at: number;
  /** Replaces `numPagesGenerated`. */
  readonly generated: number;
  /** Added to `numPagesProcessed`: pages that no import has left to settle, 0 or more. */
  readonly processed: number;
  /** What each import that settled it made of it. */
  readonly counts: Readonly<Record<string, Counts>>;
  /** Where imports stand now. Each import at most once. */
  readonly places: readonly PlaceChange[];
  /** Replaces the run's own position. */
  readonly position?: RunPosition;
  /** Records that failed, at most one for each import and key. */
  readonly failures: readonly Failure[];
  /** Failures that a retry delivered; they are removed, whatever became of them meanwhile. */
  readonly delivered: readonly string[];
  /** Open failures whose key this page delivered, or ignored; they become resolved by `delivery`. */
  readonly superseded: readonly string[];
}

/** A page that is committed. */
export interface CommitResult {
  readonly run: Run;
  /** The commit's failures as they are stored: under the id of the open one they were folded into, if there was one. */
  readonly failures: readonly Failure[];
}

/** How a run ends. */
export interface RunEnding {
  /** A run that is canceling becomes canceled, whatever this says. */
  readonly status: "completed" | "failed" | "canceled";
  readonly at: number;
  /** Kept if the run becomes failed. */
  readonly error?: RunError;
  /** How each import came out of it. */
  readonly imports: Readonly<Record<string, ImportEnding>>;
  /** Where imports stand now; left out if the flow was deleted. */
  readonly places: readonly PlaceChange[];
  /** A `resume` run for imports that are behind; queued as `queueRun` does, unless the run becomes canceled. */
  readonly resume?: RunStart;
  /**
   * Chained runs, queued if the run becomes completed: folded into a scheduled, catch-up or chained run that waits and
   * has never begun, skipped if the flow is gone, disabled or has `maxQueued` runs waiting.
   */
  readonly next?: { readonly starts: readonly RunStart[]; readonly maxQueued: number };
}

/** How one import came out of a run. */
export interface ImportEnding {
  readonly status: ImportStatus;
  readonly error?: RunError;
}

/** A run that has ended. */
export interface EndRunResult {
  readonly run: Run;
  /** More runs of the flow wait. */
  readonly more: boolean;
  /** The `resume` run that was queued, if it was. */
  readonly resume?: Run;
  /** What became of each start of `ending.next`, in order; empty if the run did not become completed, or asked again. */
  readonly next: readonly ChainResult[];
}

/** `skipped`: the flow is gone, disabled or its queue is full. */
export type ChainResult =
  | { readonly outcome: "queued" | "coalesced"; readonly run: Run }
  | { readonly outcome: "skipped"; readonly _flowId: string };

/** Which runs are reclaimed, and what becomes of them. */
export interface ReclaimRule {
  /** Leases up to and including this instant have run out. */
  readonly now: number;
  /** Leases that have run out by the observer's own clock, whatever instant they name, if they still name it. */
  readonly unchanged?: readonly LeaseEnd[];
  /** How often a run may crash and wait again, without a commit in between; 0 or more. */
  readonly maxCrashes: number;
  /** The error of a run that crashed more often. */
  readonly error: RunError;
  /** Runs reclaimed in one call; 1 or more. */
  readonly limit: number;
}

/** Where the imports of flows stand. Moved by commits; changed by hand only while no run of the flow reads. */
export interface PlaceStorage {
  /** By `_importId`; empty if there is no such flow or nothing was committed. */
  findPlaces(_flowId: string): Promise<Places>;
  /**
   * Sets the checkpoint (undefined: from the start) of these imports and gives up their positions; they are no longer
   * behind. False, and nothing changed, if there is no such flow, or a run of it is active or waits to be resumed.
   */
  setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined, change: CheckpointChange): Promise<boolean>;
  /** Ends the pauses of these imports now. Returns the ids of those that were paused. */
  endPauses(_flowId: string, _importIds: readonly string[]): Promise<readonly string[]>;
  /** Enabled flows with an import whose pause ends by itself at or before `until`, by ascending id after `after`, at most `limit`. */
  resumableFlows(until: number, limit: number, after?: string): Promise<readonly string[]>;
  /** The earliest instant after `after` at which the pause of an import of an enabled flow ends by itself. */
  nextResumeAt(after: number): Promise<number | undefined>;
}

/** How checkpoints are set. */
export interface CheckpointChange {
  readonly _importIds: readonly string[];
  readonly at: number;
}

/** Records that an import did not take. They are stored, and removed, by commits. */
export interface FailureStorage {
  /** Undefined if there is none. */
  findFailure(_id: string): Promise<Failure | undefined>;
  /**
   * In the order they were first stored. A failure that is there all the while is listed exactly once. A record reads
   * back deeply equal: dates, maps, sets, big integers and bytes (Uint8Array, Buffer) included.
   */
  listFailures(query: FailureQuery): Promise<ListResult<Failure>>;
  /** Marks open failures as resolved by a person at `at`; returns those that were open, each once. */
  resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]>;
  /**
   * Gives an open failure another record; the first one is kept as `original`. Undefined if there is none, or it is
   * not open.
   */
  editFailure(_id: string, change: { readonly record: unknown; readonly at: number }): Promise<Failure | undefined>;
  /** The keys of open failures of one export at one import, in the order they were first stored. */
  openKeys(query: OpenKeyQuery): Promise<ListResult<OpenKey>>;
  /** Open failures of a flow at each of its imports, counted up to `limit`. Imports without any are left out. */
  countOpenFailures(_flowId: string, limit: number): Promise<Readonly<Record<string, number>>>;
  /**
   * Flows and imports with open failures whose `retryAt` is at or before `until`, at most `limit`. Left out: disabled
   * flows, paused imports, and failures of an export that the flow no longer uses.
   */
  dueRetries(until: number, limit: number): Promise<readonly DueRetry[]>;
  /** The earliest `retryAt` after `after` of all open failures. */
  nextRetryAt(after: number): Promise<number | undefined>;
}

/** Absent filters match everything. */
export interface FailureQuery extends Paging {
  readonly _ids?: readonly string[];
  readonly _flowId?: string;
  readonly _exportId?: string;
  readonly _importId?: string;
  readonly _runId?: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly status?: FailureStatus;
  readonly fault?: Fault;
  /** The whole key. */
  readonly key?: string;
  /** Those whose `retryAt` is at or before this instant. */
  readonly retryUntil?: number;
}

/** Whose keys are wanted. */
export interface OpenKeyQuery extends Paging {
  readonly _flowId: string;
  readonly _exportId: string;
  readonly _importId: string;
}

/** An open failure without its record. */
export interface OpenKey {
  readonly _id: string;
  readonly key: string;
  readonly version?: string | number;
}

/** Failures that are to be sent again. */
export interface DueRetry {
  readonly _flowId: string;
  readonly _importId: string;
}

/** Records that arrived in real time and wait for a run. */
export interface InboxStorage {
  /**
   * Adds the page to the inbox of each flow of `arrival.starts` that is there, enabled and uses the export, without
   * the records whose event id it saw at or after `dedupeAfter`; and queues the flow's start, unless a `realtime` run
   * that has not begun waits already, nothing is unread, or every import with unread pages is paused. The flow's
   * failures of `arrival.failures` are stored with it, as a commit stores them. All or none: `full` if any of the
   * inboxes holds `maxInboxPages`.
   */
  appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult>;
  /**
   * The oldest pages after the cursor `after`, whole, until there are `maxRecords` or more, or about 16 MB. With
   * `_importId`, pages that were dropped for that import are left out.
   */
  readInbox(_flowId: string, query: InboxQuery): Promise<readonly InboxPage[]>;
  /**
   * Gives pages up, for one import or for all; a page that no import is left to settle is removed. Returns the ids of
   * those pages that were there.
   */
  dropInbox(_flowId: string, change: InboxDrop): Promise<readonly string[]>;
  /**
   * Ids, ascending, of enabled flows whose inbox holds pages that an import which is not paused has not settled, and
   * which have no waiting or active `realtime` run.
   */
  unreadInboxes(limit: number, after?: string): Promise<readonly string[]>;
}

/** One page that arrived. */
export interface Arrival {
  /** The page's own id; while it waits, the same id is not added again, nor refused as too many. */
  readonly _id: string;
  readonly _exportId: string;
  /** May be empty if there are `failures`: then nothing is added to an inbox. */
  readonly records: readonly unknown[];
  /** One event id a record, or none at all. */
  readonly ids?: readonly string[];
  readonly at: number;
  /** One for each flow that is to get it. */
  readonly starts: readonly RunStart[];
  /** Records that could not be taken in, as failures of each import of each flow. */
  readonly failures?: readonly Failure[];
}

/** What an inbox takes in. */
export interface InboxRule {
  /** Pages that may wait in it; 1 or more. */
  readonly maxInboxPages: number;
  /** Event ids seen at or after this instant are known. */
  readonly dedupeAfter: number;
}

/** `full`: the inbox of `_flowId` is, because of `_importId`, which has the most to settle; nothing was added to any. */
export type AppendInboxResult =
  | { readonly outcome: "full"; readonly _flowId: string; readonly _importId: string }
  | { readonly outcome: "appended"; readonly flows: readonly AppendInboxFlowResult[] };

/** What one flow made of an arrival. */
export interface AppendInboxFlowResult {
  readonly _flowId: string;
  /** Records left out because their event id is known. */
  readonly duplicates: number;
  /** Pages that its inbox holds now. */
  readonly pages: number;
  /** The run that was queued for it, if one was. */
  readonly run?: Run;
}

/** Where reading an inbox goes on, and how much of it is wanted. */
export interface InboxQuery {
  /** The cursor of an entry; absent: from the oldest on. */
  readonly after?: string;
  /** 1 or more. */
  readonly maxRecords: number;
  readonly _importId?: string;
}

/** A page as it waits. */
export interface InboxPage {
  /** The arrival's id. */
  readonly _id: string;
  /** Its place in the inbox, for `after` and for a place's `inbox`. */
  readonly cursor: string;
  /** When it arrived. */
  readonly at: number;
  readonly records: readonly unknown[];
  /** `keys[i]` identifies `records[i]`: its event id, or the arrival's id and its place in it. */
  readonly keys: readonly string[];
  /** Imports for which it was dropped; absent: none. */
  readonly droppedFor?: readonly string[];
}

/** Which pages are given up, and for whom. */
export interface InboxDrop {
  readonly _ids: readonly string[];
  /** Absent: for all imports of the flow. */
  readonly _importId?: string;
}
