import type { FlowIssues } from "./flow-issues.ts";
import { formatValue } from "../record/json.ts";
import { type JsonObject, readSettings, sameJson } from "./settings.ts";
import { didYouMean } from "../suggest.ts";
import { isStorable, v } from "../validate.ts";

/** A stored flow: one export linked to one or more imports. Documents are frozen; times are ISO 8601 UTC. */
export interface Flow {
  /** Time-ordered (UUIDv7), or the host's own through `registry.define`. */
  readonly _id: string;
  /** 1–255 characters, trimmed; need not be unique. */
  readonly name: string;
  /** Cron expression; absent if the flow runs only when asked, or as events arrive. */
  readonly schedule?: string;
  /** IANA zone of the schedule; absent means the registry's. */
  readonly timezone?: string;
  readonly _exportId: string;
  /** The first import. */
  readonly _importId: string;
  /** All imports in order, only if there is more than one. */
  readonly _importIds?: readonly string[];
  /** The host's own id of the integration this flow is part of. */
  readonly _integrationId?: string;
  /** The host's own id of the connector this flow belongs to. */
  readonly _connectorId?: string;
  /** The host's own, for its export and imports; an object of JSON. */
  readonly settings?: JsonObject;
  /** Flows that get a run when a run of this one completes; absent if there are none. */
  readonly _runNextFlowIds?: readonly string[];
  /** True: no schedule, no manual run, no intake. */
  readonly disabled: boolean;
  /** Read-only. `"code"`: it is disabled because `define` or `defineAll` says so, and not an operator. */
  readonly disabledBy?: "code";
  /** Read-only. The group of the `defineAll` that names it. */
  readonly group?: string;
  /** Read-only. */
  readonly createdAt: string;
  /** Read-only. Strictly increases with every change to the fields above. */
  readonly lastModified: string;
  /** Read-only. When the newest run started. */
  readonly lastExecutedAt?: string;
  /** Read-only. The next due time, absent without a schedule or while disabled. */
  readonly nextRunAt?: string;
}

/** What a host writes of a flow. `null` in an optional field means that it is not set. */
export interface FlowInput<E extends string = string, I extends string = string> {
  /** 1–255 characters after trimming. */
  readonly name: string;
  /** Cron expression, at most once a minute. @default none: it runs only when asked, or as events arrive */
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
  /**
   * Handed to the export and the imports as `flow.settings`: the tenant's table, filter or account. An object of JSON,
   * at most 64 KB. Not for secrets: everyone who can read the flow can read them.
   */
  readonly settings?: object | null;
  /**
   * 0–50 other flows, all different, that get a run when a run of this one completes and no import of it was skipped,
   * failed or paused. They have to be there, and none may lead back to this flow.
   */
  readonly _runNextFlowIds?: readonly string[] | null;
  /** True: no schedule, no manual run, no intake. @default false; with `define`, as it is stored */
  readonly disabled?: boolean | null;
}

/** Only what is to change; `null` takes an optional field away. */
export type FlowPatch<E extends string = string, I extends string = string> = Partial<FlowInput<E, I>>;

/** What a host writes of a flow, in normal form: trimmed, defaults filled in, one list of imports. */
export interface FlowDefinition {
  readonly name: string;
  readonly schedule?: string;
  readonly timezone?: string;
  readonly _exportId: string;
  /** 1–50 distinct ids in order. */
  readonly _importIds: readonly string[];
  readonly _integrationId?: string;
  readonly _connectorId?: string;
  readonly settings?: JsonObject;
  /** 1–50 distinct ids; absent if there are none. */
  readonly _runNextFlowIds?: readonly string[];
  readonly disabled: boolean;
}

/** The writable fields, in the order documents show them. */
export const flowFields = [
  "name",
  "schedule",
  "timezone",
  "_exportId",
  "_importId",
  "_importIds",
  "_integrationId",
  "_connectorId",
  "settings",
  "_runNextFlowIds",
  "disabled",
] as const;

/** Set by the registry and the runs; accepted and ignored when a document is echoed back. */
export const readOnlyFlowFields = [
  "_id",
  "disabledBy",
  "group",
  "createdAt",
  "lastModified",
  "lastExecutedAt",
  "nextRunAt",
] as const;

