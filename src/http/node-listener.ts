import type { IncomingMessage, ServerResponse } from "node:http";
import { RequestError, getRequestListener } from "@hono/node-server";
import type { Handler } from "./handler.ts";
import { Refusal, badRequest, refused, unexpected } from "./refusal.ts";

/** A request of node:http, and what frameworks add to it. */
interface Framed extends Pick<IncomingMessage, "method" | "readableDidRead"> {
  /** The whole path: frameworks that mount take what they are mounted at from `url`. */
  readonly originalUrl?: string;
  /** What a parser made of the body. */
  readonly body?: unknown;
  /** The body as it came, if somebody kept it. */
  readonly rawBody?: unknown;
}

/**
 * The handler as a listener of node:http, for `http.createServer`, for `app.use` of Express, and for the raw pair of
 * Fastify. It sees the path as the client sent it, whatever it is mounted at and whatever rewrote `url` before.
 *
 * Where a parser has read the body before, the body is what that made of it, written as JSON again; a signature of its
 * bytes fits only if the parser kept them as `rawBody` (bytes or text). A body that was read and not kept is answered
 * with 500, not taken for an empty one. The host's `Request` and `Response` are not replaced.
 */
export function toNodeListener(handler: Handler): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const listener = getRequestListener(
    (request, { incoming }) => handler(wasRead(incoming) ? withBody(request, keptOf(incoming)) : request),
    {
      overrideGlobalObjects: false,
      hostname: "localhost", // of requests that name none, as HTTP/1.0 allows
      errorHandler: (error) => refused(refusalOf(error)),
    },
  );
  return (incoming: IncomingMessage & Framed, outgoing) => {
    const { url, originalUrl } = incoming;
    // The adapter reads it at once; whoever comes after finds what was there.
    if (originalUrl !== undefined) incoming.url = originalUrl;
    const answered = listener(incoming, outgoing);
    if (url !== undefined) incoming.url = url;
    answered.catch(() => outgoing.destroy());
  };
}

// Where no byte has been taken out, the adapter finds all there is, even if that is nothing and has ended.
function wasRead({ method, readableDidRead }: Framed): boolean {
  return method !== "GET" && method !== "HEAD" && readableDidRead;
}

function withBody({ url, method, headers: sent, signal }: Request, body: Uint8Array | string): Request {
  const headers = new Headers(sent);
  // Both are of the body as it was sent: a parser decodes it.
  headers.delete("content-encoding");
  headers.delete("content-length");
  return new Request(url, { method, headers, body, signal });
}

/** @throws Refusal 500 if nothing was kept. */
function keptOf({ rawBody, body }: Framed): Uint8Array | string {
  for (const kept of [rawBody, body]) if (typeof kept === "string" || kept instanceof Uint8Array) return kept;
  if (body !== undefined) return JSON.stringify(body);
  const message = "The server read the body before it came here, and kept it neither as body nor as rawBody";
  throw new Refusal(500, [{ code: "unexpected", message }]);
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  return error instanceof RequestError ? badRequest("", error.message) : unexpected();
}
