import type { Clock } from "../../clock.ts";
import type { FlowRegistry } from "../../flow-registry.ts";
import type { v } from "../../model/validate.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";
import type { Action, Authorize, TenantScope } from "../access/authorization.ts";
import type { Body, BodySpec } from "../body.ts";
import type { Schema } from "../documents.ts";
import type { EventBroadcast } from "../events/event-broadcast.ts";
import type { Cursors } from "../lists/cursor.ts";
import type { QuerySchema } from "../lists/query.ts";
import type { Redaction } from "../access/redaction.ts";
import type { Reply } from "../reply.ts";
import { pathOf } from "../router.ts";
import type { StopListeners } from "../stop-listeners.ts";

/** Everything that routes need. */
export interface HttpDeps {
  readonly registry: FlowRegistry;
  readonly scheduler: Scheduler;
  readonly authorize: Authorize;
  readonly events: EventBroadcast;
  readonly clock: Clock;
  /** What precedes every path; "" or a path that begins with a slash. */
  readonly basePath: string;
  /** What precedes every path as clients see it; undefined: references are relative. */
  readonly publicPath: string | undefined;
  readonly cursors: Cursors;
  readonly redaction: Redaction;
  readonly stops: StopListeners;
  /** Longest wait for the end of a run, in milliseconds. */
  readonly maxWaitMs: number;
  /** The OpenAPI document as JSON. */
  readonly openapi: () => string;
}

/** A request that is authorized, read and checked. */
export interface Call<Query = Readonly<Record<string, unknown>>> {
  readonly request: Request;
  readonly deps: HttpDeps;
  /** What the caller may see; undefined: everything. */
  readonly scope: TenantScope | undefined;
  /** The caller's name, if `authorize` gives one. */
  readonly caller: string | undefined;
  /** What the log says about the request, beside the id in its path; a route adds the ids of what it creates. */
  readonly logged: Record<string, unknown>;
  /** The id in the path; "" if it has none. */
  readonly _id: string;
  readonly query: Query;
  readonly body: Body;
  /** Of a webhook: what was made of its body. */
  readonly arrival?: Arrival;
}

/** Records of a webhook. */
export interface Arrival {
  readonly records: readonly unknown[];
  /** One event id for each record. */
  readonly ids?: readonly string[];
}

/** The response with one status. */
export interface ResponseSpec {
  readonly description: string;
  /** Media type → shape. Absent: no body. */
  readonly content?: Readonly<Record<string, Schema>>;
  /** Header → its meaning. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One method of one path. The router, the OpenAPI document and the tests of the manual are made from a list of these. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Such as `/flows/{_id}`; at most one id. */
  readonly path: string;
  /** What `authorize` decides about; undefined: the route asks by itself, about every action. */
  readonly action: Action | undefined;
  /** Name of the operation in the OpenAPI document. */
  readonly operationId: string;
  /** What it does, in one sentence. */
  readonly summary: string;
  /** What a caller should know beside that, for the OpenAPI document. */
  readonly description: string;
  /** Parameters it reads; absent: none is allowed. */
  readonly query?: QuerySchema;
  /** Request headers it reads → their meaning. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodySpec;
  /** Status → response, of requests that succeed. */
  readonly responses: Readonly<Record<number, ResponseSpec>>;
  /** Statuses of errors, beside those that every route may have. */
  readonly errors?: readonly number[];
  readonly respond: (call: Call) => Promise<Reply>;
}

/** A route whose `respond` is given its query as the schema reads it. */
export function route<const Query extends QuerySchema>(
  spec: Omit<Route, "query" | "respond"> & {
    readonly query?: Query;
    readonly respond: (call: Call<v.InferOutput<Query>>) => Promise<Reply>;
  },
): Route {
  return spec;
}

/** The address of a document, for `Location`: relative to the address of the request, unless the public path is known. */
export function locationOf(
  { request, deps: { basePath, publicPath } }: Call,
  kind: "flows" | "runs",
  _id: string,
): string {
  const target = `${kind}/${encodeURIComponent(_id)}`;
  if (publicPath !== undefined) return `${publicPath}/${target}`;
  const below = pathOf(request.url).slice(basePath.length + 1);
  return "../".repeat(below.split("/").length - 1) + target;
}