const knownFields: ReadonlySet<string> = new Set([...flowFields, ...readOnlyFlowFields]);

const text = (what: string) =>
  v.pipe(
    v.string(what),
    v.trim(),
    v.minLength(1, what),
    v.maxLength(255, what),
    v.check((given) => isStorable(given), `${what}, none of them a NUL or half of a surrogate pair`),
  );
const id = text("a string of 1 to 255 characters");
const described = <S extends v.GenericSchema>(schema: S, description: string) =>
  v.pipe(schema, v.description(description));
const cronText = "a cron expression, or null for none";
const mostIds = 50;
const idsOf = (least: number, what: string) =>
  v.pipe(
    v.array(id, what),
    v.minLength(least, what),
    v.maxLength(mostIds, what),
    v.check((ids) => new Set(ids).size === ids.length, "ids that are all different"),
  );

/** The fields that are lists of ids, and what they have to be. */
const idLists = {
  _importIds: `an array of 1 to ${mostIds} import ids`,
  _runNextFlowIds: `an array of at most ${mostIds} flow ids`,
};

/** The writable fields as a schema: shapes and lengths. Ids and cron expressions are checked by the registry. */
export const flowSchema = v.object({
  name: described(
    text("a string of 1 to 255 characters after trimming"),
    "What people call the flow; need not be unique.",
  ),
  schedule: described(
    v.nullish(
      v.pipe(v.string(cronText), v.trim(), v.minLength(1, cronText)), // how long it may be is the cron reader's to say
    ),
    "Cron expression, at most once a minute. Without one the flow runs only when asked, or as events arrive.",
  ),
  timezone: described(v.nullish(text("an IANA time zone")), "IANA zone of the schedule; without one the registry's."),
  _exportId: described(id, "The id under which the export is registered."),
  _importId: described(v.nullish(id), "The import, or the first of `_importIds`. One of the two is required."),
  _importIds: described(v.nullish(idsOf(1, idLists._importIds)), "All imports in order, if there is more than one."),
  _integrationId: described(v.nullish(id), "The id of the integration that this flow is part of."),
  _connectorId: described(v.nullish(id), "The id of the connector that this flow belongs to."),
  settings: described(
    v.nullish(v.record(v.string(), v.unknown())),
    "For the export and the imports of the flow; an object of JSON, at most 64 KB. Not for secrets.",
  ),
  _runNextFlowIds: described(
    v.nullish(idsOf(0, idLists._runNextFlowIds)),
    "Flows that get a run when a run of this one completes and no import of it was skipped, failed or paused.",
  ),
  disabled: described(v.nullish(v.boolean("true or false")), "True: no schedule, no manual run, no intake."),
});

/** The definition in `input`; undefined if `issues` got every problem that it has by its shape. */
export function readFlow(input: unknown, issues: FlowIssues): FlowDefinition | undefined {
  const before = issues.count;
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    issues.add("invalid_field", "", () => `expected a flow, found ${formatValue(input)}`);
    return undefined;
  }
  addUnknownFields(input, issues);
  const fields = checkedLists(input, issues);
  const settings = settingsOf(input, issues);
  const parsed = v.safeParse(flowSchema, { ...fields, settings: undefined });
  for (const issue of parsed.issues ?? []) addParseIssue(issue, issues);
  addImportIssues(input, issues);
  return parsed.success && issues.count === before ? normalize({ ...parsed.output, settings }) : undefined;
}

/** The ids in a list of a flow's input, trimmed; empty in the place of what is none. More than 50 are refused as a whole: none. */
export function namedIds(input: unknown, field: keyof typeof idLists): readonly string[] {
  const list: unknown = (input as Partial<FlowInput> | null | undefined)?.[field];
  if (!Array.isArray(list) || list.length > mostIds) return [];
  return list.map((_id: unknown) => (typeof _id === "string" ? _id.trim() : ""));
}

/** The ids of a flow's imports, in order. */
export function importIdsOf(flow: Pick<Flow, "_importId" | "_importIds">): readonly string[] {
  return flow._importIds ?? [flow._importId];
}

/** The definition that a stored flow was made from. */
export function definitionOf(flow: Flow): FlowDefinition {
  return normalize({ ...flow, _importIds: importIdsOf(flow) });
}

