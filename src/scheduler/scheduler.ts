import { delay } from "../clock.ts";
import {
  BusyError,
  ConflictError,
  ExecutorFailedError,
  FlowDisabledError,
  InvalidOptionError,
  InvalidRequestError,
  NotFoundError,
} from "../errors.ts";
import { type Emit, Events, type RegistryEvents, type SchedulerEvents } from "../events.ts";
import type { FlowRegistry } from "../flow-registry.ts";
import type { AcceptOptions, AcceptResult } from "../model/export.ts";
import { storable } from "../model/storable.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Failure } from "../model/failure.ts";
import type { ExportIdFor, Exports, Imports, RecordFor } from "../model/fitting.ts";
import { importIdsOf } from "../model/flow.ts";
import { failureFilters, inboxFilters, runFilters } from "../model/filters.ts";
import { type Json, copyJson, omitUndefined } from "../model/json.ts";
import type { Logger } from "../model/logger.ts";
import { type Shape, objectWith, validate } from "../model/validate.ts";
import { type RetrySelection, type Run, type RunStart, hasEnded } from "../model/run.ts";
import { messageOf } from "../model/message.ts";
import { type ResolvedOptions, type SchedulerOptions, checkNumber, resolveOptions } from "./options.ts";
import { Runner } from "../run/runner.ts";
import { Intake } from "./intake.ts";
import { Deliveries, type WaitingPage } from "./deliveries.ts";
import { Healing } from "./healing.ts";
import { Maintenance } from "./maintenance.ts";
import { Timetable } from "./timetable.ts";
import type { EndRunResult, FailureQuery, ListResult, RunQuery, Storage } from "../storage/storage.ts";

/** How a run on demand goes. */
export interface RunOptions {
  /** A sample: at most this many records for each import, and no checkpoint moves; 1 or more. @default all */
  readonly limit?: number;
  /** JSON handed to the export's `pages` as `run.parameters`, such as the window of a backfill. */
  readonly parameters?: Json;
  /** False: it reads from no checkpoint, in one pass, and leaves all checkpoints where they are. @default true */
  readonly moveCheckpoint?: boolean;
}

/** How a run is canceled. */
export interface CancelOptions {
  /** Gives up the positions of its flow's imports: the next run begins at their checkpoints again. @default false */
  readonly discard?: boolean;
}

/** For whom. */
export interface CheckpointOptions {
  /** One of the flow's imports. @default all of them */
  readonly _importId?: string;
}

/** Which pages of an inbox to list. */
export interface InboxFilter {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
  /** A `next` returned before. */
  readonly after?: string;
}

/** Which runs to list. */
export interface RunFilter extends Omit<RunQuery, "limit"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/** Which failures to list. */
export interface FailureFilter extends Omit<FailureQuery, "limit"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/** `stopped` at first, and again after `stop`. */
export type SchedulerState = "stopped" | "starting" | "started" | "stopping";

/** What running code may take, once it is told to abort, before `stop` leaves it behind. */
const abortPatienceMs = 1_000;

/** How many ids are looked up at once. */
const portion = 1_000;

/** How many failures are resolved at once: a run that has a page to commit waits for no more than these. */
const changePortion = 100;

/** How often the storage is asked whether a run has ended that this scheduler did not see end, in milliseconds. */
const pollMs = 1_000;

/** Moves records: runs flows by their schedules, on demand and as events arrive, one run of a flow at a time. */
export class Scheduler<X extends Exports = Exports, M extends Imports = Imports> extends Events<SchedulerEvents> {
  readonly #registry: FlowRegistry;
  readonly #storage: Storage;
  readonly #options: ResolvedOptions;
  readonly #runner: Runner;
  readonly #timetable: Timetable;
  readonly #intake: Intake;
  readonly #sweep: Maintenance;
  readonly #deliveries: Deliveries;
  readonly #waiters = new Map<string, Set<(run: Run) => void>>();
  #state: SchedulerState = "stopped";
  #starting: Promise<void> | undefined;
  /** Of the start that counts: a stop leaves one behind that does not end. */
  #startNumber = 0;
  #stopping: Promise<void> | undefined;

