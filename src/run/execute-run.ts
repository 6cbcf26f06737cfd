import { isDeepStrictEqual } from "node:util";
import { ExportFailedError, NothingDeliveredError, PoundlockError } from "../errors.ts";
import { importIdsOf } from "../model/flow/flow.ts";
import type { Import } from "../model/host/import.ts";
import type { Json } from "../model/record/json.ts";
import { type Logger, withFields } from "../model/logger.ts";
import type { ImportPlace } from "../model/place.ts";
import { hasOwnPosition } from "../model/run.ts";
import type { ImportEnding } from "../storage/storage.ts";
import type { Destination } from "./destination/destination.ts";
import { AttemptSignals } from "./destination/write-context.ts";
import { OpenFailures } from "./pass/open-failures.ts";
import { PassReader, standingOf } from "./pass/pass-reader.ts";
import { type PassStart, passesOf } from "./pass/passes.ts";
import { isDue } from "./pass/pause.ts";
import { type Departure, Recipient, isAwaited, leftOf } from "./pass/recipient.ts";
import { RunProgress } from "./progress.ts";
import type { RunJob, RunResult } from "./run-job.ts";
import { finishImport } from "./finish.ts";
import { type SourceKind, Sources } from "./source/sources.ts";

/** Fewer rejected records than this may be dirt; so many, and nothing else, are a mistake in the code. */
const fewestRejected = 10;

/**
 * Moves a flow's records: reads for the imports that stand at the same place together, page by page, one reading after
 * the other. Whatever happens, what was committed stays, and what was not is read again by the next run.
 *
 * @throws `lease_lost` if another process took the run over; `storage_failed` if the storage does not answer.
 */
export async function executeRun(job: RunJob): Promise<RunResult> {
  return new Execution(job).run();
}

class Execution {
  readonly #job: RunJob;
  readonly #log: Logger;
  readonly #progress: RunProgress;
  readonly #recipients = new Map<string, Recipient>();
  readonly #endings = new Map<string, ImportEnding>();
  readonly #sources: Sources;
  readonly #reader: PassReader;
  readonly #ownPosition: boolean;
  /** Imports for which the export's pages are read to their end, and whether from their beginning, by this run alone. */
  readonly #read = new Map<string, boolean>();
  /** Where the imports stand that never fell behind. */
  #until: Json | undefined;

  constructor(job: RunJob) {
    this.#job = job;
    const { claimed, clock, emit, lease, storage, tracer } = job;
    this.#log = withFields(job.log, { flowId: claimed.flow._id, runId: claimed.run._id });
    this.#progress = new RunProgress({ claimed, clock, emit, lease, storage, tracer });
    this.#ownPosition = hasOwnPosition(claimed.run);
    const attempts = new AttemptSignals(job.signal);
    for (const [_importId, into] of job.imports) {
      const origin = { storage, _flowId: claimed.flow._id, _exportId: claimed.flow._exportId, _importId };
      const to = this.#destination(_importId, into, attempts);
      const onLeft = (departure: Departure) => this.#left(_importId, departure);
      const left = claimed.position?.left?.[_importId];
      this.#recipients.set(_importId, new Recipient(to, new OpenFailures(origin), onLeft, left));
    }
    this.#sources = new Sources(job, this.#progress, this.#log);
    this.#reader = new PassReader(job, this.#progress, this.#sources, this.#recipients);
  }

