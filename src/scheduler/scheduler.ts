import { ExecutorFailedError, InvalidRequestError, NotFoundError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import { type FlowRegistry, checkId } from "../flow-registry.ts";
import type { Delivery } from "../model/delivery.ts";
import type { AcceptOptions, AcceptResult } from "../model/host/export.ts";
import type { Failure } from "../model/failure.ts";
import type { ExportIdFor, Exports, Imports, RecordFor } from "../model/host/fitting.ts";
import { failureFilters, inboxFilters } from "../model/filters.ts";
import { type Flow, importIdsOf } from "../model/flow/flow.ts";
import { type Json, omitUndefined } from "../model/record/json.ts";
import type { Logger } from "../model/logger.ts";
import { type RetrySelection, type Run, hasEnded, hasOwnPosition } from "../model/run.ts";
import { type Shape, validate } from "../model/validate.ts";
import { version } from "../model/worker-process.ts";
import { Runner } from "../run/runner.ts";
import type { EndRunResult, FailureList, ListResult, Storage } from "../storage/storage.ts";
import { CancelWatch, type CancelWatchDeps } from "./maintenance/cancel-watch.ts";
import { CatalogCheck, type CatalogCheckDeps } from "./maintenance/catalog-check.ts";
import { ClockWatch } from "./maintenance/clock-watch.ts";
import { Deliveries, type WaitingPage } from "./deliveries.ts";
import { Duties } from "./duties.ts";
import { FailureBatches } from "./failure-batches.ts";
import { Failures } from "./failures.ts";
import { FlowWatch } from "./flow-watch.ts";
import { Heartbeat, type HeartbeatDeps } from "./maintenance/heartbeat.ts";
import { UnclaimedRuns } from "./maintenance/unclaimed-runs.ts";
import { HandingOn, type HandingOnDeps } from "./maintenance/handing-on.ts";
import { Healing } from "./maintenance/healing.ts";
import { Intake } from "./intake/intake.ts";
import { Lifecycle, type Part, type SchedulerState, abortGraceMs } from "./lifecycle.ts";
import { LiveScheduler } from "./live-schedulers.ts";
import { LeaseWatch } from "./maintenance/lease-watch.ts";
import { logEvent } from "./log-lines.ts";
import { Maintenance } from "./maintenance/maintenance.ts";
import { type ResolvedOptions, type SchedulerOptions, checkNumber, resolveOptions } from "./options.ts";
import {
  type CancelOptions,
  type CheckpointOptions,
  type FailureFilter,
  type InboxFilter,
  type RunOptions,
  checkSelection,
  mostCheckpoint,
  readCancelOptions,
  readImportId,
  readJson,
  readRunOptions,
} from "./requests.ts";
import { RunHistory } from "./run-history.ts";
import { RunQueue } from "./run-queue.ts";
import { RunWaiters } from "./run-waiters.ts";
import { StatisticsWriter } from "./statistics/statistics-writer.ts";
import { ScheduleCheck } from "./timetable/schedule-check.ts";
import { Timetable } from "./timetable/timetable.ts";
import { ChangeFeed } from "./watching/change-feed.ts";
import { UnreadableRows } from "./maintenance/unreadable-rows.ts";

/** Moves records: runs flows by their schedules, on demand and as events arrive, one run of a flow at a time. */
export class Scheduler<X extends Exports = Exports, M extends Imports = Imports> extends RunHistory {
  readonly #registry: FlowRegistry;
  readonly #storage: Storage;
  readonly #options: ResolvedOptions;
  readonly #runner: Runner;
  readonly #timetable: Timetable;
  readonly #intake: Intake;
  readonly #maintenance: Maintenance;
  readonly #lifecycle: Lifecycle;
  readonly #heartbeat: Heartbeat;
  readonly #waiters: RunWaiters;
  readonly #queue: RunQueue;
  readonly #deliveries: Deliveries;
  readonly #failures: Failures;
  readonly #unreadableRows: UnreadableRows;
  readonly #statistics: StatisticsWriter;
  #handingOn: HandingOn | undefined;
  protected readonly batches: FailureBatches;
  protected readonly feed: ChangeFeed;

  /** @throws `invalid_option` naming the first option that is out of range. */
  constructor(registry: FlowRegistry<X, M>, options: SchedulerOptions = {}) {
    super(registry, options);
    [this.#registry, this.#storage] = [registry, registry.storage];
    this.#options = resolveOptions(options, registry);
    const { storage, timezone } = registry;
    const { random, logger: log, overlap, retryDelayMs, freezeRecords: freeze, ...rest } = this.#options;
    const emit: Emit<SchedulerEvents> = (name, payload) => this.#emit(name, payload);
    const own = { storage, emit, clock: rest.clock, processId: rest.newId() };
    const clockWatch = new ClockWatch(own);
    this.#statistics = new StatisticsWriter(own);
    this.#heartbeat = new Heartbeat({ ...own, describe: () => this.#describe() });
    this.feed = new ChangeFeed(own);
    const shared = { ...own, log, clockWatch, duties: new Duties(own), feed: this.feed, heartbeat: this.#heartbeat };
    const common = { ...rest, ...shared, wake: (flow: Pick<Run, "_flowId" | "_exportId">) => this.#wake(flow) };
    this.#unreadableRows = new UnreadableRows(common);
    const onSettled = (_flowId: string) => this.#failuresSettled(_flowId);
    const deps = { ...common, onSettled, queue: (this.#queue = new RunQueue(common)) };
    this.#runner = new Runner({
      ...deps,
      ...{ catalog: registry, freeze, limits: { ...rest, backoff: { retryDelayMs, random } } },
      onEnded: (ended) => this.#runEnded(ended),
      onLeft: (flow) => this.#handingOn?.add(flow),
      onWaiting: (_flowId, notBefore) => this.#maintenance.expect(notBefore),
    });
    const check = new ScheduleCheck({ ...deps, timezone, onDue: (dueAt) => this.#timetable.expect(dueAt) });
    this.#timetable = new Timetable({ ...deps, check, timezone, rule: { overlap, maxQueued: rest.maxQueued } });
    this.#intake = new Intake({ ...deps, exports: registry });
    this.#maintenance = new Maintenance({
      ...{ ...deps, check, healing: new Healing(deps), leaseWatch: new LeaseWatch(deps) },
      unclaimed: rest.executor.capabilities.routes ? new UnclaimedRuns({ ...deps, catalog: registry }) : undefined,
      onReclaimed: (run) => this.#reclaimed(run),
      onRound: () => this.#refreshAllListening(),
    });
    this.#waiters = new RunWaiters({ ...deps, state: () => this.state });
    [this.#deliveries, this.#failures] = [new Deliveries(deps), new Failures(deps)];
    this.batches = new FailureBatches({ ...deps, failures: this.#failures });
    const parts = [new LiveScheduler(deps), clockWatch, this.#unreadableRows, this.#flowWatch(), ...this.#parts(deps)];
    this.#lifecycle = new Lifecycle({ ...deps, exports: registry, runner: this.#runner, parts });
    rest.tracer?.attach(this, (error, during) => this.#reportBackgroundError(error, during));
  }

  /** The registry whose flows it runs. */
  get registry(): FlowRegistry<X, M> {
    return this.#registry as FlowRegistry<X, M>;
  }

  /** What it does now. */
  get state(): SchedulerState {
    return this.#lifecycle.state;
  }

  /** Where it writes; for others in the host's process to write to the same place. */
  get logger(): Logger {
    return this.#options.logger;
  }

  /**
   * Resumes what was interrupted, queues what was missed, and runs flows from now on.
   *
   * @throws `conflict` unless it is stopped; `storage_failed`, `executor_failed`: then it is stopped again.
   */
  async start(): Promise<void> {
    await this.#lifecycle.start();
  }

  /**
   * Begins nothing more, and gives running runs `graceMs` to end. Then they are aborted, and wait to be resumed where
   * they committed last. Resolves at the latest about a second later: code that ignores its signal is left behind, and
   * its run is reclaimed when its lease has expired; so is a storage call that does not resolve.
   */
  async stop(options: { readonly graceMs?: number } = {}): Promise<void> {
    const { graceMs = this.#options.graceMs } = options;
    checkNumber("graceMs", graceMs);
    const until = this.#options.clock.now() + graceMs + abortGraceMs;
    await this.#lifecycle.stop(graceMs);
    await this.#statistics.last(until);
  }

  /** The same as `stop`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /**
   * Queues a run of its own; it has been stored once this resolves. Works before `start`, too.
   *
   * @throws `not_found`, `flow_disabled`; `busy` if `maxQueued` runs of the flow wait; `invalid_request`.
   */
  async run(_flowId: string, options: RunOptions = {}): Promise<Run> {
    checkId("_flowId", _flowId);
    return this.#queue.add(_flowId, { trigger: "manual", ...readRunOptions(options) });
  }

  /**
   * Cancels a run: at once if it waits, else when its code has ended after its signal. One that has ended stays as it is.
   *
   * @throws `not_found`
   */
  async cancel(_runId: string, options: CancelOptions = {}): Promise<Run> {
    const discard = readCancelOptions(options);
    const before = await this.getRun(_runId);
    const run = await this.#storage.cancelRun(_runId, { at: this.#options.clock.now(), discard });
    if (run === undefined) throw new NotFoundError("run", _runId);
    this.#runner.abort(_runId, "cancel");
    if (run.status === "canceled" && !hasEnded(before)) this.#ended(run);
    return run;
  }

  /**
   * Resolves with the run once it has completed, failed or been canceled. Rejects with the reason of `signal` as soon as
   * that aborts; the run goes on. While no scheduler has been started it waits until one is, and a warning is logged.
   *
   * @throws `not_found`; `conflict` if the run has not ended within `waitTimeoutMs`.
   */
  async waitFor(_runId: string, options: { readonly signal?: AbortSignal } = {}): Promise<Run> {
    checkId("_runId", _runId);
    return this.#waiters.waitFor(_runId, options.signal);
  }

  /**
   * Takes records in as they arrive; resolves when they are in the inbox of every enabled flow that uses the export,
   * as durably as the storage keeps them. Only then may their sender get an OK.
   *
   * If it rejects, none of them is; but of more than 5,000 event ids some are if the storage fails in the middle, or the
   * last flow is disabled. Sent again under their ids, none is delivered twice.
   * @throws `not_found`, `invalid_request`; `flow_disabled` if no enabled flow uses the export; `busy` if an inbox is
   * full; `storage_failed`, after which it is open whether they are stored, so that without event ids they may come twice.
   */
  async accept<E extends string>(
    _exportId: ExportIdFor<X, E>,
    records: readonly RecordFor<X, E>[],
    options: AcceptOptions = {},
  ): Promise<AcceptResult> {
    checkId("_exportId", _exportId);
    return this.#intake.accept(_exportId, records, options);
  }

  /** @throws `not_found` */
  async getFailure(_id: string): Promise<Failure> {
    checkId("_id", _id);
    return this.#failures.get(_id);
  }

  /**
   * Oldest first, unless `newestFirst`. `next`, if there is one, is the `after` of the next page; with `text` that page
   * may contain fewer than there are, and `examined` says how many it looked at.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async listFailures(filter: FailureFilter = {}): Promise<FailureList> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, failureFilters satisfies Shape<FailureFilter>, InvalidRequestError);
    return this.#failures.list({ ...omitUndefined(rest), limit });
  }

  /**
   * Queues a run that sends the flow's open failures, or those selected, to the import that did not take them, under
   * the same keys. What it delivers is a failure no more.
   *
   * @throws `not_found`, also for an import that is none of the flow's; `flow_disabled`, `busy`; `invalid_request` naming
   * the field that is unknown, and if more than 10,000 are selected by their ids.
   */
  async retryFailures(_flowId: string, selection: RetrySelection = {}): Promise<Run> {
    checkSelection(selection);
    const flow = await this.#flow(_flowId);
    const { _importId, _ids, _integrationId } = selection;
    if (_importId !== undefined && !importIdsOf(flow).includes(_importId)) throw new NotFoundError("import", _importId);
    await this.#failures.expect(_ids ?? [], { _flowId, ...omitUndefined({ _integrationId }) });
    return this.#queue.add(_flowId, { trigger: "retry", retry: Object.freeze(omitUndefined(selection)) });
  }

  /**
   * Marks failures as resolved by hand: they are not retried any more. Resolves with those that were open.
   *
   * @throws `not_found` for an id that is no failure's; nothing is resolved then.
   */
  async resolveFailures(_ids: readonly string[]): Promise<readonly Failure[]> {
    for (const _id of _ids) checkId("_ids", _id);
    return this.#failures.resolve(_ids);
  }

  /**
   * Gives an open failure another record, which retries send from now on; the first one is kept as `original`.
   *
   * @throws `not_found`; `conflict` if it is open no more, its record was not kept, or a retry of its flow is running,
   * which may be sending it just now; `invalid_request` if the record cannot be stored.
   */
  async editFailure(_id: string, record: unknown): Promise<Failure> {
    checkId("_id", _id);
    return this.#failures.edit(_id, record);
  }

  /**
   * How delivery to each import of the flow stands, in the flow's order.
   *
   * @throws `not_found`
   */
  async deliveries(_flowId: string): Promise<readonly Delivery[]> {
    return this.#deliveries.list(await this.#flow(_flowId));
  }

  /**
   * Ends the pause of an import, or of all, now, and queues a run for them. Returns that run; undefined if nothing was
   * paused.
   *
   * @throws `not_found`, also for an import that is none of the flow's.
   */
  async resume(_flowId: string, _importId?: string): Promise<Run | undefined> {
    return this.#deliveries.resume(await this.#flow(_flowId), _importId);
  }

  /**
   * Where the flow's next run resumes for an import, or for its first one; undefined: from the start.
   *
   * @throws `not_found`, also for an import that is none of the flow's.
   */
  async getCheckpoint(_flowId: string, options: CheckpointOptions = {}): Promise<Json | undefined> {
    return this.#deliveries.checkpointOf(await this.#flow(_flowId), readImportId(options));
  }

  /**
   * Makes the flow's next run resume elsewhere, for one import or for all, to read again or to leave out; undefined: from
   * the start. Positions of readings that are not through are given up.
   *
   * @throws `not_found`; `conflict` while a run of the flow is active or waits to be resumed; `invalid_request` if it is
   * not JSON, or more than 16 MB of it.
   */
  async setCheckpoint(_flowId: string, checkpoint: Json | undefined, options: CheckpointOptions = {}): Promise<void> {
    const flow = await this.#flow(_flowId);
    const value = checkpoint === undefined ? undefined : readJson("checkpoint", checkpoint, mostCheckpoint);
    const source = this.#registry.findExport(flow._exportId);
    const version = source === undefined ? undefined : (source.checkpointVersion ?? 1);
    await this.#deliveries.setCheckpoint(flow, { value, version }, readImportId(options));
  }

  /**
   * The pages that wait in the flow's inbox, oldest first. `next`, if there is one, is the `after` of the next page.
   *
   * @throws `not_found`; `invalid_request` naming the filter that is unknown or out of range.
   */
  async listInbox(_flowId: string, filter: InboxFilter = {}): Promise<ListResult<WaitingPage>> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, inboxFilters satisfies Shape<InboxFilter>, InvalidRequestError);
    return this.#deliveries.listInbox(await this.#flow(_flowId), { ...omitUndefined(rest), limit });
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
    for (const _id of _ids) checkId("_ids", _id);
    return this.#deliveries.dropInbox(await this.#flow(_flowId), _ids, readImportId(options));
  }

  /** @throws `not_found` */
  async #flow(_flowId: string): Promise<Flow> {
    checkId("_flowId", _flowId);
    return this.#registry.get(_flowId);
  }

  #parts(deps: Omit<CancelWatchDeps, "runner"> & Omit<CatalogCheckDeps, "catalog"> & HandingOnDeps): readonly Part[] {
    const { roles } = this.#options;
    const ofRuns = () => [
      (this.#handingOn = new HandingOn(deps)),
      new CancelWatch({ ...deps, runner: this.#runner }),
      new CatalogCheck({ ...deps, catalog: this.#registry }),
    ];
    return [
      ...[this.#heartbeat, this.#statistics, this.#maintenance],
      ...(roles.includes("schedule") ? [this.#timetable] : []),
      ...(roles.includes("listen") ? [this.#intake] : []),
      ...(roles.includes("run") ? ofRuns() : []),
    ];
  }

  #describe(): ReturnType<HeartbeatDeps["describe"]> {
    const { concurrency, name, roles } = this.#options;
    const { exportIds, importIds } = this.#registry;
    const work = { exportIds, importIds, concurrency, running: this.#runner.size };
    return { ...omitUndefined({ name }), version, roles, ...work };
  }

  #wake({ _exportId, _flowId }: Pick<Run, "_flowId" | "_exportId">): void {
    // A process that executes nothing can still wake others.
    if (this.state !== "started" && !this.#options.executor.capabilities.durable) return;
    // A wake-up that fails is made up for by the next round of maintenance.
    this.#options.executor
      .wake(_flowId, _exportId)
      .catch((error: unknown) => this.#reportBackgroundError(new ExecutorFailedError(error), `waking flow ${_flowId}`));
  }

  #runEnded({ next, resume, run }: EndRunResult): void {
    this.#ended(run);
    if (resume !== undefined) this.#queue.added(resume);
    for (const chained of next) {
      if (chained.outcome === "queued") this.#queue.added(chained.run);
      else if (chained.outcome === "skipped") this.emit("chain:skipped", { run, _flowId: chained._flowId });
    }
    const mayHeal = run.numError > 0 || Object.values(run.imports).some(({ status }) => status !== "completed");
    if (mayHeal)
      this.#maintenance.lookAhead().catch((error: unknown) => this.#reportBackgroundError(error, "planning retries"));
    const isSkipped = Object.values(run.imports).some(({ status }) => status === "skipped");
    if (isSkipped || hasOwnPosition(run)) this.#failuresSettled(run._flowId);
  }

  // Fewer may be open than before: what is paused because of them may go on.
  #failuresSettled(_flowId: string): void {
    this.#deliveries
      .resumeSettled(_flowId)
      .catch((error: unknown) => this.#reportBackgroundError(error, `resuming imports of flow ${_flowId}`));
  }

  #ended(run: Run): void {
    if (run.status === "completed") this.#emit("run:completed", { run });
    else if (run.status === "failed") this.#emit("run:failed", { run });
    else this.#emit("run:canceled", { run });
    this.#waiters.resolve(run);
  }

  #reclaimed(run: Run): void {
    // It may be one of our own, if this process was asleep: its code has to end, too.
    this.#runner.abort(run._id, "lost");
    if (run.status === "queued") this.#emit("run:requeued", { run, reason: "crash" });
    else this.#ended(run);
  }

  #emit<Name extends keyof SchedulerEvents>(name: Name, payload: SchedulerEvents[Name]): void {
    if (name === "background:error" && this.#unreadableRows.isKnown((payload as { error: unknown }).error)) return;
    logEvent(this.#options.logger, name, payload);
    this.#statistics.note(name, payload);
    this.emit(name, payload);
    this.feed.own(name, payload);
  }

  #reportBackgroundError(error: unknown, during: string): void {
    this.#emit("background:error", { error, during });
  }

  #flowWatch(): FlowWatch {
    return new FlowWatch({
      registry: this.#registry,
      onDue: (dueAt) => this.#timetable.expect(dueAt),
      onUsed: (_exportId) => this.#refreshListening(_exportId),
      onCanceled: (run) => this.#ended(run),
      onActiveDeleted: (run) => this.#runner.abort(run._id, "cancel"),
      onEnabled: () =>
        void this.#maintenance.now().catch((error: unknown) => this.#reportBackgroundError(error, "maintenance")),
    });
  }

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
}
