import type { Flow, FlowInput } from "../../model/flow/flow.ts";
import { flowFields, flowSchema, importIdsOf, readOnlyFlowFields } from "../../model/flow/flow.ts";
import { formatValue } from "../../model/record/json.ts";
import { mergeJson } from "../../model/flow/patch.ts";
import { hasEnded, runStatuses } from "../../model/run.ts";
import { v } from "../../model/validate.ts";
import { sees } from "../access/authorization.ts";
import type { Body, BodySpec } from "../body.ts";
import { readShape } from "../body.ts";
import { dependenciesDocument, described, flowDocument } from "../documents.ts";
import { type Problem, HttpError, preconditionFailed } from "../http-error.ts";
import { filtersOf, linkHeader, listReply, listResponse } from "../lists/list.ts";
import { flowsQuery, integrationFlowsQuery } from "../lists/query.ts";
import { type Reply, empty, json } from "../reply.ts";
import { etagOf, isCurrent, isKnown } from "./etag.ts";
import { fromSteps } from "./flow-steps.ts";
import { type Call, type ResponseSpec, type Route, locationOf, route } from "./route.ts";
import { findFlow, inScope, scopeFilter } from "./scoped.ts";

const etagHeader = { etag: "Entity tag of the flow, for `If-Match` and `If-None-Match`." };
const ifMatch = {
  "if-match": "An `ETag` of the flow: 412, and no change, if its writable fields have changed since.",
};

const flowResponse = (description: string, headers: Readonly<Record<string, string>> = {}): ResponseSpec => ({
  description,
  content: { "application/json": flowDocument },
  headers: { ...etagHeader, ...headers },
});

const location = { location: "The address of the new flow." };

/** The writable fields of a flow. Read-only fields may be sent back and are ignored. */
const flowBody: BodySpec = { required: true, content: { "application/json": flowSchema }, checked: false };

