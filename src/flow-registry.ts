import { type Clock, systemClock } from "./clock.ts";
import {
  ConflictError,
  InvalidFlowError,
  InvalidOptionError,
  InvalidRequestError,
  NotFoundError,
  type PoundlockError,
} from "./errors.ts";
import { Events, type RegistryEvents, registryEventNames } from "./events.ts";
import { isPromise } from "./model/host/awaitable.ts";
import { type Export, exportRules } from "./model/host/export.ts";
import { hasRunAhead } from "./model/flow/clock-ahead.ts";
import type { Flow, FlowDefinition, FlowInput, FlowPatch } from "./model/flow/flow.ts";
import {
  type CodeDefinition,
  type WantedFlow,
  isStored,
  saysDisabled,
  storedFields,
  wantedBy,
  wantedByOperator,
  withoutDefinition,
} from "./model/flow/flow-change.ts";
import { type FlowChecks, type Subject, checkAlone, checkFlow, checkFlows } from "./model/flow/flow-checks.ts";
import { type FlowIssue, FlowIssues } from "./model/flow/flow-issues.ts";
import { type Import, importRules } from "./model/host/import.ts";
import { flowFilters } from "./model/filters.ts";
import type { ExportIdFor, Exports, FlowInputsFor, ImportIdFor, Imports } from "./model/host/fitting.ts";
import { formatValue, omitUndefined } from "./model/record/json.ts";
import { namedFields, patched } from "./model/flow/patch.ts";
import { type Shape, chosenId, expectation, invalidField, objectWith, v, validate } from "./model/validate.ts";
import { basisOf, checkCron, cronOf } from "./cron/cron.ts";
import {
  type DefineAllOptions,
  type ExpectedFlow,
  type FlowFilter,
  type RegistryOptions,
  checkOptions,
  defineAllRules,
  flowsById,
  newId,
} from "./registry-options.ts";
import { MemoryStorage } from "./storage/memory/memory-storage.ts";
import { listFlows } from "./storage/flow-list.ts";
import type { FlowHidden, ListResult, Storage } from "./storage/storage.ts";

/** Rows of a deleted flow that are removed in one call. */
const purgedAtOnce = 200;

/** Which exports, imports and flows exist. */
export class FlowRegistry<X extends Exports = Exports, M extends Imports = Imports> extends Events<RegistryEvents> {
  /** Where everything is kept. */
  readonly storage: Storage;
  /** The zone of schedules that name none. */
  readonly timezone: string;
  /** Tells the time. */
  readonly clock: Clock;
  /** Makes ids. */
  readonly newId: () => string;
  readonly #exports = new Map<string, Export<unknown>>();
  readonly #imports = new Map<string, Import<unknown>>();

  /** @throws `invalid_option` naming the first option, export or import that is invalid. */
  constructor(options: RegistryOptions<X, M> = {}) {
    super(registryEventNames);
    checkOptions(options, InvalidOptionError);
    this.storage = options.storage ?? new MemoryStorage();
    this.timezone = options.timezone ?? "UTC";
    this.clock = options.clock ?? this.storage.clock ?? systemClock;
    this.newId = options.newId ?? newId;
    for (const [_id, from] of Object.entries(options.exports ?? {})) this.addExport(_id, from);
    for (const [_id, into] of Object.entries(options.imports ?? {})) this.addImport(_id, into);
  }

