import type { Failure, ResolvedBy } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import { freezeRecord } from "../../model/record/copy.ts";
import { type Run, hasEnded } from "../../model/run.ts";
import type { SqlValue } from "./database.ts";
import { isoOf } from "../documents.ts";
import { readValue, storeValue } from "./record-text.ts";
import type { RunPosition } from "../storage.ts";

/** The columns that make a flow's document. */
export interface FlowRow {
  readonly doc: string;
  readonly due_at: number | null;
  readonly executed_at: string | null;
}

/** What {@link FlowRow} asks for. */
export const flowColumns = "doc, due_at, executed_at";

/** The flow without its times, which change by themselves and have columns of their own. */
export function flowText(flow: Flow): string {
  const { nextRunAt: _next, lastExecutedAt: _last, ...written } = flow;
  return JSON.stringify(written);
}

/** The flow that a row holds. */
export function flowOf({ doc, due_at, executed_at }: FlowRow): Flow {
  const flow = JSON.parse(doc) as { -readonly [Key in keyof Flow]: Flow[Key] };
  if (executed_at !== null) flow.lastExecutedAt = executed_at;
  if (due_at !== null) flow.nextRunAt = isoOf(due_at);
  return freezeRecord<Flow>(flow);
}

/** The run that a row's `doc` holds. */
export function runOf(doc: string): Run {
  return freezeRecord(JSON.parse(doc) as Run);
}

/** Where a run stands: 0 waits, 1 is active, 2 has ended. */
export function stageOf(run: Run): 0 | 1 | 2 {
  return run.status === "queued" ? 0 : hasEnded(run) ? 2 : 1;
}

/** The columns that make a failure. */
export interface FailureRow {
  readonly seq: number;
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
  "seq, doc, status, resolved_at, resolved_by, retry_at, record, record_bytes, original, original_bytes";

/** The values of a failure's columns, in the order of {@link writtenFailureColumns}. */
export function failureValues(failure: Failure): readonly SqlValue[] {
  const { record, original, retryAt, status, resolvedAt, resolvedBy, ...rest } = failure;
  const kept = storeValue(record);
  const first = failure.editedAt === undefined ? { text: null, bytes: null } : storeValue(original);
  return [
    ...[failure._id, failure._flowId, failure._importId, failure._exportId, failure._runId],
    ...[failure._integrationId ?? null, failure._connectorId ?? null, failure.key, versionText(failure.version)],
    ...[failure.fault, status, resolvedAt === undefined ? null : Date.parse(resolvedAt), resolvedBy ?? null],
    ...[retryAt === undefined ? null : Date.parse(retryAt), JSON.stringify(rest)],
    ...[kept.text, kept.bytes, first.text, first.bytes],
  ];
}

/** Everything of a failure but its place. */
export const writtenFailureColumns = [
  ...["id", "flow_id", "import_id", "export_id", "run_id", "integration_id", "connector_id", "record_key", "version"],
  ...["fault", "status", "resolved_at", "resolved_by", "retry_at", "doc"],
  ...["record", "record_bytes", "original", "original_bytes"],
] as const;

/** The failure that a row holds. */
export function failureOf(row: FailureRow): Failure {
  const { record, record_bytes, resolved_at, resolved_by, retry_at, status } = row;
  const rest = JSON.parse(row.doc) as Omit<Failure, "record" | "status" | "resolvedAt">;
  const isEdited = rest.editedAt !== undefined;
  return Object.freeze<Failure>({
    ...rest,
    record: readValue({ text: record, bytes: record_bytes }),
    ...(isEdited ? { original: readValue({ text: row.original, bytes: row.original_bytes }) } : {}),
    status,
    ...(retry_at === null ? {} : { retryAt: isoOf(retry_at) }),
    ...(resolved_at === null ? {} : { resolvedAt: isoOf(resolved_at) }),
    ...(resolved_by === null ? {} : { resolvedBy: resolved_by }),
  });
}

/** A version as JSON, which keeps numbers and strings apart. */
export function versionText(version: string | number | undefined): string | null {
  return version === undefined ? null : JSON.stringify(version);
}

/** The position in a column, if it holds one. */
export function positionOf(text: string | null): RunPosition | undefined {
  return text === null ? undefined : freezeRecord(JSON.parse(text) as RunPosition);
}
