import type { FlowInput } from "../../flow-registry.ts";
import type { Flow } from "../../model/flow.ts";
import { flowFields, flowSchema, importIdsOf, readOnlyFlowFields } from "../../model/flow.ts";
import { formatValue } from "../../model/json.ts";
import { hasEnded, runStatuses } from "../../model/run.ts";
import { v } from "../../model/validate.ts";
import { sees } from "../authorization.ts";
import type { Body, BodyRule } from "../body.ts";
import { readShape } from "../body.ts";
import { dependenciesDocument, flowDocument } from "../documents.ts";
import { etagOf, isCurrent, isKnown } from "../etag.ts";
import { filtersOf, linkHeader, listAnswer, listed } from "../list.ts";
import { flowsQuery, integrationFlowsQuery } from "../query.ts";
import { type Problem, HttpError, preconditionFailed } from "../http-error.ts";
import { type Reply, empty, json } from "../reply.ts";
import { type Answer, type Call, type Route, locationOf, route } from "./route.ts";
import { findFlow, inScope, ownOnly } from "../scoped.ts";

const etagHeader = { etag: "Stands for the flow as it is now; for `If-Match` and `If-None-Match`." };
const ifMatch = {
  "if-match": "An `ETag` of the flow: nothing is done if its writable fields have changed since. Otherwise 412.",
};

const oneFlow = (description: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  description,
  content: { "application/json": flowDocument },
  headers: { ...etagHeader, ...headers },
});

const location = { location: "The path of what was made." };

/** What a client writes of a flow. Read-only fields may be echoed back and are ignored. */
const flowBody: BodyRule = { required: true, content: { "application/json": flowSchema }, checked: false };

