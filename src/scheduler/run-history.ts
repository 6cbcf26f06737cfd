import type { Clock } from "../clock.ts";
import { InvalidOptionError, InvalidRequestError, NotFoundError } from "../errors.ts";
import { Events, type SchedulerEvents, schedulerEventNames } from "../events.ts";
import { type FlowRegistry, checkId } from "../flow-registry.ts";
import { causeFilters, overviewFilters, runFilters } from "../model/filters.ts";
import type { FlowActivity } from "../model/flow/activity.ts";
import { omitUndefined } from "../model/record/json.ts";
import type { Overview } from "../model/flow/overview.ts";
import type { Run } from "../model/run.ts";
import { type Shape, checkObject, objectWith, v, validate } from "../model/validate.ts";
import type { WorkerProcess } from "../model/worker-process.ts";
import type { CauseList, ListResult, Storage } from "../storage/storage.ts";
import type { FailureBatch, FailureBatches, ResolvedBatch, RetriedBatch } from "./failure-batches.ts";
import { livingProcesses } from "./maintenance/heartbeat.ts";
import type { CauseFilter, OverviewFilter, RunFilter } from "./requests.ts";
import { type StatisticsFilter, type StatisticsList, StatisticsReader } from "./statistics/statistics-reader.ts";
import type { ChangeFeed } from "./watching/change-feed.ts";
import { type Watch, type WatchOptions, watchChanges } from "./watching/watch.ts";
import { type SchedulePreview, type SchedulePreviewInput, previewSchedule } from "./timetable/preview.ts";

const watchRules: Shape<WatchOptions> = {
  signal: v.optional(objectWith(["addEventListener", "removeEventListener"], "an AbortSignal")),
};

/** Flows whose activities are read in one go. */
const activitiesAtOnce = 25;

/** What can be read about runs, and done about many failures, whether a scheduler works or not. */
export abstract class RunHistory extends Events<SchedulerEvents> {
  protected abstract readonly batches: FailureBatches;
  protected abstract readonly feed: ChangeFeed;
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #timezone: string;
  readonly #statistics: StatisticsReader;

  /** @throws `invalid_option` if it is given no registry, or options that are no object. */
  constructor(registry: Pick<FlowRegistry, "clock" | "storage" | "timezone">, own: { readonly clock?: Clock }) {
    super(schedulerEventNames);
    const rules = { registry: objectWith(["findExport", "findImport"], "a FlowRegistry") };
    validate({ registry }, rules, InvalidOptionError);
    checkObject(own, InvalidOptionError, "options");
    const { clock, storage, timezone } = registry;
    this.#storage = storage;
    this.#clock = own.clock ?? clock;
    this.#timezone = timezone;
    this.#statistics = new StatisticsReader(storage, this.#clock);
  }

  /**
   * What becomes of runs and flows from now on, in all processes that share the storage, until `signal` aborts or the loop is
   * left; works before `start`, too. `scheduler.on` is what this process does. Progress is not in it.
   *
   * @throws `invalid_option`
   */
  watch(options: WatchOptions = {}): Watch {
    validate(options, watchRules, InvalidOptionError);
    return watchChanges(this.feed, options);
  }

  /** The processes whose schedulers are started on this storage, this one included, as each described itself last. */
  async processes(): Promise<readonly WorkerProcess[]> {
    return livingProcesses(this.#storage, this.#clock.now());
  }

  /** @throws `not_found` */
  async getRun(_runId: string): Promise<Run> {
    checkId("_runId", _runId);
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
   * When a schedule would be due from now on, and what its `H` means for a flow.
   *
   * @throws `invalid_flow` with everything wrong with it; `invalid_request` for a field that is unknown or out of range.
   */
  previewSchedule(input: SchedulePreviewInput): SchedulePreview {
    return previewSchedule(input, { now: this.#clock.now(), zone: this.#timezone });
  }

  /**
   * How all flows do, or those of one integration: what fails, is overdue or paused, runs and waits, as it is now. What
   * it costs does not grow with history.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async overview(filter: OverviewFilter = {}): Promise<Overview> {
    validate(filter, overviewFilters satisfies Shape<OverviewFilter>, InvalidRequestError);
    return this.#storage.overview({ ...omitUndefined(filter), now: this.#clock.now() });
  }

  /**
   * How each of these flows does: its last run, since when it fails or is overdue, its open failures and paused imports. In
   * their order; undefined for a flow that there is not.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async activities(
    _flowIds: readonly string[],
    filter: OverviewFilter = {},
  ): Promise<readonly (FlowActivity | undefined)[]> {
    for (const _id of _flowIds) checkId("_flowIds", _id);
    validate(filter, overviewFilters satisfies Shape<OverviewFilter>, InvalidRequestError);
    const activities: (FlowActivity | undefined)[] = [];
    for (let start = 0; start < _flowIds.length; start += activitiesAtOnce) {
      if (start > 0) await this.#clock.yieldToEventLoop();
      const some = _flowIds.slice(start, start + activitiesAtOnce);
      const query = { ...omitUndefined(filter), _flowIds: some, now: this.#clock.now() };
      activities.push(...(await this.#storage.flowActivities(query)));
    }
    return activities;
  }

  /**
   * What was moved, by the hour or by the day: runs by how they ended, records by what became of them. Processes save what
   * they have counted every ten seconds, and when they stop.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range; also for more than 744 steps.
   */
  async statistics(filter: StatisticsFilter): Promise<StatisticsList> {
    return this.#statistics.list(filter);
  }

  /**
   * Open failures by their cause, the most frequent first; with `_flowId` by import and cause.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async listCauses(filter: CauseFilter = {}): Promise<CauseList> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, causeFilters satisfies Shape<CauseFilter>, InvalidRequestError);
    return this.#storage.listCauses({ ...omitUndefined(rest), limit });
  }

  /**
   * Queues a retry run for each of at most 1,000 flows that have open failures which match, up to the newest one that was
   * seen. `next`, if there is one, is the `after` of the rest.
   *
   * @throws `invalid_request`, also without a filter; `conflict` while failures of an earlier version are being counted.
   */
  async retryMatching(batch: FailureBatch): Promise<RetriedBatch> {
    return this.batches.retry(batch);
  }

  /**
   * Marks as resolved by hand what matches, at most 10,000, up to the newest one that was seen. `next`, if there is one,
   * is the `after` of the rest.
   *
   * @throws `invalid_request`, also without a filter.
   */
  async resolveMatching(batch: FailureBatch): Promise<ResolvedBatch> {
    return this.batches.resolve(batch);
  }
}
