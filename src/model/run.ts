import type { Fault } from "./failure.ts";
import { type Flow, importIdsOf } from "./flow/flow.ts";
import type { Json } from "./record/json.ts";

/** Why a run exists. */
export const triggers = ["schedule", "catch-up", "manual", "realtime", "retry", "resume", "chained"] as const;
/** One of {@link triggers}. */
export type Trigger = (typeof triggers)[number];

/** What a run can be, in the API's words. */
export const runStatuses = ["queued", "running", "completed", "failed", "canceling", "canceled"] as const;
/** One of {@link runStatuses}. */
export type RunStatus = (typeof runStatuses)[number];

/** Every legal move. `running → queued` is a run reclaimed after a crash, or released to wait or by a process that stops. */
export const runTransitions: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  queued: ["running", "canceling"],
  running: ["completed", "failed", "canceling", "queued"],
  canceling: ["canceled"],
  completed: [],
  failed: [],
  canceled: [],
};

/** How one import, or all of a run's together, fared with the records: success + ignore + error = read. */
export interface Counts {
  /** Written, as far as the import says. */
  readonly numSuccess: number;
  /** Stored as failures. */
  readonly numError: number;
  /** Left out by the import's filter. */
  readonly numIgnore: number;
}

/**
 * How an import came out of a run. `behind`: it yielded to the flow's next run and goes on later. `skipped`: it was
 * paused before and not due, so nothing was read for it.
 */
export const importStatuses = ["completed", "failed", "paused", "behind", "skipped"] as const;
/** One of {@link importStatuses}. */
export type ImportStatus = (typeof importStatuses)[number];

/** One import's part of a run. */
export interface RunImport extends Counts {
  /** Absent until the run has ended. */
  readonly status?: ImportStatus;
  /** Why it failed or is paused. */
  readonly error?: RunError;
}

/** Why a run ended as failed. */
export interface RunError {
  /** One of the codes of the errors page, such as `export_failed`. */
  readonly code: string;
  readonly message: string;
}

/** One run of a flow. Documents are frozen; times are ISO 8601 UTC. */
export interface Run extends Counts {
  readonly _id: string;
  readonly _flowId: string;
  readonly _exportId: string;
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly trigger: Trigger;
  readonly status: RunStatus;
  /** The due time it was made for (`schedule`, `catch-up`). */
  readonly dueAt?: string;
  readonly queuedAt: string;
  /** When it started last; a run reclaimed after a crash starts again. */
  readonly startedAt?: string;
  readonly endedAt?: string;
  /** Due times that found this run waiting and added none. */
  readonly coalesced: number;
  /** Due times that found this run waiting or running and were skipped (`overlap: "skip"`). */
  readonly skipped: number;
  /** How often a process died, or lost its lease, while running it, since it last committed a page. */
  readonly crashes: number;
  /** A sample run: at most this many records for each import, and no checkpoint moves. */
  readonly limit?: number;
  /** JSON handed to the export's `pages`, such as the window of a backfill. */
  readonly parameters?: Json;
  /** False: it reads from no checkpoint, and leaves every import's checkpoint where it is. */
  readonly moveCheckpoint?: false;
  /** A chained run: the flows whose runs led to it, the first one first. None of them is chained to again. */
  readonly chain?: readonly string[];
  /** Where the request that queued it came from, as the scheduler's `tracing` says. */
  readonly origin?: string;
  /** It waits, and is not to go on before this instant. */
  readonly notBefore?: string;
  /** How often it was given back to wait since it last made progress. */
  readonly waits?: number;
  /** It is canceled, and the positions of its flow's imports are given up with it. */
  readonly discard?: true;
  /** Which failures a `retry` run takes; absent fields mean all open ones. */
  readonly retry?: RetrySelection;
  /** Pages read as of the last commit, those read ahead included. */
  readonly numPagesGenerated: number;
  /** Pages committed. */
  readonly numPagesProcessed: number;
  /** How many records there are for it to read, as the export estimated last. */
  readonly total?: number;
  /**
   * Per import; the run's own counts are their sums. From the beginning each import that the flow had when the run was
   * queued, or the one that a retry is for.
   */
  readonly imports: Readonly<Record<string, RunImport>>;
  readonly error?: RunError;
}

/** Which open failures of the flow a retry run takes. */
export interface RetrySelection {
  /** One of the flow's imports. */
  readonly _importId?: string;
  /** Failures of records of this export: none, if the flow reads from another one by now. */
  readonly _exportId?: string;
  /** Failures of the flow; those that are not open are left out. */
  readonly _ids?: readonly string[];
  /** Failures that carry this integration: a flow may have moved since, and its failures keep theirs. */
  readonly _integrationId?: string;
  readonly _runId?: string;
  readonly _connectorId?: string;
  readonly fault?: Fault;
  readonly cause?: string;
  readonly key?: string;
  /** What the key begins with, 1 to 200 characters. */
  readonly keyPrefix?: string;
  /** A part of the message, or of the record as JSON, in any case of ASCII letters, 1 to 200 characters. */
  readonly text?: string;
  /** What was stored after the failure with this id is left alone. */
  readonly through?: string;
  /** Those whose time for an automatic retry has come when the run reads; ISO 8601 UTC. */
  readonly dueBy?: string;
}

