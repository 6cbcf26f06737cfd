import { type Clock, type Yielder, delay } from "../clock.ts";
import {
  CountsMismatchError,
  ContractViolationError,
  ExportFailedError,
  ImportFailedError,
  LeaseLostError,
  PoundlockError,
  TooManyFailuresError,
} from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Export } from "../model/export.ts";
import type { Failure, Fault } from "../model/failure.ts";
import { importIdsOf } from "../model/flow.ts";
import type { Import } from "../model/import.ts";
import type { Json } from "../model/json.ts";
import { type Logger, withFields } from "../model/logger.ts";
import { copyRecord } from "../model/copy.ts";
import { type Counts, type Run, countsAddUp, noCounts } from "../model/run.ts";
import { codeOf, messageOf } from "../model/message.ts";
import type { RunLease, PageCommit, RunPosition, Storage, StoredCheckpoint, ClaimedRun } from "../storage/storage.ts";
import { type RetryPolicy, longestWaitMs, retryDelay, waitMsOf } from "./retry.ts";
import { Batch } from "./batch.ts";
import { AttemptSignals } from "./import-context.ts";
import { type ImportResult, countsOf, importPage } from "./import-page.ts";
import { ReadAhead } from "./read-ahead.ts";
import { ExportSource, FailureSource, InboxSource, ResumeLater, type Source, type SourcePage } from "./source.ts";
import type { Destination, RecordError } from "./write-batch.ts";

/** Everything one run needs. */
export interface RunJob {
  readonly claimed: ClaimedRun;
  readonly lease: RunLease;
  readonly export: Export<unknown>;
  /** The flow's imports, in order. */
  readonly imports: ReadonlyMap<string, Import<unknown>>;
  readonly storage: Pick<Storage, "commitPage" | "readInbox" | "listFailures">;
  readonly clock: Clock;
  readonly pace: Yielder;
  /** Aborts to cancel, to stop, or because the lease is lost. */
  readonly signal: AbortSignal;
  readonly limits: RunLimits;
  /** Whether what imports get to see is frozen. */
  readonly freeze: boolean;
  readonly newId: () => string;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
}

/** The options that bound a run. */
export interface RunLimits {
  readonly prefetch: number;
  readonly maxAttempts: number;
  readonly maxFailures: number;
  readonly backoff: RetryPolicy;
}

/** How a run went. `aborted`: it stopped at a page boundary because its signal said so. */
export type RunResult =
  | { readonly end: "completed"; readonly run: Run; readonly checkpoint?: StoredCheckpoint }
  | { readonly end: "failed"; readonly run: Run; readonly error: PoundlockError }
  | { readonly end: "aborted"; readonly run: Run };

// A reason of our own: the default one is an exception with a stack, made anew each time.
const readingEnds = new Error("the run reads no more");

/** `run:progress` is emitted for the first page committed, and then not before so many milliseconds have passed. */
const progressIntervalMs = 1_000;

/** Records of a page for which the export gives no hint. */
const defaultPageSize = 100;

/**
 * Moves a flow's records, page by page: read, offered to every import at once, settled, committed. Whatever happens,
 * what was committed stays and what was not is read again by who resumes.
 *
 * @throws `lease_lost` if another process took the run over; `storage_failed` if the storage does not answer.
 */
export async function executeRun(job: RunJob): Promise<RunResult> {
  const execution = new Execution(job);
  try {
    return await execution.run();
  } catch (error) {
    // What the storage says is not the run's to end with: the run stays as it is and is resumed by who finds it.
    if (!(error instanceof PoundlockError) || error.code === "storage_failed" || error.code === "lease_lost")
      throw error;
    return { end: "failed", run: execution.current, error };
  }
}

/** One import's part of a page, settled. */
interface Part {
  readonly to: Destination;
  readonly batch: Batch;
  readonly result: ImportResult;
}

class Execution {
  readonly #job: RunJob;
  readonly #log: Logger;
  readonly #destinations: readonly Destination[];
  #run: Run;
  #position: RunPosition;
  /** Reads of the export that `retryLater` ended since the checkpoint moved last. */
  #resumes = 0;
  /** Pages committed since, without a checkpoint of their own. */
  #sincePosition = 0;
  #progressAt = -Infinity;

  constructor(job: RunJob) {
    this.#job = job;
    this.#run = job.claimed.run;
    this.#position = job.claimed.position ?? { pages: 0 };
    this.#log = withFields(job.log, { flowId: job.claimed.flow._id, runId: job.claimed.run._id });
    this.#destinations = [...job.imports].map(([_importId, into]) => this.#destination(_importId, into));
  }

  get current(): Run {
    return this.#run;
  }

