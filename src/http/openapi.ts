import { toJsonSchema } from "@valibot/to-json-schema";
import type { Schema } from "./documents.ts";
import {
  acceptedDocument,
  causeDocument,
  deliveryDocument,
  droppedDocument,
  inboxPageDocument,
  resumedDocument,
  dependenciesDocument,
  reasonDocument,
  problemDocument,
  errorsDocument,
  exportDocument,
  failureDocument,
  flowDocument,
  healthDocument,
  overviewDocument,
  statisticsDocument,
  importDocument,
  permissionsDocument,
  resolvedBatchDocument,
  resolvedDocument,
  retriedBatchDocument,
  runDocument,
  schedulePreviewDocument,
} from "./documents.ts";
import { envelope } from "./routes/catalog.ts";
import { checkpointShape, dropShape, resumeShape } from "./routes/deliveries.ts";
import { batchShape } from "./routes/failure-batches.ts";
import { editShape, resolveShape, retryShape } from "./routes/failures.ts";
import { cloneShape, jsonPatch, mergePatch } from "./routes/flows.ts";
import { previewShape } from "./routes/schedules.ts";
import { runShape } from "./routes/runs.ts";
import { flowSchema } from "../model/flow/flow.ts";
import type { ResponseSpec, Route } from "./routes/route.ts";

/** What has a name in the document: its shape, and what it is. Every use refers to the name. */
const shapes = {
  Flow: [flowDocument, "One export linked to one or more imports, and when its records are moved."],
  FlowInput: [flowSchema, "The writable fields of a flow. Read-only fields may be sent back, and are ignored."],
  FlowCopy: [cloneShape, "What a copy of a flow has of its own."],
  FlowPatch: [mergePatch, "A JSON merge patch (RFC 7396) of a flow: the fields to change. Null removes a field."],
  JsonPatch: [jsonPatch, "A JSON Patch (RFC 6902) of a flow, limited to `replace`."],
  Run: [runDocument, "One instance of a flow: queued, active or ended. At most one run of a flow is active."],
  RunInput: [runShape, "How a run differs from one that the schedule queues."],
  Failure: [failureDocument, "One record that one import did not take: kept until it is delivered or resolved."],
  FailureEdit: [editShape, "The record instead of the one that failed."],
  FailureRetry: [retryShape, "Which failures are retried; all open ones of the flow if nothing is named."],
  FailureIds: [resolveShape, "Which failures are resolved."],
  Cause: [causeDocument, "Open failures that have one cause."],
  FailureBatch: [batchShape, "Open failures that somebody has seen, by what they have in common."],
  RetriedBatch: [retriedBatchDocument, "Retry runs of several flows."],
  ResolvedBatch: [resolvedBatchDocument, "Failures that were resolved together."],
  Export: [exportDocument, "A source that the application has registered."],
  Import: [importDocument, "A destination that the application has registered."],
  Delivery: [deliveryDocument, "Where one import of a flow stands."],
  CheckpointInput: [checkpointShape, "Where the next run resumes."],
  ResumeInput: [resumeShape, "Which pause ends; all of the flow if nothing is named."],
  InboxPage: [inboxPageDocument, "Records that arrived together and wait for the flow's imports."],
  Resumed: [resumedDocument, "The run that continues what was paused."],
  InboxPageIds: [dropShape, "Which pages are dropped."],
  Dropped: [droppedDocument, "Pages that are not in the inbox any more."],
  Dependencies: [dependenciesDocument, "What a flow uses, and what belongs to it."],
  Records: [envelope, "Records with their event ids."],
  Accepted: [acceptedDocument, "How many of the records that were sent are new."],
  Resolved: [resolvedDocument, "Failures that are not retried any more."],
  SchedulePreviewInput: [previewShape, "A schedule to be looked at."],
  SchedulePreview: [schedulePreviewDocument, "What a schedule means."],
  Overview: [overviewDocument, "How all flows do at present."],
  Statistics: [statisticsDocument, "What was moved in one hour or day."],
  Permissions: [permissionsDocument, "What the caller may do."],
  Health: [healthDocument, "Whether the service can do its work."],
  Reason: [reasonDocument, "Why a run failed, or an import failed or is paused."],
  Problem: [problemDocument, "One reason why a request was refused."],
  Errors: [errorsDocument, "Why a request was refused: every problem of it, up to 100."],
} as const satisfies Readonly<Record<string, readonly [Schema, string]>>;
const definitions: Readonly<Record<string, Schema>> = Object.fromEntries(
  Object.entries(shapes).map(([name, [schema]]) => [name, schema]),
);

/** The group of an operation, by its action or the first part of it. */
const tags = {
  Flows: { actions: ["flows", "schedules"], description: "What is moved, from where to where, and when." },
  Runs: { actions: ["runs", "flows.run"], description: "Instances of flows: their state, counts and errors." },
  Deliveries: {
    actions: ["deliveries", "checkpoints", "inbox"],
    description: "Where each import of a flow stands, and what waits for it.",
  },
  Failures: { actions: ["failures"], description: "Records that an import did not take." },
  Catalog: { actions: ["exports", "imports", "records"], description: "Exports and imports that flows can use." },
  Service: { actions: ["events", "health", "openapi"], description: "The service itself." },
} as const;

