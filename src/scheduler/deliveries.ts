import type { Clock } from "../clock.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Delivery } from "../model/delivery.ts";
import { checkId } from "../flow-registry.ts";
import { type Flow, importIdsOf } from "../model/flow/flow.ts";
import type { Json } from "../model/record/json.ts";
import type { ImportPlace } from "../model/place.ts";
import type { Run } from "../model/run.ts";
import { mostListed, roughSize } from "../model/record/size.ts";
import type { InboxPage, Storage } from "../storage/storage.ts";
import type { RunQueue } from "./run-queue.ts";

/** What deliveries need. */
export interface DeliveriesDeps {
  readonly storage: Pick<
    Storage,
    "findPlaces" | "setCheckpoint" | "endPauses" | "countOpenFailures" | "readInbox" | "dropInbox"
  >;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
  readonly queue: Pick<RunQueue, "addUnasked">;
  /** Open failures are counted up to here. */
  readonly maxOpenFailures: number;
}

/** A page of an inbox, as hosts get to see it. Documents are frozen; times are ISO 8601 UTC. */
export interface WaitingPage {
  readonly _id: string;
  readonly arrivedAt: string;
  readonly records: readonly unknown[];
  /** `keys[i]` is the event id of `records[i]`, or made of the page's id. */
  readonly keys: readonly string[];
  /** Imports that have not settled it. */
  readonly _importIds: readonly string[];
}

/** How delivery to each import of a flow stands, and what a person may change about it. */
export class Deliveries {
  readonly #deps: DeliveriesDeps;

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps;
  }

  /** By import, in the flow's order. */
  async list(flow: Flow): Promise<readonly Delivery[]> {
    const { maxOpenFailures, storage } = this.#deps;
    const [places, open] = await Promise.all([
      storage.findPlaces(flow._id),
      storage.countOpenFailures(flow._id, maxOpenFailures + 1),
    ]);
    return Object.freeze(
      importIdsOf(flow).map((_importId) => deliveryOf(_importId, places[_importId] ?? {}, open[_importId] ?? 0)),
    );
  }

  /** Ends pauses now, and queues a run for the imports. Returns it, or undefined if nothing was paused. */
  async resume(flow: Flow, _importId: string | undefined): Promise<Run | undefined> {
    return this.#resume(flow._id, chosen(flow, _importId));
  }

  /** The same for the flow's imports that are paused for too many failures, and have no more open now than they may. */
  async resumeSettled(_flowId: string): Promise<void> {
    const { storage } = this.#deps;
    const places = await storage.findPlaces(_flowId);
    const limits = new Map<string, number>();
    for (const [_importId, { pause }] of Object.entries(places))
      if (pause?.maxOpen !== undefined) limits.set(_importId, pause.maxOpen);
    if (limits.size === 0) return;
    const open = await storage.countOpenFailures(_flowId, Math.max(...limits.values()) + 1);
    const settled = [...limits].filter(([_importId, maxOpen]) => (open[_importId] ?? 0) <= maxOpen);
    const _importIds = settled.map(([_importId]) => _importId);
    if (_importIds.length > 0) await this.#resume(_flowId, _importIds);
  }

  async #resume(_flowId: string, _importIds: readonly string[]): Promise<Run | undefined> {
    const { emit, queue, storage } = this.#deps;
    const resumed = await storage.endPauses(_flowId, _importIds);
    for (const _id of resumed) emit("import:resumed", { _flowId, _importId: _id });
    if (resumed.length === 0) return undefined;
    return queue.addUnasked({ _flowId, trigger: "resume" });
  }

  /** Where the import, or the flow's first one, resumes; undefined: from the start. */
  async checkpointOf(flow: Flow, _importId: string | undefined): Promise<Json | undefined> {
    const [first = flow._importId] = chosen(flow, _importId);
    return (await this.#deps.storage.findPlaces(flow._id))[first]?.checkpoint?.value;
  }

  /**
   * Sets the checkpoint of one import, or of all; without a value: from the start. Without a version, as where the
   * export is not known, it is of the version of what it replaces.
   *
   * @throws `conflict` while a run of the flow is active, or has begun and waits to be resumed.
   */
  async setCheckpoint(
    flow: Flow,
    { value, version }: { readonly value: Json | undefined; readonly version: number | undefined },
    _importId: string | undefined,
  ): Promise<void> {
    const { clock, storage } = this.#deps;
    const _importIds = chosen(flow, _importId);
    const change = { _importIds, at: clock.now() };
    const checkpoint =
      value === undefined ? undefined : { value, version: version ?? (await this.#versionOf(flow, _importIds)) };
    if (!(await storage.setCheckpoint(flow._id, checkpoint, change)))
      throw new ConflictError(
        `Flow ${flow._id} has a run that is active or waits to be resumed: set its checkpoint when that has ended, or cancel it`,
      );
  }

  async #versionOf({ _id }: Flow, _importIds: readonly string[]): Promise<number> {
    const places = await this.#deps.storage.findPlaces(_id);
    return Math.max(1, ..._importIds.map((_importId) => places[_importId]?.checkpoint?.version ?? 1));
  }

  /** Pages that wait in the flow's inbox, oldest first. `next`: the `after` of the rest. */
  async listInbox(
    flow: Flow,
    { limit, after }: { readonly limit: number; readonly after?: string },
  ): Promise<{ readonly items: readonly WaitingPage[]; readonly next?: string }> {
    const { storage } = this.#deps;
    const places = await storage.findPlaces(flow._id);
    const { isMore, pages } = await this.#readInbox(flow._id, { limit, after });
    const last = isMore ? pages.at(-1)?.cursor : undefined;
    return {
      items: pages.map((page) => waitingPage(page, flow, places)),
      ...(last === undefined ? {} : { next: last }),
    };
  }

  // Bounded by size, too: `limit` pages of 16 MB each are more than the memory of a process.
  async #readInbox(
    _flowId: string,
    { limit, after }: { readonly limit: number; readonly after: string | undefined },
  ): Promise<{ readonly pages: readonly InboxPage[]; readonly isMore: boolean }> {
    const pages: InboxPage[] = [];
    let size = 0;
    for (let cursor = after; ; cursor = pages.at(-1)?.cursor) {
      const rest = cursor === undefined ? {} : { after: cursor };
      const maxRecords = limit + 1 - pages.length;
      const read = await this.#deps.storage.readInbox(_flowId, { ...rest, maxRecords });
      if (read.length === 0) return { pages, isMore: false };
      for (const page of read) {
        size += roughSize(page.records, mostListed);
        if (pages.length === limit || (pages.length > 0 && size > mostListed)) return { pages, isMore: true };
        pages.push(page);
      }
    }
  }

  /** Gives pages up, for one import or for all; returns the ids of those that were there. */
  async dropInbox(flow: Flow, _ids: readonly string[], _importId: string | undefined): Promise<readonly string[]> {
    if (_importId !== undefined) chosen(flow, _importId);
    const change = _importId === undefined ? { _ids } : { _ids, _importId };
    return this.#deps.storage.dropInbox(flow._id, change);
  }
}

