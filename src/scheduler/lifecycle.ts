import { type Clock, isAborted, within } from "../clock.ts";
import { ConflictError, ExecutorFailedError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Executor, RunNextResult, WorkerOptions } from "../executor/executor.ts";
import type { Role } from "../model/worker-process.ts";
import type { Runner } from "../run/runner.ts";

/** `stopped` at first, and again after `stop`. */
export type SchedulerState = "stopped" | "starting" | "started" | "stopping";

/** What works from `start` until `stop`. */
export interface Part {
  /** Resolves when it works. Once `signal` has aborted it begins nothing more, also if this has not resolved by then. */
  start(signal: AbortSignal): Promise<void> | void;
  /** Called once the signal has aborted. Resolves when nothing of it goes on any more, or after `graceMs`. */
  stop(graceMs: number): Promise<void> | void;
}

/** Everything a lifecycle needs. */
export interface LifecycleDeps {
  readonly clock: Clock;
  readonly executor: Executor;
  /** What this process is there for. Without `run` the executor only wakes others. */
  readonly roles: readonly Role[];
  readonly concurrency: number;
  readonly exports: { readonly exportIds: readonly string[] };
  readonly runner: Pick<Runner, "runNext" | "abortAll" | "stop">;
  /** Started one after the other, once the executor works. */
  readonly parts: readonly Part[];
  readonly emit: Emit<SchedulerEvents>;
}

/** How long running code may go on after it was aborted, in milliseconds, before `stop` leaves it behind. */
export const abortGraceMs = 1_000;

/**
 * Starts and stops the executor and the parts. Every start has an AbortController of its own, which its stop aborts: a
 * call that a stop left behind finds its signal aborted when it resolves after all, and does not go on.
 */
export class Lifecycle {
  readonly #deps: LifecycleDeps;
  #state: SchedulerState = "stopped";
  #current = new AbortController();
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #hasStopped = false;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  /** `started` as soon as the executor is, while the parts are being started. */
  get state(): SchedulerState {
    return this.#state;
  }

  /** @throws `conflict` unless it is stopped, or if it is stopped before it has started; what a part throws. */
  async start(): Promise<void> {
    if (this.#state !== "stopped") throw new ConflictError(`The scheduler is ${this.#state} already`);
    this.#state = "starting";
    this.#current = new AbortController();
    const { signal } = this.#current;
    const starting = this.#startAll(signal).finally(() => {
      if (this.#starting === starting) this.#starting = undefined;
    });
    this.#starting = starting;
    await starting;
  }

  /** Of one that was never started, ends what follows it. Resolves at the latest a second after `graceMs`, also if something ignores its signal: that is left behind. */
  async stop(graceMs: number): Promise<void> {
    const { clock } = this.#deps;
    const settled = this.#starting?.catch(() => undefined);
    // A start that went on would start what this has stopped.
    const inTime = settled === undefined || (await within(clock, graceMs, settled));
    if (this.#state !== "stopped") await this.#end(inTime ? graceMs : 0);
    // Whoever follows one that was never started waits for its end, too.
    else if (!this.#hasStopped) this.#hasEnded();
  }

  async #startAll(signal: AbortSignal): Promise<void> {
    try {
      await Promise.race([this.#startInOrder(signal), rejection(signal)]);
    } catch (error) {
      if (!isAborted(signal)) await this.#end(0);
      throw error;
    }
  }

  async #startInOrder(signal: AbortSignal): Promise<void> {
    const { executor, parts, roles } = this.#deps;
    try {
      if (roles.includes("run")) await executor.start(new Work(this.#deps)).catch(throwExecutorFailed);
      signal.throwIfAborted();
      this.#state = "started";
      for (const part of parts) {
        await part.start(signal);
        signal.throwIfAborted();
      }
    } catch (error) {
      // Left behind by a stop, it may have started the executor after that was stopped.
      if (isAborted(signal) && this.#isStopped()) await executor.stop().catch(() => undefined);
      throw error;
    }
  }

  #isStopped(): boolean {
    return this.#state === "stopped";
  }

  #end(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stopAll(graceMs).finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #stopAll(graceMs: number): Promise<void> {
    const { clock, executor, parts, runner, emit } = this.#deps;
    this.#state = "stopping";
    this.#current.abort(new ConflictError("The scheduler was stopped before it had started"));
    const partsStopped = within(
      clock,
      graceMs + abortGraceMs,
      Promise.all(parts.map(async (part) => part.stop(graceMs))),
    );
    const executorStopped = executor
      .stop()
      .catch((error: unknown) =>
        emit("background:error", { error: new ExecutorFailedError(error), during: "stopping the executor" }),
      );
    if (!(await within(clock, graceMs, executorStopped))) {
      runner.abortAll("stop");
      await within(clock, abortGraceMs, executorStopped);
    }
    await partsStopped;
    runner.stop();
    this.#state = "stopped";
    this.#hasEnded();
  }

  #hasEnded(): void {
    this.#hasStopped = true;
    this.#deps.emit("scheduler:stopped", {});
  }
}

/** What the executor is started with. */
class Work implements WorkerOptions {
  readonly #deps: Pick<LifecycleDeps, "concurrency" | "emit" | "exports" | "runner">;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  get concurrency(): number {
    return this.#deps.concurrency;
  }

  get exportIds(): readonly string[] {
    return this.#deps.exports.exportIds;
  }

  runNext(_flowId: string): Promise<RunNextResult> {
    return this.#deps.runner.runNext(_flowId);
  }

  reportError(error: unknown, during: string): void {
    this.#deps.emit("background:error", { error: new ExecutorFailedError(error), during });
  }
}

/** Rejects with the signal's reason once it aborts. */
function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}

function throwExecutorFailed(error: unknown): never {
  throw new ExecutorFailedError(error);
}
