import type { SchedulerOptions } from "../../src/index.ts";
import { Chance } from "../support/chance.ts";

/** What a seed decides before anything happens. */
export interface Plan {
  readonly seed: number;
  readonly exports: readonly ExportPlan[];
  readonly imports: readonly ImportPlan[];
  readonly flows: readonly FlowPlan[];
  readonly options: PlannedOptions;
  /** Processes that share the storage. */
  readonly processes: number;
  /** How processes differ, if there are many. */
  readonly many?: ManyPlan;
  readonly storage: StoragePlan;
  /** How many times something happens before the chaos is over. */
  readonly steps: number;
  /** How likely what, relative to each other. */
  readonly habits: Readonly<Record<Action, number>>;
}

/** The options that differ between seeds. */
export type PlannedOptions = Required<
  Pick<
    SchedulerOptions,
    "concurrency" | "overlap" | "maxQueued" | "leaseMs" | "maxCrashes" | "graceMs" | "prefetch" | "maxAttempts"
  >
> &
  Required<Pick<SchedulerOptions, "retryDelayMs" | "maxWaitMs" | "maxFailures" | "maxInboxPages" | "retention">>;

/** How a source reads. */
export interface ExportPlan {
  readonly _id: string;
  readonly order: "ordered" | "unordered";
  /** `none`: made by the engine. `own`: each record has its own. `things`: records are states of few things. */
  readonly keys: "none" | "own" | "things";
  /** Its records have versions. Only if they have keys. */
  readonly versions: boolean;
  /** Some of its pages are plain arrays, without a checkpoint. */
  readonly patchy: boolean;
  readonly mostRecords: number;
  readonly pageSize: number;
  readonly listens: boolean;
  /** It ends a reading that catches up where the other imports stand. */
  readonly stopsAtUntil: boolean;
  /** How likely one read goes wrong. */
  readonly faultRate: number;
}

/** How a destination writes. */
export interface ImportPlan {
  readonly _id: string;
  readonly idempotent: boolean;
  readonly finds: boolean;
  readonly maps: boolean;
  readonly batchSize?: number;
  readonly concurrency?: number;
  readonly writeTimeoutMs?: number;
  /** Every so-manieth record is filtered out; 0: none. */
  readonly leavesOut: number;
  /** Every so-manieth record is refused for good; 0: none. */
  readonly refuses: number;
  /** The map throws for every so-manieth record; 0: never. */
  readonly cannotMap: number;
  /** Its destination may be down for a while. */
  readonly outages: boolean;
  /** How likely one write goes wrong. */
  readonly faultRate: number;
}

/** A flow that is there from the beginning. */
export interface FlowPlan {
  readonly _exportId: string;
  readonly _importIds: readonly string[];
  readonly schedule?: string;
}

/** How the storage behaves. */
export interface StoragePlan {
  /** Longest answer time in milliseconds; 0: at once. */
  readonly slowMs: number;
  /** How likely one call fails: before it did anything, or after. */
  readonly faults: number;
}

/** How processes of several computers differ. */
export interface ManyPlan {
  /** How far the clock of one may be off, in milliseconds, either way. */
  readonly skewMs: number;
  /** They go by the storage's clock, and know it but for a moment. */
  readonly storageClock: boolean;
  /** How likely one lacks some of the exports, and how likely one of the imports. */
  readonly lacks: { readonly exports: number; readonly imports: number };
  /** Each hears at once when another one has added wake-ups. */
  readonly bell: boolean;
}

/** What can happen in one step. */
export type Action =
  | "append"
  | "run"
  | "sample"
  | "accept"
  | "acceptAgain"
  | "cancel"
  | "discard"
  | "disable"
  | "enable"
  | "reschedule"
  | "create"
  | "delete"
  | "stop"
  | "start"
  | "crash"
  | "freeze"
  | "thaw"
  | "steal"
  | "retry"
  | "resolve"
  | "jump"
  | "rewind"
  | "outage"
  | "heal"
  | "resume"
  | "forget"
  | "wait";

const everyMinute = "* * * * *";

/** The plan of a seed. */
export function planOf(seed: number): Plan {
  const chance = new Chance(seed);
  const exports = Array.from({ length: chance.between(1, 2) }, (_, index) => exportPlan(chance, index));
  const maxFailures = chance.happens(0.2) ? chance.between(0, 6) : 1_000;
  const imports = Array.from({ length: chance.between(2, 4) }, (_, index) => importPlan(chance, index, maxFailures));
  const processes = chance.happens(0.35) ? 2 : 1;
  return {
    seed,
    exports,
    imports,
    flows: Array.from({ length: chance.between(1, 4) }, () => flowPlan(chance, exports, imports)),
    options: {
      concurrency: chance.oneOf([1, 2, 10]),
      overlap: chance.oneOf(["bufferOne", "bufferOne", "bufferAll", "skip"]),
      maxQueued: chance.oneOf([2, 1_000, 1_000]),
      leaseMs: chance.oneOf([10_000, 30_000]),
      maxCrashes: chance.oneOf([0, 3, 100]),
      graceMs: chance.oneOf([0, 500, 10_000]),
      prefetch: chance.between(0, 2),
      maxAttempts: chance.between(1, 4),
      retryDelayMs: chance.oneOf([0, 100, 1_000]),
      maxWaitMs: chance.oneOf([1_000, 30_000]),
      maxFailures,
      maxInboxPages: chance.oneOf([2, 10_000, 10_000]),
      retention: chance.happens(0.2) ? { runsPerFlow: chance.between(1, 5) } : { runsPerFlow: 1_000 },
    },
    processes,
    storage: {
      slowMs: chance.happens(0.3) ? chance.oneOf([5, 80]) : 0,
      faults: chance.happens(0.2) ? 0.02 : 0,
    },
    steps: chance.between(12, 26),
    habits: habits(chance, processes),
  };
}

