import { setMaxListeners } from "node:events";
import type { Flow } from "../../model/flow/flow.ts";
import type { ImportContext } from "../../model/host/import.ts";
import type { Logger } from "../../model/logger.ts";
import type { Run } from "../../model/run.ts";
import type { Batch } from "./batch.ts";

/** Where calls of an import's code come from: one import in one run. */
export interface CallOrigin {
  readonly _importId: string;
  readonly run: Run;
  readonly flow: Flow;
  readonly log: Logger;
  readonly attempts: AttemptSignals;
}

/**
 * What one call of `write` or `find` is given. A class, since the hidden class of a literal with a getter keeps every
 * batch alive until a full collection. What few imports ask for (keys, a signal) is made when it is asked for.
 */
export class WriteContext implements ImportContext {
  readonly attempt: number;
  readonly page: number;
  readonly run: Run;
  readonly flow: Flow;
  readonly log: Logger;
  readonly #batch: Batch;
  readonly #origin: CallOrigin;
  #keys: readonly string[] | undefined;
  #idempotencyKeys: readonly string[] | undefined;
  #controller: AbortController | undefined;
  #abortReason: unknown;
  #ended = false;

  constructor(batch: Batch, attempt: number, origin: CallOrigin) {
    this.attempt = attempt;
    this.page = batch.keys.page ?? 1;
    this.run = origin.run;
    this.flow = origin.flow;
    this.log = origin.log;
    this.#batch = batch;
    this.#origin = origin;
  }

  get keys(): readonly string[] {
    return (this.#keys ??= this.#each((index) => this.#batch.keyOf(index)));
  }

  get idempotencyKeys(): readonly string[] {
    const to = { _flowId: this.flow._id, _importId: this.#origin._importId };
    return (this.#idempotencyKeys ??= this.#each((index) => this.#batch.idempotencyKeyOf(index, to)));
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      // As many requests of one batch as the import likes may listen.
      setMaxListeners(0, this.#controller.signal);
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
      else if (!this.#ended) this.#origin.attempts.add(this);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(reason);
  }

  /** The call has ended, or is left behind. */
  end(): void {
    this.#ended = true;
    if (this.#controller !== undefined) this.#origin.attempts.delete(this);
  }

  #each(keyOf: (index: number) => string): readonly string[] {
    return Object.freeze(this.#batch.records.map((_, index) => keyOf(index)));
  }
}

/** The calls under way whose signal abort with the run. One listener on the run, however many calls there are. */
export class AttemptSignals {
  readonly #run: AbortSignal;
  readonly #open = new Set<WriteContext>();
  #listens = false;

  constructor(run: AbortSignal) {
    this.#run = run;
    // Each batch that waits for another attempt listens, too; a thousand of them are no leak.
    setMaxListeners(0, run);
  }

  add(context: WriteContext): void {
    this.#listen();
    if (this.#run.aborted) context.abort(this.#run.reason);
    else this.#open.add(context);
  }

  delete(context: WriteContext): void {
    this.#open.delete(context);
  }

  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    this.#run.addEventListener("abort", () => {
      for (const context of this.#open) context.abort(this.#run.reason);
    });
  }
}