/** @throws `not_found` for an import that is none of the flow's. */
function chosen(flow: Flow, _importId: string | undefined): readonly string[] {
  const all = importIdsOf(flow);
  if (_importId === undefined) return all;
  checkId("_importId", _importId);
  if (!all.includes(_importId)) throw new NotFoundError("import", _importId);
  return [_importId];
}

function deliveryOf(_importId: string, place: ImportPlace, openFailures: number): Delivery {
  const { behind, checkpoint, movedAt, pause, position } = place;
  return Object.freeze({
    _importId,
    ...(checkpoint === undefined ? {} : { checkpoint: checkpoint.value, checkpointVersion: checkpoint.version }),
    ...(movedAt === undefined ? {} : { movedAt: new Date(movedAt).toISOString() }),
    behind: behind === true || position !== undefined,
    openFailures,
    ...(pause === undefined ? {} : { paused: pause }),
  });
}

function waitingPage(page: InboxPage, flow: Flow, places: Readonly<Record<string, ImportPlace>>): WaitingPage {
  const { _id, at, cursor, droppedFor = [], keys, records } = page;
  const isWaiting = (_importId: string) =>
    !droppedFor.includes(_importId) && Number(places[_importId]?.inbox ?? 0) < Number(cursor);
  const _importIds = Object.freeze(importIdsOf(flow).filter(isWaiting));
  return Object.freeze({ _id, arrivedAt: new Date(at).toISOString(), records, keys, _importIds });
}
