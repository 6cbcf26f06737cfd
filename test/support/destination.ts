import { type Flow, type Import, type Logger, type Run, reject, retryLater } from "../../src/index.ts";
import { newRun } from "../../src/model/run.ts";
import { Batch, type PageKeys } from "../../src/run/destination/batch.ts";
import { AttemptSignals } from "../../src/run/destination/write-context.ts";
import { type ImportResult, importPage } from "../../src/run/destination/import-page.ts";
import type { Destination } from "../../src/run/destination/destination.ts";
import { ManualClock } from "../../src/testing/index.ts";

const at = "2030-01-01T12:00:00.000Z";

/** A flow as an import sees it. */
export const flow: Flow = Object.freeze({
  ...{ _id: "flow-1", name: "a flow", _exportId: "from", _importId: "sink", disabled: false },
  ...{ createdAt: at, lastModified: at },
});

/** A run as an import sees it. */
export const run: Run = newRun({ _id: "run-1", _flowId: flow._id, trigger: "manual", queuedAt: at }, flow);

/** One import, without a scheduler: pages are handed to it one by one, and time moves by itself. */
export class DirectImport {
  readonly clock = new ManualClock(at);
  readonly abort = new AbortController();
  readonly lines: (readonly [fields: object, message: string])[] = [];
  readonly retries: number[] = [];
  readonly to: Destination;

  constructor(into: Import<never, never>, settings: Partial<Destination> = {}) {
    const add = (fields: object, message: string) => void this.lines.push([fields, message]);
    const log: Logger = { debug: add, info: add, warn: add, error: add };
    this.to = {
      ...{ _importId: "sink", import: into, run, flow, log, clock: this.clock },
      ...{ signal: this.abort.signal, attempts: new AttemptSignals(this.abort.signal), freeze: true, shared: false },
      ...{ maxAttempts: 5, maxWaitMs: 30_000, backoff: { retryDelayMs: 1_000, random: () => 0.5 } },
      onRetry: (_attempt, delayMs) => void this.retries.push(delayMs),
      ...settings,
    };
  }

  /** What became of a page; time moves on as far as that takes. */
  async take(
    records: readonly unknown[],
    keys: PageKeys = byPlace,
    doubtful?: ReadonlySet<number>,
  ): Promise<ImportResult> {
    let result: ImportResult | undefined;
    void importPage(new Batch([...records], keys), this.to, doubtful).then((settled) => (result = settled));
    for (;;) {
      await this.clock.settle();
      if (result !== undefined) return result;
      await this.clock.advance(this.clock.nextTimerIn ?? 0);
    }
  }
}

/** Keys as a page has them whose export makes none. */
export const byPlace: PageKeys = { keyOf: (position) => `#${position}` };

/** Keys of records with an `id`. */
export function byId(records: readonly { readonly id: string }[]): PageKeys {
  return { keyOf: (position) => records[position]?.id ?? "", mayRepeat: true };
}

/** What the destination throws that is busy, or refuses. */
export const busy = (afterMs?: number | Date) => retryLater("busy", { afterMs });
export const refused = () => reject("refused");

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}
