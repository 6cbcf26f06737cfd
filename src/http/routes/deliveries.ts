import type { Json } from "../../model/record/json.ts";
import { v } from "../../model/validate.ts";
import { deliveryDocument, described, droppedDocument, inboxPageDocument, resumedDocument } from "../documents.ts";
import { filtersOf, linkHeader, listReply, listResponse, pageOf } from "../lists/list.ts";
import { deliveriesQuery, inboxQuery } from "../lists/query.ts";
import { empty, json } from "../reply.ts";
import { type Route, route } from "./route.ts";
import { findFlow, viewerOf } from "./scoped.ts";

const oneImport = v.optional(described(v.string("a string"), "Only this import; all of the flow if it is left out."));
/** Which pause ends. */
export const resumeShape = v.strictObject({ _importId: oneImport });
/** Where the next run resumes. */
export const checkpointShape = v.strictObject({
  value: v.optional(described(v.unknown(), "The new checkpoint, as JSON; from the start if it is left out.")),
  _importId: oneImport,
});
const maxPages = 1_000;
const somePages = `an array of 1 to ${maxPages} ids`;
/** Which pages are dropped. */
export const dropShape = v.strictObject({
  _ids: described(
    v.pipe(v.array(v.string("an id"), somePages), v.minLength(1, somePages), v.maxLength(maxPages, somePages)),
    "The pages to drop.",
  ),
  _importId: oneImport,
});

/** How delivery to each import stands, and what a person may change about it. */
export const deliveryRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/flows/{_id}/deliveries",
    action: "deliveries.read",
    operationId: "listDeliveries",
    summary: "Read how delivery to each import of a flow stands.",
    description:
      "Imports are independent of each other: each has a checkpoint, a count of open failures, and, if its destination is unavailable, a pause that says since when, until when and why.",
    query: deliveriesQuery,
    responses: {
      200: {
        description: "By import, in order.",
        content: { "application/json": v.array(deliveryDocument) },
        headers: linkHeader,
      },
    },
    async respond(call) {
      const flow = await findFlow(call);
      const deliveries = await call.deps.scheduler.deliveries(flow._id);
      return listReply(
        call,
        pageOf(deliveries, ({ _importId }) => _importId, filtersOf(call, call.query)),
      );
    },
  }),
  route({
    method: "PUT",
    path: "/flows/{_id}/checkpoint",
    action: "checkpoints.write",
    operationId: "setCheckpoint",
    summary: "Set where the next run of a flow resumes.",
    description:
      "To read records again, or to leave some out; for one import or for all of the flow. Readings that are not finished are given up. Refused while a run of the flow is active or waits to be resumed.",
    body: { required: true, content: { "application/json": checkpointShape }, checked: true },
    responses: { 204: { description: "The checkpoint was set." } },
    errors: [409],
    async respond(call) {
      const flow = await findFlow(call);
      const { value, _importId } = call.body.value as v.InferOutput<typeof checkpointShape>;
      const options = _importId === undefined ? {} : { _importId };
      await call.deps.scheduler.setCheckpoint(flow._id, value as Json | undefined, options);
      return empty(204);
    },
  }),
  route({
    method: "POST",
    path: "/flows/{_id}/resume",
    action: "flows.run",
    operationId: "resumeFlow",
    summary: "End the pause of an import of a flow, or of all, and queue a run for them.",
    description:
      "A paused import resumes by itself; this does not wait for that. Nothing happens if nothing is paused.",
    body: { required: false, content: { "application/json": resumeShape }, checked: true },
    responses: {
      200: {
        description: "The run that was queued; absent if nothing was paused.",
        content: { "application/json": resumedDocument },
      },
    },
    async respond(call) {
      const flow = await findFlow(call);
      const { _importId } = (call.body.value ?? {}) as v.InferOutput<typeof resumeShape>;
      const run = await call.deps.scheduler.resume(flow._id, _importId);
      if (run !== undefined) call.logged.runId = run._id;
      return json(200, run === undefined ? {} : { run });
    },
  }),
  route({
    method: "GET",
    path: "/flows/{_id}/inbox",
    action: "inbox.read",
    operationId: "listInbox",
    summary: "List the pages that wait in the inbox of a flow, oldest first.",
    description: "Records that arrived as events, were stored, and are not settled at every import yet.",
    query: inboxQuery,
    responses: { 200: listResponse("The pages.", inboxPageDocument, linkHeader) },
    async respond(call) {
      const flow = await findFlow(call);
      const { items, ...page } = await call.deps.scheduler.listInbox(flow._id, filtersOf(call, call.query));
      const shown = items.map((one) => call.deps.redaction.page(one, viewerOf(call)));
      return listReply(call, { items: shown, ...page }, call.query);
    },
  }),
  route({
    method: "POST",
    path: "/flows/{_id}/inbox/drop",
    action: "inbox.drop",
    operationId: "dropInbox",
    summary: "Drop pages of the inbox of a flow: they are not delivered any more.",
    description:
      "For one import or for all of the flow. Pages that are not there any more are left out of the response.",
    body: { required: true, content: { "application/json": dropShape }, checked: true },
    responses: { 200: { description: "The pages that were there.", content: { "application/json": droppedDocument } } },
    async respond(call) {
      const flow = await findFlow(call);
      const { _ids, _importId } = call.body.value as v.InferOutput<typeof dropShape>;
      call.logged.pageIds = _ids.slice(0, 100);
      const options = _importId === undefined ? {} : { _importId };
      return json(200, { _ids: await call.deps.scheduler.dropInbox(flow._id, _ids, options) });
    },
  }),
];
