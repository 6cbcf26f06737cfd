import { ConflictError, ForbiddenError, NotFoundError } from "../../errors.ts";
import { copyJson, omitUndefined } from "../../model/record/json.ts";
import { TextSearch } from "../../model/record/search.ts";
import { v } from "../../model/validate.ts";
import { described, failureDocument, resolvedDocument, runDocument } from "../documents.ts";
import { filtersOf, linkHeader, listReply, listResponse } from "../lists/list.ts";
import { allFailuresQuery, failuresQuery, partOfText } from "../lists/query.ts";
import { badRequest, HttpError } from "../http-error.ts";
import { jsonText } from "../json-text.ts";
import { type Reply, empty, jsonString, json } from "../reply.ts";
import { tagsIn } from "./etag.ts";
import { type Call, type Route, locationOf, route } from "./route.ts";
import { sees } from "../access/authorization.ts";
import type { FailureFilter } from "../../scheduler/requests.ts";
import { causeOf } from "../../model/cause.ts";
import { type Failure, faults } from "../../model/failure.ts";
import type { Projection } from "../lists/projection.ts";
import { expectShown, findFlow, scopeFilter, viewerOf } from "./scoped.ts";

const maxIds = 10_000;
const someIds = `an array of 1 to ${maxIds} ids`;
const ids = v.pipe(v.array(v.string("an id"), someIds), v.minLength(1, someIds), v.maxLength(maxIds, someIds));

/** Which failures are retried. */
export const retryShape = v.strictObject({
  _importId: v.optional(described(v.string("a string"), "Only failures at this import; all if it is left out.")),
  _ids: v.optional(described(ids, "Only these failures; all open ones if it is left out.")),
  fault: v.optional(described(v.picklist(faults, `one of ${faults.join(", ")}`), "Only failures of this kind.")),
  cause: v.optional(described(v.string("a string"), "Only failures with this cause.")),
  key: v.optional(described(v.string("a string"), "Only failures of the record with this key.")),
  keyPrefix: v.optional(described(partOfText, "Only failures of records whose key begins so.")),
  text: v.optional(
    described(partOfText, "Only failures with this in their message or record, in any case of ASCII letters."),
  ),
  _exportId: v.optional(described(v.string("a string"), "Only failures of records of this export.")),
  _runId: v.optional(described(v.string("a string"), "Only failures of this run.")),
  _connectorId: v.optional(described(v.string("a string"), "Only failures that carry this connector.")),
  through: v.optional(described(v.string("a string"), "Only failures up to this one: the newest `_id` that was seen.")),
});

/** Which failures are resolved. */
export const resolveShape = v.strictObject({ _ids: described(ids, "The failures to resolve.") });

/** The record instead of the one that failed. */
export const editShape = v.strictObject({
  record: described(v.unknown(), "The record that retries send from now on."),
});
const failureEtag = { etag: "Entity tag of the failure, for `If-Match` and `If-None-Match`." };

