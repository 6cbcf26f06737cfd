import type { Counts, Failure, Flow, Run } from "../../../src/index.ts";
import type {
  QueueDueResult,
  RunLease,
  PageCommit,
  RunEnding,
  Storage,
  ClaimedRun,
  Tick,
} from "../../../src/storage/storage.ts";
import { DeliveryList } from "../../support/deliveries.ts";

/** What one record is called wherever it turns up: its source and its number. */
export interface Item {
  readonly source: string;
  readonly n: number;
  /** Makes it as large as a record may be. */
  readonly bulk: string;
}

/** What one import made of one flow's records. */
interface ImportAudit {
  readonly written: DeliveryList;
  /** Records that were ever stored as failures. */
  readonly stored: Set<string>;
}

interface FlowAudit {
  readonly _id: string;
  readonly source: string;
  readonly imports: ReadonlyMap<string, ImportAudit>;
  /** Token of the run that is active. */
  active: { readonly _runId: string; readonly token: string } | undefined;
  /** What the flow's `nextRunAt` has to be. */
  nextDueAt: number | undefined;
  /** Runs that were reclaimed, and those that ended or were given back in the middle of a page. */
  reclaimed: number;
  interrupted: number;
  /** Times the host made it read again. */
  rewound: number;
  isDeleted: boolean;
}

/** What the import at one end of a flow does by itself. */
export interface ImportRule {
  readonly idempotent: boolean;
  readonly ignores: (item: Item) => boolean;
}

// A flow that is deleted leaves something to be removed, as a large one does.
function inPortions(name: string | symbol, args: readonly unknown[]): readonly unknown[] {
  const [first, second] = args as readonly [unknown, object];
  if (name === "deleteFlow") return [first, { ...second, limit: 0 }];
  return name === "purgeFlows" ? [{ ...(first as object), limit: 1 }] : args;
}

/** Beside everything that was really done to the storage: what follows from it, and what must never be untrue. */
export class Audit {
  readonly violations: string[] = [];
  readonly flows = new Map<string, FlowAudit>();
  /** Calls that the storage itself has not answered yet. */
  underway = 0;
  /** Run → page → import → counts, as committed. */
  readonly #pages = new Map<string, Map<number, PageCommit["counts"]>>();
  readonly #runs = new Map<string, string>();
  readonly #rules: Readonly<Record<string, ImportRule>>;
  readonly #pageSize: number;

  constructor(rules: Readonly<Record<string, ImportRule>>, pageSize: number) {
    this.#rules = rules;
    this.#pageSize = pageSize;
  }

