import type { WorkerProcess } from "../model/worker-process.ts";

/** Which processes there are. */
export interface ProcessStorage {
  /** Keeps what a process says of itself, and forgets those whose `seenAt` is before `forgetBefore`. */
  keepProcess(process: WorkerProcess, forgetBefore: number): Promise<void>;
  /** Those whose `seenAt` is at or after `since`, by ascending id. */
  listProcesses(since: number): Promise<readonly WorkerProcess[]>;
  /** Forgets a process that ends. */
  removeProcess(_id: string): Promise<void>;
}
