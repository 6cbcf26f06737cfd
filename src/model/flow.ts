import { type Json, formatValue } from "./json.ts";
import { unstorable, v } from "./validate.ts";

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
  /** JSON of the host's own, handed to the export and the imports with the flow. */
  readonly settings?: Readonly<Record<string, Json>>;
  /** Flows that get a run when a run of this one completes. */
  readonly _runNextFlowIds?: readonly string[];
  /** The group of `defineAll` that names it. */
  readonly group?: string;
  /** True: no schedule, no manual run, no intake. */
  readonly disabled: boolean;
  readonly createdAt: string;
  /** Strictly increases with every change to the fields above. */
  readonly lastModified: string;
  /** When the newest run started. */
  readonly lastExecutedAt?: string;
  /** The next due time, absent without a schedule or while disabled. */
  readonly nextRunAt?: string;
}

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
  readonly disabled: boolean;
}

/** One reason why the definition of a flow is invalid. */
export interface FlowIssue {
  /** `invalid_ref`: no export, or import, is registered under that id. */
  readonly code: "missing_required_field" | "invalid_field" | "invalid_ref" | "unknown_field";
  /** The field at fault, such as `schedule` or `_importIds.2`. */
  readonly field: string;
  /** What was expected and what was found, in words. */
  readonly message: string;
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
  "disabled",
] as const;

/** Set by the registry and the runs; accepted and ignored when a document is echoed back. */
export const readOnlyFlowFields = ["_id", "createdAt", "lastModified", "lastExecutedAt", "nextRunAt"] as const;

const text = (what: string) =>
  v.pipe(
    v.string(what),
    v.trim(),
    v.minLength(1, what),
    v.maxLength(255, what),
    v.check((given) => !unstorable.test(given), `${what}, none of them a NUL or half of a surrogate pair`),
  );
const id = text("a string of 1 to 255 characters");
const said = <S extends v.GenericSchema>(schema: S, description: string) => v.pipe(schema, v.description(description));
const cronText = "a cron expression, or null for none";

/** The writable fields as a schema: shapes and lengths. Ids and cron expressions are checked by the registry. */
export const flowSchema = v.object({
  name: said(
    text("a string of 1 to 255 characters after trimming"),
    "Give your flow an intuitive name to stay organized.",
  ),
  schedule: said(
    v.nullish(
      v.pipe(v.string(cronText), v.trim(), v.minLength(1, cronText)), // how long it may be is the cron reader's to say
    ),
    "Cron expression, at most once a minute. Without one the flow runs only when asked, or as events arrive.",
  ),
  timezone: said(v.nullish(text("an IANA time zone")), "IANA zone of the schedule; without one the registry's."),
  _exportId: said(id, "The id under which the export is registered."),
  _importId: said(v.nullish(id), "The import, or the first of `_importIds`. One of the two is required."),
  _importIds: v.nullish(
    v.pipe(
      v.array(id, "an array of 1 to 50 import ids"),
      v.minLength(1, "an array of 1 to 50 import ids"),
      v.maxLength(50, "an array of 1 to 50 import ids"),
      v.check((ids) => new Set(ids).size === ids.length, "ids that are all different"),
    ),
  ),
  _integrationId: said(v.nullish(id), "The id of the integration that this flow is part of."),
  _connectorId: said(v.nullish(id), "The id of the connector that this flow belongs to."),
  disabled: said(v.nullish(v.boolean("true or false")), "True: no schedule, no manual run, no intake."),
});

/** The definition in `input`, or every problem it has, none left for a second try. */
export function readFlow(input: unknown): { readonly definition: FlowDefinition } | { readonly issues: FlowIssue[] } {
  if (typeof input !== "object" || input === null || Array.isArray(input))
    return {
      issues: [
        {
          code: "invalid_field",
          field: "",
          message: `expected a flow, found ${formatValue(input)}`,
        },
      ],
    };
  const parsed = v.safeParse(flowSchema, input);
  const issues = [...unknownFields(input), ...(parsed.issues ?? []).map(toFlowIssue), ...importIssues(input)];
  return parsed.success && issues.length === 0 ? { definition: normalize(parsed.output) } : { issues };
}

/** The ids of a flow's imports, in order. */
export function importIdsOf(flow: Pick<Flow, "_importId" | "_importIds">): readonly string[] {
  return flow._importIds ?? [flow._importId];
}

/** The definition that a stored flow was made from. */
export function definitionOf(flow: Flow): FlowDefinition {
  const { name, schedule, timezone, _exportId, _integrationId, _connectorId, disabled } = flow;
  return normalize({
    name,
    schedule,
    timezone,
    _exportId,
    _importIds: [...importIdsOf(flow)],
    _integrationId,
    _connectorId,
    disabled,
  });
}

/** True if both say the same, field by field. */
export function sameDefinition(one: FlowDefinition, other: FlowDefinition): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The definition as the fields of a stored flow. */
export function writtenFields(definition: FlowDefinition): Omit<Flow, (typeof readOnlyFlowFields)[number]> {
  const { _importIds, ...fields } = definition;
  const [first = ""] = _importIds;
  return {
    ...fields,
    _importId: first,
    ...(_importIds.length > 1 ? { _importIds: Object.freeze([..._importIds]) } : {}),
  };
}

function unknownFields(input: object): FlowIssue[] {
  const known: readonly string[] = [...flowFields, ...readOnlyFlowFields];
  return Object.keys(input)
    .filter((field) => !known.includes(field))
    .map((field) => ({
      code: "unknown_field",
      field,
      message: `${field}: a flow has no such field`,
    }));
}

function toFlowIssue(issue: v.BaseIssue<unknown>): FlowIssue {
  const field = v.getDotPath(issue) ?? "";
  if (issue.input === undefined && issue.path?.length === 1)
    return {
      code: "missing_required_field",
      field,
      message: `${field}: required, but not given`,
    };
  return {
    code: "invalid_field",
    field,
    message: `${field}: expected ${issue.message}, found ${formatValue(issue.input)}`,
  };
}

function importIssues(input: { _importId?: unknown; _importIds?: unknown }): FlowIssue[] {
  const { _importId, _importIds } = input;
  if (_importId == null && _importIds == null)
    return [
      {
        code: "missing_required_field",
        field: "_importId",
        message: "_importId: required, but not given",
      },
    ];
  if (_importId == null || !Array.isArray(_importIds) || trimmed(_importIds[0]) === trimmed(_importId)) return [];
  const message = `_importId: expected the first of _importIds, ${formatValue(_importIds[0])}, found ${formatValue(_importId)}`;
  return [{ code: "invalid_field", field: "_importId", message }];
}

function trimmed(value: unknown): unknown {
  return typeof value === "string" ? value.trim() : value;
}

function normalize(fields: v.InferOutput<typeof flowSchema>): FlowDefinition {
  const { name, schedule, timezone, _exportId, _importId, _importIds, _integrationId, _connectorId } = fields;
  return {
    name,
    ...(schedule == null ? {} : { schedule }),
    ...(timezone == null ? {} : { timezone }),
    _exportId,
    _importIds: _importIds ?? (_importId == null ? [] : [_importId]),
    ...(_integrationId == null ? {} : { _integrationId }),
    ...(_connectorId == null ? {} : { _connectorId }),
    disabled: fields.disabled ?? false,
  };
}
