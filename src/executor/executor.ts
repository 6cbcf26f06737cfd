/**
 * Where runs execute. An executor carries wake-ups and nothing else: the waiting line is the storage's, so a wake-up
 * too many finds nothing to do, and a lost one is made up for by the scheduler's sweep.
 */
export interface Executor {
  /**
   * Begins to answer wake-ups with `work.runNext`. Promises: at most one call for a flow at a time in this process,
   * at most `work.concurrency` calls at once, and flows take turns, however many wake-ups one of them has.
   */
  start(work: WorkerOptions): Promise<void>;
  /**
   * Makes some process call `runNext(flowId)` once or more, after this and not before: a wake-up that comes while
   * the flow runs is answered by one more call. Many of them may be answered by the same call.
   */
  wake(flowId: string): Promise<void>;
  /** Begins no more calls, and resolves when those that go on have ended. Wake-ups not answered yet are forgotten. */
  stop(): Promise<void>;
}

/** What an executor is to do. */
export interface WorkerOptions {
  /** Runs the flow's oldest waiting run to its end. True: more of them wait, so call again in turn. Never rejects. */
  runNext(flowId: string): Promise<boolean>;
  /** Calls at once in this process; 1 or more. */
  readonly concurrency: number;
}
