import { toJsonSchema } from "@valibot/to-json-schema";
import type { Schema } from "./documents.ts";
import {
  acceptedDocument,
  dependenciesDocument,
  errorsDocument,
  exportDocument,
  failureDocument,
  flowDocument,
  healthDocument,
  importDocument,
  resolvedDocument,
  runDocument,
} from "./documents.ts";
import { jsonPatch, mergePatch } from "./routes/flows.ts";
import { flowSchema } from "../model/flow.ts";
import type { Answer, Route } from "./routes/route.ts";

/** Shapes that have a name in the document; wherever one is used it is referred to. */
const definitions: Readonly<Record<string, Schema>> = {
  Flow: flowDocument,
  FlowInput: flowSchema,
  FlowPatch: mergePatch,
  JsonPatch: jsonPatch,
  Run: runDocument,
  Failure: failureDocument,
  Export: exportDocument,
  Import: importDocument,
  Dependencies: dependenciesDocument,
  Accepted: acceptedDocument,
  Resolved: resolvedDocument,
  Health: healthDocument,
  Errors: errorsDocument,
};

/** What a status means where a route does not say it itself. */
const refusals: Readonly<Record<number, string>> = {
  400: "Something about the request itself is wrong: a query parameter, the body.",
  401: "Who asks is not known.",
  403: "Who asks is known, and may not.",
  404: "There is none with that id, or none that the caller may see.",
  409: "The document is in no state for this, or was changed meanwhile.",
  412: "The flow is not as `If-Match` says.",
  413: "The body is too large.",
  415: "The body is of a type that is not read here.",
  422: "The flow does not hold; every problem is told.",
  429: "A line is full. Nothing was taken: try again later.",
  500: "An error that was not expected; its id is in the log.",
  503: "The storage or the executor does not answer: try again later.",
};

/** Refusals that carry when to try again. */
const withRetryAfter = [429, 503];

/** The statuses that a route may be refused with, ascending. */
export function refusalsOf({ path, body, refusals: own = [] }: Route): readonly number[] {
  const always = [400, 401, 403, 500, 503];
  const named = path.includes("{") && !path.startsWith("/integrations/") ? [404] : [];
  return [...always, ...named, ...(body === undefined ? [] : [413, 415]), ...own].sort((one, other) => one - other);
}

/** OpenAPI 3.1 of these routes, made from the shapes by which they read and answer. */
export function openapiOf(routes: readonly Route[], basePath: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  return {
    openapi: "3.1.0",
    info: {
      title: "poundlock",
      version: "1",
      description: "Flows move records out of one application and into others, one run of a flow at a time.",
    },
    servers: [{ url: basePath === "" ? "/" : basePath }],
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(definitions).map(([name, schema]) => [name, schemaOf(schema, "ignore", name)]),
      ),
    },
  };
}

function operationOf(route: Route): object {
  const { operationId, summary, body, answers, query } = route;
  // With `include` or `exclude` any field may be missing, at any depth.
  const inParts = query !== undefined && "include" in query.entries;
  const parameters = parametersOf(route);
  const refused = refusalsOf(route).map((status) => [status, refusalAnswer(status)]);
  return {
    operationId,
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: body.required, content: contentOf(body.content) } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          inParts ? withoutRequired(answerOf(answer)) : answerOf(answer),
        ]),
      ),
      ...(Object.fromEntries(refused) as object),
    },
  };
}

function parametersOf({ path, query, headers = {} }: Route): object[] {
  const [, name] = /\{(\w+)\}/.exec(path) ?? [];
  const inPath = name === undefined ? [] : [{ name, in: "path", required: true, schema: { type: "string" } }];
  const inQuery = Object.entries(query?.entries ?? {}).map(([parameter, schema]) => {
    const { description, ...read } = schemaOf(schema, "output") as Record<string, unknown>;
    const list = read.type === "array" ? { style: "form", explode: false } : {};
    return { name: parameter, in: "query", required: false, description, ...list, schema: read };
  });
  const inHeaders = Object.entries(headers).map(([header, description]) => ({
    name: header,
    in: "header",
    required: false,
    description,
    schema: { type: "string" },
  }));
  return [...inPath, ...inQuery, ...inHeaders];
}

function answerOf({ description, content, headers }: Answer): object {
  return {
    description,
    ...(headers === undefined ? {} : { headers: headersOf(headers) }),
    ...(content === undefined ? {} : { content: contentOf(content) }),
  };
}

function refusalAnswer(status: number): object {
  return answerOf({
    description: refusals[status] ?? "",
    content: { "application/json": errorsDocument },
    ...(withRetryAfter.includes(status) ? { headers: { "retry-after": "Seconds after which to try again." } } : {}),
  });
}

function headersOf(headers: Readonly<Record<string, string>>): object {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: "string" } }]),
  );
}

function contentOf(content: Readonly<Record<string, Schema>>): object {
  return Object.fromEntries(
    Object.entries(content).map(([type, schema]) => [type, { schema: schemaOf(schema, "ignore") }]),
  );
}

// `name`: written out, as it is the place that others refer to.
function schemaOf(schema: Schema, typeMode: "ignore" | "output", name?: string): object {
  const others = Object.fromEntries(Object.entries(definitions).filter(([one]) => one !== name));
  const { $schema, $defs, ...written } = toJsonSchema(schema, {
    target: "draft-2020-12",
    typeMode,
    // Rules beyond what JSON Schema can say; descriptions tell them.
    ignoreActions: ["trim", "check", "transform"],
    definitions: others,
    overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  });
  return written;
}

function withoutRequired(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutRequired);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([name, member]) => !(name === "required" && Array.isArray(member)));
  return Object.fromEntries(members.map(([name, member]) => [name, withoutRequired(member)]));
}
