import type { Counts, ExportContext, Failure, ImportContext, Run, RunStatus, Trigger } from "../../src/index.ts";
import type { ExportPlan, ImportPlan, Plan } from "./plan.ts";
import type { Process, StorageCall } from "./process.ts";
import {
  type Cursor,
  type Source,
  isExpected,
  isOriginal,
  isRefused,
  isUnmappable,
  keeps,
  keyOf,
  numberOf,
} from "./source.ts";

/** What must never be untrue. */
export type Invariant =
  | "conservation"
  | "no invention"
  | "repetition"
  | "isolation"
  | "one running run"
  | "concurrency"
  | "first in, first out"
  | "cursor"
  | "fence"
  | "books"
  | "outcome classes"
  | "error budget"
  | "keys"
  | "due times"
  | "intake"
  | "lease"
  | "abort"
  | "attempts"
  | "liveness"
  | "quiet";

/** An invariant that does not hold. */
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

/** One reading of an export by one run. */
export interface Reader {
  /** Pages handed out and not committed yet. */
  readonly handedOut: { readonly numbers: readonly number[]; readonly cursor: Cursor | undefined }[];
  /** It said that nothing is left. */
  isDone: boolean;
}

/** How often what happened: the evidence that storms are storms. */
export interface Tally {
  runs: number;
  pages: number;
  writes: number;
  delivered: number;
  ignored: number;
  stored: number;
  repeated: number;
  crashedRuns: number;
  stolenRuns: number;
  staleCommits: number;
  releasedRuns: number;
  canceledRuns: number;
  failedRuns: number;
  coalesced: number;
  retried: number;
  events: number;
  duplicates: number;
}

interface FlowModel {
  readonly _id: string;
  readonly source: Source;
  readonly books: ReadonlyMap<string, Book>;
  /** Ids of waiting runs, the oldest first. */
  readonly line: string[];
  active: string | undefined;
  isDeleted: boolean;
  cursor: Cursor | undefined;
  /** Pages below this are known to be settled. */
  checked: number;
  /** When a second delivery was excused last. */
  excusedAt: number;
  readonly dueTimes: Set<string>;
  /** Events that were taken in, by number. */
  readonly events: Set<number>;
  /** Inbox pages as they were read, the oldest first. */
  readonly inbox: { readonly cursor: string; readonly numbers: readonly number[] }[];
}

/** What one import of one flow got. */
interface Book {
  readonly plan: ImportPlan;
  /** Number → when it was applied last; `-1`: by a retry, or by a process that had lost its lease. */
  readonly applied: Map<number, number>;
  /** Numbers that were ever stored as failures, and those whose failure somebody resolved. */
  readonly stored: Set<number>;
  readonly resolved: Set<number>;
  /** Open failures: id → number. */
  readonly open: Map<string, number>;
  readonly rejected: Set<number>;
  readonly doubted: Set<number>;
  /** Number → the execution in which it was settled last. */
  readonly settledIn: Map<number, string>;
  /** Execution and number → not to be sent again before. */
  readonly notBefore: Map<string, number>;
}

interface RunModel {
  readonly _id: string;
  readonly flow: FlowModel;
  readonly trigger: Trigger;
  readonly limit: number | undefined;
  takes: number;
  opens: number;
  /** How far it reads, decided when it begins. */
  end: number | undefined;
  holder: { readonly process: Process; readonly token: string } | undefined;
  lastToken: string | undefined;
  pages: number;
  readonly sums: Map<string, { numSuccess: number; numIgnore: number; numError: number }>;
  ended: RunStatus | undefined;
  isCanceling: boolean;
  /** Its end is owed by then. */
  cancelBy: number;
}

/** What the ledger asks of the world. */
export interface Surroundings {
  readonly plan: Plan;
  readonly sources: ReadonlyMap<string, Source>;
  /** Milliseconds since the beginning, whatever the clocks on the wall say. */
  readonly elapsed: () => number;
  /** True if neither this process nor the clock had any trouble lately, so that its leases cannot have run out. */
  readonly isHealthy: (process: Process) => boolean;
  readonly trace: (line: string) => void;
}

type CallOf<Name extends StorageCall["name"]> = Extract<StorageCall, { readonly name: Name }>;

/** A model of all that was read, written and remembered, kept beside the engine, and what must hold between the two. */
export class Ledger {
  readonly violations: Violation[] = [];
  readonly tally: Tally = {
    ...{ runs: 0, pages: 0, writes: 0, delivered: 0, ignored: 0, stored: 0, repeated: 0, crashedRuns: 0 },
    ...{ stolenRuns: 0, staleCommits: 0, releasedRuns: 0, canceledRuns: 0, failedRuns: 0, coalesced: 0, retried: 0 },
    ...{ events: 0, duplicates: 0 },
  };
  readonly flows = new Map<string, FlowModel>();
  readonly runs = new Map<string, RunModel>();
  readonly calls = new Set<HostCall>();
  readonly #around: Surroundings;
  readonly #readers = new Map<string, Reader>();
  /** Key → number, for exports whose keys are made by the engine. */
  readonly #keyOwners = new Map<string, number>();
  readonly #keysInRun = new Map<string, string>();
  #seq = 0;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** Notes that an invariant does not hold. */
  broken(invariant: Invariant, what: string): void {
    this.violations.push({ invariant, what });
    this.#around.trace(`VIOLATION ${invariant}: ${what}`);
  }

