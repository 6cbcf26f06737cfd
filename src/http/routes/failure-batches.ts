import { ForbiddenError } from "../../errors.ts";
import { omitUndefined } from "../../model/record/json.ts";
import { faults } from "../../model/failure.ts";
import { v } from "../../model/validate.ts";
import { sees } from "../access/authorization.ts";
import { causeDocument, described, resolvedBatchDocument, retriedBatchDocument } from "../documents.ts";
import { badRequest } from "../http-error.ts";
import { cursorOf, encryptedCursor, filtersOf } from "../lists/list.ts";
import { causesQuery, partOfText } from "../lists/query.ts";
import { json } from "../reply.ts";
import { type Call, type Route, route } from "./route.ts";
import { expectShown, scopeFilter } from "./scoped.ts";

const by = (description: string) => v.optional(described(v.string("a string"), description));

/** Open failures that somebody has seen. */
export const batchShape = v.strictObject({
  _flowId: by("Failures of this flow."),
  _exportId: by("Failures of records of this export."),
  _importId: by("Failures at this import."),
  _runId: by("Failures of this run."),
  _integrationId: by("Failures of flows of this integration."),
  _connectorId: by("Failures of flows of this connector."),
  fault: v.optional(described(v.picklist(faults, `one of ${faults.join(", ")}`), "Failures of this kind.")),
  cause: by("Failures with this cause."),
  key: by("Failures of records with this key."),
  keyPrefix: v.optional(described(partOfText, "Failures of records whose key begins so.")),
  text: v.optional(
    described(partOfText, "Failures with this in their message or record, in any case of ASCII letters."),
  ),
  through: described(
    v.string("the _id of the newest failure that was seen"),
    "The newest `_id` that was seen: what was stored after it is left alone.",
  ),
  after: by("Where to continue: the `next` of an earlier response."),
});

/** Failures by what they have in common: counted, retried, resolved. */
export const failureBatchRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/causes",
    action: "failures.list",
    operationId: "listCauses",
    summary: "List the causes of open failures, the most frequent first.",
    description:
      "Counted as failures come and go, so the numbers are exact and reading them costs the same however many there are. With `_flowId` a row for each import and cause of the flow.",
    query: causesQuery,
    responses: {
      200: {
        description: "The causes.",
        content: { "application/json": v.array(causeDocument) },
        headers: { "poundlock-complete": "`false` while failures of an earlier version are still being counted." },
      },
    },
    async respond(call) {
      const { deps, query, scope } = call;
      if (query._integrationId !== undefined && !sees(scope, { _integrationId: query._integrationId }))
        return json(200, []);
      const { complete, items } = await deps.scheduler.listCauses({ ...filtersOf(call, query), ...scopeFilter(call) });
      return json(200, items, complete ? undefined : { "poundlock-complete": "false" });
    },
  }),
  route({
    method: "POST",
    path: "/failures/retry",
    action: "failures.retry",
    operationId: "retryFailureBatch",
    summary: "Run every flow with its open failures that match, up to the newest one that was seen.",
    description:
      "One retry run for each of at most 1,000 flows; `next` says where to continue, also where as many failures as one request may were searched. At least one filter is required.",
    body: { required: true, content: { "application/json": batchShape }, checked: true },
    responses: {
      200: { description: "The runs.", content: { "application/json": retriedBatchDocument } },
    },
    errors: [409],
    async respond(call) {
      const { next, refused, runs } = await call.deps.scheduler.retryMatching(batchOf(call));
      const ids = runs.map(({ _id }) => _id);
      call.logged.runIds = ids.slice(0, 100);
      return json(200, { runs: ids, refused, ...encryptedCursor(call, next) });
    },
  }),
  route({
    method: "PUT",
    path: "/failures/resolved",
    action: "failures.resolve",
    operationId: "resolveFailureBatch",
    summary: "Mark open failures that match as resolved by hand, up to the newest one that was seen.",
    description:
      "At most 10,000 in one request; `next` says where to continue, also where as many failures as one request may were searched. At least one filter is required.",
    body: { required: true, content: { "application/json": batchShape }, checked: true },
    responses: {
      200: { description: "How many there were.", content: { "application/json": resolvedBatchDocument } },
    },
    async respond(call) {
      const batch = batchOf(call);
      const { next, resolved } = await call.deps.scheduler.resolveMatching(batch);
      call.logged.resolved = resolved;
      return json(200, { resolved, ...encryptedCursor(call, next) });
    },
  }),
];

/**
 * @throws HttpError 400 without a filter; `forbidden` for another integration, or for a key or a part of a record where they are not
 * shown as they are: the number of failures would say which there are.
 */
function batchOf(call: Call) {
  const { after, ...given } = omitUndefined(call.body.value as v.InferOutput<typeof batchShape>);
  const { through, ...filters } = given;
  if (Object.keys(filters).length === 0)
    throw badRequest("", "The body: expected a filter beside through, such as cause or _flowId, found none");
  if (given._integrationId !== undefined && !sees(call.scope, { _integrationId: given._integrationId }))
    throw new ForbiddenError("This integration is not the caller's");
  expectShown(call, given);
  call.logged.filter = given;
  return { ...filters, ...scopeFilter(call), through, ...cursorOf(call, after) };
}
