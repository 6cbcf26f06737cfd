import { pauseEnds } from "../model/delivery.ts";
import { failureStatuses, faults, resolvers } from "../model/failure.ts";
import { importStatuses, runStatuses, triggers } from "../model/run.ts";
import { v } from "../model/validate.ts";

/** A shape that is read or sent: it validates, and the OpenAPI document is made of it. */
export type Schema = v.GenericSchema;

/** The schema with a description for the OpenAPI document. */
export const described = <S extends Schema>(schema: S, description: string) =>
  v.pipe(schema, v.description(description));

const string = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(v.string(), v.isoTimestamp());
const timeOf = (description: string) => described(time, description);

const owner = {
  _integrationId: v.optional(described(string, "Integration of the flow at that time.")),
  _connectorId: v.optional(described(string, "Connector of the flow at that time.")),
};

/** How a flow does at present. */
const activity = v.object({
  lastRun: v.optional(
    described(
      v.object({
        _id: described(string, "The run."),
        status: described(v.picklist(runStatuses), "How it ended."),
        endedAt: v.optional(timeOf("When it ended.")),
        numError: described(count, "Records of it that were stored as failures."),
      }),
      "The newest run that has ended; absent: none has.",
    ),
  ),
  failingSince: v.optional(
    timeOf("When the first of the runs ended that have failed since one completed for all its imports."),
  ),
  overdueSince: v.optional(timeOf("The due time from which on the flow is overdue; absent: it is not.")),
  openFailures: described(count, "Open failures of the flow."),
  paused: described(
    v.array(
      v.object({
        _importId: described(string, "The import."),
        since: timeOf("When it was paused."),
        resumeAt: v.optional(timeOf("When it resumes by itself.")),
      }),
    ),
    "Imports that are paused.",
  ),
});

/** A stored flow. */
export const flowDocument = v.object({
  _id: described(string, "Assigned when the flow is created; never changes."),
  name: described(string, "Display name; need not be unique."),
  schedule: v.optional(described(string, "Cron expression; absent if the flow runs only on demand or on events.")),
  timezone: v.optional(described(string, "IANA time zone of the schedule; absent means the server's default.")),
  _exportId: described(string, "Export that the flow reads from."),
  _importId: described(string, "Import that the flow writes to; the first one if there are several."),
  _importIds: v.optional(described(v.array(string), "All imports in order; present if there is more than one.")),
  _integrationId: v.optional(described(string, "Integration that the flow belongs to.")),
  _connectorId: v.optional(described(string, "Connector that the flow belongs to.")),
  settings: v.optional(
    described(v.record(string, v.unknown()), "Settings for the export and the imports; a JSON object."),
  ),
  _runNextFlowIds: v.optional(
    described(v.array(string), "Flows that get a run when a run of this one completes; absent if there are none."),
  ),
  disabled: described(v.boolean(), "A disabled flow has no schedule, no manual runs and no intake."),
  disabledBy: v.optional(
    described(v.literal("code"), "Read-only. The application's code disabled the flow, not an operator."),
  ),
  group: v.optional(described(string, "Read-only. Group in which the application's code defines the flow.")),
  createdAt: timeOf("Read-only. When the flow was created."),
  lastModified: timeOf("Read-only. Strictly increases with every change."),
  lastExecutedAt: v.optional(timeOf("Read-only. When the newest run started.")),
  nextRunAt: v.optional(timeOf("Read-only. Next due time; absent without a schedule or while disabled.")),
  activity: v.optional(
    described(activity, "Read-only. How the flow does at present; only in lists whose `include` names it."),
  ),
});

/** How all flows do. */
export const overviewDocument = v.object({
  flows: described(
    v.object({
      enabled: described(count, "Enabled flows."),
      disabled: described(count, "Disabled flows."),
    }),
    "How many flows there are.",
  ),
  runs: described(
    v.object({ running: described(count, "Runs that run."), queued: described(count, "Runs that wait.") }),
    "How many runs have not ended, apart from those that are being canceled.",
  ),
  failing: described(count, "Enabled flows whose last run failed."),
  overdue: described(count, "Enabled flows of which two due times have passed since a run started."),
  paused: described(count, "Imports of enabled flows that are paused."),
  openFailures: described(
    count,
    "Open failures; less as long as `GET /causes` says that some are still being counted.",
  ),
  inboxPages: described(count, "Pages that wait in inboxes."),
  oldestQueuedAt: v.optional(timeOf("Since when the run waits that has waited longest; absent: none waits.")),
});

