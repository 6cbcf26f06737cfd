import { omitUndefined } from "../../model/record/json.ts";
import { v } from "../../model/validate.ts";
import { described, schedulePreviewDocument } from "../documents.ts";
import { json } from "../reply.ts";
import { type Route, route } from "./route.ts";

const text = v.string("a string");
const counted = "a whole number from 1 to 50";

/** A schedule to be looked at. */
export const previewShape = v.strictObject({
  schedule: described(text, "Cron expression, as in a flow."),
  timezone: v.optional(described(text, "IANA time zone; the server's default if it is left out.")),
  _flowId: v.optional(described(text, "The flow it is for: `H` draws by its id.")),
  count: v.optional(
    described(
      v.pipe(v.number(counted), v.integer(counted), v.minValue(1, counted), v.maxValue(50, counted)),
      "Due times that are wanted; 10 if it is left out.",
    ),
  ),
});

/** Schedules, before a flow has them. */
export const scheduleRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/schedules/preview",
    action: "schedules.preview",
    operationId: "previewSchedule",
    summary: "Read when a schedule would be due.",
    description: "Nothing is stored. A schedule that a flow may not have is refused as for a flow.",
    body: { required: true, content: { "application/json": previewShape }, checked: true },
    responses: {
      200: { description: "What it means.", content: { "application/json": schedulePreviewDocument } },
    },
    errors: [422],
    async respond(call) {
      const input = call.body.value as v.InferOutput<typeof previewShape>;
      return json(200, call.deps.scheduler.previewSchedule(omitUndefined(input)));
    },
  }),
];
