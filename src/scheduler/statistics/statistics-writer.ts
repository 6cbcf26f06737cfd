import { type CancelTimer, type Clock, isAborted, within } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Counts, Run } from "../../model/run.ts";
import { noStatistics } from "../../model/statistics.ts";
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
  readonly #hours = new Map<number, Map<string | undefined, GrowingHour>>();
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
    this.#counted.set(run._id, countsOf(run));
    const { numError, numIgnore, numSuccess } = run;
    const hour = this.#grow(run);
    hour.numSuccess += numSuccess - before.numSuccess;
    hour.numError += numError - before.numError;
    hour.numIgnore += numIgnore - before.numIgnore;
  }

  #leave(run: Run): void {
    this.#move(run);
    this.#counted.delete(run._id);
  }

  #end(run: Run): void {
    this.#leave(run);
    const { endedAt, startedAt = endedAt, status } = run;
    const hour = this.#grow(run);
    if (status === "completed" || status === "failed" || status === "canceled") hour[status]++;
    if (endedAt !== undefined && startedAt !== undefined)
      hour.durationMs += Math.max(0, Date.parse(endedAt) - Date.parse(startedAt));
  }

  // What is counted of the run now is added to. In place: there are three additions for each run.
  #grow({ _integrationId }: Run): Writable<ProcessHour> {
    const hour = Math.floor(this.#deps.clock.now() / hourMs) * hourMs;
    let ofHour = this.#hours.get(hour);
    if (ofHour === undefined) this.#hours.set(hour, (ofHour = new Map<string | undefined, GrowingHour>()));
    let growing = ofHour.get(_integrationId);
    if (growing === undefined) {
      const owner = _integrationId === undefined ? {} : { _integrationId };
      const counts = { ...noStatistics, hour, process: this.#deps.processId, ...owner };
      ofHour.set(_integrationId, (growing = { counts, numChanges: 0, numSaved: 0 }));
    }
    growing.numChanges++;
    return growing.counts;
  }

  #save(): Promise<void> {
    const saving = this.#saving.then(() => this.#saveNow());
    this.#saving = saving;
    return saving;
  }

  async #saveNow(): Promise<void> {
    const { clock, emit, storage } = this.#deps;
    this.#forget(clock.now());
    const unsaved = [...this.#hours.values()].flatMap((ofHour) => [...ofHour.values()].filter(isUnsaved));
    if (unsaved.length === 0) return;
    // What is added meanwhile is saved the next time.
    const saves = unsaved.map((growing) => ({
      growing,
      counts: { ...growing.counts },
      numChanges: growing.numChanges,
    }));
    try {
      await storage.saveStatistics(saves.map(({ counts }) => counts));
      for (const { growing, numChanges } of saves) growing.numSaved = numChanges;
    } catch (error) {
      emit("background:error", { error, during: "saving statistics" });
    }
  }

  #forget(now: number): void {
    for (const [hour, ofHour] of this.#hours) {
      const endedMs = now - hour - hourMs;
      if (endedMs < 0) continue;
      for (const [_integrationId, growing] of ofHour)
        if (endedMs >= lateMs || !isUnsaved(growing)) ofHour.delete(_integrationId);
      if (ofHour.size === 0) this.#hours.delete(hour);
    }
  }
}

/** What is counted of one hour and integration, and how many changes of it have been saved. */
interface GrowingHour {
  readonly counts: Writable<ProcessHour>;
  numChanges: number;
  numSaved: number;
}

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };

function isUnsaved({ numChanges, numSaved }: GrowingHour): boolean {
  return numSaved < numChanges;
}

function countsOf({ numError, numIgnore, numSuccess }: Run): Counts {
  return { numSuccess, numError, numIgnore };
}