/** What was moved in one hour or day. */
export const statisticsDocument = v.object({
  from: timeOf("When it began."),
  completed: described(count, "Runs that completed."),
  failed: described(count, "Runs that failed."),
  canceled: described(count, "Runs that were canceled."),
  numSuccess: described(count, "Records written."),
  numError: described(count, "Records stored as failures."),
  numIgnore: described(count, "Records left out by an import's filter."),
  durationMs: described(count, "How long the runs that ended had taken, in milliseconds."),
});

const counts = {
  numSuccess: described(count, "Records written, as reported by the import."),
  numError: described(count, "Records stored as failures."),
  numIgnore: described(count, "Records that the import's filter left out."),
};

/** Why a run failed, or an import failed or is paused. */
export const reasonDocument = v.object({
  code: described(string, "Stable; meant for programs."),
  message: described(string, "Meant for people; may change."),
});

/** One run of a flow. */
export const runDocument = v.object({
  _id: described(string, "Assigned when the run is queued; later runs have higher ones."),
  _flowId: described(string, "The flow it is a run of."),
  _exportId: described(string, "The export it reads from."),
  ...owner,
  trigger: described(v.picklist(triggers), "What caused the run."),
  status: described(
    v.picklist(runStatuses),
    "`completed` may have failures; `failed` means that it did not get through.",
  ),
  dueAt: v.optional(timeOf("Due time of the schedule that the run was queued for.")),
  queuedAt: timeOf("When the run joined the queue of its flow."),
  startedAt: v.optional(timeOf("When the run last started; a run that is resumed after a crash starts again.")),
  endedAt: v.optional(timeOf("When the run completed, failed or was canceled.")),
  coalesced: described(count, "Due times that were merged into this run while it was queued."),
  skipped: described(count, "Due times that were skipped because this run was queued or running."),
  crashes: described(count, "How often a process died, or lost its lease, while running it."),
  limit: v.optional(described(count, "Sample run: most records for each import.")),
  parameters: v.optional(described(v.unknown(), "Handed to the export, such as the window of a backfill.")),
  moveCheckpoint: v.optional(described(v.literal(false), "The run neither reads from checkpoints nor moves them.")),
  chain: v.optional(described(v.array(string), "Flows whose runs led to this one, the first one first.")),
  origin: v.optional(described(string, "Where the request that queued it came from, such as a `traceparent`.")),
  notBefore: v.optional(timeOf("The run waits, and does not continue before this time.")),
  waits: v.optional(described(count, "How often it was returned to the queue to wait since its last progress.")),
  discard: v.optional(described(v.literal(true), "It was canceled together with the positions of its imports.")),
  retry: v.optional(
    described(
      v.object({
        _importId: v.optional(described(string, "Those at this import.")),
        _ids: v.optional(described(v.array(string), "These failures.")),
        _integrationId: v.optional(described(string, "Those of flows of this integration.")),
        _connectorId: v.optional(described(string, "Those of flows of this connector.")),
        _runId: v.optional(described(string, "Those of this run.")),
        fault: v.optional(described(v.picklist(faults), "Those of this kind.")),
        cause: v.optional(described(string, "Those with this cause.")),
        key: v.optional(described(string, "Those of records with this key.")),
        through: v.optional(described(string, "Those up to this one.")),
        dueBy: v.optional(timeOf("Those that were to be retried automatically by this time.")),
      }),
      "Which failures a retry sends; all open ones if nothing is named.",
    ),
  ),
  numPagesGenerated: described(count, "Pages read as of the last commit, including pages read ahead."),
  numPagesProcessed: described(count, "Pages committed."),
  total: v.optional(described(v.number(), "How many records there are for it to read, as the export estimated last.")),
  ...counts,
  imports: described(
    v.record(
      string,
      v.object({
        ...counts,
        status: v.optional(described(v.picklist(importStatuses), "How the import came out of the run.")),
        error: v.optional(reasonDocument),
      }),
    ),
    "Counts of each import; the run's own counts are their sums. Contains every import that the flow had when the run was queued, or the one that a retry is for.",
  ),
  error: v.optional(reasonDocument),
});