  /**
   * Adds an export known only at run time.
   *
   * @throws `invalid_option` if it is no export; `conflict` if the id is taken.
   */
  addExport<T, C>(_id: string, from: Export<T, C>): void {
    if (!v.is(objectWith(["pages"]), from) && !v.is(objectWith(["listen"]), from))
      throw new InvalidOptionError(`exports.${_id}`, "an export with pages or listen", from);
    checkMembers(`exports.${_id}`, _id, from, exportRules);
    if (this.#exports.has(_id)) throw new ConflictError(`There is an export ${_id} already`);
    // What its checkpoints are is between the export and its own `migrate`; that they are JSON is checked page by page.
    this.#exports.set(_id, from as Export<unknown>);
  }

  /**
   * Adds an import known only at run time.
   *
   * @throws `invalid_option` if it is no import; `conflict` if the id is taken.
   */
  addImport<In, Out>(_id: string, into: Import<In, Out>): void {
    if (!v.is(objectWith(["write"]), into))
      throw new InvalidOptionError(`imports.${_id}`, "an import with write", into);
    checkMembers(`imports.${_id}`, _id, into, importRules);
    if (this.#imports.has(_id)) throw new ConflictError(`There is an import ${_id} already`);
    this.#imports.set(_id, into);
  }

  /** In the order they were added. */
  get exportIds(): readonly string[] {
    return [...this.#exports.keys()];
  }

  /** In the order they were added. */
  get importIds(): readonly string[] {
    return [...this.#imports.keys()];
  }

  /** Undefined if there is none. */
  findExport(_id: string): Export<unknown> | undefined {
    return this.#exports.get(_id);
  }

  /** Undefined if there is none. */
  findImport(_id: string): Import<unknown> | undefined {
    return this.#imports.get(_id);
  }

  /**
   * Stores a new flow.
   *
   * @throws `invalid_flow` with every problem there is.
   */
  async create<E extends string, I extends string>(
    input: FlowInput<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
  ): Promise<Flow> {
    const definition = await this.#read(input);
    const flow = this.#newFlow(this.newId(), { definition, group: undefined, disabledBy: undefined });
    if (!(await this.#insert(flow))) throw new ConflictError(`There is a flow ${flow._id} already`);
    this.emit("flow:created", { flow });
    return flow;
  }

  /**
   * The problems for which `create` would refuse `input`, none if it is valid; at most 100, of which the last then says
   * how many more there are. At once, and so without what only the storage knows: whether the flows of `_runNextFlowIds`
   * exist and lead back.
   */
  check(input: unknown): readonly FlowIssue[] {
    const issues = new FlowIssues();
    checkAlone(input, this.#checks(issues));
    return issues.all;
  }

  /**
   * The flow with this id.
   *
   * @throws `not_found`; `invalid_request` for what is no id, such as a Promise.
   */
  async get(_id: string): Promise<Flow> {
    return existing(await this.find(_id), _id);
  }

  /**
   * The flow with this id; undefined if there is none.
   *
   * @throws `invalid_request` for what is no id, such as a Promise.
   */
  async find(_id: string): Promise<Flow | undefined> {
    checkId("_id", _id);
    return this.storage.findFlow(_id);
  }

  /**
   * By ascending `_id`, which is by age for generated ones. `next`, if there is one, is the `after` of the next page.
   *
   * @throws `invalid_request` naming the filter that is unknown or out of range.
   */
  async list(filter: FlowFilter = {}): Promise<ListResult<Flow>> {
    const { limit = 100, ...rest } = filter;
    validate({ ...rest, limit }, flowFilters satisfies Shape<FlowFilter>, InvalidRequestError);
    return listFlows(this, { ...omitUndefined(rest), limit });
  }

  /**
   * Replaces the writable fields: what is left out is taken away. Read-only fields may be echoed back. If nothing
   * differs, nothing happens: no event, and `lastModified` stays.
   *
   * With another `_exportId` the imports begin anew, and waiting runs that have begun are canceled. An import that is
   * added begins where the one stands whose checkpoint was committed last; one that is removed loses its place, and its
   * open failures become resolved.
   *
   * @throws `not_found`, `invalid_flow`; `conflict` if `expected.lastModified` has moved, or if the export is another
   * one and the inbox still holds pages of the former.
   */
  async update<E extends string, I extends string>(
    _id: string,
    input: FlowInput<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
    expected: ExpectedFlow = {},
  ): Promise<Flow> {
    checkId("_id", _id);
    const definition = await this.#read(input, { _id });
    return this.#changeExisting(_id, expected, () => definition);
  }

  /**
   * Changes only the fields that `changes` names; `null` takes an optional one away, undefined names nothing. `settings`
   * are replaced as a whole. What is not named is not checked again. If nothing differs, nothing happens: no event, and
   * `lastModified` stays. Another export, and imports that are added or removed, mean what they mean to `update`.
   *
   * @throws `not_found`, `invalid_flow`; `conflict` if `expected.lastModified` has moved, or if the export is another
   * one and the inbox still holds pages of the former.
   */
  async patch<E extends string, I extends string>(
    _id: string,
    changes: FlowPatch<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
    expected: ExpectedFlow = {},
  ): Promise<Flow> {
    checkId("_id", _id);
    const named = namedFields(changes);
    return this.#changeExisting(_id, expected, (flow) => this.#read(patched(flow, changes), { _id, named }));
  }

  /**
   * Removes the flow with its places, inbox and open failures. Waiting runs are canceled, a running one is aborted.
   * However much there is, all of it is gone for every reader when this resolves; maintenance then frees the room.
   *
   * @throws `not_found`; `conflict` if `expected.lastModified` has moved.
   */
  async delete(_id: string, expected: ExpectedFlow = {}): Promise<void> {
    checkId("_id", _id);
    const at = this.clock.now();
    const { lastModified } = expected;
    const deleted = await this.storage.deleteFlow(
      _id,
      lastModified === undefined ? { at } : { expected: lastModified, at },
    );
    if (deleted.outcome !== "deleted")
      throw deleted.outcome === "missing" ? new NotFoundError("flow", _id) : stale(_id);
    const { flow, canceled: canceledRuns, active } = deleted;
    this.emit("flow:deleted", { flow, canceledRuns, ...(active === undefined ? {} : { activeRun: active }) });
  }

  /**
   * A flow written in code, under an id of its own: creates it, updates it if it differs, or does nothing. The same
   * call at every start of the host. Without `disabled` a flow that an operator disabled stays disabled.
   *
   * If the export is another one while the inbox still holds pages of the former, the flow stays as it is, so that the
   * host can start and drain them: it is returned, and `flow:kept` is emitted.
   *
   * @throws `invalid_flow` with every problem there is.
   */
  async define<E extends string, I extends string>(
    _id: string,
    input: FlowInput<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
  ): Promise<Flow> {
    const definition = await this.#read(input, { _id, chosen: true });
    return this.#define(_id, { definition, saysDisabled: saysDisabled(input) });
  }

  /**
   * Defines all of these flows, by their ids, as `define` does; they may run each other. If one of them is invalid,
   * nothing is stored. `options.removed` says what becomes of flows that an earlier call for the same group made and
   * that are not among them. Returns the flows, by their ids.
   *
   * @throws `invalid_flow` with every problem of every flow; `invalid_request` naming the option that is unknown or
   * out of range.
   */
  async defineAll<const E extends Readonly<Record<string, string>>, const I extends Readonly<Record<string, string>>>(
    flows: FlowInputsFor<X, M, E, I>,
    options: DefineAllOptions = {},
  ): Promise<{ readonly [_id in keyof E]: Flow }> {
    const { group = "default", removed = "keep" } = options;
    validate(options, defineAllRules, InvalidRequestError);
    const problem = expectation(flows, flowsById);
    if (problem !== undefined) throw new InvalidRequestError("flows", problem, flows);
    const issues = new FlowIssues();
    const definitions = await checkFlows(new Map(Object.entries(flows)), this.#checks(issues));
    if (issues.count > 0) throw new InvalidFlowError(issues.all, issues.count);
    const defined: [string, Flow][] = [];
    for (const [_id, one] of definitions) defined.push([_id, await this.#define(_id, { ...one, group })]);
    if (removed !== "keep") await this.#remove(await this.#idsIn(group, definitions), group, removed);
    return Object.fromEntries(defined) as { readonly [_id in keyof E]: Flow };
  }

  async #define(_id: string, code: CodeDefinition): Promise<Flow> {
    for (;;) {
      const changed = await this.#change(_id, {}, (previous) => wantedBy(code, previous));
      if (changed?.error !== undefined) this.#reportKept(changed.flow, changed.error);
      if (changed !== undefined) return changed.flow;
      const flow = this.#newFlow(_id, wantedBy(code));
      if (await this.#insert(flow)) {
        this.emit("flow:created", { flow });
        return flow;
      }
      // Another process created it in between, and it is to be compared after all.
    }
  }

  async #insert(flow: Flow): Promise<boolean> {
    const { clock, storage } = this;
    const hidden = this.#hidden(flow);
    if (await storage.insertFlow(flow, hidden)) return true;
    // It may be what a deleted flow of this id has left.
    const rest = { _flowId: flow._id, limit: purgedAtOnce };
    while (await storage.purgeFlows(rest)) await clock.yieldToEventLoop();
    return storage.insertFlow(flow, hidden);
  }

  #reportKept(flow: Flow, error: ConflictError): void {
    this.emit("flow:kept", { flow, error });
    // It must not go unnoticed that the host runs another flow than its code says.
    if (this.listenerCount("flow:kept") === 0) console.warn(error.message);
  }

  async #idsIn(group: string, except: ReadonlyMap<string, unknown>): Promise<readonly string[]> {
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const page = await this.list({ group, limit: 1_000, ...(after === undefined ? {} : { after }) });
      for (const { _id } of page.items) if (!except.has(_id)) ids.push(_id);
      after = page.next;
    } while (after !== undefined);
    return ids;
  }

  async #remove(_ids: readonly string[], group: string, removed: "disable" | "delete"): Promise<void> {
    for (const _id of _ids)
      if (removed === "disable") await this.#change(_id, {}, (flow) => withoutDefinition(flow, group));
      else
        await this.delete(_id).catch((error: unknown) => {
          if (!(error instanceof NotFoundError)) throw error;
        });
  }

  #newFlow(_id: string, wanted: WantedFlow): Flow {
    const now = this.clock.now();
    const at = new Date(now).toISOString();
    const nextRunAt = this.#nextRunAt(_id, wanted.definition, now);
    return Object.freeze({ _id, ...storedFields(wanted), createdAt: at, lastModified: at, ...nextRunAt });
  }

  async #changeExisting(
    _id: string,
    expected: ExpectedFlow,
    define: (flow: Flow) => Promise<FlowDefinition> | FlowDefinition,
  ): Promise<Flow> {
    const changed = await this.#change(_id, expected, async (flow) => wantedByOperator(await define(flow), flow));
    if (changed?.error !== undefined) throw changed.error;
    return existing(changed?.flow, _id);
  }

  // Undefined if there is no such flow. With an error, the flow is as it was.
  async #change(
    _id: string,
    expected: ExpectedFlow,
    want: (previous: Flow) => Promise<WantedFlow> | WantedFlow,
  ): Promise<{ readonly flow: Flow; readonly error?: ConflictError } | undefined> {
    for (;;) {
      const previous = await this.storage.findFlow(_id);
      if (previous === undefined) return undefined;
      if (expected.lastModified !== undefined && expected.lastModified !== previous.lastModified) throw stale(_id);
      const wanted = await want(previous);
      if (isStored(wanted, previous)) return { flow: previous };
      const replaced = await this.#replace(previous, wanted);
      if (replaced.outcome === "replaced") {
        const { flow, canceled: canceledRuns } = replaced;
        this.emit("flow:updated", { flow, previous, canceledRuns });
        return { flow };
      }
      if (replaced.outcome === "unread") return { flow: previous, error: unread(previous, replaced.pages) };
      // Another process was faster: what is to change is decided anew, on what is there now.
    }
  }

  #replace(previous: Flow, wanted: WantedFlow) {
    const { definition } = wanted;
    const now = this.clock.now();
    const lastModified = new Date(Math.max(now, Date.parse(previous.lastModified) + 1)).toISOString();
    const { _id, createdAt, schedule, timezone, disabled } = previous;
    const reschedule =
      schedule !== definition.schedule || timezone !== definition.timezone || disabled !== definition.disabled;
    // Otherwise the stored one stays, and a schedule that this process cannot read stands in nobody's way.
    const nextRunAt = reschedule ? this.#nextRunAt(_id, definition, now) : {};
    const flow = { _id, ...storedFields(wanted), createdAt, lastModified, ...nextRunAt };
    // While it was disabled nobody put right what a clock had run that was ahead.
    const forgetting = reschedule && hasRunAhead(previous, now) ? { forgetAfter: now } : {};
    const hidden = reschedule ? { ...this.#hidden(flow), ...forgetting } : {};
    return this.storage.replaceFlow(flow, { expected: previous.lastModified, reschedule, at: now, ...hidden });
  }

  // What `nextRunAt` is computed from, so that the timetable finds out when that has changed; and the one after it.
  #hidden({ _id, schedule, timezone, disabled, nextRunAt }: Flow): FlowHidden {
    if (schedule === undefined || disabled) return {};
    const zoned = [schedule, timezone ?? this.timezone, _id] as const;
    const followingDueAt = nextRunAt === undefined ? undefined : cronOf(...zoned).next(Date.parse(nextRunAt));
    return omitUndefined({ basis: basisOf(...zoned), followingDueAt });
  }

