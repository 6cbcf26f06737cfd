import type { Pause } from "../../../model/delivery.ts";
import type { Failure } from "../../../model/failure.ts";
import type { FlowActivity } from "../../../model/flow/activity.ts";
import type { Flow } from "../../../model/flow/flow.ts";

export type { Delivery, Pause } from "../../../model/delivery.ts";
export type { Failure, Fault } from "../../../model/failure.ts";
export type { FlowActivity } from "../../../model/flow/activity.ts";
export type { Overview } from "../../../model/flow/overview.ts";
export type { Counts, Run, Run as ShownRun, RunImport, RunStatus, Trigger } from "../../../model/run.ts";
export type { StatisticsBucket } from "../../../model/statistics.ts";

/** A flow of a list. */
export interface ListedFlow extends Flow {
  readonly activity?: FlowActivity;
}

/** One row of `GET /causes`. */
export interface Cause {
  readonly cause: string;
  readonly pattern: string;
  readonly fault: Failure["fault"];
  readonly code?: string;
  readonly open: number;
  readonly flows?: number;
  readonly _importId?: string;
  readonly firstAt: string;
  readonly lastAt: string;
  /** A failure of this cause. */
  readonly sample: string;
}

/** `GET /permissions`. */
export interface Permissions {
  readonly caller?: string;
  readonly actions: Readonly<Record<string, boolean>>;
  readonly _integrationId?: string;
}

/** `POST /schedules/preview`. */
export interface SchedulePreview {
  readonly expression: string;
  readonly timezone: string;
  readonly dueAt: readonly string[];
}

/** A page of an inbox. */
export interface InboxPage {
  readonly _id: string;
  readonly arrivedAt: string;
  readonly records: readonly unknown[];
  readonly keys: readonly string[];
  readonly _importIds: readonly string[];
}

/** What a bulk retry has done so far. */
export interface BulkRetry {
  readonly runs: readonly string[];
  readonly refused: readonly { readonly _flowId: string; readonly code: string }[];
  readonly next?: string;
}

/** A pause that a person may have to end. */
export type ShownPause = Pause;
