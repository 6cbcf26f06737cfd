import type { IncomingMessage, ServerResponse } from "node:http";
import { RequestError, getRequestListener } from "@hono/node-server";
import type { Handler } from "./handler.ts";
import { badRequest, refused, unexpected } from "./refusal.ts";

/** What frameworks add to a request of node:http. */
interface Framed {
  /** The whole path: frameworks that mount take what they are mounted at from `url`. */
  readonly originalUrl?: string;
  /** What a parser made of the body. */
  readonly body?: unknown;
  /** The body as it came, if somebody kept it. */
  rawBody?: unknown;
}

/**
 * The handler as a listener of node:http, for `http.createServer`, for `app.use` of Express, and for the raw pair of
 * Fastify. It sees the whole path, whatever it is mounted at.
 *
 * Where a parser has read the body before, the body is what that made of it, written as JSON again; a signature of its
 * bytes fits only if the parser kept them as `rawBody`. The host's `Request` and `Response` are not replaced.
 */
export function toNodeListener(handler: Handler): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const listener = getRequestListener(handler, {
    overrideGlobalObjects: false,
    hostname: "localhost", // of requests that name none, as HTTP/1.0 allows
    errorHandler: (error) => refused(error instanceof RequestError ? badRequest("", error.message) : unexpected()),
  });
  return (incoming: IncomingMessage & Framed, outgoing) => {
    const { url, originalUrl } = incoming;
    if (wasRead(incoming)) incoming.rawBody ??= bytesOf(incoming.body);
    // The adapter reads it at once; whoever comes after finds what was there.
    if (originalUrl !== undefined) incoming.url = originalUrl;
    const answered = listener(incoming, outgoing);
    if (url !== undefined) incoming.url = url;
    answered.catch(() => outgoing.destroy());
  };
}

function wasRead({ method, readableDidRead, readableEnded }: IncomingMessage): boolean {
  return method !== "GET" && method !== "HEAD" && (readableDidRead || readableEnded);
}

function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  if (body === undefined) return Buffer.alloc(0);
  return Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
}
