import { type CancelTimer, type Clock, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { AcceptOptions, AcceptResult, Export } from "../../model/host/export.ts";
import type { Logger } from "../../model/logger.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Duties } from "../duties.ts";
import { Listening, listenTimeoutMs } from "./listening.ts";

/** The exports there are. */
export interface ExportCatalog {
  readonly exportIds: readonly string[];
  findExport(_id: string): Export<unknown> | undefined;
}

/** Everything listeners need. */
export interface ListenersDeps {
  readonly storage: Pick<Storage, "listFlows">;
  readonly exports: ExportCatalog;
  readonly duties: Pick<Duties, "claim" | "release">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
  /** Takes in what an export was given. */
  readonly accept: (
    _exportId: string,
    records: readonly unknown[],
    options: AcceptOptions | undefined,
  ) => Promise<AcceptResult>;
}

/** How long a process that died keeps others from listening, in milliseconds. */
const dutyMs = 8_000;

/** How often every process looks whether it is its turn to listen, in milliseconds. */
const lookMs = 2_000;

/**
 * Listens on every export with `listen` that an enabled flow uses, in one of all processes that share the storage: an
 * event that two of them got would be taken in twice, unless it has an id.
 */
export class Listeners {
  readonly #deps: ListenersDeps;
  readonly #listening = new Map<string, Listening>();
  /** Exports with `listen` that an enabled flow used when that was looked up last. */
  readonly #used = new Set<string>();
  /** Export → its changes that go on, one after the other: two that overlap could both begin to listen. */
  readonly #changes = new Map<string, Promise<void>>();
  #signal = AbortSignal.abort();
  #cancelTimer: CancelTimer | undefined;

  constructor(deps: ListenersDeps) {
    this.#deps = deps;
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#changes.clear();
    this.#used.clear();
    await Promise.all(this.#deps.exports.exportIds.map((_exportId) => this.refresh(_exportId)));
  }

  /** Ends all listening, and leaves it to others; resolves when it has ended, or was left behind after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await Promise.all([...this.#listening.keys()].map((_exportId) => this.#end(_exportId, graceMs)));
    await Promise.all([...this.#used].map((_exportId) => this.#deps.duties.release(dutyOf(_exportId))));
  }

  /** A flow on this export was created, changed or deleted: begins or ends listening, if that follows. */
  refresh(_exportId: string): Promise<void> {
    const signal = this.#signal;
    return this.#inTurn(_exportId, () => this.#refresh(_exportId, signal));
  }

  #inTurn(_exportId: string, change: () => Promise<void>): Promise<void> {
    const turn = (this.#changes.get(_exportId) ?? Promise.resolve()).then(change);
    const settled = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#changes.get(_exportId) === settled) this.#changes.delete(_exportId);
      });
    this.#changes.set(_exportId, settled);
    return turn;
  }

  async #refresh(_exportId: string, signal: AbortSignal): Promise<void> {
    if (this.#deps.exports.findExport(_exportId)?.listen === undefined || isAborted(signal)) return;
    const isUsed = await this.#isUsed(_exportId);
    if (isAborted(signal)) return;
    if (isUsed) {
      this.#used.add(_exportId);
      this.#plan(signal);
      await this.#listenIfOurs(_exportId, signal);
    } else if (this.#used.delete(_exportId)) {
      await this.#end(_exportId, listenTimeoutMs);
      await this.#deps.duties.release(dutyOf(_exportId));
    }
  }

  async #isUsed(_exportId: string): Promise<boolean> {
    const { items, unreadable = [] } = await this.#deps.storage.listFlows({ _exportId, disabled: false, limit: 1 });
    return items.length + unreadable.length > 0;
  }

  async #listenIfOurs(_exportId: string, signal: AbortSignal): Promise<void> {
    const { duties, exports } = this.#deps;
    const isOurs = await duties.claim(dutyOf(_exportId), dutyMs);
    const source = exports.findExport(_exportId);
    if (isAborted(signal)) {
      if (isOurs) await duties.release(dutyOf(_exportId));
    } else if (isOurs && source !== undefined && !this.#listening.has(_exportId)) this.#begin(_exportId, source);
    else if (!isOurs && this.#listening.has(_exportId)) await this.#end(_exportId, listenTimeoutMs);
  }

  #plan(signal: AbortSignal): void {
    if (isAborted(signal) || this.#cancelTimer !== undefined || this.#used.size === 0) return;
    this.#cancelTimer = this.#deps.clock.setTimer(() => {
      this.#cancelTimer = undefined;
      for (const _exportId of this.#used) if (!this.#changes.has(_exportId)) this.#look(_exportId, signal);
      this.#plan(signal);
    }, lookMs);
  }

  #look(_exportId: string, signal: AbortSignal): void {
    // A storage that fails says nothing of whose turn it is: whoever listens goes on.
    this.#inTurn(_exportId, () => this.#listenIfOurs(_exportId, signal)).catch((error: unknown) =>
      this.#deps.emit("background:error", { error, during: `listening on ${_exportId}` }),
    );
  }

  // Waits for nothing: an export that takes its time to connect delays no other.
  #begin(_exportId: string, source: Export<unknown>): void {
    const { accept, clock, log, emit } = this.#deps;
    const deps = { clock, log, emit };
    const ofExport = (records: readonly unknown[], options?: AcceptOptions) => accept(_exportId, records, options);
    this.#listening.set(_exportId, new Listening(_exportId, source, { ...deps, accept: ofExport }));
  }

  async #end(_exportId: string, limitMs: number): Promise<void> {
    const listening = this.#listening.get(_exportId);
    this.#listening.delete(_exportId);
    await listening?.end(limitMs);
  }
}

function dutyOf(_exportId: string): string {
  return `listen:${_exportId}`;
}