/** RFC 6902, as far as clients of this API send it. */
export const jsonPatch = v.array(
  v.object({
    op: v.literal("replace", '"replace"'),
    path: v.pipe(v.string("a JSON pointer such as /name"), v.regex(/^\//, "a JSON pointer such as /name")),
    value: v.unknown(),
  }),
  "an array of replacements",
);

/** RFC 7396: only what is to change; `null` takes an optional field away. */
export const mergePatch = v.pipe(
  v.partial(flowSchema),
  v.description("Only what is to change; null takes a field away."),
);

const patchBody: BodyRule = {
  required: true,
  content: {
    "application/json-patch+json": jsonPatch,
    "application/merge-patch+json": mergePatch,
    "application/json": v.union([jsonPatch, mergePatch]),
  },
  checked: false,
};

const cloneShape = v.strictObject({
  name: v.optional(v.pipe(v.string("a text"), v.description("Without it `Copy of` and the name of the flow."))),
  _integrationId: v.optional(v.pipe(v.string("a text"), v.description("Without it the flow's own."))),
  disabled: v.optional(
    v.pipe(v.boolean("true or false"), v.description("Without it true: a copy does not run by itself.")),
  ),
});

/** Flows: what they are, and how they change. */
export const flowRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/flows",
    action: "flows.list",
    operationId: "listFlows",
    summary: "List all flows.",
    query: flowsQuery,
    answers: { 200: listAnswer("The flows, by age.", flowDocument, linkHeader) },
    answer: (call) => listFlows(call, call.query),
  }),
  route({
    method: "POST",
    path: "/flows",
    action: "flows.create",
    operationId: "createFlow",
    summary: "Create new flow.",
    body: flowBody,
    answers: { 201: oneFlow("The new flow.", location) },
    refusals: [422],
    answer: (call) => createFlow(call, call.body.value),
  }),
  route({
    method: "GET",
    path: "/flows/{_id}",
    action: "flows.read",
    operationId: "getFlow",
    summary: "Retrieve existing flow.",
    headers: { "if-none-match": "An `ETag` of the flow: 304 if nothing of it has changed since." },
    answers: {
      200: oneFlow("The flow."),
      304: { description: "The flow is as `If-None-Match` says.", headers: etagHeader },
    },
    async answer(call) {
      const flow = await findFlow(call);
      const known = call.request.headers.get("if-none-match");
      // A cache may keep a flow, if it asks each time whether that is still so.
      const headers = { etag: etagOf(flow), "cache-control": "private, no-cache" };
      return known !== null && isKnown(known, flow) ? empty(304, headers) : json(200, flow, headers);
    },
  }),
  route({
    method: "PUT",
    path: "/flows/{_id}",
    action: "flows.update",
    operationId: "updateFlow",
    summary: "Update existing flow.",
    headers: ifMatch,
    body: flowBody,
    answers: { 200: oneFlow("The flow: what was left out is taken away.") },
    refusals: [409, 412, 422],
    async answer(call) {
      const flow = await changeFlow(call, (expected) => {
        const input = inScope(call, call.body.value);
        return call.parts.registry.update(call._id, input as FlowInput, expected);
      });
      return json(200, flow, { etag: etagOf(flow) });
    },
  }),
  route({
    method: "PATCH",
    path: "/flows/{_id}",
    action: "flows.update",
    operationId: "patchFlow",
    summary: "Change some fields of a flow: by a JSON merge patch, or a JSON Patch of replacements.",
    headers: ifMatch,
    body: patchBody,
    answers: {
      200: oneFlow("The flow, after a merge patch."),
      204: { description: "Done, after a JSON Patch.", headers: etagHeader },
    },
    refusals: [409, 412, 422],
    async answer(call) {
      const { changes, replacing } = readPatch(call.body);
      const flow = await changeFlow(call, (expected, now) => {
        const input = inScope(call, changes, now);
        return call.parts.registry.patch(call._id, input as Partial<FlowInput>, expected);
      });
      const headers = { etag: etagOf(flow) };
      return replacing ? empty(204, headers) : json(200, flow, headers);
    },
  }),
  route({
    method: "DELETE",
    path: "/flows/{_id}",
    action: "flows.delete",
    operationId: "deleteFlow",
    summary: "Delete existing flow.",
    headers: ifMatch,
    answers: { 204: { description: "Deleted, with its checkpoint, inbox and open failures." } },
    refusals: [409, 412],
    async answer(call) {
      await changeFlow(call, async (expected, flow) => {
        await call.parts.registry.delete(call._id, expected);
        return flow;
      });
      return empty(204);
    },
  }),
  route({
    method: "POST",
    path: "/flows/{_id}/clone",
    action: "flows.clone",
    operationId: "cloneFlow",
    summary:
      "Create a copy of a flow. It is disabled, unless the body says otherwise, and begins without a checkpoint.",
    body: { required: false, content: { "application/json": cloneShape }, checked: true },
    answers: { 201: oneFlow("The copy.", location) },
    refusals: [422],
    async answer(call) {
      const flow = await findFlow(call);
      const { name, _integrationId, disabled = true } = (call.body.value ?? {}) as v.InferOutput<typeof cloneShape>;
      const written = Object.fromEntries(flowFields.map((field) => [field, flow[field]]));
      return createFlow(call, {
        ...written,
        name: name ?? copyName(flow.name),
        ...(_integrationId === undefined ? {} : { _integrationId }),
        disabled,
      });
    },
  }),
  route({
    method: "GET",
    path: "/flows/{_id}/dependencies",
    action: "flows.read",
    operationId: "getFlowDependencies",
    summary: "What a flow uses, and what is canceled or removed with it.",
    answers: { 200: { description: "The dependencies.", content: { "application/json": dependenciesDocument } } },
    async answer(call) {
      const flow = await findFlow(call);
      return json(200, { uses: usesOf(call, flow), usedBy: await usedByOf(call, flow) });
    },
  }),
  route({
    method: "GET",
    path: "/integrations/{_id}/flows",
    action: "flows.list",
    operationId: "listIntegrationFlows",
    summary: "List the flows of an integration.",
    query: integrationFlowsQuery,
    answers: { 200: listAnswer("The flows, by age.", flowDocument, linkHeader) },
    answer: (call) => listFlows(call, { ...call.query, _integrationId: call._id }),
  }),
];

