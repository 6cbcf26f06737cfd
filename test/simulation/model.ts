import type { Run, RunStatus, Trigger } from "../../src/index.ts";
import type { Pause } from "../../src/model/delivery.ts";
import type { ImportPlan, Plan } from "./plan.ts";
import type { Process } from "./process.ts";
import { type Cursor, type Source, keeps, pagesBefore } from "./source.ts";

/** What must never be untrue. */
export type Invariant =
  | "conservation"
  | "no invention"
  | "repetition"
  | "isolation"
  | "newest state"
  | "one running run"
  | "concurrency"
  | "routing"
  | "first in, first out"
  | "cursor"
  | "fence"
  | "counts"
  | "outcome classes"
  | "outage"
  | "keys"
  | "due times"
  | "intake"
  | "lease"
  | "abort"
  | "attempts"
  | "liveness"
  | "quiet";

/** An invariant that was broken. */
export interface Violation {
  readonly invariant: Invariant;
  readonly what: string;
}

/** One call of host code that goes on. */
export interface HostCall {
  readonly process: Process;
  readonly _runId: string;
  readonly _flowId: string;
  /** It ignores its signal, so the engine may have left it behind. */
  isDeaf: boolean;
}

/** How often what happened: the evidence that chaos was chaos. */
export interface Tally {
  runs: number;
  pages: number;
  earlyCommits: number;
  writes: number;
  delivered: number;
  ignored: number;
  stored: number;
  superseded: number;
  repeated: number;
  crashedRuns: number;
  stolenRuns: number;
  staleCommits: number;
  releasedRuns: number;
  waitingRuns: number;
  canceledRuns: number;
  failedRuns: number;
  resumeRuns: number;
  behind: number;
  paused: number;
  resumed: number;
  coalesced: number;
  retried: number;
  events: number;
  duplicates: number;
}

const noTally: Tally = {
  ...{ runs: 0, pages: 0, earlyCommits: 0, writes: 0, delivered: 0, ignored: 0, stored: 0, superseded: 0 },
  ...{ repeated: 0, crashedRuns: 0, stolenRuns: 0, staleCommits: 0, releasedRuns: 0, waitingRuns: 0, canceledRuns: 0 },
  ...{ failedRuns: 0, resumeRuns: 0, behind: 0, paused: 0, resumed: 0, coalesced: 0, retried: 0 },
  ...{ events: 0, duplicates: 0 },
};

/** A flow as it has to be. */
export interface FlowModel {
  readonly _id: string;
  readonly source: Source;
  readonly imports: ReadonlyMap<string, ImportModel>;
  /** Ids of waiting runs, the oldest first. */
  readonly queue: string[];
  active: string | undefined;
  isDeleted: boolean;
  readonly dueTimes: Set<string>;
  /** Events that were taken in, by number. */
  readonly events: Set<number>;
  /** Inbox pages as they were read, the oldest first. */
  readonly inbox: { readonly cursor: number; readonly numbers: readonly number[] }[];
}

/** What one import of one flow got, and where it stands. */
export interface ImportModel {
  readonly plan: ImportPlan;
  checkpoint: Cursor | undefined;
  position: { readonly cursor: Cursor | undefined } | undefined;
  pause: Pause | undefined;
  /** The cursor up to which it has settled the inbox. */
  inbox: number;
  /** Pages it has settled in this reading since the last cursor. */
  loose: number;
  /** Some of them were read beside a page that was stuck. */
  isProbed: boolean;
  /** Pages below this are known to be settled. */
  checked: number;
  /** When a second delivery was excused last. */
  excusedAt: number;
  /** Numbers that a commit has settled, and that no one has rewound. */
  readonly committed: Set<number>;
  /** Number → when it was applied last; `-1`: by a retry, or by a process that had lost its lease. */
  readonly applied: Map<number, number>;
  /** Key → number applied last, and the greatest one applied; absent once an excuse has spoiled it. */
  readonly states: Map<string, { last: number; newest: number; spoiled: boolean }>;
  /** Failed states of things that a later state in the same page stands for. */
  readonly overtaken: Set<number>;
  /** Numbers that were ever stored as failures, and those whose failure a person resolved. */
  readonly stored: Set<number>;
  readonly resolved: Set<number>;
  /** Open failures: id → number. */
  readonly open: Map<string, number>;
  /** Ids of failures that were resolved: they stay so. */
  readonly closed: Set<string>;
  readonly rejected: Set<number>;
  readonly doubted: Set<number>;
  /** Number → the execution in which it was settled last. */
  readonly settledIn: Map<number, string>;
  /** Execution and number → not to be sent again before. */
  readonly notBefore: Map<string, number>;
}

