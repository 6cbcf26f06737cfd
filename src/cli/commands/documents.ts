import type { Flow, Run } from "../../index.ts";
import type { Column } from "../output/table.ts";
import type { Part } from "../output/text.ts";
import { durationOf, statusOf, timeOf } from "../output/words.ts";

/** A failure, as the API shows it. */
export interface ShownFailure {
  readonly _id: string;
  readonly _flowId: string;
  readonly _importId: string;
  readonly _runId: string;
  readonly key: string;
  readonly fault: string;
  readonly message: string;
  readonly code?: string;
  readonly cause: string;
  readonly status: string;
  readonly attempts: number;
  readonly occurrences: number;
  readonly createdAt: string;
  readonly lastFailedAt: string;
  readonly retryAt?: string;
  readonly editedAt?: string;
  readonly resolvedAt?: string;
  readonly resolvedBy?: string;
  readonly unstorable?: true;
  readonly record?: unknown;
}

/** Open failures of one cause. */
export interface ShownCause {
  readonly cause: string;
  readonly pattern: string;
  readonly fault: string;
  readonly code?: string;
  readonly _importId?: string;
  readonly open: number;
  readonly flows: number;
  readonly lastAt: string;
}

/** How many imports a flow has, and which: `ledger, mailer`. */
export function importsOf({ _importId, _importIds = [_importId] }: Pick<Flow, "_importId" | "_importIds">): string {
  return _importIds.join(", ");
}

/** How long the run took, or takes so far. */
export function tookOf({ endedAt, startedAt }: Pick<Run, "endedAt" | "startedAt">): string | undefined {
  if (startedAt === undefined || endedAt === undefined) return undefined;
  return durationOf(Date.parse(endedAt) - Date.parse(startedAt));
}

function enabledOf({ disabled }: Pick<Flow, "disabled">): Part {
  return disabled ? { text: "disabled", style: "dim" } : "enabled";
}

/** Flows, for a person. */
export const flowColumns: readonly Column<Flow>[] = [
  { title: "flow", value: ({ _id }) => _id },
  { title: "name", value: ({ name }) => name, least: 12 },
  { title: "state", value: enabledOf },
  { title: "next run (UTC)", value: ({ nextRunAt }) => timeOf(nextRunAt), optional: true },
  { title: "last run (UTC)", value: ({ lastExecutedAt }) => timeOf(lastExecutedAt), optional: true },
  { title: "schedule", value: ({ schedule }) => schedule, least: 9, optional: true },
  { title: "from", value: ({ _exportId }) => _exportId, least: 8, optional: true },
  { title: "to", value: importsOf, least: 8, optional: true },
];

/** Runs, for a person. */
export const runColumns: readonly Column<Run>[] = [
  { title: "run", value: ({ _id }) => _id },
  { title: "flow", value: ({ _flowId }) => _flowId, least: 8 },
  { title: "status", value: ({ status }) => statusOf(status) },
  { title: "ok", value: ({ numSuccess }) => numSuccess },
  { title: "failed", value: ({ numError }) => numError },
  { title: "queued (UTC)", value: ({ queuedAt }) => timeOf(queuedAt), optional: true },
  { title: "took", value: tookOf, optional: true },
  { title: "trigger", value: ({ trigger }) => trigger, optional: true },
  { title: "ignored", value: ({ numIgnore }) => numIgnore, optional: true },
  { title: "error", value: ({ error }) => error?.message, least: 12, optional: true },
];

/** Failures, for a person. */
export const failureColumns: readonly Column<ShownFailure>[] = [
  { title: "failure", value: ({ _id }) => _id },
  { title: "key", value: ({ key }) => key, least: 10 },
  { title: "message", value: ({ message }) => message, least: 20 },
  { title: "failed (UTC)", value: ({ lastFailedAt }) => timeOf(lastFailedAt), optional: true },
  { title: "fault", value: ({ fault }) => fault, optional: true },
  { title: "flow", value: ({ _flowId }) => _flowId, least: 8, optional: true },
  { title: "import", value: ({ _importId }) => _importId, least: 6, optional: true },
  { title: "status", value: ({ status }) => statusOf(status), optional: true },
];

/** Causes, for a person. */
export const causeColumns: readonly Column<ShownCause>[] = [
  { title: "cause", value: ({ cause }) => cause },
  { title: "open", value: ({ open }) => open },
  { title: "flows", value: ({ flows }) => flows },
  { title: "fault", value: ({ fault }) => fault },
  { title: "message", value: ({ pattern }) => pattern, least: 20 },
  { title: "last (UTC)", value: ({ lastAt }) => timeOf(lastAt), optional: true },
  { title: "import", value: ({ _importId }) => _importId, least: 6, optional: true },
];
