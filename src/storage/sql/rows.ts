import type { Failure, ResolvedBy } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import { freezeRecord } from "../../model/record/copy.ts";
import { type Run, hasEnded } from "../../model/run.ts";
import type { SqlValue } from "./database.ts";
import { isoOf } from "../documents.ts";
import { type ReportUnreadable, UnreadableRowError, objectIn, readable } from "./values/unreadable.ts";
import { type StoredValue, readValue, storeValue } from "../record-text.ts";
import type { RunPosition } from "../storage.ts";

/** The columns that make a flow's document. */
export interface FlowRow {
  readonly id: string;
  readonly doc: string;
  readonly due_at: number | null;
  readonly executed_at: string | null;
}

/** What {@link FlowRow} asks for. */
export const flowColumns = "id, doc, due_at, executed_at";

/** The flow without its times, which change by themselves and have columns of their own. */
export function flowText(flow: Flow): string {
  const { nextRunAt: _next, lastExecutedAt: _last, ...written } = flow;
  return JSON.stringify(written);
}

/**
 * The flow that a row holds.
 *
 * @throws UnreadableRowError
 */
export function flowOf({ id, doc, due_at, executed_at }: FlowRow): Flow {
  const flow = objectIn("flows", id, doc) as { -readonly [Key in keyof Flow]: Flow[Key] };
  if (flow._id !== id || typeof flow._exportId !== "string" || typeof flow._importId !== "string")
    throw new UnreadableRowError("flows", id, "its document is no flow with this id");
  if (executed_at !== null) flow.lastExecutedAt = executed_at;
  if (due_at !== null) flow.nextRunAt = isoIn("flows", id, due_at);
  return freezeRecord<Flow>(flow);
}

/** The columns that make a run's document. */
export interface RunRow {
  readonly seq: number;
  readonly id: string;
  readonly status: Run["status"];
  readonly doc: string;
}

/** What {@link RunRow} asks for. */
export const runColumns = "seq, id, status, doc";

/**
 * The run that a row holds.
 *
 * @throws UnreadableRowError
 */
export function runOf({ id, status, doc }: Omit<RunRow, "seq">): Run {
  const run = objectIn("runs", id, doc) as Run;
  if (run._id !== id || run.status !== status || typeof run.imports !== "object")
    throw new UnreadableRowError("runs", id, "its document is no run with this id and status");
  return freezeRecord(run);
}

/** Where a run stands: 0 waits, 1 is active, 2 has ended. */
export function stageOf(run: Run): 0 | 1 | 2 {
  return run.status === "queued" ? 0 : hasEnded(run) ? 2 : 1;
}

/** The columns that make a failure. */
export interface FailureRow {
  readonly seq: number;
  readonly id: string;
  readonly doc: string;
  readonly status: Failure["status"];
  readonly resolved_at: number | null;
  readonly resolved_by: ResolvedBy | null;
  readonly retry_at: number | null;
  readonly record: string | null;
  readonly record_bytes: Uint8Array | null;
  readonly original: string | null;
  readonly original_bytes: Uint8Array | null;
}

/** What {@link FailureRow} asks for. */
export const failureColumns =
  "seq, id, doc, status, resolved_at, resolved_by, retry_at, record, record_bytes, original, original_bytes";

/** The values of a failure's columns and its cause, in the order of {@link writtenFailureColumns}. */
export function failureValues(failure: Failure, cause: string): readonly SqlValue[] {
  const { record, original, retryAt, status, resolvedAt, resolvedBy, ...rest } = failure;
  const kept = storeValue(record);
  const first = failure.editedAt === undefined ? nothingStored : storeValue(original);
  return [
    ...[failure._id, failure.key, versionText(failure.version), failure.fault],
    retryAt === undefined ? null : Date.parse(retryAt),
    ...[JSON.stringify(rest), kept.text, first.text, cause],
    ...[failure._flowId, failure._importId, failure._exportId, failure._runId],
    ...[failure._integrationId ?? null, failure._connectorId ?? null],
    ...[status, resolvedAt === undefined ? null : Date.parse(resolvedAt), resolvedBy ?? null],
    ...[kept.bytes, first.bytes],
  ];
}

const nothingStored: StoredValue = Object.freeze({ text: null, bytes: null });

/** What a failure has of its own among those of a page. */
export const ownFailureColumns: readonly string[] = [
  ...["id", "record_key", "version", "fault", "retry_at", "doc", "record", "original", "cause"],
];

/** What those of one run and import have in common. */
export const sharedFailureColumns: readonly string[] = [
  ...["flow_id", "import_id", "export_id", "run_id", "integration_id", "connector_id"],
  ...["status", "resolved_at", "resolved_by"],
];

/** Everything of a failure but its place. */
export const writtenFailureColumns: readonly string[] = [
  ...ownFailureColumns,
  ...sharedFailureColumns,
  ...["record_bytes", "original_bytes"],
];

/**
 * The failure that a row holds. One whose record cannot be read has none, as one whose record could not be kept, and
 * that is reported.
 *
 * @throws UnreadableRowError
 */
export function failureOf(row: FailureRow, report?: ReportUnreadable): Failure {
  const { record, record_bytes, resolved_at, resolved_by, retry_at, status } = row;
  const rest = objectIn("failures", row.id, row.doc) as Omit<Failure, "record" | "status" | "resolvedAt">;
  if (rest._id !== row.id || typeof rest.key !== "string")
    throw new UnreadableRowError("failures", row.id, "its document is no failure with this id");
  const isEdited = rest.editedAt !== undefined;
  const kept = recordIn(row, { text: record, bytes: record_bytes }, report);
  const first = isEdited ? recordIn(row, { text: row.original, bytes: row.original_bytes }, report) : undefined;
  return Object.freeze<Failure>({
    ...rest,
    record: kept?.record,
    ...(kept === undefined ? { unstorable: true } : {}),
    ...(first === undefined ? {} : { original: first.record }),
    status,
    ...(retry_at === null ? {} : { retryAt: isoIn("failures", row.id, retry_at) }),
    ...(resolved_at === null ? {} : { resolvedAt: isoIn("failures", row.id, resolved_at) }),
    ...(resolved_by === null ? {} : { resolvedBy: resolved_by }),
  });
}

// Undefined: it cannot be read.
function recordIn({ id }: FailureRow, stored: StoredValue, report?: ReportUnreadable): { record: unknown } | undefined {
  return readable(() => ({ record: storedIn("failures", id, stored) }), report);
}

/**
 * What a row has stored of its caller's.
 *
 * @throws UnreadableRowError
 */
export function storedIn(table: string, _id: string, stored: StoredValue): unknown {
  try {
    return readValue(stored);
  } catch {
    throw new UnreadableRowError(table, _id, "what it has stored is damaged");
  }
}

function isoIn(table: string, _id: string, at: number): string {
  try {
    return isoOf(at);
  } catch {
    throw new UnreadableRowError(table, _id, "it has an instant that is none");
  }
}

/** A version as JSON, which keeps numbers and strings apart. */
export function versionText(version: string | number | undefined): string | null {
  return version === undefined ? null : JSON.stringify(version);
}

/**
 * The position in a run's column, if it holds one.
 *
 * @throws UnreadableRowError
 */
export function positionOf(_id: string, text: string | null): RunPosition | undefined {
  return text === null ? undefined : freezeRecord(objectIn("runs", _id, text) as RunPosition);
}
