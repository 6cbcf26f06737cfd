import { type CancelTimer, type Clock, Yielder, delay } from "../clock.ts";
import { LeaseLostError, NotFoundError, type PoundlockError, StorageFailedError, isPoundlockError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Export } from "../model/export.ts";
import { importIdsOf } from "../model/flow.ts";
import type { Import } from "../model/import.ts";
import type { Logger } from "../model/logger.ts";
import type { Run, RunError } from "../model/run.ts";
import type { RunLease, RunEnding, Storage, ClaimedRun } from "../storage/storage.ts";
import { type RunLimits, type RunResult, executeRun } from "./execute-run.ts";

/** Everything a runner needs. */
export interface RunnerDeps {
  readonly storage: Storage;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly limits: RunLimits;
  readonly leaseMs: number;
  readonly newId: () => string;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
  /** A run has ended here, completed, failed or canceled. */
  readonly onEnded: (run: Run) => void;
}

/** Host code by its `_id`. */
export interface Catalog {
  findExport(_id: string): Export<unknown> | undefined;
  findImport(_id: string): Import<unknown> | undefined;
}

/** Why a run is aborted: somebody canceled it, this process stops, or another one has claimed it over. */
export type AbortReason = "cancel" | "stop" | "lost";

/** How often a storage call that failed is made in all before the run is left to whoever finds its lease expired. */
const storageAttempts = 3;

/** A run that is running here. */
interface Running {
  readonly run: Run;
  readonly lease: RunLease;
  readonly abort: AbortController;
  reason: AbortReason | undefined;
  /** Somebody else runs it now, and that was told. */
  lost: boolean;
}

/** A run that is being claimed; it is aborted as soon as it is, if it has a reason by then. */
interface Claim {
  readonly token: string;
  reason: AbortReason | undefined;
}

/**
 * Runs runs: takes a flow's oldest waiting one under a lease, executes it, ends it. All leases held here are renewed
 * together, at a third of their length; a run whose lease is lost is aborted, and nothing it does counts any more.
 */
export class Runner {
  readonly #deps: RunnerDeps;
  readonly #running = new Map<string, Running>();
  readonly #pace: Yielder;
  readonly #storage: Storage;
  /** Every claim has a token of its own: this runner's id and a number. */
  readonly #id: string;
  #claimed = 0;
  readonly #claims = new Set<Claim>();
  // Read once: the environment is slow to ask.
  readonly #inProduction = process.env.NODE_ENV === "production";
  #cancelRenewal: CancelTimer | undefined;

  constructor(deps: RunnerDeps) {
    this.#deps = deps;
    this.#pace = new Yielder(deps.clock);
    this.#storage = deps.storage;
    this.#id = deps.newId();
  }

  /** Runs the flow's oldest waiting run to its end. True: more of them wait. Never rejects. */
  async runNext(_flowId: string): Promise<boolean> {
    const claim: Claim = { token: `${this.#id}/${++this.#claimed}`, reason: undefined };
    this.#claims.add(claim);
    try {
      const claimed = await this.#withRetries("claimRun", () => this.#claim(_flowId, claim.token));
      return claimed === undefined ? false : await this.#runClaimed(claimed, claim);
    } catch (error) {
      this.#deps.emit("background:error", { error, during: `running flow ${_flowId}` });
      return false;
    } finally {
      this.#claims.delete(claim);
    }
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

  /** Renews no more leases: what is still running here is claimed back when its lease has run out. */
  stop(): void {
    this.#cancelRenewal?.();
    this.#cancelRenewal = undefined;
    this.#running.clear();
  }

  #claim(_flowId: string, token: string): Promise<ClaimedRun | undefined> {
    const at = this.#deps.clock.now();
    return this.#storage.claimRun(_flowId, { token, at, until: at + this.#deps.leaseMs });
  }

  async #runClaimed(claimed: ClaimedRun, claim: Claim): Promise<boolean> {
    const lease = { _runId: claimed.run._id, token: claim.token };
    const running: Running = { run: claimed.run, lease, abort: new AbortController(), reason: undefined, lost: false };
    this.#running.set(lease._runId, running);
    this.#claims.delete(claim);
    if (claim.reason !== undefined) this.abort(lease._runId, claim.reason);
    this.#planRenewal();
    try {
      this.#deps.emit("run:started", { run: claimed.run });
      return await this.#conclude(running, await this.#execute(claimed, running));
    } catch (error) {
      if (!(error instanceof LeaseLostError)) throw error;
      this.#lose(running);
      return false;
    } finally {
      // After a new start this process may be running it again, while the code left behind ends only now.
      if (this.#running.get(lease._runId) === running) this.#running.delete(lease._runId);
    }
  }

