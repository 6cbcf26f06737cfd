import { type Clock, delay, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import { type Change, type RequeueReason, runChanges } from "../../model/change.ts";
import type { Run } from "../../model/run.ts";
import type { ChangeStorage, Storage } from "../../storage/storage.ts";

/** Everything that following changes needs. */
export interface ChangeFeedDeps {
  readonly storage: Pick<Storage, "capabilities" | "changes">;
  readonly clock: Clock;
  /** This process's own id, as a reader of changes. */
  readonly processId: string;
  readonly emit: Emit<SchedulerEvents>;
}

/** What was found since a listener heard last. */
export interface Heard {
  readonly changes: readonly Change[];
  /** Some may be missing, before these. */
  readonly gap: boolean;
}

/** A listener's part of the feed. */
export interface Following {
  /** Resolves when everything is heard that happens from then on; also if that fails at first: a gap follows then. */
  readonly ready: Promise<void>;
  /** Ends it. */
  readonly end: () => void;
}

/** For how long changes are kept for a reader that says no more, in milliseconds. */
const leaseMs = 30_000;

/** Changes read in one call. */
const pageSize = 500;

/** The least time between two looks at what processes share, in milliseconds: what comes meanwhile is read together. */
const restMs = 20;

/** How long it waits after a failure, in milliseconds: doubled from the first to the last. */
const retryMs = { first: 100, last: 5_000 };

/** Reads what becomes of runs and flows, in all processes, once for everybody in this one; and only while somebody listens. */
export class ChangeFeed {
  readonly #deps: ChangeFeedDeps;
  readonly #listeners = new Set<(heard: Heard) => void>();
  #following: { readonly done: AbortController; readonly ready: Promise<void> } | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(deps: ChangeFeedDeps) {
    this.#deps = deps;
  }

  /**
   * Calls `listener` with what happens from now on. Of a storage without changes, that is what {@link own} is given.
   */
  listen(listener: (heard: Heard) => void): Following {
    this.#listeners.add(listener);
    this.#following ??= this.#follow();
    const { ready } = this.#following;
    const end = () => {
      if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
      this.#following?.done.abort();
      this.#following = undefined;
    };
    return { ready, end };
  }

  /** This process has emitted an event: all there is to hear of if the storage has no changes. */
  own(event: string, payload: object): void {
    if (this.#deps.storage.changes !== undefined || this.#listeners.size === 0) return;
    const change = runChanges.find((kind) => event === `run:${kind}`);
    if (change === undefined) return;
    const { reason, run } = payload as { readonly run: Run; readonly reason?: RequeueReason };
    this.#tell({ changes: [{ change, run, ...(reason === undefined ? {} : { reason }) }], gap: false });
  }

  #follow() {
    const { changes } = this.#deps.storage;
    const done = new AbortController();
    let resolve: () => void = () => undefined;
    const ready = new Promise<void>((resolved) => (resolve = resolved));
    if (changes === undefined) resolve();
    // One reader at a time: the one before must not say that it reads no more after this one has said that it does.
    else
      this.#ended = this.#ended.then(() =>
        new Reading({ ...this.#deps, changes, ready: resolve, tell: (heard) => this.#tell(heard) }).until(done.signal),
      );
    return { done, ready };
  }

  #tell(heard: Heard): void {
    for (const listener of this.#listeners) listener(heard);
  }
}

interface ReadingDeps extends ChangeFeedDeps {
  readonly changes: ChangeStorage;
  readonly ready: () => void;
  readonly tell: (heard: Heard) => void;
}

/** Reading from a place on, until nobody listens. */
class Reading {
  readonly #deps: ReadingDeps;
  #place: string | undefined;
  /** When it said last that it reads. */
  #saidAt = -Infinity;
  /** It failed before it had a place. */
  #hasMissed = false;
  #isRung = false;
  #goOn: (() => void) | undefined;

  constructor(deps: ReadingDeps) {
    this.#deps = deps;
  }

  async until(signal: AbortSignal): Promise<void> {
    const { changes, clock, emit, processId, ready } = this.#deps;
    const endBell = changes.onBell?.(() => this.#rung());
    signal.addEventListener("abort", () => this.#goOn?.());
    for (let waitMs = retryMs.first; !isAborted(signal);) {
      try {
        const more = await this.#read(signal);
        waitMs = retryMs.first;
        ready();
        if (!more) await this.#rest(signal);
      } catch (error) {
        this.#hasMissed ||= this.#place === undefined;
        ready();
        emit("background:error", { error, during: "following changes" });
        await delay(clock, waitMs, signal);
        waitMs = Math.min(waitMs * 2, retryMs.last);
      }
    }
    endBell?.();
    ready();
    // What fails leaves it to be forgotten.
    await changes.unfollowChanges(processId).catch(() => undefined);
  }

  async #read(signal: AbortSignal): Promise<boolean> {
    const { changes, clock, processId, tell } = this.#deps;
    const at = clock.now();
    if (Math.abs(at - this.#saidAt) >= leaseMs / 3) {
      const place = await changes.followChanges({ _id: processId, at, until: at + leaseMs });
      this.#saidAt = at;
      this.#place ??= place;
    }
    this.#isRung = false;
    const list = await changes.changesSince(this.#place ?? "", { limit: pageSize, at });
    this.#place = list.next;
    const gap = list.gap || this.#hasMissed;
    this.#hasMissed = false;
    if ((gap || list.changes.length > 0) && !isAborted(signal)) tell({ changes: list.changes, gap });
    return list.more;
  }

  // What rings while it reads is found by the next look.
  async #rest(signal: AbortSignal): Promise<void> {
    const { changes, clock, storage } = this.#deps;
    if (storage.capabilities.shared) await delay(clock, restMs, signal);
    if (this.#isRung || isAborted(signal)) return;
    const rest = new AbortController();
    this.#goOn = () => rest.abort();
    await delay(clock, Math.min(changes.pollMs, leaseMs / 3), rest.signal);
    this.#goOn = undefined;
  }

  #rung(): void {
    this.#isRung = true;
    this.#goOn?.();
  }
}
