import { type Context, Hono } from "hono";
import { InvalidOptionError } from "../errors.ts";
import type { Exports, FlowRegistry, Imports } from "../flow-registry.ts";
import type { Logger } from "../model/logger.ts";
import { type Shape, objectWith, v, validate, wholeNumber } from "../model/validate.ts";
import { messageOf } from "../model/outcome.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { type AuthorizeRequest, type Authorize, type TenantScope, refuses, scopeOf } from "./authorization.ts";
import { type Body, readBody, readBytes } from "./body.ts";
import { EventFeed } from "./events/event-feed.ts";
import { openapiOf } from "./openapi.ts";
import { readQuery } from "./query.ts";
import { HttpError, refusalOf, refused, unexpected } from "./http-error.ts";
import { type Reply, empty, headOf, responseOf } from "./reply.ts";
import { type HttpDeps, type Route } from "./routes/route.ts";
import { routes } from "./routes/routes.ts";
import type { Verify } from "./signature.ts";

/** Answers a request; never rejects. */
export type Handler = (request: Request) => Promise<Response>;

/** What the handler makes its answer of; never rejects. */
type Replier = (request: Request) => Promise<Reply>;

const repliers = new WeakMap<Handler, Replier>();

/** What a handler is made of. */
export interface HandlerOptions<X extends Exports = Exports, M extends Imports = Imports> {
  /** Whose flows are served. */
  readonly registry: FlowRegistry<X, M>;
  /** Whose runs are served; made with the same registry. */
  readonly scheduler: Scheduler<X, M>;
  /** Decides who may do what: `bearerToken(…)`, a function of the host's own, or, written out, `allowAll()`. */
  readonly authorize: Authorize;
  /**
   * By `_exportId`: decides by the request itself whether records may come in, such as `hmacSignature(…)`. For that
   * export it is asked instead of `authorize`. @default none
   */
  readonly verify?: Readonly<Record<string, Verify>>;
  /** What stands before every path, such as `/api`: begins with a slash and does not end with one. @default "" */
  readonly basePath?: string;
  /** Most bytes of a body; 1 or more. @default 1048576 */
  readonly maxBodyBytes?: number;
  /** Most bytes of a body of records; 1 or more. @default 10485760 */
  readonly maxRecordsBytes?: number;
  /** Longest wait that `Prefer: wait` is granted, in milliseconds; 0 or more. @default 60000 */
  readonly maxWaitMs?: number;
  /** Events kept for watchers who come back with `Last-Event-ID`; 1 or more. @default 1000 */
  readonly eventBuffer?: number;
  /** Silence after which a stream of events is sent a comment, in milliseconds; 1 or more. @default 15000 */
  readonly heartbeatMs?: number;
  /** Where unexpected errors are written, with the id that the answer tells. @default the scheduler's */
  readonly logger?: Logger;
}

/** What the dispatcher needs beside what answers are made from. */
interface HandlerState {
  readonly parts: HttpDeps;
  readonly authorize: Authorize;
  readonly verify: ReadonlyMap<string, Verify>;
  readonly maxBodyBytes: number;
  readonly maxRecordsBytes: number;
  readonly logger: Logger;
}

/**
 * The HTTP interface, for any server that speaks `Request` and `Response`; `toNodeListener` makes it one for node:http,
 * Express and Fastify. Its routes are listed in the reference, and in `GET /openapi.json`.
 *
 * @throws `invalid_option` naming the first option that does not hold.
 */
export function createHandler<X extends Exports, M extends Imports>(options: HandlerOptions<X, M>): Handler {
  const door = openDoor(options);
  const app = new Hono<Exchange>().basePath(door.parts.basePath);
  for (const route of routes)
    app.on(route.method, honoPath(route.path), async (context) => reply(context, await answer(door, route, context)));
  for (const path of new Set(routes.map((route) => route.path)))
    app.all(honoPath(path), (context) => reply(context, otherMethod(path, context)));
  app.notFound((context) => reply(context, noSuchPath));
  app.onError((error, context) => reply(context, failed(door, error, context.req.raw)));
  const replier: Replier = async (request) => {
    const bindings: Exchange["Bindings"] = { reply: noSuchPath };
    await app.fetch(request, bindings);
    return request.method === "HEAD" ? headOf(bindings.reply) : bindings.reply;
  };
  const handler: Handler = async (request) => responseOf(await replier(request));
  repliers.set(handler, replier);
  return handler;
}

/** What the handler makes its answers of; undefined if it was not made by {@link createHandler}. */
export function replierOf(handler: Handler): Replier | undefined {
  return repliers.get(handler);
}

/** The reply to a request goes past Hono, which wants a `Response` and gets the same one every time. */
interface Exchange {
  Bindings: { reply: Reply };
}

const beside = new Response(null);
const noSuchPath = refused(new HttpError(404, [{ code: "not_found", message: "There is no such path" }]));

function reply({ env }: Context<Exchange>, made: Reply): Response {
  env.reply = made;
  return beside;
}

