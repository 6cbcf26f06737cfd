import type { Flow } from "./flow/flow.ts";
import type { Run } from "./run.ts";

/** What can become of a run, in the words of the scheduler's events. */
export const runChanges = ["queued", "started", "requeued", "completed", "failed", "canceled"] as const;
/** One of {@link runChanges}. */
export type RunChangeKind = (typeof runChanges)[number];

/** Why a run waits again. `crash`: its process died. `stop`: its process stopped. `wait`: until its `notBefore`. */
export type RequeueReason = "crash" | "stop" | "wait";

/** Something became of a run, in whichever process. */
export interface RunChange {
  readonly change: RunChangeKind;
  /** The run as it was when the change was read: several may have followed by then. */
  readonly run: Run;
  /** Of `requeued`. */
  readonly reason?: RequeueReason;
  readonly flow?: never;
}

/** A flow was created, changed or deleted, in whichever process. */
export interface FlowChanged {
  readonly change: "flow:created" | "flow:updated" | "flow:deleted";
  /** The flow as it was when the change was read; one that was deleted, as it was last. */
  readonly flow: Flow;
  /** What it was before; of `flow:updated`. */
  readonly previous?: Flow;
  readonly run?: never;
}

/** Something became of a run or of a flow. */
export type Change = RunChange | FlowChanged;
