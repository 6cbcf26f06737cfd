import { NotFoundError } from "../../errors.ts";
import type { Run } from "../../model/run.ts";
import { v } from "../../model/validate.ts";
import { sees } from "../access/authorization.ts";
import { described, runDocument } from "../documents.ts";
import { filtersOf, linkHeader, listReply, listResponse } from "../lists/list.ts";
import { latestQuery, runsQuery } from "../lists/query.ts";
import { json } from "../reply.ts";
import { type Call, type ResponseSpec, type Route, locationOf, route } from "./route.ts";
import { findFlow, findRun, scopeFilter } from "./scoped.ts";

const runResponse = (description: string, headers: Readonly<Record<string, string>> = {}): ResponseSpec => ({
  description,
  content: { "application/json": runDocument },
  headers,
});

/** How a run differs from one that the schedule queues. */
export const runShape = v.strictObject({
  limit: v.optional(
    described(
      v.pipe(
        v.number("a whole number, 1 or more"),
        v.integer("a whole number, 1 or more"),
        v.minValue(1, "a whole number, 1 or more"),
      ),
      "Sample run: at most this many records for each import, and no checkpoint moves; all if it is left out.",
    ),
  ),
  parameters: v.optional(
    described(v.unknown(), "JSON handed to the export, such as the window of a backfill; at most 64 KB."),
  ),
  moveCheckpoint: v.optional(
    described(v.boolean("true or false"), "False: the run neither reads from checkpoints nor moves them."),
  ),
});

/** Runs: queued, read, canceled. */
export const runRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/flows/{_id}/run",
    action: "flows.run",
    operationId: "runFlow",
    summary: "Queue a run of a flow. While another run of the flow is active, it waits.",
    description:
      "The run is stored once the response is sent. Runs of one flow are executed one at a time, in the order in which they were queued. A body makes it a sample (`limit`), or a run with `parameters` for the export.",
    headers: { prefer: "`wait=n`: respond when the run has ended, after n seconds at the latest." },
    body: { required: false, content: { "application/json": runShape }, checked: true },
    responses: {
      201: runResponse("The run; with `Prefer: wait=n` as it is after the wait.", {
        location: "The address of the run.",
        "preference-applied": "The wait that was granted, if one was requested.",
      }),
    },
    errors: [409, 429],
    async respond(call) {
      await findFlow(call);
      const run = await call.deps.scheduler.run(call._id, call.body.value ?? {});
      const headers = { location: locationOf(call, "runs", run._id) };
      call.logged.runId = run._id;
      const seconds = preferredWait(call);
      if (seconds === undefined) return json(201, run, headers);
      return json(201, await waitForEnd(call, run, seconds * 1_000), {
        ...headers,
        "preference-applied": `wait=${seconds}`,
      });
    },
  }),
  route({
    method: "GET",
    path: "/flows/{_id}/jobs/latest",
    action: "runs.read",
    operationId: "getLatestRun",
    summary: "Read the newest run of a flow.",
    description:
      "The run that was queued last, whatever its status; 404 if the flow has had none. With `limit` an array of the newest runs.",
    query: latestQuery,
    responses: {
      200: {
        description: "The run that was queued last; with `limit` an array of the newest runs, empty if there are none.",
        content: { "application/json": v.union([runDocument, v.array(runDocument)]) },
      },
    },
    async respond(call) {
      const flow = await findFlow(call);
      const { limit } = call.query;
      const filter = { _flowId: flow._id, ...scopeFilter(call), limit: limit ?? 1 };
      const { items } = await call.deps.scheduler.listRuns(filter);
      if (limit !== undefined) return json(200, items);
      const [latest] = items;
      if (latest === undefined) throw new NotFoundError("run", `of flow ${flow._id}`);
      return json(200, latest);
    },
  }),
  route({
    method: "GET",
    path: "/runs",
    action: "runs.list",
    operationId: "listRuns",
    summary: "List runs, newest first.",
    description:
      "Runs of all flows that the caller may see, as long as the retention keeps them. A run has to match every filter that is given.",
    query: runsQuery,
    responses: { 200: listResponse("The runs.", runDocument, linkHeader) },
    async respond(call) {
      const { scope, query, deps } = call;
      if (query._integrationId !== undefined && !sees(scope, { _integrationId: query._integrationId }))
        return listReply(call, { items: [] });
      const filter = { ...filtersOf(call, query), ...scopeFilter(call) };
      return listReply(call, await deps.scheduler.listRuns(filter), query);
    },
  }),
  route({
    method: "GET",
    path: "/runs/{_id}",
    action: "runs.read",
    operationId: "getRun",
    summary: "Read a run.",
    description: "Status, times, counts in total and for each import, and the error of a run that failed.",
    responses: { 200: runResponse("The run.") },
    async respond(call) {
      return json(200, await findRun(call));
    },
  }),
  route({
    method: "PUT",
    path: "/runs/{_id}/cancel",
    action: "runs.cancel",
    operationId: "cancelRun",
    summary: "Cancel a run: at once if it is queued, otherwise as soon as its code reacts to the abort signal.",
    description:
      "An active run is `canceling` until its code has ended. What it has committed stays, and the next run continues there.",
    responses: { 200: runResponse("The run; a run that has ended is not changed.") },
    async respond(call) {
      const run = await findRun(call);
      return json(200, await call.deps.scheduler.cancel(run._id));
    },
  }),
];

/** Seconds to wait for the end of the run (RFC 7240); undefined: do not wait. */
function preferredWait({ request, deps }: Call): number | undefined {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})/i.exec(request.headers.get("prefer") ?? "") ?? [];
  return seconds === undefined ? undefined : Math.min(Number(seconds), Math.floor(deps.maxWaitMs / 1_000));
}

/** The run when it has ended, or as it is after `waitMs`, when the client goes away or when the scheduler stops. */
async function waitForEnd({ deps, request }: Call, run: Run, waitMs: number): Promise<Run> {
  const over = new AbortController();
  const abort = () => over.abort();
  const cancel = deps.clock.setTimer(abort, waitMs);
  request.signal.addEventListener("abort", abort);
  // Nothing ends the run in this process any more.
  const unsubscribe = deps.stops.add(abort);
  // A client that has gone away already sends no further event.
  if (request.signal.aborted) abort();
  try {
    return await deps.scheduler.waitFor(run._id, { signal: over.signal });
  } catch (error) {
    if (!over.signal.aborted) throw error;
    return await deps.scheduler.getRun(run._id);
  } finally {
    cancel();
    unsubscribe();
    request.signal.removeEventListener("abort", abort);
  }
}
