import { itemAt } from "../../model/item-at.ts";
import { failureStatuses, faults } from "../../model/failure.ts";
import { instant } from "../../model/filters.ts";
import { flowStates } from "../../model/flow/activity.ts";
import { formatValue } from "../../model/record/json.ts";
import { runStatuses, triggers } from "../../model/run.ts";
import { v } from "../../model/validate.ts";
import {
  described,
  exportDocument,
  failureDocument,
  flowDocument,
  importDocument,
  inboxPageDocument,
  runDocument,
} from "../documents.ts";
import { type Problem, HttpError } from "../http-error.ts";

/** Query parameters by name; each schema reads a string. */
export type QuerySchema = v.ObjectSchema<Record<string, v.GenericSchema>, undefined>;

const string = v.string("a string");
const filter = (description: string) => v.optional(described(string, description));
const one = <const T extends readonly string[]>(names: T) => v.picklist(names, `one of ${names.join(", ")}`);
const trueOrFalse = v.pipe(
  one(["true", "false"]),
  v.transform((given) => given === "true"),
  v.boolean(),
);

const limitRange = "a whole number from 1 to 1000";
const limit = v.pipe(
  v.string(),
  v.regex(/^\d{1,9}$/, limitRange),
  v.transform(Number),
  v.number(),
  v.integer(),
  v.minValue(1, limitRange),
  v.maxValue(1_000, limitRange),
);
const paging = {
  limit: v.optional(described(limit, "Most items of one page; 100 if it is left out.")),
  after: filter("Where the list continues: taken from the `Link` header with `rel=next`."),
};

/** `include` and `exclude` for documents of this shape. */
function projection(document: { readonly entries: Readonly<Record<string, unknown>> }) {
  const fields = Object.keys(document.entries);
  const expected = `fields of ${fields.join(", ")}, or paths below them, separated by commas`;
  const paths = v.pipe(
    v.string(),
    v.transform((list) => list.split(",")),
    v.array(v.string()),
    v.check((list) => list.every((path) => fields.includes(itemAt(path.split(".", 1), 0))), expected),
  );
  return {
    include: v.optional(described(paths, "Only these fields: names or dotted paths, separated by commas.")),
    exclude: v.optional(described(paths, "All fields but these. Not together with `include`.")),
  };
}

const partWords = "a string of 1 to 200 characters";
/** Something to look for. */
export const partOfText = v.pipe(v.string(partWords), v.minLength(1, partWords), v.maxLength(200, partWords));

/** Filters of the flows of one integration. */
export const integrationFlowsQuery = v.object({
  _connectorId: filter("Flows of this connector."),
  _exportId: filter("Flows that use this export."),
  _importId: filter("Flows that use this import."),
  disabled: v.optional(described(trueOrFalse, "`true`: only disabled flows; `false`: only enabled ones.")),
  q: v.optional(described(partOfText, "Flows with this in their name, in any case.")),
  state: v.optional(described(one(flowStates), "Flows that are so at present.")),
  ...paging,
  ...projection(flowDocument),
});

/** Filters of all flows. */
export const flowsQuery = v.object({
  _integrationId: filter("Flows of this integration."),
  ...integrationFlowsQuery.entries,
});

/** Filters of runs. */
export const runsQuery = v.object({
  _flowId: filter("Runs of this flow."),
  _exportId: filter("Runs that read from this export."),
  _importId: filter("Runs that write to this import."),
  _integrationId: filter("Runs of flows of this integration."),
  _connectorId: filter("Runs of flows of this connector."),
  status: v.optional(described(one(runStatuses), "Runs in this state.")),
  trigger: v.optional(described(one(triggers), "Runs with this trigger.")),
  ...paging,
  ...projection(runDocument),
});

/** How deliveries are shown. */
export const deliveriesQuery = v.object(paging);

/** How an inbox is shown. */
export const inboxQuery = v.object({ ...paging, ...projection(inboxPageDocument) });

/** Filters of the failures of one flow. */
export const failuresQuery = v.object({
  _importId: filter("Failures at this import."),
  _runId: filter("Failures of this run."),
  key: filter("Failures of the record with this key."),
  fault: v.optional(described(one(faults), "Failures whose last attempt ended like this.")),
  status: v.optional(
    described(one(failureStatuses), "Failures in this state; open and resolved ones if it is left out."),
  ),
  ...paging,
  ...projection(failureDocument),
});

/** Filters of all failures. */
export const allFailuresQuery = v.object({
  _flowId: filter("Failures of this flow."),
  _exportId: filter("Failures of records of this export."),
  _integrationId: filter("Failures of flows of this integration."),
  _connectorId: filter("Failures of flows of this connector."),
  cause: filter("Failures with this cause."),
  keyPrefix: v.optional(described(partOfText, "Failures of records whose key begins so.")),
  text: v.optional(
    described(
      partOfText,
      "Failures with this in their message or record, in any case of ASCII letters. One request looks at about 20,000: the page may be short, or empty, with more to come.",
    ),
  ),
  order: v.optional(
    described(one(["newest", "oldest"]), "Which come first, by when they were stored: `newest` if it is left out."),
  ),
  ...failuresQuery.entries,
});