/** What is chosen when a run joins its flow's queue. */
export type RunStart = Pick<
  Run,
  | "_id"
  | "_flowId"
  | "trigger"
  | "queuedAt"
  | "dueAt"
  | "limit"
  | "retry"
  | "parameters"
  | "moveCheckpoint"
  | "chain"
  | "origin"
>;

/** True for a run that moves no import's place: what it has read is its own. */
export function hasOwnPosition(run: Pick<Run, "trigger" | "limit" | "parameters" | "moveCheckpoint">): boolean {
  return (
    run.trigger === "retry" || run.limit !== undefined || run.parameters !== undefined || run.moveCheckpoint === false
  );
}

/**
 * False for a run that does not say whether its flow is well, however it ended: a sample, one that sends failures again,
 * or one that completed without an import that is paused. What that import had failed by may be there yet.
 */
export function showsHealth(run: Pick<Run, "trigger" | "limit" | "status" | "imports">): boolean {
  if (run.trigger === "retry" || run.limit !== undefined) return false;
  return run.status !== "completed" || Object.values(run.imports).every(({ status }) => status !== "skipped");
}

/** The flow's part of a run. */
type RunPlace = Pick<Flow, "_id" | "_exportId" | "_importId" | "_importIds" | "_integrationId" | "_connectorId">;

/** A run that waits. */
export function newRun(start: RunStart, flow: RunPlace): Run {
  return Object.freeze<Run>({
    ...start,
    _flowId: flow._id,
    _exportId: flow._exportId,
    ...(flow._integrationId === undefined ? {} : { _integrationId: flow._integrationId }),
    ...(flow._connectorId === undefined ? {} : { _connectorId: flow._connectorId }),
    status: "queued",
    coalesced: 0,
    skipped: 0,
    crashes: 0,
    numPagesGenerated: 0,
    numPagesProcessed: 0,
    ...noCounts,
    imports: nothingFor(start.retry?._importId === undefined ? importIdsOf(flow) : [start.retry._importId]),
  });
}

/** Nothing counted yet. */
export const noCounts: Counts = Object.freeze({
  numSuccess: 0,
  numError: 0,
  numIgnore: 0,
});

function nothingFor(_importIds: readonly string[]): Readonly<Record<string, Counts>> {
  const imports: Record<string, Counts> = {};
  for (const _importId of _importIds) imports[_importId] = noCounts;
  return Object.freeze(imports);
}

/** True once nothing about the run will change. */
export function hasEnded(run: Pick<Run, "status">): boolean {
  return runTransitions[run.status].length === 0;
}

/**
 * The run after a move.
 *
 * @throws RangeError if the table has no such move.
 */
export function transitionRun(run: Run, status: RunStatus, changes: Partial<Run> = {}): Run {
  if (!runTransitions[run.status].includes(status))
    throw new RangeError(`run ${run._id}: a run that is ${run.status} cannot become ${status}`);
  return Object.freeze({ ...run, ...changes, status });
}

/** Both added up. */
export function addCounts(one: Counts, other: Counts): Counts {
  return Object.freeze({
    numSuccess: one.numSuccess + other.numSuccess,
    numError: one.numError + other.numError,
    numIgnore: one.numIgnore + other.numIgnore,
  });
}

/** The rule every committed page obeys for each import: what was read is written, ignored or stored, once. */
export function countsAddUp(read: number, counts: Counts): boolean {
  return counts.numSuccess + counts.numIgnore + counts.numError === read;
}

/** What a commit adds to a run. */
export interface PageCounts {
  /** Replaces `numPagesGenerated`. */
  readonly generated: number;
  /** Replaces `total`, if it is there. */
  readonly total?: number | undefined;
  /** Added to `numPagesProcessed`. */
  readonly processed: number;
  readonly counts: Readonly<Record<string, Counts>>;
}

/** The run with one more commit. */
export function withPage(run: Run, { generated, processed, counts: page, total = run.total }: PageCounts): Run {
  const imports: Record<string, RunImport> = { ...run.imports };
  // Assigned: what a literal adds to what it spreads costs every page several times as much.
  const next: { -readonly [Field in keyof Run]: Run[Field] } = run.waits === undefined ? { ...run } : withoutWaits(run);
  for (const _importId of Object.keys(page)) {
    const counts = page[_importId] ?? noCounts;
    imports[_importId] = addCounts(imports[_importId] ?? noCounts, counts);
    next.numSuccess += counts.numSuccess;
    next.numError += counts.numError;
    next.numIgnore += counts.numIgnore;
  }
  next.crashes = 0;
  next.numPagesGenerated = generated;
  next.numPagesProcessed += processed;
  next.imports = Object.freeze(imports);
  if (total !== undefined) next.total = total;
  return Object.freeze(next);
}

function withoutWaits({ waits: _, ...run }: Run): Omit<Run, "waits"> {
  return run;
}

/** The run's imports with how each came out of it. */
export function withImportEndings(
  run: Run,
  endings: Readonly<Record<string, { readonly status: ImportStatus; readonly error?: RunError }>>,
): Run["imports"] {
  const imports: Record<string, RunImport> = { ...run.imports };
  for (const [_importId, { status, error }] of Object.entries(endings)) {
    const { numSuccess, numError, numIgnore } = imports[_importId] ?? noCounts;
    const counts = { numSuccess, numError, numIgnore, status };
    imports[_importId] = Object.freeze(
      error === undefined ? counts : { ...counts, error: Object.freeze({ ...error }) },
    );
  }
  return Object.freeze(imports);
}
