import { isDeepStrictEqual } from "node:util";
import type { Clock, Yielder } from "../clock.ts";
import { delay } from "../clock.ts";
import { ContractViolationError, ExportFailedError, NothingDeliveredError, PoundlockError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Export } from "../model/export.ts";
import { importIdsOf } from "../model/flow.ts";
import type { Import } from "../model/import.ts";
import type { Json } from "../model/json.ts";
import { type Logger, withFields } from "../model/logger.ts";
import { messageOf } from "../model/message.ts";
import type { ImportPlace, StoredCheckpoint } from "../model/place.ts";
import { type Run, hasOwnPosition } from "../model/run.ts";
import type { ClaimedRun, ImportEnding, RunEnding, RunLease, Storage } from "../storage/storage.ts";
import { AttemptSignals } from "./import-context.ts";
import { OpenFailures } from "./open-failures.ts";
import { Pass, type PassEnd } from "./pass.ts";
import { type PassStart, passesOf } from "./passes.ts";
import { isDue } from "./pause.ts";
import { RunProgress } from "./progress.ts";
import { ReadSignal } from "./read-signal.ts";
import { Recipient } from "./recipient.ts";
import { type RetryPolicy, longestWaitMs, retryDelay, waitMsOf } from "./retry.ts";
import type { AutoRetry } from "./settle.ts";
import { ExportSource, FailureSource, InboxSource, PositionExpired, ResumeLater, type Source } from "./source.ts";
import type { Destination } from "./write-batch.ts";

/** Everything one run needs. */
export interface RunJob {
  readonly claimed: ClaimedRun;
  readonly lease: RunLease;
  readonly export: Export<unknown>;
  /** The flow's imports, in order. */
  readonly imports: ReadonlyMap<string, Import<unknown>>;
  readonly storage: RunJobStorage;
  readonly clock: Clock;
  readonly yielder: Yielder;
  /** Aborts to cancel, to stop, or because the lease is lost. */
  readonly signal: AbortSignal;
  readonly limits: RunLimits;
  /** Whether records are frozen. */
  readonly freeze: boolean;
  readonly newId: () => string;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
}

/** What a run asks of its storage. */
export type RunJobStorage = Pick<
  Storage,
  "commitPage" | "readInbox" | "listFailures" | "listRuns" | "openKeys" | "countOpenFailures"
>;

/** The options that bound a run. */
export interface RunLimits {
  readonly prefetch: number;
  readonly maxAttempts: number;
  readonly maxWaitMs: number;
  readonly maxFailures: number;
  readonly maxOpenFailures: number;
  readonly positionMaxAgeMs: number;
  readonly autoRetry: AutoRetry | false;
  readonly backoff: RetryPolicy;
}

/** How a run went, and what its end is to say of its imports. */
export interface RunResult {
  /** `aborted`: its signal said so. `waiting`: it gives its slot back, and goes on at `notBefore`. */
  readonly end: "completed" | "failed" | "aborted" | "waiting";
  readonly run: Run;
  readonly error?: PoundlockError;
  readonly notBefore?: number;
  /** How often it has waited without progress, this time included. */
  readonly waits?: number;
  readonly ending: Pick<RunEnding, "imports" | "places"> & { readonly needsResume: boolean };
}