async function listFlows(call: Call, query: v.InferOutput<typeof flowsQuery>): Promise<Reply> {
  const { scope, parts } = call;
  if (query._integrationId !== undefined && !sees(scope, { _integrationId: query._integrationId }))
    return listed(call, { items: [] });
  const filter = { ...filtersOf(query), ...ownOnly(call) };
  return listed(call, await parts.registry.list(filter), query);
}

async function createFlow(call: Call, input: unknown): Promise<Reply> {
  const flow = await call.parts.registry.create(inScope(call, input) as FlowInput);
  return json(201, flow, { etag: etagOf(flow), location: locationOf(call.parts, "flows", flow._id) });
}

/**
 * Changes the flow that the path names, as it is when it is looked at: a flow that leaves the caller's scope meanwhile is
 * not changed.
 *
 * @throws `not_found`; Refusal 412 if it is not what `If-Match` says; what `change` throws.
 */
async function changeFlow(
  call: Call,
  change: (expected: { readonly lastModified?: string }, flow: Flow) => Promise<Flow>,
): Promise<Flow> {
  const expected = call.request.headers.get("if-match");
  for (;;) {
    const flow = await findFlow(call);
    if (expected !== null && !isCurrent(expected, flow)) throw preconditionFailed();
    const holds = expected !== null || call.scope !== undefined;
    try {
      return await change(holds ? { lastModified: flow.lastModified } : {}, flow);
    } catch (error) {
      // Somebody else was faster: what is there now says whether the caller may go on.
      if (!holds || (error as { code?: unknown }).code !== "conflict") throw error;
    }
  }
}

function readPatch({ value, mediaType }: Body): { readonly changes: unknown; readonly replacing: boolean } {
  const replacing =
    mediaType === "application/json-patch+json" || (mediaType === "application/json" && Array.isArray(value));
  if (!replacing) return { changes: value, replacing };
  const operations = readShape(value, jsonPatch) as v.InferOutput<typeof jsonPatch>;
  const problems: Problem[] = [];
  const changes = operations.map(({ path, value: to }) => {
    const field = path.slice(1).replaceAll("~1", "/").replaceAll("~0", "~");
    if ((readOnlyFlowFields as readonly string[]).includes(field))
      problems.push({ code: "invalid_field", message: `${field}: expected a field that can be written`, field });
    else if (!(flowFields as readonly string[]).includes(field))
      problems.push({ code: "unknown_field", message: `${formatValue(field)}: a flow has no such field`, field });
    return [field, to];
  });
  if (problems.length > 0) throw new HttpError(422, problems);
  return { changes: Object.fromEntries(changes) as object, replacing };
}

function copyName(name: string): string {
  // Half of a pair that the cut leaves behind is no text.
  return `Copy of ${name}`
    .slice(0, 255)
    .replace(/\p{Surrogate}$/u, "")
    .trim();
}

function usesOf({ parts: { registry } }: Call, flow: Flow) {
  return {
    exports: [{ _id: flow._exportId, registered: registry.findExport(flow._exportId) !== undefined }],
    imports: importIdsOf(flow).map((_id) => ({ _id, registered: registry.findImport(_id) !== undefined })),
  };
}

async function usedByOf(call: Call, { _id: _flowId }: Flow) {
  const { scheduler } = call.parts;
  const of = { _flowId, limit: 1_000, ...ownOnly(call) };
  const atWork = runStatuses.filter((status) => !hasEnded({ status }));
  const lists = await Promise.all(atWork.map((status) => scheduler.listRuns({ ...of, status })));
  const failures = await scheduler.listFailures({ ...of, status: "open" });
  return {
    runs: lists.flatMap(({ items }) => items.map(({ _id }) => _id)),
    failures: failures.items.map(({ _id }) => _id),
  };
}
