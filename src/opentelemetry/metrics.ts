import { elapsedMs } from "../clock.ts";
import { omitUndefined } from "../model/record/json.ts";
import type { Counts, Run } from "../model/run.ts";
import type { Step, StepResult, TracedScheduler } from "../run/tracing.ts";
import { type Attributes, type Counter, type Histogram, type Meter, diag } from "./api.ts";
import type { MetricAttributes, ResolvedTelemetryOptions } from "./options.ts";

/** Upper bounds of the buckets of runs and of steps, in seconds. */
const runSeconds = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 1_800, 3_600];
const stepSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The counters, by name: what one counts, and its unit. */
export const counters = {
  "poundlock.runs": ["Runs that ended.", "{run}"],
  "poundlock.records": ["Records that were settled at an import.", "{record}"],
  "poundlock.retries": ["Further attempts of batches, and readings that began again.", "{retry}"],
  "poundlock.background.errors": ["What failed in the background and is tried again.", "{error}"],
} as const;

/** The histograms, by name: what one measures, and the bounds of its buckets in seconds. */
export const histograms = {
  "poundlock.run.duration": ["From the start of a run to its end.", runSeconds],
  "poundlock.run.delay": ["From the due time of a run, or when it was queued, to its start.", runSeconds],
  "poundlock.read.duration": ["One page that was asked for.", stepSeconds],
  "poundlock.write.duration": ["One call of write.", stepSeconds],
  "poundlock.commit.duration": ["One transaction.", stepSeconds],
} as const;

type TimedStep = Extract<Step, { readonly kind: "read" | "write" | "commit" }>;

/** What is known of a run that is executed here. */
interface WatchedRun {
  /** The host's own attributes. */
  readonly attributes: MetricAttributes;
  /** Counts up to here are recorded. */
  imports: Run["imports"];
  /** Seconds that it waited; undefined if it was executed before. */
  readonly delay: number | undefined;
}

/** Records counters and histograms: durations of steps as they end, all else from events. */
export class Metrics {
  readonly #counters: Readonly<Record<keyof typeof counters, Counter>>;
  readonly #histograms: Readonly<Record<keyof typeof histograms, Histogram>>;
  readonly #attributesOf: ResolvedTelemetryOptions["attributes"];
  /** By its id, while its step goes on. */
  readonly #runs = new Map<string, WatchedRun>();

