import { type Clock, systemClock, within } from "../clock.ts";
import type { Overview } from "../model/flow/overview.ts";
import type { TracedScheduler } from "../run/tracing.ts";
import { type BatchObservableCallback, type Meter, type ObservableGauge, diag } from "./api.ts";

/** A storage is asked no more often than that, however many collect. */
const shortestIntervalMs = 10_000;

/** How long a collection waits for the storage: all other metrics wait with it. */
const longestWaitMs = 3_000;

type ValueOf = (overview: Overview, now: number) => number;

/** The gauges, by name: what one shows, its unit, and what it is of an overview. */
export const gauges = {
  "poundlock.runs.queued": ["Runs that wait.", "{run}", ({ runs }) => runs.queued],
  "poundlock.runs.running": ["Runs that are executed.", "{run}", ({ runs }) => runs.running],
  "poundlock.queue.age": ["How long the run waits that has waited longest.", "s", queueAgeOf],
  "poundlock.inbox.pages": ["Pages that wait in inboxes.", "{page}", ({ inboxPages }) => inboxPages],
  "poundlock.failures.open": ["Failures that are open.", "{failure}", ({ openFailures }) => openFailures],
  "poundlock.flows.failing": ["Flows whose last run failed.", "{flow}", ({ failing }) => failing],
  "poundlock.flows.overdue": ["Flows of which two due times have passed.", "{flow}", ({ overdue }) => overdue],
  "poundlock.imports.paused": ["Imports that are paused.", "{import}", ({ paused }) => paused],
} as const satisfies Readonly<Record<string, readonly [description: string, unit: string, valueOf: ValueOf]>>;

/** Shows how all flows of a storage do, whenever metrics are collected. */
export class Gauges {
  readonly #scheduler: Pick<TracedScheduler, "overview">;
  readonly #clock: Clock;
  #overview: Promise<Overview> | undefined;
  #askedAt = 0;
  #isPending = false;

  constructor(scheduler: Pick<TracedScheduler, "overview">, clock: Clock = systemClock) {
    this.#scheduler = scheduler;
    this.#clock = clock;
  }

  /** Begins to show them. */
  observe(meter: Meter): void {
    const shown = Object.entries(gauges).map(([name, [description, unit, valueOf]]) => {
      return { gauge: meter.createObservableGauge(name, { description, unit }), valueOf };
    });
    meter.addBatchObservableCallback(
      this.#callback(shown),
      shown.map(({ gauge }) => gauge),
    );
  }

  #callback(shown: readonly { readonly gauge: ObservableGauge; readonly valueOf: ValueOf }[]): BatchObservableCallback {
    return async (result) => {
      try {
        const asked = this.#recent();
        if (!(await within(this.#clock, longestWaitMs, asked)))
          throw new Error(`the storage did not answer within ${longestWaitMs} ms`);
        const [overview, now] = [await asked, this.#clock.now()];
        for (const { gauge, valueOf } of shown) result.observe(gauge, valueOf(overview, now));
      } catch (error) {
        // What is not known is not shown: a gap says more than a value from before.
        diag.warn("poundlock: there is no overview, so there are no gauges", error);
      }
    };
  }

  // One question at a time, also if its answer takes longer than the interval.
  #recent(): Promise<Overview> {
    const age = this.#clock.now() - this.#askedAt;
    const isRecent = age >= 0 && age < shortestIntervalMs;
    if (this.#overview !== undefined && (this.#isPending || isRecent)) return this.#overview;
    this.#askedAt = this.#clock.now();
    this.#isPending = true;
    this.#overview = this.#ask();
    return this.#overview;
  }

  async #ask(): Promise<Overview> {
    try {
      return await this.#scheduler.overview();
    } catch (error) {
      this.#overview = undefined;
      throw error;
    } finally {
      this.#isPending = false;
    }
  }
}

function queueAgeOf({ oldestQueuedAt }: Overview, now: number): number {
  return oldestQueuedAt === undefined ? 0 : Math.max(0, now - Date.parse(oldestQueuedAt)) / 1_000;
}
