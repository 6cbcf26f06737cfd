import type { IncomingMessage, ServerResponse } from "node:http";
import { RequestError, getRequestListener } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { markRewritten } from "./body.ts";
import { type Handler, replierOf } from "./handler.ts";
import { HttpError, badRequest, errorReply, unexpectedError } from "./http-error.ts";
import { type Reply, responseOf } from "./reply.ts";
import { isCanonical } from "./router.ts";

/** A request of node:http with what frameworks add to it. */
interface FrameworkRequest extends Pick<IncomingMessage, "method" | "readableDidRead"> {
  /** The whole path: frameworks remove the path at which something is mounted from `url`. */
  readonly originalUrl?: string;
  /** What a parser made of the body. */
  readonly body?: unknown;
  /** The body as it was sent, if a parser kept it. */
  readonly rawBody?: unknown;
}

/**
 * The handler as a listener of node:http, for `http.createServer`, for `app.use` of Express, and for the raw pair of
 * Fastify. It sees the path as the client sent it, wherever it is mounted and whatever rewrote `url` before.
 *
 * Where a parser has read the body before, the body is the parser's result, written as JSON again; a signature of the
 * original bytes matches only if the parser kept them as `rawBody` (bytes or a string). A body that was read and not
 * kept is an error 500; it is never taken for an empty one. The host's `Request` and `Response` are not replaced.
 */
export function toNodeListener(handler: Handler): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const replier = replierOf(handler);
  const noSuchPath = errorReply(new HttpError(404, [{ code: "not_found", message: "There is no such path" }]));
  const listener = getRequestListener(
    async (given, { incoming, outgoing }) => {
      const request = wasRead(incoming) ? withKeptBody(given, incoming) : given;
      return replier === undefined ? handler(request) : send(await replier(request), outgoing as ServerResponse);
    },
    {
      overrideGlobalObjects: false,
      hostname: "localhost", // for requests without a Host header, as HTTP/1.0 allows
      errorHandler: (error) => responseOf(errorReply(adapterError(error))),
    },
  );
  return (incoming: IncomingMessage & FrameworkRequest, outgoing) => {
    const { url, originalUrl } = incoming;
    if (!isPlainTarget(originalUrl ?? String(url))) {
      send(noSuchPath, outgoing);
      return;
    }
    // The adapter reads `url` at once; whatever runs afterwards finds it unchanged.
    if (originalUrl !== undefined) incoming.url = originalUrl;
    const responded = listener(incoming, outgoing);
    if (url !== undefined) incoming.url = url;
    responded.catch(() => outgoing.destroy());
  };
}

// A URL made of other targets has another path than a host sees that guards paths by their beginning.
function isPlainTarget(target: string): boolean {
  const query = target.indexOf("?");
  return !target.includes("#") && isCanonical(query === -1 ? target : target.slice(0, query));
}

// Streams are left to the adapter, which reads them no faster than the client does and stops when the client goes away.
function send(reply: Reply, outgoing: ServerResponse): Response {
  const { status, headers, body } = reply;
  if (body instanceof ReadableStream) return responseOf(reply);
  // Something else may have responded meanwhile, such as a timeout of the host.
  if (outgoing.headersSent) return RESPONSE_ALREADY_SENT;
  if (body === null) outgoing.writeHead(status, headers).end();
  else outgoing.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
  return RESPONSE_ALREADY_SENT;
}

// Where no byte has been read, the adapter finds the whole body, even if it is empty and has ended.
function wasRead({ method, readableDidRead }: FrameworkRequest): boolean {
  return method !== "GET" && method !== "HEAD" && readableDidRead;
}

/** @throws HttpError 500 if nothing was kept. */
function withKeptBody(request: Request, { rawBody, body }: FrameworkRequest): Request {
  for (const kept of [rawBody, body])
    if (typeof kept === "string" || kept instanceof Uint8Array) return withBody(request, kept);
  if (body !== undefined) return markRewritten(withBody(request, JSON.stringify(body)));
  const message = "The server read the body before this handler and kept it neither as body nor as rawBody";
  throw new HttpError(500, [{ code: "unexpected", message }]);
}

function withBody({ url, method, headers: sent, signal }: Request, body: Uint8Array | string): Request {
  const headers = new Headers(sent);
  // Both describe the body as it was sent; a parser has decoded it.
  headers.delete("content-encoding");
  headers.delete("content-length");
  return new Request(url, { method, headers, body, signal });
}

function adapterError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  return error instanceof RequestError ? badRequest("", error.message) : unexpectedError();
}