/** JSON Patch (RFC 6902), limited to replacements. */
export const jsonPatch = v.pipe(
  v.array(
    v.object({
      op: described(v.literal("replace", '"replace"'), "No other operation is accepted."),
      path: described(
        v.pipe(v.string("a JSON pointer such as /name"), v.regex(/^\//, "a JSON pointer such as /name")),
        "JSON pointer to a writable field, such as `/name`.",
      ),
      value: described(v.unknown(), "The new value; null removes an optional field."),
    }),
    "an array of at most 1000 replacements",
  ),
  v.maxLength(1_000, "an array of at most 1000 replacements"),
);

/** JSON merge patch (RFC 7396). */
export const mergePatch = v.partial(flowSchema);

const patchBody: BodySpec = {
  required: true,
  content: {
    "application/json-patch+json": jsonPatch,
    "application/merge-patch+json": mergePatch,
    "application/json": v.union([jsonPatch, mergePatch]),
  },
  checked: false,
  acceptsUntyped: true,
};

/** What a copy of a flow has of its own. */
export const cloneShape = v.strictObject({
  name: v.optional(
    described(v.string("a string"), "Name of the copy; `Copy of` and the name of the flow if it is left out."),
  ),
  _integrationId: v.optional(
    described(v.string("a string"), "Integration of the copy; that of the flow if it is left out."),
  ),
  disabled: v.optional(
    described(v.boolean("true or false"), "True if it is left out, so that a copy does not run by itself."),
  ),
  connectionMap: v.optional(described(v.unknown(), "Ignored: exports and imports have no connections here.")),
});

/** Flows: listed, read, changed. */
export const flowRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/flows",
    action: "flows.list",
    operationId: "listFlows",
    summary: "List flows in the order of their ids.",
    description: "Flows that the caller may see, ascending by `_id`. A flow has to match every filter that is given.",
    query: flowsQuery,
    responses: { 200: listResponse("The flows.", flowDocument, linkHeader) },
    respond: (call) => listFlows(call, call.query),
  }),
  route({
    method: "POST",
    path: "/flows",
    action: "flows.create",
    operationId: "createFlow",
    summary: "Create a flow.",
    description:
      "The whole flow is checked, and every problem is reported at once. Unless it is disabled, its schedule counts from now on. `pageGenerators` with one `_exportId`, and `pageProcessors` with an `_importId` each, are accepted as another way to write `_exportId` and `_importIds`.",
    body: flowBody,
    responses: { 201: flowResponse("The new flow.", location) },
    errors: [422],
    respond: (call) => createFlow(call, fromSteps(call.body.value)),
  }),
  route({
    method: "GET",
    path: "/flows/{_id}",
    action: "flows.read",
    operationId: "getFlow",
    summary: "Read a flow.",
    description:
      "The flow with its next due time. `ETag` names what was read: with it in `If-None-Match`, 304 says that nothing has changed since, the times included.",
    headers: { "if-none-match": "An `ETag` of the flow: 304 if nothing has changed since." },
    responses: {
      200: flowResponse("The flow."),
      304: { description: "The flow has not changed.", headers: etagHeader },
    },
    async respond(call) {
      const flow = await findFlow(call);
      const tags = call.request.headers.get("if-none-match");
      // A private cache may keep a flow if it validates it each time.
      const headers = { etag: etagOf(flow), "cache-control": "private, no-cache" };
      return tags !== null && isKnown(tags, flow) ? empty(304, headers) : json(200, flow, headers);
    },
  }),
  route({
    method: "PUT",
    path: "/flows/{_id}",
    action: "flows.update",
    operationId: "updateFlow",
    summary: "Replace the writable fields of a flow.",
    description:
      "Optional fields that the body does not have are removed; read-only ones are ignored. With `If-Match` nothing is replaced if somebody else has changed the flow meanwhile. Another export is refused while the inbox contains pages of the present one.",
    headers: ifMatch,
    body: flowBody,
    responses: { 200: flowResponse("The flow; fields that were left out are removed.") },
    errors: [409, 412, 422],
    async respond(call) {
      const body = fromSteps(call.body.value);
      const flow = await changeFlow(call, async (expected) => {
        const input = await inScope(call, body);
        return call.deps.registry.update(call._id, input as FlowInput, expected);
      });
      return json(200, flow, { etag: etagOf(flow) });
    },
  }),
  route({
    method: "PATCH",
    path: "/flows/{_id}",
    action: "flows.update",
    operationId: "patchFlow",
    summary: "Change some fields of a flow, by a JSON merge patch or a JSON Patch of replacements.",
    description:
      "A merge patch changes the fields it names, removes those that are null, merges `settings`, and returns the flow. A JSON Patch only replaces, and returns nothing.",
    headers: ifMatch,
    body: patchBody,
    responses: {
      200: flowResponse("The flow, after a merge patch."),
      204: { description: "The flow was changed by a JSON Patch.", headers: etagHeader },
    },
    errors: [409, 412, 422],
    async respond(call) {
      const { changes, replacing } = readPatch(call.body);
      const flow = await changeFlow(call, async (expected, now) => {
        const input = await inScope(call, replacing ? changes : withMergedSettings(changes, now), now);
        return call.deps.registry.patch(call._id, input as Partial<FlowInput>, expected);
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
    summary: "Delete a flow.",
    description:
      "Its queued runs are canceled and the active one is aborted. Checkpoints, the inbox and open failures are removed; runs that have ended stay as long as the retention keeps them.",
    headers: ifMatch,
    responses: { 204: { description: "The flow was deleted, with its checkpoint, inbox and open failures." } },
    errors: [409, 412],
    async respond(call) {
      const { _id, deps, request, scope } = call;
      // Who may delete every flow may delete one that cannot be read, too.
      if (scope === undefined && request.headers.get("if-match") === null) await deps.registry.delete(_id);
      else
        await changeFlow(call, async (expected, flow) => {
          await deps.registry.delete(_id, expected);
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
    summary: "Create a copy of a flow. It has no checkpoint, and is disabled unless the body says otherwise.",
    description:
      "For another integration, or to try a change. The copy has the definition of the flow and none of its state: it reads from the start.",
    body: { required: false, content: { "application/json": cloneShape }, checked: true },
    responses: { 201: flowResponse("The copy.", location) },
    errors: [422],
    async respond(call) {
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
    summary: "Read what a flow uses, and what is canceled or removed with it.",
    description:
      "Which exports and imports the flow uses, and whether the application has them at present; and what deleting the flow would cancel or remove.",
    responses: { 200: { description: "The dependencies.", content: { "application/json": dependenciesDocument } } },
    async respond(call) {
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
    description: "As the list of all flows, for one integration.",
    query: integrationFlowsQuery,
    responses: { 200: listResponse("The flows.", flowDocument, linkHeader) },
    respond: (call) => listFlows(call, { ...call.query, _integrationId: call._id }),
  }),
];

async function listFlows(call: Call, query: v.InferOutput<typeof flowsQuery>): Promise<Reply> {
  const { scope, deps } = call;
  if (query._integrationId !== undefined && !sees(scope, { _integrationId: query._integrationId }))
    return listReply(call, { items: [] });
  const filter = { ...filtersOf(call, query), ...scopeFilter(call) };
  const { items, next } = await deps.registry.list(filter);
  const isActive = query.include?.some((path) => path.split(".", 1)[0] === "activity") === true;
  const shown = isActive ? await withActivities(call, items) : items;
  return listReply(call, { items: shown, ...(next === undefined ? {} : { next }) }, query);
}

async function withActivities(call: Call, flows: readonly Flow[]): Promise<readonly Flow[]> {
  const activities = await call.deps.scheduler.activities(
    flows.map(({ _id }) => _id),
    scopeFilter(call),
  );
  return flows.map((flow, index) => ({ ...flow, activity: activities[index] }));
}

async function createFlow(call: Call, input: unknown): Promise<Reply> {
  const flow = await call.deps.registry.create((await inScope(call, input)) as FlowInput);
  call.logged[call._id === "" ? "flowId" : "copyId"] = flow._id;
  return json(201, flow, { etag: etagOf(flow), location: locationOf(call, "flows", flow._id) });
}

/**
 * Changes the flow in the path, on condition that it is still as it was when the caller's scope was checked: a flow that
 * leaves the scope meanwhile is not changed.
 *
 * @throws `not_found`; HttpError 412 if it is not what `If-Match` says; what `change` throws.
 */
async function changeFlow(
  call: Call,
  change: (expected: { readonly lastModified?: string }, flow: Flow) => Promise<Flow>,
): Promise<Flow> {
  const expected = call.request.headers.get("if-match");
  for (;;) {
    const flow = await findFlow(call);
    if (expected !== null && !isCurrent(expected, flow)) throw preconditionFailed();
    const isConditional = expected !== null || call.scope !== undefined;
    try {
      return await change(isConditional ? { lastModified: flow.lastModified } : {}, flow);
    } catch (error) {
      if (!isConditional || (error as { code?: unknown }).code !== "conflict") throw error;
      // Not every conflict is a lost race: an inbox may contain pages of the flow's former export.
      if ((await findFlow(call)).lastModified === flow.lastModified) throw error;
      // It was changed meanwhile: the current version decides whether the caller may continue.
    }
  }
}

function readPatch({ value, mediaType }: Body): { readonly changes: unknown; readonly replacing: boolean } {
  const replacing =
    mediaType === "application/json-patch+json" || (mediaType === "application/json" && Array.isArray(value));
  if (!replacing) return { changes: fromSteps(value), replacing };
  const operations = readShape(value, jsonPatch) as v.InferOutput<typeof jsonPatch>;
  const problems: Problem[] = [];
  const changes = operations.map(({ path, value: to }) => {
    const field = path.slice(1).replaceAll("~1", "/").replaceAll("~0", "~");
    if ((readOnlyFlowFields as readonly string[]).includes(field))
      problems.push({ code: "invalid_field", message: `${field}: expected a writable field`, field });
    else if (!(flowFields as readonly string[]).includes(field))
      problems.push({ code: "unknown_field", message: `${formatValue(field)}: a flow has no such field`, field });
    return [field, to];
  });
  if (problems.length > 0) throw new HttpError(422, problems);
  return { changes: Object.fromEntries(changes) as object, replacing };
}

// Of a merge patch, `settings` are merged as well.
function withMergedSettings(changes: unknown, { settings }: Flow): unknown {
  const named = typeof changes === "object" && changes !== null && "settings" in changes;
  return named ? { ...changes, settings: mergeJson(settings, changes.settings) } : changes;
}

function copyName(name: string): string {
  // The cut may leave half of a surrogate pair.
  return `Copy of ${name}`
    .slice(0, 255)
    .replace(/\p{Surrogate}$/u, "")
    .trim();
}

function usesOf({ deps: { registry } }: Call, flow: Flow) {
  return {
    exports: [{ _id: flow._exportId, registered: registry.findExport(flow._exportId) !== undefined }],
    imports: importIdsOf(flow).map((_id) => ({ _id, registered: registry.findImport(_id) !== undefined })),
  };
}

async function usedByOf(call: Call, { _id: _flowId }: Flow) {
  const { scheduler } = call.deps;
  const of = { _flowId, limit: 1_000, ...scopeFilter(call) };
  const unfinished = runStatuses.filter((status) => !hasEnded({ status }));
  const lists = await Promise.all(unfinished.map((status) => scheduler.listRuns({ ...of, status })));
  const failures = await scheduler.listFailures({ ...of, status: "open" });
  return {
    runs: lists.flatMap(({ items }) => items.map(({ _id }) => _id)),
    failures: failures.items.map(({ _id }) => _id),
  };
}