/** A run as it has to be. */
export interface RunModel {
  readonly _id: string;
  readonly flow: FlowModel;
  readonly trigger: Trigger;
  readonly limit: number | undefined;
  /** How often it was claimed, and how often its export was opened. */
  claims: number;
  opens: number;
  /** How many pages there were when it began to read. */
  end: number | undefined;
  holder: { readonly process: Process; readonly token: string } | undefined;
  lastToken: string | undefined;
  commits: number;
  readonly sums: Map<string, { numSuccess: number; numIgnore: number; numError: number }>;
  /** New failures by import. */
  readonly newFailures: Map<string, number>;
  /** A sample run: where its reading began, and pages that each import has settled since. */
  base: Cursor | undefined;
  readonly own: Map<string, number>;
  ahead: readonly string[];
  ended: RunStatus | undefined;
  isCanceling: boolean;
  discards: boolean;
  /** Its end is owed by then. */
  cancelBy: number;
}

/** What the model asks of the simulation. */
export interface Surroundings {
  readonly plan: Plan;
  readonly sources: ReadonlyMap<string, Source>;
  /** Milliseconds since the beginning, whatever the clocks on the wall say. */
  readonly elapsed: () => number;
  /** True if neither this process nor the clock had an accident lately, so that its leases cannot have run out. */
  readonly isHealthy: (process: Process) => boolean;
  /** False while some process goes by a clock of its own that is off by more than a lease allows. */
  readonly clocksAgree: () => boolean;
  readonly trace: (line: string) => void;
}

/** All that was read, written and remembered, kept beside the engine. */
export class Model {
  readonly violations: Violation[] = [];
  readonly tally: Tally = { ...noTally };
  readonly flows = new Map<string, FlowModel>();
  readonly runs = new Map<string, RunModel>();
  readonly calls = new Set<HostCall>();
  readonly around: Surroundings;
  #seq = 0;

  constructor(around: Surroundings) {
    this.around = around;
  }

  /** Notes that an invariant is broken. */
  violate(invariant: Invariant, what: string): void {
    this.violations.push({ invariant, what });
    this.around.trace(`VIOLATION ${invariant}: ${what}`);
  }

  /** Later than everything before. */
  nextSeq(): number {
    return ++this.#seq;
  }

  importOf(run: Pick<Run, "_flowId">, plan: ImportPlan): ImportModel | undefined {
    return this.flows.get(run._flowId)?.imports.get(plan._id);
  }

  /** True if the process has the lease of the run, as far as the storage is concerned. */
  isHolder(process: Process, _runId: string): boolean {
    const run = this.runs.get(_runId);
    return run?.holder?.process === process && process.claims.get(_runId) === run.claims;
  }

  /** True if it has a slot for another run. Code that was left behind has its slot until it returns. */
  hasSlot(process: Process): boolean {
    const busy = new Set<string>();
    for (const call of this.calls) if (call.process === process) busy.add(call._runId);
    for (const { active } of this.flows.values())
      if (active !== undefined && this.runs.get(active)?.holder?.process === process) busy.add(active);
    return busy.size < this.around.plan.options.concurrency;
  }

  /** Notes whether the process is full: to be called after it got something to do, and before that ends. */
  noteSlots(process: Process): void {
    if (!this.hasSlot(process)) process.fullAt = this.around.elapsed();
  }

  /** Host code that a process waits for and that heeds its signal. */
  callsOf(process: Process): readonly HostCall[] {
    return [...this.calls].filter((call) => call.process === process && !call.isDeaf);
  }

  /** True if code of the run ignores its signal. */
  isDeaf(_runId: string): boolean {
    return [...this.calls].some((call) => call.isDeaf && call._runId === _runId);
  }

