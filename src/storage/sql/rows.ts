import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow.ts";
import type { Json } from "../../model/json.ts";
import { freezeRecord } from "../../model/copy.ts";
import { type Run, hasEnded } from "../../model/run.ts";
import type { SqlValue } from "./database.ts";
import { isoOf } from "../documents.ts";
import { readValue, storeValue } from "./record-text.ts";
import type { RunPosition, StoredCheckpoint } from "../storage.ts";

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
  readonly record: string | null;
  readonly record_bytes: Uint8Array | null;
}

/** What {@link FailureRow} asks for. */
export const failureColumns = "seq, doc, status, resolved_at, record, record_bytes";

/** The values of a failure's columns, in the order of {@link insertedFailureColumns}. */
export function failureValues(failure: Failure): readonly SqlValue[] {
  const { record, status, resolvedAt, ...rest } = failure;
  const { text, bytes } = storeValue(record);
  return [
    ...[failure._id, failure._flowId, failure._importId, failure._runId],
    ...[failure._integrationId ?? null, failure._connectorId ?? null],
    ...[status, resolvedAt === undefined ? null : Date.parse(resolvedAt), JSON.stringify(rest), text, bytes],
  ];
}

/** Everything of a failure but its place. */
export const insertedFailureColumns =
  "id, flow_id, import_id, run_id, integration_id, connector_id, status, resolved_at, doc, record, record_bytes";

/** The failure that a row holds. */
export function failureOf({ doc, status, resolved_at, record, record_bytes }: FailureRow): Failure {
  const rest = JSON.parse(doc) as Omit<Failure, "record" | "status" | "resolvedAt">;
  return Object.freeze<Failure>({
    ...rest,
    record: readValue({ text: record, bytes: record_bytes }),
    status,
    ...(resolved_at === null ? {} : { resolvedAt: isoOf(resolved_at) }),
  });
}

/** The checkpoint in two columns, if they hold one. */
export function checkpointOf(value: string | null, version: number | null): StoredCheckpoint | undefined {
  return value === null || version === null ? undefined : freezeRecord({ value: JSON.parse(value) as Json, version });
}

/** The position in a column, if it holds one. */
export function positionOf(text: string | null): RunPosition | undefined {
  return text === null ? undefined : freezeRecord(JSON.parse(text) as RunPosition);
}
