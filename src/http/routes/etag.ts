import { createHash } from "node:crypto";
import type { Flow } from "../../model/flow/flow.ts";
import { type Reply, empty } from "../reply.ts";
import type { Call, Route } from "./route.ts";

/**
 * The entity tag of a flow. Its first part is `lastModified`; the rest are times that runs change, which matter to a
 * cache but not to a writer.
 */
export function etagOf({ lastModified, lastExecutedAt = "", nextRunAt = "" }: Flow): string {
  return `"${lastModified}_${lastExecutedAt}_${nextRunAt}"`;
}

/** `If-None-Match`: whether the client has the current flow. */
export function isKnown(header: string, flow: Flow): boolean {
  return header.trim() === "*" || tagsIn(header).includes(etagOf(flow));
}

/** `If-Match`: whether the writable fields are as the client has read them. */
export function isCurrent(header: string, { lastModified }: Flow): boolean {
  return header.trim() === "*" || tagsIn(header).some((tag) => tag.startsWith(`"${lastModified}_`));
}

/** The tags in a header. Proxies that compress mark them as weak; the document is the same. */
export function tagsIn(header: string): readonly string[] {
  return header.match(/"[^"]*"/g) ?? [];
}

const polledHeader = { etag: "Entity tag of the response, for `If-None-Match`." };

/** The same route, for readers that come again and again: 304 if they would get what they have. */
export function polled(route: Route): Route {
  const { headers, responses, respond } = route;
  const { 200: ok = { description: "" }, ...others } = responses;
  return {
    ...route,
    headers: { ...headers, "if-none-match": "An `ETag` of the same request: 304 if its response would be the same." },
    responses: {
      200: { ...ok, headers: { ...ok.headers, ...polledHeader } },
      304: { description: "The response would be the same.", headers: polledHeader },
      ...others,
    },
    respond: async (call) => knownReply(call, await respond(call)),
  };
}

// What was read is read again for it: what is saved is sending and reading it.
function knownReply({ request }: Call, reply: Reply): Reply {
  const { status, headers, body } = reply;
  if (status !== 200 || typeof body !== "string") return reply;
  const hash = createHash("sha1").update(JSON.stringify(headers)).update(body).digest("base64url");
  const tagged = { etag: `"${hash}"`, "cache-control": "private, no-cache" };
  const known = request.headers.get("if-none-match") ?? "";
  if (known.trim() === "*" || tagsIn(known).includes(tagged.etag)) return empty(304, tagged);
  return { status, headers: { ...headers, ...tagged }, body };
}
