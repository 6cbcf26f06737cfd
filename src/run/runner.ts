import { type CancelTimer, type Clock, Yielder } from "../clock.ts";
import {
  LeaseLostError,
  NotFoundError,
  type PoundlockError,
  StorageFailedError,
  UnexpectedError,
  isPoundlockError,
} from "../errors.ts";
import type { Emit, MissingPart, SchedulerEvents } from "../events.ts";
import type { Export } from "../model/host/export.ts";
import { type Flow, importIdsOf } from "../model/flow/flow.ts";
import type { Import } from "../model/host/import.ts";
import type { Logger } from "../model/logger.ts";
import type { Run, RunError, RunStart } from "../model/run.ts";
import type { ClaimRunResult, ClaimedRun, EndRunResult, RunEnding, RunLease, Storage } from "../storage/storage.ts";
import { executeRun } from "./execute-run.ts";
import { keepShapes } from "./kept-shapes.ts";
import { type RetryRule, retry } from "./retry.ts";
import type { RunJobStorage, RunLimits, RunResult } from "./run-job.ts";
import { type ResultOf, type Tracer, distinctOrigins } from "./tracer.ts";

/** Everything a runner needs. */
export interface RunnerDeps {
  readonly storage: Storage;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly limits: RunLimits & { readonly maxQueued: number };
  /** Whether records are frozen. */
  readonly freeze: boolean;
  readonly leaseMs: number;
  /** This process's own id. */
  readonly processId: string;
  readonly newId: () => string;
  readonly log: Logger;
  readonly tracer: Tracer | undefined;
  readonly emit: Emit<SchedulerEvents>;
  /** A run has ended here, completed, failed or canceled. */
  readonly onEnded: (ended: EndRunResult) => void;
  /** The flow's runs are left to a process that has its imports. */
  readonly onLeft: (flow: Flow) => void;
  /** Nothing of the flow is to be claimed before this instant. */
  readonly onWaiting: (_flowId: string, notBefore: number) => void;
}

/** Host code by its `_id`. */
export interface Catalog {
  findExport(_id: string): Export<unknown> | undefined;
  findImport(_id: string): Import<unknown> | undefined;
}

/** Why a run is aborted: it was canceled, this process stops, or another one has reclaimed it. */
export type AbortReason = "cancel" | "stop" | "lost";

/** How a storage call that failed is repeated before the run is left to whoever finds its lease expired. */
const storageRetries: RetryRule = { maxAttempts: 3, delayMs: (attempt) => attempt * 100 };

/** How often `run:unclaimed` is emitted for a flow at most, in milliseconds. */
const unclaimedIntervalMs = 60_000;

/** True: more runs of the flow wait. An object: none of them is to be claimed before `notBefore`. */
export type RunNextResult = boolean | { readonly notBefore: number };

/** A run that is running here. */
interface Running {
  readonly run: Run;
  readonly lease: RunLease;
  readonly abort: AbortController;
  reason: AbortReason | undefined;
  /** Another process runs it now, and `lease:lost` was emitted. */
  lost: boolean;
  /** Its lease is being given up with it: whether it was lost before, that call says. */
  leaves: boolean;
  /** As it was stored when it ended, or was given back; undefined until then. */
  left: Run | undefined;
  /** Why it failed, or was left to another process. */
  error: unknown;
}

/** A claim that goes on; its run is aborted as soon as it is claimed, if it has a reason by then. */
interface Claim {
  readonly token: string;
  reason: AbortReason | undefined;
}

/**
 * Claims a flow's oldest waiting run under a lease, executes it and ends it. All leases of this process are renewed
 * together, at a third of their length; a run whose lease is lost is aborted, and nothing it does counts any more.
 */
export class Runner {
  readonly #deps: RunnerDeps;
  readonly #running = new Map<string, Running>();
  readonly #yielder: Yielder;
  readonly #storage: Storage;
  /** Every claim has a token of its own: this process's id and a number. */
  readonly #id: string;
  #claimed = 0;
  readonly #claims = new Set<Claim>();
  /** What runs ask of the storage; a call that fails is repeated. */
  readonly #patientStorage: RunJobStorage;
  /** Flow → when `run:unclaimed` was emitted last. */
  readonly #unclaimedAt = new Map<string, number>();
  #cancelRenewal: CancelTimer | undefined;

