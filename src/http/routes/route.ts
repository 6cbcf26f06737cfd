import type { Clock } from "../../clock.ts";
import type { FlowRegistry } from "../../flow-registry.ts";
import type { v } from "../../model/validate.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";
import type { Action, TenantScope } from "../authorization.ts";
import type { Body, BodyRule } from "../body.ts";
import type { Schema } from "../documents.ts";
import type { EventFeed } from "../events/event-feed.ts";
import type { QuerySchema } from "../query.ts";
import type { Reply } from "../reply.ts";

/** Everything an answer is made from. */
export interface HttpDeps {
  readonly registry: FlowRegistry;
  readonly scheduler: Scheduler;
  readonly feed: EventFeed;
  readonly clock: Clock;
  /** What stands before every path; empty, or beginning with a slash. */
  readonly basePath: string;
  /** Longest wait for the end of a run, in milliseconds. */
  readonly maxWaitMs: number;
  /** The text of the OpenAPI document. */
  readonly openapi: () => string;
}

/** A request that is allowed, read and checked. */
export interface Call<Query = Readonly<Record<string, unknown>>> {
  readonly request: Request;
  readonly parts: HttpDeps;
  /** What the caller may see; undefined: everything. */
  readonly scope: TenantScope | undefined;
  /** The id in the path; empty if it has none. */
  readonly _id: string;
  readonly query: Query;
  readonly body: Body;
}

/** How one status is answered. */
export interface Answer {
  readonly description: string;
  /** Media type → shape. Absent: no body. */
  readonly content?: Readonly<Record<string, Schema>>;
  /** Header → what it says. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One method of one path. The router, the OpenAPI document and the manual are made from, or held to, a list of these. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Such as `/flows/{_id}`; at most one id. */
  readonly path: string;
  /** What `authorize` is asked for. */
  readonly action: Action;
  /** The name of the operation in the OpenAPI document. */
  readonly operationId: string;
  readonly summary: string;
  /** Parameters it reads; absent: none is allowed. */
  readonly query?: QuerySchema;
  /** Request headers it heeds → what they do. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodyRule;
  readonly answers: Readonly<Record<number, Answer>>;
  /** What it may be refused with, beside what every route may be. */
  readonly refusals?: readonly number[];
  readonly answer: (call: Call) => Promise<Reply>;
}

/** A route whose `answer` is given its query as the schema reads it. */
export function route<const Query extends QuerySchema>(
  of: Omit<Route, "query" | "answer"> & {
    readonly query?: Query;
    readonly answer: (call: Call<v.InferOutput<Query>>) => Promise<Reply>;
  },
): Route {
  return of;
}

/** The path of a document, as `Location` names it. */
export function locationOf({ basePath }: HttpDeps, kind: "flows" | "runs", _id: string): string {
  return `${basePath}/${kind}/${encodeURIComponent(_id)}`;
}
