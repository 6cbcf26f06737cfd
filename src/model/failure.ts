/**
 * How certain it is that the record was not applied. `retry`: certainly not, and another attempt may do it.
 * `reject`: certainly not, and as it stands it never will be. `unknown`: it may have been applied.
 */
export const faults = ["retry", "reject", "unknown"] as const;
/** One of {@link faults}. */
export type Fault = (typeof faults)[number];

/** One record that one import did not take. Documents are frozen; times are ISO 8601 UTC. */
export interface Failure {
  readonly _id: string;
  readonly _flowId: string;
  readonly _exportId: string;
  readonly _importId: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  /** The run that failed to deliver it last. */
  readonly _runId: string;
  /** The record's identity; the same in every attempt, so that an idempotent import recognises it. */
  readonly key: string;
  /** The record as the export gave it, before this import's map. */
  readonly record: unknown;
  /** How its last try ended. */
  readonly fault: Fault;
  /** The cause in words, at most 2,000 characters. */
  readonly message: string;
  /** The cause's own `code`, if it has one (`ECONNRESET`, say). */
  readonly code?: string;
  /** How often the record was sent, over all runs; 0 if it never left (its map threw, say). */
  readonly attempts: number;
  readonly status: FailureStatus;
  /** When it failed first. */
  readonly createdAt: string;
  /** When it failed last. */
  readonly lastFailedAt: string;
  /** When somebody resolved it by hand. */
  readonly resolvedAt?: string;
}

/** `open` until a retry delivers the record, which removes the failure, or somebody resolves it by hand. */
export const failureStatuses = ["open", "resolved"] as const;
/** One of {@link failureStatuses}. */
export type FailureStatus = (typeof failureStatuses)[number];
