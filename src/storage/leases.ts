import type { Failure } from "../model/failure.ts";
import type { Flow } from "../model/flow/flow.ts";
import type { PlaceChange, Places, StoredCheckpoint } from "../model/place.ts";
import type { Counts, ImportStatus, Run, RunError, RunStart } from "../model/run.ts";

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
   * leaves it resolved. One at an import that the flow has no more is stored as resolved, `removed`. Inbox pages that every import of the flow has settled are removed.
   */
  commitPage(lease: RunLease, page: PageCommit): Promise<CommitResult | undefined>;
  /**
   * Ends the run, moves places and gives the lease up; in the same transaction commits its last page before, if that is
   * given, and queues the runs that follow from it. Again with the same token: the same result, and nothing else.
   * Undefined: the lease is lost, or the page's ordinal is not one more than the last commit's, and nothing changed.
   */
  endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined>;
  /**
   * Gives a running run back to the head of its queue, resumable; not to be claimed before `notBefore`, and with
   * `waits` on its document, if they are given. Undefined: the lease is lost, or it is canceling.
   */
  releaseRun(lease: RunLease, change?: RunRelease): Promise<Run | undefined>;
  /** The flow's run that waits for this instant, its `notBefore`, waits for none any more. False: no run of it does. */
  endWait(_flowId: string, notBefore: number): Promise<boolean>;
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
   * export, and the instant before which nothing of it is to be claimed, if there is one.
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
  /** The run's flow, if it is known: a storage may find the run faster by it. */
  readonly _flowId?: string;
}

/** When a run's lease runs out. */
export interface LeaseEnd {
  readonly _runId: string;
  readonly until: number;
}

/** A flow whose runs wait. */
export interface WaitingFlow {
  readonly _flowId: string;
  readonly _exportId: string;
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

/** How far a run has got, for itself to resume: what the places of its flow's imports do not say. */
export interface RunPosition {
  /** Pages up to and including the checkpoint's; 0 for a run that moves the imports' places. */
  readonly pages: number;
  /** Absent: this run has committed no checkpoint of its own. */
  readonly checkpoint?: StoredCheckpoint;
  /** Imports that have settled the page after it already. */
  readonly ahead?: readonly string[];
  /** Imports that have nothing more to get from this run. */
  readonly through?: readonly string[];
  /** Imports that have left this run, by `_importId`: it reads no more for them, and ends with what is said here. */
  readonly left?: Readonly<Record<string, ImportLeft>>;
  /** Failures of this run so far, by `_importId`; an import without an entry has none. */
  readonly failed?: Readonly<Record<string, FailedCounts>>;
}

/** How an import left a run. */
export interface ImportLeft extends ImportEnding {
  /** The run fails with its error. */
  readonly failsRun?: true;
}

/** What counts for the limits of a run. */
export interface FailedCounts {
  /** Failures under keys that had none open. */
  readonly numNew: number;
  /** Records that were rejected. */
  readonly numRejected: number;
}

/** A page, or the part of one that some imports have settled. */
export interface PageCommit {
  /** 1 for the run's first commit. */
  readonly ordinal: number;
  /** When it is made. */
  readonly at: number;
  /** Replaces `numPagesGenerated`. */
  readonly generated: number;
  /** The export's newest estimate of all its records; absent: as before. */
  readonly total?: number;
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
  /** A last page, of which nothing is to be kept but its counts. Absent: all that the run has read was committed. */
  readonly page?: LastPage;
  /** A `resume` run for imports that are behind; queued as `queueRun` does, unless the run becomes canceled. */
  readonly resume?: RunStart;
  /**
   * Chained runs, queued if the run becomes completed: folded into a scheduled, catch-up or chained run that waits and
   * has never begun, skipped if the flow is gone, disabled or has `maxQueued` runs waiting.
   */
  readonly next?: { readonly starts: readonly RunStart[]; readonly maxQueued: number };
}

/** A page that is committed with the run's end. */
export type LastPage = Pick<PageCommit, "ordinal" | "generated" | "total" | "processed" | "counts">;

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