  constructor(deps: RunnerDeps) {
    this.#deps = deps;
    this.#yielder = new Yielder(deps.clock);
    this.#storage = deps.storage;
    this.#id = deps.processId;
    keepShapes();
    const { storage } = deps;
    this.#patientStorage = {
      commitPage: (lease, page) => this.#withRetries("commitPage", () => storage.commitPage(lease, page)),
      readInbox: (...call) => this.#withRetries("readInbox", () => storage.readInbox(...call)),
      listFailures: (...call) => this.#withRetries("listFailures", () => storage.listFailures(...call)),
      listRuns: (...call) => this.#withRetries("listRuns", () => storage.listRuns(...call)),
      openKeys: (...call) => this.#withRetries("openKeys", () => storage.openKeys(...call)),
      countOpenFailures: (...call) => this.#withRetries("countOpenFailures", () => storage.countOpenFailures(...call)),
    };
  }

  /**
   * Runs the flow's oldest waiting run to its end. True: more of them wait. An object: none is to be claimed before
   * `notBefore`. Never rejects.
   */
  async runNext(_flowId: string): Promise<RunNextResult> {
    const claim: Claim = { token: `${this.#id}/${++this.#claimed}`, reason: undefined };
    this.#claims.add(claim);
    try {
      if (!(await this.#hasParts(_flowId))) return false;
      const claimed = await this.#withRetries("claimRun", () => this.#claim(_flowId, claim.token));
      if (claimed === undefined) return false;
      if ("run" in claimed) return await this.#runClaimed(claimed, claim);
      const { notBefore } = claimed;
      this.#deps.onWaiting(_flowId, notBefore);
      return { notBefore };
    } catch (error) {
      this.#deps.emit("background:error", { error, during: `running flow ${_flowId}` });
      return false;
    } finally {
      this.#claims.delete(claim);
    }
  }

  /** How many runs it executes. */
  get size(): number {
    return this.#running.size;
  }

  /** Aborts a run if it is running here; the first reason stands, but a lost lease is final. */
  abort(_runId: string, reason: AbortReason): void {
    const running = this.#running.get(_runId);
    if (running === undefined) return;
    if (reason === "lost") this.#lose(running);
    if (running.reason !== undefined) return;
    running.reason = reason;
    running.abort.abort(new Error(abortMessages[reason]));
  }

  /** Aborts every run that is running here, or is just being claimed. */
  abortAll(reason: AbortReason): void {
    for (const claim of this.#claims) claim.reason ??= reason;
    for (const _runId of [...this.#running.keys()]) this.abort(_runId, reason);
  }

  /** Renews no more leases: what still runs here is reclaimed once its lease has expired. */
  stop(): void {
    this.#cancelRenewal?.();
    this.#cancelRenewal = undefined;
    this.#running.clear();
  }

  // A run whose export or imports are not registered here is left to a process that has them.
  async #hasParts(_flowId: string): Promise<boolean> {
    const flow = await this.#withRetries("findFlow", () => this.#storage.findFlow(_flowId));
    if (flow === undefined) return true;
    const { catalog, onLeft } = this.#deps;
    const missing = missingParts(flow, catalog);
    if (missing.length === 0) {
      this.#unclaimedAt.delete(_flowId);
      return true;
    }
    if (missing.every(({ kind }) => kind === "import")) onLeft(flow);
    await this.#reportUnclaimed(_flowId, missing);
    return false;
  }

  async #reportUnclaimed(_flowId: string, missing: readonly MissingPart[]): Promise<void> {
    const now = this.#deps.clock.now();
    const lastAt = this.#unclaimedAt.get(_flowId);
    if (lastAt !== undefined && now - lastAt < unclaimedIntervalMs && now >= lastAt) return;
    this.#unclaimedAt.set(_flowId, now);
    const [run] = (await this.#patientStorage.listRuns({ _flowId, status: "queued", limit: 1 })).items;
    if (run !== undefined) this.#deps.emit("run:unclaimed", { run, missing });
  }

  #claim(_flowId: string, token: string): Promise<ClaimRunResult> {
    const at = this.#deps.clock.now();
    return this.#storage.claimRun(_flowId, { token, at, until: at + this.#deps.leaseMs });
  }

  async #runClaimed(claimed: ClaimedRun, claim: Claim): Promise<RunNextResult> {
    const lease = { _runId: claimed.run._id, token: claim.token, _flowId: claimed.run._flowId };
    const state = { reason: undefined, lost: false, leaves: false, left: undefined, error: undefined };
    const running: Running = { run: claimed.run, lease, abort: new AbortController(), ...state };
    this.#running.set(lease._runId, running);
    this.#claims.delete(claim);
    if (claim.reason !== undefined) this.abort(lease._runId, claim.reason);
    this.#planRenewal();
    const { tracer } = this.#deps;
    if (tracer === undefined) return this.#runToEnd(claimed, running);
    const { flow, run } = claimed;
    const step = { kind: "run", run, flow, origins: distinctOrigins([run.origin]) } as const;
    return tracer.around(step, () => this.#runToEnd(claimed, running), {
      returned: () => stepResultOf(running),
      threw: (error) => ({ outcome: "lost", error }),
    });
  }

  async #runToEnd(claimed: ClaimedRun, running: Running): Promise<RunNextResult> {
    const { lease } = running;
    try {
      this.#deps.emit("run:started", { run: claimed.run });
      return await this.#conclude(claimed, running, await this.#execute(claimed, running));
    } catch (error) {
      if (!(error instanceof LeaseLostError)) throw error;
      running.error = error;
      this.#lose(running);
      return false;
    } finally {
      // After a new start this process may be running it again, while the code left behind ends only now.
      if (this.#running.get(lease._runId) === running) this.#running.delete(lease._runId);
    }
  }

  async #execute(claimed: ClaimedRun, running: Running): Promise<RunResult> {
    const { catalog, clock, freeze, limits, newId, log, tracer, emit } = this.#deps;
    const { flow, run } = claimed;
    const from = catalog.findExport(flow._exportId);
    if (from === undefined) return failed(run, new NotFoundError("export", flow._exportId));
    const imports = new Map<string, Import<unknown>>();
    for (const _importId of importIdsOf(flow)) {
      const into = catalog.findImport(_importId);
      if (into === undefined) return failed(run, new NotFoundError("import", _importId));
      imports.set(_importId, into);
    }
    const { lease, abort } = running;
    const { signal } = abort;
    const deps = { clock, emit, freeze, limits, log, newId, signal, tracer, yielder: this.#yielder };
    const job = { claimed, lease, export: from, imports, storage: this.#patientStorage, ...deps };
    try {
      return await executeRun(job);
    } catch (error) {
      if (error instanceof LeaseLostError) throw error;
      // What the storage could not do is not the run's to end with: the run goes on when its lease has run out.
      if (isPoundlockError(error) && error.code === "storage_failed") throw error;
      // An error that nobody expected is this run's own: it must not look like a crash.
      return failed(run, isPoundlockError(error) ? error : new UnexpectedError(error));
    }
  }

  async #conclude(claimed: ClaimedRun, running: Running, result: RunResult): Promise<RunNextResult> {
    running.leaves = true;
    if (result.end === "waiting" || (result.end === "aborted" && running.reason === "stop")) {
      const { notBefore } = result;
      if (await this.#release(running, result)) return notBefore === undefined ? false : { notBefore };
    }
    running.error = result.error;
    if (result.error !== undefined) this.#logFailure(running.run, result.error);
    const ending = this.#endingOf(claimed, result);
    const ended = await this.#withRetries("endRun", () => this.#storage.endRun(running.lease, ending));
    if (ended === undefined) throw new LeaseLostError(running.lease._runId);
    running.left = ended.run;
    result.onPageCommitted?.();
    this.#deps.onEnded(ended);
    return ended.more;
  }

  async #release(running: Running, { notBefore, waits }: RunResult): Promise<boolean> {
    const change = { ...(notBefore === undefined ? {} : { notBefore }), ...(waits === undefined ? {} : { waits }) };
    const released = await this.#withRetries("releaseRun", () => this.#storage.releaseRun(running.lease, change));
    if (released === undefined) return false;
    running.left = released;
    this.#deps.emit("run:requeued", { run: released, reason: notBefore === undefined ? "stop" : "wait" });
    if (notBefore !== undefined) this.#deps.onWaiting(released._flowId, notBefore);
    return true;
  }

  #endingOf({ flow, run }: ClaimedRun, { end, error, ending }: RunResult): RunEnding {
    const { clock, limits, newId } = this.#deps;
    const at = clock.now();
    const { imports, needsResume, page, places } = ending;
    // Most runs are followed by none, and making an id and writing a time out costs more than the rest of this.
    const resume = needsResume ? resumeStart(flow, at, newId) : undefined;
    const whole = page === undefined ? {} : { page };
    const common = { at, imports, places, ...whole, ...(resume === undefined ? {} : { resume }) };
    if (end === "failed" && error !== undefined) return { ...common, status: "failed", error: reasonOf(error) };
    if (end !== "completed") return { ...common, status: "canceled" };
    const endings = Object.values(imports);
    // One that found nothing to resume has completed nothing.
    const isWhole = endings.length > 0 && endings.every(({ status }) => status === "completed");
    const starts = isWhole ? chainedStarts(flow, run, at, newId) : [];
    if (starts.length === 0) return { ...common, status: "completed" };
    return { ...common, status: "completed", next: { starts, maxQueued: limits.maxQueued } };
  }

  // The stored run has the message; the log has the stack as well, which names the line at fault.
  #logFailure({ _id, _flowId }: Run, error: PoundlockError): void {
    const message = error.code === "export_failed" ? "export failed" : "error in a run";
    this.#deps.log.error({ flowId: _flowId, runId: _id, code: error.code, err: error }, message);
  }

  // Each call is harmless to repeat, so a storage that fails for a moment does not cost a whole run.
  async #withRetries<T>(operation: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      return this.#again(operation, call, error);
    }
  }

  // Apart from the first call, which nearly always succeeds, and should cost one promise.
  async #again<T>(operation: string, call: () => Promise<T>, first: unknown): Promise<T> {
    const attempts = (attempt: number): Promise<T> => {
      if (attempt === 1) throw first;
      return call();
    };
    try {
      return await retry(this.#deps.clock, storageRetries, attempts);
    } catch (error) {
      throw isPoundlockError(error) ? error : new StorageFailedError(operation, error);
    }
  }

  #planRenewal(): void {
    if (this.#cancelRenewal !== undefined || this.#running.size === 0) return;
    this.#cancelRenewal = this.#deps.clock.setTimer(() => void this.#renew(), Math.ceil(this.#deps.leaseMs / 3));
  }

  async #renew(): Promise<void> {
    this.#cancelRenewal = undefined;
    // Planned before this call has resolved: one that never does would cost every lease.
    this.#planRenewal();
    const running = [...this.#running.values()];
    if (running.length === 0) return;
    try {
      const leases = running.map(({ lease }) => lease);
      const states = await this.#storage.renewLeases(leases, this.#deps.clock.now() + this.#deps.leaseMs);
      for (const [index, state] of states.entries()) this.#applyLeaseState(running[index], state);
    } catch (error) {
      this.#deps.emit("background:error", { error, during: "renewing leases" });
    }
  }

  #applyLeaseState(running: Running | undefined, state: "held" | "canceling" | "lost"): void {
    // A run that ended while its lease was being renewed has nothing left to lose.
    if (running === undefined || state === "held" || this.#running.get(running.lease._runId) !== running) return;
    // Nor has one that is just ending: a storage may do both in one transaction.
    if (state === "lost" && running.leaves) return;
    this.abort(running.lease._runId, state === "lost" ? "lost" : "cancel");
  }

  #lose(running: Running): void {
    if (running.lost) return;
    running.lost = true;
    this.#deps.emit("lease:lost", { run: running.run });
  }
}