  /** Host code is called for a run. */
  begins(process: Process, run: Run): HostCall {
    const call = { process, _runId: run._id, _flowId: run._flowId, isDeaf: false };
    const mine = this.#isHolder(process, run._id);
    const busy = new Set([run._id]);
    for (const other of this.calls) {
      if (other.isDeaf || other.process.isCrashed) continue;
      if (other.process === process) busy.add(other._runId);
      if (other._flowId !== run._flowId || (other._runId === run._id && other.process === process)) continue;
      if (mine && this.#isHolder(other.process, other._runId))
        this.broken("one running run", `runs ${other._runId} and ${run._id} of flow ${run._flowId} run at once`);
    }
    const { concurrency } = this.#around.plan.options;
    if (busy.size > concurrency)
      this.broken("concurrency", `${process.name} runs ${[...busy].join(", ")} at once, ${concurrency} are allowed`);
    this.calls.add(call);
    return call;
  }

  /** It has ended. */
  ends(call: HostCall): void {
    this.calls.delete(call);
  }

  /** Host code that a process waits for and that heeds its signal. */
  callsOf(process: Process): readonly HostCall[] {
    return [...this.calls].filter((call) => call.process === process && !call.isDeaf);
  }

  /** An export begins to read, from the cursor answered. */
  opens(process: Process, plan: ExportPlan, context: ExportContext): { reader: Reader; cursor: Cursor | undefined } {
    const { run } = context;
    const reader: Reader = { handedOut: [], isDone: false };
    this.#readers.set(`${process.name} ${run._id}`, reader);
    const known = this.runs.get(run._id);
    if (known !== undefined && this.#isHolder(process, run._id)) known.opens++;
    const { checkpoint } = context;
    if (checkpoint !== undefined && !isCursor(plan, checkpoint)) {
      this.broken("cursor", `run ${run._id} starts from ${JSON.stringify(checkpoint)}, which is none of ${plan._id}'s`);
      return { reader, cursor: undefined };
    }
    return { reader, cursor: checkpoint };
  }

  /** How many pages the run is to read, however often it begins anew: there are `now` of them. */
  endFor(run: Run, now: number): number {
    const known = this.runs.get(run._id);
    if (known === undefined) return now;
    return (known.end ??= now);
  }

  /** An import is given records; answers their numbers. */
  offers(process: Process, plan: ImportPlan, records: readonly unknown[], context: ImportContext): number[] {
    this.tally.writes++;
    const { run, keys, attempt, signal } = context;
    const flow = this.flows.get(run._flowId);
    const place = `${plan._id}, run ${run._id}`;
    if (signal.aborted) this.broken("abort", `a write began after its run was aborted: ${place}`);
    if (attempt > this.#around.plan.options.maxAttempts) this.broken("attempts", `attempt ${attempt} at ${place}`);
    if (keys.length !== records.length)
      this.broken("keys", `${keys.length} keys for ${records.length} records: ${place}`);
    const book = flow?.books.get(plan._id);
    if (flow === undefined || book === undefined) {
      this.broken("isolation", `records for an import that is none of flow ${run._flowId}'s: ${place}`);
      return [];
    }
    return records.map((record, index) => {
      const n = numberOf(record) ?? -1;
      if (!isExpected(plan, flow.source.plan._id, record))
        this.broken("no invention", `${place} was given ${JSON.stringify(record)}`);
      if (!keeps(plan, n)) this.broken("no invention", `record ${n} was filtered out, but sent: ${place}`);
      this.#checkKey(flow, run, n, keys[index] ?? "");
      if (this.#isHolder(process, run._id)) this.#checkOffer(process, book, run, n);
      return n;
    });
  }

  /** A record is there now. */
  applies(process: Process, plan: ImportPlan, run: Run, n: number): void {
    const flow = this.flows.get(run._flowId);
    const book = flow?.books.get(plan._id);
    if (flow === undefined || book === undefined) return;
    const before = book.applied.get(n);
    const isMine = this.#isHolder(process, run._id);
    if (before !== undefined) this.tally.repeated++;
    const isExcused =
      before === undefined ||
      plan.idempotent ||
      !isMine ||
      before < flow.excusedAt ||
      run.trigger === "retry" ||
      flow.source.plan.patchy;
    if (!isExcused)
      this.broken("repetition", `record ${n} twice at ${plan._id} without a reason: flow ${flow._id}, run ${run._id}`);
    // What was written by who may not write any more, or by hand, excuses whatever comes after.
    book.applied.set(n, isMine && run.trigger !== "retry" ? ++this.#seq : -1);
  }

  /** The import has said all it will say of this record in this run: it must not be sent to it again. */
  settles(process: Process, plan: ImportPlan, run: Run, n: number): void {
    this.#book(run, plan)?.settledIn.set(n, this.#executionOf(process, run));
  }

  /** The import refuses it. */
  rejects(plan: ImportPlan, run: Run, n: number): void {
    this.#book(run, plan)?.rejected.add(n);
  }

  /** Whether the import has it is not known to who asked. */
  doubts(plan: ImportPlan, run: Run, n: number): void {
    this.#book(run, plan)?.doubted.add(n);
  }

  /** The import asks not to be sent this record for so long. */
  postpones(process: Process, plan: ImportPlan, call: { run: Run; n: number; afterMs: number }): void {
    const execution = `${this.#executionOf(process, call.run)} ${call.n}`;
    this.#book(call.run, plan)?.notBefore.set(execution, this.#around.elapsed() + call.afterMs);
  }

  /** Whether the destination has it. */
  isApplied(plan: ImportPlan, run: Run, n: number): boolean {
    return this.#book(run, plan)?.applied.has(n) ?? false;
  }

  #checkKey(flow: FlowModel, run: Run, n: number, key: string): void {
    const wrong = (what: string) => this.broken("keys", `record ${n} of run ${run._id} has key ${key}, ${what}`);
    if (flow.source.plan.keyed) {
      if (key !== keyOf({ n })) wrong("not its own");
      return;
    }
    const owner = this.#keyOwners.get(key);
    if (owner !== undefined && owner !== n) wrong(`which is record ${owner}'s`);
    this.#keyOwners.set(key, n);
    if (run.trigger === "retry") return;
    const place = `${run._id} ${n}`;
    const before = this.#keysInRun.get(place);
    if (before !== undefined && before !== key) wrong(`but had ${before} before`);
    this.#keysInRun.set(place, key);
  }

  #checkOffer(process: Process, book: Book, run: Run, n: number): void {
    const place = `record ${n} at ${book.plan._id}, flow ${run._flowId}, run ${run._id}`;
    if (run.trigger === "retry") {
      if (!book.resolved.has(n) && ![...book.open.values()].includes(n))
        this.broken("isolation", `a retry sent what is no failure: ${place}`);
      return;
    }
    const execution = this.#executionOf(process, run);
    if (book.settledIn.get(n) === execution) this.broken("isolation", `sent again after it was settled: ${place}`);
    if (this.#around.elapsed() < (book.notBefore.get(`${execution} ${n}`) ?? 0))
      this.broken("attempts", `sent again before its time: ${place}`);
  }

  #book(run: Run, plan: ImportPlan): Book | undefined {
    return this.flows.get(run._flowId)?.books.get(plan._id);
  }

  // A patchy export is read again from its last checkpoint, which may be before pages that are settled.
  #executionOf(process: Process, run: Run): string {
    const known = this.runs.get(run._id);
    const opens = known?.flow.source.plan.patchy === true ? known.opens : 0;
    return `${run._id}#${process.takes.get(run._id) ?? 0}.${opens}`;
  }

  #isHolder(process: Process, _runId: string): boolean {
    const run = this.runs.get(_runId);
    return run?.holder?.process === process && process.takes.get(_runId) === run.takes;
  }

  /** A process's call was carried out. */
  observe(process: Process, call: StorageCall): void {
    switch (call.name) {
      case "insertFlow":
        if (call.answer) this.#addFlow(call);
        break;
      case "queueRun":
        if (call.answer.outcome === "queued") this.#queued(call.answer.run);
        break;
      case "queueDue":
        this.#queuedDue(call);
        break;
      case "appendInbox":
        this.#appended(call);
        break;
      case "readInbox":
        this.#readInbox(call);
        break;
      case "cancelRun":
        this.#canceled(call);
        break;
      case "replaceFlow":
        if (call.answer.outcome === "replaced") this.#replaced(call.answer);
        break;
      case "deleteFlow":
        if (call.answer.outcome === "deleted") this.#deleted(call.answer);
        break;
      case "claimRun":
        this.#taken(process, call);
        break;
      case "commitPage":
        this.#committed(process, call);
        break;
      case "endRun":
        this.#ended(process, call);
        break;
      case "releaseRun":
        this.#released(process, call);
        break;
      case "reclaimExpiredRuns":
        this.#tookBack(call.answer, false);
        break;
      case "setCheckpoint":
        this.#rewound(call);
        break;
      case "resolveFailures":
        this.#resolved(call.answer);
        break;
      case "findFlow":
      case "listFlows":
      case "dueFlows":
      case "nextDueAt":
      case "findRun":
      case "listRuns":
      case "prune":
      case "renewLeases":
      case "waitingFlows":
      case "findCheckpoint":
      case "findFailure":
      case "listFailures":
      case "unreadInboxes":
        break;
    }
  }

  /** Somebody else took these runs back. */
  stolen(runs: readonly Run[]): void {
    this.#tookBack(runs, true);
  }

  #addFlow({ args: [flow] }: CallOf<"insertFlow">): void {
    const source = this.#around.sources.get(flow._exportId);
    if (source === undefined) return;
    const plans = this.#around.plan.imports;
    const _importIds = flow._importIds ?? [flow._importId];
    const books = new Map<string, Book>();
    for (const plan of plans) if (_importIds.includes(plan._id)) books.set(plan._id, newBook(plan));
    this.flows.set(flow._id, {
      ...{ _id: flow._id, source, books, line: [], active: undefined, isDeleted: false, cursor: undefined },
      ...{ checked: 0, excusedAt: 0, dueTimes: new Set(), events: new Set(), inbox: [] },
    });
  }

