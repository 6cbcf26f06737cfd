/** What a scheduler does for all that share its storage. */
export const roles = ["schedule", "run", "listen"] as const;

/** `schedule`: looks for due times. `run`: executes runs. `listen`: listens on exports. */
export type Role = (typeof roles)[number];

/** The version of this code. `npm run release` writes it. */
export const version = "0.1.0";

/** A process whose scheduler is started, as it said itself. */
export interface WorkerProcess {
  /** New with each scheduler. */
  readonly _id: string;
  /** The host's name for it. */
  readonly name?: string;
  /** Of poundlock. */
  readonly version: string;
  readonly roles: readonly Role[];
  readonly exportIds: readonly string[];
  readonly importIds: readonly string[];
  /** Runs at once. */
  readonly concurrency: number;
  /** Runs that it executes. */
  readonly running: number;
  /** ISO 8601 UTC. */
  readonly startedAt: string;
  /** When it said so last: every 10 seconds. ISO 8601 UTC. */
  readonly seenAt: string;
}
