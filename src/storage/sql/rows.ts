import type { Failure, ResolvedBy } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import { freezeRecord } from "../../model/record/copy.ts";
import { type Run, hasEnded } from "../../model/run.ts";
import type { SqlValue } from "./database.ts";
import { isoOf, optional } from "../documents.ts";
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
  readonly flow_id: string;
  readonly export_id: string;
  readonly import_id: string;
  readonly integration_id: string | null;
  readonly connector_id: string | null;
  readonly run_id: string;
  readonly record_key: string;
  readonly version: string | null;
  readonly fault: Failure["fault"];
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
export const failureColumns = `seq, id, flow_id, export_id, import_id, integration_id, connector_id, run_id, record_key,
  version, fault, doc, status, resolved_at, resolved_by, retry_at, record, record_bytes, original, original_bytes`;

/** What of a failure has a column. */
type FailureColumn =
  | "_id" | "_flowId" | "_exportId" | "_importId" | "_integrationId" | "_connectorId" | "_runId" | "key" | "version"
  | "fault" | "status" | "resolvedAt" | "resolvedBy" | "retryAt" | "record" | "original"; // prettier-ignore

/** What no column has. Documents of earlier versions have more, and it is the same as in the columns. */
export type FailureDocument = Omit<Failure, FailureColumn>;

// Field by field: in a page of failures the documents are most of what is written.
function failureText(failure: Failure): string {
  const { attempts, code, createdAt, editedAt, lastFailedAt, message, occurrences, unreadable, unstorable } = failure;
  const document: Record<keyof FailureDocument, unknown> = {
    ...{ message, code, attempts, occurrences, createdAt, lastFailedAt, editedAt, unreadable, unstorable },
  };
  return JSON.stringify(document);
}

/** The values of a failure's columns and its cause, in the order of {@link writtenFailureColumns}. */
export function failureValues(failure: Failure, cause: string): readonly SqlValue[] {
  const { retryAt, resolvedAt } = failure;
  const kept = storeValue(failure.record);
  const first = failure.editedAt === undefined ? nothingStored : storeValue(failure.original);
  return [
    failure._id,
    failure.key,
    versionText(failure.version),
    failure.fault,
    retryAt === undefined ? null : Date.parse(retryAt),
    failureText(failure),
    kept.text,
    first.text,
    cause,
    failure._flowId,
    failure._importId,
    failure._exportId,
    failure._runId,
    failure._integrationId ?? null,
    failure._connectorId ?? null,
    failure.status,
    resolvedAt === undefined ? null : Date.parse(resolvedAt),
    failure.resolvedBy ?? null,
    kept.bytes,
    first.bytes,
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
  const { record, record_bytes, resolved_at, resolved_by, retry_at } = row;
  const document = objectIn("failures", row.id, row.doc) as FailureDocument & { readonly _id?: string };
  if ((document._id ?? row.id) !== row.id || typeof document.message !== "string")
    throw new UnreadableRowError("failures", row.id, "its document is no failure with this id");
  const isEdited = document.editedAt !== undefined;
  const kept = recordIn(row, { text: record, bytes: record_bytes }, report);
  const first = isEdited ? recordIn(row, { text: row.original, bytes: row.original_bytes }, report) : undefined;
  return Object.freeze<Failure>({
    ...identityOf(row, report),
    ...document,
    record: kept?.record,
    ...(kept === undefined ? { unstorable: true } : {}),
    ...(first === undefined ? {} : { original: first.record }),
    status: row.status,
    ...(retry_at === null ? {} : { retryAt: isoIn("failures", row.id, retry_at) }),
    ...(resolved_at === null ? {} : { resolvedAt: isoIn("failures", row.id, resolved_at) }),
    ...(resolved_by === null ? {} : { resolvedBy: resolved_by }),
  });
}

// What it is a failure of. A version that cannot be read is none, so that what comes last counts.
function identityOf(row: FailureRow, report?: ReportUnreadable) {
  const { connector_id, id, integration_id, version } = row;
  return {
    _id: id,
    _flowId: row.flow_id,
    _exportId: row.export_id,
    _importId: row.import_id,
    ...optional("_integrationId", integration_id ?? undefined),
    ...optional("_connectorId", connector_id ?? undefined),
    _runId: row.run_id,
    key: row.record_key,
    ...optional("version", version === null ? undefined : readable(() => versionIn(id, version), report)),
    fault: row.fault,
  };
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
 * The version in a failure's column.
 *
 * @throws UnreadableRowError
 */
export function versionIn(_id: string, text: string): string | number {
  try {
    return JSON.parse(text) as string | number;
  } catch {
    throw new UnreadableRowError("failures", _id, "its version is not JSON");
  }
}

/**
 * The position in a run's column, if it holds one.
 *
 * @throws UnreadableRowError
 */
export function positionOf(_id: string, text: string | null): RunPosition | undefined {
  return text === null ? undefined : freezeRecord(objectIn("runs", _id, text) as RunPosition);
}
