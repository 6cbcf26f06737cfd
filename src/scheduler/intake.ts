import type { CancelTimer, Clock } from "../clock.ts";
import { BusyError, FlowDisabledError, InvalidRequestError, NotFoundError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { AcceptOptions, AcceptResult, Export, Unsubscribe } from "../model/export.ts";
import { type Logger, withFields } from "../model/logger.ts";
import { copyRecord } from "../model/storable.ts";
import type { Run, RunStart } from "../model/run.ts";
import { messageOf } from "../model/message.ts";
import type { Storage } from "../storage/storage.ts";

/** Everything an intake needs. */
export interface IntakeDeps {
  readonly storage: Pick<Storage, "appendInbox" | "listFlows">;
  readonly exports: ExportCatalog;
  readonly clock: Clock;
  readonly maxInboxPages: number;
  readonly dedupeWindowMs: number;
  readonly newId: () => string;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (_flowId: string) => void;
}

/** The exports there are. */
export interface ExportCatalog {
  readonly exportIds: readonly string[];
  findExport(_id: string): Export<unknown> | undefined;
}

/** Records that arrive: kept in the inbox of every enabled flow that uses the export, before anybody is told OK. */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #listening = new Map<string, Listening>();
  readonly #changes = new Map<string, Promise<void>>();
  #started = false;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /**
   * Resolves when the records are kept. None of them is if it rejects.
   *
   * @throws `not_found`, `invalid_request`, `flow_disabled` if no enabled flow uses the export, `busy` if an inbox is full.
   */
  async accept(_exportId: string, records: readonly unknown[], options: AcceptOptions = {}): Promise<AcceptResult> {
    const { clock, newId, storage, maxInboxPages, dedupeWindowMs } = this.#deps;
    if (this.#deps.exports.findExport(_exportId) === undefined) throw new NotFoundError("export", _exportId);
    checkArrival(records, options.ids);
    const copies = records.map((record, index) => storable(record, index));
    const at = clock.now();
    const starts = await this.#starts(_exportId, options._integrationId, at);
    if (records.length === 0 && starts.length > 0) return { accepted: 0, duplicates: 0 };
    const ids = options.ids === undefined ? {} : { ids: [...options.ids] };
    const arrival = { _id: newId(), _exportId, records: copies, ...ids, at, starts };
    const appended = await storage.appendInbox(arrival, { maxInboxPages, dedupeAfter: at - dedupeWindowMs });
    if (appended.outcome === "full")
      throw new BusyError(`The inbox of flow ${appended._flowId} holds ${maxInboxPages} pages: try again later`);
    if (appended.flows.length === 0) throw new FlowDisabledError(`No enabled flow uses export ${_exportId}`);
    for (const { run } of appended.flows) if (run !== undefined) this.#queued(run);
    const duplicates = Math.min(...appended.flows.map((flow) => flow.duplicates));
    return { accepted: records.length - duplicates, duplicates };
  }

  /** Listens on every export with `listen` that an enabled flow uses, from now on. */
  async start(): Promise<void> {
    this.#started = true;
    await Promise.all(this.#deps.exports.exportIds.map((_exportId) => this.refresh(_exportId)));
  }

  /** Ends all listening; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#started = false;
    await Promise.all([...this.#changes.keys()].map((_exportId) => this.refresh(_exportId)));
  }

  /** A flow on this export was created, changed or deleted: begins or ends listening, if that follows. */
  refresh(_exportId: string): Promise<void> {
    // One change of an export after the other: two that overlap could both begin to listen.
    const change = (this.#changes.get(_exportId) ?? Promise.resolve()).then(() => this.#refresh(_exportId));
    this.#changes.set(
      _exportId,
      change.catch(() => undefined),
    );
    return change;
  }

  async #refresh(_exportId: string): Promise<void> {
    const source = this.#deps.exports.findExport(_exportId);
    if (source?.listen === undefined) return;
    const wanted = this.#started && (await this.#isUsed(_exportId));
    const listening = this.#listening.has(_exportId);
    if (wanted && !listening) this.#begin(_exportId, source, 1);
    else if (!wanted && listening) await this.#end(_exportId);
  }

  async #isUsed(_exportId: string): Promise<boolean> {
    const { items } = await this.#deps.storage.listFlows({ _exportId, disabled: false, limit: 1 });
    return items.length > 0;
  }

  // Waits for nothing: an export that takes its time to connect holds nobody up.
  #begin(_exportId: string, source: Export<unknown>, attempt: number): void {
    const abort = new AbortController();
    const context = {
      accept: (records: readonly unknown[], options?: AcceptOptions) => this.accept(_exportId, records, options),
      signal: abort.signal,
      log: withFields(this.#deps.log, { exportId: _exportId }),
    };
    const begin = async () => source.listen?.(context);
    const stop = begin().catch((error: unknown) => {
      if (this.#listening.get(_exportId) === listening)
        this.#retryLater(_exportId, source, { attempt, error, listening });
      return undefined;
    });
    const listening: Listening = { abort, stop, cancelRetry: undefined };
    this.#listening.set(_exportId, listening);
  }

  #retryLater(
    _exportId: string,
    source: Export<unknown>,
    failed: { readonly attempt: number; readonly error: unknown; readonly listening: Listening },
  ): void {
    const { clock } = this.#deps;
    const { attempt, error, listening } = failed;
    const delayMs = Math.min(60_000, 1_000 * 2 ** (attempt - 1));
    this.#listenFailed(_exportId, error, delayMs);
    listening.cancelRetry = clock.setTimer(() => {
      if (this.#listening.get(_exportId) === listening) this.#begin(_exportId, source, attempt + 1);
    }, delayMs);
  }

  async #end(_exportId: string): Promise<void> {
    const listening = this.#listening.get(_exportId);
    this.#listening.delete(_exportId);
    listening?.cancelRetry?.();
    listening?.abort.abort(new Error("listening ends"));
    try {
      const stop = await listening?.stop;
      await stop?.();
    } catch (error) {
      this.#listenFailed(_exportId, error, 0);
    }
  }

  #listenFailed(_exportId: string, error: unknown, delayMs: number): void {
    this.#deps.log.error({ exportId: _exportId, error: messageOf(error), delayMs }, "listen failed");
    this.#deps.emit("listen:failed", { _exportId, error, delayMs });
  }

  #queued(run: Run): void {
    this.#deps.emit("run:queued", { run });
    this.#deps.wake(run._flowId);
  }

  async #starts(_exportId: string, _integrationId: string | undefined, at: number): Promise<readonly RunStart[]> {
    const starts: RunStart[] = [];
    const query = {
      _exportId,
      disabled: false,
      limit: 1_000,
      ...(_integrationId === undefined ? {} : { _integrationId }),
    };
    let after: string | undefined;
    do {
      const page = { ...query, ...(after === undefined ? {} : { after }) };
      const { items, next } = await this.#deps.storage.listFlows(page);
      const queuedAt = new Date(at).toISOString();
      for (const { _id } of items)
        starts.push({ _id: this.#deps.newId(), _flowId: _id, trigger: "realtime", queuedAt });
      after = next;
    } while (after !== undefined);
    if (starts.length === 0) throw new FlowDisabledError(`No enabled flow uses export ${_exportId}`);
    return starts;
  }
}

interface Listening {
  readonly abort: AbortController;
  /** Known once the export is connected; undefined if it could not connect. */
  readonly stop: Promise<Unsubscribe | undefined>;
  cancelRetry: CancelTimer | undefined;
}

function checkArrival(records: readonly unknown[], ids: readonly string[] | undefined): void {
  if (!Array.isArray(records)) throw new InvalidRequestError("records", "an array", records);
  if (ids === undefined) return;
  if (!Array.isArray(ids) || ids.length !== records.length)
    throw new InvalidRequestError("ids", `one id for each of ${records.length} records`, ids);
  const wrong: unknown = ids.find((id: unknown) => typeof id !== "string" || id === "");
  if (wrong !== undefined) throw new InvalidRequestError("ids", "texts that are not empty", wrong);
}

function storable(record: unknown, index: number): unknown {
  try {
    return copyRecord(record);
  } catch (error) {
    throw new InvalidRequestError(`records.${index}`, `a record that can be stored (${messageOf(error)})`, record);
  }
}
