import type { Fault } from "../../model/failure.ts";

/** How many open failures there are of each cause: counted by the commits that change them, never by a walk. */
export interface CauseStorage {
  /**
   * Open failures by their cause, the most first, at most `limit`; with `_flowId` a row for each import and cause of that
   * flow. With `_integrationId` only failures that carry it. What it says is always what a grouping of `listFailures` would.
   */
  listCauses(query: CauseQuery): Promise<CauseList>;
  /**
   * Ids, ascending, of flows with open failures that match, after `after`, at most `limit`. Of each flow no more is looked
   * at than it takes to find one.
   */
  flowsOfFailures(query: OpenFailureQuery): Promise<FailedFlows>;
  /**
   * Gives failures that an earlier version of poundlock stored their cause, and counts those that are open; at most
   * `limit`. Returns how many it was; 0: all have theirs, and `listCauses` is complete.
   */
  completeCauses(limit: number): Promise<number>;
}

/** Whose causes are listed. */
export interface CauseQuery {
  readonly _flowId?: string;
  readonly _importId?: string;
  readonly _integrationId?: string;
  /** Only of flows that are disabled, or of those that are enabled. */
  readonly disabled?: boolean;
  /** 1 to 1000. */
  readonly limit: number;
}

/** Causes, and whether every failure has been counted. */
export interface CauseList {
  readonly items: readonly CauseCount[];
  /** False: failures of an earlier version are still being counted. */
  readonly complete: boolean;
}

/** What is known of the open failures of one cause. */
export interface CauseCount {
  readonly cause: string;
  /** What their messages have in common. */
  readonly pattern: string;
  readonly fault: Fault;
  readonly code?: string;
  /** Only with `_flowId`. */
  readonly _importId?: string;
  /** How many are open. */
  readonly open: number;
  /** Flows that have some. */
  readonly flows: number;
  /** When the first of them failed first: since then some were open all the while. */
  readonly firstAt: string;
  /** When one failed last. */
  readonly lastAt: string;
  /** The id of one of them, the newest if it is still open. */
  readonly sample: string;
}

/** Which open failures are meant, and how many flows that have some. Absent filters match everything. */
export interface OpenFailureQuery {
  readonly _flowId?: string;
  readonly _exportId?: string;
  readonly _importId?: string;
  readonly _runId?: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly fault?: Fault;
  readonly cause?: string;
  /** The whole key. */
  readonly key?: string;
  /** As in {@link FailureQuery}. */
  readonly through?: string;
  readonly limit: number;
  /** The last id of an earlier call. */
  readonly after?: string;
}

/** Flows that have failures. */
export interface FailedFlows {
  readonly items: readonly string[];
  /** False: failures of an earlier version are still being counted, so that some may be missing. */
  readonly complete: boolean;
}
