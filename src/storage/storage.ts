import type { Clock } from "../clock.ts";
import type { ChangeStorage } from "./changes.ts";
import type { FailureStorage } from "./failures.ts";
import type { FlowStorage } from "./flows.ts";
import type { InboxStorage } from "./inbox.ts";
import type { LeaseStorage } from "./leases.ts";
import type { DutyStorage, ProcessStorage, StorageBell } from "./processes.ts";
import type { PlaceStorage } from "./places.ts";
import type { RunStorage } from "./runs.ts";
import type { CauseStorage } from "./totals/causes.ts";
import type { OverviewStorage } from "./totals/overview.ts";
import type { StatisticsStorage } from "./totals/statistics.ts";
import type { WakeStorage } from "./wakes.ts";

export type { Change, FlowChanged, RequeueReason, RunChange, RunChangeKind } from "../model/change.ts";
export type { Role, WorkerProcess } from "../model/worker-process.ts";
export type { FlowActivity, FlowState, LastRun, PausedImport } from "../model/flow/activity.ts";
export type { Overview } from "../model/flow/overview.ts";
export type { Statistics } from "../model/statistics.ts";
export type { ImportPlace, ImportPosition, PlaceChange, Places, StoredCheckpoint } from "../model/place.ts";
export type * from "./changes.ts";
export type * from "./failures.ts";
export type * from "./flows.ts";
export type * from "./inbox.ts";
export type * from "./leases.ts";
export type * from "./lists.ts";
export type * from "./places.ts";
export type * from "./processes.ts";
export type * from "./runs.ts";
export type * from "./totals/causes.ts";
export type * from "./totals/overview.ts";
export type * from "./totals/statistics.ts";
export type * from "./wakes.ts";

/**
 * What must outlive a run: the contract that `memory/`, `sql/` and storages of others implement, one part in each file
 * beside this one. Promises of every method:
 * it is atomic, all or nothing, also against other processes sharing the backend;
 * it depends on its arguments and the stored state alone (times, ids and tokens are given, never made here);
 * what it is given is copied, unless it is frozen already and so taken as frozen all the way down;
 * documents, records and checkpoints that it returns are frozen all the way down;
 * it rejects with `storage_failed`, the backend's error as `cause`, if the backend does, and repeating the same call
 * after such an uncertain result is harmless.
 * What is stored may be damaged. A list, the sweep and the timetable leave out a row that cannot be read, and
 * `unreadable` says so; a call that is about that very row rejects with `storage_failed`, naming it.
 * Instants are epoch milliseconds; documents carry ISO 8601 UTC.
 */
export interface Storage
  extends
    FlowStorage,
    RunStorage,
    LeaseStorage,
    PlaceStorage,
    FailureStorage,
    CauseStorage,
    OverviewStorage,
    StatisticsStorage,
    InboxStorage,
    DutyStorage,
    ProcessStorage {
  /** Decides which conformance cases apply. */
  readonly capabilities: StorageCapabilities;
  /** Where it is, for reports: storages of one process that have the same one have the same content. Absent: unknown. */
  readonly location?: string | undefined;
  /** Says which rows are left out because they cannot be read. Absent: all of them can always be read. */
  readonly unreadable?: UnreadableRows;
  /** The time that all processes of a shared storage go by; absent: each goes by its own. A registry takes it by default. */
  readonly clock?: Clock;
  /** Wake-ups for all processes that share it; absent: each process finds what it did not queue itself by its maintenance. */
  readonly wakes?: WakeStorage;
  /** Rings in all processes that share it; absent: each looks by itself. */
  readonly bell?: StorageBell | undefined;
  /** What becomes of runs and flows, for all processes that share it; absent: each process knows what it does itself. */
  readonly changes?: ChangeStorage;
  /** Releases connections and files. Closing twice is allowed. */
  close(): Promise<void>;
}

/** What is said of rows that cannot be read: damaged, edited by hand, or of columns and a document that differ. */
export interface UnreadableRows {
  /**
   * Calls `listener` with each row that is left out, the same one again whenever it is met; perhaps in the middle of a
   * transaction, so it must call nothing of the storage itself. Returns what ends it.
   */
  listen(listener: (row: UnreadableRow) => void): () => void;
}

/** A row that cannot be read. */
export interface UnreadableRow {
  /** What kind of row, in the storage's own words: `runs`, `flows`. */
  readonly table: string;
  /** Which one of them. */
  readonly _id: string;
  /** Why. Nothing of what it holds is in its message. */
  readonly error: Error;
}

/** What a storage can do beyond the contract. */
export interface StorageCapabilities {
  /** What was written is still there when the process has died and the storage is opened again. */
  readonly durable: boolean;
  /** Several processes may use it at once. */
  readonly shared: boolean;
}
