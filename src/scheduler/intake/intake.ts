import type { Clock } from "../../clock.ts";
import { BusyError, FlowDisabledError, InvalidRequestError, NotFoundError, isPoundlockError } from "../../errors.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { AcceptOptions, AcceptResult } from "../../model/host/export.ts";
import type { Logger } from "../../model/logger.ts";
import type { Flow } from "../../model/flow/flow.ts";
import { isKey, keyForm } from "../../model/validate.ts";
import type { Run } from "../../model/run.ts";
import { itemAt } from "../../model/item-at.ts";
import type { StepReading, Tracer } from "../../run/tracer.ts";
import type { AppendInboxFlowResult, Arrival, Storage } from "../../storage/storage.ts";
import { type ArrivalPage, arrivalOf, failuresOf, sortArrival } from "./arrival.ts";
import type { Duties } from "../duties.ts";
import { slicesOf } from "./slices.ts";
import type { ClockWatch } from "../maintenance/clock-watch.ts";
import { type ExportCatalog, Listeners } from "./listeners.ts";

/** Everything an intake needs. */
export interface IntakeDeps {
  readonly storage: Pick<Storage, "appendInbox" | "listFlows">;
  readonly exports: ExportCatalog;
  readonly duties: Pick<Duties, "claim" | "release">;
  readonly clock: Clock;
  readonly clockWatch: Pick<ClockWatch, "retentionNow">;
  readonly maxInboxPages: number;
  readonly dedupeWindowMs: number;
  readonly newId: () => string;
  readonly log: Logger;
  readonly tracer?: Tracer | undefined;
  readonly emit: Emit<SchedulerEvents>;
  /** Runs of this flow wait: some process is to execute them. */
  readonly wake: (flow: Pick<Run, "_flowId" | "_exportId">) => void;
}

/** How much of an inbox is full when `inbox:filling` is emitted. */
const fillingPart = 0.8;

/** Who is to get what arrives. */
interface Takers {
  readonly flows: readonly Flow[];
  /** Ids of flows whose documents cannot be read: what arrives waits for them until they are repaired. */
  readonly unreadable: readonly string[];
}

/** What is refused because of what was sent, or to whom. */
const refusals = ["busy", "flow_disabled", "invalid_request", "not_found"];

const accepting: StepReading<"accept", AcceptResult> = {
  returned: ({ accepted, duplicates }) => ({
    outcome: "accepted",
    counts: { numSuccess: accepted, numError: 0, numIgnore: duplicates },
  }),
  threw: (error) => ({
    outcome: isPoundlockError(error) && refusals.includes(error.code) ? "refused" : "failed",
    error,
  }),
};

interface Arriving extends AcceptOptions {
  /** Whether records have to fit the export's schema, `key` and `version`. */
  readonly isChecked: boolean;
}