  async run(): Promise<RunResult> {
    for (;;) {
      try {
        await this.#readToTheEnd();
        return this.#isAborted() ? { end: "aborted", run: this.#run } : this.#completed();
      } catch (error) {
        if (this.#isAborted() && (error instanceof ExportFailedError || error instanceof ResumeLater))
          return { end: "aborted", run: this.#run };
        if (!(error instanceof ResumeLater)) throw error;
        await this.#waitToResume(error);
      }
    }
  }

  #completed(): RunResult {
    const { value } = this.#position.checkpoint ?? {};
    const moves = value !== undefined && this.#job.export.order !== "ordered" && this.#movesFlow();
    const checkpoint = moves ? this.#position.checkpoint : undefined;
    return { end: "completed", run: this.#run, ...(checkpoint === undefined ? {} : { checkpoint }) };
  }

  async #waitToResume(error: ResumeLater): Promise<void> {
    const { clock, limits, signal, emit } = this.#job;
    this.#resumes++;
    if (this.#resumes >= limits.maxAttempts) throw new ExportFailedError(this.#run._exportId, error.cause);
    const afterMs = Math.min(waitMsOf(error.afterMs, clock.now()), longestWaitMs);
    const delayMs = retryDelay(this.#resumes, limits.backoff, afterMs);
    emit("run:retrying", { run: this.#run, attempt: this.#resumes, delayMs, message: error.message });
    await delay(clock, delayMs, signal);
  }

  async #readToTheEnd(): Promise<void> {
    const { limits, pace, signal } = this.#job;
    if (this.#isAborted()) return;
    const reading = new ReadSignal(signal);
    const readBefore = this.#run.numPagesGenerated;
    const pages = new ReadAhead(this.#open(reading), limits.prefetch, signal);
    try {
      for (let page = await pages.next(); page !== undefined; page = await pages.next()) {
        if (this.#isAborted()) return;
        const { limit } = this.#run;
        const left = limit === undefined ? Infinity : limit - this.#recordsRead();
        if (!(await this.#movePage(cut(page, left), readBefore + pages.read)) || page.records.length >= left) return;
        if (pace.isDue()) await pace.yield();
      }
    } finally {
      reading.end();
      await pages.close();
    }
  }

  #open(reading: ReadSignal): Source {
    const { claimed, storage, export: from } = this.#job;
    const { flow } = claimed;
    const { _exportId } = flow;
    this.#sincePosition = 0;
    const pageSize = from.pageSize ?? defaultPageSize;
    const run = this.#run;
    if (run.trigger === "retry") {
      const { _importId, ...chosen } = run.retry ?? {};
      const _importIds = importIdsOf(flow).filter((_id) => _importId === undefined || _id === _importId);
      const origin = { storage, _flowId: flow._id, _importIds, pageSize, ...chosen };
      return new FailureSource(origin, this.#position.checkpoint?.value);
    }
    if (run.trigger === "realtime" || from.pages === undefined)
      return new InboxSource({ storage, export: from, _exportId, _flowId: flow._id, pageSize });
    const limit = run.limit === undefined ? {} : { limit: run.limit - this.#recordsRead() };
    const context = {
      checkpoint: this.#checkpoint(),
      run,
      flow,
      pageSize,
      ...limit,
      get signal() {
        return reading.signal;
      },
      log: this.#log,
    };
    return new ExportSource(from, context, { pagesBefore: this.#position.pages, freeze: this.#job.freeze });
  }

  // This run's own progress, else the flow's; in today's shape.
  #checkpoint(): Json | undefined {
    const { export: from, claimed } = this.#job;
    const stored = this.#position.checkpoint ?? claimed.checkpoint;
    const version = from.checkpointVersion ?? 1;
    if (stored === undefined || stored.version === version) return stored?.value;
    if (from.migrate === undefined)
      throw this.#exportBroke(`its checkpoint has version ${stored.version}, it reads ${version}, and has no migrate`);
    try {
      return from.migrate(stored.value, stored.version);
    } catch (error) {
      throw this.#exportBroke(`migrate failed: ${messageOf(error)}`, error);
    }
  }

  // False: the run was aborted before the page was settled, and nothing of it is committed.
  async #movePage(page: SourcePage, generated: number): Promise<boolean> {
    const parts = await this.#offerToAll(page);
    const settled = this.#isAborted() ? settleAborted(parts) : parts;
    if (settled === undefined) return false;
    const overdrawn = this.#isAborted() ? undefined : this.#overdrawn(settled);
    // What may not be sent again has to be stored, and then this page may not be read again.
    if (overdrawn !== undefined && !settled.some(isInDoubt)) throw overdrawn;
    const counts = this.#balancedCounts(settled);
    await this.#commit(page, settled, counts, generated);
    if (overdrawn !== undefined) throw overdrawn;
    return true;
  }

  // Side by side: no import waits for, or hears of, another one's failed with this page.
  async #offerToAll(page: SourcePage): Promise<readonly Part[]> {
    const { records, keyOf, failures } = page;
    const batch = new Batch(records, { keyOf, mayRepeat: this.#job.export.key !== undefined });
    const destinations = this.#destinations.filter(
      ({ _importId }) => failures === undefined || failures._importId === _importId,
    );
    const parts = await Promise.all(
      destinations.map(async (to) => ({ to, batch, result: await importPage(batch, to, failures?.doubtful) })),
    );
    for (const { result } of parts) {
      const error = result.violation ?? result.stopped;
      if (error !== undefined) throw error;
    }
    return parts;
  }

  #destination(_importId: string, into: Import<unknown>): Destination {
    const { clock, limits, signal, claimed, emit } = this.#job;
    const current = () => this.#run;
    return {
      _importId,
      import: into,
      get run() {
        return current();
      },
      flow: claimed.flow,
      log: this.#log,
      clock,
      signal,
      attempts: new AttemptSignals(signal),
      freeze: this.#job.freeze,
      shared: this.#job.imports.size > 1,
      maxAttempts: limits.maxAttempts,
      maxWaitMs: Infinity,
      backoff: limits.backoff,
      onRetry: (attempt, delayMs, message) =>
        emit("run:retrying", { run: this.#run, _importId, attempt, delayMs, message }),
    };
  }

  // An outage must not turn a million records into failures: then the run fails, and this page is not committed.
  #overdrawn(parts: readonly Part[]): PoundlockError | undefined {
    for (const part of parts) {
      const error = this.#overBudget(part);
      if (error !== undefined) return error;
    }
    return undefined;
  }

  #overBudget({ to, result }: Part): PoundlockError | undefined {
    const { maxAttempts, maxFailures } = this.#job.limits;
    const last = result.errors.at(-1);
    if (last === undefined) return undefined;
    const before = this.#run.imports[to._importId] ?? noCounts;
    const untouched = before.numSuccess + before.numError === 0;
    if (untouched && result.sent > 0 && result.errors.filter((failed) => isDown(failed, to)).length === result.sent)
      return new ImportFailedError(to._importId, maxAttempts, messageOf(last.error));
    if (before.numError + result.errors.length > maxFailures)
      return new TooManyFailuresError(to._importId, maxFailures, messageOf(last.error));
    return undefined;
  }

  #balancedCounts(parts: readonly Part[]): Readonly<Record<string, Counts>> {
    const counts: Record<string, Counts> = {};
    for (const { to, batch, result } of parts) {
      const made = countsOf(result);
      if (!countsAddUp(batch.size, made))
        throw new CountsMismatchError(to._importId, batch.size, made.numSuccess + made.numIgnore + made.numError);
      counts[to._importId] = made;
    }
    return counts;
  }

  async #commit(
    page: SourcePage,
    parts: readonly Part[],
    counts: PageCommit["counts"],
    generated: number,
  ): Promise<void> {
    const { lease, storage, emit } = this.#job;
    const pages = this.#position.pages + this.#sincePosition + 1;
    const position =
      page.checkpoint === undefined ? undefined : Object.freeze({ pages, checkpoint: this.#stored(page.checkpoint) });
    const failures = this.#failures(parts, page);
    const moved = page.failures === undefined && this.#job.export.order === "ordered" && this.#movesFlow();
    const run = await storage.commitPage(lease, {
      ordinal: this.#run.numPagesProcessed + 1,
      generated,
      counts,
      ...(position === undefined ? {} : { position }),
      ...(position === undefined || !moved ? {} : { checkpoint: position.checkpoint }),
      failures,
      delivered: page.failures === undefined ? [] : deliveredOf(page.failures, parts),
      ...(page.inboxThrough === undefined || this.#run.limit !== undefined ? {} : { inboxThrough: page.inboxThrough }),
    });
    if (run === undefined) throw new LeaseLostError(lease._runId);
    this.#run = run;
    this.#advance(position);
    this.#emitProgress(page.total);
    if (failures.length > 0) emit("failures:stored", { run, failures });
  }

  #emitProgress(total: number | undefined): void {
    const now = this.#job.clock.now();
    if (now - this.#progressAt < progressIntervalMs && now >= this.#progressAt) return;
    this.#progressAt = now;
    this.#job.emit("run:progress", { run: this.#run, ...(total === undefined ? {} : { total }) });
  }

  #advance(position: RunPosition | undefined): void {
    if (position === undefined) this.#sincePosition++;
    else {
      if (this.#resumes > 0 && isElsewhere(position, this.#position)) this.#resumes = 0;
      this.#position = position;
      this.#sincePosition = 0;
    }
  }

  #stored(value: Json): StoredCheckpoint {
    return Object.freeze({ value, version: this.#job.export.checkpointVersion ?? 1 });
  }

  #failures(parts: readonly Part[], page: SourcePage): readonly Failure[] {
    const failures: Failure[] = [];
    for (const part of parts) for (const failed of part.result.errors) failures.push(this.#failure(failed, part, page));
    return failures;
  }

  #failure(failed: RecordError, { to, batch }: Part, page: SourcePage): Failure {
    const now = new Date(this.#job.clock.now()).toISOString();
    const { index, error, attempts } = failed;
    const { _id, _flowId, _exportId, _integrationId, _connectorId } = this.#run;
    const key = batch.keyOf(index);
    const code = codeOf(error);
    return {
      _id: page.failures?._ids[index] ?? this.#job.newId(),
      _flowId,
      _exportId,
      _importId: to._importId,
      ...(_integrationId === undefined ? {} : { _integrationId }),
      ...(_connectorId === undefined ? {} : { _connectorId }),
      _runId: _id,
      key,
      record: this.#storable(batch.records[index], key),
      fault: faultOf(failed),
      message: messageOf(error),
      ...(code === undefined ? {} : { code }),
      attempts: attempts + (page.failures?.attempts[index] ?? 0),
      status: "open",
      createdAt: page.failures?.createdAt[index] ?? now,
      lastFailedAt: now,
    };
  }

  #storable(record: unknown, key: string): unknown {
    try {
      return copyRecord(record);
    } catch (error) {
      throw this.#exportBroke(`record ${key} cannot be stored as a failure: ${messageOf(error)}`, error);
    }
  }

  #exportBroke(problem: string, cause?: unknown): ContractViolationError {
    return new ContractViolationError("Export", this.#run._exportId, problem, cause);
  }

  #isAborted(): boolean {
    return this.#job.signal.aborted;
  }

  #movesFlow(): boolean {
    const { trigger, limit } = this.#run;
    return limit === undefined && trigger !== "retry" && trigger !== "realtime";
  }

  // Every import reads every record of a run that may have a limit, but the flow may have had others for some of it.
  #recordsRead(): number {
    const reads = Object.values(this.#run.imports).map(
      (counts) => counts.numSuccess + counts.numError + counts.numIgnore,
    );
    return Math.max(0, ...reads);
  }
}

/** Aborts with the run, or when nothing more is to be read; made only if the export asks for it. */
class ReadSignal {
  readonly #run: AbortSignal;
  readonly #abort = () => this.#controller?.abort(this.#run.reason ?? readingEnds);
  #controller: AbortController | undefined;
  #ended = false;

  constructor(run: AbortSignal) {
    this.#run = run;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#run.aborted || this.#ended) this.#abort();
      else this.#run.addEventListener("abort", this.#abort);
    }
    return this.#controller.signal;
  }

  end(): void {
    this.#ended = true;
    this.#run.removeEventListener("abort", this.#abort);
    this.#abort();
  }
}

// An export that gives the checkpoint again which it was opened with has made no progress.
function isElsewhere(one: RunPosition, other: RunPosition): boolean {
  return JSON.stringify(one.checkpoint?.value) !== JSON.stringify(other.checkpoint?.value);
}

// Only part of a page: its checkpoint would say too much.
function cut(page: SourcePage, left: number): SourcePage {
  if (page.records.length <= left) return page;
  const { keyOf, total, failures } = page;
  return {
    records: Object.freeze(page.records.slice(0, left)),
    keyOf,
    ...(total === undefined ? {} : { total }),
    ...(failures === undefined ? {} : { failures }),
  };
}

// After an abort: a page is committed if all of it is settled, or if leaving it out would send a record twice to an
// import that does not bear it; then what was not sent is stored. Otherwise it is left to who resumes.
function settleAborted(parts: readonly Part[]): readonly Part[] | undefined {
  if (parts.every(({ result }) => result.errors.every(({ fault }) => fault !== "unsent"))) return parts;
  const touched = parts.some(
    ({ to, result }) => !to.import.idempotent && result.errors.filter(isUnsent).length < result.sent,
  );
  return touched ? parts : undefined;
}

function isUnsent({ fault }: RecordError): boolean {
  return fault === "unsent";
}

function faultOf({ fault }: RecordError): Fault {
  return fault === "unsent" ? "retry" : fault;
}

// Attempts are spent and the record's outcome can still change: the destination does not take records now.
function isDown({ fault }: RecordError, to: Destination): boolean {
  return fault === "retry" || (fault === "unknown" && to.import.idempotent);
}

// Some record may have been applied, and sending it again is not harmless.
function isInDoubt({ to, result }: Part): boolean {
  return !to.import.idempotent && result.errors.some(({ fault }) => fault === "unknown");
}

function deliveredOf(failures: NonNullable<SourcePage["failures"]>, parts: readonly Part[]): readonly string[] {
  const failed = new Set(parts.flatMap(({ result }) => result.errors.map(({ index }) => index)));
  return failures._ids.filter((_, index) => !failed.has(index));
}
