import { v } from "../model/validate.ts";
import { formatValue } from "../model/json.ts";
import { failureStatuses } from "../model/failure.ts";
import { runStatuses, triggers } from "../model/run.ts";
import { failureDocument, exportDocument, flowDocument, importDocument, runDocument } from "./documents.ts";
import { type Problem, HttpError } from "./http-error.ts";

/** Query parameters by name; each reads one text. */
export type QuerySchema = v.ObjectSchema<Record<string, v.GenericSchema>, undefined>;

const said = <S extends v.GenericSchema>(schema: S, description: string) => v.pipe(schema, v.description(description));
const text = v.string("a text");
const filter = (description: string) => v.optional(said(text, description));
const one = <const T extends readonly string[]>(names: T) => v.picklist(names, `one of ${names.join(", ")}`);
const truth = v.pipe(
  one(["true", "false"]),
  v.transform((given) => given === "true"),
  v.boolean(),
);

const mostOfList = "a whole number from 1 to 1000";
const paging = {
  limit: v.optional(
    said(
      v.pipe(
        v.string(),
        v.regex(/^\d{1,9}$/, mostOfList),
        v.transform(Number),
        v.number(),
        v.integer(),
        v.minValue(1, mostOfList),
        v.maxValue(1_000, mostOfList),
      ),
      "How many at most. Without it 100.",
    ),
  ),
  after: filter("Where the list goes on: as the `Link` header with rel=next says."),
};

/** `include` and `exclude` for documents of this shape. */
function projection(document: { readonly entries: Readonly<Record<string, unknown>> }) {
  const fields = Object.keys(document.entries);
  const expected = `fields of ${fields.join(", ")}, or paths below them, with commas between`;
  const paths = v.pipe(
    v.string(),
    v.transform((list) => list.split(",")),
    v.array(v.string()),
    v.check((list) => list.every((path) => fields.includes(path.split(".", 1)[0] ?? "")), expected),
  );
  return {
    include: v.optional(said(paths, "Only these fields: names or paths with dots, with commas between.")),
    exclude: v.optional(said(paths, "All but these fields. Not together with `include`.")),
  };
}

/** The flows of one integration. */
export const integrationFlowsQuery = v.object({
  _connectorId: filter("Flows of this connector."),
  _exportId: filter("Flows that use this export."),
  _importId: filter("Flows that use this import."),
  disabled: v.optional(said(truth, "Only disabled flows, or only enabled ones.")),
  ...paging,
  ...projection(flowDocument),
});

/** All flows. */
export const flowsQuery = v.object({
  _integrationId: filter("Flows of this integration."),
  ...integrationFlowsQuery.entries,
});

/** The history. */
export const runsQuery = v.object({
  _flowId: filter("Runs of this flow."),
  _exportId: filter("Runs that read from this export."),
  _importId: filter("Runs that write to this import."),
  _integrationId: filter("Runs of flows of this integration."),
  _connectorId: filter("Runs of flows of this connector."),
  status: v.optional(said(one(runStatuses), "Runs in this state.")),
  trigger: v.optional(said(one(triggers), "Runs that exist for this reason.")),
  ...paging,
  ...projection(runDocument),
});

/** The failures of one flow. */
export const failuresQuery = v.object({
  _importId: filter("Failures at this import."),
  _runId: filter("Failures of this run."),
  status: v.optional(said(one(failureStatuses), "Failures in this state. Without it open and resolved ones.")),
  ...paging,
  ...projection(failureDocument),
});

/** The exports there are. */
export const exportsQuery = v.object(projection(exportDocument));

/** The imports there are. */
export const importsQuery = v.object(projection(importDocument));

/** The stream of events. */
export const eventsQuery = v.object({});

/**
 * The query parameters of a request, read.
 *
 * @throws Refusal naming each one that is unknown, given twice or out of range.
 */
export function readQuery(url: string, schema: QuerySchema | undefined): Record<string, unknown> {
  const at = url.indexOf("?");
  if (at === -1 || at === url.length - 1) return {};
  const given = new URLSearchParams(url.slice(at + 1).replace(/#.*$/s, ""));
  const known = Object.keys(schema?.entries ?? {});
  const problems: Problem[] = [];
  for (const name of new Set(given.keys())) {
    if (!known.includes(name)) problems.push(problem(name, `expected ${oneOf(known)}, found ${formatValue(name)}`));
    else if (!listed.includes(name) && given.getAll(name).length > 1)
      problems.push(problem(name, "expected once, found more often"));
  }
  // Without a prototype, as names come from outside.
  const texts = Object.assign(Object.create(null) as object, Object.fromEntries(given));
  for (const name of listed) if (given.has(name)) Object.assign(texts, { [name]: given.getAll(name).join() });
  const parsed = v.safeParse(schema ?? nothing, texts);
  for (const issue of parsed.issues ?? []) {
    const name = v.getDotPath(issue) ?? "";
    problems.push(
      problem(name, `expected ${issue.message}, found ${formatValue((texts as Record<string, unknown>)[name])}`),
    );
  }
  const query = parsed.output as Record<string, unknown>;
  if (problems.length === 0 && query.include !== undefined && query.exclude !== undefined)
    problems.push(problem("exclude", "expected either include or exclude, found both"));
  if (problems.length > 0) throw new HttpError(400, problems);
  return query;
}

const nothing = v.object({});

/** Parameters that clients write with commas, or once for each of their values. */
const listed = ["include", "exclude"];

function oneOf(names: readonly string[]): string {
  return names.length === 0 ? "no parameters" : `one of ${names.join(", ")}`;
}

function problem(field: string, message: string): Problem {
  return { code: "invalid_request", message: `${field === "" ? "The query" : field}: ${message}`, field };
}
