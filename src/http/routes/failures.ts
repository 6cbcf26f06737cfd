import { NotFoundError } from "../../errors.ts";
import { omitUndefined } from "../../model/json.ts";
import { v } from "../../model/validate.ts";
import { described, failureDocument, resolvedDocument, runDocument } from "../documents.ts";
import { filtersOf, linkHeader, listReply, listResponse } from "../lists/list.ts";
import { failuresQuery } from "../lists/query.ts";
import { json } from "../reply.ts";
import { type Call, type Route, locationOf, route } from "./route.ts";
import { findFlow, scopeFilter } from "./scoped.ts";

const maxIds = 10_000;
const someIds = `an array of 1 to ${maxIds} ids`;
const ids = v.pipe(v.array(v.string("an id"), someIds), v.minLength(1, someIds), v.maxLength(maxIds, someIds));

const retryShape = v.strictObject({
  _importId: v.optional(described(v.string("a string"), "Only failures at this import; all if it is left out.")),
  _ids: v.optional(described(ids, "Only these failures; all open ones if it is left out.")),
});

const resolveShape = v.strictObject({ _ids: described(ids, "The failures to resolve.") });

/** Records that an import did not take: listed, retried, resolved. */
export const failureRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/flows/{_id}/failures",
    action: "failures.list",
    operationId: "listFailures",
    summary: "List the failures of a flow, oldest first.",
    query: failuresQuery,
    responses: { 200: listResponse("The failures.", failureDocument, linkHeader) },
    async respond(call) {
      const flow = await findFlow(call);
      const filter = { ...filtersOf(call.query), _flowId: flow._id, ...scopeFilter(call) };
      return listReply(call, await call.deps.scheduler.listFailures(filter), call.query);
    },
  }),
  route({
    method: "POST",
    path: "/flows/{_id}/failures/retry",
    action: "failures.retry",
    operationId: "retryFailures",
    summary: "Run a flow with its open failures, or some of them. Failures that are delivered are removed.",
    body: { required: false, content: { "application/json": retryShape }, checked: true },
    responses: {
      201: {
        description: "The run that sends them.",
        content: { "application/json": runDocument },
        headers: { location: "The address of the run." },
      },
    },
    errors: [409, 429],
    async respond(call) {
      const flow = await findFlow(call);
      const selection = { ...(call.body.value as v.InferOutput<typeof retryShape> | undefined), ...scopeFilter(call) };
      const run = await call.deps.scheduler.retryFailures(flow._id, omitUndefined(selection));
      return json(201, run, { location: locationOf(call.deps, "runs", run._id) });
    },
  }),
  route({
    method: "PUT",
    path: "/flows/{_id}/failures/resolved",
    action: "failures.resolve",
    operationId: "resolveFailures",
    summary: "Mark failures of a flow as resolved by hand: they are not retried any more.",
    body: { required: true, content: { "application/json": resolveShape }, checked: true },
    responses: {
      200: { description: "The failures that were open.", content: { "application/json": resolvedDocument } },
    },
    async respond(call) {
      const flow = await findFlow(call);
      const { _ids } = call.body.value as v.InferOutput<typeof resolveShape>;
      await expectFailures(call, flow._id, _ids);
      const resolved = await call.deps.scheduler.resolveFailures(_ids);
      return json(200, { _ids: resolved.map(({ _id }) => _id) });
    },
  }),
];

/** @throws `not_found` naming the first id that is not a failure of the flow, or one that the caller may not see. */
async function expectFailures(call: Call, _flowId: string, _ids: readonly string[]): Promise<void> {
  const pageSize = 1_000;
  for (let start = 0; start < _ids.length; start += pageSize) {
    const part = _ids.slice(start, start + pageSize);
    const filter = { _flowId, _ids: part, limit: pageSize, ...scopeFilter(call) };
    const { items } = await call.deps.scheduler.listFailures(filter);
    const found = new Set(items.map(({ _id }) => _id));
    const missing = part.find((_id) => !found.has(_id));
    if (missing !== undefined) throw new NotFoundError("failure", missing);
  }
}
