import { type CancelTimer, type Clock, isAborted, within } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import { type Counts, type Run, noCounts } from "../../model/run.ts";
import { type Statistics, addStatistics, noStatistics } from "../../model/statistics.ts";
import type { ProcessHour, Storage } from "../../storage/storage.ts";

/** Everything that writing statistics needs. */
export interface StatisticsWriterDeps {
  readonly storage: Pick<Storage, "saveStatistics">;
  readonly clock: Clock;
  readonly processId: string;
  readonly emit: Emit<SchedulerEvents>;
}

/** An hour in milliseconds. */
export const hourMs = 3_600_000;

/** How often it is saved: a process that is killed loses no more of a chart. */
const saveMs = 10_000;

/**
 * How long after its end an hour is still saved. What could not be saved until then is lost to charts: maintenance adds
 * hours up later than that, and they must not change afterwards.
 */
const lateMs = hourMs;

/** How long the last save may take before `stop` leaves it behind. */
const lastSaveMs = 1_000;

/** Counts what this process moves, by the events of its runs, hour by hour; runs themselves write nothing for it. */
export class StatisticsWriter {
  readonly #deps: StatisticsWriterDeps;
  /** By hour and integration; those that have been saved as they are and can grow no more are left out. */
  readonly #hours = new Map<string, { hour: ProcessHour; isSaved: boolean }>();
  /** Of each run that goes on here: what is counted of it already. */
  readonly #counted = new Map<string, Counts>();
  #cancelTimer: CancelTimer | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(deps: StatisticsWriterDeps) {
    this.#deps = deps;
  }

  /** Hears of an event of the scheduler. */
  readonly note = <Name extends keyof SchedulerEvents>(name: Name, payload: SchedulerEvents[Name]): void => {
    if (!("run" in payload)) return;
    const { run } = payload;
    if (name === "run:started") this.#counted.set(run._id, countsOf(run));
    else if (name === "run:progress") this.#move(run);
    else if (name === "run:requeued") this.#leave(run);
    else if (name === "run:completed" || name === "run:failed" || name === "run:canceled") this.#end(run);
    else if (name === "lease:lost") this.#counted.delete(run._id);
  };

  start(signal: AbortSignal): void {
    this.#plan(signal);
  }

  /** Saves no more by itself; runs that still end are counted for {@link last}. */
  stop(): void {
    this.#cancelTimer?.();
  }

  /** Saves what there is, once nothing runs any more. Resolves at `until`, or after a second, at the latest. */
  async last(until: number): Promise<void> {
    const { clock } = this.#deps;
    this.#counted.clear();
    await within(clock, Math.min(lastSaveMs, Math.max(0, until - clock.now())), this.#save());
  }

  #plan(signal: AbortSignal): void {
    if (isAborted(signal)) return;
    this.#cancelTimer = this.#deps.clock.setTimer(() => void this.#save().then(() => this.#plan(signal)), saveMs);
  }

  #move(run: Run): void {
    const before = this.#counted.get(run._id);
    // Nothing is known of what another process has counted of it.
    if (before === undefined) return;
    const counts = countsOf(run);
    this.#counted.set(run._id, counts);
    const { numError, numIgnore, numSuccess } = counts;
    this.#add(run, {
      numSuccess: numSuccess - before.numSuccess,
      numError: numError - before.numError,
      numIgnore: numIgnore - before.numIgnore,
    });
  }

  #leave(run: Run): void {
    this.#move(run);
    this.#counted.delete(run._id);
  }

  #end(run: Run): void {
    this.#leave(run);
    const { endedAt, startedAt = endedAt, status } = run;
    const durationMs = endedAt === undefined ? 0 : Math.max(0, Date.parse(endedAt) - Date.parse(startedAt ?? endedAt));
    this.#add(run, { [status]: 1, durationMs });
  }

  #add({ _integrationId }: Run, change: Partial<Statistics>): void {
    const hour = Math.floor(this.#deps.clock.now() / hourMs) * hourMs;
    const key = JSON.stringify([hour, _integrationId ?? ""]);
    const owner = _integrationId === undefined ? {} : { _integrationId };
    const known = this.#hours.get(key)?.hour ?? noStatistics;
    const sum = addStatistics(known, { ...noStatistics, ...change });
    const process = this.#deps.processId;
    this.#hours.set(key, { hour: { ...sum, hour, process, ...owner }, isSaved: false });
  }

  #save(): Promise<void> {
    const saving = this.#saving.then(() => this.#saveNow());
    this.#saving = saving;
    return saving;
  }

  async #saveNow(): Promise<void> {
    const { clock, emit, storage } = this.#deps;
    const now = clock.now();
    for (const [key, { hour, isSaved }] of this.#hours) {
      const endedMs = now - hour.hour - hourMs;
      if (endedMs >= 0 && (isSaved || endedMs >= lateMs)) this.#hours.delete(key);
    }
    const unsaved = [...this.#hours].filter(([, { isSaved }]) => !isSaved);
    if (unsaved.length === 0) return;
    try {
      await storage.saveStatistics(unsaved.map(([, { hour }]) => hour));
      // What was added meanwhile is another object, and saved the next time.
      for (const [key, entry] of unsaved) if (this.#hours.get(key) === entry) entry.isSaved = true;
    } catch (error) {
      emit("background:error", { error, during: "saving statistics" });
    }
  }
}

function countsOf({ numError, numIgnore, numSuccess }: Run): Counts {
  return { ...noCounts, numError, numIgnore, numSuccess };
}
