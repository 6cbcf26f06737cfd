import {
  type Export,
  type Exports,
  type Flow,
  type FlowInput,
  FlowRegistry,
  type Imports,
  MemoryStorage,
  type Run,
  type RunOptions,
  Scheduler,
  type SchedulerEvents,
  type SchedulerOptions,
} from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { schedulerEventNames } from "../../src/events.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { EventRecorder, ManualClock } from "../../src/testing/index.ts";

/** Noon on Tuesday, the first of January 2030. */
export const noon = Date.parse("2030-01-01T12:00:00Z");
export const second = 1_000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;

/** What a harness consists of. */
export interface Setting {
  readonly exports?: Exports;
  readonly imports?: Imports;
  readonly storage?: Storage;
  readonly clock?: ManualClock;
  /** Without jitter unless it says otherwise: every delay is half of the longest. */
  readonly options?: SchedulerOptions;
}

/** A registry and its scheduler on a clock that stands still, and all that the scheduler tells. */
export class Harness {
  readonly clock: ManualClock;
  readonly storage: Storage;
  readonly registry: FlowRegistry;
  readonly scheduler: Scheduler;
  readonly events: EventRecorder<SchedulerEvents>;

  constructor(setting: Setting = {}) {
    const { exports = {}, imports = {}, storage = new MemoryStorage(), clock = new ManualClock(noon) } = setting;
    this.clock = clock;
    this.storage = storage;
    this.registry = new FlowRegistry({ exports, imports, storage, clock, newId: countedIds() });
    this.scheduler = new Scheduler(this.registry, { random: () => 0.5, logger: silentLogger, ...setting.options });
    this.events = new EventRecorder(this.scheduler, harnessEvents);
  }

  /** A flow from the first export to all imports, unless `input` says otherwise. */
  async flow(input: Partial<FlowInput> = {}): Promise<Flow> {
    const { exportIds, importIds } = this.registry;
    const refs = { _exportId: exportIds[0] ?? "none", _importIds: input._importId === undefined ? importIds : null };
    return this.registry.create({ name: "a flow", ...refs, ...input });
  }

  /** Starts, runs a new flow once, and returns the run when it has ended. */
  async move(options: RunOptions = {}): Promise<Run> {
    await this.scheduler.start();
    const flow = await this.flow();
    return this.run(flow._id, options);
  }

  /** Runs a flow, and returns the run when it has ended. */
  async run(_flowId: string, options: RunOptions = {}): Promise<Run> {
    return this.end(await this.scheduler.run(_flowId, options));
  }

  /** The run when it has ended; time moves on as far as that takes. */
  async end({ _id }: Pick<Run, "_id">): Promise<Run> {
    for (let timers = 0; timers < 10_000; timers++) {
      await this.clock.settle();
      const run = await this.scheduler.getRun(_id);
      if (["completed", "failed", "canceled"].includes(run.status)) return run;
      await this.clock.advance(this.clock.nextTimerIn ?? 0);
    }
    throw new Error(`run ${_id} did not end`);
  }

  /** The flow's open failures, oldest first. */
  async failures(_flowId?: string) {
    const filter = _flowId === undefined ? {} : { _flowId };
    return (await this.scheduler.listFailures({ status: "open", limit: 1_000, ...filter })).items;
  }

  /** All runs, oldest first. */
  async runs(_flowId?: string): Promise<readonly Run[]> {
    const filter = _flowId === undefined ? {} : { _flowId };
    return [...(await this.scheduler.listRuns({ limit: 1_000, ...filter })).items].reverse();
  }
}

// All but the last one of a scheduler, which comes whenever a test ends it.
const harnessEvents = schedulerEventNames.filter((name) => name !== "scheduler:stopped");

// One series for all harnesses, as ids have to be new for each scheduler on a storage.
let lastId = 0;
function countedIds(): () => string {
  return () => `id-${String(++lastId).padStart(8, "0")}`;
}

/** Something to wait for that a test opens. */
export class Gate {
  open: () => void = () => undefined;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
}

/** Gives the pages as they are, from the first one on whatever the checkpoint says. */
export function pagesExport<T>(pages: readonly (readonly T[])[], settings: Partial<Export<T>> = {}): Export<T> {
  return {
    async *pages() {
      for (const page of pages) yield page;
    },
    ...settings,
  };
}

/** The whole numbers from 1 to `last`. */
export function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/** Which call of a storage fails, and how. */
export interface Fault {
  readonly method: keyof Storage;
  /** True for the calls that fail; `nth` is 1 for the first. */
  readonly fails: (nth: number) => boolean;
  /** The call is done, and only its answer is lost. */
  readonly afterwards?: boolean;
}

/** A storage whose calls fail as `faults` say. */
export function faltering(storage: Storage, ...faults: readonly Fault[]): Storage {
  const counts = new Map<Fault, number>();
  const fails = (fault: Fault | undefined) => {
    if (fault === undefined) return false;
    counts.set(fault, (counts.get(fault) ?? 0) + 1);
    return fault.fails(counts.get(fault) ?? 0);
  };
  return new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      const fault = faults.find(({ method }) => method === name);
      return async (...args: unknown[]) => {
        const failing = fails(fault);
        if (failing && fault?.afterwards !== true) throw new Error(`${String(name)} failed`);
        const answer: unknown = await Reflect.apply(member, target, args);
        if (failing) throw new Error(`the answer of ${String(name)} was lost`);
        return answer;
      };
    },
  });
}

/** Which call of a storage does not answer before the gate opens; `nth` is 1 for the first. */
export interface Hang {
  readonly method: keyof Storage;
  readonly nth: number;
  readonly gate: Gate;
}

/** A storage of which one call hangs, before it is done. */
export function hanging(storage: Storage, { method, nth, gate }: Hang): Storage {
  let calls = 0;
  return new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        if (name === method && ++calls === nth) await gate.opened;
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
}
