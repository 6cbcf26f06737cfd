import { type Cancel, type Clock, Pace, pause } from "../clock.ts";
import { LeaseLostError, NotFoundError, type PoundlockError, StorageFailedError, isPoundlockError } from "../errors.ts";
import type { Export } from "../model/export.ts";
import { importIdsOf } from "../model/flow.ts";
import type { Import } from "../model/import.ts";
import type { Logger } from "../model/logger.ts";
import type { Run, RunError } from "../model/run.ts";
import type { Hold, RunEnding, Storage, Taken } from "../storage/storage.ts";
import { type RunLimits, type RunResult, type RunTold, executeRun } from "./execute-run.ts";

/** Everything a runner needs. */
export interface RunnerParts {
  readonly storage: Storage;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly limits: RunLimits;
  readonly leaseMs: number;
  readonly newId: () => string;
  readonly log: Logger;
  readonly told: RunnerTold;
}

/** Host code by its `_id`. */
export interface Catalog {
  findExport(_id: string): Export<unknown> | undefined;
  findImport(_id: string): Import<unknown> | undefined;
}

/** What a runner tells, beside what its runs tell. */
export interface RunnerTold extends RunTold {
  started(run: Run): void;
  ended(run: Run): void;
  released(run: Run): void;
  lost(run: Run): void;
  trouble(error: unknown, during: string): void;
}

/** Why a run is aborted: somebody canceled it, this process stops, or another one has taken it over. */
export type AbortReason = "cancel" | "stop" | "lost";

/** How often a storage call that failed is made in all before the run is left to whoever finds its lease expired. */
const storageAttempts = 3;

/** A run that is running here. */
interface Running {
  readonly run: Run;
  readonly hold: Hold;
  readonly abort: AbortController;
  reason: AbortReason | undefined;
  /** Somebody else runs it now, and that was told. */
  lost: boolean;
}

/** A run that is being taken; it is aborted as soon as it is, if it has a reason by then. */
interface Claim {
  readonly token: string;
  reason: AbortReason | undefined;
}

/**
 * Runs runs: takes a flow's oldest waiting one under a lease, executes it, ends it. All leases held here are renewed
 * together, at a third of their length; a run whose lease is lost is aborted, and nothing it does counts any more.
 */
