import type { Pause } from "../../../model/delivery.ts";
import type { Failure } from "../../../model/failure.ts";
import type { Flow } from "../../../model/flow/flow.ts";
import type { Run, RunStatus } from "../../../model/run.ts";

export type { Delivery, Pause } from "../../../model/delivery.ts";
export type { Failure, Fault } from "../../../model/failure.ts";
export type { Counts, Run, RunImport, RunStatus, Trigger } from "../../../model/run.ts";

/** How a flow is at the moment, where a list includes it. */
export interface FlowActivity {
  readonly lastRun?: {
    readonly _id: string;
    readonly status: RunStatus;
    readonly endedAt?: string;
    readonly numError: number;
  };
  readonly failingSince?: string;
  readonly overdueSince?: string;
  readonly openFailures?: number;
  readonly paused?: readonly { readonly _importId: string; readonly since: string; readonly resumeAt?: string }[];
}

/** A flow of a list. */
export interface ListedFlow extends Flow {
  readonly activity?: FlowActivity;
}

/** A run, with the export's newest estimate of its records. */
export interface ShownRun extends Run {
  readonly total?: number;
}

/** `GET /overview`. */
export interface Overview {
  readonly flows: { readonly enabled: number; readonly disabled: number };
  readonly runs: { readonly running: number; readonly queued: number };
  readonly failing: number;
  readonly overdue: number;
  readonly paused: number;
  readonly openFailures: number;
  readonly inboxPages: number;
  readonly oldestQueuedAt?: string;
}

/** One bar of `GET /statistics`. */
export interface StatisticsBucket {
  readonly from: string;
  readonly completed: number;
  readonly failed: number;
  readonly canceled: number;
  readonly numSuccess: number;
  readonly numError: number;
  readonly numIgnore: number;
  readonly durationMs: number;
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