/** What the flow uses and the catalog does not have. */
export function missingParts(flow: Flow, catalog: Catalog): readonly MissingPart[] {
  const { _exportId } = flow;
  const missing: MissingPart[] =
    catalog.findExport(_exportId) === undefined ? [{ kind: "export", _id: _exportId }] : [];
  for (const _id of importIdsOf(flow)) if (catalog.findImport(_id) === undefined) missing.push({ kind: "import", _id });
  return missing;
}

const abortMessages: Readonly<Record<AbortReason, string>> = {
  cancel: "the run was canceled",
  stop: "the scheduler stops",
  lost: "another process has reclaimed the run",
};

/** How the step of a run went. */
function stepResultOf({ error, left }: Running): ResultOf<"run"> {
  if (left === undefined) return { outcome: "lost", error };
  const { numError, numIgnore, numSuccess, status } = left;
  const counts = { numSuccess, numError, numIgnore };
  if (status === "failed") return { outcome: "failed", counts, error };
  return { outcome: status === "completed" || status === "queued" ? status : "canceled", counts };
}

function failed(run: Run, error: PoundlockError): RunResult {
  return { end: "failed", run, error, ending: { imports: {}, places: [], needsResume: false } };
}

function resumeStart({ _id: _flowId }: Flow, at: number, newId: () => string): RunStart {
  return { _id: newId(), _flowId, trigger: "resume", queuedAt: new Date(at).toISOString() };
}

// The runs that follow a run which completed, one for each flow that did not lead to it.
function chainedStarts(flow: Flow, run: Run, at: number, newId: () => string): readonly RunStart[] {
  if (run.trigger === "retry" || run.limit !== undefined) return [];
  if (flow._runNextFlowIds === undefined) return [];
  const queuedAt = new Date(at).toISOString();
  const chain = Object.freeze([...(run.chain ?? []), flow._id]);
  return flow._runNextFlowIds
    .filter((_flowId) => !chain.includes(_flowId))
    .map((_flowId) => ({ _id: newId(), _flowId, trigger: "chained", queuedAt, chain }));
}

function reasonOf(error: PoundlockError): RunError {
  return { code: error.code, message: error.message };
}
