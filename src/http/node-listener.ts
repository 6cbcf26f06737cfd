import type { IncomingMessage, ServerResponse } from "node:http";
import { RequestError, getRequestListener } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Handler, replierOf } from "./handler.ts";
import { HttpError, badRequest, refused, unexpected } from "./http-error.ts";
import { type Reply, responseOf } from "./reply.ts";

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
  const replier = replierOf(handler);
  const listener = getRequestListener(
    async (given, { incoming, outgoing }) => {
      const request = wasRead(incoming) ? withBody(given, keptOf(incoming)) : given;
      return replier === undefined ? handler(request) : sent(await replier(request), outgoing as ServerResponse);
    },
    {
      overrideGlobalObjects: false,
      hostname: "localhost", // of requests that name none, as HTTP/1.0 allows
      errorHandler: (error) => responseOf(refused(refusalOf(error))),
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

// What goes on is read as the adapter reads it: no faster than the client takes it, and no longer than there is one.
function sent(reply: Reply, outgoing: ServerResponse): Response {
  const { status, headers, body } = reply;
  if (body instanceof ReadableStream) return responseOf(reply);
  // Somebody else may have answered meanwhile, such as a timeout of the host.
  if (outgoing.headersSent) return RESPONSE_ALREADY_SENT;
  if (body === null) outgoing.writeHead(status, headers).end();
  else outgoing.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
  return RESPONSE_ALREADY_SENT;
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
  throw new HttpError(500, [{ code: "unexpected", message }]);
}

function refusalOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  return error instanceof RequestError ? badRequest("", error.message) : unexpected();
}
