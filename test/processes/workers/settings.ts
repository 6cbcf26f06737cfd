import type pg from "pg";

/** What a worker is to do. */
export interface WorkerSetting {
  /** New with each process. */
  readonly name: string;
  /** Where the files of the flows are. */
  readonly folder: string;
  /** How its connections are made: perhaps by a pooler. */
  readonly connection: pg.PoolConfig;
  /** How the one to listen on is made, if not by `connection`. */
  readonly direct?: pg.PoolConfig;
  readonly prepare: boolean;
  /** The exports that this version of the host has. */
  readonly exportIds: readonly string[];
  readonly leaseMs: number;
  /** How much its computer's clock is ahead of the others'. */
  readonly aheadMs: number;
}

/** What it reports. */
export type WorkerReport =
  | { readonly what: "ready" | "lost" | "completed" | "closed" }
  | { readonly what: "failed" | "background:error" | "unhandled"; readonly message: string };