/** A record that an import did not take. */
export const failureDocument = v.object({
  _id: described(string, "Assigned when the record first failed."),
  _flowId: described(string, "The flow that moved the record."),
  _exportId: described(string, "The export that returned it."),
  _importId: described(string, "The import that did not take it."),
  ...owner,
  _runId: described(string, "The newest run in which the record failed."),
  key: described(string, "Identity of the record; the same in every attempt."),
  record: v.optional(
    described(
      v.unknown(),
      "The record as the export returned it; absent if it could not be kept. Dates, big integers and bytes (base64) are shown as strings, maps and sets as arrays.",
    ),
  ),
  version: v.optional(described(v.union([string, v.number()]), "Which state of the record it is.")),
  unstorable: v.optional(described(v.literal(true), "The record could not be kept and cannot be sent again.")),
  unreadable: v.optional(
    described(v.literal(true), "The export found something that is no record; it is sent again once it was edited."),
  ),
  original: v.optional(described(v.unknown(), "The record as it first failed, if it was edited.")),
  editedAt: v.optional(timeOf("When the record was edited.")),
  occurrences: described(count, "How often the record failed, in pages and retries."),
  retryAt: v.optional(timeOf("When it is retried automatically; absent: only on request.")),
  fault: described(v.picklist(faults), "How the last attempt ended."),
  message: described(string, "Error message of the last attempt."),
  code: v.optional(described(string, "Error code of the last attempt.")),
  cause: described(string, "The same for failures with the same fault and code whose messages differ in values only."),
  attempts: described(count, "How often the record was sent, in all runs together."),
  status: described(v.picklist(failureStatuses), "Open failures can be edited, retried and resolved."),
  createdAt: timeOf("When the record first failed."),
  lastFailedAt: timeOf("When the record last failed."),
  resolvedAt: v.optional(timeOf("When the failure was resolved.")),
  resolvedBy: v.optional(
    described(
      v.picklist(resolvers),
      "`delivery`: a later state of the record was delivered; `person`: by hand; `removed`: the flow lost the import.",
    ),
  ),
});

/** An export that flows can use. */
export const exportDocument = v.object({
  _id: described(string, "What flows refer to as `_exportId`."),
  onDemand: described(v.boolean(), "Can be read by scheduled and manual runs."),
  realTime: described(v.boolean(), "Receives events by itself while the scheduler runs."),
  order: described(v.picklist(["ordered", "unordered"]), "Whether every page's checkpoint counts at once."),
  pageSize: described(count, "Records of one page, as a hint to the export."),
  checkpointVersion: described(count, "Version of the checkpoint's shape."),
});

/** An import that flows can use. */
export const importDocument = v.object({
  _id: described(string, "What flows refer to as `_importId`."),
  idempotent: described(v.boolean(), "Writing the same record again under the same key is harmless."),
  batchSize: v.optional(described(count, "Most records of one write; absent: a page is one batch.")),
  concurrency: described(count, "Batches of one page that are written at the same time."),
});

const reference = v.object({
  _id: described(string, "The id that the flow names."),
  registered: described(v.boolean(), "False: there is no such export or import at present."),
});

/** What a flow uses, and what belongs to it. */
export const dependenciesDocument = v.object({
  uses: described(
    v.object({
      exports: described(v.array(reference), "The export of the flow."),
      imports: described(v.array(reference), "The imports of the flow, in order."),
    }),
    "What the flow cannot run without.",
  ),
  usedBy: described(
    v.object({
      runs: described(v.array(string), "Queued and active runs, at most 1,000 of each."),
      failures: described(v.array(string), "Open failures, at most 1,000."),
    }),
    "What is canceled or removed when the flow is deleted; empty lists mean that nothing is lost.",
  ),
});

/** The result of sending records to an export. */
export const acceptedDocument = v.object({
  accepted: described(count, "Records that are stored in the inbox."),
  duplicates: described(count, "Records whose event id was seen before within the deduplication window."),
});

