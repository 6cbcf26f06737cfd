import { uuidv7 } from "uuidv7";
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
import { type Export, exportRules } from "./model/export.ts";
import {
  type Flow,
  type FlowDefinition,
  type FlowIssue,
  definitionOf,
  readFlow,
  sameDefinition,
  writtenFields,
} from "./model/flow.ts";
import { type Import, importRules } from "./model/import.ts";
import { flowFilters } from "./model/filters.ts";
import type { ExportIdFor, Exports, ImportIdFor, Imports } from "./model/fitting.ts";
import { formatValue, omitUndefined } from "./model/json.ts";
import { patched } from "./model/patch.ts";
import {
  type Shape,
  callable,
  chosenId,
  expectation,
  invalidField,
  objectWith,
  v,
  validate,
} from "./model/validate.ts";
import { checkCron, cronOf } from "./cron/cron.ts";
import { MemoryStorage } from "./storage/memory/memory-storage.ts";
import type { FlowQuery, ListResult, Storage } from "./storage/storage.ts";

/** What a host writes of a flow. `null` in an optional field means that it is not set. */
export interface FlowInput<E extends string = string, I extends string = string> {
  /** 1–255 characters after trimming. */
  readonly name: string;
  /** Cron expression, at most once a minute. Without one the flow runs only when asked, or as events arrive. */
  readonly schedule?: string | null;
  /** IANA zone of the schedule. @default the registry's */
  readonly timezone?: string | null;
  /** The id under which the export is registered. */
  readonly _exportId: E;
  /** The import, or the first of `_importIds`. One of the two is required. */
  readonly _importId?: I | null;
  /** 1–50 imports, all different. */
  readonly _importIds?: readonly I[] | null;
  /** The host's own id of the integration this flow is part of, 1–255 characters; runs and failures carry it, too. */
  readonly _integrationId?: string | null;
  /** The host's own id of the connector this flow belongs to, 1–255 characters; runs and failures carry it, too. */
  readonly _connectorId?: string | null;
  /** @default false */
  readonly disabled?: boolean | null;
}

/** Only what is to change; `null` takes an optional field away. */
export type FlowPatch<E extends string = string, I extends string = string> = Partial<FlowInput<E, I>>;

/** What a registry is made of. */
export interface RegistryOptions<X extends Exports = Exports, M extends Imports = Imports> {
  /** The exports, by their `_exportId`. More can be added later. @default none */
  readonly exports?: X;
  /** The imports, by their `_importId`. More can be added later. @default none */
  readonly imports?: M;
  /** Where flows, runs and all else are kept. @default new MemoryStorage() */
  readonly storage?: Storage;
  /** IANA zone of schedules that name none. @default "UTC" */
  readonly timezone?: string;
  /** Tells the time. @default the system's */
  readonly clock?: Clock;
  /** Makes ids; each has to be new, and later ones sort after earlier ones. @default UUIDv7 */
  readonly newId?: () => string;
}

