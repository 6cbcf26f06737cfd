import type { Failure, FailureStatus, Fault } from "../model/failure.ts";
import type { ListResult, Paging } from "./lists.ts";

/** Records that an import did not take. They are stored, and removed, by commits. */
export interface FailureStorage {
  /** Undefined if there is none. */
  findFailure(_id: string): Promise<Failure | undefined>;
  /**
   * In the order they were first stored, at most `limit` or about 16 MB, whatever is less, but one at least. A failure
   * that is there all the while is listed exactly once. A record reads
   * back deeply equal: dates, maps, sets, big integers and bytes (Uint8Array, Buffer) included. A search, by `text` or by
   * the beginning of a key that many have or of one flow, looks at 1,000 of those that an index finds at most: then the
   * page may contain fewer than `limit`, `examined` says how many were looked at, and `next` where to go on.
   */
  listFailures(query: FailureQuery): Promise<FailureList>;
  /** The ids of the same failures, at most `limit`; a search looks at as many as there, and says so in the same way. */
  listFailureIds(query: Omit<FailureQuery, "_ids">): Promise<FailureIdList>;
  /** Marks open failures as resolved by a person at `at`; returns those that were open, each once. */
  resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]>;
  /**
   * Gives an open failure another record; the first one is kept as `original`. Undefined if there is none, or it is
   * not open, or a `retry` run of its flow is active, which may have read it already.
   */
  editFailure(_id: string, change: { readonly record: unknown; readonly at: number }): Promise<Failure | undefined>;
  /** The keys of open failures of one export at one import, in the order they were first stored. */
  openKeys(query: OpenKeyQuery): Promise<ListResult<OpenKey>>;
  /** Open failures of a flow at each of its imports, counted up to `limit`. Imports without any are left out. */
  countOpenFailures(_flowId: string, limit: number): Promise<Readonly<Record<string, number>>>;
  /**
   * Flows and imports with open failures whose `retryAt` is at or before `until`, at most `limit`. Left out: disabled
   * flows, paused imports, and failures of an export that the flow no longer uses.
   */
  dueRetries(until: number, limit: number): Promise<readonly DueRetry[]>;
  /** The earliest `retryAt` after `after` of all open failures. */
  nextRetryAt(after: number): Promise<number | undefined>;
}

/** Absent filters match everything. */
export interface FailureQuery extends Paging {
  readonly _ids?: readonly string[];
  readonly _flowId?: string;
  readonly _exportId?: string;
  readonly _importId?: string;
  readonly _runId?: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly status?: FailureStatus;
  readonly fault?: Fault;
  /** The whole key. */
  readonly key?: string;
  /** What the key begins with, 1 to 200 characters. */
  readonly keyPrefix?: string;
  /** See `causeOf`. */
  readonly cause?: string;
  /** A part of the message, or of the record as JSON, in any case of ASCII letters. Not together with `_ids`. */
  readonly text?: string;
  /** Up to the place of the failure with this id; if it is gone, of the one whose id comes before it. */
  readonly through?: string;
  /** In the other order. @default false */
  readonly newestFirst?: boolean;
  /** Those whose `retryAt` is at or before this instant. */
  readonly retryUntil?: number;
}

/** A page of failures. */
export interface FailureList extends ListResult<Failure> {
  /** Of a search: how many were looked at. */
  readonly examined?: number;
}

/** A page of failures' ids. */
export interface FailureIdList extends ListResult<string> {
  /** Of a search: how many were looked at. */
  readonly examined?: number;
}

/** Whose keys are wanted. */
export interface OpenKeyQuery extends Paging {
  readonly _flowId: string;
  readonly _exportId: string;
  readonly _importId: string;
}

/** An open failure without its record. */
export interface OpenKey {
  readonly _id: string;
  readonly key: string;
  readonly version?: string | number;
}

/** Failures that are to be sent again. */
export interface DueRetry {
  readonly _flowId: string;
  readonly _importId: string;
}