  async #execute(claimed: ClaimedRun, running: Running): Promise<RunResult> {
    const { catalog, clock, limits, newId, log, emit } = this.#deps;
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
    const storage: Pick<Storage, "commitPage" | "readInbox" | "listFailures"> = {
      commitPage: (...call) => this.#withRetries("commitPage", () => this.#storage.commitPage(...call)),
      readInbox: (...call) => this.#withRetries("readInbox", () => this.#storage.readInbox(...call)),
      listFailures: (...call) => this.#withRetries("listFailures", () => this.#storage.listFailures(...call)),
    };
    // Frozen records make an import that changes them fail where its author sees it. In production only imports that
    // share records need that.
    const freeze = !this.#inProduction || imports.size > 1;
    const { signal } = abort;
    const parts = { clock, pace: this.#pace, signal, limits, freeze, newId, log, emit };
    return executeRun({ claimed, lease, export: from, imports, storage, ...parts });
  }

  async #conclude(running: Running, result: RunResult): Promise<boolean> {
    if (result.end === "aborted" && running.reason === "stop") {
      const released = await this.#withRetries("releaseRun", () => this.#storage.releaseRun(running.lease));
      if (released !== undefined) {
        this.#deps.emit("run:requeued", { run: released, reason: "stop" });
        return false;
      }
    }
    if (result.end === "failed") this.#logFailure(running.run, result.error);
    const ending = { ...endingOf(result), at: this.#deps.clock.now() };
    const ended = await this.#withRetries("endRun", () => this.#storage.endRun(running.lease, ending));
    if (ended === undefined) throw new LeaseLostError(running.lease._runId);
    this.#deps.onEnded(ended.run);
    return ended.more;
  }

  // The stored run has the message; here is the stack as well, for who looks for the line at fault.
  #logFailure({ _id, _flowId }: Run, error: PoundlockError): void {
    this.#deps.log.error({ flowId: _flowId, runId: _id, code: error.code, err: error }, "the run failed");
  }

  // Each call is harmless to repeat, so a storage that falters for a moment does not cost a whole run.
  async #withRetries<T>(operation: string, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        if (attempt >= storageAttempts)
          throw isPoundlockError(error) ? error : new StorageFailedError(operation, error);
        await delay(this.#deps.clock, attempt * 100);
      }
    }
  }

  #planRenewal(): void {
    if (this.#cancelRenewal !== undefined || this.#running.size === 0) return;
    this.#cancelRenewal = this.#deps.clock.setTimer(() => void this.#renew(), Math.ceil(this.#deps.leaseMs / 3));
  }

  async #renew(): Promise<void> {
    this.#cancelRenewal = undefined;
    // Planned before this one has its answer: an answer that never comes would cost every lease.
    this.#planRenewal();
    const running = [...this.#running.values()];
    if (running.length === 0) return;
    try {
      const leases = running.map(({ lease }) => lease);
      const answers = await this.#storage.renewLeases(leases, this.#deps.clock.now() + this.#deps.leaseMs);
      for (const [index, answer] of answers.entries()) this.#heed(running[index], answer);
    } catch (error) {
      this.#deps.emit("background:error", { error, during: "renewing leases" });
    }
  }

  #heed(running: Running | undefined, answer: "held" | "canceling" | "lost"): void {
    // A run that ended while the answer was on its way has nothing left to lose.
    if (running === undefined || answer === "held" || this.#running.get(running.lease._runId) !== running) return;
    this.abort(running.lease._runId, answer === "lost" ? "lost" : "cancel");
  }

  #lose(running: Running): void {
    if (running.lost) return;
    running.lost = true;
    this.#deps.emit("lease:lost", { run: running.run });
  }
}

const abortMessages: Readonly<Record<AbortReason, string>> = {
  cancel: "the run was canceled",
  stop: "the scheduler stops",
  lost: "another process took the run over",
};

function failed(run: Run, error: PoundlockError): RunResult {
  return { end: "failed", run, error };
}

function endingOf(result: RunResult): Omit<RunEnding, "at"> {
  switch (result.end) {
    case "completed":
      return { status: "completed", ...(result.checkpoint === undefined ? {} : { checkpoint: result.checkpoint }) };
    case "failed":
      return { status: "failed", error: reasonOf(result.error) };
    case "aborted":
      return { status: "canceled" };
  }
}

function reasonOf(error: PoundlockError): RunError {
  return { code: error.code, message: error.message };
}
