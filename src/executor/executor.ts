/**
 * Where runs execute. An executor carries wake-ups and nothing else: the queue of waiting runs is in the storage. A
 * wake-up too many finds nothing to do, and one that is lost is replaced by the scheduler's maintenance.
 */
export interface Executor {
  /**
   * Begins to call `work.runNext` for each wake-up. Promises: at most one call per flow at a time in this process, at
   * most `work.concurrency` calls at once, and flows take turns, however many wake-ups one of them has.
   */
  start(work: WorkerOptions): Promise<void>;
  /**
   * Makes some process call `runNext(flowId)` at least once after this call: a wake-up that comes while the flow runs
   * leads to one more call. Several wake-ups may lead to the same call.
   */
  wake(flowId: string): Promise<void>;
  /** Begins no more calls, drops the wake-ups that have led to none yet, and resolves when the calls under way have ended. */
  stop(): Promise<void>;
}

/** The work that an executor is started with. */
export interface WorkerOptions {
  /** Executes the flow's oldest waiting run to its end. Never rejects. */
  runNext(flowId: string): Promise<RunNextResult>;
  /** Calls at once in this process; 1 or more. */
  readonly concurrency: number;
}

/**
 * True: more runs of the flow wait, so it is to be called again in turn. False: there is nothing more to do.
 * `notBefore`: runs wait, but none of them may begin before that instant (epoch milliseconds). Calling earlier only
 * finds that again, so an executor does not call by itself; the scheduler wakes the flow when the time has come. An
 * engine with delayed jobs may plan one for that instant instead.
 */
export type RunNextResult = boolean | { readonly notBefore: number };