/** Records of a page for which the export gives no hint. */
const defaultPageSize = 100;

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
  readonly #ownPosition: boolean;
  /** Times the export asked to wait since the run made progress. */
  #waits: number;
  #notBefore: number | undefined;
  #until: Json | undefined;

  constructor(job: RunJob) {
    this.#job = job;
    const { claimed, clock, emit, lease, storage } = job;
    this.#log = withFields(job.log, { flowId: claimed.flow._id, runId: claimed.run._id });
    this.#progress = new RunProgress({ claimed, clock, emit, lease, storage });
    this.#ownPosition = hasOwnPosition(claimed.run);
    this.#waits = claimed.run.waits ?? 0;
    const attempts = new AttemptSignals(job.signal);
    for (const [_importId, into] of job.imports) {
      const origin = { storage, _flowId: claimed.flow._id, _exportId: claimed.flow._exportId, _importId };
      this.#recipients.set(
        _importId,
        new Recipient(this.#destination(_importId, into, attempts), new OpenFailures(origin)),
      );
    }
  }

  async run(): Promise<RunResult> {
    try {
      const isThrough = await this.#readAll();
      const waits = !isThrough || this.#notBefore !== undefined;
      // Neither says more of its imports, so what is known of them is committed now.
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
    this.#until ??= checkpoint?.version === this.#checkpointVersion() ? checkpoint.value : undefined;
    await this.#progress.commit({ position: { ...position, through } });
  }

  async #readInboxes(places: ReadonlyMap<string, ImportPlace>): Promise<boolean> {
    const groups = new Map<string, string[]>();
    for (const _importId of places.keys()) {
      if (this.#recipients.get(_importId)?.left !== undefined) continue;
      const inbox = this.#progress.placeOf(_importId).inbox ?? "";
      groups.set(inbox, [...(groups.get(inbox) ?? []), _importId]);
    }
    for (const _importIds of groups.values()) {
      const start = { _importIds, _runId: this.#progress.run._id, pages: 0, catchesUp: false };
      if (!(await this.#readPass(start, "inbox"))) return false;
    }
    return true;
  }

  async #readOwn(): Promise<boolean> {
    const { export: from, claimed } = this.#job;
    const { run, position } = this.#progress;
    const { _importId } = run.retry ?? {};
    const _importIds = importIdsOf(claimed.flow).filter((_id) => _importId === undefined || _id === _importId);
    const checkpoint = position.checkpoint ?? this.#ownCheckpoint();
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
    return isDeepStrictEqual(standing(this.#progress.placeOf(_importId)), this.#ownCheckpoint());
  }

  // Where a run begins that moves no place: where the flow's first import stands; a backfill, from the start.
  #ownCheckpoint(): StoredCheckpoint | undefined {
    const { run } = this.#progress;
    if (run.moveCheckpoint === false) return undefined;
    return standing(this.#progress.placeOf(this.#job.claimed.flow._importId));
  }

  #duePlaces(): ReadonlyMap<string, ImportPlace> {
    const { claimed, clock } = this.#job;
    const now = clock.now();
    const due = new Map<string, ImportPlace>();
    for (const _importId of importIdsOf(claimed.flow)) {
      const place = this.#progress.placeOf(_importId);
      if (isDue(place, this.#progress.run, now)) due.set(_importId, place);
      else if (place.pause !== undefined) this.#endings.set(_importId, { status: "skipped" });
    }
    return due;
  }

  // One reading, resumed as often as the export asks for it. False: the run is to wait.
  async #readPass(start: PassStart, kind: "pages" | "inbox" | "failures"): Promise<boolean> {
    const recipients = start._importIds.flatMap((_importId) => this.#recipients.get(_importId) ?? []);
    let current = start;
    for (;;) {
      const active = recipients.filter(({ left }) => left === undefined);
      if (active.length === 0) return true;
      const pass = this.#pass(current, active, kind);
      try {
        this.#note(await pass.run(), start);
        return this.#notBefore === undefined;
      } catch (error) {
        if (this.#job.signal.aborted && (error instanceof ResumeLater || error instanceof PositionExpired)) return true;
        if (error instanceof PositionExpired && !pass.hasRead && this.#hasPosition(current))
          current = await this.#withoutPosition(current);
        else if (error instanceof ResumeLater) {
          if (!(await this.#waitToResume(error, pass))) return false;
          current = this.#resumed(start);
        } else throw error instanceof PositionExpired ? error.failure : error;
      }
    }
  }

  #note(end: PassEnd, { _importIds }: PassStart): void {
    if (end !== "through") return;
    for (const _importId of _importIds)
      if (this.#recipients.get(_importId)?.left === undefined) this.#endings.set(_importId, { status: "completed" });
  }

  #hasPosition({ _importIds }: PassStart): boolean {
    if (this.#ownPosition) return this.#progress.position.checkpoint !== undefined;
    return _importIds.some((_importId) => this.#progress.placeOf(_importId).position !== undefined);
  }

  // The page token of the position is not valid any more: reading begins at the checkpoint again.
  async #withoutPosition(start: PassStart): Promise<PassStart> {
    const { _importIds } = start;
    const [first = ""] = _importIds;
    if (this.#ownPosition) await this.#progress.commit({ position: { pages: 0 } });
    else await this.#progress.commit({ places: [{ _importIds, position: null }] });
    const checkpoint = this.#ownPosition ? this.#ownCheckpoint() : this.#progress.placeOf(first).checkpoint;
    const { checkpoint: _, ...rest } = start;
    return { ...rest, ...(checkpoint === undefined ? {} : { checkpoint }), _runId: this.#progress.run._id, pages: 0 };
  }

  // Where the imports of a reading stand now.
  #resumed(start: PassStart): PassStart {
    if (this.#ownPosition) {
      const { checkpoint = start.checkpoint, pages } = this.#progress.position;
      return { ...start, ...(checkpoint === undefined ? {} : { checkpoint }), pages };
    }
    const [first = ""] = start._importIds.filter((_id) => this.#recipients.get(_id)?.left === undefined);
    const place = this.#progress.placeOf(first);
    const checkpoint = standing(place);
    return {
      ...start,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      pages: place.position?.pages ?? start.pages,
    };
  }

  async #waitToResume(error: ResumeLater, pass: Pass): Promise<boolean> {
    const { clock, emit, limits, signal } = this.#job;
    const { run } = this.#progress;
    // Pages that were delivered without a checkpoint would be sent again.
    if (pass.pagesWithoutCheckpoint > 0) {
      const reason = `it asked to be read again later, but ${pass.pagesWithoutCheckpoint} pages had no checkpoint to go on from`;
      throw new ExportFailedError(run._exportId, new Error(`${reason}: ${error.message}`, { cause: error.cause }));
    }
    this.#waits = pass.hasProgressed ? 1 : this.#waits + 1;
    if (this.#waits >= limits.maxAttempts) throw new ExportFailedError(run._exportId, error.cause);
    const afterMs = Math.min(waitMsOf(error.afterMs, clock.now()), longestWaitMs);
    const delayMs = retryDelay(this.#waits, limits.backoff, afterMs);
    emit("run:retrying", { run, attempt: this.#waits, delayMs, message: error.message });
    if (delayMs > limits.maxWaitMs) {
      this.#notBefore = clock.now() + delayMs;
      return false;
    }
    await delay(clock, delayMs, signal);
    return true;
  }

  #pass(start: PassStart, recipients: readonly Recipient[], kind: "pages" | "inbox" | "failures"): Pass {
    const { clock, claimed, emit, export: from, limits, newId, signal, storage, yielder } = this.#job;
    const { flow } = claimed;
    const reading = new ReadSignal(signal);
    const { limit } = this.#progress.run;
    const left = limit === undefined ? Infinity : limit - this.#recordsRead(recipients);
    const until = start.catchesUp ? this.#until : undefined;
    return new Pass(
      {
        ...{ clock, emit, newId, reading, signal, until, yielder },
        ...{ progress: this.#progress, codec: from.codec, ownPosition: this.#ownPosition, limit: left },
        ...{ prefetch: limits.prefetch, maxFailures: limits.maxFailures, maxOpenFailures: limits.maxOpenFailures },
        autoRetry: limits.autoRetry,
        ordered: from.order === "ordered",
        keepsPositions: kind === "inbox" && from.pages !== undefined,
        hasKeys: from.key !== undefined || kind === "inbox",
        checkpointVersion: kind === "failures" ? 1 : this.#checkpointVersion(),
        open: () => this.#source(start, kind, { reading, left, until }),
        isAwaited: async () =>
          (await storage.listRuns({ _flowId: flow._id, status: "queued", limit: 1 })).items.length > 0,
        countOpen: async (_importId) =>
          (await storage.countOpenFailures(flow._id, limits.maxOpenFailures + 1))[_importId] ?? 0,
        onWait: (notBefore) => (this.#notBefore = Math.max(this.#notBefore ?? 0, notBefore)),
      },
      start,
      recipients,
    );
  }

  #source(
    start: PassStart,
    kind: "pages" | "inbox" | "failures",
    read: { readonly reading: ReadSignal; readonly left: number; readonly until: Json | undefined },
  ): Source {
    const { claimed, clock, export: from, freeze, storage } = this.#job;
    const { flow } = claimed;
    const { run } = this.#progress;
    const pageSize = from.pageSize ?? defaultPageSize;
    if (kind === "failures") {
      const { _importIds } = start;
      const origin = { storage, flow, _importIds, pageSize, codec: from.codec, selection: run.retry ?? {} };
      return new FailureSource(origin, start.checkpoint?.value);
    }
    if (kind === "inbox") {
      const [first = ""] = start._importIds;
      const after = run.limit === undefined ? this.#progress.placeOf(first).inbox : undefined;
      const moves = !this.#ownPosition;
      return new InboxSource({ storage, export: from, _flowId: flow._id, pageSize, after, moves, freeze });
    }
    const context = new ReadContext({
      ...{ checkpoint: this.#readable(start.checkpoint), flow, run, pageSize, until: read.until },
      ...{ limit: run.limit === undefined ? undefined : read.left, reading: read.reading, log: this.#log },
    });
    const shared = this.#job.imports.size > 1;
    return new ExportSource(from, context, { clock, freeze, shared, pagesBefore: start.pages, _runId: start._runId });
  }

  // A checkpoint in today's shape.
  #readable(stored: StoredCheckpoint | undefined): Json | undefined {
    const { export: from } = this.#job;
    const version = this.#checkpointVersion();
    if (stored === undefined || stored.version === version) return stored?.value;
    if (from.migrate === undefined)
      throw this.#violation(`its checkpoint has version ${stored.version}, it reads ${version}, and has no migrate`);
    try {
      return from.migrate(stored.value, stored.version);
    } catch (error) {
      throw this.#violation(`migrate failed: ${messageOf(error)}`, error);
    }
  }

  #checkpointVersion(): number {
    return this.#job.export.checkpointVersion ?? 1;
  }

  #violation(problem: string, cause?: unknown): ContractViolationError {
    return new ContractViolationError("Export", this.#progress.run._exportId, problem, cause);
  }

  #destination(_importId: string, into: Import<unknown>, attempts: AttemptSignals): Destination {
    const { claimed, clock, emit, freeze, imports, limits, signal } = this.#job;
    return {
      ...{ _importId, import: into, flow: claimed.flow, run: claimed.run, log: this.#log, clock, signal, attempts },
      ...{ freeze, shared: imports.size > 1, maxAttempts: limits.maxAttempts, maxWaitMs: limits.maxWaitMs },
      backoff: limits.backoff,
      onRetry: (attempt, delayMs, message) =>
        emit("run:retrying", { run: this.#progress.run, _importId, attempt, delayMs, message }),
    };
  }

  // Records that a limited run has read for these imports before.
  #recordsRead(recipients: readonly Recipient[]): number {
    const { imports } = this.#progress.run;
    const { ahead = [] } = this.#progress.position;
    const behind = recipients.filter(({ _importId }) => !ahead.includes(_importId));
    const reads = behind.map(({ _importId }) => {
      const counts = imports[_importId];
      return counts === undefined ? 0 : counts.numSuccess + counts.numError + counts.numIgnore;
    });
    return Math.max(0, ...reads);
  }

  #firstError(): PoundlockError | undefined {
    for (const { left } of this.#recipients.values()) if (left?.error !== undefined) return left.error;
    const { numError, numSuccess, trigger } = this.#progress.run;
    if (trigger === "retry" || numSuccess > 0 || numError < fewestRejected) return undefined;
    let rejected = 0;
    for (const { numRejected } of this.#recipients.values()) rejected += numRejected;
    return rejected === numError ? new NothingDeliveredError(rejected) : undefined;
  }

  #result(end: RunResult["end"], error?: PoundlockError): RunResult {
    const imports: Record<string, ImportEnding> = {};
    for (const [_importId, { left }] of this.#recipients) {
      const ending = left === undefined ? this.#endings.get(_importId) : endingOf(left);
      if (ending !== undefined) imports[_importId] = ending;
      else if (end === "failed" && error !== undefined)
        imports[_importId] = { status: "failed", error: { code: error.code, message: error.message } };
    }
    const needsResume = Object.values(imports).some(({ status }) => status === "behind");
    return {
      end,
      run: this.#progress.run,
      ...(error === undefined ? {} : { error }),
      ...(end === "waiting" ? { notBefore: this.#notBefore ?? 0, waits: this.#waits } : {}),
      ending: { imports, places: this.#progress.takePlanned(), needsResume },
    };
  }
}

// Where reading for an import goes on.
function standing({ checkpoint, position }: ImportPlace): StoredCheckpoint | undefined {
  return position?.checkpoint ?? checkpoint;
}

function endingOf({ status, error, pause }: NonNullable<Recipient["left"]>): ImportEnding {
  const reason = error === undefined ? pause?.reason : { code: error.code, message: error.message };
  return reason === undefined ? { status } : { status, error: reason };
}

/** What `pages` is given. A class, since the hidden class of a literal with a getter lives until a full collection. */
class ReadContext {
  readonly checkpoint: Json | undefined;
  readonly run: Run;
  readonly flow: ClaimedRun["flow"];
  readonly pageSize: number;
  readonly limit?: number;
  readonly until?: Json;
  readonly log: Logger;
  readonly #reading: ReadSignal;

  constructor(given: {
    readonly checkpoint: Json | undefined;
    readonly run: Run;
    readonly flow: ClaimedRun["flow"];
    readonly pageSize: number;
    readonly limit: number | undefined;
    readonly until: Json | undefined;
    readonly log: Logger;
    readonly reading: ReadSignal;
  }) {
    this.checkpoint = given.checkpoint;
    this.run = given.run;
    this.flow = given.flow;
    this.pageSize = given.pageSize;
    if (given.limit !== undefined) this.limit = given.limit;
    if (given.until !== undefined) this.until = given.until;
    this.log = given.log;
    this.#reading = given.reading;
  }

  /** Aborts when the run does, and when nothing more is read. */
  get signal(): AbortSignal {
    return this.#reading.signal;
  }
}