  /** The same storage; each call that is carried out is recorded. */
  watch(storage: Storage): Storage {
    return new Proxy(storage, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]) => {
          this.underway++;
          try {
            const answer: unknown = await Reflect.apply(member, target, inPortions(name, args));
            this.#record(String(name), args, answer);
            return answer;
          } finally {
            this.underway--;
          }
        };
      },
    });
  }

  /** An import wrote it. */
  write(_flowId: string, _importId: string, item: Item): void {
    const written = this.flows.get(_flowId)?.imports.get(_importId)?.written;
    if (written === undefined)
      this.violations.push(`${_importId} got a record of flow ${_flowId}, which is none of its`);
    else written.add([nameOf(item)], "", "");
  }

  #record(name: string, args: readonly unknown[], answer: unknown): void {
    // Names, arguments and results belong together as the contract says.
    switch (name) {
      case "insertFlow":
        if (answer === true) this.#inserted(args[0] as Flow);
        break;
      case "replaceFlow":
        this.#replaced(args[1] as { readonly reschedule: boolean }, answer as { readonly flow?: Flow });
        break;
      case "deleteFlow":
        this.#flow(args[0] as string).isDeleted ||= (answer as { outcome: string }).outcome === "deleted";
        break;
      case "queueDue":
        this.#due(args[0] as readonly Tick[], answer as readonly QueueDueResult[]);
        break;
      case "claimRun":
        this.#claimed(args[1] as { readonly token: string }, answer as ClaimedRun | undefined);
        break;
      case "commitPage":
        if (answer !== undefined) this.#committed(args[0] as RunLease, args[1] as PageCommit);
        break;
      case "endRun":
        if (answer !== undefined)
          this.#ended(args[0] as RunLease, args[1] as RunEnding, answer as { readonly run: Run });
        break;
      case "releaseRun":
        if (answer !== undefined) this.#leaves(answer as Run, "interrupted");
        break;
      case "reclaimExpiredRuns":
        for (const run of answer as readonly Run[]) this.#leaves(run, "reclaimed");
        break;
      case "setCheckpoint":
        if (answer === true) this.#flow(args[0] as string).rewound++;
        break;
      default:
    }
  }

  #flow(_flowId: string): FlowAudit {
    const flow = this.flows.get(_flowId);
    if (flow === undefined) throw new Error(`flow ${_flowId} was never stored`);
    return flow;
  }

  #inserted(flow: Flow): void {
    const ids = flow._importIds ?? [flow._importId];
    this.flows.set(flow._id, {
      ...{ _id: flow._id, source: flow._exportId, active: undefined, nextDueAt: instant(flow.nextRunAt) },
      imports: new Map(ids.map((_id) => [_id, { written: new DeliveryList(), stored: new Set() }])),
      ...{ reclaimed: 0, interrupted: 0, rewound: 0, isDeleted: false },
    });
  }

  #replaced({ reschedule }: { readonly reschedule: boolean }, { flow }: { readonly flow?: Flow }): void {
    if (flow !== undefined && reschedule) this.#flow(flow._id).nextDueAt = instant(flow.nextRunAt);
  }

  #due(ticks: readonly Tick[], outcomes: readonly QueueDueResult[]): void {
    for (const [index, tick] of ticks.entries()) {
      const outcome = outcomes[index]?.outcome;
      if (outcome === "taken") continue;
      const flow = this.#flow(tick._flowId);
      if (tick.dueAt !== flow.nextDueAt) this.violations.push(`flow ${flow._id} was due twice at ${tick.dueAt}`);
      if (outcome !== "queued" && outcome !== "coalesced")
        this.violations.push(`a due time of flow ${flow._id} made no run: ${outcome}`);
      flow.nextDueAt = tick.nextDueAt;
    }
  }

  #claimed({ token }: { readonly token: string }, claimed: ClaimedRun | undefined): void {
    if (claimed === undefined) return;
    const { _id, _flowId } = claimed.run;
    const flow = this.#flow(_flowId);
    const { active } = flow;
    if (active !== undefined && (active._runId !== _id || active.token !== token))
      this.violations.push(`runs ${active._runId} and ${_id} of flow ${_flowId} are active at once`);
    this.#runs.set(_id, _flowId);
    flow.active = { _runId: _id, token };
  }

  #committed(lease: RunLease, page: PageCommit): void {
    const flow = this.#checkLease(lease, "committed a page");
    if (flow === undefined) return;
    const pages = this.#pages.get(lease._runId) ?? new Map<number, PageCommit["counts"]>();
    this.#pages.set(lease._runId, pages.set(page.ordinal, page.counts));
    if (flow.isDeleted) return;
    for (const failure of page.failures) flow.imports.get(failure._importId)?.stored.add(nameOf(itemOf(failure)));
    this.#checkPlaces(flow, page.places);
  }

  #ended(lease: RunLease, ending: RunEnding, { run }: { readonly run: Run }): void {
    const flow = this.#flow(run._flowId);
    if (flow.active?._runId === run._id) this.#checkLease(lease, "ended");
    if (!flow.isDeleted) this.#checkPlaces(flow, ending.places);
    if (flow.active?._runId === run._id) this.#leaves(run, run.status === "completed" ? undefined : "interrupted");
  }

  #checkLease({ _runId, token }: RunLease, what: string): FlowAudit | undefined {
    const flow = this.flows.get(this.#runs.get(_runId) ?? "");
    if (flow?.active?._runId !== _runId || flow.active.token !== token)
      this.violations.push(`run ${_runId} ${what} without holding its lease`);
    return flow;
  }

  #leaves(run: Run, how: "reclaimed" | "interrupted" | undefined): void {
    const flow = this.#flow(run._flowId);
    if (flow.active?._runId === run._id) flow.active = undefined;
    if (how !== undefined) flow[how]++;
  }

  // Everything before an import's checkpoint is settled for it.
  #checkPlaces(flow: FlowAudit, places: PageCommit["places"]): void {
    for (const { _importIds, checkpoint } of places) {
      if (checkpoint === undefined) continue;
      const { read } = checkpoint.value as { readonly read: number };
      for (let n = 1; n <= read; n++) {
        const item = { source: flow.source, n, bulk: "" };
        for (const _importId of _importIds) this.#checkArrivedAt(flow, _importId, item, "is behind the checkpoint");
      }
    }
  }

  #checkArrived(flow: FlowAudit, item: Item, why: string): void {
    for (const _importId of flow.imports.keys()) this.#checkArrivedAt(flow, _importId, item, why);
  }

  #checkArrivedAt(flow: FlowAudit, _importId: string, item: Item, why: string): void {
    const name = nameOf(item);
    const { written, stored } = flow.imports.get(_importId) ?? {};
    if (written?.times(name) === 0 && stored?.has(name) !== true && this.#rules[_importId]?.ignores(item) !== true)
      this.violations.push(`${name} of flow ${flow._id} ${why}, but ${_importId} never got it`);
  }

  /** Everything the sources have has arrived, is stored or is left out, and not more often than it may. */
  checkArrived(items: readonly Item[]): void {
    for (const flow of this.flows.values()) {
      if (flow.isDeleted) continue;
      for (const item of items)
        if (item.source === flow.source) this.#checkArrived(flow, item, "was there to be moved");
      for (const [_importId, { written }] of flow.imports) this.#checkRepeats(flow, _importId, written);
    }
  }

  #checkRepeats(flow: FlowAudit, _importId: string, written: DeliveryList): void {
    // What is stopped or canceled ends between pages: an import that does not bear repetition is not given any then.
    const pages = flow.reclaimed + (this.#rules[_importId]?.idempotent === true ? flow.interrupted : 0);
    let repeats = 0;
    for (const [name, times] of written.entries()) {
      repeats += times - 1;
      if (times > 1 + pages + flow.rewound)
        this.violations.push(`${_importId} got ${name} of flow ${flow._id} ${times} times`);
    }
    const most = pages * this.#pageSize + flow.rewound * written.size;
    if (repeats > most) this.violations.push(`${_importId} got ${repeats} records twice, ${most} at most may be`);
  }

  /** What runs say of themselves is what was committed. */
  checkRun(run: Run): void {
    const none = { numSuccess: 0, numError: 0, numIgnore: 0 };
    const sums: Record<string, Counts> = Object.fromEntries(Object.keys(run.imports).map((_id) => [_id, none]));
    for (const counts of this.#pages.get(run._id)?.values() ?? [])
      for (const [_importId, count] of Object.entries(counts)) sums[_importId] = plus(sums[_importId], count);
    const stated = inOrder(run.imports);
    if (stated !== inOrder(sums))
      this.violations.push(`run ${run._id} states ${stated}, committed was ${inOrder(sums)}`);
    const { numSuccess, numError, numIgnore } = run;
    const total = Object.values(sums).reduce<Counts>(plus, none);
    if (inOrder({ all: { numSuccess, numError, numIgnore } }) !== inOrder({ all: total }))
      this.violations.push(`the totals of run ${run._id} are not its imports' sums`);
  }

  /** Runs that were reclaimed, of all flows. */
  get reclaimed(): number {
    return [...this.flows.values()].reduce((sum, flow) => sum + flow.reclaimed, 0);
  }
}

/** The item's name. */
export function nameOf({ source, n }: Pick<Item, "source" | "n">): string {
  return `${source} ${n}`;
}

function itemOf(failure: Failure): Item {
  return failure.record as Item;
}

function instant(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}

function plus(one: Counts | undefined, other: Counts): Counts {
  return {
    numSuccess: (one?.numSuccess ?? 0) + other.numSuccess,
    numError: (one?.numError ?? 0) + other.numError,
    numIgnore: (one?.numIgnore ?? 0) + other.numIgnore,
  };
}

function inOrder(imports: Readonly<Record<string, Counts>>): string {
  const entries = Object.entries(imports).map(([_id, { numSuccess, numError, numIgnore }]) => [
    _id,
    [numSuccess, numError, numIgnore],
  ]);
  return JSON.stringify(entries.sort());
}
