import { StorageFailedError } from "../../errors.ts";
import { v } from "../../model/validate.ts";
import { permissionsOf } from "../access/authorization.ts";
import { healthDocument, permissionsDocument } from "../documents.ts";
import { eventsQuery } from "../lists/query.ts";
import { json, jsonString, streamed } from "../reply.ts";
import { type Call, type Route, route } from "./route.ts";

/** How long the storage may take before it counts as unavailable, in milliseconds. */
const healthTimeoutMs = 5_000;

/** The service itself: its events, its health and its description. */
export const serviceRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/permissions",
    action: undefined,
    operationId: "getPermissions",
    summary: "Read what the caller may do.",
    description:
      "For pages, which show only what is allowed. Every action is asked about and none is done; what is allowed here may still be refused for one flow.",
    responses: {
      200: { description: "What is allowed.", content: { "application/json": permissionsDocument } },
    },
    async respond({ deps, request }) {
      return json(200, await permissionsOf(deps.authorize, request));
    },
  }),
  route({
    method: "GET",
    path: "/events",
    action: "events.listen",
    operationId: "listenToEvents",
    summary: "Receive events of flows and runs as server-sent events, until the scheduler stops.",
    description:
      "Events as they happen, of all processes that share the storage; progress and attempts of this one alone. A client that reconnects with the id of the last event is first sent what it has missed, or an event `gap` if that is not known any more. Comments keep a silent connection open.",
    query: eventsQuery,
    headers: { "last-event-id": "Id of the last event received: later events are sent first." },
    responses: {
      200: {
        description: "A stream of events.",
        content: { "text/event-stream": v.string() },
        headers: { "x-accel-buffering": "Always `no`: proxies must not buffer the stream." },
      },
    },
    errors: [429],
    async respond({ deps, request, scope, caller, query }) {
      const lastEventId = request.headers.get("last-event-id") ?? query.lastEventId;
      const stream = deps.events.open({
        caller,
        ...(lastEventId === undefined ? {} : { lastEventId }),
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
    summary: "Check the storage, and read the state of the scheduler in this process.",
    description: "For load balancers and monitors: 503 if the storage fails, or does not respond within five seconds.",
    responses: { 200: { description: "The storage responds.", content: { "application/json": healthDocument } } },
    async respond(call) {
      await expectStorage(call);
      return json(200, { status: "ok", scheduler: call.deps.scheduler.state });
    },
  }),
  route({
    method: "GET",
    path: "/openapi.json",
    action: "openapi.read",
    operationId: "getOpenapi",
    summary: "Read this description as OpenAPI 3.1.",
    description: "Made from the shapes that requests are checked with.",
    responses: {
      200: { description: "The OpenAPI document.", content: { "application/json": v.record(v.string(), v.unknown()) } },
    },
    async respond({ deps }) {
      return jsonString(200, deps.openapi());
    },
  }),
];

/** @throws `storage_failed` if it fails or does not respond in time. */
async function expectStorage({ deps: { registry, clock } }: Call): Promise<void> {
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    const fail = () => reject(new StorageFailedError("nextDueAt", new Error(`no response in ${healthTimeoutMs} ms`)));
    cancel = clock.setTimer(fail, healthTimeoutMs);
  });
  try {
    await Promise.race([registry.storage.nextDueAt(), late]);
  } finally {
    cancel();
  }
}