/** Records that an import did not take: listed, edited, retried, resolved. */
export const failureRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/failures",
    action: "failures.list",
    operationId: "listAllFailures",
    summary: "List the failures of all flows, newest first.",
    description: "Failures of all flows that the caller may see. A failure has to match every filter that is given.",
    query: allFailuresQuery,
    responses: {
      200: listResponse("The failures.", failureDocument, {
        ...linkHeader,
        "poundlock-examined": "Of a search: how many failures it looked at.",
      }),
    },
    async respond(call) {
      const { scope, query } = call;
      if (query._integrationId !== undefined && !sees(scope, { _integrationId: query._integrationId }))
        return listReply(call, { items: [] });
      const { order = "newest", ...filters } = filtersOf(call, query);
      const filter = { ...filters, newestFirst: order === "newest", ...scopeFilter(call) };
      return failuresReply(call, await searchFailures(call, filter), query);
    },
  }),
  route({
    method: "GET",
    path: "/failures/{_id}",
    action: "failures.read",
    operationId: "getFailure",
    summary: "Read a failure.",
    description: "The record as the export returned it, the error of the last attempt, and how often it was sent.",
    headers: { "if-none-match": "An `ETag` of the failure: 304 if nothing has changed since." },
    responses: {
      200: { description: "The failure.", content: { "application/json": failureDocument }, headers: failureEtag },
      304: { description: "The failure has not changed.", headers: failureEtag },
    },
    async respond(call) {
      const failure = await findFailure(call);
      const tags = tagsIn(call.request.headers.get("if-none-match") ?? "");
      const headers = { etag: etagOf(failure), "cache-control": "private, no-cache" };
      return tags.includes(headers.etag) ? empty(304, headers) : failureReply(call, failure);
    },
  }),
  route({
    method: "PATCH",
    path: "/failures/{_id}",
    action: "failures.edit",
    operationId: "editFailure",
    summary: "Give an open failure another record, which retries send from then on.",
    description:
      "To correct a record that its destination refuses. The first version is kept as `original`. `If-Match` is required, so that nobody overwrites what somebody else has corrected.",
    headers: { "if-match": "Required: the `ETag` of the failure as it was read." },
    body: { required: true, content: { "application/json": editShape }, checked: true, acceptsUntyped: true },
    responses: {
      200: { description: "The failure.", content: { "application/json": failureDocument }, headers: failureEtag },
    },
    errors: [409, 412],
    respond: editFailure,
  }),
  route({
    method: "GET",
    path: "/flows/{_id}/failures",
    action: "failures.list",
    operationId: "listFailures",
    summary: "List the failures of a flow, oldest first.",
    description:
      "Records of the flow that an import did not take, open and resolved. A failure has to match every filter that is given.",
    query: failuresQuery,
    responses: { 200: listResponse("The failures.", failureDocument, linkHeader) },
    async respond(call) {
      const flow = await findFlow(call);
      const filter = { ...filtersOf(call, call.query), _flowId: flow._id, ...scopeFilter(call) };
      return failuresReply(call, await searchFailures(call, filter), call.query);
    },
  }),
  route({
    method: "POST",
    path: "/flows/{_id}/failures/retry",
    action: "failures.retry",
    operationId: "retryFailures",
    summary: "Run a flow with its open failures, or some of them. Failures that are delivered are removed.",
    description:
      "The run sends them to the imports that did not take them, under the same keys, and reads nothing from the export.",
    body: { required: false, content: { "application/json": retryShape }, checked: true },
    responses: {
      201: {
        description: "The run that sends them.",
        content: { "application/json": runDocument },
        headers: { location: "The address of the run." },
      },
    },
    errors: [409, 429],
    async respond(call) {
      const flow = await findFlow(call);
      const given = call.body.value as v.InferOutput<typeof retryShape> | undefined;
      expectShown(call, given ?? {});
      const selection = { ...given, ...scopeFilter(call) };
      const run = await call.deps.scheduler.retryFailures(flow._id, omitUndefined(selection));
      call.logged.runId = run._id;
      return json(201, run, { location: locationOf(call, "runs", run._id) });
    },
  }),
  route({
    method: "PUT",
    path: "/flows/{_id}/failures/resolved",
    action: "failures.resolve",
    operationId: "resolveFailures",
    summary: "Mark failures of a flow as resolved by hand: they are not retried any more.",
    description:
      "For records that were corrected elsewhere, or are not needed. Those that are resolved already are left out of the response.",
    body: { required: true, content: { "application/json": resolveShape }, checked: true },
    responses: {
      200: { description: "The failures that were open.", content: { "application/json": resolvedDocument } },
    },
    async respond(call) {
      const flow = await findFlow(call);
      const { _ids } = call.body.value as v.InferOutput<typeof resolveShape>;
      await expectFailures(call, flow._id, _ids);
      call.logged.failureIds = _ids.slice(0, 100);
      const resolved = await call.deps.scheduler.resolveFailures(_ids);
      return json(200, { _ids: resolved.map(({ _id }) => _id) });
    },
  }),
];

/**
 * The failure in the path. To a caller that may not see it, it does not exist.
 *
 * @throws `not_found`
 */
async function findFailure({ deps, scope, _id }: Call): Promise<Failure> {
  const failure = await deps.scheduler.getFailure(_id);
  if (!sees(scope, failure)) throw new NotFoundError("failure", _id);
  return failure;
}

function etagOf({ status, occurrences, attempts, lastFailedAt, editedAt = "" }: Failure): string {
  return `"${status}_${occurrences}_${attempts}_${lastFailedAt}_${editedAt}"`;
}

/** The failure as the caller may see it, with its cause. */
function shownTo(call: Call, failure: Failure): ShownFailure {
  return { ...call.deps.redaction.failure(failure, viewerOf(call)), cause: causeOf(failure).cause };
}

interface ShownFailure extends Failure {
  readonly cause: string;
}

function failuresReply(call: Call, { examined, items, ...page }: FailureList, shown: Projection): Reply {
  const reply = listReply(call, { items: items.map((item) => shownTo(call, item)), ...page }, shown);
  if (examined === undefined) return reply;
  return { ...reply, headers: { ...reply.headers, "poundlock-examined": String(examined) } };
}

interface KeyFilters {
  readonly key?: string | undefined;
  readonly keyPrefix?: string | undefined;
}

interface FailureList {
  readonly items: readonly Failure[];
  readonly next?: string;
  readonly examined?: number;
}

