import { type Clock, delay, isAborted } from "../clock.ts";
import { ImportFailedError } from "../errors.ts";
import type { FinishContext, Import } from "../model/host/import.ts";
import type { Logger } from "../model/logger.ts";
import { messageOf } from "../model/message.ts";
import { outcomeOf } from "../model/host/outcome.ts";
import type { Run } from "../model/run.ts";
import { defaultWriteTimeoutMs, timeoutGraceMs } from "./destination/write-batch.ts";
import { retryDelay, waitMsOf } from "./retry.ts";
import type { RunJob } from "./run-job.ts";

/** One import that all is read for. */
export interface Finishing {
  readonly _importId: string;
  readonly import: Import<unknown>;
  readonly whole: boolean;
  readonly run: Run;
  readonly log: Logger;
}

/**
 * Calls an import's `finish`, again for as long as it throws `retryLater`. Resolves with what the run fails with; with
 * undefined if all is well, or the run was aborted.
 */
export async function finishImport(job: RunJob, finishing: Finishing): Promise<ImportFailedError | undefined> {
  const { clock, emit, limits, signal } = job;
  const { _importId, run } = finishing;
  for (let attempt = 1; !isAborted(signal); attempt++) {
    try {
      await callFinish(job, finishing);
      return undefined;
    } catch (error) {
      if (isAborted(signal)) return undefined;
      const outcome = outcomeOf(error);
      const afterMs = outcome?.kind === "retryLater" ? waitMsOf(outcome.afterMs, clock.now()) : Infinity;
      // A longer wait is left to the next run, which finishes what this one has not.
      if (attempt >= limits.maxAttempts || afterMs > limits.maxWaitMs) return new ImportFailedError(_importId, error);
      const delayMs = retryDelay(attempt, limits.backoff, afterMs);
      emit("run:retrying", { run, _importId, attempt, delayMs, message: messageOf(error) });
      await delay(clock, delayMs, signal);
    }
  }
  return undefined;
}

async function callFinish({ claimed, clock, signal }: RunJob, finishing: Finishing): Promise<void> {
  const { import: into, whole, run, log } = finishing;
  const { writeTimeoutMs = defaultWriteTimeoutMs } = into;
  const timeout = new FinishTimeout(clock, writeTimeoutMs, signal);
  const context: FinishContext = { whole, run, flow: claimed.flow, signal: timeout.signal, log };
  const finished = (async () => into.finish?.(context))();
  finished.catch(() => undefined);
  try {
    await Promise.race([finished, timeout.over]);
  } finally {
    timeout.end();
  }
}

/** Aborts a call when its time is over, or the run is aborted; a second later the call is left behind. */
class FinishTimeout {
  readonly #controller = new AbortController();
  readonly #run: AbortSignal;
  readonly #abort: () => void;
  #cancel: () => void;
  /** Rejects when the call is to be left behind. */
  readonly over: Promise<never>;

  constructor(clock: Clock, limitMs: number, run: AbortSignal) {
    this.#run = run;
    let leave: (reason: unknown) => void = () => undefined;
    this.over = new Promise((_, reject) => (leave = reject));
    this.over.catch(() => undefined);
    const abort = (reason: unknown) => {
      this.#controller.abort(reason);
      this.#cancel();
      this.#cancel = clock.setTimer(() => leave(reason), timeoutGraceMs);
    };
    this.#cancel = clock.setTimer(() => abort(new Error(`finish did not return within ${limitMs} ms`)), limitMs);
    this.#abort = () => abort(run.reason);
    run.addEventListener("abort", this.#abort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    this.#cancel();
    this.#run.removeEventListener("abort", this.#abort);
  }
}