function openDoor<X extends Exports, M extends Imports>(options: HandlerOptions<X, M>): HandlerState {
  validate(options, optionRules, InvalidOptionError);
  const { registry, scheduler, authorize, verify = {}, basePath = "", logger = scheduler.logger } = options;
  const { maxBodyBytes = 2 ** 20, maxRecordsBytes = 10 * 2 ** 20, maxWaitMs = 60_000 } = options;
  const { eventBuffer = 1_000, heartbeatMs = 15_000 } = options;
  const feed = new EventFeed({ registry, scheduler, capacity: eventBuffer, heartbeatMs });
  let document: string | undefined;
  const openapi = () => (document ??= JSON.stringify(openapiOf(routes, basePath)));
  const parts: HttpDeps = { registry, scheduler, feed, clock: registry.clock, basePath, maxWaitMs, openapi };
  return { parts, authorize, verify: new Map(Object.entries(verify)), maxBodyBytes, maxRecordsBytes, logger };
}

async function answer(door: HandlerState, route: Route, context: Context<Exchange>): Promise<Reply> {
  const request = context.req.raw;
  try {
    const _id = context.req.param("_id") ?? "";
    const { scope, bytes } = await admit(door, route, request, _id);
    const query = readQuery(request.url, route.query);
    const body = await bodyOf(door, route, request, bytes);
    return await route.answer({ request, parts: door.parts, scope, _id, query, body });
  } catch (error) {
    return failed(door, error, request);
  }
}

/** Who may come in, and as whom. What had to be read for it is read once. */
interface Admission {
  readonly scope: TenantScope | undefined;
  readonly bytes?: Uint8Array;
}

async function admit(door: HandlerState, route: Route, request: Request, _id: string): Promise<Admission> {
  const verify = route.action === "records.accept" ? door.verify.get(_id) : undefined;
  if (verify === undefined) {
    const ask: AuthorizeRequest = { request, action: route.action, ...namedBy(route, _id) };
    return { scope: await permitted(() => door.authorize(ask)) };
  }
  const bytes = await readBytes(request, door.maxRecordsBytes);
  const { url, method: sent, headers } = request;
  // A request of its own, to read as it likes: what comes in is what it has seen.
  const copy = new Request(url, { method: sent, headers, body: bytes.slice() });
  return { scope: await permitted(() => verify(copy)), bytes };
}

/** @throws `unauthorized`, `forbidden` as the hook says; any other error of its own as one that nobody expected. */
async function permitted(hook: () => unknown): Promise<TenantScope | undefined> {
  let permission: unknown;
  try {
    permission = await hook();
  } catch (error) {
    if (refuses(error)) throw error;
    throw new Error(`authorize failed: ${messageOf(error)}`, { cause: error });
  }
  return scopeOf(permission);
}

function namedBy({ path }: Route, _id: string): Pick<AuthorizeRequest, "flowId" | "runId" | "exportId"> {
  if (path.startsWith("/flows/{")) return { flowId: _id };
  if (path.startsWith("/runs/{")) return { runId: _id };
  return path.startsWith("/exports/{") ? { exportId: _id } : {};
}

const noBody: Body = { value: undefined, mediaType: "" };

async function bodyOf(door: HandlerState, route: Route, request: Request, read: Uint8Array | undefined): Promise<Body> {
  if (route.body === undefined) return noBody;
  const limit = route.action === "records.accept" ? door.maxRecordsBytes : door.maxBodyBytes;
  return readBody(read ?? (await readBytes(request, limit)), request, route.body);
}

/** What a path answers to a method that no route of it has. */
function otherMethod(path: string, { req }: Context<Exchange>): Reply {
  const known = routes.filter((route) => route.path === path).map((route) => route.method);
  const allow = [...known, ...(known.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
  if (req.method === "OPTIONS") return empty(204, { allow });
  const message = `The method: expected ${allow}, found ${req.method}`;
  return refused(new HttpError(405, [{ code: "invalid_request", message }], { allow }));
}

function failed({ parts, logger }: HandlerState, error: unknown, { method: sent, url }: Request): Reply {
  const known = refusalOf(error);
  if (known !== undefined && !known.hidden) return refused(known.refusal);
  const errorId = parts.registry.newId();
  // No query and no headers: they may hold secrets.
  const path = url.replace(/[?#].*$/s, "");
  const { stack } = error instanceof Error ? error : {};
  const fields = { errorId, method: sent, path, error: messageOf(error), stack, cause: causeOf(error) };
  try {
    logger.error(fields, "request failed");
  } catch {
    // Who asked is answered, whatever becomes of the line.
  }
  return refused(known?.refusal ?? unexpected(errorId));
}

function causeOf(error: unknown): string | undefined {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : undefined;
}

function honoPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}

const optionRules: Shape<HandlerOptions> = {
  registry: objectWith(["find", "create", "list"], "a FlowRegistry"),
  scheduler: objectWith(["run", "accept", "listRuns"], "a Scheduler"),
  authorize: v.function("a function, such as bearerToken(…) or, for everybody, allowAll()"),
  verify: v.optional(v.record(v.string(), v.function(), "functions by the ids of exports")),
  basePath: v.optional(
    v.custom(
      (value) => value === "" || (typeof value === "string" && /^(\/[\w.~-]+)+$/.test(value)),
      'a path such as "/api", without a slash at its end',
    ),
  ),
  maxBodyBytes: v.optional(wholeNumber(1)),
  maxRecordsBytes: v.optional(wholeNumber(1)),
  maxWaitMs: v.optional(wholeNumber(0)),
  eventBuffer: v.optional(wholeNumber(1)),
  heartbeatMs: v.optional(wholeNumber(1)),
  logger: v.optional(objectWith(["debug", "info", "warn", "error"])),
};