/** How many failures are looked at in one turn where they are not shown as they are, and in one request. */
const portion = 200;
const mostSearched = 20_000;

/**
 * A filter finds only what the caller is shown, and neither a place to go on nor a count says that there was more: where
 * failures are not shown as they are stored, those that match are looked at one by one.
 */
async function searchFailures(call: Call, { text, limit = 100, ...filter }: FailureFilter): Promise<FailureList> {
  const { clock, redaction, scheduler } = call.deps;
  const byKey = filter.key !== undefined || filter.keyPrefix !== undefined;
  if (!redaction.isActive || (text === undefined && !byKey))
    return scheduler.listFailures({ ...filter, limit, ...(text === undefined ? {} : { text }) });
  const isFound = shownWith(call, text, filter);
  const items: Failure[] = [];
  let after = filter.after;
  let size = portion;
  for (let examined = 0; ;) {
    const place = after === undefined ? {} : { after };
    const page = await scheduler.listFailures({ ...filter, ...place, limit: size });
    const found = page.items.filter(isFound);
    const last = found[limit - items.length - 1];
    if (last !== undefined && last !== found.at(-1)) {
      // The list goes on after the last one that is wanted, whose place is known only of the end of a page.
      size = page.items.indexOf(last) + 1;
      continue;
    }
    items.push(...found);
    examined += page.examined ?? page.items.length;
    after = page.next;
    const list = byKey ? { items } : { items, examined };
    if (after === undefined) return list;
    if (items.length === limit || examined >= mostSearched) return { ...list, next: after };
    await clock.yieldToEventLoop();
  }
}

/** Whether what the caller is shown of a failure has the text, and the key. */
function shownWith(call: Call, text: string | undefined, { key, keyPrefix = "" }: KeyFilters) {
  const search = text === undefined ? undefined : new TextSearch(text);
  return (failure: Failure): boolean => {
    const { key: shown, message, record } = call.deps.redaction.failure(failure, viewerOf(call));
    if ((key !== undefined && shown !== key) || !shown.startsWith(keyPrefix)) return false;
    return search?.finds(message, record === undefined ? null : jsonText(record)) ?? true;
  };
}

function failureReply(call: Call, failure: Failure): Reply {
  return jsonString(200, jsonText(shownTo(call, failure)), {
    etag: etagOf(failure),
    "cache-control": "private, no-cache",
  });
}

/**
 * @throws HttpError 400 without `If-Match`, 412 if the failure has changed; `conflict` if JSON cannot say its record;
 * `forbidden` if the caller was not shown all of it.
 */
async function editFailure(call: Call): Promise<Reply> {
  const failure = await findFailure(call);
  const expected = call.request.headers.get("if-match");
  if (expected === null) throw badRequest("if-match", "if-match: required, but not given: send the ETag that was read");
  if (expected.trim() !== "*" && !tagsIn(expected).includes(etagOf(failure))) {
    const message = "If-Match: the failure was changed since it was read";
    throw new HttpError(412, [{ code: "conflict", message, field: "if-match" }]);
  }
  // What JSON cannot represent would become something else by being written back.
  if (!isJson(failure.record))
    throw new ConflictError(`The record of failure ${failure._id} is not JSON: it can be edited by the host only`);
  // Nobody may write back what was put in the place of what is hidden.
  if (jsonText(call.deps.redaction.failure(failure, viewerOf(call)).record) !== jsonText(failure.record))
    throw new ForbiddenError("The record is not shown as it is, so it cannot be edited");
  const { record } = call.body.value as v.InferOutput<typeof editShape>;
  return failureReply(call, await call.deps.scheduler.editFailure(failure._id, record));
}

function isJson(record: unknown): boolean {
  try {
    copyJson(record);
    return true;
  } catch {
    return false;
  }
}

/** @throws `not_found` naming the first id that is not a failure of the flow, or one that the caller may not see. */
async function expectFailures(call: Call, _flowId: string, _ids: readonly string[]): Promise<void> {
  const pageSize = 1_000;
  for (let start = 0; start < _ids.length; start += pageSize) {
    const part = _ids.slice(start, start + pageSize);
    const filter = { _flowId, _ids: part, limit: pageSize, ...scopeFilter(call) };
    const found = new Set<string>();
    let after: string | undefined;
    do {
      const { items, next } = await call.deps.scheduler.listFailures({
        ...filter,
        ...(after === undefined ? {} : { after }),
      });
      for (const { _id } of items) found.add(_id);
      after = next;
    } while (after !== undefined);
    const missing = part.find((_id) => !found.has(_id));
    if (missing !== undefined) throw new NotFoundError("failure", missing);
  }
}