/** Which flows to list. */
export interface FlowFilter extends Omit<FlowQuery, "limit"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/** What an update expects to find. */
export interface Expected {
  /** The flow's `lastModified` as last read; if it has moved since, nothing is changed. */
  readonly lastModified?: string;
}

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

  /** @throws `invalid_option` naming the first option, export or import that does not hold. */
  constructor(options: RegistryOptions<X, M> = {}) {
    super(registryEventNames);
    const { storage = new MemoryStorage(), timezone = "UTC", clock = systemClock, newId = uuidv7 } = options;
    validate(options, optionRules, InvalidOptionError);
    this.storage = storage;
    this.timezone = timezone;
    this.clock = clock;
    this.newId = newId;
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
    const definition = this.#read(input);
    const _id = this.newId();
    const flow = this.#newFlow(_id, definition);
    if (!(await this.storage.insertFlow(flow))) throw new ConflictError(`There is a flow ${_id} already`);
    this.emit("flow:created", { flow });
    return flow;
  }

  /** Every problem for which `create` would refuse `input`; none if it holds. Nothing is stored. */
  check(input: unknown): readonly FlowIssue[] {
    const read = this.#examine(input);
    return "issues" in read ? read.issues : [];
  }

  /** @throws `not_found` */
  async get(_id: string): Promise<Flow> {
    return existing(await this.find(_id), _id);
  }

  /** Undefined if there is none. */
  async find(_id: string): Promise<Flow | undefined> {
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
    return this.storage.listFlows({ ...omitUndefined(rest), limit });
  }

  /**
   * Replaces the writable fields: what is left out is taken away. Read-only fields may be echoed back. If nothing
   * differs, nothing happens: no event, and `lastModified` stays.
   *
   * @throws `not_found`, `invalid_flow`; `conflict` if `expected.lastModified` has moved.
   */
  async update<E extends string, I extends string>(
    _id: string,
    input: FlowInput<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
    expected: Expected = {},
  ): Promise<Flow> {
    const definition = this.#read(input);
    return existing(await this.#change(_id, expected, () => definition), _id);
  }

  /**
   * Changes only the fields that `changes` names; `null` takes an optional one away, undefined names nothing. If
   * nothing differs, nothing happens: no event, and `lastModified` stays.
   *
   * @throws `not_found`, `invalid_flow`; `conflict` if `expected.lastModified` has moved.
   */
  async patch<E extends string, I extends string>(
    _id: string,
    changes: FlowPatch<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
    expected: Expected = {},
  ): Promise<Flow> {
    return existing(await this.#change(_id, expected, (flow) => this.#read(patched(flow, changes))), _id);
  }

  /**
   * Removes the flow with its checkpoint, inbox and open failures. Waiting runs are canceled, a running one is aborted.
   *
   * @throws `not_found`; `conflict` if `expected.lastModified` has moved.
   */
  async delete(_id: string, expected: Expected = {}): Promise<void> {
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
   * call at every start of the host.
   *
   * @throws `invalid_flow` with every problem there is.
   */
  async define<E extends string, I extends string>(
    _id: string,
    input: FlowInput<ExportIdFor<X, E>, ImportIdFor<X, M, E, I>>,
  ): Promise<Flow> {
    const expected = expectation(_id, chosenId);
    const issue = expected && invalid("_id", `expected ${expected}, found ${formatValue(_id)}`);
    const definition = this.#read(input, issue ? [issue] : []);
    for (;;) {
      const flow = this.#newFlow(_id, definition);
      if (await this.storage.insertFlow(flow)) {
        this.emit("flow:created", { flow });
        return flow;
      }
      const changed = await this.#change(_id, {}, () => definition);
      // Without one it was deleted in between, and is to be created after all.
      if (changed !== undefined) return changed;
    }
  }

  #newFlow(_id: string, definition: FlowDefinition): Flow {
    const now = this.clock.now();
    const at = new Date(now).toISOString();
    const times = { createdAt: at, lastModified: at, ...this.#nextRunAt(_id, definition, now) };
    return Object.freeze({ _id, ...writtenFields(definition), ...times });
  }

  // Undefined if there is no such flow.
  async #change(_id: string, expected: Expected, define: (flow: Flow) => FlowDefinition): Promise<Flow | undefined> {
    for (;;) {
      const previous = await this.find(_id);
      if (previous === undefined) return undefined;
      if (expected.lastModified !== undefined && expected.lastModified !== previous.lastModified) throw stale(_id);
      const definition = define(previous);
      if (sameDefinition(definition, definitionOf(previous))) return previous;
      const replaced = await this.#replace(previous, definition);
      // Somebody else was faster: what is to change is decided anew, on what is there now.
      if (replaced.outcome !== "replaced") continue;
      const { flow, canceled: canceledRuns } = replaced;
      this.emit("flow:updated", { flow, previous, canceledRuns });
      return flow;
    }
  }

  #replace(previous: Flow, definition: FlowDefinition) {
    const now = this.clock.now();
    const lastModified = new Date(Math.max(now, Date.parse(previous.lastModified) + 1)).toISOString();
    const { _id, createdAt } = previous;
    const flow = {
      _id,
      ...writtenFields(definition),
      createdAt,
      lastModified,
      ...this.#nextRunAt(_id, definition, now),
    };
    const { schedule, timezone, disabled } = previous;
    const reschedule =
      schedule !== definition.schedule || timezone !== definition.timezone || disabled !== definition.disabled;
    return this.storage.replaceFlow(flow, { expected: previous.lastModified, reschedule, at: now });
  }

  #nextRunAt(_id: string, { schedule, timezone, disabled }: FlowDefinition, now: number): Pick<Flow, "nextRunAt"> {
    if (schedule === undefined || disabled) return {};
    const dueAt = cronOf(schedule, timezone ?? this.timezone, _id).next(now);
    return dueAt === undefined ? {} : { nextRunAt: new Date(dueAt).toISOString() };
  }

  /** @throws `invalid_flow` with every problem there is. */
  #read(input: unknown, others: readonly FlowIssue[] = []): FlowDefinition {
    const read = this.#examine(input, others);
    if ("issues" in read) throw new InvalidFlowError(read.issues);
    return read.definition;
  }

  #examine(input: unknown, others: readonly FlowIssue[] = []): ReturnType<typeof readFlow> {
    const read = readFlow(input);
    const fields = (typeof input === "object" && input !== null ? input : {}) as Partial<FlowInput>;
    const shapeIssues = "issues" in read ? read.issues : [];
    // What is wrong by its shape already needs no second reason.
    const meaningIssues = [...this.#scheduleIssues(fields), ...this.#refIssues(fields)].filter(
      ({ field }) => !shapeIssues.some((issue) => issue.field === field),
    );
    const issues = [...others, ...shapeIssues, ...meaningIssues];
    return issues.length > 0 || "issues" in read ? { issues } : read;
  }

  #scheduleIssues({ schedule, timezone }: Partial<FlowInput>): FlowIssue[] {
    // Of what is blank, or no text, its shape tells; the other is looked at all the same.
    const textOf = (given: unknown, otherwise: string) => (typeof given === "string" && given.trim()) || otherwise;
    const zone = textOf(timezone, this.timezone);
    const expression = textOf(schedule, "* * * * *");
    return checkCron(expression, zone).map(({ field, message }) => invalid(field, message));
  }

  #refIssues({ _exportId, _importId, _importIds }: Partial<FlowInput>): FlowIssue[] {
    const ids = Array.isArray(_importIds) ? (_importIds as unknown[]) : [];
    const refs = [
      { field: "_exportId", _id: _exportId as unknown, known: this.#exports },
      { field: "_importId", _id: _importId as unknown, known: this.#imports },
      ...ids.map((_id, index) => ({ field: `_importIds.${index}`, _id, known: this.#imports })),
    ];
    return refs.flatMap(({ field, _id, known }) => {
      if (typeof _id !== "string" || _id.trim() === "" || known.has(_id.trim())) return [];
      const kind = field === "_exportId" ? "export" : "import";
      return [{ code: "invalid_ref", field, message: `${field}: no ${kind} ${JSON.stringify(_id)} is registered` }];
    });
  }
}

const optionRules: Shape<RegistryOptions> = {
  exports: v.optional(v.custom(isObject, "an object of exports by their ids")),
  imports: v.optional(v.custom(isObject, "an object of imports by their ids")),
  // Not all it has to have: enough to tell it from a class, a path or a promise that nobody awaited.
  storage: v.optional(objectWith(["insertFlow", "queueRun", "commitPage"], "a storage that is open")),
  timezone: v.optional(
    v.custom(
      (value) => typeof value === "string" && checkCron("* * * * *", value).length === 0,
      'an IANA time zone such as "Europe/Berlin"',
    ),
  ),
  clock: v.optional(objectWith(["now", "setTimer", "yieldToEventLoop"])),
  newId: v.optional(callable),
};

function checkMembers(place: string, _id: string, members: object, shape: Shape): void {
  const problem = invalidField(members, shape);
  if (problem !== undefined) throw new InvalidOptionError(`${place}.${problem.field}`, problem.expected, problem.found);
  const expected = expectation(_id, chosenId);
  if (expected !== undefined) throw new InvalidOptionError(place, `as its id ${expected}`, _id);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function existing(flow: Flow | undefined, _id: string): Flow {
  if (flow === undefined) throw new NotFoundError("flow", _id);
  return flow;
}

function invalid(field: string, message: string): FlowIssue {
  return { code: "invalid_field", field, message: message.startsWith(field) ? message : `${field}: ${message}` };
}

function stale(_id: string): PoundlockError {
  return new ConflictError(`Flow ${_id} was changed since: its lastModified has moved`);
}