/** Filters of the overview. */
export const overviewQuery = v.object({ _integrationId: filter("Flows, runs and failures of this integration.") });

/** Filters of statistics. */
export const statisticsQuery = v.object({
  from: described(instant, "Since when; the beginning of its hour counts."),
  until: described(instant, "Until when, at most 744 steps after `from`; its hour counts as a whole."),
  step: v.optional(described(one(["hour", "day"]), "`hour` if it is left out; `day`: 24 hours each, from `from` on.")),
  _integrationId: filter("Runs of flows of this integration."),
  _flowId: filter("Runs of this flow, as far as they are remembered: each counts when it ended."),
});

/** Filters of causes. */
export const causesQuery = v.object({
  _flowId: filter("Failures of this flow, by import and cause."),
  _importId: filter("Failures at this import."),
  _integrationId: filter("Failures of flows of this integration."),
  disabled: v.optional(described(trueOrFalse, "`true`: only of disabled flows; `false`: only of enabled ones.")),
  limit: v.optional(described(limit, "Most causes; 100 if it is left out.")),
});

/** How exports are shown. */
export const exportsQuery = v.object({ ...paging, ...projection(exportDocument) });

/** How imports are shown. */
export const importsQuery = v.object({ ...paging, ...projection(importDocument) });

/** The newest runs of a flow. */
export const latestQuery = v.object({
  limit: v.optional(described(limit, "Respond with an array of the newest runs, at most this many.")),
});

/** Where a stream begins. */
export const eventsQuery = v.object({
  lastEventId: filter("As the header `Last-Event-ID`, for clients that cannot send it."),
});

/**
 * The query parameters of a request. Those in `ignored` are left out.
 *
 * @throws HttpError 400 naming each one that is unknown, repeated or out of range.
 */
export function readQuery(
  url: string,
  schema: QuerySchema = noParameters,
  ignored: readonly string[] = [],
): Record<string, unknown> {
  const at = url.indexOf("?");
  const text = at === -1 ? "" : url.slice(at + 1).replace(/#.*$/s, "");
  if (text === "" && !asksForSome(schema)) return {};
  const problems: Problem[] = [];
  const parameters = new URLSearchParams(text);
  for (const name of ignored) parameters.delete(name);
  const given = collect(parameters, Object.keys(schema.entries), problems);
  const parsed = v.safeParse(schema, given);
  for (const issue of parsed.issues ?? []) {
    const name = String(v.getDotPath(issue));
    const isMissing = given[name] === undefined;
    const expected = isMissing ? expectedOf(schema, name) : issue.message;
    problems.push(problem(name, `expected ${expected}, found ${isMissing ? "nothing" : formatValue(given[name])}`));
  }
  const query = parsed.output as Record<string, unknown>;
  if (problems.length === 0 && query.include !== undefined && query.exclude !== undefined)
    problems.push(problem("exclude", "expected either include or exclude, found both"));
  if (problems.length > 0) throw new HttpError(400, problems);
  return query;
}

const noParameters = v.object({});

/** Whether a request without parameters lacks some. */
function asksForSome(schema: QuerySchema): boolean {
  for (const name in schema.entries) if (schema.entries[name]?.type !== "optional") return true;
  return false;
}

/** What a parameter that is missing should have been, in the words of its own rule. */
function expectedOf(schema: QuerySchema, name: string): string {
  const rule = schema.entries[name];
  return (rule === undefined ? undefined : v.safeParse(rule, undefined).issues?.[0].message) ?? "a value";
}

/** Parameters that clients write with commas, or once for each value. */
const repeatable = new Set(["include", "exclude"]);

/** The value of each known parameter; `problems` receives the unknown and the repeated ones, each once. */
function collect(given: URLSearchParams, known: readonly string[], problems: Problem[]): Record<string, string> {
  const values = new Map<string, string[]>();
  for (const [name, value] of given) {
    const seen = values.get(name);
    if (seen === undefined) values.set(name, [value]);
    else seen.push(value);
  }
  // No prototype: the names are the caller's.
  const single = Object.create(null) as Record<string, string>;
  for (const [name, all] of values) {
    if (!known.includes(name)) problems.push(problem(name, `expected ${oneOf(known)}, found ${formatValue(name)}`));
    else if (all.length > 1 && !repeatable.has(name))
      problems.push(problem(name, "expected once, found several times"));
    single[name] = repeatable.has(name) ? all.join() : itemAt(all, all.length - 1);
  }
  return single;
}

function oneOf(names: readonly string[]): string {
  return names.length === 0 ? "no parameters" : `one of ${names.join(", ")}`;
}

function problem(field: string, message: string): Problem {
  return { code: "invalid_request", message: `${field === "" ? "The query" : field}: ${message}`, field };
}