/** How delivery to one import of a flow stands. */
export const deliveryDocument = v.object({
  _importId: described(string, "An import of the flow."),
  checkpoint: v.optional(described(v.unknown(), "Where reading for this import resumes; absent: from the start.")),
  checkpointVersion: v.optional(described(count, "Version of the checkpoint's shape.")),
  movedAt: v.optional(timeOf("When the import last moved on.")),
  behind: described(v.boolean(), "It is behind other imports of the flow, or in the middle of a reading."),
  openFailures: described(count, "Open failures of the flow at this import."),
  paused: v.optional(
    described(
      v.object({
        since: timeOf("When it was paused."),
        until: described(v.picklist(pauseEnds), "What ends the pause: a time, the next run, or a person."),
        resumeAt: v.optional(timeOf("When it resumes by itself.")),
        reason: reasonDocument,
        attempts: described(count, "Pauses in a row without progress."),
        maxOpen: v.optional(described(count, "It also resumes once no more failures than this are open.")),
      }),
      "Absent: the import is not paused.",
    ),
  ),
});

/** A page that waits in an inbox. */
export const inboxPageDocument = v.object({
  _id: described(string, "What `POST /flows/{_id}/inbox/drop` refers to."),
  arrivedAt: timeOf("When the records were stored."),
  records: described(v.array(v.unknown()), "The records, shown as in failures."),
  keys: described(v.array(string), "The event id or key of each record."),
  _importIds: described(v.array(string), "Imports that have not settled the page."),
});

/** The run that a resumed flow got. */
export const resumedDocument = v.object({ run: v.optional(runDocument) });

/** Which pages were dropped. */
export const droppedDocument = v.object({ _ids: described(v.array(string), "Those that were in the inbox.") });

/** Which failures were resolved. */
export const resolvedDocument = v.object({
  _ids: described(v.array(string), "Those that were open, in the order of the request."),
});

/** What a caller may do. */
export const permissionsDocument = v.object({
  actions: described(v.record(string, v.boolean()), "Every action, and whether the caller may do it."),
  _integrationId: v.optional(described(string, "The only integration that the caller may see; absent: all.")),
  caller: v.optional(described(string, "The caller's name, as the host's hook gives it.")),
});

/** What a schedule means. */
export const schedulePreviewDocument = v.object({
  expression: described(
    string,
    "The schedule as five fields, with the slots that `H` draws; six, seconds first, if it names another second than 0.",
  ),
  timezone: described(string, "IANA time zone in which it is due."),
  dueAt: described(v.array(time), "The next due times."),
});

/** Open failures of one cause. */
export const causeDocument = v.object({
  cause: described(string, "What failures are listed, retried and resolved by."),
  pattern: described(string, "What their messages have in common."),
  fault: described(v.picklist(faults), "How their last attempt ended."),
  code: v.optional(described(string, "Error code of their last attempt.")),
  _importId: v.optional(described(string, "Only with `_flowId`: the import.")),
  open: described(count, "How many are open."),
  flows: described(count, "Flows that have some."),
  firstAt: timeOf("When the first of them failed first."),
  lastAt: timeOf("When one of them failed last."),
  sample: described(string, "The `_id` of one of them."),
});

/** Retry runs of several flows. */
export const retriedBatchDocument = v.object({
  runs: described(v.array(string), "The runs that were queued, one for each flow."),
  refused: described(
    v.array(
      v.object({
        _flowId: described(string, "A flow that got no run."),
        code: described(string, "Why: the code of an error, such as `flow_disabled`."),
      }),
    ),
    "Flows that got none.",
  ),
  next: v.optional(described(string, "Send it as `after` for the rest; absent: there is none.")),
});

/** Failures that were resolved together. */
export const resolvedBatchDocument = v.object({
  resolved: described(count, "How many were open."),
  next: v.optional(described(string, "Send it as `after` for the rest; absent: there is none.")),
});

/** Whether the service can do its work. */
export const healthDocument = v.object({
  status: described(v.literal("ok"), "The storage responds."),
  scheduler: described(
    v.picklist(["stopped", "starting", "started", "stopping"]),
    "State of the scheduler in this process; flows may run in another process.",
  ),
});

/** One reason. */
export const problemDocument = v.object({
  ...reasonDocument.entries,
  field: v.optional(described(string, "The field, query parameter or header at fault.")),
});

/** Why a request was refused. */
export const errorsDocument = v.object({
  errors: v.pipe(v.array(problemDocument), v.minLength(1), v.description("At least one.")),
});