/** True if both say the same, field by field. */
export function sameDefinition(one: FlowDefinition, other: FlowDefinition): boolean {
  const { settings, ...fields } = one;
  const { settings: others, ...otherFields } = other;
  return sameJson(settings, others) && sameJson(fields, otherFields);
}

/** The definition as the fields of a stored flow. */
export function writtenFields(definition: FlowDefinition): Omit<Flow, (typeof readOnlyFlowFields)[number]> {
  const { _importIds, _runNextFlowIds, ...fields } = definition;
  const [first = ""] = _importIds;
  return {
    ...fields,
    _importId: first,
    ...(_importIds.length > 1 ? { _importIds: Object.freeze([..._importIds]) } : {}),
    ...(_runNextFlowIds === undefined ? {} : { _runNextFlowIds: Object.freeze([..._runNextFlowIds]) }),
  };
}

function addUnknownFields(input: object, issues: FlowIssues): void {
  for (const field of Object.keys(input))
    if (!knownFields.has(field))
      issues.add("unknown_field", field, () => `a flow has no such field${didYouMean(field, flowFields)}`);
}

/** The writable fields, without lists that are too long to be looked at. */
function checkedLists(input: object, issues: FlowIssues): Record<string, unknown> {
  const given = input as Record<string, unknown>;
  const fields = Object.fromEntries(flowFields.map((field) => [field, given[field]]));
  for (const [field, expected] of Object.entries(idLists)) {
    const list = given[field];
    if (!Array.isArray(list) || list.length <= mostIds) continue;
    issues.add("invalid_field", field, () => `expected ${expected}, found ${formatValue(list)}`);
    fields[field] = undefined;
  }
  return fields;
}

function settingsOf({ settings }: { readonly settings?: unknown }, issues: FlowIssues): JsonObject | undefined {
  if (settings == null) return undefined;
  const read = readSettings(settings);
  if ("settings" in read) return read.settings;
  issues.add("invalid_field", "settings", () => read.problem);
  return undefined;
}

function addParseIssue(issue: v.BaseIssue<unknown>, issues: FlowIssues): void {
  const field = String(v.getDotPath(issue));
  if (issue.input === undefined && issue.path?.length === 1)
    issues.add("missing_required_field", field, () => "required, but not given");
  else issues.add("invalid_field", field, () => `expected ${issue.message}, found ${formatValue(issue.input)}`);
}

function addImportIssues(input: { _importId?: unknown; _importIds?: unknown }, issues: FlowIssues): void {
  const { _importId, _importIds } = input;
  if (_importId == null && _importIds == null)
    issues.add("missing_required_field", "_importId", () => "required, but not given");
  if (_importId == null || !Array.isArray(_importIds) || trimmed(_importIds[0]) === trimmed(_importId)) return;
  const [first] = _importIds as unknown[];
  const found = `${formatValue(first)}, found ${formatValue(_importId)}`;
  issues.add("invalid_field", "_importId", () => `expected the first of _importIds, ${found}`);
}

function trimmed(value: unknown): unknown {
  return typeof value === "string" ? value.trim() : value;
}

type DefinedFields = Omit<v.InferOutput<typeof flowSchema>, "settings" | "_importIds" | "_runNextFlowIds"> & {
  readonly settings?: JsonObject | undefined;
  readonly _importIds?: readonly string[] | null | undefined;
  readonly _runNextFlowIds?: readonly string[] | null | undefined;
};

function normalize(fields: DefinedFields): FlowDefinition {
  const { name, schedule, timezone, _exportId, _importId, _importIds, _integrationId, _connectorId } = fields;
  const { settings, _runNextFlowIds } = fields;
  return {
    name,
    ...(schedule == null ? {} : { schedule }),
    ...(timezone == null ? {} : { timezone }),
    _exportId,
    _importIds: _importIds ?? (_importId == null ? [] : [_importId]),
    ...(_integrationId == null ? {} : { _integrationId }),
    ...(_connectorId == null ? {} : { _connectorId }),
    ...(settings === undefined ? {} : { settings }),
    ...(_runNextFlowIds == null || _runNextFlowIds.length === 0 ? {} : { _runNextFlowIds }),
    disabled: fields.disabled ?? false,
  };
}