/** Records that arrive: kept in the inbox of every enabled flow that uses the export, before their sender gets an OK. */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #listeners: Listeners;
  /** Flows whose inbox was filling when something arrived last. */
  readonly #filling = new Set<string>();

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.#listeners = new Listeners({
      ...deps,
      // A source delivers again what is refused, for ever: its invalid records become failures when a run reads them.
      accept: (_exportId, records, options) => this.#accept(_exportId, records, { ...options, isChecked: false }),
    });
  }

  /**
   * Resolves when the records are kept. None of them is if it rejects; but if the storage fails, or the last flow is
   * disabled, in the middle of many records with event ids some may be, which are known when all of them are sent again.
   *
   * @throws `not_found`, `invalid_request`, `flow_disabled` if no enabled flow uses the export, `busy` if an inbox is full.
   */
  accept(_exportId: string, records: readonly unknown[], options: AcceptOptions = {}): Promise<AcceptResult> {
    return this.#accept(_exportId, records, { ...options, isChecked: true });
  }

  #accept(_exportId: string, records: readonly unknown[], options: Arriving): Promise<AcceptResult> {
    const { tracer } = this.#deps;
    if (tracer === undefined) return this.#takeIn(_exportId, records, options);
    // What arrives from a host's code may be anything.
    const step = { kind: "accept", _exportId, records: Array.isArray(records) ? records.length : 0 } as const;
    return tracer.around(step, () => this.#takeIn(_exportId, records, options), accepting);
  }

  async #takeIn(_exportId: string, records: readonly unknown[], options: Arriving): Promise<AcceptResult> {
    const { maxInboxPages } = this.#deps;
    const source = this.#deps.exports.findExport(_exportId);
    if (source === undefined) throw new NotFoundError("export", _exportId);
    checkArrival(records, options.ids);
    const arrived = options.isChecked
      ? arrivalOf(records, { _id: _exportId, export: source })
      : sortArrival(records, source);
    const { flows, unreadable } = await this.#flows(_exportId, options._integrationId);
    if (records.length === 0) return { accepted: 0, duplicates: 0 };
    const arrival = this.#arrival(arrived, { _exportId, flows, unreadable, ids: options.ids });
    const { slices, repeated } = slicesOf(arrival, this.#deps.newId);
    const duplicates = new Map<string, number>();
    for (const [index, slice] of slices.entries())
      for (const flow of await this.#append(slice, index === 0 ? maxInboxPages : Infinity))
        duplicates.set(flow._flowId, (duplicates.get(flow._flowId) ?? repeated) + flow.duplicates);
    const fewest = Math.min(...duplicates.values());
    return { accepted: arrived.copies.length - fewest, duplicates: fewest };
  }

  // What follows the first slice is not refused for want of room: its sender would have to know what was taken in.
  async #append(arrival: Arrival, maxInboxPages: number): Promise<readonly AppendInboxFlowResult[]> {
    const { clockWatch, dedupeWindowMs, storage } = this.#deps;
    const rule = { maxInboxPages, dedupeAfter: clockWatch.retentionNow() - dedupeWindowMs };
    const appended = await storage.appendInbox(arrival, rule);
    if (appended.outcome === "full") {
      const inbox = `The inbox of flow ${appended._flowId} holds ${maxInboxPages} pages`;
      throw new BusyError(`${inbox}, import ${appended._importId} has the most left: try again later`);
    }
    if (appended.flows.length === 0) throw new FlowDisabledError(`No enabled flow uses export ${arrival._exportId}`);
    for (const flow of appended.flows) {
      this.#watchFilling(flow);
      if (flow.run !== undefined) this.#queued(flow.run);
    }
    return appended.flows;
  }

  #arrival(
    { copies, kept, unstorable: odd }: ArrivalPage,
    { _exportId, flows, unreadable, ids }: Takers & { _exportId: string; ids: readonly string[] | undefined },
  ): Arrival {
    const { clock, log, newId, tracer } = this.#deps;
    const origin = tracer?.origin();
    const from = origin === undefined ? {} : { origin };
    const now = clock.now();
    const at = new Date(now).toISOString();
    const _id = newId();
    const defaultKeyOf = (index: number) => ids?.[index] ?? `${_id}/${index}`;
    const starts = [...flows.map((flow) => flow._id), ...unreadable].map((_flowId) => ({
      _id: newId(),
      _flowId,
      trigger: "realtime" as const,
      queuedAt: at,
      ...from,
    }));
    const failures = failuresOf(odd, flows, { at, defaultKeyOf, newId });
    for (const { problem } of odd)
      log.warn(
        { exportId: _exportId, error: problem },
        "a record that arrived cannot be kept: it is stored as a failure",
      );
    return {
      ...{ _id, _exportId, records: copies, at: now, starts, ...from },
      ...(ids === undefined ? {} : { ids: kept.map((index) => itemAt(ids, index)) }),
      ...(failures.length === 0 ? {} : { failures }),
    };
  }

  /** Listens on every export with `listen` that an enabled flow uses, from now on, unless another process does. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#listeners.start(signal);
  }

  /** Ends all listening; resolves when it has ended, or was left behind after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    await this.#listeners.stop(graceMs);
  }

  /** A flow on this export was created, changed or deleted: begins or ends listening, if that follows. */
  refresh(_exportId: string): Promise<void> {
    return this.#listeners.refresh(_exportId);
  }

  #watchFilling({ _flowId, pages }: AppendInboxFlowResult): void {
    const { emit, maxInboxPages } = this.#deps;
    if (pages < maxInboxPages * fillingPart) this.#filling.delete(_flowId);
    else if (!this.#filling.has(_flowId)) {
      this.#filling.add(_flowId);
      emit("inbox:filling", { _flowId, pages, maxInboxPages });
    }
  }

  #queued(run: Run): void {
    this.#deps.emit("run:queued", { run });
    this.#deps.wake(run);
  }

  async #flows(_exportId: string, _integrationId: string | undefined): Promise<Takers> {
    const flows: Flow[] = [];
    const unreadable: string[] = [];
    const query = {
      _exportId,
      disabled: false,
      limit: 1_000,
      ...(_integrationId === undefined ? {} : { _integrationId }),
    };
    let after: string | undefined;
    do {
      const page = { ...query, ...(after === undefined ? {} : { after }) };
      const { items, next, unreadable: others = [] } = await this.#deps.storage.listFlows(page);
      flows.push(...items);
      unreadable.push(...others);
      after = next;
    } while (after !== undefined);
    if (flows.length + unreadable.length === 0) throw new FlowDisabledError(`No enabled flow uses export ${_exportId}`);
    return { flows, unreadable };
  }
}

function checkArrival(records: readonly unknown[], ids: readonly string[] | undefined): void {
  if (!Array.isArray(records)) throw new InvalidRequestError("records", "an array", records);
  if (ids === undefined) return;
  if (!Array.isArray(ids) || ids.length !== records.length)
    throw new InvalidRequestError("ids", `one id for each of ${records.length} records`, ids);
  const wrong: unknown = ids.find((id: unknown) => !isKey(id));
  if (wrong === undefined) return;
  throw new InvalidRequestError("ids", `strings of ${keyForm}`, wrong);
}
