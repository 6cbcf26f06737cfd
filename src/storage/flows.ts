import type { FlowState } from "../model/flow/activity.ts";
import type { Flow } from "../model/flow/flow.ts";
import type { Run } from "../model/run.ts";
import type { ListResult, Paging } from "./lists.ts";

/** Which flows exist and when each is due next. */
export interface FlowStorage {
  /**
   * Adds a flow; false, and nothing is changed, if the id is taken: by a flow, or by what one that was deleted has left
   * and `purgeFlows` has not removed yet.
   */
  insertFlow(flow: Flow, hidden?: FlowHidden): Promise<boolean>;
  /** Undefined if there is none. */
  findFlow(_id: string): Promise<Flow | undefined>;
  /**
   * A page may contain fewer than `limit`, and `next` says where to go on, when flows are looked for by `q` or `state`: it
   * looks at 6,000 names, or at 1,000 flows in that state, at most.
   *
   * By ascending `_id`, code point by code point or UTF-16 unit by unit. A flow that is there all the while is listed exactly once.
   */
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
   *
   * However much the flow has, it is gone at once for everyone who reads: no list, count or search finds anything that
   * was removed with it. Of the rows themselves about `limit` are removed in this call; those that are left wait for
   * `purgeFlows`. A flow whose document cannot be read is removed as any other.
   */
  deleteFlow(_id: string, change: FlowDeletion): Promise<DeleteFlowResult>;
  /**
   * Removes about `limit` rows of what flows that were deleted have left, or of what this one has; true while there is
   * more. A flow that is there is left as it is.
   */
  purgeFlows(rule: { readonly limit: number; readonly _flowId?: string }): Promise<boolean>;
  /**
   * Enabled flows whose `nextRunAt` is at or before `until`, the earliest first, those that are due together in an order
   * that stays the same; only those after `after`, the last one of an earlier call, at most `limit`.
   */
  dueFlows(until: number, limit: number, after?: DuePlace): Promise<readonly Flow[]>;
  /** The earliest `nextRunAt` of all enabled flows. */
  nextDueAt(): Promise<number | undefined>;
  /** Enabled flows with a schedule, by ascending `_id` after `after`, at most `limit`, each with what its due time was computed from. */
  scheduledFlows(limit: number, after?: string): Promise<readonly ScheduledFlow[]>;
  /**
   * Moves due times that are still as expected, for flows that are still enabled; the others are left as they are. What a
   * clock that ran ahead has made is forgotten in any case, as `forgetAfter` says.
   */
  rescheduleFlows(changes: readonly DueTimeChange[]): Promise<void>;
}

/** What is kept with a flow and is no part of its document. */
export interface FlowHidden {
  /** What `nextRunAt` was computed from. */
  readonly basis?: string;
  /** The due time after `nextRunAt`: if no run starts before that, the flow is overdue. Absent: it never is. */
  readonly followingDueAt?: number;
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
  /** A part of the name, in any case; not empty. */
  readonly q?: string;
  /** With `_integrationId`, only its own runs and failures count. */
  readonly state?: FlowState;
  /** Which flows are overdue; with that `state` alone. */
  readonly now?: number;
}

/** How a flow is replaced. An absent `basis` stays as stored; so does `followingDueAt` unless `reschedule` is true. */
export interface FlowChange extends FlowHidden {
  /** The `lastModified` that the stored flow must still have. */
  readonly expected: string;
  /** True: `nextRunAt` is the new flow's. False: it stays as stored. */
  readonly reschedule: boolean;
  /** When its waiting runs end, and the failures of removed imports are resolved. */
  readonly at: number;
  /** @see DueTimeChange.forgetAfter */
  readonly forgetAfter?: number;
}

/** `stale`: `lastModified` had moved. `unread`: another export, while the inbox holds pages. `flow` is what is stored now. */
export type ReplaceFlowResult =
  | { readonly outcome: "replaced"; readonly flow: Flow; readonly canceled: readonly Run[] }
  | { readonly outcome: "missing" | "stale" }
  | { readonly outcome: "unread"; readonly pages: number };

/** How a flow is deleted. */
export interface FlowDeletion {
  /** The `lastModified` that the stored flow must have. @default any */
  readonly expected?: string;
  /** When its waiting runs end. */
  readonly at: number;
  /** Rows that are removed in the same call; 0 leaves all of them to `purgeFlows`. @default 200 */
  readonly limit?: number;
}

/**
 * What went with the flow. `active` is the run that is canceling now. `flow`: if its document cannot be read, as much as
 * is known of it without, under its id as its name.
 */
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
  /** The one after it. */
  readonly followingDueAt?: number | undefined;
  readonly basis: string;
  /** Due times after this instant that have had their runs get another one each. The runs stay, and say what they said. */
  readonly forgetAfter?: number;
}
