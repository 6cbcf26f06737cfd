import { StorageFailedError } from "../../errors.ts";
import { v } from "../../model/validate.ts";
import { healthDocument } from "../documents.ts";
import { eventsQuery } from "../query.ts";
import { json, jsonOf, streamed } from "../reply.ts";
import { type Call, type Route, route } from "./route.ts";

/** How long the storage may take before it counts as down, in milliseconds. */
const healthPatienceMs = 5_000;

/** What is going on, whether all is well, and what can be asked. */
export const watchRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/events",
    action: "events.listen",
    operationId: "listenToEvents",
    summary: "Watch flows and runs: server-sent events, until the scheduler stops.",
    query: eventsQuery,
    headers: { "last-event-id": "The id of the last event that was seen: what came after it is told first." },
    answers: {
      200: {
        description: "A stream that goes on.",
        content: { "text/event-stream": v.string() },
        headers: { "x-accel-buffering": "Always no: what is between passes each event on when it comes." },
      },
    },
    async answer({ parts, request, scope }) {
      const lastEventId = request.headers.get("last-event-id");
      const stream = parts.feed.stream({
        ...(lastEventId === null ? {} : { lastEventId }),
        ...(scope === undefined ? {} : { _integrationId: scope._integrationId }),
      });
      return streamed(stream, "text/event-stream");
    },
  }),
  route({
    method: "GET",
    path: "/health",
    action: "health.read",
    operationId: "getHealth",
    summary: "Whether the storage answers, and what the scheduler of this process does.",
    answers: { 200: { description: "The storage answers.", content: { "application/json": healthDocument } } },
    async answer(call) {
      await expectStorage(call);
      return json(200, { status: "ok", scheduler: call.parts.scheduler.state });
    },
  }),
  route({
    method: "GET",
    path: "/openapi.json",
    action: "openapi.read",
    operationId: "getOpenapi",
    summary: "This description, in OpenAPI 3.1.",
    answers: {
      200: { description: "The document.", content: { "application/json": v.record(v.string(), v.unknown()) } },
    },
    async answer({ parts }) {
      return jsonOf(200, parts.openapi());
    },
  }),
];

/** @throws `storage_failed` if it fails, or does not answer in time. */
async function expectStorage({ parts: { registry, clock } }: Call): Promise<void> {
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    const tooLate = () => reject(new StorageFailedError("nextDueAt", new Error(`no answer in ${healthPatienceMs} ms`)));
    cancel = clock.setTimer(tooLate, healthPatienceMs);
  });
  try {
    await Promise.race([registry.storage.nextDueAt(), late]);
  } finally {
    cancel();
  }
}