  #nextRunAt(_id: string, { schedule, timezone, disabled }: FlowDefinition, now: number): Pick<Flow, "nextRunAt"> {
    if (schedule === undefined || disabled) return {};
    const dueAt = cronOf(schedule, timezone ?? this.timezone, _id).next(now);
    return dueAt === undefined ? {} : { nextRunAt: new Date(dueAt).toISOString() };
  }

  /** @throws `invalid_flow` with every problem there is. */
  async #read(input: unknown, subject: Subject = {}): Promise<FlowDefinition> {
    const issues = new FlowIssues();
    const definition = await checkFlow(input, this.#checks(issues), subject);
    if (definition === undefined) throw new InvalidFlowError(issues.all, issues.count);
    return definition;
  }

  #checks(issues: FlowIssues): FlowChecks {
    const findFlow = (_id: string) => this.storage.findFlow(_id);
    const { timezone } = this;
    return { issues, exports: this.#exports, imports: this.#imports, timezone, checkSchedule: checkCron, findFlow };
  }
}

/**
 * Refuses what cannot be an id, above all the promise of a document: an `await` is missing then.
 *
 * @throws `invalid_request` naming the parameter.
 */
export function checkId(parameter: string, _id: unknown): asserts _id is string {
  if (typeof _id === "string") return;
  const hint = isPromise(_id) ? "; the id is a Promise: await it" : "";
  throw new InvalidRequestError(parameter, "the id of a document, a string", _id, { hint });
}

function checkMembers(place: string, _id: string, members: object, shape: Shape): void {
  const problem = invalidField(members, shape);
  if (problem !== undefined) throw new InvalidOptionError(`${place}.${problem.field}`, problem.expected, problem.found);
  const expected = expectation(_id, chosenId);
  if (expected !== undefined) throw new InvalidOptionError(place, `as its id ${expected}`, _id);
}

function existing(flow: Flow | undefined, _id: string): Flow {
  if (flow === undefined) throw new NotFoundError("flow", _id);
  return flow;
}

function unread({ _id, _exportId }: Flow, pages: number): ConflictError {
  const waiting = `its inbox has ${pages} ${pages === 1 ? "page" : "pages"} of export ${formatValue(_exportId)}`;
  return new ConflictError(`Flow ${_id} cannot get another export while ${waiting}: run the flow, or drop them, first`);
}

function stale(_id: string): PoundlockError {
  return new ConflictError(`Flow ${_id} was changed since: its lastModified has moved`);
}
