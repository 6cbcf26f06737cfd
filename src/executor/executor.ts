/**
 * Where runs execute. An executor carries wake-ups and nothing else: the queue of waiting runs is in the storage. A
 * wake-up too many finds nothing to do, and one that is lost is replaced by the scheduler's maintenance.
 *
 * A job that an engine carries a wake-up with ends when the flow's call has begun, not when the run has ended: the
 * process waits for a free slot, begins the call and acknowledges the job. The run's lease covers the rest, so that no
 * lock, no timeout and no retry of an engine's ever touches a run. Wake-ups are sent in portions, those of one turn of the
 * event loop together: one query each would keep an engine from its own work.
 */
export interface Executor {
  /** Decides which conformance cases apply. */
  readonly capabilities: ExecutorCapabilities;
  /**
   * Begins to call `work.runNext` for each wake-up. Promises: at most one call per flow at a time in this process, and at
   * most `work.concurrency` calls at once. A flow that has more to do goes on where it is while no other flow waits
   * there; otherwise it waits behind the others, so that flows take turns, however many wake-ups one of them has.
   */
  start(work: WorkerOptions): Promise<void>;
  /**
   * Makes some process that has the export call `runNext(_flowId)` at least once after this call: a wake-up that comes
   * while the flow runs leads to one more call. Several wake-ups of a flow may lead to the same call. May come before
   * `start`, and without one: a process that executes nothing wakes others, if the executor is durable.
   */
  wake(_flowId: string, _exportId: string): Promise<void>;
  /**
   * Begins no more calls, and resolves when the calls under way have ended. Wake-ups that have led to no call yet are
   * dropped, or left to another process and to the next start, if the executor is durable.
   */
  stop(): Promise<void>;
}

/** What an executor can do beyond the contract. */
export interface ExecutorCapabilities {
  /** Wake-ups are kept where other processes find them, and outlive `stop`. */
  readonly durable: boolean;
  /** A wake-up leads to a call only in a process whose `work.exportIds` has its export. */
  readonly routes: boolean;
}

/** The work that an executor is started with. */
export interface WorkerOptions {
  /** Executes the flow's oldest waiting run to its end. Never rejects. */
  runNext(_flowId: string): Promise<RunNextResult>;
  /** Calls at once in this process; 1 or more. */
  readonly concurrency: number;
  /** The exports that this process has now. Others may be added: read it each time. */
  readonly exportIds: readonly string[];
  /**
   * Takes what failed in the background, and is tried again; `during` says what was being done. The scheduler emits it as
   * `background:error`. Absent where nobody listens.
   */
  reportError?(error: unknown, during: string): void;
}

/**
 * True: more runs of the flow wait, so it is to be called again in turn. False: there is nothing more to do.
 * `notBefore`: runs wait, but none of them may begin before that instant (epoch milliseconds). Calling earlier only
 * finds that again, so an executor does not call by itself; the scheduler wakes the flow when the time has come. An
 * engine with delayed jobs may plan one for that instant instead.
 */
export type RunNextResult = boolean | { readonly notBefore: number };
