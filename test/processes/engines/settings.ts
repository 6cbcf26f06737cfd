import type { PoolConfig } from "pg";

/** What carries the wake-ups of a trial. */
export type EngineName = "BullMQ on Redis" | "BullMQ on PostgreSQL" | "graphile-worker";

/** What a worker is to do. */
export interface WorkerSetting {
  /** New with each process. */
  readonly name: string;
  /** Where the files of the flows are. */
  readonly folder: string;
  readonly postgres: PoolConfig;
  readonly engine: EngineName;
  /** Of the Redis, if there is one. */
  readonly redisPort: number;
  readonly leaseMs: number;
}

/** What it reports. */
export type WorkerReport =
  | { readonly what: "ready" | "completed" | "lost" }
  | { readonly what: "failed" | "background:error" | "unhandled"; readonly message: string };
