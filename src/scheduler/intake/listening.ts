import { type Clock, within } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { AcceptOptions, AcceptResult, Export, ListenContext, Unsubscribe } from "../../model/host/export.ts";
import { type Logger, withFields } from "../../model/logger.ts";
import { longestDelayMs, retry } from "../../run/retry.ts";

/** Everything a listening needs. */
export interface ListeningDeps {
  readonly clock: Clock;
  readonly accept: (records: readonly unknown[], options?: AcceptOptions) => Promise<AcceptResult>;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
}

/** How long `listen` may take, in milliseconds. What takes longer is aborted, left behind and called again. */
export const listenTimeoutMs = 60_000;

/** The delay before `listen` is called a second time, in milliseconds; doubled with each further one, at most a minute. */
const firstDelayMs = 1_000;

/** One export that is being listened on, from its construction until `end`. */
export class Listening {
  readonly #deps: ListeningDeps;
  readonly #_exportId: string;
  readonly #abort = new AbortController();
  readonly #leftBehind = new AbortController();
  /** Undefined: `listen` failed until the end. */
  readonly #subscribed: Promise<Unsubscribe | undefined>;

  constructor(_exportId: string, source: Export<unknown>, deps: ListeningDeps) {
    this.#deps = deps;
    this.#_exportId = _exportId;
    this.#subscribed = this.#subscribe(source);
  }

  /** Aborts the signal that `listen` was given, and unsubscribes. What has not ended after `limitMs` is left behind. */
  async end(limitMs: number): Promise<void> {
    this.#abort.abort(new Error("listening ends"));
    const { clock } = this.#deps;
    try {
      if (!(await within(clock, limitMs, this.#unsubscribe())))
        throw new Error(`unsubscribing did not end within ${limitMs} ms`);
    } catch (error) {
      this.#failed(error, 0);
    } finally {
      this.#leftBehind.abort();
    }
  }

  async #unsubscribe(): Promise<void> {
    const unsubscribe = await this.#subscribed;
    await unsubscribe?.();
  }

  async #subscribe(source: Export<unknown>): Promise<Unsubscribe | undefined> {
    const { signal } = this.#abort;
    const rule = {
      signal,
      delayMs: (attempt: number) => Math.min(longestDelayMs, firstDelayMs * 2 ** (attempt - 1)),
      onRetry: (error: unknown, _: number, delayMs: number) => this.#failed(error, delayMs),
    };
    try {
      return await retry(this.#deps.clock, rule, () => this.#listen(source));
    } catch {
      // It failed while it was being ended: nothing is left to unsubscribe from.
      return undefined;
    }
  }

  async #listen(source: Export<unknown>): Promise<Unsubscribe | undefined> {
    const { clock, accept, log } = this.#deps;
    const attempt = new AbortController();
    const abort = () => attempt.abort(this.#abort.signal.reason);
    this.#abort.signal.addEventListener("abort", abort);
    try {
      const context = { accept, signal: attempt.signal, log: withFields(log, { exportId: this.#_exportId }) };
      const subscribed = callListen(source, context);
      if (await within(clock, listenTimeoutMs, subscribed, this.#leftBehind.signal)) return await subscribed;
      attempt.abort(new Error("listen took too long"));
      // It may connect after all; then nothing else would ever unsubscribe.
      subscribed.then((unsubscribe) => unsubscribe?.()).catch((error: unknown) => this.#failed(error, 0));
      throw new Error(`listen did not resolve within ${listenTimeoutMs} ms`);
    } catch (error) {
      this.#abort.signal.removeEventListener("abort", abort);
      throw error;
    }
  }

  #failed(error: unknown, delayMs: number): void {
    const _exportId = this.#_exportId;
    this.#deps.emit("listen:failed", { _exportId, error, delayMs });
  }
}

// As a promise also if it throws at once.
async function callListen(source: Export<unknown>, context: ListenContext<unknown>): Promise<Unsubscribe | undefined> {
  return source.listen?.(context);
}
