import type { Clock } from "../../clock.ts";
import { InvalidRequestError } from "../../errors.ts";
import { statisticsFilters } from "../../model/filters.ts";
import { hasEnded } from "../../model/run.ts";
import { type Statistics, type StatisticsBucket, addStatistics, noStatistics } from "../../model/statistics.ts";
import { type Shape, validate } from "../../model/validate.ts";
import type { Storage } from "../../storage/storage.ts";
import { hourMs } from "./statistics-writer.ts";

/** Of which time, by what, and whose. */
export interface StatisticsFilter {
  /** ISO 8601; the beginning of its hour counts. */
  readonly from: string;
  /** ISO 8601; the hour in which it is counts as a whole. */
  readonly until: string;
  /** `day`: 24 hours each, counted from `from`. @default "hour" */
  readonly step?: "hour" | "day";
  /** Runs of flows of this integration. @default all */
  readonly _integrationId?: string;
  /** Runs of this flow, as far as they are remembered: each counts when it ended. @default all */
  readonly _flowId?: string;
}

/** What was moved, step by step. */
export interface StatisticsList {
  /** By ascending time; steps in which nothing happened are left out. */
  readonly items: readonly StatisticsBucket[];
  /** False: the flow had more runs in that time than are looked at, and the first steps are not all there. */
  readonly complete: boolean;
}

/** Steps of one request at most: a month of hours. */
const mostSteps = 744;

/** Hours read at once: with 200 integrations about a millisecond in SQLite. */
const portionHours = 24;

/** Runs of a flow that are looked at, and how many at once. */
const mostRuns = 5_000;
const portionRuns = 200;

interface Range {
  readonly from: number;
  readonly until: number;
  readonly stepMs: number;
}

/** Reads what was moved. */
export class StatisticsReader {
  readonly #storage: Pick<Storage, "listRuns" | "listStatistics">;
  readonly #clock: Clock;

  constructor(storage: Pick<Storage, "listRuns" | "listStatistics">, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** @throws `invalid_request` */
  async list(filter: StatisticsFilter): Promise<StatisticsList> {
    validate(filter, statisticsFilters satisfies Shape<StatisticsFilter>, InvalidRequestError);
    const range = rangeOf(filter);
    const steps = new Steps(range);
    const complete =
      filter._flowId === undefined
        ? await this.#addHours(steps, range, filter)
        : await this.#addRuns(steps, range, { ...filter, _flowId: filter._flowId });
    return { items: steps.all(), complete };
  }

  async #addHours(steps: Steps, { from, until }: Range, { _integrationId }: StatisticsFilter): Promise<boolean> {
    const owner = _integrationId === undefined ? {} : { _integrationId };
    for (let at = from; at < until; at += portionHours * hourMs) {
      if (at > from) await this.#clock.yieldToEventLoop();
      const portion = { from: at, until: Math.min(until, at + portionHours * hourMs), ...owner };
      for (const { hour, ...statistics } of await this.#storage.listStatistics(portion)) steps.add(hour, statistics);
    }
    return true;
  }

  // Runs of a flow end in the order in which they are listed, apart from those that were canceled while they waited.
  async #addRuns(
    steps: Steps,
    { from, until }: Range,
    { _flowId, _integrationId }: StatisticsFilter & { readonly _flowId: string },
  ): Promise<boolean> {
    const query = { _flowId, ...(_integrationId === undefined ? {} : { _integrationId }), limit: portionRuns };
    let after: string | undefined;
    for (let looked = 0; looked < mostRuns; looked += portionRuns) {
      if (looked > 0) await this.#clock.yieldToEventLoop();
      const { items, next } = await this.#storage.listRuns({ ...query, ...(after === undefined ? {} : { after }) });
      let isPast = items.length > 0;
      for (const run of items) {
        const endedAt = run.endedAt === undefined ? Infinity : Date.parse(run.endedAt);
        if (endedAt >= from || run.status === "canceled") isPast = false;
        if (!hasEnded(run) || endedAt < from || endedAt >= until) continue;
        const { numError, numIgnore, numSuccess, startedAt = run.endedAt, status } = run;
        const durationMs = Math.max(0, endedAt - Date.parse(startedAt ?? ""));
        steps.add(endedAt, { ...noStatistics, numError, numIgnore, numSuccess, [status]: 1, durationMs });
      }
      if (isPast || next === undefined) return true;
      after = next;
    }
    return false;
  }
}

/** Adds up what belongs to one step. */
class Steps {
  readonly #range: Range;
  readonly #sums = new Map<number, Statistics>();

  constructor(range: Range) {
    this.#range = range;
  }

  add(at: number, statistics: Statistics): void {
    const { from, stepMs } = this.#range;
    const step = from + Math.floor((at - from) / stepMs) * stepMs;
    this.#sums.set(step, addStatistics(this.#sums.get(step) ?? noStatistics, statistics));
  }

  all(): readonly StatisticsBucket[] {
    const sums = [...this.#sums].sort(([one], [other]) => one - other);
    return sums.map(([at, sum]) => Object.freeze({ from: new Date(at).toISOString(), ...sum }));
  }
}

/** @throws `invalid_request` */
function rangeOf({ from, until, step = "hour" }: StatisticsFilter): Range {
  const stepMs = step === "hour" ? hourMs : 24 * hourMs;
  const begin = Math.floor(Date.parse(from) / hourMs) * hourMs;
  const end = Math.ceil(Date.parse(until) / hourMs) * hourMs;
  if (end <= begin) throw new InvalidRequestError("until", "a time after from", until);
  if (end - begin > mostSteps * stepMs)
    throw new InvalidRequestError("until", `at most ${mostSteps} steps after from`, until);
  return { from: begin, until: end, stepMs };
}