  constructor(meter: Meter, attributesOf: ResolvedTelemetryOptions["attributes"]) {
    this.#attributesOf = attributesOf;
    this.#counters = eachOf(counters, ([description, unit], name) => meter.createCounter(name, { description, unit }));
    this.#histograms = eachOf(histograms, ([description, bounds], name) =>
      meter.createHistogram(name, { description, unit: "s", advice: { explicitBucketBoundaries: [...bounds] } }),
    );
  }

  /** Records what the scheduler emits from now on. */
  listen(scheduler: TracedScheduler): void {
    scheduler
      .on("run:progress", ({ run }) => this.#counted(run))
      .on("run:requeued", ({ run }) => this.#counted(run))
      .on("run:completed", ({ run }) => this.#ended(run))
      .on("run:failed", ({ run }) => this.#ended(run))
      .on("run:canceled", ({ run }) => this.#ended(run))
      .on("run:retrying", ({ run, _importId }) => {
        const own = _importId === undefined ? {} : { "poundlock.import.id": _importId };
        this.#counters["poundlock.retries"].add(1, this.#with(run, own));
      })
      .on("background:error", ({ during }) =>
        this.#counters["poundlock.background.errors"].add(1, { "poundlock.during": kindOf(during) }),
      );
  }

  /** Does the work, and records how long it took. */
  around(step: Step, work: () => Promise<StepResult>): Promise<StepResult> {
    switch (step.kind) {
      case "run":
        return this.#watch(step.run, work);
      case "read":
      case "write":
      case "commit":
        return this.#time(step, work);
      case "accept":
      case "page":
        return work();
    }
  }

  // Its events are emitted inside its step.
  async #watch(run: Run, work: () => Promise<StepResult>): Promise<StepResult> {
    const isFirst = run.crashes === 0 && run.waits === undefined && run.numPagesGenerated === 0;
    const delay = isFirst ? secondsBetween(run.dueAt ?? run.queuedAt, run.startedAt) : undefined;
    const watched = { attributes: this.#given(run), imports: run.imports, delay };
    this.#runs.set(run._id, watched);
    const result = await work();
    // It may have been claimed here again, while the code that was left behind ends only now.
    if (this.#runs.get(run._id) === watched) this.#runs.delete(run._id);
    return result;
  }

  #time(step: TimedStep, work: () => Promise<StepResult>): Promise<StepResult> {
    const startedAt = elapsedMs();
    return work().then((result) => {
      const seconds = (elapsedMs() - startedAt) / 1_000;
      this.#histograms[`poundlock.${step.kind}.duration`].record(
        seconds,
        this.#with(step.run, attributesOf(step, result)),
      );
      return result;
    });
  }

  #ended(run: Run): void {
    this.#counted(run);
    const attributes = this.#with(run, { "poundlock.trigger": run.trigger, "poundlock.status": run.status });
    const delay = this.#runs.get(run._id)?.delay;
    this.#counters["poundlock.runs"].add(1, attributes);
    const duration = secondsBetween(run.startedAt, run.endedAt);
    if (duration !== undefined) this.#histograms["poundlock.run.duration"].record(duration, attributes);
    if (delay !== undefined) this.#histograms["poundlock.run.delay"].record(delay, attributes);
  }

  // What was settled since the run was seen last. Of a run that is executed elsewhere, its own process records it.
  #counted(run: Run): void {
    const watched = this.#runs.get(run._id);
    if (watched === undefined) return;
    const before = watched.imports;
    watched.imports = run.imports;
    for (const [_importId, counts] of Object.entries(run.imports)) {
      const own = { "poundlock.export.id": run._exportId, "poundlock.import.id": _importId };
      for (const [outcome, count] of outcomesBetween(before[_importId], counts))
        if (count > 0)
          this.#counters["poundlock.records"].add(count, this.#with(run, { ...own, "poundlock.outcome": outcome }));
    }
  }

  #with(run: Run, own: Attributes): Attributes {
    if (this.#attributesOf === undefined) return own;
    const given = this.#runs.get(run._id)?.attributes ?? this.#given(run);
    return Object.fromEntries(Object.entries({ ...own, ...given }).filter(([, value]) => value !== undefined));
  }

  #given({ _connectorId, _exportId, _flowId, _integrationId }: Run): MetricAttributes {
    try {
      return { ...this.#attributesOf?.({ _flowId, _exportId, ...omitUndefined({ _integrationId, _connectorId }) }) };
    } catch (error) {
      diag.warn("poundlock: attributes threw, so metrics are without them", error);
      return {};
    }
  }
}

function attributesOf(step: TimedStep, { outcome }: StepResult): Attributes {
  return step.kind === "write"
    ? { "poundlock.outcome": outcome, "poundlock.import.id": step._importId }
    : { "poundlock.outcome": outcome, "poundlock.export.id": step.run._exportId };
}

function eachOf<const Specs extends Readonly<Record<string, unknown>>, Made>(
  specs: Specs,
  make: (spec: Specs[keyof Specs], name: string) => Made,
): Readonly<Record<keyof Specs, Made>> {
  const made = Object.entries(specs).map(([name, spec]) => [name, make(spec as Specs[keyof Specs], name)]);
  return Object.fromEntries(made) as Record<keyof Specs, Made>;
}

function outcomesBetween(before: Counts | undefined, now: Counts): readonly (readonly [string, number])[] {
  const { numError = 0, numIgnore = 0, numSuccess = 0 } = before ?? {};
  return [
    ["success", now.numSuccess - numSuccess],
    ["ignored", now.numIgnore - numIgnore],
    ["failed", now.numError - numError],
  ];
}

function secondsBetween(from: string | undefined, to: string | undefined): number | undefined {
  if (from === undefined || to === undefined) return undefined;
  return Math.max(0, Date.parse(to) - Date.parse(from)) / 1_000;
}

// What was being done, without the flow or export that it was done for: those are many.
function kindOf(during: string): string {
  return during.replace(/( flow| on) .*$/s, "$1");
}
