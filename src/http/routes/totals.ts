import type { Overview } from "../../model/flow/overview.ts";
import { v } from "../../model/validate.ts";
import { sees } from "../access/authorization.ts";
import { overviewDocument, statisticsDocument } from "../documents.ts";
import { overviewQuery, statisticsQuery } from "../lists/query.ts";
import { json } from "../reply.ts";
import { type Call, type Route, route } from "./route.ts";
import { scopeFilter } from "./scoped.ts";

/** How all flows do, and what they moved. */
export const totalsRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/overview",
    action: "overview.read",
    operationId: "getOverview",
    summary: "Read how all flows do at present.",
    description:
      "What fails, is overdue or paused, runs and waits. Every number is exact, and reading them costs the same however much history there is.",
    query: overviewQuery,
    responses: { 200: { description: "The overview.", content: { "application/json": overviewDocument } } },
    async respond(call) {
      const filter = within(call, call.query);
      return json(200, filter === undefined ? nothing : await call.deps.scheduler.overview(filter));
    },
  }),
  route({
    method: "GET",
    path: "/statistics",
    action: "statistics.read",
    operationId: "listStatistics",
    summary: "Read what was moved, by the hour or by the day.",
    description:
      "Runs by how they ended and records by what became of them, oldest first; steps in which nothing happened are left out. Processes save what they count every ten seconds. With `_flowId` it is read from the runs of that flow.",
    query: statisticsQuery,
    responses: {
      200: {
        description: "The steps.",
        content: { "application/json": v.array(statisticsDocument) },
        headers: { "poundlock-complete": "`false` if the flow had more runs in that time than are looked at." },
      },
    },
    async respond(call) {
      const filter = within(call, call.query);
      if (filter === undefined) return json(200, []);
      const { complete, items } = await call.deps.scheduler.statistics(filter);
      return json(200, items, complete ? undefined : { "poundlock-complete": "false" });
    },
  }),
];

/** The filter, of what the caller may see; undefined: of another integration there is nothing. */
function within<Filter extends { readonly _integrationId?: string | undefined }>(
  call: Call,
  filter: Filter,
): DefinedIn<Filter> | undefined {
  const { _integrationId } = filter;
  if (_integrationId !== undefined && !sees(call.scope, { _integrationId })) return undefined;
  return { ...filter, ...scopeFilter(call) } as DefinedIn<Filter>;
}

const nothing: Overview = {
  flows: { enabled: 0, disabled: 0 },
  runs: { running: 0, queued: 0 },
  ...{ failing: 0, overdue: 0, paused: 0, openFailures: 0, inboxPages: 0 },
};

// What `readQuery` returns has no field that is undefined.
type DefinedIn<T> = { [K in keyof T]: Exclude<T[K], undefined> };