  async run(): Promise<RunResult> {
    try {
      const isThrough = await this.#readAll();
      const waits = (!isThrough || this.#reader.notBefore !== undefined) && !this.#hasLost();
      // Neither says more of its imports, so what is known of them is committed now.
      if (!waits) await this.#finish();
      if (this.#job.signal.aborted || waits) await this.#progress.flush();
      if (this.#job.signal.aborted) return this.#result("aborted");
      if (waits) return this.#result("waiting");
      const error = this.#firstError();
      return this.#result(error === undefined ? "completed" : "failed", error);
    } catch (error) {
      if (this.#job.signal.aborted && error instanceof ExportFailedError) return this.#result("aborted");
      // What the storage says is not the run's to end with: the run stays as it is and is resumed by its finder.
      if (!(error instanceof PoundlockError) || error.code === "storage_failed" || error.code === "lease_lost")
        throw error;
      return this.#result("failed", error);
    }
  }

  // One that a run with a position of its own waits for is read for again.
  #left(_importId: string, departure: Departure): void {
    if (!this.#ownPosition || !isAwaited(departure)) this.#progress.leave(_importId, leftOf(departure));
  }

  // A run with a position of its own would go on behind what an import that failed has not got: it ends instead.
  #hasLost(): boolean {
    return this.#ownPosition && [...this.#recipients.values()].some(({ left }) => left?.status === "failed");
  }

  // False: the run is to wait.
  async #readAll(): Promise<boolean> {
    const { export: from } = this.#job;
    const { trigger } = this.#progress.run;
    if (this.#ownPosition) return this.#readOwn();
    const places = this.#duePlaces();
    if (places.size === 0) return true;
    if (trigger !== "realtime" && from.pages !== undefined && !(await this.#readPasses(places))) return false;
    const readsInbox = trigger === "realtime" || trigger === "resume" || from.pages === undefined;
    return readsInbox ? this.#readInboxes(places) : true;
  }

  async #readPasses(places: ReadonlyMap<string, ImportPlace>): Promise<boolean> {
    const { clock, limits } = this.#job;
    const { trigger, _id } = this.#progress.run;
    const through = this.#progress.position.through ?? [];
    for (const _importId of through) {
      this.#endings.set(_importId, { status: "completed" });
      if (places.has(_importId)) this.#read.set(_importId, false);
    }
    const wanted = new Map(
      [...places].filter(
        ([_importId, place]) => !through.includes(_importId) && (trigger !== "resume" || place.behind === true),
      ),
    );
    const rule = { _runId: _id, now: clock.now(), positionMaxAgeMs: limits.positionMaxAgeMs };
    const passes = passesOf(wanted, rule);
    for (const [index, start] of passes.entries()) {
      if (!(await this.#readPass(start, "pages"))) return false;
      if (this.#job.signal.aborted) return true;
      if (index < passes.length - 1) await this.#endPass(start);
    }
    return true;
  }

  // What a pass has settled must survive the next one, and the imports must not be read for again by this run.
  async #endPass({ _importIds }: PassStart): Promise<void> {
    const { position } = this.#progress;
    const through = [...(position.through ?? []), ..._importIds];
    // Where imports stand that have read all there is: one that left is no place to stop at.
    const first = _importIds.find((_importId) => this.#recipients.get(_importId)?.left === undefined);
    const checkpoint = first === undefined ? undefined : this.#progress.placeOf(first).checkpoint;
    this.#until ??= checkpoint?.version === this.#sources.checkpointVersion ? checkpoint.value : undefined;
    await this.#progress.commit({ position: { ...position, through } });
  }

  async #readInboxes(places: ReadonlyMap<string, ImportPlace>): Promise<boolean> {
    const groups = new Map<string, string[]>();
    for (const _importId of places.keys()) {
      if (this.#recipients.get(_importId)?.left !== undefined) continue;
      const inbox = this.#progress.placeOf(_importId).inbox ?? "";
      groups.set(inbox, [...(groups.get(inbox) ?? []), _importId]);
    }
    // Those that have read furthest first: what others have left to read must not keep them from what arrives now.
    const inOrder = [...groups].sort(([one], [other]) => Number(other) - Number(one));
    for (const [index, [, _importIds]] of inOrder.entries()) {
      const start = { _importIds, _runId: this.#progress.run._id, pages: 0, catchesUp: index > 0 };
      if (!(await this.#readPass(start, "inbox"))) return false;
    }
    return true;
  }

  async #readOwn(): Promise<boolean> {
    const { export: from, claimed } = this.#job;
    const { run, position } = this.#progress;
    const { _importId } = run.retry ?? {};
    const _importIds = importIdsOf(claimed.flow).filter((_id) => _importId === undefined || _id === _importId);
    const checkpoint = position.checkpoint ?? this.#reader.ownCheckpoint();
    const start: PassStart = {
      _importIds,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      _runId: run._id,
      pages: position.pages,
      catchesUp: false,
    };
    if (run.trigger === "retry") return this.#readPass(start, "failures");
    if (!(await this.#readPass(start, from.pages === undefined ? "inbox" : "pages"))) return false;
    const reached = this.#progress.position.checkpoint;
    const moved = _importIds.filter((_id) => this.#recipients.get(_id)?.left === undefined && this.#stoodAtStart(_id));
    if (run.limit === undefined && run.moveCheckpoint !== false && reached !== undefined)
      this.#progress.plan({ _importIds: moved, checkpoint: reached, position: null });
    return true;
  }

  // It has been given all from its own place on. One that stands elsewhere has not: moved, it would lose what is between.
  #stoodAtStart(_importId: string): boolean {
    return isDeepStrictEqual(standingOf(this.#progress.placeOf(_importId)), this.#reader.ownCheckpoint());
  }

  #duePlaces(): ReadonlyMap<string, ImportPlace> {
    const { claimed, clock } = this.#job;
    const now = clock.now();
    const due = new Map<string, ImportPlace>();
    for (const _importId of importIdsOf(claimed.flow)) {
      if (this.#recipients.get(_importId)?.left !== undefined) continue;
      const place = this.#progress.placeOf(_importId);
      if (isDue(place, this.#progress.run, now)) due.set(_importId, place);
      else if (place.pause !== undefined) this.#endings.set(_importId, { status: "skipped" });
    }
    return due;
  }

  // False: the run is to wait.
  async #readPass(start: PassStart, kind: SourceKind): Promise<boolean> {
    const end = await this.#reader.read(start, kind, this.#until);
    if (end === "through")
      for (const _importId of start._importIds)
        if (this.#recipients.get(_importId)?.left === undefined) {
          this.#endings.set(_importId, { status: "completed" });
          if (kind === "pages") this.#read.set(_importId, this.#isWhole(_importId, start));
        }
    return end !== "waiting";
  }

  #isWhole(_importId: string, { _runId, catchesUp }: PassStart): boolean {
    const { claimed, export: from } = this.#job;
    if (this.#ownPosition || _runId !== claimed.run._id || (catchesUp && this.#until !== undefined)) return false;
    return from.whole === true || claimed.places[_importId]?.checkpoint === undefined;
  }

  // Those that all was read for, in the flow's order.
  async #finish(): Promise<void> {
    const { claimed, imports } = this.#job;
    if (claimed.run.limit !== undefined) return;
    for (const _importId of importIdsOf(claimed.flow)) {
      const [into, recipient, isWhole] = [imports.get(_importId), this.#recipients.get(_importId), this.#read.get(_importId)]; // prettier-ignore
      if (
        into?.finish === undefined ||
        recipient === undefined ||
        recipient.left !== undefined ||
        isWhole === undefined
      )
        continue;
      const { run } = this.#progress;
      const whole = isWhole && (run.imports[_importId]?.numError ?? 0) === 0;
      const error = await finishImport(this.#job, { _importId, import: into, whole, run, log: recipient.to.log });
      if (error !== undefined) recipient.leave({ status: "failed", error });
    }
  }

  #destination(_importId: string, into: Import<unknown>, attempts: AttemptSignals): Destination {
    const { claimed, clock, emit, freeze, imports, limits, signal, tracer } = this.#job;
    const log = withFields(this.#log, { importId: _importId });
    // Field by field: a literal that spreads others costs microseconds, and each run makes some.
    return {
      _importId,
      import: into,
      flow: claimed.flow,
      run: claimed.run,
      log,
      clock,
      signal,
      attempts,
      tracer,
      freeze,
      shared: imports.size > 1,
      maxAttempts: limits.maxAttempts,
      maxWaitMs: limits.maxWaitMs,
      backoff: limits.backoff,
      onRetry: (attempt, delayMs, message) => {
        emit("run:retrying", { run: this.#progress.run, _importId, attempt, delayMs, message });
        this.#recipients.get(_importId)?.onWait?.();
      },
    };
  }

  #firstError(): PoundlockError | undefined {
    for (const { left } of this.#recipients.values()) if (left?.error !== undefined) return left.error;
    const { numError, numSuccess, trigger } = this.#progress.run;
    if (trigger === "retry" || numSuccess > 0 || numError < fewestRejected) return undefined;
    let rejected = 0;
    for (const _importId of this.#recipients.keys()) rejected += this.#progress.failedOf(_importId).numRejected;
    return rejected === numError ? new NothingDeliveredError(rejected) : undefined;
  }

  #result(end: RunResult["end"], error?: PoundlockError): RunResult {
    const imports: Record<string, ImportEnding> = {};
    for (const [_importId, { left }] of this.#recipients) {
      const ending: ImportEnding | undefined = left === undefined ? this.#endings.get(_importId) : endingOf(left);
      if (ending !== undefined) imports[_importId] = ending;
      else if (end === "failed" && error !== undefined)
        imports[_importId] = { status: "failed", error: { code: error.code, message: error.message } };
    }
    const needsResume = Object.values(imports).some(({ status }) => status === "behind");
    const { notBefore = 0, waits } = this.#reader;
    const page = this.#progress.takeLastPage();
    return {
      end,
      run: this.#progress.run,
      ...(error === undefined ? {} : { error }),
      ...(end === "waiting" ? { notBefore, waits } : {}),
      ending: { imports, places: this.#progress.takePlanned(), needsResume, ...(page === undefined ? {} : { page }) },
      onPageCommitted: page && (() => this.#progress.emitProgress(page.total)),
    };
  }
}

function endingOf(departure: Departure): ImportEnding {
  const { failsRun: _, ...ending } = leftOf(departure);
  return ending;
}
