import type { WorkerProcess } from "../model/worker-process.ts";

/** Tells all processes that share a storage at once that there is something to look at. */
export interface StorageBell {
  /**
   * Calls `ring` soon after a process, this one included, has changed a flow (`flows`), or canceled a run (`cancel`). It may
   * ring for nothing, and stay silent: it only saves waiting for the next look. Returns what ends it.
   */
  on(topic: "flows" | "cancel", ring: () => void): () => void;
}

/** Which processes there are. */
export interface ProcessStorage {
  /** Keeps what a process says of itself, and forgets those whose `seenAt` is before `forgetBefore`. */
  keepProcess(process: WorkerProcess, forgetBefore: number): Promise<void>;
  /** Those whose `seenAt` is at or after `since`, by ascending id. */
  listProcesses(since: number): Promise<readonly WorkerProcess[]>;
  /** Forgets a process that ends. */
  removeProcess(_id: string): Promise<void>;
}

/** What one process at a time does for all that share the storage. It saves work, and guarantees nothing. */
export interface DutyStorage {
  /**
   * True, and the duty is the holder's until `until`: if it was the holder's, or nobody's at `at`, or is held for more
   * than twice as long as it is claimed for now, which only a clock that was ahead can have done. False, and nothing is
   * changed, while somebody else has it.
   */
  claimDuty(claim: DutyClaim): Promise<boolean>;
  /** Gives the duty up, if the holder has it. */
  releaseDuty(duty: Duty): Promise<void>;
}

/** Who does what. */
export interface Duty {
  readonly name: string;
  /** One process's own id. */
  readonly holder: string;
}

/** For how long. */
export interface DutyClaim extends Duty {
  readonly at: number;
  /** Later than `at`. */
  readonly until: number;
}