export class Runner {
  readonly #parts: RunnerParts;
  readonly #running = new Map<string, Running>();
  readonly #pace: Pace;
  readonly #storage: Storage;
  /** Every claim has a token of its own: this runner's id and a number. */
  readonly #id: string;
  #claimed = 0;
  readonly #claims = new Set<Claim>();
  // Read once: the environment is slow to ask.
  readonly #inProduction = process.env.NODE_ENV === "production";
  #cancelRenewal: Cancel | undefined;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#pace = new Pace(parts.clock);
    this.#storage = parts.storage;
    this.#id = parts.newId();
  }

  /** Runs the flow's oldest waiting run to its end. True: more of them wait. Never rejects. */
  async runNext(_flowId: string): Promise<boolean> {
    const claim: Claim = { token: `${this.#id}/${++this.#claimed}`, reason: undefined };
    this.#claims.add(claim);
    try {
      const taken = await this.#patiently("takeRun", () => this.#take(_flowId, claim.token));
      return taken === undefined ? false : await this.#runTaken(taken, claim);
    } catch (error) {
      this.#parts.told.trouble(error, `running flow ${_flowId}`);
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

  /** Aborts every run that is running here, or is just being taken. */
  abortAll(reason: AbortReason): void {
    for (const claim of this.#claims) claim.reason ??= reason;
    for (const _runId of [...this.#running.keys()]) this.abort(_runId, reason);
  }

  /** Renews no more leases: what is still running here is taken back when its lease has run out. */
  stop(): void {
    this.#cancelRenewal?.();
    this.#cancelRenewal = undefined;
    this.#running.clear();
  }

  #take(_flowId: string, token: string): Promise<Taken | undefined> {
    const at = this.#parts.clock.now();
    return this.#storage.takeRun(_flowId, { token, at, until: at + this.#parts.leaseMs });
  }

  async #runTaken(taken: Taken, claim: Claim): Promise<boolean> {
    const hold = { _runId: taken.run._id, token: claim.token };
    const running: Running = { run: taken.run, hold, abort: new AbortController(), reason: undefined, lost: false };
    this.#running.set(hold._runId, running);
    this.#claims.delete(claim);
    if (claim.reason !== undefined) this.abort(hold._runId, claim.reason);
    this.#planRenewal();
    try {
      this.#parts.told.started(taken.run);
      return await this.#conclude(running, await this.#execute(taken, running));
    } catch (error) {
      if (!(error instanceof LeaseLostError)) throw error;
      this.#lose(running);
      return false;
    } finally {
      // After a new start this process may be running it again, while the code left behind ends only now.
      if (this.#running.get(hold._runId) === running) this.#running.delete(hold._runId);
    }
  }

  async #execute(taken: Taken, running: Running): Promise<RunResult> {
    const { catalog, clock, limits, newId, log, told } = this.#parts;
    const { flow, run } = taken;
    const from = catalog.findExport(flow._exportId);
    if (from === undefined) return failed(run, new NotFoundError("export", flow._exportId));
    const imports = new Map<string, Import<unknown>>();
    for (const _importId of importIdsOf(flow)) {
      const into = catalog.findImport(_importId);
      if (into === undefined) return failed(run, new NotFoundError("import", _importId));
      imports.set(_importId, into);
    }
    const { hold, abort } = running;
    const storage: Pick<Storage, "commitPage" | "readInbox" | "listFailures"> = {
      commitPage: (...call) => this.#patiently("commitPage", () => this.#storage.commitPage(...call)),
      readInbox: (...call) => this.#patiently("readInbox", () => this.#storage.readInbox(...call)),
      listFailures: (...call) => this.#patiently("listFailures", () => this.#storage.listFailures(...call)),
    };
    // Frozen records make an import that changes them fail where its author sees it. In production only imports that
    // share records need that.
    const freeze = !this.#inProduction || imports.size > 1;
    const { signal } = abort;
    const parts = { clock, pace: this.#pace, signal, limits, freeze, newId, log, told };
    return executeRun({ taken, hold, export: from, imports, storage, ...parts });
  }

  async #conclude(running: Running, result: RunResult): Promise<boolean> {
    if (result.end === "aborted" && running.reason === "stop") {
      const released = await this.#patiently("releaseRun", () => this.#storage.releaseRun(running.hold));
      if (released !== undefined) {
        this.#parts.told.released(released);
        return false;
      }
    }
    if (result.end === "failed") this.#logFailure(running.run, result.error);
    const ending = { ...endingOf(result), at: this.#parts.clock.now() };
    const ended = await this.#patiently("endRun", () => this.#storage.endRun(running.hold, ending));
    if (ended === undefined) throw new LeaseLostError(running.hold._runId);
    this.#parts.told.ended(ended.run);
    return ended.more;
  }

  // The stored run has the message; here is the stack as well, for who looks for the line at fault.
  #logFailure({ _id, _flowId }: Run, error: PoundlockError): void {
    this.#parts.log.error({ flowId: _flowId, runId: _id, code: error.code, err: error }, "the run failed");
  }

  // Each call is harmless to repeat, so a storage that falters for a moment does not cost a whole run.
  async #patiently<T>(operation: string, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        if (attempt >= storageAttempts)
          throw isPoundlockError(error) ? error : new StorageFailedError(operation, error);
        await pause(this.#parts.clock, attempt * 100);
      }
    }
  }

  #planRenewal(): void {
    if (this.#cancelRenewal !== undefined || this.#running.size === 0) return;
    this.#cancelRenewal = this.#parts.clock.setTimer(() => void this.#renew(), Math.ceil(this.#parts.leaseMs / 3));
  }

  async #renew(): Promise<void> {
    this.#cancelRenewal = undefined;
    // Planned before this one has its answer: an answer that never comes would cost every lease.
    this.#planRenewal();
    const running = [...this.#running.values()];
    if (running.length === 0) return;
    try {
      const holds = running.map(({ hold }) => hold);
      const answers = await this.#storage.renewLeases(holds, this.#parts.clock.now() + this.#parts.leaseMs);
      for (const [index, answer] of answers.entries()) this.#heed(running[index], answer);
    } catch (error) {
      this.#parts.told.trouble(error, "renewing leases");
    }
  }

  #heed(running: Running | undefined, answer: "held" | "canceling" | "lost"): void {
    // A run that ended while the answer was on its way has nothing left to lose.
    if (running === undefined || answer === "held" || this.#running.get(running.hold._runId) !== running) return;
    this.abort(running.hold._runId, answer === "lost" ? "lost" : "cancel");
  }

  #lose(running: Running): void {
    if (running.lost) return;
    running.lost = true;
    this.#parts.told.lost(running.run);
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