/** What the status of an error means. */
const errorDescriptions: Readonly<Record<number, string>> = {
  400: "The request is malformed: a query parameter, a header or the body.",
  401: "Authentication is missing or not valid.",
  403: "The caller may not do this.",
  404: "Nothing with that id exists, or the caller may not see it.",
  409: "The current state does not allow this.",
  412: "The flow does not match `If-Match`.",
  413: "The body is too large.",
  415: "The media type, charset or encoding of the body is not supported.",
  422: "The flow or the records are invalid; every problem is listed.",
  429: "A queue is full. Nothing was accepted: try again later.",
  500: "An unexpected error; the message contains the id of its line in the log.",
  503: "The storage or the executor is unavailable: try again later.",
};

/** Errors with `Retry-After`. */
const withRetryAfter = [429, 503];

/** The statuses of the errors that a route may have, ascending. */
export function errorsOf({ path, body, errors: own = [] }: Route): readonly number[] {
  const always = [400, 401, 403, 500, 503];
  const named = path.includes("{") ? [404] : [];
  return [...always, ...named, ...(body === undefined ? [] : [413, 415]), ...own].sort((one, other) => one - other);
}

/** The OpenAPI 3.1 document of these routes, made of the shapes that they read and send. */
export function openapiOf(routes: readonly Route[], publicPath: string | undefined): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  return {
    openapi: "3.1.0",
    info: {
      title: "poundlock",
      version: "1",
      description: "Flows move records from one application to others. Only one run of a flow is active at any time.",
      contact: { name: "Operator of this service" },
      license: { name: "MIT", identifier: "MIT" },
    },
    // A relative address is relative to the document's own.
    servers: [{ url: publicPath ?? "." }],
    tags: Object.entries(tags).map(([name, { description }]) => ({ name, description })),
    security: [{ bearerToken: [] }],
    paths,
    components: {
      securitySchemes: {
        bearerToken: {
          type: "http",
          scheme: "bearer",
          description:
            "A bearer token, unless the operator of this service uses something else, such as a session cookie.",
        },
      },
      schemas: Object.fromEntries(
        Object.entries(shapes).map(([name, [schema, description]]) => [
          name,
          { description, ...schemaOf(schema, "ignore", name) },
        ]),
      ),
    },
  };
}

function operationOf(route: Route): object {
  const { operationId, summary, description, body, responses } = route;
  const parameters = parametersOf(route);
  const errors = errorsOf(route).map((status) => [status, errorResponse(status)]);
  return {
    operationId,
    tags: [tagOf(route)],
    summary,
    description,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: body.required, content: contentOf(body.content) } }),
    responses: {
      ...Object.fromEntries(Object.entries(responses).map(([status, response]) => [status, responseOf(response)])),
      ...(Object.fromEntries(errors) as object),
    },
  };
}

function tagOf({ action }: Route): string {
  if (action === undefined) return "Service";
  const [group = ""] = action.split(".");
  const tagged = (by: string) =>
    Object.entries(tags).find(([, { actions }]) => (actions as readonly string[]).includes(by))?.[0];
  return tagged(action) ?? tagged(group) ?? "Service";
}

function parametersOf({ path, query, headers = {} }: Route): object[] {
  const [, kind = "", name] = /(\w+)s\/\{(\w+)\}/.exec(path) ?? [];
  const description = `The \`_id\` of ${/^[aeiou]/.test(kind) ? "an" : "a"} ${kind}.`;
  const inPath =
    name === undefined ? [] : [{ name, in: "path", required: true, description, schema: { type: "string" } }];
  const inQuery = Object.entries(query?.entries ?? {}).map(([parameter, schema]) => {
    const { description: meaning, ...read } = schemaOf(schema, "output") as Record<string, unknown>;
    const list = read.type === "array" ? { style: "form", explode: false } : {};
    return { name: parameter, in: "query", required: false, description: meaning, ...list, schema: read };
  });
  const inHeaders = Object.entries(headers).map(([header, meaning]) => ({
    name: header,
    in: "header",
    required: false,
    description: meaning,
    schema: { type: "string" },
  }));
  return [...inPath, ...inQuery, ...inHeaders];
}

function responseOf({ description, content, headers }: ResponseSpec): object {
  return {
    description,
    ...(headers === undefined ? {} : { headers: headersOf(headers) }),
    ...(content === undefined ? {} : { content: contentOf(content) }),
  };
}

function errorResponse(status: number): object {
  return responseOf({
    description: String(errorDescriptions[status]),
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

// `name`: the shape that is defined here, so that it does not refer to itself.
function schemaOf(schema: Schema, typeMode: "ignore" | "output", name?: string): object {
  const others = Object.fromEntries(Object.entries(definitions).filter(([one]) => one !== name));
  const { $schema, $defs, ...written } = toJsonSchema(schema, {
    target: "draft-2020-12",
    typeMode,
    // JSON Schema has no words for these; descriptions do.
    ignoreActions: ["trim", "check", "transform"],
    definitions: others,
    overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  });
  return written;
}