  #queued(run: Run): void {
    const flow = this.flows.get(run._flowId);
    if (flow === undefined || this.runs.has(run._id)) return;
    this.tally.runs++;
    flow.line.push(run._id);
    this.runs.set(run._id, {
      ...{ _id: run._id, flow, trigger: run.trigger, limit: run.limit, takes: 0, opens: 0, end: undefined },
      ...{
        holder: undefined,
        lastToken: undefined,
        pages: 0,
        sums: new Map(),
        ended: undefined,
        isCanceling: false,
        cancelBy: Infinity,
      },
    });
  }

  #queuedDue({ args: [ticks, rule], answer }: CallOf<"queueDue">): void {
    for (const [index, outcome] of answer.entries()) {
      const flow = this.flows.get(ticks[index]?._flowId ?? "");
      if (flow === undefined || !("run" in outcome)) continue;
      const { run } = outcome;
      if (outcome.outcome === "queued") {
        const dueAt = run.dueAt ?? "";
        if (flow.dueTimes.has(dueAt)) this.broken("due times", `two runs of flow ${flow._id} for ${dueAt}`);
        flow.dueTimes.add(dueAt);
        const isScheduled = (_id: string) => /^(schedule|catch-up)$/.test(this.runs.get(_id)?.trigger ?? "");
        if (rule.overlap === "bufferOne" && flow.line.some(isScheduled))
          this.broken("due times", `two scheduled runs of flow ${flow._id} wait`);
        this.#queued(run);
      } else if (outcome.outcome === "coalesced") {
        this.tally.coalesced++;
        if (!flow.line.includes(run._id))
          this.broken("due times", `a due time was folded into run ${run._id}, which does not wait`);
      } else if (flow.active !== run._id && !flow.line.includes(run._id))
        this.broken("due times", `a due time was skipped for run ${run._id}, which neither waits nor runs`);
    }
  }

  #appended({ args: [arrival], answer }: CallOf<"appendInbox">): void {
    if (answer.outcome !== "appended") return;
    for (const { _flowId, duplicates, run } of answer.flows) {
      const flow = this.flows.get(_flowId);
      if (flow === undefined) continue;
      const seen = new Set(flow.events);
      let expected = 0;
      for (const record of arrival.records) {
        const n = numberOf(record) ?? -1;
        if (arrival.ids !== undefined && seen.has(n)) expected++;
        seen.add(n);
        flow.events.add(n);
      }
      this.tally.events += arrival.records.length;
      this.tally.duplicates += duplicates;
      if (duplicates !== expected)
        this.broken("intake", `${duplicates} duplicates in inbox ${_flowId}, expected ${expected}`);
      if (run !== undefined) this.#queued(run);
    }
  }

  #readInbox({ args: [_flowId], answer }: CallOf<"readInbox">): void {
    const inbox = this.flows.get(_flowId)?.inbox ?? [];
    for (const { cursor, records } of answer)
      if (!inbox.some((page) => page.cursor === cursor))
        inbox.push({ cursor, numbers: records.map((record) => numberOf(record) ?? -1) });
  }

  #canceled({ args: [_runId], answer }: CallOf<"cancelRun">): void {
    const run = this.runs.get(_runId);
    if (run === undefined || answer === undefined || run.ended !== undefined) return;
    if (answer.status === "canceled") this.#leaveLine(run, "canceled");
    else if (answer.status === "canceling") this.#isToEnd(run);
  }

  #isToEnd(run: RunModel): void {
    const { leaseMs } = this.#around.plan.options;
    run.isCanceling = true;
    run.cancelBy = Math.min(run.cancelBy, this.#around.elapsed() + leaseMs / 3 + 5_000);
  }

  #replaced({ flow: { _id }, canceled }: Extract<CallOf<"replaceFlow">["answer"], { outcome: "replaced" }>): void {
    // The next due time may have been computed anew, with a clock that went back meanwhile.
    this.flows.get(_id)?.dueTimes.clear();
    for (const run of canceled) this.#leaveLine(this.runs.get(run._id), "canceled");
  }

  #deleted({ flow: { _id }, canceled }: Extract<CallOf<"deleteFlow">["answer"], { outcome: "deleted" }>): void {
    const flow = this.flows.get(_id);
    if (flow === undefined) return;
    for (const run of canceled) this.#leaveLine(this.runs.get(run._id), "canceled");
    flow.isDeleted = true;
    const active = this.runs.get(flow.active ?? "");
    if (active !== undefined) this.#isToEnd(active);
  }

  #leaveLine(run: RunModel | undefined, ended: RunStatus): void {
    const place = run?.flow.line.indexOf(run._id) ?? -1;
    if (run === undefined || place < 0) return;
    run.flow.line.splice(place, 1);
    run.ended = ended;
    this.tally.canceledRuns++;
    // It may have begun before: what it committed does not move an unordered flow's cursor.
    if (run.flow.source.plan.order === "unordered") this.#excuse(run.flow);
  }

  #excuse(flow: FlowModel): void {
    flow.excusedAt = ++this.#seq;
  }

  #taken(process: Process, { args: [_flowId, lease], answer }: CallOf<"claimRun">): void {
    const flow = this.flows.get(_flowId);
    const run = this.runs.get(answer?.run._id ?? "");
    if (flow === undefined || run === undefined || answer === undefined) return;
    if (run.holder?.token === lease.token) return;
    if (flow.active !== undefined)
      this.broken("one running run", `run ${run._id} of flow ${_flowId} was taken while ${flow.active} is running`);
    if (flow.line[0] !== run._id)
      this.broken("first in, first out", `flow ${_flowId} took ${run._id}, in line are ${flow.line.join(", ")}`);
    const place = flow.line.indexOf(run._id);
    if (place >= 0) flow.line.splice(place, 1);
    flow.active = run._id;
    run.takes++;
    run.holder = { process, token: lease.token };
    run.lastToken = lease.token;
    process.takes.set(run._id, run.takes);
  }

  #committed(process: Process, { args: [hold, page], answer }: CallOf<"commitPage">): void {
    const run = this.runs.get(hold._runId);
    if (run === undefined) return;
    if (answer === undefined) {
      this.tally.staleCommits++;
      if (run.holder?.token === hold.token)
        this.broken("fence", `the commit of run ${run._id} was refused to its holder`);
      return;
    }
    if (run.holder?.token !== hold.token) this.broken("fence", `a commit of run ${run._id} by who lost its lease`);
    // The same page again, because the first answer got lost.
    if (answer.numPagesProcessed === run.pages) return;
    run.pages++;
    this.tally.pages++;
    if (answer.numPagesProcessed !== run.pages)
      this.broken("books", `page ${answer.numPagesProcessed} of run ${run._id} committed after ${run.pages - 1}`);
    const { flow } = run;
    const numbers = this.#numbersOf(process, run, page);
    if (flow.isDeleted) {
      this.#checkSums(run, page, answer);
      return;
    }
    if (run.trigger === "retry") this.#checkRetried(run, page);
    else if (numbers !== undefined)
      for (const book of flow.books.values()) this.#checkSettled(process, run, { book, numbers, page });
    for (const failure of page.failures) this.#checkFailure(run, failure);
    this.#checkSums(run, page, answer);
    if (page.checkpoint !== undefined) this.#moved(run, page.checkpoint.value);
  }

  // Which records the page is made of; undefined for a retry.
  #numbersOf(process: Process, run: RunModel, page: CallOf<"commitPage">["args"][1]): readonly number[] | undefined {
    if (run.trigger === "retry") return undefined;
    if (run.trigger === "realtime") return this.#takeFromInbox(run, page.inboxThrough);
    const read = this.#readers.get(`${process.name} ${run._id}`)?.handedOut.shift();
    if (read === undefined) {
      this.broken("books", `run ${run._id} committed a page that its export did not give`);
      return undefined;
    }
    const { value } = page.position?.checkpoint ?? {};
    if (value !== undefined && JSON.stringify(value) !== JSON.stringify(read.cursor))
      this.broken(
        "cursor",
        `run ${run._id} committed ${JSON.stringify(value)} with the page before ${JSON.stringify(read.cursor)}`,
      );
    const [sum = { numSuccess: 0, numIgnore: 0, numError: 0 }] = run.sums.values();
    const before = sum.numSuccess + sum.numIgnore + sum.numError;
    return run.limit === undefined ? read.numbers : read.numbers.slice(0, run.limit - before);
  }

  #takeFromInbox(run: RunModel, through: string | undefined): readonly number[] | undefined {
    const { inbox } = run.flow;
    const last = inbox.findIndex(({ cursor }) => cursor === through);
    if (last < 0) {
      this.broken("intake", `run ${run._id} committed inbox entries through ${String(through)}, which it did not read`);
      return undefined;
    }
    return inbox.splice(0, last + 1).flatMap(({ numbers }) => numbers);
  }

  #checkSettled(
    process: Process,
    run: RunModel,
    { book, numbers, page }: { book: Book; numbers: readonly number[]; page: CallOf<"commitPage">["args"][1] },
  ): void {
    const { plan } = book;
    const failed = new Map<number, Failure>();
    for (const failure of page.failures)
      if (failure._importId === plan._id) failed.set(numberOf(failure.record) ?? -1, failure);
    const made = { numSuccess: 0, numIgnore: 0, numError: 0 };
    for (const n of numbers)
      if (failed.has(n)) made.numError++;
      else if (!keeps(plan, n)) made.numIgnore++;
      else if (book.applied.has(n)) made.numSuccess++;
      else
        this.broken("conservation", `run ${run._id} committed record ${n}, which ${plan._id} neither got nor failed`);
    const said = page.counts[plan._id];
    if (JSON.stringify(said) !== JSON.stringify(inOrder(made, said)))
      this.broken(
        "books",
        `run ${run._id} counts ${JSON.stringify(said)} at ${plan._id}, it was ${JSON.stringify(made)}`,
      );
    // What may have been applied and may not be sent again has to be stored, whatever the budget says.
    const isInDoubt = page.failures.some(
      ({ _importId, fault }) => fault === "unknown" && run.flow.books.get(_importId)?.plan.idempotent === false,
    );
    if (!isInDoubt) this.#checkBudget(process, run, { book, failed: [...failed.values()], numbers });
    this.tally.delivered += made.numSuccess;
    this.tally.ignored += made.numIgnore;
  }

  #checkBudget(
    process: Process,
    run: RunModel,
    { book, failed, numbers }: { book: Book; failed: readonly Failure[]; numbers: readonly number[] },
  ): void {
    // Who is told to end commits what would be sent twice else, whatever it costs.
    if (run.isCanceling || process.state !== "started") return;
    const { plan } = book;
    const { maxFailures } = this.#around.plan.options;
    const before = run.sums.get(plan._id);
    if ((before?.numError ?? 0) + failed.length > maxFailures && failed.length > 0)
      this.broken("error budget", `run ${run._id} stored more than ${maxFailures} failures of ${plan._id}`);
    const sent = numbers.filter((n) => keeps(plan, n) && !(plan.maps && isUnmappable(plan, n))).length;
    const down = failed.filter(({ fault }) => fault === "retry" || (fault === "unknown" && plan.idempotent)).length;
    if ((before?.numSuccess ?? 0) + (before?.numError ?? 0) === 0 && sent > 0 && down === sent)
      this.broken("error budget", `run ${run._id} stored its whole first page while ${plan._id} was down`);
  }

  #checkRetried(run: RunModel, page: CallOf<"commitPage">["args"][1]): void {
    for (const _id of page.delivered) {
      for (const book of run.flow.books.values()) {
        const n = book.open.get(_id);
        if (n === undefined) continue;
        book.open.delete(_id);
        this.tally.retried++;
        if (!book.applied.has(n))
          this.broken("conservation", `the failure of record ${n} at ${book.plan._id} is gone, but it was not written`);
      }
    }
    const counts = Object.values(page.counts);
    const numError = counts.reduce((sum, made) => sum + made.numError, 0);
    const rest = counts.reduce((sum, made) => sum + made.numSuccess + made.numIgnore, 0);
    if (counts.length !== 1 || numError !== page.failures.length || rest !== page.delivered.length)
      this.broken("books", `retry run ${run._id} counts ${JSON.stringify(page.counts)}`);
  }

  #checkFailure(run: RunModel, failure: Failure): void {
    const { _importId, record, fault, key } = failure;
    const { flow } = run;
    const book = flow.books.get(_importId);
    const n = numberOf(record) ?? -1;
    const place = `record ${n} at ${_importId}, run ${run._id}`;
    if (book === undefined || !isOriginal(flow.source.plan._id, record)) {
      this.broken("no invention", `a failure holds ${JSON.stringify(record)}: ${place}`);
      return;
    }
    this.tally.stored++;
    book.stored.add(n);
    book.open.set(failure._id, n);
    book.resolved.delete(n);
    const { plan } = book;
    const isDoomed = isRefused(plan, n) || isUnmappable(plan, n);
    if (fault === "reject" && !book.rejected.has(n) && !isDoomed)
      this.broken("outcome classes", `stored as reject, but it was not: ${place}`);
    if (fault === "unknown" && !book.doubted.has(n))
      this.broken("outcome classes", `stored as unknown, but it was not: ${place}`);
    if (flow.source.plan.keyed ? key !== keyOf({ n }) : (this.#keyOwners.get(key) ?? n) !== n)
      this.broken("keys", `a failure has the key ${key}: ${place}`);
  }

  #checkSums(run: RunModel, page: CallOf<"commitPage">["args"][1], answer: Run): void {
    const total = { numSuccess: 0, numIgnore: 0, numError: 0 };
    for (const [_importId, made] of Object.entries(page.counts)) {
      const before = run.sums.get(_importId) ?? { numSuccess: 0, numIgnore: 0, numError: 0 };
      run.sums.set(_importId, {
        numSuccess: before.numSuccess + made.numSuccess,
        numIgnore: before.numIgnore + made.numIgnore,
        numError: before.numError + made.numError,
      });
    }
    for (const [_importId, sum] of run.sums) {
      const said = answer.imports[_importId];
      if (JSON.stringify(said) !== JSON.stringify(inOrder(sum, said)))
        this.broken("books", `run ${run._id} says ${JSON.stringify(said)} in all at ${_importId}`);
      total.numSuccess += sum.numSuccess;
      total.numIgnore += sum.numIgnore;
      total.numError += sum.numError;
    }
    const { numSuccess, numIgnore, numError } = answer;
    if (numSuccess !== total.numSuccess || numIgnore !== total.numIgnore || numError !== total.numError)
      this.broken("books", `the totals of run ${run._id} are not its imports' sums`);
  }

  // The flow's cursor says that everything before it is settled. So it has to be.
  #moved(run: RunModel, value: unknown): void {
    const { flow } = run;
    if (!isCursor(flow.source.plan, value)) {
      this.broken("cursor", `run ${run._id} moved flow ${flow._id} to ${JSON.stringify(value)}, none of its export's`);
      return;
    }
    if (run.limit !== undefined || run.trigger === "retry" || run.trigger === "realtime")
      this.broken("cursor", `run ${run._id} (${run.trigger}) moved the checkpoint`);
    if (pagesBefore(value) < pagesBefore(flow.cursor))
      this.broken("cursor", `flow ${flow._id} went back to ${JSON.stringify(value)}`);
    flow.cursor = value;
    for (; flow.checked < pagesBefore(value); flow.checked++)
      for (const n of flow.source.numbers(flow.checked)) this.#checkIsSettled(flow, n, "is behind the checkpoint");
  }

  #checkIsSettled(flow: FlowModel, n: number, why: string): void {
    for (const { plan, applied, stored } of flow.books.values())
      if (keeps(plan, n) && !applied.has(n) && !stored.has(n))
        this.broken("conservation", `record ${n} of flow ${flow._id} ${why}, but ${plan._id} never got it`);
  }

  #ended(process: Process, { args: [hold, ending], answer }: CallOf<"endRun">): void {
    const run = this.runs.get(hold._runId);
    if (run === undefined) return;
    if (answer === undefined) {
      if (run.holder?.token === hold.token) this.broken("fence", `run ${run._id} was not ended for its holder`);
      return;
    }
    if (run.ended !== undefined) {
      if (run.lastToken !== hold.token) this.broken("fence", `run ${run._id} was ended twice, by different holders`);
      return;
    }
    if (run.holder?.token !== hold.token) this.broken("fence", `run ${run._id} was ended by who lost its lease`);
    this.#leaves(process, run);
    run.ended = answer.run.status;
    if (run.ended === "failed") this.tally.failedRuns++;
    if (run.ended === "canceled") this.tally.canceledRuns++;
    const { order } = run.flow.source.plan;
    if (ending.checkpoint !== undefined && run.ended === "completed" && !run.flow.isDeleted)
      this.#moved(run, ending.checkpoint.value);
    // What such a run wrote last is read again by the next one.
    if (ending.status === "failed" || run.limit !== undefined || (run.ended === "canceled" && order === "unordered"))
      this.#excuse(run.flow);
    if (ending.status === "completed") this.#checkRead(process, run);
  }

  #checkRead(process: Process, run: RunModel): void {
    if (run.trigger === "retry" || run.trigger === "realtime") return;
    const reader = this.#readers.get(`${process.name} ${run._id}`);
    const [sum = { numSuccess: 0, numIgnore: 0, numError: 0 }] = run.sums.values();
    if (run.limit !== undefined && sum.numSuccess + sum.numIgnore + sum.numError >= run.limit) return;
    if (reader?.isDone !== true || reader.handedOut.length > 0)
      this.broken("conservation", `run ${run._id} completed before its export had ended`);
  }

  #leaves(process: Process, run: RunModel): void {
    run.flow.active = undefined;
    run.holder = undefined;
    run.cancelBy = Infinity;
    if (this.callsOf(process).some(({ _runId }) => _runId === run._id))
      this.broken("one running run", `run ${run._id} gave its place up while its code still goes on`);
  }

  #released(process: Process, { args: [hold], answer }: CallOf<"releaseRun">): void {
    const run = this.runs.get(hold._runId);
    if (run === undefined || answer === undefined) return;
    if (run.holder?.token !== hold.token) this.broken("fence", `run ${run._id} was released by who lost its lease`);
    this.tally.releasedRuns++;
    this.#leaves(process, run);
    run.flow.line.unshift(run._id);
  }

  #tookBack(runs: readonly Run[], isTheft: boolean): void {
    for (const { _id, status } of runs) {
      const run = this.runs.get(_id);
      if (run === undefined) continue;
      const { flow, holder } = run;
      if (isTheft) this.tally.stolenRuns++;
      else this.tally.crashedRuns++;
      // Code that ignores its signal is left behind by a stop, and its lease with it.
      const isLeft = this.#isDeaf(_id);
      if (!isTheft && !isLeft && holder !== undefined && this.#around.isHealthy(holder.process))
        this.broken("lease", `run ${_id} was taken from ${holder.process.name}, which is well`);
      if (flow.active === _id) flow.active = undefined;
      run.holder = undefined;
      run.cancelBy = Infinity;
      this.#excuse(flow);
      if (status === "queued") flow.line.unshift(_id);
      else run.ended = status;
    }
  }

  #rewound({ args: [_flowId, checkpoint], answer }: CallOf<"setCheckpoint">): void {
    const flow = this.flows.get(_flowId);
    if (flow === undefined || !answer) return;
    const value: unknown = checkpoint?.value;
    flow.cursor = isCursor(flow.source.plan, value) ? value : undefined;
    this.#excuse(flow);
  }

  #resolved(failures: readonly Failure[]): void {
    for (const { _id, _flowId, _importId } of failures) {
      const book = this.flows.get(_flowId)?.books.get(_importId);
      const n = book?.open.get(_id);
      if (book === undefined || n === undefined) continue;
      book.open.delete(_id);
      book.resolved.add(n);
    }
  }

  #isDeaf(_runId: string): boolean {
    return [...this.calls].some((call) => call.isDeaf && call._runId === _runId);
  }

  /** Runs that should have ended long ago. */
  checkCancels(): void {
    for (const run of this.runs.values()) {
      if (run.cancelBy > this.#around.elapsed() || run.holder === undefined) continue;
      const { process } = run.holder;
      if (!this.#isDeaf(run._id) && this.#around.isHealthy(process))
        this.broken("abort", `run ${run._id} was to be canceled long ago, and still runs at ${process.name}`);
      run.cancelBy = Infinity;
    }
  }

  /** Runs that wait or run, of flows that are there. */
  unfinished(): readonly string[] {
    const open = [...this.runs.values()].filter(({ ended, flow }) => ended === undefined && !flow.isDeleted);
    return open.map(({ _id }) => _id);
  }

  /** Everything there is has arrived, is left out or is stored: the storm is long over. */
  checkDrained(): void {
    for (const flow of this.flows.values()) {
      if (flow.isDeleted) continue;
      for (let page = 0; page < flow.source.pages.length; page++)
        for (const n of flow.source.numbers(page)) this.#checkArrived(flow, n);
      for (const n of flow.events) this.#checkArrived(flow, n);
    }
  }

  #checkArrived(flow: FlowModel, n: number): void {
    for (const { plan, applied, stored } of flow.books.values())
      if (keeps(plan, n) && !applied.has(n) && !stored.has(n))
        this.broken("liveness", `record ${n} of flow ${flow._id} has not reached ${plan._id}, though all is well`);
  }
}

function newBook(plan: ImportPlan): Book {
  return {
    ...{ plan, applied: new Map(), stored: new Set(), resolved: new Set(), open: new Map(), rejected: new Set() },
    ...{ doubted: new Set(), settledIn: new Map(), notBefore: new Map() },
  };
}

/** How many pages a cursor has behind it, if it is the flow's. */
export function pagesBefore(cursor: Cursor | undefined): number {
  if (cursor === undefined) return 0;
  return "run" in cursor ? cursor.end : cursor.page;
}

function isCursor(plan: ExportPlan, value: unknown): value is Cursor {
  if (typeof value !== "object" || value === null) return false;
  return plan.order === "ordered" ? "page" in value : "end" in value && "run" in value;
}

// The same counts with their names in the order of the other's, for comparing them as text.
function inOrder(counts: Counts, like: Counts | undefined): object {
  const names = Object.keys(like ?? counts) as (keyof Counts)[];
  return Object.fromEntries(names.map((name) => [name, counts[name]]));
}
