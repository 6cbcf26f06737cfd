import type { Run, RunStart, RunStatus, Trigger } from "../model/run.ts";
import type { ListResult, Paging } from "./lists.ts";

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
   * A due time that the flow has a run for gets no second one, when a clock that was set back shows it again, unless
   * `rescheduleFlows` has forgotten it.
   */
  queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly QueueDueResult[]>;
  /** Undefined if there is none. */
  findRun(_id: string): Promise<Run | undefined>;
  /** Newest first, by the order in which they were queued. A run that is there all the while is listed exactly once. */
  listRuns(query: RunQuery): Promise<ListResult<Run>>;
  /**
   * A waiting run becomes canceled, a running one canceling; one that has ended stays as it is. Undefined if there is
   * none. `discard`: the positions of its flow's imports are given up when it is canceled, unless they are those of another
   * run of the flow, which is active or waits to go on; their checkpoints stay.
   */
  cancelRun(_id: string, change: { readonly at: number; readonly discard?: boolean }): Promise<Run | undefined>;
  /**
   * Removes ended runs that are not among the newest `runsPerFlow` of their flow, waiting and active ones counted
   * in; ended runs and resolved failures from before `endedBefore`; at most `limit` documents. Returns how many; 0
   * means that none is left to remove. A storage that keeps ended runs by periods may remove a whole one at once, whatever
   * its size, and keep its runs until the last of them may go.
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
  /** The due time after `nextDueAt`: what starts from now on has until then, or the flow is overdue. */
  readonly followingDueAt?: number | undefined;
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
  /** The current instant, for a storage that makes room for what ends from then on. Absent: it is made another time. */
  readonly now?: number;
}
