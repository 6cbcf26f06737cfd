import { failureStatuses, faults } from "../model/failure.ts";
import { runStatuses, triggers } from "../model/run.ts";
import { v } from "../model/validate.ts";

/** A shape that the door reads or answers; validates, and is what the OpenAPI document is made of. */
export type Schema = v.GenericSchema;

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(v.string(), v.isoTimestamp());
const said = <S extends Schema>(schema: S, description: string) => v.pipe(schema, v.description(description));
const timeOf = (description: string) => said(time, description);

const place = {
  _integrationId: v.optional(said(text, "The integration of the flow, as it was then.")),
  _connectorId: v.optional(said(text, "The connector of the flow, as it was then.")),
};

/** A stored flow, as every answer shows it. */
export const flowDocument = v.object({
  _id: said(text, "System generated unique identifier for this flow."),
  name: text,
  schedule: v.optional(said(text, "Cron expression; absent if the flow runs only when asked, or as events arrive.")),
  timezone: v.optional(said(text, "IANA zone of the schedule; absent means the registry's.")),
  _exportId: text,
  _importId: said(text, "The first import."),
  _importIds: v.optional(said(v.array(text), "All imports in order, only if there is more than one.")),
  _integrationId: v.optional(text),
  _connectorId: v.optional(text),
  disabled: v.boolean(),
  createdAt: time,
  lastModified: timeOf("Read only; strictly increases with every change."),
  lastExecutedAt: v.optional(timeOf("Read only. When the newest run started.")),
  nextRunAt: v.optional(timeOf("Read only. The next due time; absent without a schedule or while disabled.")),
});

const counts = {
  numSuccess: said(count, "Written, as far as the import says."),
  numError: said(count, "Stored as failures."),
  numIgnore: said(count, "Left out by the import's filter."),
};

/** One run of a flow. */
export const runDocument = v.object({
  _id: text,
  _flowId: text,
  _exportId: text,
  ...place,
  trigger: v.picklist(triggers),
  status: v.picklist(runStatuses),
  dueAt: v.optional(timeOf("The due time it was made for.")),
  queuedAt: time,
  startedAt: v.optional(timeOf("When it started last; a run taken back after a crash starts again.")),
  endedAt: v.optional(time),
  coalesced: said(count, "Due times that found this run waiting and added none."),
  skipped: said(count, "Due times that found this run waiting or running and were skipped."),
  crashes: said(count, "How often a process died, or lost its lease, while running it."),
  limit: v.optional(said(count, "A sample run: at most this many records.")),
  retry: v.optional(
    v.object({ _importId: v.optional(text), _ids: v.optional(v.array(text)), _integrationId: v.optional(text) }),
  ),
  numPagesGenerated: said(count, "Pages read as of the last commit, those read ahead included."),
  numPagesProcessed: said(count, "Pages committed."),
  ...counts,
  imports: said(
    v.record(text, v.object(counts)),
    "Per import; the run's own counts are their sums. From the beginning each import that the flow had when the run was queued, or the one that a retry is for.",
  ),
  error: v.optional(v.object({ code: text, message: text })),
});

/** One record that one import did not take. */
export const failureDocument = v.object({
  _id: text,
  _flowId: text,
  _exportId: text,
  _importId: text,
  ...place,
  _runId: said(text, "The run that failed to deliver it last."),
  key: said(text, "The record's identity, the same in every attempt."),
  record: said(
    v.unknown(),
    "The record as the export gave it. What JSON has not is shown as text (dates, big integers, bytes in base64) or as an array (maps, sets).",
  ),
  fault: said(v.picklist(faults), "How its last try ended."),
  message: text,
  code: v.optional(text),
  attempts: said(count, "How often it was sent, over all runs."),
  status: v.picklist(failureStatuses),
  createdAt: timeOf("When it failed first."),
  lastFailedAt: timeOf("When it failed last."),
  resolvedAt: v.optional(timeOf("When somebody resolved it by hand.")),
});

/** An export that flows can name. */
export const exportDocument = v.object({
  _id: text,
  onDemand: said(v.boolean(), "Can be read when a run asks."),
  realTime: said(v.boolean(), "Receives events by itself while the scheduler runs."),
  order: v.picklist(["ordered", "unordered"]),
  pageSize: count,
  checkpointVersion: count,
});

/** An import that flows can name. */
export const importDocument = v.object({
  _id: text,
  idempotent: said(v.boolean(), "Writing the same record again, under the same key, is harmless."),
  batchSize: v.optional(said(count, "Most records in one write; absent: a page is one batch.")),
  concurrency: said(count, "Batches of one page written at once."),
});

/** What deleting a flow would meet. */
export const dependenciesDocument = v.object({
  uses: v.object({
    exports: v.array(v.object({ _id: text, registered: v.boolean() })),
    imports: v.array(v.object({ _id: text, registered: v.boolean() })),
  }),
  usedBy: said(
    v.object({
      runs: said(v.array(text), "Runs that wait or are going on, at most 1,000 of each."),
      failures: said(v.array(text), "Open failures, at most 1,000."),
    }),
    "What is canceled or removed with the flow; empty means that deleting it loses nothing.",
  ),
});

/** What became of records that arrived. */
export const acceptedDocument = v.object({
  accepted: said(count, "Records that are in the inbox now, durably."),
  duplicates: said(count, "Records whose event id was seen before within the window."),
});

/** Which failures are no longer to be retried. */
export const resolvedDocument = v.object({
  _ids: said(v.array(text), "Those that were open, in the order given."),
});

/** Whether the door and what is behind it can do their work. */
export const healthDocument = v.object({
  status: said(v.literal("ok"), "The storage answers."),
  scheduler: said(
    v.picklist(["stopped", "starting", "started", "stopping"]),
    "Of this process; flows may run in another one.",
  ),
});

/** Why a request was refused: every problem there is. */
export const errorsDocument = v.object({
  errors: v.pipe(
    v.array(
      v.object({
        code: said(text, "Stable; switch on it."),
        message: said(text, "In words; may change."),
        field: v.optional(said(text, "The field, query parameter or header at fault.")),
      }),
    ),
    v.minLength(1),
  ),
});
