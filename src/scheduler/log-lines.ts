import type { SchedulerEvents } from "../events.ts";
import type { Logger } from "../model/logger.ts";
import { messageOf } from "../model/message.ts";
import type { Run } from "../model/run.ts";

/** What is written to the log of each event: one line for each run that ended, and one for what went wrong or right again. */
const lines: { readonly [Name in keyof SchedulerEvents]?: (log: Logger, payload: SchedulerEvents[Name]) => void } = {
  "run:completed": (log, { run }) => {
    log[run.numError > 0 ? "warn" : "info"](fieldsOf(run), "run completed");
    logImportErrors(log, run);
  },
  "run:failed": (log, { run }) => {
    log.error({ ...fieldsOf(run), code: run.error?.code, error: run.error?.message }, "run failed");
    logImportErrors(log, run);
  },
  "run:canceled": (log, { run }) => log.info(fieldsOf(run), "run canceled"),
  "run:requeued": (log, { reason, run }) => {
    if (reason === "crash")
      log.warn({ ...fieldsOf(run), crashes: run.crashes }, "run reclaimed: its process died or froze; it is resumed");
  },
  "run:unclaimed": (log, { missing, run }) =>
    log.warn({ ...fieldsOf(run), missing }, "runs are left to other processes: what they need is not registered here"),
  "inbox:filling": (log, { _flowId, maxInboxPages, pages }) =>
    log.warn({ flowId: _flowId, pages, maxInboxPages }, "inbox filling: at its limit what arrives is refused as busy"),
  "import:paused": (log, { _importId, pause, run }) =>
    log.warn({ flowId: run._flowId, runId: run._id, importId: _importId, ...pause }, "import paused"),
  "import:resumed": (log, { _flowId, _importId, run }) => {
    const runId = run === undefined ? {} : { runId: run._id };
    log.info({ flowId: _flowId, ...runId, importId: _importId }, "import resumed");
  },
  "lease:lost": (log, { run }) => log.warn(fieldsOf(run), "lease lost: another process has reclaimed the run"),
  "flow:overdue": (log, { dueAt, flow, lastExecutedAt }) =>
    log.warn({ flowId: flow._id, dueAt, lastExecutedAt }, "flow overdue: no run began for twice its interval"),
  "listen:failed": (log, { _exportId, delayMs, error }) =>
    log.error({ exportId: _exportId, error: messageOf(error), delayMs }, "listen failed"),
  "clock:changed": (log, { byMs }) => log.warn({ byMs }, "the clock changed"),
  "background:error": (log, { during, error }) =>
    log.error({ error: messageOf(error), during }, "failed in the background; it is tried again"),
};

/** Writes the line of an event, if it has one. */
export function logEvent<Name extends keyof SchedulerEvents>(
  log: Logger,
  name: Name,
  payload: SchedulerEvents[Name],
): void {
  lines[name]?.(log, payload);
}

function logImportErrors(log: Logger, run: Run): void {
  for (const [importId, { error, status }] of Object.entries(run.imports))
    // A pause has a line of its own, and what failed the whole run is in the run's line.
    if (error !== undefined && status === "failed" && error.message !== run.error?.message)
      log.error(
        { flowId: run._flowId, runId: run._id, importId, code: error.code, error: error.message },
        "import failed",
      );
}

function fieldsOf(run: Run): object {
  const { _flowId, _id, numError, numIgnore, numSuccess, trigger } = run;
  return { flowId: _flowId, runId: _id, trigger, numSuccess, numError, numIgnore };
}
