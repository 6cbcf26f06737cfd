import type { Exports, Imports } from "../model/host/fitting.ts";
import { messageOf } from "../model/message.ts";
import {
  type AuthorizeRequest,
  type AuthorizeResult,
  type Grant,
  grantOf,
  isRefusal,
  resultOf,
} from "./access/authorization.ts";
import { type Body, type BodyReading, type BodySpec, expectUnread, readBody, readBytes, unverifiable } from "./body.ts";
import { checkCrossSite } from "./access/cross-site.ts";
import { EventBroadcast } from "./events/event-broadcast.ts";
import { HttpError, errorReply, httpErrorOf, unexpectedError } from "./http-error.ts";
import { Cursors } from "./lists/cursor.ts";
import { readQuery } from "./lists/query.ts";
import { openapiOf } from "./openapi.ts";
import { type HandlerOptions, type ResolvedHandlerOptions, resolveOptions } from "./options.ts";
import { Redaction } from "./access/redaction.ts";
import { type Reply, empty, headOf, json, plain, responseOf } from "./reply.ts";
import { Router, pathOf } from "./router.ts";
import type { Call, HttpDeps, Route } from "./routes/route.ts";
import { routes } from "./routes/routes.ts";
import { StopListeners } from "./stop-listeners.ts";
import type { Challenge, Webhook } from "./webhooks/webhook.ts";

/** Responds to a request; never rejects. */
export type Handler = (request: Request) => Promise<Response>;

/** The same before a `Response` is made of it; never rejects. */
type Replier = (request: Request) => Promise<Reply>;

const repliers = new WeakMap<Handler, Replier>();

/**
 * The HTTP API, for any server that speaks `Request` and `Response`; `toNodeListener` of `poundlock/http/node` makes it a
 * listener of node:http, Express and Fastify. Its routes are listed in the reference and in `GET /openapi.json`.
 *
 * @throws `invalid_option` naming the first option that is invalid.
 */
export function createHandler<X extends Exports, M extends Imports>(options: HandlerOptions<X, M>): Handler {
  const dispatcher = new Dispatcher(resolveOptions(options));
  const replier: Replier = async (request) => {
    const reply = await dispatcher.dispatch(request);
    return request.method === "HEAD" ? headOf(reply) : reply;
  };
  const handler: Handler = async (request) => responseOf(await replier(request));
  repliers.set(handler, replier);
  return handler;
}

/** What the handler makes its responses of; undefined if it was not made by {@link createHandler}. */
export function replierOf(handler: Handler): Replier | undefined {
  return repliers.get(handler);
}

const noSuchPath = errorReply(new HttpError(404, [{ code: "not_found", message: "There is no such path" }]));
const noBody: Body = { value: undefined, mediaType: "" };

/** What a caller is granted. A body that had to be read to find out is not read again. */
interface Admission extends Grant {
  /** Of a request that `verify` has accepted. */
  readonly verified?: VerifiedRequest;
}

interface VerifiedRequest {
  readonly webhook: Webhook;
  readonly bytes: Uint8Array;
  /** What `verify` returned. */
  readonly result: AuthorizeResult;
}

/** A request whose body is to be read. */
interface BodyRequest {
  readonly request: Request;
  /** The id in the path. */
  readonly _id: string;
  readonly verified: VerifiedRequest | undefined;
}

/** Leads each request through its steps: route, authorization, query, body, response. */
class Dispatcher {
  readonly #options: ResolvedHandlerOptions;
  readonly #deps: HttpDeps;
  readonly #router: Router;