  /** @throws `invalid_option` naming the first option that is out of range. */
  constructor(registry: FlowRegistry<X, M>, options: SchedulerOptions = {}) {
    super();
    validate(
      { registry },
      { registry: objectWith(["findExport", "findImport"], "a FlowRegistry") },
      InvalidOptionError,
    );
    this.#registry = registry;
    this.#storage = registry.storage;
    this.#options = resolveOptions(options, registry);
    const { storage, timezone } = registry;
    const { clock, newId, random, logger: log, overlap, ...limits } = this.#options;
    const backoff = { retryDelayMs: limits.retryDelayMs, random };
    const emit: Emit<SchedulerEvents> = (name, payload) => this.#emit(name, payload);
    const wake = (_flowId: string) => this.#wake(_flowId);
    const parts = { storage, clock, newId, log, emit, wake };
    this.#runner = new Runner({
      ...parts,
      catalog: registry,
      limits: { ...limits, backoff },
      leaseMs: limits.leaseMs,
      freeze: limits.freezeRecords,
      onEnded: (ended) => this.#onRunEnded(ended),
      onWaiting: (_flowId, notBefore) => this.#sweep.expect(notBefore),
    });
    this.#deliveries = new Deliveries({
      ...parts,
      maxOpenFailures: limits.maxOpenFailures,
      onQueued: (run) => this.#queued(run),
    });
    const rule = { overlap, maxQueued: limits.maxQueued };
    this.#timetable = new Timetable({ ...parts, timezone, rule, catchUpWindowMs: limits.catchUpWindowMs });
    const { maxInboxPages, dedupeWindowMs } = limits;
    this.#intake = new Intake({ ...parts, exports: registry, maxInboxPages, dedupeWindowMs });
    const { maxCrashes, retention } = limits;
    this.#sweep = new Maintenance({
      ...parts,
      leaseMs: limits.leaseMs,
      maxCrashes,
      retention,
      healing: new Healing(parts),
      onReclaimed: (run) => this.#onReclaimed(run),
      onSwept: () => this.#refreshAllListening(),
    });
  }

  /** The registry whose flows it runs. */
  get registry(): FlowRegistry<X, M> {
    return this.#registry as FlowRegistry<X, M>;
  }

  /** What it does now. */
  get state(): SchedulerState {
    return this.#state;
  }

  /** Where it writes; for others in the host's process to write to the same place. */
  get logger(): Logger {
    return this.#options.logger;
  }

  /**
   * Takes up what waits or was interrupted, queues what was missed, and runs flows from now on.
   *
   * @throws `conflict` unless it is stopped; `storage_failed`, `executor_failed`: then it is stopped again.
   */
  async start(): Promise<void> {
    if (this.#state !== "stopped") throw new ConflictError(`The scheduler is ${this.#state} already`);
    const number = ++this.#startNumber;
    const starting = this.#start(number).finally(() => {
      if (number === this.#startNumber) this.#starting = undefined;
    });
    this.#starting = starting;
    await starting;
  }

  async #start(number: number): Promise<void> {
    this.#state = "starting";
    const { concurrency, executor } = this.#options;
    this.#listenToRegistry("on");
    try {
      const work = { concurrency, runNext: (_flowId: string) => this.#runner.runNext(_flowId) };
      await executor.start(work).catch(throwExecutorFailed);
      this.#expectStart(number);
      this.#state = "started";
      for (const part of [this.#sweep, this.#timetable, this.#intake]) {
        await part.start();
        this.#expectStart(number);
      }
    } catch (error) {
      if (number === this.#startNumber) await this.#stop(0);
      // Left behind, it may have begun the executor's work after that was stopped.
      else if (this.#isStopped()) await executor.stop().catch(() => undefined);
      throw error;
    }
  }

  #isStopped(): boolean {
    return this.#state === "stopped";
  }

  /** @throws `conflict` if this start was left behind. */
  #expectStart(number: number): void {
    if (number !== this.#startNumber) throw new ConflictError("The scheduler was stopped before it had started");
  }

  /**
   * Begins nothing more, and gives running runs `graceMs` to end. Then they are aborted, and wait to be resumed where
   * they committed last. Resolves at the latest about a second later: code that ignores its signal is left behind, and
   * its run is claimed back when its lease has run out; so is a storage call that does not answer.
   */
  async stop(options: { readonly graceMs?: number } = {}): Promise<void> {
    const { graceMs = this.#options.graceMs } = options;
    checkNumber("graceMs", graceMs);
    const left = (await this.#awaitStart(graceMs)) ? graceMs : 0;
    if (this.#state === "stopped") return;
    this.#stopping ??= this.#stop(left).finally(() => (this.#stopping = undefined));
    await this.#stopping;
  }

  // A start that goes on would start what a stop has stopped. False: it did not end in time, and will not go on.
  async #awaitStart(graceMs: number): Promise<boolean> {
    const starting = this.#starting;
    if (starting === undefined) return true;
    const ended = starting.catch(() => undefined);
    if ((await this.#within(graceMs, ended)) || this.#starting !== starting) return true;
    this.#startNumber++;
    this.#starting = undefined;
    return false;
  }

  async #stop(graceMs: number): Promise<void> {
    this.#state = "stopping";
    this.#listenToRegistry("off");
    const listened = this.#within(graceMs, this.#intake.stop());
    const rested = this.#within(graceMs + abortPatienceMs, Promise.all([this.#timetable.stop(), this.#sweep.stop()]));
    const ended = this.#options.executor
      .stop()
      .catch((error: unknown) => this.#reportBackgroundError(error, "stopping the executor"));
    if (!(await this.#within(graceMs, ended))) {
      this.#runner.abortAll("stop");
      await this.#within(abortPatienceMs, ended);
    }
    await Promise.all([listened, rested]);
    this.#runner.stop();
    this.#state = "stopped";
    this.emit("scheduler:stopped", {});
  }

  /**
   * Queues a run of its own; it has been stored once this resolves. Works before `start`, too.
   *
   * @throws `not_found`, `flow_disabled`; `busy` if `maxQueued` runs of the flow wait; `invalid_request`.
   */
  async run(_flowId: string, options: RunOptions = {}): Promise<Run> {
    const { limit, moveCheckpoint, parameters } = options;
    if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 1))
      throw new InvalidRequestError("limit", "a whole number, 1 or more", limit);
    if (moveCheckpoint !== undefined && typeof moveCheckpoint !== "boolean")
      throw new InvalidRequestError("moveCheckpoint", "true or false", moveCheckpoint);
    return this.#queue({
      ...this.#newStart(_flowId),
      trigger: "manual",
      ...(limit === undefined ? {} : { limit }),
      ...(parameters === undefined ? {} : { parameters: readJson(parameters, "parameters") }),
      ...(moveCheckpoint === false ? { moveCheckpoint } : {}),
    });
  }

  /**
   * Cancels a run: at once if it waits, else as soon as its code has heeded its signal. One that has ended stays as it is.
   *
   * @throws `not_found`
   */
  async cancel(_runId: string, options: CancelOptions = {}): Promise<Run> {
    const { discard = false } = options;
    const before = await this.getRun(_runId);
    const run = await this.#storage.cancelRun(_runId, { at: this.#options.clock.now(), discard });
    if (run === undefined) throw new NotFoundError("run", _runId);
    this.#runner.abort(_runId, "cancel");
    if (run.status === "canceled" && !hasEnded(before)) this.#ended(run);
    return run;
  }

  /**
   * Resolves with the run once it has completed, failed or been canceled. Rejects with the reason of `signal` as soon as
   * that aborts; the run goes on.
   *
   * @throws `not_found`
   */
  async waitFor(_runId: string, options: { readonly signal?: AbortSignal } = {}): Promise<Run> {
    const { signal } = options;
    const waiter = this.#waiter(_runId);
    const done = new AbortController();
    const abort = () => done.abort();
    signal?.addEventListener("abort", abort);
    try {
      for (;;) {
        signal?.throwIfAborted();
        const run = await this.getRun(_runId);
        if (hasEnded(run)) return run;
        signal?.throwIfAborted();
        // It may end in another scheduler, of this process or of another one.
        const polled = delay(this.#options.clock, pollMs, done.signal).then(() => undefined);
        const ended = await Promise.race([waiter.ended, polled]);
        if (ended !== undefined) return ended;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      done.abort();
      waiter.leave();
    }
  }

  /** @throws `not_found` */
  async getRun(_runId: string): Promise<Run> {
    const run = await this.#storage.findRun(_runId);
    if (run === undefined) throw new NotFoundError("run", _runId);
    return run;
  }

  /**
   * Newest first. `next`, if there is one, is the `after` of the next page.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async listRuns(filter: RunFilter = {}): Promise<ListResult<Run>> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, runFilters satisfies Shape<RunFilter>, InvalidRequestError);
    return this.#storage.listRuns({ ...omitUndefined(rest), limit });
  }

  /**
   * Takes records in as they arrive; resolves when they are in the inbox of every enabled flow that uses the export,
   * as durably as the storage keeps them. Only then may their sender be told OK.
   *
   * @throws `not_found`, `invalid_request`; `flow_disabled` if no enabled flow uses the export; `busy` if an inbox is
   * full. Nothing has been claimed in then.
   */
  async accept<E extends string>(
    _exportId: ExportIdFor<X, E>,
    records: readonly RecordFor<X, E>[],
    options: AcceptOptions = {},
  ): Promise<AcceptResult> {
    return this.#intake.accept(_exportId, records, options);
  }

  /** @throws `not_found` */
  async getFailure(_id: string): Promise<Failure> {
    const failure = await this.#storage.findFailure(_id);
    if (failure === undefined) throw new NotFoundError("failure", _id);
    return failure;
  }

  /**
   * Oldest first. `next`, if there is one, is the `after` of the next page.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async listFailures(filter: FailureFilter = {}): Promise<ListResult<Failure>> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, failureFilters satisfies Shape<FailureFilter>, InvalidRequestError);
    return this.#storage.listFailures({ ...omitUndefined(rest), limit });
  }

  /**
   * Queues a run that sends the flow's open failures, or those selected, to the import that did not take them, under
   * the same keys. What it delivers is a failure no more.
   *
   * @throws `not_found`, also for an import that is none of the flow's; `flow_disabled`, `busy`.
   */
  async retryFailures(_flowId: string, selection: RetrySelection = {}): Promise<Run> {
    const flow = await this.#registry.get(_flowId);
    const { _importId, _ids, _integrationId } = selection;
    if (_importId !== undefined && !importIdsOf(flow).includes(_importId)) throw new NotFoundError("import", _importId);
    await this.#expectFailures(_ids ?? [], { _flowId, ...(_integrationId === undefined ? {} : { _integrationId }) });
    return this.#queue({
      ...this.#newStart(_flowId),
      trigger: "retry",
      retry: Object.freeze(omitUndefined(selection)),
    });
  }

  /**
   * Marks failures as resolved by hand: they are not retried any more. Answers those that were open.
   *
   * @throws `not_found` for an id that is no failure's; nothing is resolved then.
   */
  async resolveFailures(_ids: readonly string[]): Promise<readonly Failure[]> {
    await this.#expectFailures(_ids, {});
    const { clock } = this.#options;
    const at = clock.now();
    const resolved: Failure[] = [];
    for (let start = 0; start < _ids.length; start += changePortion)
      resolved.push(...(await this.#storage.resolveFailures(_ids.slice(start, start + changePortion), at)));
    return resolved;
  }

  /**
   * Gives an open failure another record, which retries send from now on; the first one is kept as `original`.
   *
   * @throws `not_found`; `conflict` if it is open no more, or its record was not kept; `invalid_request` if the record
   * cannot be stored.
   */
  async editFailure(_id: string, record: unknown): Promise<Failure> {
    const failure = await this.getFailure(_id);
    const result = storable(record);
    if (result.problem !== undefined)
      throw new InvalidRequestError("record", `a record that can be stored (${result.problem})`, record);
    const change = { record: result.record, at: this.#options.clock.now() };
    const edited = failure.unstorable === true ? undefined : await this.#storage.editFailure(_id, change);
    if (edited === undefined) throw new ConflictError(`Failure ${_id} is not open, or its record was not kept`);
    return edited;
  }

  /**
   * How delivery to each import of the flow stands, in the flow's order.
   *
   * @throws `not_found`
   */
  async deliveries(_flowId: string): Promise<readonly Delivery[]> {
    return this.#deliveries.list(await this.#registry.get(_flowId));
  }

  /**
   * Ends the pause of an import, or of all, now, and queues a run for them. Returns that run; undefined if nothing was
   * paused.
   *
   * @throws `not_found`, also for an import that is none of the flow's.
   */
  async resume(_flowId: string, _importId?: string): Promise<Run | undefined> {
    return this.#deliveries.resume(await this.#registry.get(_flowId), _importId);
  }

  /**
   * Where the flow's next run resumes for an import, or for its first one; undefined: from the start.
   *
   * @throws `not_found`, also for an import that is none of the flow's.
   */
  async getCheckpoint(_flowId: string, options: CheckpointOptions = {}): Promise<Json | undefined> {
    return this.#deliveries.checkpointOf(await this.#registry.get(_flowId), options._importId);
  }

  /**
   * Makes the flow's next run resume elsewhere, for one import or for all, to read again or to leave out; undefined: from
   * the start. Positions of readings that are not through are given up.
   *
   * @throws `not_found`; `conflict` while a run of the flow is active or waits to be resumed; `invalid_request` if it is
   * not JSON.
   */
  async setCheckpoint(_flowId: string, checkpoint: Json | undefined, options: CheckpointOptions = {}): Promise<void> {
    const flow = await this.#registry.get(_flowId);
    const version = this.#registry.findExport(flow._exportId)?.checkpointVersion ?? 1;
    const stored = checkpoint === undefined ? undefined : { value: readJson(checkpoint, "checkpoint"), version };
    await this.#deliveries.setCheckpoint(flow, stored, options._importId);
  }

  /**
   * The pages that wait in the flow's inbox, oldest first. `next`, if there is one, is the `after` of the next page.
   *
   * @throws `not_found`; `invalid_request` naming the filter that is unknown or out of range.
   */
  async listInbox(_flowId: string, filter: InboxFilter = {}): Promise<ListResult<WaitingPage>> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, inboxFilters satisfies Shape<InboxFilter>, InvalidRequestError);
    return this.#deliveries.listInbox(await this.#registry.get(_flowId), { ...omitUndefined(rest), limit });
  }

  /**
   * Gives pages of the flow's inbox up, for one import or for all: they are delivered no more. Returns the ids of those
   * that were there.
   *
   * @throws `not_found`, also for an import that is none of the flow's.
   */
  async dropInbox(
    _flowId: string,
    _ids: readonly string[],
    options: CheckpointOptions = {},
  ): Promise<readonly string[]> {
    return this.#deliveries.dropInbox(await this.#registry.get(_flowId), _ids, options._importId);
  }

  /** @throws `not_found` naming the first id that is no failure's, or not one of the flow's. */
  async #expectFailures(
    _ids: readonly string[],
    filter: Pick<FailureQuery, "_flowId" | "_integrationId">,
  ): Promise<void> {
    for (let start = 0; start < _ids.length; start += portion) {
      const part = _ids.slice(start, start + portion);
      const { items } = await this.#storage.listFailures({ ...filter, _ids: part, limit: portion });
      const found = new Set(items.map(({ _id }) => _id));
      const missing = part.find((_id) => !found.has(_id));
      if (missing !== undefined) throw new NotFoundError("failure", missing);
    }
  }

  #newStart(_flowId: string): Omit<RunStart, "trigger"> {
    const { clock, newId } = this.#options;
    return { _id: newId(), _flowId, queuedAt: new Date(clock.now()).toISOString() };
  }

  async #queue(start: RunStart): Promise<Run> {
    const queued = await this.#storage.queueRun(start, { maxQueued: this.#options.maxQueued });
    switch (queued.outcome) {
      case "missing":
        throw new NotFoundError("flow", start._flowId);
      case "disabled":
        throw new FlowDisabledError(`Flow ${start._flowId} is disabled`);
      case "full":
        throw new BusyError(`Flow ${start._flowId} has ${this.#options.maxQueued} runs waiting: try again later`);
      case "waiting":
        return queued.run;
      case "queued":
        this.#queued(queued.run);
        return queued.run;
    }
  }

  #onRunEnded({ next, resume, run }: EndRunResult): void {
    this.#ended(run);
    if (resume !== undefined) this.#queued(resume);
    for (const chained of next) {
      if (chained.outcome === "queued") this.#queued(chained.run);
      else if (chained.outcome === "skipped") this.emit("chain:skipped", { run, _flowId: chained._flowId });
    }
    const mayHeal = run.numError > 0 || Object.values(run.imports).some(({ status }) => status !== "completed");
    if (mayHeal)
      this.#sweep
        .lookAhead()
        .catch((error: unknown) => this.#reportBackgroundError(error, "planning what goes on by itself"));
  }

  #queued(run: Run): void {
    this.emit("run:queued", { run });
    this.#wake(run._flowId);
  }

  #wake(_flowId: string): void {
    if (this.#state !== "started") return;
    // A wake-up that fails is made up for by the next sweep.
    this.#options.executor
      .wake(_flowId)
      .catch((error: unknown) => this.#reportBackgroundError(new ExecutorFailedError(error), `waking flow ${_flowId}`));
  }

  #ended(run: Run): void {
    if (run.status === "completed") this.emit("run:completed", { run });
    else if (run.status === "failed") this.emit("run:failed", { run });
    else this.emit("run:canceled", { run });
    for (const tell of this.#waiters.get(run._id) ?? []) tell(run);
  }

  #onReclaimed(run: Run): void {
    // It may be one of our own, if this process was asleep: its code has to end, too.
    this.#runner.abort(run._id, "lost");
    if (run.status === "queued") this.emit("run:requeued", { run, reason: "crash" });
    else this.#ended(run);
  }

  #emit<Name extends keyof SchedulerEvents>(name: Name, payload: SchedulerEvents[Name]): void {
    if (name === "background:error") this.#logBackgroundError(payload as SchedulerEvents["background:error"]);
    this.emit(name, payload);
  }

  #logBackgroundError({ error, during }: SchedulerEvents["background:error"]): void {
    this.#options.logger.error({ error: messageOf(error), during }, "failed in the background, and is tried again");
  }

  #reportBackgroundError(error: unknown, during: string): void {
    this.#emit("background:error", { error, during });
  }

  #listenToRegistry(how: "on" | "off"): void {
    this.#registry[how]("flow:created", this.#onCreated);
    this.#registry[how]("flow:updated", this.#onUpdated);
    this.#registry[how]("flow:deleted", this.#onDeleted);
  }

  readonly #onCreated = ({ flow }: RegistryEvents["flow:created"]): void => {
    if (flow.nextRunAt !== undefined) this.#timetable.expect(Date.parse(flow.nextRunAt));
    this.#refreshListening(flow._exportId);
  };

  readonly #onUpdated = ({ flow, previous, canceledRuns }: RegistryEvents["flow:updated"]): void => {
    for (const run of canceledRuns) this.#ended(run);
    if (flow.nextRunAt !== undefined) this.#timetable.expect(Date.parse(flow.nextRunAt));
    for (const _exportId of new Set([flow._exportId, previous._exportId])) this.#refreshListening(_exportId);
    // What waits in its inbox since before it was disabled needs no further event to be moved.
    if (previous.disabled && !flow.disabled)
      this.#sweep.now().catch((error: unknown) => this.#reportBackgroundError(error, "sweeping"));
  };

  readonly #onDeleted = ({ flow, canceledRuns, activeRun }: RegistryEvents["flow:deleted"]): void => {
    for (const run of canceledRuns) this.#ended(run);
    if (activeRun !== undefined) this.#runner.abort(activeRun._id, "cancel");
    this.#refreshListening(flow._exportId);
  };

  // Another process may have changed a flow, or the storage may have failed when this one did.
  #refreshAllListening(): void {
    for (const _exportId of this.#registry.exportIds)
      if (this.#registry.findExport(_exportId)?.listen !== undefined) this.#refreshListening(_exportId);
  }

  #refreshListening(_exportId: string): void {
    this.#intake
      .refresh(_exportId)
      .catch((error: unknown) => this.#reportBackgroundError(error, `listening on ${_exportId}`));
  }

  #waiter(_runId: string): { readonly ended: Promise<Run>; readonly leave: () => void } {
    const waiters = this.#waiters.get(_runId) ?? new Set();
    this.#waiters.set(_runId, waiters);
    let tell: (run: Run) => void = () => undefined;
    const ended = new Promise<Run>((resolve) => (tell = resolve));
    waiters.add(tell);
    const leave = () => {
      waiters.delete(tell);
      if (waiters.size === 0) this.#waiters.delete(_runId);
    };
    return { ended, leave };
  }

  // True if the work was done in time. Its timer does not outlive it.
  async #within(delayMs: number, work: Promise<unknown>): Promise<boolean> {
    const done = new AbortController();
    const inTime = work.then(() => true).finally(() => done.abort());
    return Promise.race([inTime, delay(this.#options.clock, delayMs, done.signal).then(() => done.signal.aborted)]);
  }
}

function throwExecutorFailed(error: unknown): never {
  throw new ExecutorFailedError(error);
}

function readJson(value: Json, field: string): Json {
  try {
    return copyJson(value, field);
  } catch (error) {
    throw new InvalidRequestError(field, `JSON (${messageOf(error)})`, value);
  }
}
