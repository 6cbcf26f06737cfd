import { type Clock, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import { aheadMs, hasRunAhead, isAhead } from "../../model/flow/clock-ahead.ts";
import type { Pause } from "../../model/delivery.ts";
import type { ImportPlace } from "../../model/place.ts";
import type { Run } from "../../model/run.ts";
import { retry } from "../../run/retry.ts";
import type { Storage } from "../../storage/storage.ts";
import { unlessUnreadable } from "../maintenance/unreadable-rows.ts";
import type { RunQueue } from "../run-queue.ts";

/** What ending waits needs. */
export interface WaitsAheadDeps {
  readonly storage: Pick<
    Storage,
    "dueRetries" | "endPauses" | "endWait" | "findFlow" | "findPlaces" | "resumableFlows" | "waitingFlows"
  >;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
  readonly queue: Pick<RunQueue, "addUnasked">;
  readonly wake: (flow: Pick<Run, "_flowId" | "_exportId">) => void;
}

/** Flows read in one call. */
const pageSize = 1_000;

/** Flows with paused imports that each round of maintenance looks at. */
const sliceSize = 100;

/** Flows and imports whose failures are sent again, at most. */
const mostRetries = 100_000;

/** The end of all waits. */
const never = "9999-12-31T23:59:59.999Z";
const neverMs = Date.parse(never);

/** How long after an attempt that failed the next one follows, in milliseconds. */
const againMs = 30_000;

/**
 * Ends what waits for an instant that a clock named which was more than an hour ahead, as it would wait for as long as that
 * clock was ahead: runs that are to go on later, pauses, failures that are sent again. To try too early harms nothing.
 */
export class WaitsAhead {
  readonly #deps: WaitsAheadDeps;
  /** The last flow that {@link WaitsAhead.some} looked at. */
  #after: string | undefined;

  constructor(deps: WaitsAheadDeps) {
    this.#deps = deps;
  }

  /**
   * Ends all waits if the clock was set back by more than an hour (`setBackMs`), and otherwise those of flows whose newest
   * run began more than an hour after now. Never rejects: what fails is done again.
   */
  async end(signal: AbortSignal, setBackMs: number): Promise<void> {
    const { clock, emit } = this.#deps;
    const onRetry = (error: unknown) => {
      emit("background:error", { error, during: "ending waits for a clock that was ahead" });
    };
    const rule = { signal, onRetry, delayMs: () => againMs };
    await retry(clock, rule, () => this.#endAll(signal, setBackMs > aheadMs)).catch(() => undefined);
  }

  /**
   * Looks at the next flows with paused imports, and at the first ones again after the last ones: one that was disabled when
   * the clock was put right, or has run since, is not found otherwise.
   */
  async some(): Promise<void> {
    const { clock, storage } = this.#deps;
    const ids = await storage.resumableFlows(neverMs, sliceSize, this.#after);
    this.#after = ids.length < sliceSize ? undefined : ids.at(-1);
    const now = clock.now();
    for (const _flowId of ids)
      await this.#orReport(_flowId, () => this.#resume(_flowId, now, (place) => isPausedAhead(place, now)));
  }

  async #endAll(signal: AbortSignal, isSetBack: boolean): Promise<void> {
    const { clock, storage } = this.#deps;
    const now = clock.now();
    const ifWrong = (_flowId: string, work: () => Promise<unknown>) =>
      this.#orReport(_flowId, async () => {
        const flow = isSetBack ? undefined : await storage.findFlow(_flowId);
        if (isSetBack || (flow !== undefined && hasRunAhead(flow, now))) await work();
      });
    const waiting = (after: string | undefined) => storage.waitingFlows(pageSize, after);
    for await (const { _flowId, _exportId, notBefore = 0 } of this.#all(signal, waiting, ({ _flowId }) => _flowId))
      if (notBefore > now)
        await ifWrong(_flowId, async () => {
          if (await storage.endWait(_flowId, notBefore)) this.#deps.wake({ _flowId, _exportId });
        });
    const paused = (after: string | undefined) => storage.resumableFlows(neverMs, pageSize, after);
    for await (const _flowId of this.#all(signal, paused, (_id) => _id))
      await ifWrong(_flowId, () => this.#resume(_flowId, now, () => true));
    const retry = { dueBy: never };
    for (const { _flowId, _importId } of await storage.dueRetries(neverMs, mostRetries))
      if (!isAborted(signal))
        await ifWrong(_flowId, () =>
          this.#deps.queue.addUnasked({ _flowId, trigger: "retry", retry: { ...retry, _importId } }),
        );
  }

  // A flow of which something cannot be read keeps no other one waiting, nor what maintenance does next.
  async #orReport(_flowId: string, work: () => Promise<unknown>): Promise<void> {
    await unlessUnreadable(this.#deps.emit, `ending waits of flow ${_flowId} for a clock that was ahead`, work);
  }

  async *#all<T>(
    signal: AbortSignal,
    read: (after: string | undefined) => Promise<readonly T[]>,
    idOf: (item: T) => string,
  ): AsyncGenerator<T> {
    let after: string | undefined;
    for (let size = pageSize; size === pageSize && !isAborted(signal);) {
      const items = await read(after);
      yield* items;
      size = items.length;
      const last = items.at(-1);
      after = last === undefined ? undefined : idOf(last);
    }
  }

  // Those whose pause goes on, and is to end.
  async #resume(_flowId: string, now: number, isToEnd: (place: ImportPlace) => boolean): Promise<void> {
    const { emit, queue, storage } = this.#deps;
    const places = Object.entries(await storage.findPlaces(_flowId));
    const waiting = places.filter(([, place]) => endOf(place.pause) > now && isToEnd(place));
    if (waiting.length === 0) return;
    const resumed = await storage.endPauses(
      _flowId,
      waiting.map(([_importId]) => _importId),
    );
    for (const _importId of resumed) emit("import:resumed", { _flowId, _importId });
    if (resumed.length > 0) await queue.addUnasked({ _flowId, trigger: "resume" });
  }
}

// Of a pause that ends by itself.
function endOf(pause: Pause | undefined): number {
  return pause?.resumeAt === undefined ? -Infinity : Date.parse(pause.resumeAt);
}

// By a clock that was ahead: one that was paused again has the instant of the first pause, and moved last with the last one.
function isPausedAhead({ movedAt = -Infinity, pause }: ImportPlace, now: number): boolean {
  return pause !== undefined && (isAhead(Date.parse(pause.since), now) || isAhead(movedAt, now));
}