  /** What was written last, and not committed, may be written again. */
  excuse(into: ImportModel): void {
    into.excusedAt = this.nextSeq();
  }

  excuseAll(flow: FlowModel): void {
    for (const into of flow.imports.values()) this.excuse(into);
  }

  /** Positions are given up: reading begins at the checkpoints again. */
  discard(flow: FlowModel): void {
    for (const into of flow.imports.values()) this.rewind(flow, into, into.checkpoint);
  }

  /** The import reads again from a cursor on. */
  rewind({ source }: FlowModel, into: ImportModel, cursor: Cursor | undefined): void {
    into.checkpoint = cursor;
    into.position = undefined;
    into.loose = 0;
    into.isProbed = false;
    const settled = new Set<number>();
    for (let page = 0; page < pagesBefore(cursor); page++) for (const n of source.numbers(page)) settled.add(n);
    if (cursor !== undefined && "at" in cursor)
      for (const page of source.between(undefined, cursor)) for (const n of source.numbers(page)) settled.add(n);
    for (const n of into.committed) if (n <= lastPaged && !settled.has(n)) into.committed.delete(n);
    for (const state of into.states.values()) state.spoiled = true;
    this.excuse(into);
  }

  /** Runs that should have ended long ago. */
  checkCancels(): void {
    for (const run of this.runs.values()) {
      if (run.cancelBy > this.around.elapsed() || run.holder === undefined) continue;
      const { process } = run.holder;
      if (!this.isDeaf(run._id) && this.around.isHealthy(process))
        this.violate("abort", `run ${run._id} was to be canceled long ago, and still runs at ${process.name}`);
      run.cancelBy = Infinity;
    }
  }

  /** Runs that wait or run, of flows that are there. */
  unfinished(): readonly string[] {
    const open = [...this.runs.values()].filter(({ ended, flow }) => ended === undefined && !flow.isDeleted);
    return open.map(({ _id }) => _id);
  }

  /** Everything there is has arrived, is left out or is stored: the chaos is long over. */
  checkDrained(): void {
    for (const flow of this.flows.values()) {
      if (flow.isDeleted) continue;
      for (let page = 0; page < flow.source.pages.length; page++)
        for (const n of flow.source.numbers(page)) this.#checkArrived(flow, n);
      for (const n of flow.events) this.#checkArrived(flow, n);
    }
  }

  #checkArrived(flow: FlowModel, n: number): void {
    for (const into of flow.imports.values())
      if (!hasSettled(into, n) && into.pause?.until !== "person")
        this.violate(
          "liveness",
          `record ${n} of flow ${flow._id} has not reached ${into.plan._id}, though all is well`,
        );
  }

  /** What an import has of a thing is the newest state that it was ever given. */
  checkStates(): void {
    for (const { _id, imports, isDeleted } of this.flows.values())
      if (!isDeleted)
        for (const { plan, states } of imports.values())
          for (const [key, { last, newest, spoiled }] of states)
            if (last < newest && !spoiled)
              this.violate("newest state", `${plan._id} has state ${last} of ${key} in flow ${_id}, and had ${newest}`);
  }
}

/** Numbers of events are above this. */
const lastPaged = 1_000_000;

/** True if the import got the record, left it out, or has it as a failure. */
export function hasSettled({ plan, applied, overtaken, stored }: ImportModel, n: number): boolean {
  return !keeps(plan, n) || applied.has(n) || stored.has(n) || overtaken.has(n);
}

/** An import that has got nothing yet. */
export function newImport(plan: ImportPlan): ImportModel {
  return {
    ...{
      plan,
      checkpoint: undefined,
      position: undefined,
      pause: undefined,
      inbox: 0,
      loose: 0,
      checked: 0,
      isProbed: false,
    },
    ...{
      excusedAt: 0,
      committed: new Set(),
      applied: new Map(),
      states: new Map(),
      overtaken: new Set(),
      stored: new Set(),
    },
    ...{ resolved: new Set(), open: new Map(), closed: new Set(), rejected: new Set(), doubted: new Set() },
    ...{ settledIn: new Map(), notBefore: new Map() },
  };
}