  constructor(options: ResolvedHandlerOptions) {
    const { scheduler, authorize, basePath, publicPath, maxWaitMs, eventBuffer: capacity, heartbeatMs } = options;
    const { registry } = scheduler;
    const { maxStreamsPerCaller, cursorSecret } = options;
    const redaction = new Redaction(options.redact, options.logger);
    let document: string | undefined;
    this.#options = options;
    this.#router = new Router(routes, basePath);
    this.#deps = {
      ...{ registry, scheduler, authorize, clock: registry.clock, basePath, publicPath, maxWaitMs },
      events: new EventBroadcast({ registry, scheduler, redaction, capacity, heartbeatMs, maxStreamsPerCaller }),
      redaction,
      cursors: new Cursors(cursorSecret),
      stops: new StopListeners(scheduler),
      openapi: () => (document ??= JSON.stringify(openapiOf(routes, publicPath))),
    };
  }

  /** Never rejects. */
  async dispatch(request: Request): Promise<Reply> {
    try {
      const match = this.#router.match(request.method, request.url);
      if (match.kind === "route") return await this.#respond(match.route, request, match._id);
      return match.kind === "method" ? otherMethod(request.method, match.allow) : noSuchPath;
    } catch (error) {
      return this.#failed(error, request);
    }
  }

  async #respond(route: Route, request: Request, _id: string): Promise<Reply> {
    const { scope, caller, verified } = await this.#admit(route, request, _id);
    const query = readQuery(request.url, route.query, this.#options.authorizeParameters);
    const body = route.body === undefined ? noBody : await this.#bodyOf(route.body, route, { request, _id, verified });
    const call: Call = { request, deps: this.#deps, scope, caller, _id, query, body, logged: {} };
    if (route.method === "GET") return route.respond(call);
    const read = verified?.webhook.read;
    if (read === undefined) return this.#logged(route, call);
    const delivery = await read(body.value, withoutBody(request), verified?.result ?? false);
    if (delivery.challenge !== undefined) return challengeReply(delivery.challenge);
    const { records, ids, grant } = delivery;
    const arrival = { records, ...(ids === undefined ? {} : { ids }) };
    return this.#logged(route, { ...call, ...grantOf(await resultOf(grant)), arrival });
  }

  /** The response of a route that may change something, after a line in the log. */
  async #logged(route: Route, call: Call): Promise<Reply> {
    let status: number | undefined;
    try {
      const reply = await route.respond(call);
      status = reply.status;
      return reply;
    } catch (error) {
      status = httpErrorOf(error)?.error.status ?? 500;
      throw error;
    } finally {
      this.#log("info", { ...loggedOf(route, call), status }, "action requested");
    }
  }

  async #admit(route: Route, request: Request, _id: string): Promise<Admission> {
    const { authorize, maxRecordsBytes, origins } = this.#options;
    const webhook = route.action === "records.accept" ? this.#options.verify.get(_id) : undefined;
    if (webhook === undefined) {
      checkCrossSite(request, origins);
      // The route asks about every action itself.
      if (route.action === undefined) return { scope: undefined, caller: undefined };
      const asked: AuthorizeRequest = { request, action: route.action, ...namedBy(route, _id) };
      return grantOf(await resultOf(() => authorize(asked)));
    }
    expectUnread(request);
    const bytes = await readBytes(request, maxRecordsBytes);
    const given = { request: withoutBody(request), bytes, now: this.#deps.clock.now() };
    try {
      const result = await resultOf(() => webhook.verify(given));
      return { ...grantOf(result), verified: { webhook, bytes, result } };
    } catch (error) {
      throw (isRefusal(error) ? unverifiable(request) : undefined) ?? error;
    }
  }

  async #bodyOf(spec: BodySpec, { action }: Route, { request, _id, verified }: BodyRequest): Promise<Body> {
    const { maxRecordsBytes, maxBodyBytes } = this.#options;
    const isRecords = action === "records.accept";
    const limit = isRecords ? maxRecordsBytes : maxBodyBytes;
    const reading = { ...spec, limit, ...(isRecords ? this.#recordReading(_id) : {}) };
    if (verified !== undefined) return readBody(verified.bytes, request, { ...reading, isVerified: true });
    expectUnread(request);
    return readBody(await readBytes(request, limit), request, reading);
  }

  #recordReading(_exportId: string): Pick<BodyReading, "integers" | "unreadStatus"> {
    const { integers = "refuse" } = this.#deps.registry.findExport(_exportId)?.intake ?? {};
    return { integers, unreadStatus: 422 };
  }

  #failed(error: unknown, { method, url }: Request): Reply {
    const known = httpErrorOf(error);
    if (known !== undefined && !known.hidden) return errorReply(known.error);
    const errorId = this.#deps.registry.newId();
    const { stack } = error instanceof Error ? error : {};
    // Query and headers may contain secrets.
    const fields = { errorId, method, path: pathOf(url), error: messageOf(error), stack, cause: causeOf(error) };
    this.#log("error", fields, "request failed");
    return errorReply(known?.error ?? unexpectedError(errorId));
  }

  #log(level: "info" | "error", fields: object, message: string): void {
    try {
      this.#options.logger[level](fields, message);
    } catch {
      // A logger that throws must not keep the caller from its response.
    }
  }
}

function withoutBody({ url, method, headers }: Request): Request {
  return new Request(url, { method, headers });
}

function challengeReply(challenge: Challenge): Reply {
  return typeof challenge === "string" ? plain(200, challenge) : json(200, challenge);
}

function namedBy(
  { path }: Route,
  _id: string,
): Pick<AuthorizeRequest, "flowId" | "runId" | "failureId" | "exportId" | "importId"> {
  if (path.startsWith("/flows/{")) return { flowId: _id };
  if (path.startsWith("/runs/{")) return { runId: _id };
  if (path.startsWith("/failures/{")) return { failureId: _id };
  if (path.startsWith("/imports/{")) return { importId: _id };
  return path.startsWith("/exports/{") ? { exportId: _id } : {};
}

function loggedOf(route: Route, { _id, scope, caller, logged }: Call): object {
  return {
    action: route.action,
    ...namedBy(route, _id),
    ...logged,
    ...(caller === undefined ? {} : { caller }),
    ...(scope === undefined ? {} : { integrationId: scope._integrationId }),
  };
}

/** The reply where the path exists but has no such method. */
function otherMethod(method: string, allow: string): Reply {
  if (method === "OPTIONS") return empty(204, { allow });
  const message = `The method: expected ${allow}, found ${method}`;
  return errorReply(new HttpError(405, [{ code: "invalid_request", message }], { allow }));
}

function causeOf(error: unknown): string | undefined {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : undefined;
}