/** The plan of a seed with many processes, which come and go, disagree about the time, and have not all of the exports. */
export function planOfMany(seed: number): Plan {
  const plan = planOf(seed);
  const chance = new Chance(seed ^ 0x3a17);
  const exports = [...plan.exports, exportPlan(chance, plan.exports.length)];
  const { imports } = plan;
  const more = Array.from({ length: chance.between(1, 4) }, () => flowPlan(chance, exports, imports));
  return {
    ...plan,
    exports,
    flows: [...plan.flows, ...more],
    processes: chance.between(3, 5),
    many: {
      skewMs: chance.oneOf([0, 40_000, 600_000, 600_000]),
      storageClock: chance.happens(0.6),
      lacks: { exports: chance.oneOf([0, 0.3, 0.6]), imports: chance.oneOf([0, 0, 0.3]) },
      bell: chance.happens(0.5),
    },
    steps: chance.between(15, 35),
    habits: {
      ...plan.habits,
      ...{ crash: chance.oneOf([1, 3, 5]), stop: chance.oneOf([1, 3]), start: 3, freeze: chance.oneOf([0, 1, 3]) },
      forget: chance.oneOf([0, 1, 2]),
    },
  };
}

/** A flow that may be created at any time. */
export function flowPlan(chance: Chance, exports: readonly ExportPlan[], imports: readonly ImportPlan[]): FlowPlan {
  const _exportId = chance.anyOf(exports)?._id ?? "";
  const _importIds = chance.someOf(imports, 1, 3).map(({ _id }) => _id);
  return chance.happens(0.5) ? { _exportId, _importIds, schedule: everyMinute } : { _exportId, _importIds };
}

function exportPlan(chance: Chance, index: number): ExportPlan {
  return {
    _id: `export-${index}`,
    order: chance.oneOf(["ordered", "unordered"]),
    ...keysPlan(chance),
    patchy: chance.happens(0.15),
    mostRecords: chance.oneOf([1, 3, 8]),
    pageSize: chance.oneOf([2, 5, 100]),
    listens: chance.happens(0.3),
    stopsAtUntil: chance.happens(0.5),
    faultRate: chance.oneOf([0, 0.05, 0.15]),
  };
}

function keysPlan(chance: Chance): Pick<ExportPlan, "keys" | "versions"> {
  const keys = chance.oneOf<ExportPlan["keys"]>(["none", "none", "own", "things"]);
  return { keys, versions: keys !== "none" && chance.happens(0.5) };
}

function importPlan(chance: Chance, index: number, maxFailures: number): ImportPlan {
  const idempotent = chance.happens(0.5);
  const hasPoison = maxFailures >= 1_000;
  return {
    _id: `import-${index}`,
    idempotent,
    finds: !idempotent && chance.happens(0.5),
    maps: chance.happens(0.5),
    ...(chance.happens(0.5) ? { batchSize: chance.between(1, 5) } : {}),
    ...(chance.happens(0.3) ? { concurrency: chance.between(1, 3) } : {}),
    ...(chance.happens(0.4) ? { writeTimeoutMs: chance.oneOf([200, 2_000]) } : {}),
    leavesOut: chance.happens(0.3) ? chance.between(2, 5) : 0,
    refuses: hasPoison && chance.happens(0.3) ? chance.between(4, 9) : 0,
    cannotMap: hasPoison && chance.happens(0.15) ? chance.between(5, 9) : 0,
    outages: chance.happens(0.35),
    faultRate: chance.oneOf([0, 0.1, 0.3, 0.6]),
  };
}

// Each seed has habits of its own, so that rare actions meet each other often in some of them.
function habits(chance: Chance, processes: number): Record<Action, number> {
  const rare = () => (chance.happens(0.3) ? chance.oneOf([1, 3]) : 0);
  const often = () => (chance.happens(0.45) ? chance.oneOf([1, 3, 5]) : 0);
  return {
    append: 6,
    run: 6,
    sample: rare() / 2,
    accept: rare() * 2,
    acceptAgain: rare() * 2,
    cancel: often(),
    discard: rare() / 3,
    disable: rare() / 2,
    enable: 1,
    reschedule: rare() / 2,
    create: 0.2,
    delete: rare() / 6,
    stop: often(),
    start: 3,
    crash: often(),
    freeze: processes > 1 ? often() : rare() / 3,
    thaw: 2,
    steal: often(),
    retry: rare() + 0.3,
    resolve: rare() / 2,
    jump: rare() / 3,
    rewind: rare() / 4,
    outage: often(),
    heal: 2,
    resume: rare() / 2,
    forget: 0,
    wait: 0.5,
  };
}
