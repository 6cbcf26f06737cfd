import { NotFoundError } from "../../errors.ts";
import { omitUndefined } from "../../model/json.ts";
import { v } from "../../model/validate.ts";
import { failureDocument, resolvedDocument, runDocument } from "../documents.ts";
import { filtersOf, linkHeader, listAnswer, listed } from "../list.ts";
import { failuresQuery } from "../query.ts";
import { json } from "../reply.ts";
import { type Call, type Route, locationOf, route } from "./route.ts";
import { findFlow, ownOnly } from "../scoped.ts";

const mostIds = 10_000;
const someIds = `an array of 1 to ${mostIds} ids`;
const ids = v.pipe(v.array(v.string("an id"), someIds), v.minLength(1, someIds), v.maxLength(mostIds, someIds));

const retryShape = v.strictObject({
  _importId: v.optional(
    v.pipe(v.string("a text"), v.description("Failures at this import of the flow. Without it at all.")),
  ),
  _ids: v.optional(v.pipe(ids, v.description("These failures. Without it all open ones."))),
});

const resolveShape = v.strictObject({ _ids: ids });

/** Records that an import did not take: looked at, sent again, resolved. */
export const failureRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/flows/{_id}/failures",
    action: "failures.list",
    operationId: "listFailures",
    summary: "List the failures of a flow, the oldest first.",
    query: failuresQuery,
    answers: { 200: listAnswer("The failures.", failureDocument, linkHeader) },
    async answer(call) {
      const flow = await findFlow(call);
      const filter = { ...filtersOf(call.query), _flowId: flow._id, ...ownOnly(call) };
      return listed(call, await call.parts.scheduler.listFailures(filter), call.query);
    },
  }),
  route({
    method: "POST",
    path: "/flows/{_id}/failures/retry",
    action: "failures.retry",
    operationId: "retryFailures",
    summary: "Run a flow with its open failures, or some of them. What is delivered is a failure no more.",
    body: { required: false, content: { "application/json": retryShape }, checked: true },
    answers: {
      201: {
        description: "The run that sends them.",
        content: { "application/json": runDocument },
        headers: { location: "The path of the run." },
      },
    },
    refusals: [409, 429],
    async answer(call) {
      const flow = await findFlow(call);
      const selection = { ...(call.body.value as v.InferOutput<typeof retryShape> | undefined), ...ownOnly(call) };
      const run = await call.parts.scheduler.retryFailures(flow._id, omitUndefined(selection));
      return json(201, run, { location: locationOf(call.parts, "runs", run._id) });
    },
  }),
  route({
    method: "PUT",
    path: "/flows/{_id}/failures/resolved",
    action: "failures.resolve",
    operationId: "resolveFailures",
    summary: "Mark failures of a flow as resolved by hand: they are not retried any more.",
    body: { required: true, content: { "application/json": resolveShape }, checked: true },
    answers: {
      200: { description: "Those that were open.", content: { "application/json": resolvedDocument } },
    },
    async answer(call) {
      const flow = await findFlow(call);
      const { _ids } = call.body.value as v.InferOutput<typeof resolveShape>;
      await expectFailures(call, flow._id, _ids);
      const resolved = await call.parts.scheduler.resolveFailures(_ids);
      return json(200, { _ids: resolved.map(({ _id }) => _id) });
    },
  }),
];

/** @throws `not_found` naming the first that is no failure of the flow, or none that the caller may see. */
async function expectFailures(call: Call, _flowId: string, _ids: readonly string[]): Promise<void> {
  const portion = 1_000;
  for (let start = 0; start < _ids.length; start += portion) {
    const part = _ids.slice(start, start + portion);
    const filter = { _flowId, _ids: part, limit: portion, ...ownOnly(call) };
    const { items } = await call.parts.scheduler.listFailures(filter);
    const found = new Set(items.map(({ _id }) => _id));
    const missing = part.find((_id) => !found.has(_id));
    if (missing !== undefined) throw new NotFoundError("failure", missing);
  }
}
