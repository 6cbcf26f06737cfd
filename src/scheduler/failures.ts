import type { Clock } from "../clock.ts";
import { ConflictError, InvalidRequestError, NotFoundError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Failure } from "../model/failure.ts";
import { mostListed, roughSize } from "../model/record/size.ts";
import { storable } from "../model/record/storable.ts";
import type { FailureList, FailureQuery, Storage } from "../storage/storage.ts";

/** Everything failures need. */
export interface FailuresDeps {
  readonly storage: Pick<Storage, "findFailure" | "listFailures" | "resolveFailures" | "editFailure">;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
  /** Fewer of this flow's failures are open than before. */
  readonly onSettled: (_flowId: string) => void;
}

/** How many failures one search looks at, or a few more. */
const mostSearched = 20_000;

/** How many ids are looked up in one call. */
const lookupSize = 1_000;

/** How many failures are resolved in one call: a run that has a page to commit waits for no more than these. */
const changeSize = 100;

/** What a person may do about failures. */
export class Failures {
  readonly #deps: FailuresDeps;

  constructor(deps: FailuresDeps) {
    this.#deps = deps;
  }

  /** @throws `not_found` */
  async get(_id: string): Promise<Failure> {
    const failure = await this.#deps.storage.findFailure(_id);
    if (failure === undefined) throw new NotFoundError("failure", _id);
    return failure;
  }

  /**
   * A page of failures. A search goes on, with other work in between, until it has found enough or looked at 20,000: then
   * `examined` says at how many, and `next` where the rest begins.
   */
  async list(query: FailureQuery): Promise<FailureList> {
    const { clock, storage } = this.#deps;
    const items: Failure[] = [];
    let examined = 0;
    let size = 0;
    for (let after = query.after; ;) {
      const page = after === undefined ? query : { ...query, after };
      const found = await storage.listFailures({ ...page, limit: query.limit - items.length });
      if (found.examined === undefined) return found;
      items.push(...found.items);
      examined += found.examined;
      for (const { record } of found.items) size += roughSize(record, mostListed);
      const { next } = found;
      if (next === undefined) return { items, examined };
      if (items.length === query.limit || examined >= mostSearched || size > mostListed)
        return { items, examined, next };
      after = next;
      await clock.yieldToEventLoop();
    }
  }

  /** @throws `not_found` naming the first id that is no failure's, or not one that the filter matches. */
  async expect(_ids: readonly string[], filter: Pick<FailureQuery, "_flowId" | "_integrationId">): Promise<void> {
    for (let start = 0; start < _ids.length; start += lookupSize) {
      const slice = _ids.slice(start, start + lookupSize);
      const found = new Set<string>();
      let after: string | undefined;
      do {
        const query = { ...filter, _ids: slice, limit: lookupSize, ...(after === undefined ? {} : { after }) };
        const { items, next } = await this.#deps.storage.listFailures(query);
        for (const { _id } of items) found.add(_id);
        after = next;
      } while (after !== undefined);
      const missing = slice.find((_id) => !found.has(_id));
      if (missing !== undefined) throw new NotFoundError("failure", missing);
    }
  }

  /**
   * Marks failures as resolved; returns those that were open.
   *
   * @throws `not_found` for an id that is no failure's; nothing is resolved then.
   */
  async resolve(_ids: readonly string[]): Promise<readonly Failure[]> {
    await this.expect(_ids, {});
    return this.resolveKnown(_ids);
  }

  /** The same for ids that are failures'. */
  async resolveKnown(_ids: readonly string[]): Promise<readonly Failure[]> {
    const { clock, emit, onSettled, storage } = this.#deps;
    const at = clock.now();
    const resolved: Failure[] = [];
    for (let start = 0; start < _ids.length; start += changeSize) {
      const failures = await storage.resolveFailures(_ids.slice(start, start + changeSize), at);
      resolved.push(...failures);
      if (failures.length > 0)
        emit("failures:resolved", { _ids: failures.map(({ _id }) => _id), resolvedBy: "person" });
    }
    for (const _flowId of new Set(resolved.map((failure) => failure._flowId))) onSettled(_flowId);
    return resolved;
  }

  /** @throws `not_found`; `conflict` if it is not open, its record was not kept, or a retry is running; `invalid_request`. */
  async edit(_id: string, record: unknown): Promise<Failure> {
    const { clock, storage } = this.#deps;
    const failure = await this.get(_id);
    const result = storable(record);
    if (result.problem !== undefined)
      throw new InvalidRequestError("record", `a record that can be stored (${result.problem})`, record);
    const change = { record: result.record, at: clock.now() };
    const edited = failure.unstorable === true ? undefined : await storage.editFailure(_id, change);
    if (edited === undefined)
      throw new ConflictError(`Failure ${_id} is not open, its record was not kept, or a retry of its flow is running`);
    return edited;
  }
}
