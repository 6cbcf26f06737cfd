import { NotFoundError } from "../../errors.ts";
import type { Run } from "../../model/run.ts";
import { v } from "../../model/validate.ts";
import { sees } from "../authorization.ts";
import { runDocument } from "../documents.ts";
import { filtersOf, linkHeader, listAnswer, listed } from "../list.ts";
import { runsQuery } from "../query.ts";
import { json } from "../reply.ts";
import { type Answer, type Call, type Route, locationOf, route } from "./route.ts";
import { findFlow, findRun, ownOnly } from "../scoped.ts";

const oneRun = (description: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  description,
  content: { "application/json": runDocument },
  headers,
});

const runShape = v.strictObject({
  limit: v.optional(
    v.pipe(
      v.number("a whole number, 1 or more"),
      v.integer("a whole number, 1 or more"),
      v.minValue(1, "a whole number, 1 or more"),
      v.description("A sample: at most this many records, and no checkpoint moves. Without it all."),
    ),
  ),
});

/** Runs: asked for, looked at, canceled. */
export const runRoutes: readonly Route[] = [
  route({
    method: "POST",
    path: "/flows/{_id}/run",
    action: "flows.run",
    operationId: "runFlow",
    summary: "Run a flow. While a run of it is going on, this one waits.",
    headers: { prefer: "`wait=n`: the answer waits for the end of the run, at most n seconds." },
    body: { required: false, content: { "application/json": runShape }, checked: true },
    answers: {
      201: oneRun("The run; with `Prefer: wait=n` as it is then.", {
        location: "The path of the run.",
        "preference-applied": "The wait that was made, if one was asked for.",
      }),
    },
    refusals: [409, 429],
    async answer(call) {
      await findFlow(call);
      const run = await call.parts.scheduler.run(call._id, call.body.value ?? {});
      const headers = { location: locationOf(call.parts, "runs", run._id) };
      const seconds = preferredWait(call);
      if (seconds === undefined) return json(201, run, headers);
      return json(201, await ended(call, run, seconds * 1_000), {
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
    summary: "Retrieve the newest run of a flow.",
    answers: { 200: oneRun("The newest run, by the order in which they were queued.") },
    async answer(call) {
      const flow = await findFlow(call);
      const { items } = await call.parts.scheduler.listRuns({ _flowId: flow._id, ...ownOnly(call), limit: 1 });
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
    summary: "List runs, the newest first.",
    query: runsQuery,
    answers: { 200: listAnswer("The runs.", runDocument, linkHeader) },
    async answer(call) {
      const { scope, query, parts } = call;
      if (query._integrationId !== undefined && !sees(scope, { _integrationId: query._integrationId }))
        return listed(call, { items: [] });
      const filter = { ...filtersOf(query), ...ownOnly(call) };
      return listed(call, await parts.scheduler.listRuns(filter), query);
    },
  }),
  route({
    method: "GET",
    path: "/runs/{_id}",
    action: "runs.read",
    operationId: "getRun",
    summary: "Retrieve a run.",
    answers: { 200: oneRun("The run.") },
    async answer(call) {
      return json(200, await findRun(call));
    },
  }),
  route({
    method: "PUT",
    path: "/runs/{_id}/cancel",
    action: "runs.cancel",
    operationId: "cancelRun",
    summary: "Cancel a run: at once if it waits, else as soon as its code has heeded its signal.",
    answers: { 200: oneRun("The run; one that has ended stays as it is.") },
    async answer(call) {
      const run = await findRun(call);
      return json(200, await call.parts.scheduler.cancel(run._id));
    },
  }),
];

/** Whole seconds to wait for the end of the run, as RFC 7240 says; undefined: not at all. */
function preferredWait({ request, parts }: Call): number | undefined {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})/i.exec(request.headers.get("prefer") ?? "") ?? [];
  return seconds === undefined ? undefined : Math.min(Number(seconds), Math.floor(parts.maxWaitMs / 1_000));
}

/** The run when it has ended, or as it is after `waitMs`. */
async function ended({ parts, request }: Call, run: Run, waitMs: number): Promise<Run> {
  const over = new AbortController();
  const abort = () => over.abort();
  const cancel = parts.clock.setTimer(abort, waitMs);
  request.signal.addEventListener("abort", abort);
  // Who has gone already does not go again.
  if (request.signal.aborted) abort();
  try {
    return await parts.scheduler.waitFor(run._id, { signal: over.signal });
  } catch (error) {
    if (!over.signal.aborted) throw error;
    return await parts.scheduler.getRun(run._id);
  } finally {
    cancel();
    request.signal.removeEventListener("abort", abort);
  }
}
