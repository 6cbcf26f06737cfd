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
  /** The run that failed to deliver it last; empty: none did, it could not be kept as it arrived. */
  readonly _runId: string;
  /** The record's identity; the same in every attempt, so that an idempotent import recognises it. */
  readonly key: string;
  /** Which state of the thing it is, if the export says so; orders states of one key. */
  readonly version?: string | number;
  /** The record as the export gave it, before this import's map; as edited since, if it was. Undefined if it could not be kept. */
  readonly record: unknown;
  /** True: the record could not be kept, so it cannot be sent again. `message` names what is at fault. */
  readonly unstorable?: true;
  /** True: `record` is what was found at the source, and no record. A retry stores it again, unless it has been edited. */
  readonly unreadable?: true;
  /** The record as it failed first, if somebody has edited it since. */
  readonly original?: unknown;
  /** When somebody edited the record. */
  readonly editedAt?: string;
  /** How often it failed: in how many pages or retries; 1 or more. */
  readonly occurrences: number;
  /** When it is sent again by itself; absent: only when somebody asks. */
  readonly retryAt?: string;
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
  /** When it was resolved. */
  readonly resolvedAt?: string;
  /** `delivery`: a later state of the record was delivered. `person`: by hand. `removed`: the flow lost the import. */
  readonly resolvedBy?: ResolvedBy;
}

/** What resolved a failure. */
export const resolvers = ["delivery", "person", "removed"] as const;
/** One of {@link resolvers}. */
export type ResolvedBy = (typeof resolvers)[number];

/**
 * Whether `one` is an older state than `other`: numbers by value, strings by code unit. False if either has no
 * version, or they are of different kinds: then what comes last counts.
 */
export function isOlder(one: string | number | undefined, other: string | number | undefined): boolean {
  if (typeof one === "number") return typeof other === "number" && one < other;
  return typeof one === "string" && typeof other === "string" && one < other;
}

/** An open failure once it is resolved; `at`: ISO 8601 UTC. */
export function resolvedFailure({ retryAt: _, ...failure }: Failure, resolvedBy: ResolvedBy, at: string): Failure {
  return Object.freeze({ ...failure, status: "resolved", resolvedAt: at, resolvedBy });
}

/** `open` until a retry delivers the record, which removes the failure, or it is resolved. */
export const failureStatuses = ["open", "resolved"] as const;
/** One of {@link failureStatuses}. */
export type FailureStatus = (typeof failureStatuses)[number];

/**
 * The open failure `known` after its record failed again as `failure`: the newest record and cause, under the id it has.
 * An older state than the stored one only counts.
 */
export function foldedFailure(known: Failure, failure: Failure): Failure {
  const occurrences = known.occurrences + 1;
  const { lastFailedAt } = failure;
  if (isOlder(failure.version, known.version)) return Object.freeze({ ...known, occurrences, lastFailedAt });
  return Object.freeze({ ...failure, _id: known._id, createdAt: known.createdAt, occurrences });
}
